/** The pool alone, with connections that do what servers do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import type { SftpChannel } from '../../lib/remote/sftp/channel.ts';
import type { Connection } from '../../lib/remote/sftp/connection.ts';
import { type ChannelPool, channelPool } from '../../lib/remote/sftp/pool.ts';

const CONNECT_MS = 10;
const CHANNEL_MS = 4;

interface Server {
  readonly pool: ChannelPool;
  /** How often somebody has logged in. */
  logins(): number;
  /** Of all connections together. */
  channels(): number;
}

interface Habits {
  /** When somebody logs in, whoever was there is thrown out. */
  readonly endsOlder?: boolean;
  /** It takes no more connections. */
  readonly most?: number;
}

function server({ endsOlder = false, most = 4 }: Habits = {}): Server {
  let logins = 0;
  let live: Connection[] = [];
  const connect = async (signal: AbortSignal): Promise<Connection> => {
    logins += 1;
    await sleep(CONNECT_MS, undefined, { signal });
    if (live.length >= most) throw new RemoteError('too many', { retryable: true });
    if (endsOlder) for (const one of live) one.end(new RemoteError('thrown out', { retryable: true }));
    const channels = new Set<SftpChannel>([{} as SftpChannel]);
    let ended = false;
    const connection: Connection = {
      channels,
      get ended() {
        return ended;
      },
      async openChannel() {
        await sleep(CHANNEL_MS);
        if (ended) throw new RemoteError('thrown out', { retryable: true });
        const channel = {} as SftpChannel;
        channels.add(channel);
        return channel;
      },
      end() {
        ended = true;
        channels.clear();
        live = live.filter((one) => one !== connection);
      },
    };
    live.push(connection);
    return connection;
  };
  const limits = { maxConnections: 4, maxChannels: 17, askAgainMs: 60_000 };
  const channels = () => live.reduce((sum, one) => sum + one.channels.size, 0);
  return { pool: channelPool(connect, limits), logins: () => logins, channels };
}

const pools = suite('the channels of a server');

pools('are not asked for without end where it ends the older connection at each login', async () => {
  const { pool, logins } = server({ endsOlder: true });
  await pool.withChannel('transfer', () => sleep(1));
  pool.prepare(4).catch(() => {});
  await sleep(20 * CONNECT_MS);
  assert.ok(logins() <= 3, `${logins()} logins`);
  pool.close();
});

pools('are no more for what is small, however much of it there is beside a transfer', async () => {
  const { pool, logins } = server();
  await pool.withChannel('transfer', () =>
    Promise.all(Array.from({ length: 64 }, () => pool.withChannel('small', () => sleep(1)))),
  );
  assert.is(logins(), 1);
  pool.close();
});

for (const most of [1, 2, 4]) {
  pools(`are opened ahead where it takes no more connections than ${most}`, async () => {
    const { pool, channels } = server({ most });
    await pool.prepare(8);
    assert.is(channels(), 8);
    pool.close();
  });
}

pools('serve what is small while transfers wait for more of them', async () => {
  const { pool } = server();
  const order: string[] = [];
  await pool.withChannel('transfer', async () => {
    const small = pool.withChannel('small', async () => void order.push('small'));
    const transfers = Array.from({ length: 8 }, () =>
      pool.withChannel('transfer', async () => {
        order.push('transfer');
        await sleep(20 * CONNECT_MS);
      }),
    );
    await small;
    assert.ok(order.length <= 2, order.join());
    await Promise.all(transfers);
  });
  pool.close();
});

pools('are as many as transfers wait', async () => {
  const { pool, logins } = server();
  let [busy, most] = [0, 0];
  const transfer = async () => {
    busy += 1;
    most = Math.max(most, busy);
    await sleep(10 * CONNECT_MS);
    busy -= 1;
  };
  await Promise.all(Array.from({ length: 8 }, () => pool.withChannel('transfer', transfer)));
  assert.equal([most, logins()], [8, 4]);
  pool.close();
});

pools.run();
