import { RemoteError } from '../../errors.ts';
import { abortable } from '../../waiting.ts';
import type { SftpChannel } from './channel.ts';
import type { Connection } from './connection.ts';
import { HostKeyError } from './host-key.ts';

/** `transfer`: a channel to oneself, whose window fills the line. `small`: requests that may go beside others. */
export type Use = 'transfer' | 'small';

export interface ChannelPool {
  /**
   * Lends a channel for as long as `work` runs, when need be after another has given one back.
   * @throws RemoteError when there is no connection and none can be made; the signal's reason when aborted while waiting
   */
  withChannel<T>(use: Use, work: (channel: SftpChannel) => Promise<T>, waiting?: Waiting): Promise<T>;
  /**
   * Opens what so many transfers need before they begin, as far as the server gives it.
   * @returns when it is there, or the server gives no more
   * @throws RemoteError when an attempt has failed otherwise: the transfers will try again
   */
  prepare(transfers: number): Promise<void>;
  /** Ends all connections and whatever waits for them; again is fine. */
  close(): void;
}

/** For who has to wait for a channel. */
export interface Waiting {
  readonly signal?: AbortSignal;
  /** Called when that is because the server gives no more than so many. */
  readonly onLimit?: (channels: number) => void;
}

/** How many have borrowed a channel; more than one transfer never. */
interface Lent {
  transfer: number;
  small: number;
}

/** So many a connection takes before another connection is made: logging in costs more, and servers count connections. */
const FIRST_CHANNELS = 2;

export interface PoolLimits {
  readonly maxConnections: number;
  /** Of all connections together. */
  readonly maxChannels: number;
  /** A server that has refused a connection or a channel is asked for one again after so long. */
  readonly askAgainMs: number;
}

/**
 * Channels, opened when all are busy or on demand, over few connections. A server that refuses a channel or a connection is used
 * with what it gives; it is asked for another connection when one has ended, or after a while: others may have left.
 * @param connect gives up when the signal is aborted
 */
export function channelPool(
  connect: (signal: AbortSignal) => Promise<Connection>,
  { maxConnections, maxChannels, askAgainMs }: PoolLimits,
): ChannelPool {
  const connections = new Set<Connection>();
  const lent = new WeakMap<SftpChannel, Lent>();
  /** Woken in this order: what is small goes on a channel that a transfer takes as well, but not the other way round. */
  const waiting: Record<Use, Set<() => void>> = { small: new Set(), transfer: new Set() };
  const closing = new AbortController();
  /** So many the server lets a connection have, once it has refused another or broken off over it. */
  let channelLimit = Number.POSITIVE_INFINITY;
  let askChannelsAtMs = 0;
  /**
   * Twice as long each time: it may have been the line that broke, but ProFTPD ends the connection it is asked on, and whatever
   * goes on there.
   */
  let channelPatienceMs = askAgainMs;
  let connectionLimit = maxConnections;
  let askAgainAtMs = 0;
  /** Connections that have ended. */
  let lost = 0;
  /** One attempt of a kind at a time: what is refused is refused once. */
  let opening: Promise<void> | null = null;
  let connecting: Promise<void> | null = null;
  /** Why nothing works any more: closed, or refused in a way that no other attempt can change. */
  let end: RemoteError | null = null;

  const lentOf = (channel: SftpChannel): Lent => {
    const count = lent.get(channel) ?? { transfer: 0, small: 0 };
    lent.set(channel, count);
    return count;
  };

  const liveChannels = (): SftpChannel[] => {
    for (const connection of connections) {
      if (!connection.ended) continue;
      connections.delete(connection);
      lost += 1;
      connectionLimit = maxConnections;
    }
    return [...connections].flatMap(({ channels }) => [...channels]);
  };

  /** Makes a connection with one channel. @throws RemoteError when it is refused and there is no other */
  const addConnection = async (): Promise<void> => {
    try {
      const connection = await connect(closing.signal);
      if (end === null) connections.add(connection);
      else connection.end(end);
    } catch (error) {
      const alone = liveChannels().length === 0;
      const final = error instanceof RemoteError && !error.retryable;
      // Another key than before is no refusal: somebody may have come between us and the server.
      if ((final && alone) || error instanceof HostKeyError) end ??= error;
      if (alone) throw error;
      connectionLimit = connections.size;
      askAgainAtMs = performance.now() + askAgainMs;
    }
  };

  const limitChannels = (channels: number) => {
    channelLimit = Math.max(1, channels);
    askChannelsAtMs = performance.now() + channelPatienceMs;
    channelPatienceMs *= 2;
  };

  const roomy = (): Connection[] =>
    [...connections]
      .filter(({ channels }) => channels.size < channelLimit || performance.now() >= askChannelsAtMs)
      .toSorted((a, b) => a.channels.size - b.channels.size);
  const mayConnect = () =>
    connections.size < (performance.now() < askAgainAtMs ? connectionLimit : maxConnections);

  /** Afterwards there is one more, or one limit is lower. */
  const openChannel = async (connection: Connection): Promise<void> => {
    const before = connection.channels.size;
    const channel = await connection.openChannel().catch((error: unknown) => {
      if (before > 0 && end === null) limitChannels(before);
      throw error;
    });
    if (channel !== null) return;
    limitChannels(before);
    if (connection.channels.size > 0) return;
    connection.end(new RemoteError('open a channel: refused', { retryable: true }));
  };

  const wake = () => {
    for (const those of Object.values(waiting)) {
      for (const resolve of those) resolve();
      those.clear();
    }
  };

  const openOnce = (connection: Connection): Promise<void> => {
    opening ??= openChannel(connection).finally(() => {
      opening = null;
      wake();
    });
    return opening;
  };

  const connectOnce = (): Promise<void> => {
    connecting ??= addConnection().finally(() => {
      connecting = null;
      wake();
    });
    return connecting;
  };

  const underWay = () => Number(opening !== null) + Number(connecting !== null);

  /** Begins what brings one channel more. @returns what is under way where nothing can be begun beside it, `null` for nothing */
  const grow = (): Promise<void> | null => {
    const [emptiest] = roomy();
    const hasRoom = emptiest !== undefined && (emptiest.channels.size < FIRST_CHANNELS || !mayConnect());
    if (hasRoom && opening === null) return openOnce(emptiest);
    if (connecting === null && mayConnect()) return connectOnce();
    return opening ?? connecting;
  };

  /** Begins what brings so many channels, as far as it can be done at once: over a long line each takes long. */
  const growTo = (count: number): void => {
    const most = Math.min(count, maxChannels);
    for (let before = -1; underWay() > before && liveChannels().length + underWay() < most; ) {
      before = underWay();
      grow()?.catch(() => {}); // what has failed shows in what is there afterwards
    }
  };

  /** One step on the way to a channel. @returns it, counted as lent, or `null` when the step has to be followed by another */
  const tryBorrow = async (use: Use, { signal, onLimit }: Waiting): Promise<SftpChannel | null> => {
    const channels = liveChannels();
    if (channels.length === 0) {
      await abortable(async () => grow(), signal);
      return null;
    }
    // A transfer goes where the least waits behind it; what is small goes together.
    const bySmall = channels.toSorted((a, b) => lentOf(a).small - lentOf(b).small);
    const free = bySmall.filter((channel) => lentOf(channel).transfer === 0);
    const mayGrow = channels.length < maxChannels && (roomy().length > 0 || mayConnect());
    const channel = use === 'transfer' ? free[0] : (free.at(-1) ?? (mayGrow ? undefined : bySmall[0]));
    if (channel !== undefined) {
      lentOf(channel)[use] += 1;
      return channel;
    }
    const turn = new Promise<void>((resolve) => waiting[use].add(resolve));
    // Who waits is woken by a channel that is given back, too. What is small finds room on one.
    if (mayGrow) growTo(channels.length + waiting.transfer.size + Math.min(1, waiting.small.size));
    else if (channels.length < maxChannels) onLimit?.(channels.length);
    await abortable(() => turn, signal);
    return null;
  };

  return {
    async withChannel(use, work, waiter = {}) {
      let channel: SftpChannel | null = null;
      while (channel === null) {
        waiter.signal?.throwIfAborted();
        if (end !== null) throw end;
        channel = await tryBorrow(use, waiter);
      }
      try {
        return await work(channel);
      } finally {
        lentOf(channel)[use] -= 1;
        wake();
      }
    },
    async prepare(transfers) {
      // Some servers end the older connection when another one is made: there is no end to asking those.
      const before = lost;
      for (let steps = 2 * transfers; steps > 0 && lost === before && end === null; steps -= 1) {
        growTo(transfers);
        const growing = [opening, connecting].filter((one) => one !== null);
        if (growing.length === 0) return;
        await Promise.race(growing);
      }
    },
    close() {
      const error = new RemoteError('use the remote: it is closed', { retryable: false });
      end = error;
      closing.abort(error);
      for (const connection of connections) connection.end(error);
      connections.clear();
      wake();
    },
  };
}
