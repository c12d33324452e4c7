import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type FaultProxy, type Lane, withFaultProxy } from './fault-proxy.ts';

/** One end of a connection, and what it has heard. */
interface End {
  readonly socket: Socket;
  heard(): string;
  /** What it saw, in order: `end`, `ECONNRESET`, `close`. */
  readonly fate: readonly string[];
}

function endOf(socket: Socket): End {
  let heard = '';
  const fate: string[] = [];
  socket.setEncoding('latin1').on('data', (text: string) => {
    heard += text;
  });
  socket.on('end', () => fate.push('end')).on('close', () => fate.push('close'));
  socket.on('error', ({ code }: NodeJS.ErrnoException) => fate.push(String(code)));
  return { socket, heard: () => heard, fate };
}

interface Connected {
  readonly proxy: FaultProxy;
  readonly program: End;
  readonly server: End;
  readonly lane: Lane;
  /** Another connection through the same proxy. */
  connect(): Promise<{ readonly program: End; readonly server: End }>;
}

/** Lends a connection through the proxy whose ends close nothing by themselves. */
async function withConnection(use: (connected: Connected) => Promise<void>): Promise<void> {
  const accepted: End[] = [];
  const listener = createServer({ allowHalfOpen: true }, (socket) => accepted.push(endOf(socket)));
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  try {
    await withFaultProxy((listener.address() as AddressInfo).port, async (proxy) => {
      const connect = async () => {
        const before = accepted.length;
        const socket = createConnection({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
        const program = endOf(socket);
        await until(() => accepted.length > before || program.fate.length > 0);
        return { program, server: accepted[before]! };
      };
      const { program, server } = await connect();
      await use({ proxy, program, server, lane: proxy.lanes()[0]!, connect });
      program.socket.destroy();
    });
  } finally {
    for (const { socket } of accepted) socket.destroy();
    listener.close();
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(1);
}

const line = suite('a line with faults');

line('passes both ways, and counts', () =>
  withConnection(async ({ proxy, program, server, lane }) => {
    program.socket.write('question');
    await until(() => server.heard() === 'question');
    server.socket.write('answer');
    await until(() => program.heard() === 'answer');
    assert.equal([lane.sentBytes(), lane.receivedBytes()], [8, 6]);
    program.socket.end('!');
    await until(() => server.fate.includes('end'));
    server.socket.end('?');
    await until(() => program.fate.includes('close') && proxy.lanes().length === 0);
    assert.equal([server.heard(), program.heard()], ['question!', 'answer?']);
    assert.equal([proxy.sentBytes(), proxy.receivedBytes(), proxy.connections()], [9, 7, 1]);
  }),
);

line('one lane is cut after so many bytes, and the other goes on', () =>
  withConnection(async ({ proxy, program, server, lane, connect }) => {
    const other = await connect();
    lane.cut(5);
    program.socket.write('0123456789');
    await until(() => program.fate.length > 0 && server.fate.length > 0);
    assert.is(server.heard(), '01234');
    assert.not.ok(lane.isOpen);
    other.program.socket.write('still there');
    await until(() => other.server.heard() === 'still there');
    assert.is(proxy.lanes().length, 1);
  }),
);

line('is reset', () =>
  withConnection(async ({ program, server, lane }) => {
    lane.reset();
    await until(() => program.fate.includes('close') && server.fate.includes('close'));
    assert.ok(program.fate.includes('ECONNRESET') && server.fate.includes('ECONNRESET'));
  }),
);

line('stalls both ways, stays open, and loses nothing', () =>
  withConnection(async ({ proxy, program, server, lane, connect }) => {
    const other = await connect();
    lane.stall();
    program.socket.write('question');
    server.socket.write('answer');
    other.program.socket.write('passes');
    await until(() => other.server.heard() === 'passes');
    await sleep(20);
    assert.equal([server.heard(), program.heard(), program.fate], ['', '', []]);
    proxy.lanes()[0]!.flow();
    await until(() => server.heard() === 'question' && program.heard() === 'answer');
  }),
);

for (const side of ['program', 'server'] as const) {
  line(`is half-closed towards the ${side}`, () =>
    withConnection(async ({ lane, ...ends }) => {
      const [deaf, hearing] = side === 'program' ? [ends.program, ends.server] : [ends.server, ends.program];
      lane.endTowards(side);
      await until(() => deaf.fate.includes('end'));
      hearing.socket.write('swallowed');
      deaf.socket.write('heard');
      await until(() => hearing.heard() === 'heard');
      assert.equal([deaf.heard(), hearing.fate], ['', []]);
    }),
  );
}

line('is gone when the server has left it half-closed, whatever the program still sends', () =>
  withConnection(async ({ proxy, program, server, lane }) => {
    lane.endTowards('server');
    await until(() => server.fate.includes('end'));
    server.socket.end();
    await until(() => program.fate.includes('end'));
    program.socket.write('to nobody');
    await until(() => proxy.lanes().length === 0);
  }),
);

line('refuses those who come, until it is mended', () =>
  withConnection(async ({ proxy, program, server, connect }) => {
    proxy.refuse();
    assert.is((await connect()).program.fate[0], 'ECONNREFUSED');
    program.socket.write('still there');
    await until(() => server.heard() === 'still there');
    await proxy.cut();
    await until(() => program.fate.length > 0);
    await proxy.mend();
    assert.equal((await connect()).program.fate, []);
  }),
);

line('holds what goes to the server, and delays what comes from it', () =>
  withConnection(async ({ proxy, program, server }) => {
    proxy.limit(0);
    program.socket.write('question');
    await sleep(20);
    assert.is(server.heard(), '');
    proxy.limit(Number.POSITIVE_INFINITY);
    await until(() => server.heard() === 'question');
    proxy.delay(50);
    const askedAt = performance.now();
    server.socket.write('one');
    await until(() => program.heard() === 'one');
    assert.ok(performance.now() - askedAt > 40);
  }),
);

line.run();
