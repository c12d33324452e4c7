import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { UsageError } from '../../lib/errors.ts';
import { file, folder, restoreInto, type Stored, store, symlink, withBench } from './fixtures.ts';
import { assertRestored, treeOf } from './tree.ts';

const STORED: readonly Stored[] = [
  folder('/s', { mode: 0o750 }),
  folder('/s/a', { mode: 0o711 }),
  file('/s/a/1', 'one', { link: '1:1' }),
  file('/s/a/2', 'two'),
  file('/s/a-b', 'not in a'),
  file('/s/a0', 'not in a either'),
  folder('/s/b'),
  folder('/s/b/c'),
  file('/s/b/c/1', 'one', { link: '1:1' }),
  symlink('/s/b/l', 'c'),
];
const paths = (...list: string[]) => list.map((path) => Buffer.from(path));

const chosen = suite('a restore of some paths');

for (const [asked, expected] of [
  [['/s/a'], ['/s', '/s/a', '/s/a/1', '/s/a/2']],
  [['/s/a/2'], ['/s', '/s/a', '/s/a/2']],
  [['/s/b/c/1'], ['/s', '/s/b', '/s/b/c', '/s/b/c/1']],
  [
    ['/s/b', '/s/b/c', '/s/a-b'],
    ['/s', '/s/a-b', '/s/b', '/s/b/c', '/s/b/c/1', '/s/b/l'],
  ],
  [['/'], STORED.map(({ entry }) => entry.path.toString())],
] as const) {
  chosen(`${asked.join(' and ')} restores that and the folders above, as they were`, () =>
    withBench(async (bench) => {
      await restoreInto(bench, await store(bench, STORED), { paths: paths(...asked) });
      const wanted = STORED.filter(({ entry }) =>
        (expected as readonly string[]).includes(entry.path.toString()),
      );
      assertRestored(join(bench.folder, 'target'), wanted);
    }),
  );
}

chosen('leaves the folders above as they are where they are there', () =>
  withBench(async (bench) => {
    const target = join(bench.folder, 'target');
    mkdirSync(join(target, 's'), { recursive: true, mode: 0o700 });
    await restoreInto(bench, await store(bench, STORED), { paths: paths('/s/a/1') });
    assert.is(statSync(join(target, 's')).mode & 0o777, 0o700);
    assert.is(statSync(join(target, 's/a')).mode & 0o777, 0o711);
  }),
);

chosen('links the names of one file that were chosen to one another', () =>
  withBench(async (bench) => {
    const target = join(bench.folder, 'target');
    await restoreInto(bench, await store(bench, STORED), { paths: paths('/s/b') });
    assert.is(statSync(join(target, 's/b/c/1')).nlink, 1);
    await restoreInto(bench, await store(bench, STORED), {
      paths: paths('/s/a/1', '/s/b/c/1'),
      target: `${target}2`,
    });
    assert.is(statSync(`${target}2/s/a/1`).ino, statSync(`${target}2/s/b/c/1`).ino);
  }),
);

chosen('that is not in the backup is an error that names it, and nothing is made', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    for (const wrong of ['/s/a/3', '/s/a/1/below', '/t', '/s/']) {
      const error = await restoreInto(bench, backup, { paths: paths('/s/a/1', wrong) }).catch(
        (thrown: unknown) => thrown,
      );
      assert.instance(error, UsageError);
      assert.is((error as Error).message, `restore ${wrong}: it is not in backup 20251107_142030`);
      assert.not.ok(existsSync(join(bench.folder, 'target')));
    }
  }),
);

chosen('counts what was chosen only', () =>
  withBench(async (bench) => {
    const { events, files, bytes } = await restoreInto(bench, await store(bench, STORED), {
      paths: paths('/s/a'),
    });
    const planned = events.find((event) => event.type === 'restore_planned');
    assert.equal([planned?.totalFiles, planned?.totalBytes, files, bytes], [2, 6, 2, 6]);
  }),
);

chosen('in two goes gives the whole', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    await restoreInto(bench, backup, { paths: paths('/s/b') });
    await restoreInto(bench, backup);
    const target = join(bench.folder, 'target');
    assertRestored(target, STORED);
    assert.is(treeOf(target).length, STORED.length);
  }),
);

chosen.run();
