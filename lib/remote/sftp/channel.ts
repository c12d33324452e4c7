import type { SFTPWrapper } from 'ssh2';
import type { RemoteError } from '../../errors.ts';
import type { CommandOutcome, Refusal } from './command.ts';
import { connectionFailure, StatusError } from './failures.ts';

/** What ssh2 knows of the server and does not show in its types. */
interface Internals {
  readonly _extensions: Readonly<Record<string, string>>;
  readonly _maxReadLen: number;
  readonly _maxWriteLen: number;
}

/** Runs a command on the connection of the channel. */
export type RunCommand = (command: string, maxOutputBytes: number) => Promise<CommandOutcome | Refusal>;

type Done<T> = (error: Error | null | undefined, value: T) => void;

/**
 * One SFTP session. Many requests may be under way at once; the server works them off in order.
 * A request on a session that has ended, or ends, is rejected: ssh2 would drop it and never call back.
 */
export class SftpChannel {
  readonly #sftp: SFTPWrapper;
  readonly #where: string;
  /** In a session of its own; also after the channel has ended. */
  readonly run: RunCommand;
  readonly #waiting = new Set<(error: Error) => void>();
  #end: RemoteError | null = null;
  #heardAt = 0;

  /** @param where for messages: `user@host` */
  constructor(sftp: SFTPWrapper, where: string, run: RunCommand) {
    this.#sftp = sftp;
    this.#where = where;
    this.run = run;
  }

  get ended(): boolean {
    return this.#end !== null;
  }

  /** Largest piece the server takes, or gives, in one request, in bytes. */
  get maxWriteBytes(): number {
    return (this.#sftp as unknown as Internals)._maxWriteLen;
  }

  get maxReadBytes(): number {
    return (this.#sftp as unknown as Internals)._maxReadLen;
  }

  offers(extension: string): boolean {
    return (this.#sftp as unknown as Internals)._extensions[extension] !== undefined;
  }

  /**
   * Sends one request.
   * @throws StatusError, or the RemoteError this channel ended with
   */
  request<T = void>(send: (sftp: SFTPWrapper, done: Done<T>) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#end !== null) return reject(this.#end);
      if (this.#waiting.size === 0) this.#heardAt = performance.now();
      this.#waiting.add(reject);
      const answered: Done<T> = (error, value) => {
        this.#heardAt = performance.now();
        if (!this.#waiting.delete(reject)) return;
        if (error) reject(this.#translate(error));
        else resolve(value);
      };
      try {
        send(this.#sftp, answered);
      } catch (error) {
        answered(error as Error, undefined as never);
      }
    });
  }

  /** For how long requests have waited without any of them being answered, in milliseconds. */
  silentFor(now: number): number {
    return this.#waiting.size === 0 ? 0 : now - this.#heardAt;
  }

  /** An error without a status is not the server's answer: ssh2 says that there will be none. */
  #translate(error: Error & { code?: unknown }): Error {
    if (typeof error.code === 'number') return new StatusError(error.code, error.message);
    return connectionFailure(`talk to ${this.#where}`, error);
  }

  /** Rejects every request that waits, and all that come. */
  end(error: RemoteError): void {
    if (this.#end !== null) return;
    this.#end = error;
    for (const reject of this.#waiting) reject(error);
    this.#waiting.clear();
    this.#sftp.end();
  }
}
