import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProgressEvent } from '../../lib/progress.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { skipTest } from '../helpers/skip.ts';
import {
  device,
  file,
  folder,
  noise,
  restoreInto,
  type Stored,
  special,
  store,
  symlink,
  withBench,
} from './fixtures.ts';
import { assertRestored, treeOf } from './tree.ts';

const isRoot = process.getuid!() === 0;

async function roundTrip(stored: readonly Stored[]): Promise<void> {
  await withBench(async (bench) => {
    const backup = await store(bench, stored);
    const summary = await restoreInto(bench, backup);
    assert.is(summary.failures, 0);
    assertRestored(join(bench.folder, 'target'), stored);
    assert.equal(readdirSync(bench.folder).sort(), [
      'journal.db',
      'journal.db-shm',
      'journal.db-wal',
      'target',
    ]);
  });
}

const restored = suite('a restored backup');

restored('has files of every size, each with its bytes', () =>
  roundTrip([
    folder('/s'),
    file('/s/empty', ''),
    ...[1, 4095, 65_535, 65_536, 65_537, 131_072, 131_073, 300_000].map((size) =>
      file(`/s/one chunk of ${size}`, noise(size)),
    ),
    file(
      '/s/many chunks',
      Array.from({ length: 20 }, (_, n) => noise(20_000 + n, `chunk ${n}`)),
    ),
  ]),
);

restored('has chunks that several files, or one file several times, are made of', () => {
  const [a, b] = [noise(30_000, 'a'), noise(30_001, 'b')];
  return roundTrip([
    folder('/s'),
    file('/s/0', [b]),
    file('/s/1', [a, b]),
    file('/s/2', [b, a]),
    file('/s/3', [a]),
    file('/s/4', [a, a, b, a]),
    ...Array.from({ length: 600 }, (_, n) => file(`/s/same/${n}`, 'the same in all')),
    folder('/s/same'),
  ]);
});

restored('has folders, also empty ones, with the times they had', () =>
  roundTrip([
    folder('/s', { mtimeNs: 1_111_111_111_000_000_000n }),
    folder('/s/empty', { mtimeNs: 1_222_222_222_222_222_000n }),
    folder('/s/full', { mtimeNs: 1_333_333_333_333_333_000n }),
    folder('/s/full/inner', { mtimeNs: 1_444_444_444_444_444_000n }),
    file('/s/full/inner/file', 'x'),
    folder('/s/full-not'),
  ]),
);

restored('has names that are any bytes but / and NUL', () => {
  const all = Array.from({ length: 255 }, (_, n) => String.fromCharCode(n + 1)).filter((c) => c !== '/');
  const names = [
    ...all.filter((c) => c !== '.'),
    '\xff\xfe',
    '...',
    '-rf',
    'a\nb',
    '\xc3\xa4',
    'x'.repeat(255),
  ];
  return roundTrip([
    folder('/s'),
    ...names.map((name, index) => file(`/s/${name}`, `content ${index}`)),
    folder('/s/folder \xe9\n'),
    ...names.map((name) => symlink(`/s/folder \xe9\n/${name}`, `../${name}`)),
  ]);
});

restored('has symlinks to anything, with their own times', () =>
  roundTrip([
    folder('/s'),
    symlink('/s/away', '/etc/passwd', { mtimeNs: 1_000_000_001_000_000_000n }),
    symlink('/s/dangling', 'no/such/place'),
    symlink('/s/loop', 'loop'),
    symlink('/s/odd', '\xff\n/../..'),
    symlink('/s/up', '..'),
  ]),
);

restored('has every mode, set-id and sticky bits among them', () =>
  roundTrip([
    folder('/s'),
    ...[...(isRoot ? [0o000] : []), 0o400, 0o644, 0o755, 0o777, 0o4755, 0o2711, 0o6711].map((mode) =>
      file(`/s/file ${mode.toString(8)}`, noise(10, String(mode)), { mode }),
    ),
    ...(isRoot ? [0o000, 0o555, 0o700, 0o1777, 0o2775] : [0o555, 0o700, 0o1777]).flatMap((mode) => [
      folder(`/s/folder ${mode.toString(8)}`, { mode }),
      file(`/s/folder ${mode.toString(8)}/inner`, 'x'),
    ]),
  ]),
);

restored('has times to the microsecond, from before 1970 to after 2038', () => {
  const times = [
    0n,
    1n,
    -1n,
    999_999n,
    1_000_000n,
    -1_500_001n,
    1_700_000_000_123_457n,
    4_000_000_000_999_999n,
  ];
  return roundTrip([
    folder('/s'),
    ...times.map((us) => file(`/s/${us}`, String(us), { mtimeNs: us * 1000n })),
    ...times.map((us) => folder(`/s/folder ${us}`, { mtimeNs: us * 1000n + 999n })),
    ...times.map((us) => symlink(`/s/link ${us}`, 'x', { mtimeNs: us * 1000n })),
  ]);
});

restored('has FIFOs, and leaves sockets out with a word', () =>
  withBench(async (bench) => {
    const stored = [folder('/s'), special('/s/fifo \xff', 'fifo', { mode: 0o622 })];
    const backup = await store(bench, [...stored, special('/s/socket', 'socket')]);
    const { failures, events } = await restoreInto(bench, backup);
    assertRestored(join(bench.folder, 'target'), stored);
    assert.is(failures, 0);
    assert.ok(events.some((event) => event.type === 'notice' && event.text.startsWith('1 socket left out')));
  }),
);

restored('has hard links that are one file', () =>
  withBench(async (bench) => {
    const shared = { link: '5:77' };
    const stored = [
      folder('/s'),
      file('/s/a', 'one file', shared),
      file('/s/b', 'another', { link: '5:78' }),
      file('/s/c/d', 'one file', shared),
      folder('/s/c'),
      file('/s/e', 'one file', shared),
      file('/s/empty 1', '', { link: '5:79' }),
      file('/s/empty 2', '', { link: '5:79' }),
    ];
    const { files } = await restoreInto(bench, await store(bench, stored));
    const target = join(bench.folder, 'target');
    assertRestored(target, stored);
    assert.is(files, 6);
    const inode = (path: string) => statSync(target + path).ino;
    assert.is(inode('/s/a'), inode('/s/c/d'));
    assert.is(inode('/s/a'), inode('/s/e'));
    assert.is(inode('/s/empty 1'), inode('/s/empty 2'));
    assert.is(statSync(`${target}/s/b`).nlink, 1);
  }),
);

restored('does not link names whose contents were different when they were read', () =>
  withBench(async (bench) => {
    const stored = [
      folder('/s'),
      file('/s/a', 'before', { link: '5:77' }),
      file('/s/b', 'later', { link: '5:77' }),
    ];
    await restoreInto(bench, await store(bench, stored));
    assertRestored(join(bench.folder, 'target'), stored);
  }),
);

restored('takes no room for long runs of zeros', () =>
  withBench(async (bench) => {
    const zeros = Buffer.alloc(1_000_000);
    const stored = [
      folder('/s'),
      file('/s/hole in the middle', [noise(100_000), zeros, noise(100_001, 'b')]),
      file('/s/hole at the end', [noise(100_000), zeros]),
      file('/s/only a hole', [zeros, zeros, zeros]),
      file('/s/one chunk', Buffer.concat([zeros, noise(1), zeros])),
    ];
    await restoreInto(bench, await store(bench, stored));
    const target = join(bench.folder, 'target');
    assertRestored(target, stored);
    for (const { entry } of stored.slice(1)) {
      const { blocks } = lstatSync(target + entry.path.toString());
      assert.ok(blocks * 512 < 500_000, `${entry.path} takes ${blocks * 512} bytes`);
    }
  }),
);

restored('lies below the target under its whole path, and the folders above it are private', () =>
  withBench(async (bench) => {
    const stored = [file('/home/ann/one', '1'), folder('/srv/data'), file('/srv/data/two', '2')];
    await restoreInto(bench, await store(bench, stored));
    const target = join(bench.folder, 'target');
    assertRestored(target, stored);
    for (const path of ['', '/home', '/home/ann', '/srv'])
      assert.is(statSync(target + path).mode & 0o777, 0o700);
  }),
);

restored('may go through a symlink the person named as the target', () =>
  withBench(async (bench) => {
    const stored = [folder('/s'), file('/s/a', '1')];
    mkdirSync(join(bench.folder, 'real'));
    symlinkSync('real', join(bench.folder, 'link'));
    await restoreInto(bench, await store(bench, stored), { target: join(bench.folder, 'link') });
    assertRestored(join(bench.folder, 'real'), stored);
  }),
);

restored('of the root folder gives the target its attributes', () =>
  withBench(async (bench) => {
    const stored = [folder('/', { mode: 0o751, mtimeNs: 1_222_222_222_000_000_000n }), file('/a', '1')];
    await restoreInto(bench, await store(bench, stored));
    const stats = statSync(join(bench.folder, 'target'));
    assert.is(stats.mode & 0o7777, 0o751);
    assert.is(stats.mtimeMs, 1_222_222_222_000);
    assert.equal(
      treeOf(join(bench.folder, 'target')).map(({ path }) => path),
      ['/a'],
    );
  }),
);

restored('keeps the folders that were open few, however deep the tree is', () => {
  const deep = Array.from({ length: 120 }, (_, depth) => '/f'.repeat(depth + 1));
  const wide = Array.from({ length: 150 }, (_, n) => `/wide ${n}`);
  return roundTrip([...deep, ...wide].flatMap((path) => [folder(path), file(`${path}/x`, path)]));
});

restored('tells how far it is: what was planned, then files and bytes that never go back', () =>
  withBench(async (bench) => {
    const stored = [
      folder('/s'),
      file('/s/a', [noise(60_000), noise(60_000, 'b')]),
      file('/s/b', 'b'),
      file('/s/c', ''),
    ];
    const { events, ...summary } = await restoreInto(bench, await store(bench, stored));
    const [started, planned, ...others] = events;
    assert.is(started?.type, 'restore_started');
    assert.equal(planned, {
      type: 'restore_planned',
      totalFiles: 3,
      totalBytes: 120_001,
      presentFiles: 0,
      presentBytes: 0,
    });
    const told = others.filter((event) => event.type === 'restored');
    told.forEach((event, index) => {
      const before = told[index - 1];
      assert.ok(event.restoredFiles >= (before?.restoredFiles ?? 0));
      assert.ok(event.restoredBytes >= (before?.restoredBytes ?? 0));
    });
    const last = {
      type: 'restored',
      restoredFiles: 3,
      restoredBytes: 120_001,
      fetchedBytes: summary.fetchedBytes,
    };
    assert.equal(told.at(-1), last);
    assert.is(summary.files, 3);
    assert.is(summary.bytes, 120_001);
  }),
);

const asRoot = suite('a backup restored by root');

if (isRoot) {
  asRoot('has its owners, set-id bits after them', () =>
    withBench(async (bench) => {
      const owner = { uid: 1234, gid: 4321 };
      const stored = [
        folder('/s', { ...owner, mode: 0o2750 }),
        file('/s/a', 'x', { ...owner, mode: 0o6755 }),
        symlink('/s/l', 'x', owner),
        special('/s/p', 'fifo', owner),
        device('/s/null', 0x103n, owner),
      ];
      await restoreInto(bench, await store(bench, stored));
      const target = join(bench.folder, 'target');
      assertRestored(target, stored);
      for (const { entry } of stored) {
        const { uid, gid } = lstatSync(target + entry.path.toString());
        assert.equal({ uid, gid }, owner, entry.path.toString());
      }
      assert.is(lstatSync(`${target}/s/null`).rdev, 0x103);
    }),
  );
} else {
  skipTest('a backup restored by root', 'these specs do not run as root');
}

asRoot('asked for by somebody else has no owner set, and names devices as left out', () =>
  withBench(async (bench) => {
    const stored = [folder('/s'), file('/s/a', 'x', { uid: 77, gid: 77 })];
    const backup = await store(bench, [...stored, device('/s/null', 0x103n)]);
    // An id that is not root's and not ours either: nothing is to be given away.
    const { events } = await restoreInto(bench, backup, { userId: 1000 });
    const target = join(bench.folder, 'target');
    assertRestored(target, stored);
    assert.is(statSync(`${target}/s/a`).uid, process.getuid!());
    assert.equal(
      events.filter((event) => event.type === 'entry_failed'),
      [{ type: 'entry_failed', path: `${target}/s/null`, reason: 'only root can make a device' }],
    );
  }),
);

const again = suite('a restore that is done again');

again('fetches nothing but the list of entries, and touches no file', () =>
  withBench(async (bench) => {
    const stored = [
      folder('/s', { mode: 0o500 }),
      file('/s/a', noise(100_000)),
      file('/s/b', '', { mode: 0o400 }),
      symlink('/s/l', 'a'),
      special('/s/p', 'fifo'),
      file('/s/h1', 'h', { link: '1:1' }),
      file('/s/h2', 'h', { link: '1:1' }),
    ];
    const backup = await store(bench, stored);
    await restoreInto(bench, backup);
    const target = join(bench.folder, 'target');
    const files = stored.filter(({ entry }) => entry.type === 'file').map(({ entry }) => entry.path);
    const changes = () => files.map((path) => lstatSync(target + path.toString(), { bigint: true }).ctimeNs);
    const before = changes();
    const summary = await restoreInto(bench, backup);
    assert.is(summary.files, 4);
    assert.is(summary.presentFiles, 4);
    assert.is(summary.fetchedBytes, 0);
    assert.equal(changes(), before);
    assertRestored(target, stored);
  }),
);

again('starts no threads to open chunks; the first one did, before it had an answer', () =>
  withBench(async (bench) => {
    const backup = await store(bench, [folder('/s'), file('/s/a', noise(1000))]);
    let events: string[] = [];
    const remote: Remote = {
      ...bench.remote,
      async get(name, range) {
        await new Promise(setImmediate); // a thread is told of a moment after its start
        events.push('answer');
        return bench.remote.get(name, range);
      },
    };
    const onEvent = ({ type }: ProgressEvent) => {
      if (type === 'restore_planned') events = events.filter((event) => event === 'thread');
    };
    const onWorker = () => {
      events.push('thread');
    };
    process.on('worker', onWorker);
    try {
      await restoreInto(bench, backup, { remote, onEvent });
      assert.equal(events, ['thread', 'thread', 'answer']);
      events = [];
      await restoreInto(bench, backup, { remote, onEvent });
      assert.equal(events, []);
    } finally {
      process.off('worker', onWorker);
    }
  }),
);

again('fetches what was removed meanwhile, and links it to what is there', () =>
  withBench(async (bench) => {
    const stored = [
      folder('/s'),
      file('/s/a', 'x', { link: '1:1' }),
      file('/s/b', 'x', { link: '1:1' }),
      file('/s/c', 'c'),
    ];
    const backup = await store(bench, stored);
    await restoreInto(bench, backup);
    const target = join(bench.folder, 'target');
    rmSync(`${target}/s/b`);
    rmSync(`${target}/s/c`);
    const { presentFiles, files } = await restoreInto(bench, backup);
    assert.equal({ presentFiles, files }, { presentFiles: 1, files: 3 });
    assertRestored(target, stored);
    assert.is(statSync(`${target}/s/a`).ino, statSync(`${target}/s/b`).ino);
  }),
);

again('takes a file whose time was lost for right when its content is', () =>
  withBench(async (bench) => {
    const stored = [folder('/s'), file('/s/a', [noise(70_000), noise(5)])];
    const backup = await store(bench, stored);
    await restoreInto(bench, backup);
    const path = join(bench.folder, 'target/s/a');
    const at = new Date('2026-01-02T03:04:05Z');
    utimesSync(path, at, at);
    chmodSync(path, 0o600);
    const { presentFiles, fetchedBytes, failures } = await restoreInto(bench, backup);
    assert.equal({ presentFiles, fetchedBytes, failures }, { presentFiles: 1, fetchedBytes: 0, failures: 0 });
    const { mtime, mode } = statSync(path);
    assert.equal([mtime, mode & 0o777], [at, 0o600], 'never means that it is left as it is');
  }),
);

restored.run();
asRoot.run();
again.run();
