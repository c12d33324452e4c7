import { createConnection, type Socket } from 'node:net';
import type { Client, ConnectConfig, ServerHostKeyAlgorithm, SFTPWrapper } from 'ssh2';
import { RemoteError } from '../../errors.ts';
import { CONNECT_ATTEMPT_MS } from '../connect.ts';
import { type Authenticator, authenticate, MANY_OFFERS, refusedLogin } from './authentication.ts';
import { SftpChannel } from './channel.ts';
import { coalesceWrites } from './coalesce.ts';
import { runCommand } from './command.ts';
import { connectionFailure, isRefusedSession, isTooMany } from './failures.ts';
import type { HostKeyChecker } from './host-key.ts';
import { quickenPackets } from './packets.ts';

/** Opens the SSH connection and its first SFTP session; the errors are ssh2's own. */
export type Dial = (config: ConnectConfig) => Promise<{ client: Client; sftp: SFTPWrapper }>;

export interface ConnectDeps {
  readonly dial: Dial;
  readonly host: string;
  readonly port: number;
  /** For messages: `user@host`. */
  readonly where: string;
  readonly hostKey: HostKeyChecker;
  readonly authenticator: Authenticator;
  /** Is a person being asked something? Then it is not the server that keeps us waiting. */
  readonly asking: () => boolean;
  /** A server that has said nothing for so long is gone. */
  readonly silenceMs: number;
  /** Gives up connecting, with its reason. */
  readonly signal: AbortSignal;
}

/** An SSH connection; it ends once, for good, and every channel with it. */
export interface Connection {
  readonly channels: ReadonlySet<SftpChannel>;
  readonly ended: boolean;
  /**
   * @returns another channel, or `null` when the server does not want one more on this connection.
   * @throws RemoteError when the connection ends over it, as when there is no answer
   */
  openChannel(): Promise<SftpChannel | null>;
  end(error: RemoteError): void;
}

/**
 * A channel may be slower than its connection: on a slow line its requests wait behind megabytes of the others'.
 * So many times the silence of the whole connection is what a server may take to answer a request.
 */
const CHANNEL_PATIENCE = 5;

/** How often per `silenceMs` the server is asked for a sign of life. */
const KEEPALIVES = 4;

/** @throws RemoteError, final when logging in or the host key is what failed */
export async function connect(deps: ConnectDeps): Promise<Connection> {
  for (;;) {
    const unusable = deps.authenticator.unusable.size;
    try {
      return await connectOnce(deps);
    } catch (error) {
      // A key that was wanted could not sign, and ssh2 stops there: once more without it.
      if (deps.authenticator.unusable.size === unusable) throw error;
    }
  }
}

async function connectOnce(deps: ConnectDeps): Promise<Connection> {
  const { dial, host, port, where, hostKey, authenticator, silenceMs, signal } = deps;
  let reason: unknown = null;
  const socket = coalesceWrites(
    createConnection({ host, port, noDelay: true, autoSelectFamilyAttemptTimeout: CONNECT_ATTEMPT_MS }),
  );
  const fail = (error: unknown) => {
    reason ??= error;
    socket.destroy();
  };
  const giveUp = () => fail(signal.reason);
  if (signal.aborted) giveUp();
  signal.addEventListener('abort', giveUp, { once: true });
  const attempt = authenticate(authenticator, fail);
  let trusted: Buffer | null = null;
  const dialing = dial({
    sock: socket,
    username: authenticator.user,
    authHandler: attempt.handler,
    hostVerifier: (key: Buffer, verify: (isTrusted: boolean) => void) => {
      // When keys are exchanged again while data goes up, ssh2 must have the answer at once: it sends packets without their
      // length as long as it waits for one, and the server hangs up.
      if (trusted?.equals(key) === true) return true;
      hostKey.check(key).then(
        () => {
          trusted = Buffer.from(key);
          verify(true);
        },
        (error: unknown) => {
          reason ??= error;
          verify(false);
        },
      );
      return undefined;
    },
    algorithms: {
      serverHostKey: {
        append: [],
        // ssh2 leaves what it has in its place, so that putting it first takes both.
        remove: [...hostKey.algorithms] as ServerHostKeyAlgorithm[],
        prepend: [...hostKey.algorithms] as ServerHostKeyAlgorithm[],
      },
    },
    readyTimeout: 0, // the watch below does not count the time in which a person is asked
    keepaliveInterval: Math.ceil(silenceMs / KEEPALIVES),
    // Its answers are what the watch hears; on a slow line they may queue behind more data than ssh2 has patience for.
    keepaliveCountMax: Number.POSITIVE_INFINITY,
  });
  const stopWatch = watchSilence(socket, deps, fail);
  try {
    const { client, sftp } = await dialing;
    authenticator.worked = attempt.used;
    return establish(client, sftp, socket, deps);
  } catch (error) {
    socket.destroy();
    if (reason !== null) throw reason;
    const { level, message } = error as { level?: string; message: string };
    if (isTooMany(error)) throw connectionFailure(`connect to ${where}`, error);
    // Some servers do not say that they have heard enough keys, they hang up.
    const hungUp = attempt.offered.length > MANY_OFFERS;
    if (level === 'client-authentication' || /authentication/i.test(message) || hungUp)
      throw refusedLogin(where, attempt, authenticator.worked !== null);
    throw connectionFailure(`connect to ${where}`, error);
  } finally {
    stopWatch();
    signal.removeEventListener('abort', giveUp);
  }
}

/**
 * Looks now and then whether the server has said anything of late.
 * @param channels whose requests have to be answered as well; @returns what ends the watch
 */
function watchSilence(
  socket: Socket,
  { silenceMs, where, asking }: ConnectDeps,
  onSilence: (error: RemoteError) => void,
  channels: ReadonlySet<SftpChannel> = new Set(),
): () => void {
  let heardAt = performance.now();
  let lookedAt = heardAt;
  const heard = () => {
    heardAt = performance.now();
  };
  socket.on('data', heard);
  const timer = setInterval(() => {
    const now = performance.now();
    // A machine that slept, or was too busy to look, has not listened either.
    if (asking() || now - lookedAt > silenceMs / 2) heardAt = now;
    lookedAt = now;
    const longest = Math.max(...[...channels].map((channel) => channel.silentFor(now)), 0);
    if (now - heardAt > silenceMs) onSilence(silence(where, now - heardAt));
    else if (longest > CHANNEL_PATIENCE * silenceMs) onSilence(silence(where, longest));
  }, silenceMs / KEEPALIVES);
  timer.unref();
  return () => {
    clearInterval(timer);
    socket.off('data', heard);
  };
}

function silence(where: string, ms: number): RemoteError {
  return new RemoteError(`talk to ${where}: no answer for ${Math.round(ms / 1000)} s`, { retryable: true });
}

function establish(client: Client, first: SFTPWrapper, socket: Socket, deps: ConnectDeps): Connection {
  const { where, silenceMs } = deps;
  const channels = new Set<SftpChannel>();
  let ended: RemoteError | null = null;

  const end = (error: RemoteError) => {
    if (ended !== null) return;
    ended = error;
    stopWatch();
    for (const channel of channels) channel.end(error);
    channels.clear();
    client.end();
    socket.destroySoon();
    // A line that is dead takes no farewell.
    setTimeout(() => socket.destroy(), 1000).unref();
  };
  const adopt = (sftp: SFTPWrapper): SftpChannel => {
    const channel = new SftpChannel(sftp, where, (command, maxOutputBytes) =>
      runCommand(client, where, command, { silenceMs: CHANNEL_PATIENCE * silenceMs, maxOutputBytes }),
    );
    const lost = (error?: Error) => {
      if (channels.delete(channel)) channel.end(connectionFailure(`talk to ${where}`, error));
    };
    sftp.on('error', lost);
    sftp.on('end', () => lost());
    sftp.on('close', () => lost());
    channels.add(channel);
    return channel;
  };
  client.on('error', (error) => end(connectionFailure(`talk to ${where}`, error)));
  client.on('close', () => end(connectionFailure(`talk to ${where}`, undefined)));
  quickenPackets(client);
  const stopWatch = watchSilence(socket, deps, end, channels);
  adopt(first);
  return {
    channels,
    get ended() {
      return ended !== null;
    },
    async openChannel() {
      try {
        return adopt(await openSession(client, where, CHANNEL_PATIENCE * silenceMs));
      } catch (error) {
        if (ended !== null) throw ended;
        if (isRefusedSession(error)) return null;
        end(connectionFailure(`talk to ${where}`, error));
        throw ended ?? error;
      }
    },
    end,
  };
}

/** @throws ssh2's error, or that the server does not answer in time */
function openSession(client: Client, where: string, timeoutMs: number): Promise<SFTPWrapper> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(silence(where, timeoutMs)), timeoutMs);
    const done = (error: unknown, sftp?: SFTPWrapper) => {
      clearTimeout(timer);
      if (sftp === undefined) reject(error);
      else resolve(sftp);
    };
    try {
      client.sftp((error, sftp) => done(error, error ? undefined : sftp));
    } catch (error) {
      done(error); // the connection ended this instant
    }
  });
}
