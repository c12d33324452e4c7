import type { Readable } from 'node:stream';
import { AuthType, createClient, type WebDAVClient, type WebDAVClientError } from 'webdav';
import { RemoteError } from '../../errors.ts';
import type { RemoteSettings } from '../settings.ts';
import type { Agents } from './agents.ts';
import { type Authorize, authorizer, type Challenge, parseChallenges } from './credentials.ts';
import type { Answer, Exchange, Send } from './exchange.ts';
import { statusFailure } from './failures.ts';
import { firstLogin } from './first-login.ts';
import { encodePath } from './path.ts';

/** One exchange with the server, on a connection that is kept. */
export type Perform = <T>(send: Send, request: Exchange, read: (answer: Answer) => Promise<T>) => Promise<T>;

/** As {@link Perform}, logged in when the server asks for it. */
export type Request = <T>(request: Exchange, read: (answer: Answer) => Promise<T>) => Promise<T>;

/**
 * Begins without a password and asks for one when the server does (HTTP 401).
 *
 * @param url the repository's, with the user's name
 */
export function session(
  url: URL,
  agents: Agents,
  settings: Pick<RemoteSettings, 'password'>,
  perform: Perform,
): Request {
  const client = createClient(url.origin, { ...agents, authType: AuthType.None });
  const user = decodeURIComponent(url.username);
  let asking: Promise<string | null> | null = null;
  let authorize: Authorize | null = null;
  const login = firstLogin();

  const logIn = async (doing: string, challenges: readonly Challenge[]): Promise<Authorize> => {
    asking ??= user === '' ? Promise.resolve(null) : settings.password();
    const password = await asking;
    if (password === null) throw noPassword(url, user);
    const made = authorizer(challenges, { user, password }, url.protocol === 'https:');
    if (made !== null) return made;
    throw new RemoteError(`${doing}: the server takes neither Basic nor Digest (HTTP 401)`, {
      retryable: false,
    });
  };

  return async (request, read) => {
    const attempt = async (by: Authorize | null, isLast: boolean) => {
      const outcome = await perform(sender(client, by), request, async (answer) => {
        if (answer.status === 401) return { challenge: answer.headers.get('www-authenticate') ?? '' };
        if (by !== null && answer.status < 400) login.worked();
        return { result: await read(answer) };
      });
      if (outcome.challenge === undefined) {
        if (by !== null) login.worked();
        return { result: outcome.result };
      }
      const challenges = parseChallenges(outcome.challenge);
      const isStale = challenges.some(
        ({ scheme, parameters }) =>
          scheme === 'digest' && (login.hasWorked || /^true$/i.test(parameters.stale ?? '')),
      );
      if (isLast || (by !== null && !isStale)) {
        throw login.refused(refusedLogin(request.doing, login.hasWorked));
      }
      return { challenges };
    };
    // The first try may find that a password is wanted, the second that a nonce has got stale.
    for (let triesLeft = 3; ; triesLeft -= 1) {
      const used = authorize;
      const once = () => attempt(used, triesLeft === 1);
      const outcome = await (used === null ? once() : login.offer(once, request.signal));
      if ('result' in outcome) return outcome.result;
      const made = await logIn(request.doing, outcome.challenges);
      // Another call may have been quicker; its nonce is as good.
      if (authorize === used) authorize = made;
    }
  };
}

function sender(client: WebDAVClient, authorize: Authorize | null): Send {
  return async ({ method, path, headers, body: bytes }, body, signal) => {
    const answer = await client
      .customRequest(path, {
        method,
        headers: {
          // Compressed, a range would be one of other bytes.
          'Accept-Encoding': 'identity',
          ...(bytes === undefined ? {} : { 'Content-Length': String(bytes.length) }),
          ...(authorize === null ? {} : { Authorization: authorize(method, encodePath(path)) }),
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

/** @param hasWorked did the same password let an earlier request in? Then it is the server that has changed its mind. */
function refusedLogin(doing: string, hasWorked: boolean): RemoteError {
  const { message, hints } = statusFailure(doing, { status: 401, headers: new Headers() });
  return new RemoteError(message, { retryable: hasWorked, hints });
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
