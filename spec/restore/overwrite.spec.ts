import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupHeader } from '../../lib/format/backup-header.ts';
import type { Overwrite } from '../../lib/restore/place.ts';
import {
  type Bench,
  file,
  folder,
  noise,
  type Restored,
  restoreInto,
  type Stored,
  special,
  store,
  symlink,
  withBench,
} from './fixtures.ts';
import { assertRestored } from './tree.ts';

const CHUNKS = Array.from({ length: 6 }, (_, n) => noise(40_000 + n, `chunk ${n}`));
const STORED: readonly Stored[] = [
  folder('/s'),
  file('/s/big', CHUNKS),
  file('/s/small', 'small'),
  symlink('/s/link', 'big'),
  special('/s/fifo', 'fifo'),
  folder('/s/folder'),
];
const REPLACING = ['if-changed', 'always'] as const;

/** Restores all, changes something in the target, and restores again. */
async function restoreOver(
  overwrite: Overwrite,
  change: (target: string) => void,
  check: (second: Restored, target: string, bench: Bench, backup: BackupHeader) => void | Promise<void>,
): Promise<void> {
  await withBench(async (bench) => {
    const backup = await store(bench, STORED);
    await restoreInto(bench, backup);
    const target = join(bench.folder, 'target');
    change(target);
    await check(await restoreInto(bench, backup, { overwrite }), target, bench, backup);
  });
}

const failuresOf = ({ events }: Restored, target: string) =>
  events.flatMap((event) =>
    event.type === 'entry_failed' ? [`${event.path.slice(target.length)}: ${event.reason}`] : [],
  );

const never = suite('a restore that may overwrite nothing');

never('leaves what is different alone, names it, and restores the rest', () =>
  restoreOver(
    'never',
    (target) => {
      writeFileSync(`${target}/s/big`, 'mine');
      rmSync(`${target}/s/small`);
      rmSync(`${target}/s/link`);
      symlinkSync('elsewhere', `${target}/s/link`);
      rmSync(`${target}/s/fifo`);
      writeFileSync(`${target}/s/fifo`, 'a file');
      rmSync(`${target}/s/folder`, { recursive: true });
      writeFileSync(`${target}/s/folder`, 'another file');
    },
    (second, target) => {
      assert.equal(failuresOf(second, target), [
        '/s/big: another file is there already',
        '/s/fifo: another file is there already',
        '/s/folder: another file is there already',
        '/s/link: a symlink is there already',
      ]);
      assert.is(second.failures, 4);
      assert.is(second.files, 1);
      assert.is(readFileSync(`${target}/s/big`, 'utf8'), 'mine');
      assert.is(readFileSync(`${target}/s/small`, 'utf8'), 'small');
      assert.is(readlinkSync(`${target}/s/link`), 'elsewhere');
      assert.is(readFileSync(`${target}/s/folder`, 'utf8'), 'another file');
    },
  ),
);

never('does not write over a file that appears while it fetches', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const target = join(bench.folder, 'target');
    const second = await restoreInto(bench, backup, {
      onEvent: (event) => {
        if (event.type !== 'restore_planned') return;
        writeFileSync(`${target}/s/big`, 'mine');
        writeFileSync(`${target}/s/small`, 'mine');
      },
    });
    assert.equal(failuresOf(second, target).sort(), [
      '/s/big: another file is there already',
      '/s/small: another file is there already',
    ]);
    assert.is(readFileSync(`${target}/s/big`, 'utf8'), 'mine');
    assert.is(second.files, 0);
  }),
);

never('takes the next name of a hard-linked file where the first is occupied', () =>
  withBench(async (bench) => {
    const stored = ['/a', '/b', '/c'].map((path) => file(path, 'linked', { link: '1:1' }));
    const backup = await store(bench, stored);
    const target = join(bench.folder, 'target');
    mkdirSync(target);
    writeFileSync(`${target}/a`, 'mine');
    const { files, failures } = await restoreInto(bench, backup);
    assert.equal({ files, failures }, { files: 2, failures: 1 });
    assert.is(readFileSync(`${target}/a`, 'utf8'), 'mine');
    assert.is(readFileSync(`${target}/c`, 'utf8'), 'linked');
    assert.is(statSync(`${target}/b`).ino, statSync(`${target}/c`).ino);
  }),
);

const replacing = suite('a restore that may overwrite');

for (const overwrite of REPLACING) {
  replacing(`(${overwrite}) puts everything in place of anything but a folder that is not empty`, () =>
    restoreOver(
      overwrite,
      (target) => {
        writeFileSync(`${target}/s/big`, 'mine');
        rmSync(`${target}/s/small`);
        mkdirSync(`${target}/s/small`);
        rmSync(`${target}/s/link`);
        mkdirSync(`${target}/s/link/inner`, { recursive: true });
        rmSync(`${target}/s/fifo`);
        symlinkSync('big', `${target}/s/fifo`);
        rmSync(`${target}/s/folder`, { recursive: true });
        symlinkSync('/etc', `${target}/s/folder`);
      },
      async (second, target, bench, backup) => {
        assert.equal(failuresOf(second, target), ['/s/link: a folder that is not empty is in its place']);
        assert.ok(existsSync(`${target}/s/link/inner`));
        rmSync(`${target}/s/link`, { recursive: true });
        assert.is((await restoreInto(bench, backup, { overwrite })).failures, 0);
        assertRestored(target, STORED);
      },
    ),
  );

  replacing(`(${overwrite}) sets modes and times right without fetching anything`, () =>
    restoreOver(
      overwrite,
      (target) => {
        chmodSync(`${target}/s/big`, 0o600);
        utimesSync(`${target}/s/small`, 5, 5);
        chmodSync(`${target}/s/folder`, 0o700);
      },
      (second, target) => {
        assert.is(second.fetchedBytes, 0);
        assert.is(second.presentFiles, 2);
        assertRestored(target, STORED);
      },
    ),
  );

  replacing(`(${overwrite}) does not write into a file through its other names`, () =>
    restoreOver(
      overwrite,
      (target) => {
        writeFileSync(`${target}/s/big`, 'mine');
        linkSync(`${target}/s/big`, join(target, '..', 'outside'));
      },
      (_, target) => {
        assert.is(readFileSync(join(target, '..', 'outside'), 'utf8'), 'mine');
        assertRestored(target, STORED);
      },
    ),
  );

  replacing(`(${overwrite}) puts a link in place of another file, and leaves one that is right`, () =>
    withBench(async (bench) => {
      const stored = ['/a', '/b', '/c'].map((path) => file(path, 'linked', { link: '1:1' }));
      const backup = await store(bench, stored);
      const target = join(bench.folder, 'target');
      await restoreInto(bench, backup);
      rmSync(`${target}/b`);
      writeFileSync(`${target}/b`, 'mine');
      const { failures } = await restoreInto(bench, backup, { overwrite });
      assert.is(failures, 0);
      assertRestored(target, stored);
      assert.is(statSync(`${target}/a`).nlink, 3);
    }),
  );
}

/** Changes one chunk of six in the middle of the big file. */
function changeOneChunk(target: string): void {
  const bytes = readFileSync(`${target}/s/big`);
  bytes[100_000]! ^= 1;
  writeFileSync(`${target}/s/big`, bytes);
}

replacing('(if-changed) fetches only the chunks that are different', () =>
  restoreOver('if-changed', changeOneChunk, (second, target) => {
    assertRestored(target, STORED);
    const planned = second.events.find((event) => event.type === 'restore_planned');
    const size = CHUNKS.reduce((sum, { length }) => sum + length, 0);
    assert.is(planned!.presentBytes, size - CHUNKS[2]!.length + 'small'.length);
  }),
);

replacing('(always) fetches a changed file anew', () =>
  restoreOver('always', changeOneChunk, (second, target) => {
    assertRestored(target, STORED);
    const planned = second.events.find((event) => event.type === 'restore_planned');
    assert.is(planned!.presentBytes, 5, 'the small file alone is right');
  }),
);

replacing('(if-changed) believes size and time, (always) reads the content', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    await restoreInto(bench, backup);
    const target = join(bench.folder, 'target');
    const { atime, mtime } = statSync(`${target}/s/small`);
    writeFileSync(`${target}/s/small`, 'SMALL');
    // Microseconds as they were.
    const { mtimeNs } = lstatSync(`${target}/s/big`, { bigint: true });
    utimesSync(`${target}/s/small`, atime, Number(mtimeNs) / 1e9);
    assert.is(mtime.getTime(), statSync(`${target}/s/small`).mtime.getTime());
    await restoreInto(bench, backup, { overwrite: 'if-changed' });
    assert.is(readFileSync(`${target}/s/small`, 'utf8'), 'SMALL');
    await restoreInto(bench, backup, { overwrite: 'always' });
    assertRestored(target, STORED);
  }),
);

never.run();
replacing.run();
