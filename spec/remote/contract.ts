/** What every remote has to keep: each sentence of the port in `lib/remote/remote.ts`, as a suite for any adapter. */
import { hash, randomBytes } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import { type Remote, type RemoteObject, TEMPORARY_FOLDER } from '../../lib/remote/remote.ts';

/** Lends a remote whose root holds no object yet. */
export type WithRemote = (run: (remote: Remote) => Promise<void>) => Promise<void>;

const SIZES = [0, 1, 65_535, 65_536, 65_537, 1_000_003];
const LARGE = 20_000_000;
const DOTTED = ['.hidden', 'a/..x', '.', '..', '../x', 'a/../b', 'a/./b', 'a/..'];
const NO_NAMES = [
  ...DOTTED,
  '',
  '/',
  '/x',
  'x/',
  'a//b',
  'a b',
  'a%2Fb',
  'a\\b',
  'ä',
  'a\0b',
  'x'.repeat(129),
];
/** As long as a name may be. */
const LONGEST = `${'folder-/'.repeat(15)}${'x'.repeat(8)}`;

export interface ContractOptions {
  /** Apache and rclone replace in two steps; Apache tears what is read meanwhile. */
  readonly replacesInOneStep?: boolean;
}

/** Registers the suite `title`. */
export function remoteContract(
  title: string,
  withRemote: WithRemote,
  { replacesInOneStep = true }: ContractOptions = {},
): void {
  const contract = suite(title);
  const promise = (sentence: string, check: (remote: Remote) => Promise<void>) =>
    contract(sentence, () => withRemote(check));

  for (const size of SIZES) {
    promise(`gives back the ${size} bytes that were put`, async (remote) => {
      const bytes = randomBytes(size);
      await remote.put('packs/ab/one', bytes);
      assert.ok((await remote.get('packs/ab/one'))?.equals(bytes));
      assert.equal(await remote.stat('packs/ab/one'), { name: 'packs/ab/one', sizeBytes: size });
    });
  }

  promise('gives back 20 MB, told of as they go', async (remote) => {
    const bytes = randomBytes(LARGE);
    const told: number[] = [];
    await remote.put('large', bytes, { onSent: (sentBytes) => told.push(sentBytes) });
    assert.ok((await remote.get('large'))?.equals(bytes));
    assert.equal(told.at(-1), LARGE, 'the last word is the whole size');
    assert.ok(told.length > 2, 'more than the beginning and the end is told');
    assert.ok(
      told.every((sentBytes, n) => sentBytes >= (told[n - 1] ?? 0)),
      'it never goes back',
    );
  });

  promise('tells of an empty object too', async (remote) => {
    let last = -1;
    await remote.put('empty', Buffer.alloc(0), {
      onSent: (sentBytes) => {
        last = sentBytes;
      },
    });
    assert.is(last, 0);
  });

  promise('sends a view of a larger buffer and nothing around it', async (remote) => {
    const around = new Uint8Array(300).fill(1);
    around.set(new Uint8Array(100).fill(2), 100);
    await remote.put('view', around.subarray(100, 200));
    assert.ok((await remote.get('view'))?.equals(Buffer.alloc(100, 2)));
  });

  promise('replaces an object that is there', async (remote) => {
    await remote.put('backups/x', Buffer.from('a first, longer text'));
    await remote.put('backups/x', Buffer.from('a second'));
    assert.is((await remote.get('backups/x'))?.toString(), 'a second');
    assert.equal(await names(remote, ''), ['backups/x']);
  });

  promise('gives an object its name when it may have it, and not before', async (remote) => {
    const { promise: allowed, resolve: allow } = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const bytes = randomBytes(100_000);
    const put = remote.put('backups/x', bytes, {
      beforeNaming() {
        asked.resolve();
        return allowed;
      },
    });
    await asked.promise;
    assert.is(await remote.stat('backups/x'), null);
    assert.is(await remote.get('backups/x'), null);
    assert.equal(await names(remote, ''), []);
    allow();
    await put;
    assert.ok((await remote.get('backups/x'))?.equals(bytes));
    assert.equal(await names(remote, `${TEMPORARY_FOLDER}/`), []);
  });

  promise('leaves nothing of an object that may not have its name, and says why', async (remote) => {
    await remote.put('backups/x', Buffer.from('the one before'));
    const reason = new Error('the one before is better');
    const beforeNaming = async () => {
      throw reason;
    };
    const failure = await remote
      .put('backups/x', randomBytes(100_000), { beforeNaming })
      .catch((error) => error);
    assert.is(failure, reason);
    assert.is((await remote.get('backups/x'))?.toString(), 'the one before');
    assert.equal(await names(remote, `${TEMPORARY_FOLDER}/`), []);
  });

  promise('puts others while any number wait for their names', async (remote) => {
    const { promise: allowed, resolve: allow } = Promise.withResolvers<void>();
    const waiting = Array.from({ length: 12 }, (_, n) =>
      remote.put(`waiting/${n}`, randomBytes(1000), { beforeNaming: () => allowed }),
    );
    for (let n = 0; n < 12; n += 1) await remote.put(`done/${n}`, randomBytes(1000));
    assert.is((await names(remote, '')).length, 12);
    allow();
    await Promise.all(waiting);
    assert.is((await names(remote, '')).length, 24);
  });

  const showsEither = async (remote: Remote) => {
    const [old, young] = [Buffer.alloc(30_000, 1), Buffer.alloc(50_000, 2)];
    await remote.put('index/x', old);
    let done = false;
    const replacing = (async () => {
      for (let n = 0; n < 20; n += 1) await remote.put('index/x', n % 2 === 0 ? young : old);
    })().finally(() => {
      done = true;
    });
    replacing.catch(() => {}); // when a look fails, nobody waits for it any more
    while (!done) {
      const seen = await remote.get('index/x');
      assert.ok(seen?.equals(old) || seen?.equals(young));
    }
    await replacing;
  };
  if (replacesInOneStep)
    promise('shows one of two objects, whole, while it replaces one by the other', showsEither);

  promise('gives a range, and fewer bytes where the object ends before it', async (remote) => {
    const bytes = randomBytes(10_000);
    await remote.put('packs/r', bytes);
    const ranges: [offset: number, length: number][] = [
      [0, 1],
      [0, 10_000],
      [17, 4_000],
      [9_999, 1],
      [9_000, 5_000],
      [0, 1_000_000],
    ];
    for (const [offset, length] of ranges) {
      const part = await remote.get('packs/r', { offset, length });
      assert.ok(part?.equals(bytes.subarray(offset, offset + length)), `${offset} + ${length}`);
    }
    for (const [offset, length] of [
      [10_000, 1],
      [20_000, 10],
      [5, 0],
    ] as const) {
      assert.is((await remote.get('packs/r', { offset, length }))?.length, 0, `${offset} + ${length}`);
    }
  });

  promise('gives a range of an empty object', async (remote) => {
    await remote.put('empty', Buffer.alloc(0));
    assert.is((await remote.get('empty', { offset: 0, length: 10 }))?.length, 0);
  });

  promise('says null of what is absent', async (remote) => {
    for (const name of ['absent', 'no/such/folder/absent']) {
      assert.is(await remote.get(name), null);
      assert.is(await remote.get(name, { offset: 5, length: 5 }), null);
      assert.is(await remote.stat(name), null);
    }
    await remote.put('packs/ab/one', Buffer.from('1'));
    assert.is(await remote.get('packs/ab/two'), null);
    assert.is(await remote.get('packs/ab/one/below'), null, 'below an object there is nothing');
    assert.is(await remote.get('packs/ab'), null, 'a folder is no object');
    assert.is(await remote.stat('packs/ab'), null);
  });

  promise('tells the SHA-256 of what is there, if it can tell any', async (remote) => {
    const bytes = randomBytes(100_000);
    await remote.put('packs/ab/one', bytes);
    await remote.put('empty', Buffer.alloc(0));
    const asked = ['empty', 'packs/ab/one', 'packs/ab', 'absent'];
    const told = await remote.sha256?.(asked).catch((error: RemoteError) => {
      assert.is(error.retryable, false);
    });
    if (!told) return;
    assert.equal([...told].sort(), [
      ['empty', hash('sha256', '')],
      ['packs/ab/one', hash('sha256', bytes)],
    ]);
  });

  promise('removes an object, also one that is not there', async (remote) => {
    await remote.put('resume/x', Buffer.from('1'));
    await remote.put('resume/y', Buffer.from('2'));
    await remote.remove('resume/x');
    await remote.remove('resume/x');
    await remote.remove('never/was');
    assert.is(await remote.get('resume/x'), null);
    assert.equal(await names(remote, ''), ['resume/y']);
  });

  promise('lists an empty root and a folder that is absent as nothing', async (remote) => {
    assert.equal(await objects(remote, ''), []);
    assert.equal(await objects(remote, 'packs/'), []);
    assert.equal(await objects(remote, 'packs/ab/'), []);
  });

  promise('lists what lies under a folder, however deep, with sizes', async (remote) => {
    const sizes = {
      'skylock.json': 3,
      'keys/a.json': 4,
      'packs/ab/ab01': 5,
      'packs/ab/ab02': 0,
      'packs/cd/cd01': 70_000,
      'packs-old/x_y-z.1': 1,
    };
    for (const [name, size] of Object.entries(sizes)) await remote.put(name, Buffer.alloc(size));
    const expected = (prefix: string) =>
      Object.entries(sizes)
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, sizeBytes]) => ({ name, sizeBytes }));
    for (const prefix of ['', 'packs/', 'packs/ab/', 'keys/', 'backups/']) {
      assert.equal(await objects(remote, prefix), byName(expected(prefix)), `prefix '${prefix}'`);
    }
  });

  promise('stores a hundred objects put at once, in folders made as needed', async (remote) => {
    const all = Array.from({ length: 100 }, (_, n) => ({
      name: `packs/${String(n % 7).padStart(2, '0')}/${n}`,
      bytes: randomBytes(n * 37),
    }));
    await Promise.all(all.map(({ name, bytes }) => remote.put(name, bytes)));
    assert.equal(
      await objects(remote, 'packs/'),
      byName(all.map(({ name, bytes }) => ({ name, sizeBytes: bytes.length }))),
    );
    const gotten = await Promise.all(all.map(({ name }) => remote.get(name)));
    assert.ok(gotten.every((bytes, n) => bytes?.equals(all[n]?.bytes ?? Buffer.of(0))));
  });

  promise('ends with one whole object when the same name is put several times at once', async (remote) => {
    const bodies = Array.from({ length: 6 }, (_, n) => Buffer.alloc(200_000 + n, n));
    await Promise.all(bodies.map((bytes) => remote.put('packs/same', bytes)));
    const kept = await remote.get('packs/same');
    assert.ok(bodies.some((bytes) => kept?.equals(bytes)));
    assert.equal(await names(remote, ''), ['packs/same']);
  });

  promise('lists no temporary object while one is written', async (remote) => {
    const writing = remote.put('packs/t', Buffer.alloc(LARGE, 7));
    const seen = await names(remote, '');
    await writing;
    assert.ok(seen.every((name) => !name.startsWith(`${TEMPORARY_FOLDER}/`)));
    assert.equal(await names(remote, ''), ['packs/t']);
    assert.equal(await names(remote, `${TEMPORARY_FOLDER}/`), [], 'nothing temporary is left');
  });

  promise(
    'lists what an upload that died has left when asked for that folder, and only then',
    async (remote) => {
      const left = `${TEMPORARY_FOLDER}/0f3a-0123456789abcdef`;
      await remote.put('packs/ab/one', Buffer.from('whole'));
      await remote.put(left, Buffer.from('half'));
      assert.equal(await names(remote, ''), ['packs/ab/one']);
      assert.equal(await objects(remote, `${TEMPORARY_FOLDER}/`), [{ name: left, sizeBytes: 4 }]);
      await remote.remove(left);
      assert.equal(await names(remote, `${TEMPORARY_FOLDER}/`), []);
    },
  );

  promise('leaves nothing when a put is aborted half-way', async (remote) => {
    const stop = new AbortController();
    const reason = new Error('the person asked to stop');
    const thrown = await rejection(
      remote.put('packs/aborted', Buffer.alloc(LARGE, 1), {
        signal: stop.signal,
        onSent: () => stop.abort(reason),
      }),
    );
    assert.is(thrown, reason);
    assert.is(await remote.get('packs/aborted'), null);
    assert.equal(await names(remote, ''), []);
    await remote.put('packs/aborted', Buffer.from('again'));
    assert.is((await remote.get('packs/aborted'))?.toString(), 'again', 'the remote goes on working');
  });

  promise('keeps the old object when its replacement is aborted', async (remote) => {
    const stop = new AbortController();
    await remote.put('backups/kept', Buffer.from('old'));
    const bytes = Buffer.alloc(LARGE, 1);
    await rejection(remote.put('backups/kept', bytes, { signal: stop.signal, onSent: () => stop.abort() }));
    assert.is((await remote.get('backups/kept'))?.toString(), 'old');
    assert.ok(bytes.equals(Buffer.alloc(LARGE, 1)), 'the bytes of a failed put are as they were');
  });

  promise('puts nothing for a signal that is aborted already', async (remote) => {
    const signal = AbortSignal.abort(new Error('too late'));
    assert.is(await rejection(remote.put('x', Buffer.from('x'), { signal })), signal.reason);
    assert.equal(await names(remote, ''), []);
  });

  promise('refuses what is no name', async (remote) => {
    for (const name of NO_NAMES) {
      for (const call of [
        () => remote.put(name, Buffer.from('x')),
        () => remote.get(name),
        () => remote.stat(name),
        () => remote.remove(name),
      ]) {
        const error = await rejection(call());
        assert.instance(error, RemoteError, JSON.stringify(name));
        assert.is((error as RemoteError).retryable, false);
      }
    }
    assert.equal(await names(remote, ''), []);
  });

  promise('takes every letter a name may have, and as many', async (remote) => {
    for (const name of ['ABCXYZabcxyz/0189._-/x..y/x../-/_', LONGEST]) {
      await remote.put(name, Buffer.from('x'));
      assert.equal(await objects(remote, ''), [{ name, sizeBytes: 1 }]);
      assert.is((await remote.get(name))?.toString(), 'x');
      await remote.remove(name);
    }
  });

  promise('shows a URL without a secret', async (remote) => {
    assert.ok(remote.url.length > 0);
    assert.not.match(remote.url, /:[^/]*@/);
  });

  promise('fails calls that come after close, and can be closed again', async (remote) => {
    await remote.put('x', Buffer.from('x'));
    await remote.close();
    assert.instance(await rejection(remote.get('x')), RemoteError);
    assert.instance(await rejection(remote.put('y', Buffer.from('y'))), RemoteError);
    await remote.close();
  });

  contract.run();
}

async function objects(remote: Remote, prefix: string): Promise<RemoteObject[]> {
  return byName(await Array.fromAsync(remote.list(prefix)));
}

async function names(remote: Remote, prefix: string): Promise<string[]> {
  return (await objects(remote, prefix)).map(({ name }) => name);
}

function byName(list: readonly RemoteObject[]): RemoteObject[] {
  return [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @returns what the promise was rejected with; fails when it was not. */
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const settled = await promise.then(
    () => null,
    (reason: unknown) => ({ reason }),
  );
  assert.ok(settled !== null, 'it was to fail');
  return settled?.reason;
}
