import type { RemoteError } from '../errors.ts';

/** A run of an object's bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface RemoteObject {
  /** Relative to the repository's root, with `/` between its parts: `packs/ab/abcd…`. */
  readonly name: string;
  readonly sizeBytes: number;
}

export interface PutOptions {
  readonly signal?: AbortSignal;
  /** Called with the bytes handed to the remote so far; never more than the object's size. */
  readonly onSent?: (sentBytes: number) => void;
  /** Called with what a try has failed of, when another will follow. */
  readonly onRetry?: (error: RemoteError) => void;
  /**
   * Waited for when the object is whole under its temporary name, and before it gets its own: so that one may be sent beside
   * those it refers to. What it throws fails the put. Called again when the put is tried again.
   */
  readonly beforeNaming?: () => Promise<void>;
  /** Called when this put waits because the server lets no more than so many go on at once. */
  readonly onLimit?: (puts: number) => void;
}

/**
 * Where objects go. A name is one or more parts of `[A-Za-z0-9._-]`, none beginning with `.`, joined by `/`.
 * `null` means absent; anything broken throws {@link RemoteError}. Calls may overlap: an adapter gives each what it
 * needs (a channel, a connection), up to its limits, and makes the rest wait.
 */
export interface Remote {
  /** For messages: the URL without any secret. */
  readonly url: string;

  /**
   * Resolves only when the object is whole and durable under its final name: temporary name, size checked, fsync
   * where the server offers it, then rename. An object that is there already is replaced in one step.
   * `bytes` must not change until then. A failed or aborted put leaves nothing new under the final name;
   * an aborted one throws the signal's reason.
   */
  put(name: string, bytes: Uint8Array, options?: PutOptions): Promise<void>;

  /** So many puts are about to begin: what they need is opened meanwhile. Absent where that is not worth while. */
  prepare?(puts: number): void;

  /**
   * @returns the object's bytes, or those of `range` (fewer where the object ends before it), or `null` when absent.
   * @throws RemoteError when more than {@link MAX_GET_BYTES} would have to be held.
   */
  get(name: string, range?: ByteRange): Promise<Buffer | null>;

  /**
   * Every object whose name starts with the folder `prefix` (ending in `/`, or empty for all), in no order; temporary
   * ones only when `prefix` is their folder.
   */
  list(prefix: string): AsyncIterable<RemoteObject>;

  stat(name: string): Promise<RemoteObject | null>;

  /**
   * The SHA-256 of objects, computed where they lie: nothing is fetched. Absent where a kind of remote cannot do that.
   * @returns in hexadecimal, by name; none of an object that is absent or cannot be read
   * @throws RemoteError, final, when this very remote cannot do it
   */
  sha256?(names: readonly string[]): Promise<ReadonlyMap<string, string>>;

  /** Removes the object; that it was not there is fine. */
  remove(name: string): Promise<void>;

  /** Ends every connection. Calls that are under way, or come later, fail; closing again is fine. */
  close(): Promise<void>;
}

/** No object Skylock writes is larger (a pack is 32 MiB and one chunk at most), so no answer may be. */
export const MAX_GET_BYTES = 64 * 1024 * 1024;

/** So much holds nobody up: it is put, or fetched, beside what is large, on whatever channel there is. */
export const SMALL_BYTES = 64 * 1024;

/** Temporary objects lie in this folder of the root until they are renamed to their final name. */
export const TEMPORARY_FOLDER = 'tmp';

/** Some servers replace an object in two steps, Apache is one: what is absent or torn for this long is so. */
export const REPLACED_BY_THEN_MS = 100;
