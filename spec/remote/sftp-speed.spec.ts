import { KeyObject, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { Client } from 'ssh2';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { coalesceWrites } from '../../lib/remote/sftp/coalesce.ts';
import { quickenPackets } from '../../lib/remote/sftp/packets.ts';
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

speed.run();
