import { KeyObject, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { Client, type SFTPWrapper } from 'ssh2';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { coalesceWrites } from '../../lib/remote/sftp/coalesce.ts';
import { quickenPackets } from '../../lib/remote/sftp/packets.ts';
import { writeFrom } from '../../lib/remote/sftp/write.ts';
import { withSshd } from '../helpers/sshd.ts';

const speed = suite('what makes SFTP fast');

speed('pieces written in one turn leave the socket together', async () => {
  await withSocket(async (socket, arrived) => {
    const systemCalls = countWrites(socket);
    for (const piece of ['length ', 'packet ', 'tag']) socket.write(Buffer.from(piece));
    await new Promise<void>((resolve) => socket.end(resolve));
    assert.is(String(await arrived), 'length packet tag');
    assert.is(systemCalls(), 1);
  });
});

speed(
  'all that is written arrives in order, whatever its size and though its memory is used again',
  async () => {
    await withSocket(async (socket, arrived) => {
      const expected: Buffer[] = [];
      for (const size of [1, 4, 32_768, 16, 262_144, 5, 700_000, 262_139, 3]) {
        const bytes = randomBytes(size);
        expected.push(Buffer.from(bytes));
        socket.write(bytes);
        bytes.fill(0);
        if (size === 16) await new Promise((resolve) => setImmediate(resolve));
      }
      socket.write('as text');
      socket.write(Buffer.from(' and more'));
      socket.end();
      assert.ok((await arrived).equals(Buffer.concat([...expected, Buffer.from('as text and more')])));
    });
  },
);

/** Lends a socket as an SSH connection has it, and what has arrived once it has ended. */
async function withSocket(use: (socket: Socket, arrived: Promise<Buffer>) => Promise<void>): Promise<void> {
  const { promise: arrived, resolve } = Promise.withResolvers<Buffer>();
  const server = createServer((peer) => {
    const parts: Buffer[] = [];
    peer.on('data', (data) => parts.push(data)).on('end', () => resolve(Buffer.concat(parts)));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  const socket = coalesceWrites(connect({ host: '127.0.0.1', port, noDelay: true }));
  try {
    await new Promise((done) => socket.once('connect', done));
    await use(socket, arrived);
  } finally {
    socket.destroy();
    await new Promise<void>((done) => server.close(() => done()));
  }
}

/** Counts what goes to the system: one buffer (`_write`) or several at once (`_writev`). */
function countWrites(socket: object): () => number {
  let count = 0;
  const streams = socket as Record<'_write' | '_writev', (...args: unknown[]) => unknown>;
  for (const name of ['_write', '_writev'] as const) {
    const original = streams[name];
    streams[name] = function (this: unknown, ...args) {
      count += 1;
      return original.apply(this, args);
    };
  }
  return () => count;
}

speed(
  'packets are sealed and opened with key objects, at the first exchange of keys and after the next',
  async () => {
    await withSshd({}, async (server) => {
      const client = new Client();
      await new Promise<void>((resolve, reject) => {
        client.on('error', reject).on('ready', resolve);
        client.connect({
          host: server.host,
          port: server.port,
          username: server.user,
          privateKey: readFileSync(server.identityFile),
          algorithms: { cipher: ['aes128-gcm@openssh.com'] },
        });
      });
      try {
        quickenPackets(client);
        const internals = client as unknown as { _protocol: Protocol };
        const ours = () => {
          const { _cipher, _decipher } = internals._protocol;
          assert.ok(Object.hasOwn(_cipher, 'encrypt'));
          assert.ok(_decipher._decipherKey instanceof KeyObject);
          return _cipher;
        };
        const first = ours();
        const again = new Promise((resolve) => client.once('handshake', resolve));
        internals._protocol.rekey();
        await again;
        assert.is.not(ours(), first);
        // All sizes of a packet come through whole, whatever their padding.
        for (const size of [1, 15, 16, 17, 1000, 1023, 1024, 32_751, 32_768, 100_000]) {
          const bytes = randomBytes(size);
          assert.equal(await echo(client, bytes), bytes, `${size} bytes`);
        }
      } finally {
        client.end();
      }
    });
  },
);

interface Protocol {
  readonly _cipher: object;
  readonly _decipher: { readonly _decipherKey: unknown };
  rekey(): void;
}

/** @returns what `cat` on the server gives back */
function echo(client: Client, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    client.exec('cat', (error, stream) => {
      if (error) return reject(error);
      const parts: Buffer[] = [];
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.on('close', () => resolve(Buffer.concat(parts)));
      stream.end(bytes);
    });
  });
}

speed(
  'what is written is taken from where it lies, and nothing overtakes what waits for the window',
  async () => {
    const sent: Buffer[] = [];
    const session = fakeSession((bytes) => sent.push(bytes));
    const bytes = randomBytes(250);
    const handle = Buffer.from('file');
    writeFrom(session as unknown as SFTPWrapper, handle, bytes, 2 ** 40 + 1, () => {});
    writeFrom(session as unknown as SFTPWrapper, handle, bytes, 7, () => {});
    assert.ok(sent.every(({ length }) => length <= session.outgoing.packetSize));
    assert.is(Buffer.concat(sent).length, 200);
    for (let opened = 0; session._waitWindow && opened < 10; opened += 1) {
      session._waitWindow = false;
      session.outgoing.window += 130;
      session._chunkcb?.();
    }
    assert.equal(session._buffer, []);
    assert.ok(sent.filter(({ length }) => length > 29).every(({ buffer }) => buffer === bytes.buffer));
    // As ssh2 would have said it
    const request = (id: number, offset: bigint) => {
      const head = Buffer.alloc(29);
      head.writeUInt32BE(275);
      head[4] = 6;
      head.writeUInt32BE(id, 5);
      head.writeUInt32BE(4, 9);
      head.write('file', 13);
      head.writeBigUInt64BE(offset, 17);
      head.writeUInt32BE(250, 25);
      return Buffer.concat([head, bytes]);
    };
    assert.ok(Buffer.concat(sent).equals(Buffer.concat([request(1, 2n ** 40n + 1n), request(2, 7n)])));
    assert.equal(Object.keys(session._requests), ['1', '2']);
  },
);

/** A session with a window of 200 bytes and packets of 100. */
function fakeSession(onData: (bytes: Buffer) => void) {
  return {
    _protocol: { channelData: (_channel: number, bytes: Buffer) => onData(bytes) },
    _requests: {} as Record<number, object>,
    _buffer: [] as Buffer[],
    _writeReqid: 0,
    _waitWindow: false,
    _chunkcb: undefined as (() => void) | undefined,
    outgoing: { id: 3, state: 'open', packetSize: 100, window: 200 },
  };
}

speed('a server with a real window gets all that is written whole', async () => {
  await withSshd({}, async (server) => {
    const client = new Client();
    await new Promise<void>((resolve, reject) => {
      client.on('error', reject).on('ready', resolve);
      client.connect({
        host: server.host,
        port: server.port,
        username: server.user,
        privateKey: readFileSync(server.identityFile),
      });
    });
    try {
      const sftp = await new Promise<SFTPWrapper>((resolve, reject) => {
        client.sftp((error, session) => (error ? reject(error) : resolve(session)));
      });
      const bytes = randomBytes(9 * 1024 * 1024 + 5);
      const path = `${server.root}/written`;
      const handle = await new Promise<Buffer>((resolve, reject) => {
        sftp.open(path, 'wx', (error, opened) => (error ? reject(error) : resolve(opened)));
      });
      const piece = 200_001;
      await Promise.all(
        Array.from({ length: Math.ceil(bytes.length / piece) }, (_, index) => {
          const at = index * piece;
          return new Promise<void>((resolve, reject) => {
            const done = (error?: Error | null) => (error ? reject(error) : resolve());
            writeFrom(sftp, handle, bytes.subarray(at, at + piece), at, done);
          });
        }),
      );
      assert.ok(readFileSync(path).equals(bytes));
    } finally {
      client.end();
    }
  });
});

speed.run();
