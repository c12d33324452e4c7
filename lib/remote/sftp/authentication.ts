import type { AnyAuthMethod, AuthHandlerMiddleware, BaseAgent, ParsedKey } from 'ssh2';
import ssh2 from 'ssh2';
import { RemoteError, SkylockError } from '../../errors.ts';
import { type Identity, type KeyRing, unseal } from './credentials.ts';

/** OpenSSH's server listens to six offers, others to three or five. */
export const MANY_OFFERS = 4;

/** What the connections of one remote share: each secret is asked for once, and what worked is offered first. */
export interface Authenticator {
  readonly user: string;
  /** Collected at the first connection. */
  readonly keys: () => Promise<KeyRing>;
  /** Did the person name keys for this server? */
  readonly namesKeys: boolean;
  readonly password: () => Promise<string | null>;
  /** What let the last connection in. */
  worked: Identity | 'password' | null;
  /** Keys that could not sign, with the reason: not offered again. */
  readonly unusable: Map<Identity, string>;
}

/** The way of one connection through the server's methods. */
export interface Attempt {
  readonly handler: AuthHandlerMiddleware;
  /** What the server was offered, for messages. */
  readonly offered: string[];
  /** Could not be offered, and why. */
  readonly notes: string[];
  /** What the server takes, as far as it has said. */
  allowed: readonly string[];
  /** The last thing the server was given. */
  used: Identity | 'password' | null;
}

/**
 * Asks the server what it takes (`none`), offers the keys one after another, then the password, as such or as the answer to
 * the one hidden question of keyboard-interactive. A server for which keys were named, or that took one before, is not asked
 * first: that costs a round trip, and OpenSSH lets every refusal take its time.
 * @param fail called with what the person, or the code that asks them, threw
 */
export function authenticate(authenticator: Authenticator, fail: (error: unknown) => void): Attempt {
  const methods = methodsInOrder(authenticator, () => attempt, fail);
  const attempt: Attempt = {
    offered: [],
    notes: [],
    allowed: [],
    used: null,
    handler(allowed, _partial, next) {
      attempt.allowed = allowed ?? attempt.allowed;
      methods.next().then(
        // `false`, which the types do not know, gives up.
        ({ value, done }) => next(done === true ? (false as unknown as 'none') : value),
        fail,
      );
    },
  };
  return attempt;
}

/** Says who was refused what. @param before did the same credentials let an earlier connection in? */
export function refusedLogin(where: string, attempt: Attempt, before: boolean): RemoteError {
  const { offered, notes, allowed } = attempt;
  const tried = offered.length === 0 ? 'nothing to offer' : `refused were ${offered.join(', ')}`;
  const reasons = [tried, ...(notes.length > 0 ? [`not usable: ${notes.join(', ')}`] : [])].join('; ');
  const hints = [
    ...(allowed.length > 0 ? [`The server takes: ${allowed.join(', ')}.`] : []),
    // A server that hangs up on the keys it is shown first has not said what it takes: keys, for it has looked at them.
    ...(allowed.includes('publickey') || (allowed.length === 0 && offered.length > 0)
      ? [
          'Name a key with SKYLOCK_SSH_IDENTITY, or with IdentityFile in ~/.ssh/config, and put its public half on the server.',
        ]
      : []),
    ...(allowed.includes('password') || allowed.includes('keyboard-interactive')
      ? ['Give a password with SKYLOCK_REMOTE_PASSWORD, _FILE or _COMMAND, or run the command in a terminal.']
      : []),
    ...(offered.length > MANY_OFFERS
      ? [
          'Many keys were offered, and servers stop listening after a few: set IdentitiesOnly yes in ~/.ssh/config.',
        ]
      : []),
  ];
  // A server that has let us in and now does not is more likely to count connections than to have changed its mind.
  return new RemoteError(`log in to ${where}: ${reasons}`, { retryable: before, hints });
}

async function* methodsInOrder(
  authenticator: Authenticator,
  attempt: () => Attempt,
  fail: (error: unknown) => void,
): AsyncGenerator<AnyAuthMethod, undefined> {
  const { user, worked, namesKeys } = authenticator;
  const takesKeys = worked === null ? namesKeys : worked !== 'password';
  if (takesKeys) yield* offeredKeys(authenticator, attempt(), fail);
  const before = attempt().offered.length;
  yield { type: 'none', username: user };
  if (worked === 'password') yield* passwordMethods(authenticator, attempt());
  if (attempt().allowed.includes('publickey')) {
    if (!takesKeys) yield* offeredKeys(authenticator, attempt(), fail);
    yield* sealedKeys(authenticator, attempt(), fail);
    // ssh2 keeps what the server answered to keys to itself; asked again, it tells what is wanted beside or instead.
    if (attempt().offered.length > before) yield { type: 'none', username: user };
  }
  if (attempt().used !== 'password') yield* passwordMethods(authenticator, attempt());
  return undefined;
}

async function* offeredKeys(
  authenticator: Authenticator,
  attempt: Attempt,
  fail: (error: unknown) => void,
): AsyncGenerator<AnyAuthMethod> {
  const { user, worked, unusable } = authenticator;
  const ring = await authenticator.keys();
  attempt.notes.push(...ring.notes, ...[...unusable].map(([{ label }, reason]) => `${label} (${reason})`));
  const usable = ring.identities.filter((identity) => !unusable.has(identity));
  const identities = usable.toSorted((a, b) => Number(b === worked) - Number(a === worked));
  if (identities.length === 0) return;
  attempt.offered.push(...identities.map(({ label }) => label));
  yield { type: 'agent', username: user, agent: agentOf(identities, authenticator, attempt, fail) };
}

/** Keys that have to be opened before they can be offered: the person may be asked for a passphrase. */
async function* sealedKeys(
  authenticator: Authenticator,
  attempt: Attempt,
  fail: (error: unknown) => void,
): AsyncGenerator<AnyAuthMethod> {
  for (const file of (await authenticator.keys()).sealed) {
    const identity = await unseal(file);
    if (typeof identity === 'string') {
      attempt.notes.push(identity);
      continue;
    }
    attempt.offered.push(identity.label);
    const agent = agentOf([identity], authenticator, attempt, fail);
    yield { type: 'agent', username: authenticator.user, agent };
  }
}

async function* passwordMethods(
  authenticator: Authenticator,
  attempt: Attempt,
): AsyncGenerator<AnyAuthMethod> {
  const { user: username } = authenticator;
  const plain = attempt.allowed.includes('password');
  if (!plain && !attempt.allowed.includes('keyboard-interactive')) return;
  const password = await authenticator.password();
  if (password === null) {
    attempt.notes.push('password (none given)');
    return;
  }
  attempt.used = 'password';
  attempt.offered.push('the password');
  if (plain) yield { type: 'password', username, password };
  else {
    yield {
      type: 'keyboard-interactive',
      username,
      prompt: (_name, _instructions, _language, prompts, finish) =>
        // One hidden question is for the password; anything else (a code, a new password) nobody has an answer to.
        finish(prompts.map((prompt) => (prompts.length === 1 && prompt.echo !== true ? password : ''))),
    };
  }
}

/** Shows keys to ssh2 as an agent would: it offers the public halves and asks for a signature when one is wanted. */
function agentOf(
  identities: readonly Identity[],
  authenticator: Authenticator,
  attempt: Attempt,
  fail: (error: unknown) => void,
): BaseAgent {
  return new (class extends ssh2.BaseAgent<ParsedKey> {
    override getIdentities(done: (error: Error | undefined, keys?: ParsedKey[]) => void): void {
      done(
        undefined,
        identities.map(({ publicKey }) => publicKey),
      );
    }

    override sign(key: ParsedKey, data: Buffer, ...rest: unknown[]): void {
      const done = rest.at(-1) as (error: Error | undefined, signature?: Buffer) => void;
      const { hash } = (rest.length > 1 ? rest[0] : {}) as { hash?: string };
      const identity = identities.find(({ publicKey }) => publicKey === key);
      if (identity === undefined) throw new Error('asked to sign with a key that was not offered');
      attempt.used = identity;
      identity.sign(data, hash).then(
        (signature) => done(undefined, signature),
        (error: Error) => {
          // What the person who was asked for the passphrase has to say is not about the key.
          if (error instanceof SkylockError) return fail(error);
          authenticator.unusable.set(identity, error.message);
          done(error);
        },
      );
    }
  })();
}
