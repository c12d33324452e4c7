import { RemoteError, type RemoteErrorOptions, systemErrorCode } from '../../errors.ts';
import { ELSEWHERE, WRONG_CERTIFICATE } from './agents.ts';

const RESUME = 'Then run the same command again: what is stored already is kept.';

/** Answers that mean more than their number, and what a person can do about them. */
const ANSWERS: Readonly<Record<number, { reason: string; hints?: readonly string[] }>> = {
  401: {
    reason: 'the user name or the password is wrong',
    hints: [
      'The user name stands in the URL (https://user@host/folder), the password in SKYLOCK_REMOTE_PASSWORD.',
      'Some servers want WebDAV switched on for the account, or a password made for it alone.',
    ],
  },
  403: {
    reason: 'the server does not allow it',
    hints: ['Is WebDAV switched on for this account, and may it write to this folder?'],
  },
  404: { reason: 'the folder of the repository is gone' },
  405: {
    reason: 'this is no WebDAV folder',
    hints: [
      "The URL needs the path under which the server offers WebDAV: look into its provider's help pages.",
    ],
  },
  409: { reason: 'the folder of the repository is gone' },
  413: {
    reason: 'the object is larger than the server takes',
    hints: [
      'It has to take 40 MB: client_max_body_size in nginx (also in a proxy before it), LimitRequestBody in Apache.',
      RESUME,
    ],
  },
  423: { reason: 'the object is locked' },
  429: { reason: 'too many requests' },
  501: { reason: 'the server does not know WebDAV' },
  507: {
    reason: 'no space is left, or the quota is used up',
    hints: ['Free space there, or rent more.', RESUME],
  },
};

/** 4xx that may be over a little later (RFC 9110, 4918, 6585, 8470); of the 5xx all but {@link FINAL_5XX}. */
const RETRYABLE_4XX = [408, 421, 423, 425, 429];
/** Not implemented, version not supported, insufficient storage, loop detected. */
const FINAL_5XX = [501, 505, 507, 508];

const PUSHES_BACK = [429, 503];

/** The server has answered, though not with what was asked for. */
export class AnswerError extends RemoteError {
  /** HTTP's number for it. */
  readonly status: number;

  constructor(message: string, { status, ...options }: RemoteErrorOptions & { readonly status: number }) {
    super(message, options);
    this.status = status;
  }
}

interface Answered {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
}

/** @param doing `put packs/ab/…` */
export function statusFailure(doing: string, { status, headers }: Answered): AnswerError {
  const retryable = status >= 500 ? !FINAL_5XX.includes(status) : RETRYABLE_4XX.includes(status);
  const unknown = status < 400 ? 'the answer is not WebDAV' : 'the server failed';
  const { reason = unknown, hints = [] } = ANSWERS[status] ?? {};
  const retryAfterMs = retryable ? parseRetryAfter(headers.get('retry-after'), Date.now()) : null;
  return new AnswerError(`${doing}: ${reason} (HTTP ${status})`, {
    status,
    retryable,
    hints,
    pushesBack: PUSHES_BACK.includes(status),
    ...(retryAfterMs === null ? {} : { retryAfterMs }),
  });
}

/**
 * @param value seconds or an HTTP date, RFC 9110 section 10.2.3
 * @returns milliseconds, or `null` when there is none to be read
 */
export function parseRetryAfter(value: string | null, nowMs: number): number | null {
  if (value === null) return null;
  if (/^\s*\d{1,9}\s*$/.test(value)) return Number(value) * 1000;
  const at = /[A-Za-z]/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - nowMs);
}

const CERTIFICATE_HINTS = [
  "If the server's certificate is signed by an authority of your own, name that authority's file as the CA file.",
  'If it signs itself, pin its SHA-256 fingerprint: openssl s_client -connect HOST:443 </dev/null | openssl x509 -noout -fingerprint -sha256',
];

/** OpenSSL's words for a certificate that is not to be trusted, as Node gives them for codes. */
const CERTIFICATES: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "the server's certificate signs itself",
  SELF_SIGNED_CERT_IN_CHAIN: "the server's certificate is signed by an unknown authority",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the server's certificate is signed by an unknown authority",
  UNABLE_TO_GET_ISSUER_CERT: "the server's certificate is signed by an unknown authority",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "the server's certificate is signed by an unknown authority",
  CERT_HAS_EXPIRED: "the server's certificate has expired",
  CERT_NOT_YET_VALID: "the server's certificate is not valid yet: is the clock of this machine right?",
  CERT_REVOKED: "the server's certificate is revoked",
  ERR_TLS_CERT_ALTNAME_INVALID: "the server's certificate is for another name",
};

/** Bytes that changed on the line, or a server that is short of something: with the next connection it may be over. */
const SPOILT_ON_THE_WAY = /BAD_RECORD_MAC|ALERT_INTERNAL_ERROR|ALERT_DECRYPT|UNEXPECTED_EOF|WRONG_SEQUENCE/;

/** Codes of the system, of its resolver, and of Node where an answer is cut or is none. */
const OF_THE_LINE = /^(E[A-Z]+|EAI_[A-Z]+|HPE_\w+|ERR_STREAM_\w+|ERR_SOCKET_(CLOSED|CONNECTION_TIMEOUT))$/;

/** What the network's errors mean; each may have passed by the next try. */
const LINES: Readonly<Record<string, readonly [reason: string, ...hints: string[]]>> = {
  ECONNREFUSED: ['nobody listens there', 'Are the host and the port of the URL right?'],
  ECONNRESET: ['the connection was cut'],
  EPIPE: ['the connection was cut'],
  ERR_STREAM_PREMATURE_CLOSE: ['the connection was cut'],
  ETIMEDOUT: ['no answer'],
  EHOSTUNREACH: ['there is no way to the server'],
  EHOSTDOWN: ['there is no way to the server'],
  ENETUNREACH: ['there is no network'],
  ENETDOWN: ['there is no network'],
  EADDRNOTAVAIL: ['there is no network'],
  ENOTFOUND: ['there is no host of this name', 'Is the name right, and is this machine on the network?'],
  EAI_AGAIN: ["the host's name cannot be looked up at the moment", 'Is this machine on the network?'],
};

/** @returns a RemoteError for what the way to the server came to; anything that is no network's error as it is. */
export function connectionFailure(doing: string, error: unknown): unknown {
  if (error instanceof RemoteError) return error;
  const code = systemErrorCode(error);
  if (code === undefined) return error;
  // The client's message holds the URL; what our own agents said comes behind its last colon.
  const message = (error as Error).message.replace(/^request to \S+ failed, reason: /, '');
  const final = (reason: string, hints: readonly string[]) =>
    new RemoteError(`${doing}: ${reason}`, { retryable: false, hints, cause: error });

  if (code === ELSEWHERE) {
    return final(`the server answers with a redirect, and ${message}`, [
      'Is that the right URL for the remote?',
    ]);
  }
  if (code === WRONG_CERTIFICATE) {
    return final(`this is not the pinned server: ${message}`, [
      'If the server has a new certificate, find out from whoever runs it, then pin the new fingerprint.',
    ]);
  }
  const certificate = CERTIFICATES[code];
  if (certificate !== undefined) return final(`${certificate} (${code})`, CERTIFICATE_HINTS);
  if (SPOILT_ON_THE_WAY.test(code)) {
    return new RemoteError(`${doing}: the secure connection broke (${code})`, {
      retryable: true,
      cause: error,
    });
  }
  if (/^(ERR_(SSL|TLS|OSSL)_|CERT_|EPROTO$)/.test(code)) {
    return final(`no secure connection (${message.trim()})`, ['Does the server speak TLS on this port?']);
  }
  if (LINES[code] === undefined && !OF_THE_LINE.test(code)) return error;
  const [reason, ...hints] = LINES[code] ?? [message];
  return new RemoteError(`${doing}: ${reason} (${code})`, { retryable: true, hints, cause: error });
}
