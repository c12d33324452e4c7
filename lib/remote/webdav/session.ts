import type { Readable } from 'node:stream';
import {
  AuthType,
  createClient,
  type WebDAVClient,
  type WebDAVClientError,
  type WebDAVClientOptions,
} from 'webdav';
import { RemoteError } from '../../errors.ts';
import type { RemoteSettings } from '../settings.ts';
import type { Agents } from './agents.ts';
import type { Answer, Exchange, Send } from './exchange.ts';
import { statusFailure } from './failures.ts';

/** One exchange with the server, on a connection that is kept. */
export type Perform = <T>(send: Send, request: Exchange, read: (answer: Answer) => Promise<T>) => Promise<T>;

/** As {@link Perform}, logged in when the server asks for it. */
export type Request = <T>(request: Exchange, read: (answer: Answer) => Promise<T>) => Promise<T>;

interface LogIn {
  readonly client: WebDAVClient;
  readonly scheme: 'none' | 'basic' | 'digest';
}

const UNAUTHORIZED = Symbol('HTTP 401');

/**
 * Begins without a password and asks for one when the server does (HTTP 401): Basic, or Digest where it is all there is
 * or nothing encrypts the line.
 *
 * @param url the repository's, with the user's name
 */
export function session(
  url: URL,
  agents: Agents,
  settings: Pick<RemoteSettings, 'password'>,
  perform: Perform,
): Request {
  const client = (options: WebDAVClientOptions) => createClient(url.origin, { ...agents, ...options });
  const anonymous: LogIn = { client: client({ authType: AuthType.None }), scheme: 'none' };
  const user = decodeURIComponent(url.username);
  let loggingIn: Promise<LogIn> | null = null;

  const logIn = async (challenge: string): Promise<LogIn> => {
    const offers = (scheme: string) => new RegExp(`(^|,)\\s*${scheme}(\\s|$)`, 'i').test(challenge);
    const password = user === '' ? null : await settings.password();
    if (password === null) throw noPassword(url, user);
    if (offers('digest') && (url.protocol === 'http:' || !offers('basic'))) {
      return {
        client: client({ authType: AuthType.Digest, username: user, password }),
        scheme: 'digest',
      };
    }
    // RFC 7617: the client's own encoder knows no letters beyond Latin-1.
    const credentials = Buffer.from(`${user}:${password}`).toString('base64');
    const headers = { Authorization: `Basic ${credentials}` };
    return { client: client({ authType: AuthType.None, headers }), scheme: 'basic' };
  };

  return async (request, read) => {
    const attempt = ({ client }: LogIn) => {
      let challenge = '';
      return perform(sender(client), request, async (answer) => {
        if (answer.status !== 401) return { result: await read(answer), challenge };
        challenge = answer.headers.get('www-authenticate') ?? '';
        return { result: UNAUTHORIZED, challenge } as const;
      });
    };
    let used = loggingIn === null ? anonymous : await loggingIn;
    let { result, challenge } = await attempt(used);
    if (result === UNAUTHORIZED && used === anonymous) {
      loggingIn ??= logIn(challenge);
      used = await loggingIn;
      ({ result } = await attempt(used));
    }
    // A nonce gets stale. The client takes the new one, but cannot rewind a body that has gone out with the old.
    if (result === UNAUTHORIZED && used.scheme === 'digest') ({ result } = await attempt(used));
    if (result === UNAUTHORIZED) throw statusFailure(request.doing, { status: 401, headers: new Headers() });
    return result;
  };
}

function sender(client: WebDAVClient): Send {
  return async ({ method, path, headers, body: bytes }, body, signal) => {
    const answer = await client
      .customRequest(path, {
        method,
        headers: {
          // Compressed, a range would be one of other bytes.
          'Accept-Encoding': 'identity',
          ...(bytes === undefined ? {} : { 'Content-Length': String(bytes.length) }),
          ...headers,
        },
        ...(body === null ? {} : { data: body }),
        signal,
      })
      .catch((error: WebDAVClientError) => {
        if (error.response === undefined) throw error;
        return error.response;
      });
    // In Node the client's answers hold Node's streams, whatever their type says.
    return answer as typeof answer & { body: Readable | null };
  };
}

function noPassword({ protocol, host, pathname }: URL, user: string): RemoteError {
  return new RemoteError(`log in to ${protocol}//${host}: the server wants a user name and a password`, {
    retryable: false,
    hints: [
      user === ''
        ? `Write the user name into the URL: ${protocol}//USER@${host}${pathname}`
        : 'Put the password into SKYLOCK_REMOTE_PASSWORD (or SKYLOCK_REMOTE_PASSWORD_FILE, SKYLOCK_REMOTE_PASSWORD_COMMAND).',
    ],
  });
}
