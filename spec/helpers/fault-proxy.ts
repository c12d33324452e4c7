/** The line between the program and a server: what goes over it is counted, and whatever befalls lines can befall it. */
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** One connection. */
export interface Lane {
  readonly isOpen: boolean;
  /** Towards the server, and back. */
  sentBytes(): number;
  receivedBytes(): number;
  /** It breaks, at once or when so many more bytes have reached the server. */
  cut(afterBytes?: number): void;
  /** It breaks by a TCP reset. */
  reset(): void;
  /** It stays open, and nothing passes any more, either way. */
  stall(): void;
  /** The end of a stall; what waited goes on its way. */
  flow(): void;
  /** Half-closes it: this side hears that no more will come, and none does; the other way is open still. */
  endTowards(side: 'program' | 'server'): void;
}

export interface FaultProxy {
  /** Of 127.0.0.1: what listens here leads to the server. */
  readonly port: number;
  /** Over all connections there ever were: towards the server, and back. */
  sentBytes(): number;
  receivedBytes(): number;
  /** How many connections were made. */
  connections(): number;
  /** Those that are open, the oldest first. */
  lanes(): readonly Lane[];
  /** At most so many bytes a second towards the server from now on, over all connections; 0 holds them all. */
  limit(bytesPerSecond: number): void;
  /** What the server answers from now on takes so long on its way. */
  delay(ms: number): void;
  /** Nobody listens any more; connections that are there stay. */
  refuse(): void;
  /** Every connection breaks, and nobody listens any more. */
  cut(): Promise<void>;
  /** Listens again, on the same port; that it does already is fine. */
  mend(): Promise<void>;
}

/** What all lanes have in common. */
interface Line {
  /** Resolves when so many bytes may go towards the server. */
  takeTurn(bytes: number): Promise<void>;
  delayMs(): number;
}

/** Lends a way to the server on `serverPort` of 127.0.0.1. */
export async function withFaultProxy(
  serverPort: number,
  use: (proxy: FaultProxy) => Promise<void>,
): Promise<void> {
  const lanes = new Set<Lane>();
  const closed = { sentBytes: 0, receivedBytes: 0, count: 0 };
  const throttle = createThrottle();
  let delayMs = 0;
  const onConnection = (program: Socket) => {
    const server = createConnection({ port: serverPort, host: '127.0.0.1', allowHalfOpen: true });
    const lane = openLane(program, server, { takeTurn: throttle.takeTurn, delayMs: () => delayMs });
    lanes.add(lane);
    program.on('close', () => {
      lanes.delete(lane);
      closed.count += 1;
      closed.sentBytes += lane.sentBytes();
      closed.receivedBytes += lane.receivedBytes();
    });
  };

  let listener = await listen(0, onConnection);
  const { port } = listener.address() as AddressInfo;
  const sum = (count: (lane: Lane) => number) => [...lanes].reduce((total, lane) => total + count(lane), 0);
  const proxy: FaultProxy = {
    port,
    sentBytes: () => closed.sentBytes + sum((lane) => lane.sentBytes()),
    receivedBytes: () => closed.receivedBytes + sum((lane) => lane.receivedBytes()),
    connections: () => closed.count + lanes.size,
    lanes: () => [...lanes],
    limit: throttle.limit,
    delay(ms) {
      delayMs = ms;
    },
    refuse: () => void listener.close(),
    async cut() {
      const isDown = listener.listening ? once(listener, 'close') : null;
      listener.close();
      for (const lane of lanes) lane.cut();
      await isDown;
    },
    async mend() {
      if (!listener.listening) listener = await listen(port, onConnection);
    },
  };
  try {
    await use(proxy);
  } finally {
    throttle.limit(Number.POSITIVE_INFINITY);
    await proxy.cut();
  }
}

function openLane(program: Socket, server: Socket, { takeTurn, delayMs }: Line): Lane {
  let sentBytes = 0;
  let receivedBytes = 0;
  let cutAtBytes = Number.POSITIVE_INFINITY;
  let stalled: PromiseWithResolvers<void> | null = null;
  const cut = () => {
    program.destroy();
    server.destroy();
  };
  for (const socket of [program, server]) {
    socket.setNoDelay(true).on('error', cut); // one end is gone, so the other goes too
  }

  const forward = async () => {
    for await (const bytes of program.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      await takeTurn(bytes.length);
      await stalled?.promise;
      if (server.destroyed) return cut();
      if (server.writableEnded) continue; // half-closed: swallowed
      const passed = bytes.subarray(0, cutAtBytes - sentBytes);
      sentBytes += passed.length;
      const isTaken = server.write(passed);
      if (sentBytes >= cutAtBytes) return void server.end(cut);
      if (!isTaken) await once(server, 'drain');
    }
    server.end();
  };
  const back = async () => {
    let last = Promise.resolve();
    const deliver = (dueAtMs: number, action: () => void) => {
      last = last.then(async () => {
        const leftMs = dueAtMs - performance.now();
        if (leftMs > 0) await sleep(leftMs);
        await stalled?.promise;
        if (!program.writableEnded && !program.destroyed) action();
      });
    };
    for await (const bytes of server.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      deliver(performance.now() + delayMs(), () => {
        receivedBytes += bytes.length;
        program.write(bytes);
      });
      await stalled?.promise;
    }
    deliver(performance.now() + delayMs(), () => program.end());
  };
  forward().catch(cut);
  back().catch(cut);

  return {
    get isOpen() {
      return !program.destroyed;
    },
    sentBytes: () => sentBytes,
    receivedBytes: () => receivedBytes,
    cut(afterBytes = 0) {
      if (afterBytes === 0) cut();
      else cutAtBytes = sentBytes + afterBytes;
    },
    reset() {
      program.resetAndDestroy();
      server.resetAndDestroy();
    },
    stall() {
      stalled ??= Promise.withResolvers();
    },
    flow() {
      stalled?.resolve();
      stalled = null;
    },
    endTowards: (side) => void (side === 'program' ? program : server).end(),
  };
}

/** Bytes that pass one after another, however many lanes they come from. */
function createThrottle(): Pick<Line, 'takeTurn'> & Pick<FaultProxy, 'limit'> {
  let bytesPerSecond = Number.POSITIVE_INFINITY;
  let freeAtMs = 0;
  let changed = Promise.withResolvers<void>();
  return {
    async takeTurn(bytes) {
      while (bytesPerSecond === 0) await changed.promise;
      const nowMs = performance.now();
      freeAtMs = Math.max(nowMs, freeAtMs) + (bytes * 1000) / bytesPerSecond;
      if (freeAtMs - nowMs >= 1) await sleep(freeAtMs - nowMs);
    },
    limit(value) {
      bytesPerSecond = value;
      freeAtMs = 0;
      changed.resolve();
      changed = Promise.withResolvers();
    },
  };
}

async function listen(port: number, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, onConnection);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
