import { RemoteError, systemErrorCode } from '../../errors.ts';

/** Of an SFTP request that the server did not fulfil; draft-ietf-secsh-filexfer-02, section 7. */
export const STATUS = {
  endOfFile: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  unsupported: 8,
} as const;

/** The server's answer to a request that it did not fulfil. */
export class StatusError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = new.target.name;
    this.status = status;
  }
}

/** @returns what the server answered, or `null` for an error that is not its answer. */
export function statusOf(error: unknown): number | null {
  return error instanceof StatusError ? error.status : null;
}

/** What the network's errors mean; each may have passed by the next attempt, a laptop's missing name server too. */
const NETWORK: Readonly<Record<string, readonly [reason: string, ...hints: string[]]>> = {
  ECONNREFUSED: ['nobody listens there', 'Is the port right? A Storage Box listens on 22 and 23.'],
  ECONNRESET: ['the server broke the connection'],
  EPIPE: ['the server broke the connection'],
  ETIMEDOUT: ['no answer'],
  EHOSTUNREACH: ['there is no way to this host'],
  EHOSTDOWN: ['there is no way to this host'],
  ENETUNREACH: ['there is no network'],
  ENETDOWN: ['there is no network'],
  EADDRNOTAVAIL: ['there is no network'],
  EAI_AGAIN: ['its name cannot be looked up at the moment'],
  ENOTFOUND: ['there is no host of this name', 'Is the name right, and is this machine on the network?'],
};

/** SSH_DISCONNECT_TOO_MANY_CONNECTIONS: RFC 4253, section 11.1; ProFTPD gives it as the reason. */
const TOO_MANY_CONNECTIONS = 12;

/** Did the server hang up because others hold all the connections this account, or this machine, may have? */
export function isTooMany(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === TOO_MANY_CONNECTIONS;
}

/** Did the server, asked for a session, answer that it opens none? */
export function isRefusedSession(error: unknown): boolean {
  return error instanceof Error && /establishing SFTP|subsystem|channel open failure/i.test(error.message);
}

/** @param doing `verb object`; @param error of ssh2, of the socket, or `undefined` when the connection just ended */
export function connectionFailure(doing: string, error: unknown): RemoteError {
  if (error instanceof RemoteError) return error;
  const known = NETWORK[systemErrorCode(error) ?? ''];
  if (known !== undefined) {
    const [reason, ...hints] = known;
    return new RemoteError(`${doing}: ${reason}`, { retryable: true, hints, cause: error });
  }
  if (isTooMany(error)) {
    return new RemoteError(`${doing}: the server takes no more connections`, {
      retryable: true,
      pushesBack: true,
      hints: ['Others to the same account are open; --connections says how many Skylock may make.'],
      cause: error,
    });
  }
  const message = error instanceof Error ? error.message : 'the connection was closed';
  if (/no matching|handshake failed/i.test(message)) {
    return new RemoteError(`${doing}: ${message}`, {
      retryable: false,
      hints: ['The server offers only ciphers or keys that are not considered safe any more.'],
      cause: error,
    });
  }
  if (isRefusedSession(error)) {
    return new RemoteError(`${doing}: the server does not open an SFTP session`, {
      retryable: false,
      hints: ['Is SFTP allowed for this user? Try: sftp user@host.', `The server's answer: ${message}`],
      cause: error,
    });
  }
  return new RemoteError(`${doing}: ${message}`, { retryable: true, cause: error });
}

/** @param doing `verb object`; @param error of a request */
export function requestFailure(doing: string, error: unknown): Error {
  const status = statusOf(error);
  if (error instanceof RemoteError || status === null) return error as Error;
  const { message } = error as Error;
  if (status === STATUS.permissionDenied) {
    return new RemoteError(`${doing}: permission denied`, {
      retryable: false,
      hints: ['The user that logs in must own the folder of the repository, or be allowed to write there.'],
      cause: error,
    });
  }
  if (/quota|no space|disk full|space left/i.test(message)) return noSpace(doing, error);
  return new RemoteError(`${doing}: the server answers '${message}'`, {
    retryable: status !== STATUS.unsupported,
    hints: [
      ...(status === STATUS.failure
        ? ['It gives no reason. A quota that is used up is the most frequent one.']
        : []),
    ],
    cause: error,
  });
}

export function noSpace(doing: string, cause: unknown): RemoteError {
  return new RemoteError(`${doing}: no space left on the server`, {
    retryable: false,
    hints: ['Make room there, or rent more: the backup goes on where it stopped.'],
    cause,
  });
}
