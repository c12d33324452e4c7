import fs, {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError, SkylockError } from '../../lib/errors.ts';
import type { Entry } from '../../lib/format/manifest.ts';
import { EntryError } from '../../lib/restore/failure.ts';
import type { Overwrite } from '../../lib/restore/place.ts';
import { bytes, openTarget } from '../../lib/restore/target.ts';
import { withFolder } from '../helpers/temporary.ts';
import { file, folder, restoreInto, store, symlink, withBench } from './fixtures.ts';
import { assertRestored } from './tree.ts';

const MODES: readonly Overwrite[] = ['never', 'if-changed', 'always'];

const hostile = suite('a restore into a hostile target');

for (const overwrite of MODES) {
  hostile(`(${overwrite}) never writes through a symlink in place of a folder above`, () =>
    withBench(async (bench) => {
      const backup = await store(bench, [file('/a/b/c', 'x'), file('/d', 'y')]);
      const [target, outside] = [join(bench.folder, 'target'), join(bench.folder, 'outside')];
      mkdirSync(outside);
      for (const where of ['a', 'a/b']) {
        rmSync(target, { recursive: true, force: true });
        mkdirSync(join(target, where, '..'), { recursive: true });
        symlinkSync(outside, join(target, where));
        const { events, failures, files } = await restoreInto(bench, backup, { overwrite });
        const failed = events.find((event) => event.type === 'entry_failed');
        assert.equal([failures, files], [1, 1]);
        assert.is(failed?.path, `${target}/a/b/c`);
        assert.is(failed?.reason, `a symlink is in the way at ${target}/${where}`);
        assert.equal(readdirSync(outside), []);
      }
    }),
  );

  hostile(`(${overwrite}) never writes through a symlink that an earlier restore has put there`, () =>
    withBench(async (bench) => {
      const outside = join(bench.folder, 'outside');
      mkdirSync(outside);
      const first = await store(bench, [symlink('/a', outside)]);
      await restoreInto(bench, first);
      const second = await store(bench, [folder('/a'), file('/a/b', 'x')], { id: '20251108_000000' });
      const { failures } = await restoreInto(bench, second, { overwrite });
      assert.equal(readdirSync(outside), []);
      assert.is(failures, overwrite === 'never' ? 2 : 0);
      assert.is(lstatSync(join(bench.folder, 'target/a')).isSymbolicLink(), overwrite === 'never');
    }),
  );

  hostile(`(${overwrite}) never follows a symlink in place of a file, nor a part file that is one`, () =>
    withBench(async (bench) => {
      const [target, outside] = [join(bench.folder, 'target'), join(bench.folder, 'outside')];
      writeFileSync(outside, 'mine');
      mkdirSync(target);
      symlinkSync(outside, join(target, 'a'));
      const backup = await store(bench, [file('/a', 'x')]);
      await restoreInto(bench, backup, { overwrite });
      assert.is(readFileSync(outside, 'utf8'), 'mine');
    }),
  );
}

hostile('notices a symlink that is put in place of a folder while it runs', () =>
  withBench(async (bench) => {
    const [target, outside] = [join(bench.folder, 'target'), join(bench.folder, 'outside')];
    mkdirSync(outside);
    const backup = await store(bench, [folder('/a'), file('/a/b', 'x'), folder('/c')]);
    await restoreInto(bench, backup, {
      onEvent: (event) => {
        if (event.type !== 'restore_planned') return;
        rmSync(join(target, 'a'), { recursive: true });
        symlinkSync(outside, join(target, 'a'));
      },
    });
    assert.equal(readdirSync(outside), []);
  }),
);

const lying = suite('a manifest that lies');

for (const [what, twist] of [
  ['goes up', { path: Buffer.from('/../../outside') }],
  ['is relative', { path: Buffer.from('outside') }],
  ['holds a NUL', { path: Buffer.from('/a\0b') }],
] as const) {
  lying(`about a path that ${what} is refused before anything is made`, () =>
    withBench(async (bench) => {
      const backup = await store(bench, [file('/a', 'x')], {
        twist: (entry) => ({ ...entry, ...twist }) as Entry,
      });
      const error = await restoreInto(bench, backup).catch((thrown: unknown) => thrown);
      assert.instance(error, DamagedError);
      assert.not.ok(existsSync(join(bench.folder, 'target')));
    }),
  );
}

lying('about what lies under a symlink of its own is refused', () =>
  withBench(async (bench) => {
    const backup = await store(bench, [symlink('/a', '/etc'), file('/a/b', 'x')]);
    const error = await restoreInto(bench, backup).catch((thrown: unknown) => thrown);
    assert.instance(error, DamagedError);
  }),
);

lying('about the size of a file fails that file alone', () =>
  withBench(async (bench) => {
    const stored = [folder('/s'), file('/s/b', 'x')];
    const backup = await store(bench, [...stored, file('/s/a', 'some content')], {
      twist: (entry) =>
        entry.path.equals(Buffer.from('/s/a')) ? ({ ...entry, size: 1e15 } as Entry) : entry,
    });
    const { events, failures } = await restoreInto(bench, backup);
    assert.is(failures, 1);
    assert.ok(
      events.some((event) => event.type === 'entry_failed' && event.reason.startsWith('its chunks have 12')),
    );
    assertRestored(join(bench.folder, 'target'), stored);
  }),
);

lying('about times no clock has is restored as near as can be', () =>
  withBench(async (bench) => {
    const mtimeNs = 10n ** 29n;
    const backup = await store(bench, [file('/a', 'x', { mtimeNs }), file('/b', 'y', { mtimeNs: -mtimeNs })]);
    const { files } = await restoreInto(bench, backup);
    assert.is(files, 2);
  }),
);

const target = suite('the target of a restore');

target('that is a file, or lies under one, is refused in one line', () =>
  withFolder(async (path) => {
    writeFileSync(join(path, 'file'), '');
    for (const name of ['file', 'file/below']) {
      assert.throws(
        () => openTarget(join(path, name)),
        (error: unknown) => error instanceof SkylockError && /it is no folder$/.test(error.message),
      );
    }
  }),
);

target('holds few folders open, and closes them all', () =>
  withFolder(async (path) => {
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    const opened = openTarget(path);
    for (let n = 0; n < 500; n += 1) {
      mkdirSync(opened.at(`/${n}`));
      assert.ok(existsSync(opened.at(`/${n}/x`, '.')));
    }
    assert.ok(open() - before < 100, `${open() - before} more are open`);
    opened.close();
    assert.is(open(), before);
  }),
);

/** Somebody else does this each time just before a folder is made. */
function whileRacing(forestall: (path: fs.PathLike) => void, use: () => void): void {
  const { mkdirSync: make } = fs;
  fs.mkdirSync = ((path: fs.PathLike, mode: fs.Mode) => {
    forestall(path);
    return make(path, mode);
  }) as typeof fs.mkdirSync;
  syncBuiltinESMExports();
  try {
    use();
  } finally {
    fs.mkdirSync = make;
    syncBuiltinESMExports();
  }
}

target('uses a folder on the way that another thread has made meanwhile', () =>
  withFolder(async (path) => {
    const opened = openTarget(path);
    const { mkdirSync: make } = fs;
    whileRacing(make, () => writeFileSync(opened.at('/a/b/c'), 'x'));
    assert.is(readFileSync(join(path, 'a/b/c'), 'utf8'), 'x');
    opened.close();
  }),
);

target('does not enter a symlink that was put meanwhile where a folder was to be made', () =>
  withFolder(async (path) => {
    const opened = openTarget(path);
    whileRacing(
      (at) => symlinkSync('/', at),
      () =>
        assert.throws(
          () => opened.at('/a/b/c'),
          (error: unknown) =>
            error instanceof EntryError && error.message.endsWith(`in the way at ${path}/a`),
        ),
    );
    opened.close();
  }),
);

target('names what it makes by bytes', () =>
  withFolder(async (path) => {
    const opened = openTarget(path);
    writeFileSync(opened.at('/f\xff\n/g\xfe'), 'x');
    assert.equal(readdirSync(bytes(`${path}/f\xff\n`), 'latin1'), ['g\xfe']);
    assert.is(opened.shown('/\xc3\xa4'), `${path}/ä`);
    opened.close();
  }),
);

hostile.run();
lying.run();
target.run();
