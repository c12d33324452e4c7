/** The line between the program and a server: what goes over it is counted, and it can be slow, held and cut. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Line {
  /** Of 127.0.0.1: what listens here leads to the server. */
  readonly port: number;
  /** Towards the server, over all connections. */
  sentBytes(): number;
  /** How many connections were made. */
  connections(): number;
  /** At most so many bytes a second towards the server from now on, over all connections; 0 holds them all. */
  limit(bytesPerSecond: number): void;
  /** What the server answers from now on takes so long on its way; no less than before while a connection is open. */
  delay(ms: number): void;
  /** Every connection breaks, and nobody listens any more. */
  cut(): Promise<void>;
  /** As before, on the same port. */
  mend(): Promise<void>;
}

export async function withLine(serverPort: number, use: (line: Line) => Promise<void>): Promise<void> {
  const sockets = new Set<Socket>();
  let sentBytes = 0;
  let connections = 0;
  let bytesPerSecond = Number.POSITIVE_INFINITY;
  let delayMs = 0;
  let freeAtMs = 0;
  let limitChanged = Promise.withResolvers<void>();

  /** Resolves when so many bytes may go. */
  const takeTurn = async (bytes: number) => {
    while (bytesPerSecond === 0) await limitChanged.promise;
    const nowMs = performance.now();
    freeAtMs = Math.max(nowMs, freeAtMs) + (bytes * 1000) / bytesPerSecond;
    if (freeAtMs - nowMs >= 1) await sleep(freeAtMs - nowMs);
  };
  const forward = async (from: Socket, to: Socket) => {
    try {
      for await (const bytes of from as AsyncIterable<Buffer>) {
        await takeTurn(bytes.length);
        if (to.destroyed) break;
        sentBytes += bytes.length;
        if (!to.write(bytes)) await once(to, 'drain');
      }
      to.end();
    } catch {
      to.destroy(); // one end is gone, so the other goes too
    }
  };
  const onConnection = (client: Socket) => {
    connections += 1;
    const server = connect(serverPort, '127.0.0.1');
    for (const socket of [client, server]) {
      sockets.add(socket.setNoDelay(true));
      socket.on('close', () => sockets.delete(socket)).on('error', () => {});
    }
    client.on('error', () => server.destroy());
    server.on('close', () => setTimeout(() => client.destroy(), delayMs));
    server.on('data', (bytes: Buffer) => {
      if (delayMs === 0) client.write(bytes);
      else setTimeout(() => client.write(bytes), delayMs);
    });
    void forward(client, server);
  };

  let listener = await listen(0, onConnection);
  const { port } = listener.address() as AddressInfo;
  const cut = async () => {
    const closed = once(listener, 'close');
    listener.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  const line: Line = {
    port,
    sentBytes: () => sentBytes,
    connections: () => connections,
    limit(value) {
      bytesPerSecond = value;
      freeAtMs = 0;
      limitChanged.resolve();
      limitChanged = Promise.withResolvers<void>();
    },
    delay(ms) {
      delayMs = ms;
    },
    cut,
    async mend() {
      listener = await listen(port, onConnection);
    },
  };
  try {
    await use(line);
  } finally {
    line.limit(Number.POSITIVE_INFINITY);
    if (listener.listening) await cut();
  }
}

async function listen(port: number, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer(onConnection);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
