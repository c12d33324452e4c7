import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { InterruptedError, RemoteError } from '../../lib/errors.ts';
import type { BackupHeader } from '../../lib/format/backup-header.ts';
import { identifyProcess } from '../../lib/journal/owner.ts';
import { isAbandoned, parsePartName, partKey, partName, partTag } from '../../lib/restore/part-name.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import { type Bench, file, folder, noise, restoreInto, type Stored, store, withBench } from './fixtures.ts';
import { assertRestored, expectedTree, treeOf } from './tree.ts';

/** Files of one chunk and of many; with packs of 100 kB their chunks lie in about ten packs. */
const STORED: readonly Stored[] = [
  folder('/s'),
  file(
    '/s/big',
    Array.from({ length: 12 }, (_, n) => noise(50_000, `big ${n}`)),
  ),
  ...Array.from({ length: 20 }, (_, n) => file(`/s/small ${n}`, noise(15_000, `small ${n}`))),
  file('/s/shared', [noise(50_000, 'big 3'), noise(50_000, 'big 9')]),
];
const CONTENT_BYTES = 900_000;
/** The manifest is one request, the big file's packs are the next six. */
const MIDDLE = 4;
/** Four packs at once, of 100 kB and a chunk; in a pack so small, what is needed is never far from what is not. */
const IN_FLIGHT = 4 * 160_000;

const parts = (target: string) =>
  treeOf(target)
    .map(({ path }) => path.slice(path.lastIndexOf('/') + 1))
    .filter((name) => name.startsWith('.skylock-part-'));

async function interrupt(bench: Bench, backup: BackupHeader, call: number): Promise<unknown> {
  const remote = failingRemote(bench.remote, [{ verb: 'get', call, times: Number.POSITIVE_INFINITY }]);
  return restoreInto(bench, backup, { remote }).then(
    () => null,
    (error: unknown) => error,
  );
}

const interrupted = suite('an interrupted restore');

interrupted('that lost the remote at any request goes on with what is missing', async () => {
  let failures = 0;
  for (let call = 1; ; call += 1) {
    let isThrough = false;
    await withBench(async (bench) => {
      const backup = await store(bench, STORED);
      const error = await interrupt(bench, backup, call);
      isThrough = error === null;
      if (!isThrough) assert.instance(error, RemoteError);
      const target = join(bench.folder, 'target');
      const { presentFiles, fetchedBytes, events } = await restoreInto(bench, backup);
      assertRestored(target, STORED);
      const planned = events.find((event) => event.type === 'restore_planned');
      const missing = CONTENT_BYTES - (planned?.presentBytes ?? 0);
      assert.ok(
        fetchedBytes <= missing + IN_FLIGHT,
        `at ${call}: ${fetchedBytes} fetched of ${missing} missing`,
      );
      if (isThrough) assert.is(presentFiles, 22);
    });
    if (isThrough) break;
    failures += 1;
  }
  assert.ok(failures > 8, `${failures} requests`);
});

interrupted('fetches in both runs together no more than one run, and what was in flight', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const gets = failingRemote(bench.remote, []);
    const { fetchedBytes: whole } = await restoreInto(bench, backup, {
      remote: gets,
      target: join(bench.folder, 'elsewhere'),
    });
    for (const call of [4, 6, 9]) {
      const target = join(bench.folder, `target ${call}`);
      let first = 0;
      const remote = failingRemote(bench.remote, [{ verb: 'get', call, times: Number.POSITIVE_INFINITY }]);
      await restoreInto(bench, backup, {
        remote,
        target,
        onEvent: (event) => {
          if (event.type === 'restored') first = event.fetchedBytes;
        },
      }).catch(() => {});
      const { fetchedBytes: second } = await restoreInto(bench, backup, { target });
      assert.ok(first + second <= whole + IN_FLIGHT, `${first} + ${second} of ${whole}`);
      assert.ok(second < whole, 'something was kept');
    }
  }),
);

interrupted('leaves part files, and the one that goes on leaves none', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const target = join(bench.folder, 'target');
    await interrupt(bench, backup, MIDDLE);
    assert.ok(parts(target).length > 0);
    await restoreInto(bench, backup);
    assert.equal(parts(target), []);
  }),
);

interrupted('believes of a part file only what it can verify', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const target = join(bench.folder, 'target');
    await interrupt(bench, backup, MIDDLE);
    const [part] = parts(target);
    const path = join(target, 's', part!);
    const bytes = readFileSync(path);
    const written = bytes.findIndex((byte) => byte !== 0);
    bytes[written + 10]! ^= 1;
    writeFileSync(path, bytes);
    await restoreInto(bench, backup);
    assertRestored(target, STORED);
  }),
);

interrupted('writes zeros over what a part file holds in their place', () =>
  withBench(async (bench) => {
    const stored = [folder('/s'), file('/s/a', [noise(70_000), Buffer.alloc(300_000), noise(70_001, 'b')])];
    const backup = await store(bench, stored);
    mkdirSync(join(bench.folder, 'target/s'), { recursive: true });
    const part = join(bench.folder, 'target/s', partName(partKey('a'), '999999999-00000000'));
    writeFileSync(part, Buffer.alloc(440_001, 0xff), { mode: 0o600 });
    await restoreInto(bench, backup);
    assertRestored(join(bench.folder, 'target'), stored);
  }),
);

interrupted('leaves a part of a file of one chunk, and what is wrong in it is replaced', () =>
  withBench(async (bench) => {
    const stored = [folder('/s'), file('/s/a', noise(1000))];
    const backup = await store(bench, stored);
    mkdirSync(join(bench.folder, 'target/s'), { recursive: true });
    const part = join(bench.folder, 'target/s', partName(partKey('a'), '999999999-00000000'));
    writeFileSync(part, noise(1000, 'wrong'), { mode: 0o600 });
    assert.is((await restoreInto(bench, backup)).failures, 0);
    assertRestored(join(bench.folder, 'target'), stored);
  }),
);

interrupted('writes nothing into a part file that others may read or run', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const inFolder = join(bench.folder, 'target/s');
    mkdirSync(inFolder, { recursive: true });
    const left = join(inFolder, partName(partKey('big'), '999999999-00000000'));
    writeFileSync(left, 'of another backup');
    chmodSync(left, 0o4755); // killed just before it was moved into place
    const part = join(inFolder, partName(partKey('big'), partTag(identifyProcess(process.pid)!)));
    let mode = 0;
    await restoreInto(bench, backup, {
      onEvent: ({ type }) => {
        if (type === 'restore_planned') mode = statSync(part).mode & 0o7777;
      },
    });
    assert.is(mode, 0o600);
    assertRestored(join(bench.folder, 'target'), STORED);
  }),
);

for (const [what, bytes] of [
  ['shorter', 10],
  ['longer', 2_000_000],
] as const) {
  interrupted(`goes on with a part file that has become ${what}`, () =>
    withBench(async (bench) => {
      const backup = await store(bench, STORED);
      const target = join(bench.folder, 'target');
      await interrupt(bench, backup, MIDDLE);
      truncateSync(join(target, 's', parts(target)[0]!), bytes);
      await restoreInto(bench, backup);
      assertRestored(target, STORED);
    }),
  );
}

interrupted('of another backup leaves a part that serves as far as it is the same', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const target = join(bench.folder, 'target');
    await interrupt(bench, backup, MIDDLE);
    const later = [
      folder('/s'),
      file('/s/big', [...Array.from({ length: 12 }, (_, n) => noise(50_000, `big ${n}`)), noise(7, 'more')]),
    ];
    const { events } = await restoreInto(bench, await store(bench, later, { id: '20251108_000000' }));
    const planned = events.find((event) => event.type === 'restore_planned');
    assert.ok(planned!.presentBytes >= 50_000);
    assert.equal(parts(target), []);
    const { content } = treeOf(target).find(({ path }) => path === '/s/big')!;
    assert.is(content, expectedTree(later)[1]!.content);
  }),
);

interrupted('leaves a part that goes when its file is in place by other means', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const target = join(bench.folder, 'target');
    await restoreInto(bench, backup);
    const leftover = partName(partKey('big'), '999999999-00000000');
    writeFileSync(join(target, 's', leftover), 'x', { mode: 0o600 });
    await restoreInto(bench, backup);
    assert.equal(parts(target), []);
    assertRestored(target, STORED);
  }),
);

interrupted('leaves parts in any folder, and each is found', () =>
  withBench(async (bench) => {
    const folders = ['/s', '/s/one', '/s/one/below', '/s/two'];
    const stored = folders.flatMap((path) => [folder(path), file(`${path}/z`, noise(100, path))]);
    const backup = await store(bench, stored);
    const target = join(bench.folder, 'target');
    await restoreInto(bench, backup);
    for (const path of folders) {
      const leftover = partName(partKey('z'), '999999999-00000000');
      writeFileSync(join(target, path, leftover), 'x', { mode: 0o600 });
    }
    assert.is(parts(target).length, 4);
    await restoreInto(bench, backup);
    assert.equal(parts(target), []);
    assertRestored(target, stored);
  }),
);

interrupted('does not touch the part files of a process that is alive', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const target = join(bench.folder, 'target');
    await restoreInto(bench, backup);
    const sleeper = spawn('sleep', ['60'], { stdio: 'ignore' });
    try {
      await once(sleeper, 'spawn');
      const name = partName(partKey('big'), partTag(identifyProcess(sleeper.pid!)!));
      writeFileSync(join(target, 's', name), 'x', { mode: 0o600 });
      await restoreInto(bench, backup);
      assert.equal(parts(target), [name]);
      sleeper.kill('SIGKILL');
      await once(sleeper, 'exit');
      await restoreInto(bench, backup);
      assert.equal(parts(target), []);
    } finally {
      sleeper.kill('SIGKILL');
    }
  }),
);

interrupted('does not go on with a part file that has a second name, through which it could be changed', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const target = join(bench.folder, 'target');
    await interrupt(bench, backup, MIDDLE);
    const [part] = parts(target);
    const held = join(target, 's', partName(partKey('big'), '999999999-00000000'));
    renameSync(join(target, 's', part!), held);
    linkSync(held, join(bench.folder, 'second name'));
    const before = readFileSync(held);
    const { failures } = await restoreInto(bench, backup);
    assert.is(failures, 0);
    assert.is(statSync(held).nlink, 2, 'it was left where it was');
    assert.ok(readFileSync(held).equals(before));
  }),
);

interrupted('keeps a restored file that happens to be called like a part file', () =>
  withBench(async (bench) => {
    const name = partName(partKey('a'), '999999999-00000000');
    const stored = [
      folder('/s'),
      file('/s/!', 'before it'),
      file(`/s/${name}`, 'of a backed up restore'),
      file('/s/a', 'a'),
    ];
    const backup = await store(bench, stored);
    for (let round = 0; round < 3; round += 1) {
      await restoreInto(bench, backup);
      assertRestored(join(bench.folder, 'target'), stored);
    }
  }),
);

const stopped = suite('a restore that is asked to stop');

for (const at of ['restore_started', 'restore_planned', 'restored'] as const) {
  stopped(`at '${at}' stops, keeps its part files and can be resumed`, () =>
    withBench(async (bench) => {
      const backup = await store(bench, STORED);
      const stop = new AbortController();
      const error = await restoreInto(bench, backup, {
        signal: stop.signal,
        onEvent: (event) => {
          if (event.type === at) stop.abort();
        },
      }).catch((thrown: unknown) => thrown);
      assert.instance(error, InterruptedError);
      await restoreInto(bench, backup);
      assertRestored(join(bench.folder, 'target'), STORED);
    }),
  );
}

stopped('holds the target open until the threads that write into it have ended', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const target = join(bench.folder, 'target');
    const held: boolean[] = [];
    const onWorker = (worker: Worker) => worker.on('exit', () => held.push(isHeldOpen(target)));
    process.on('worker', onWorker);
    try {
      const stop = new AbortController();
      await restoreInto(bench, backup, {
        signal: stop.signal,
        onEvent: ({ type }) => {
          if (type === 'restored') stop.abort();
        },
      }).catch(() => {});
    } finally {
      process.off('worker', onWorker);
    }
    assert.equal(held, [true, true]);
    assert.not.ok(isHeldOpen(target));
  }),
);

function isHeldOpen(path: string): boolean {
  return readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false; // the one the folder was listed through
    }
  });
}

stopped('does not wait for a remote that does not answer', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const stop = new AbortController();
    let asked = 0;
    const remote = {
      ...bench.remote,
      get: (...[name, range]: Parameters<typeof bench.remote.get>) => {
        asked += 1;
        if (!name.startsWith('packs/') || asked < 8) return bench.remote.get(name, range);
        setImmediate(() => stop.abort());
        return new Promise<Buffer | null>(() => {});
      },
    };
    const error = await restoreInto(bench, backup, { remote, signal: stop.signal }).catch(
      (thrown: unknown) => thrown,
    );
    assert.instance(error, InterruptedError);
  }),
);

const parting = suite('the name of a part file');

parting('is told from other names, and says whether its process has ended', () => {
  const key = partKey('a name');
  assert.match(key, /^[0-9a-f]{16}$/);
  assert.equal(parsePartName(partName(key, '12-01234567')), { key, tag: '12-01234567' });
  for (const other of [
    '',
    'x',
    '.skylock-part-',
    `.skylock-part-${key}`,
    `.skylock-part-${key}-12-0123456`,
    `x${partName(key, '12-01234567')}`,
  ]) {
    assert.is(parsePartName(other), null, other);
  }
  assert.ok(isAbandoned({ key, tag: '999999999-00000000' }));
  assert.ok(isAbandoned({ key, tag: `${process.pid}-00000000` }), 'another process that had this number');
});

interrupted.run();
stopped.run();
parting.run();
