/**
 * Exit statuses: part of the command line's interface, listed in `docs/cli.md`.
 * @see https://restic.readthedocs.io/en/stable/075_scripting.html#exit-codes (the same numbers where restic has one)
 */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  incomplete: 3,
  noRepository: 10,
  locked: 11,
  wrongPassword: 12,
  unreachable: 75,
  interrupted: 130,
} as const;

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT];

export interface ErrorOptions {
  /** What the person can do about it, one sentence a line. */
  readonly hints?: readonly string[];
  readonly cause?: unknown;
}

/**
 * An error a person can act on. The message reads `verb object: reason`, in lower case, without a full stop,
 * names the path or object, and never holds a secret. Any other error that reaches `main` is a bug and is printed as one.
 */
export class SkylockError extends Error {
  readonly exitStatus: ExitStatus = EXIT.failed;
  readonly hints: readonly string[];

  constructor(message: string, { hints = [], cause }: ErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.hints = hints;
  }
}

/** The command line, the environment or the config file asks for something that makes no sense. */
export class UsageError extends SkylockError {
  override readonly exitStatus = EXIT.usage;
}

/** There is no repository at the remote's folder. */
export class NoRepositoryError extends SkylockError {
  override readonly exitStatus = EXIT.noRepository;
}

/** Another live process owns the run. */
export class LockedError extends SkylockError {
  override readonly exitStatus = EXIT.locked;
}

export class WrongPasswordError extends SkylockError {
  override readonly exitStatus = EXIT.wrongPassword;
}

/** The person, or a signal, asked the program to stop; what is durable is recorded. */
export class InterruptedError extends SkylockError {
  override readonly exitStatus = EXIT.interrupted;
}

/** Bytes from outside (remote, journal, key file) are not what the format allows. */
export class DamagedError extends SkylockError {}

export interface RemoteErrorOptions extends ErrorOptions {
  /** Can the same call succeed a little later without anybody doing anything? */
  readonly retryable: boolean;
  /** The remote asked to be left alone for so long (HTTP Retry-After), in milliseconds. */
  readonly retryAfterMs?: number;
  /** The server has enough: fewer requests, or connections, at once would help. */
  readonly pushesBack?: boolean;
}

/** The remote, or the way to it, failed. Adapters translate their library's errors into this one, once. */
export class RemoteError extends SkylockError {
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly pushesBack: boolean;

  constructor(message: string, { retryable, retryAfterMs, pushesBack, ...options }: RemoteErrorOptions) {
    super(message, options);
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
    this.pushesBack = pushesBack ?? retryAfterMs !== undefined;
  }
}

/** The remote could not be reached for as long as we were willing to try: run again to resume. */
export class UnreachableError extends SkylockError {
  override readonly exitStatus = EXIT.unreachable;
}

/** @returns the `code` of a Node system error (`ENOENT`, …), or `undefined` for any other value. */
export function systemErrorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}
