import { createHash, randomBytes } from 'node:crypto';

/** One way to log in that a server offers: RFC 9110, section 11.6.1. */
export interface Challenge {
  /** In lower case: `basic`, `digest`. */
  readonly scheme: string;
  /** `realm`, `nonce`, … by their names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** Who logs in. */
export interface Login {
  readonly user: string;
  readonly password: string;
}

/** @returns the `Authorization` of one request; `target` is the path as it stands in the request */
export type Authorize = (method: string, target: string) => string;

/** @param header `WWW-Authenticate`, of which there may be several, joined by commas */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  const pattern = /([\w-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s,"]+))|([A-Za-z][\w-]*)/g;
  for (const [, name, quoted, plain, scheme] of header.matchAll(pattern)) {
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: {} });
    else if (name !== undefined) {
      const parameters = challenges.at(-1)?.parameters ?? {};
      parameters[name.toLowerCase()] = quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '';
    }
  }
  return challenges;
}

/**
 * Basic within TLS, where it costs least; Digest where nothing else encrypts the line, or it is all there is.
 *
 * The `webdav` client knows both, too. But to a stale nonce it answers by sending the same body again, which has gone out
 * by then, and its Basic knows no letters beyond Latin-1.
 *
 * @returns `null` when the server offers no way that is known here
 */
export function authorizer(
  challenges: readonly Challenge[],
  login: Login,
  isEncrypted: boolean,
): Authorize | null {
  const basic = challenges.some(({ scheme }) => scheme === 'basic') ? basicAuthorizer(login) : null;
  const digests = challenges
    .map((challenge) => digestAuthorizer(challenge, login))
    .filter((authorize) => authorize !== null);
  return (isEncrypted ? (basic ?? digests[0]) : (digests[0] ?? basic)) ?? null;
}

/** RFC 7617, in UTF-8. */
function basicAuthorizer({ user, password }: Login): Authorize {
  const header = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  return () => header;
}

const HASHES: ReadonlyMap<string, string> = new Map([
  ['md5', 'md5'],
  ['sha-256', 'sha256'],
  ['sha-512-256', 'sha512-256'],
]);

/** RFC 7616 with `qop=auth`, and RFC 2069 without. */
export function digestAuthorizer(
  { scheme, parameters }: Challenge,
  { user, password }: Login,
  makeNonce = () => randomBytes(18).toString('base64'),
): Authorize | null {
  const { realm = '', nonce = '', opaque, algorithm = 'MD5', qop } = parameters;
  const isSession = /-sess$/i.test(algorithm);
  const hashName = HASHES.get(algorithm.toLowerCase().replace(/-sess$/, ''));
  const hasAuth = qop?.split(/\s*,\s*/).includes('auth') ?? true;
  if (scheme !== 'digest' || nonce === '' || hashName === undefined || !hasAuth) return null;
  const hash = (text: string) => createHash(hashName).update(text).digest('hex');
  let count = 0;
  return (method, target) => {
    count += 1; // a server may refuse a count it has seen
    const nc = count.toString(16).padStart(8, '0');
    const cnonce = makeNonce();
    const secret = hash(`${user}:${realm}:${password}`);
    const key = isSession ? hash(`${secret}:${nonce}:${cnonce}`) : secret;
    const middle = qop === undefined ? nonce : `${nonce}:${nc}:${cnonce}:auth`;
    const response = hash(`${key}:${middle}:${hash(`${method}:${target}`)}`);
    return `Digest ${[
      ...Object.entries({ username: user, realm, nonce, uri: target, response, cnonce })
        .filter(([name]) => name !== 'cnonce' || qop !== undefined || isSession)
        .map(([name, value]) => `${name}=${quote(value)}`),
      ...(opaque === undefined ? [] : [`opaque=${quote(opaque)}`]),
      ...(parameters.algorithm === undefined ? [] : [`algorithm=${algorithm}`]),
      ...(qop === undefined ? [] : ['qop=auth', `nc=${nc}`]),
    ].join(', ')}`;
  };
}

function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
