import { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { Client } from 'ssh2';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { useKeyObject } from '../../lib/remote/sftp/cipher-key.ts';
import { coalesceWrites } from '../../lib/remote/sftp/coalesce.ts';
import { withSshd } from '../helpers/sshd.ts';

const speed = suite('what makes SFTP fast');

speed('pieces written in one turn leave the socket together', async () => {
  const arrived: string[] = [];
  const server = createServer((peer) => peer.on('data', (data) => arrived.push(String(data))));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const socket = coalesceWrites(connect({ host: '127.0.0.1', port, noDelay: true }));
  await new Promise((resolve) => socket.once('connect', resolve));
  const systemCalls = countWrites(socket);
  socket.write('length ');
  socket.write('packet ');
  socket.write('tag');
  await new Promise<void>((resolve) => socket.end(resolve));
  await new Promise<void>((resolve) => server.close(() => resolve()));
  assert.is(arrived.join(''), 'length packet tag');
  assert.is(systemCalls(), 1);
});

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

speed('the key of the cipher is an object, at the first exchange of keys and after the next', async () => {
  await withSshd({}, async (server) => {
    const client = new Client();
    const keys: unknown[] = [];
    const internals = client as unknown as { _protocol: { _cipher: { _encKey: unknown }; rekey(): void } };
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
      useKeyObject(client);
      keys.push(internals._protocol._cipher._encKey);
      const again = new Promise((resolve) => client.once('handshake', resolve));
      internals._protocol.rekey();
      await again;
      keys.push(internals._protocol._cipher._encKey);
      assert.ok(keys.every((key) => key instanceof KeyObject));
      assert.is.not(keys[0], keys[1]);
      await new Promise<void>((resolve, reject) =>
        client.exec('true', (error) => (error ? reject(error) : resolve())),
      );
    } finally {
      client.end();
    }
  });
});

speed.run();
