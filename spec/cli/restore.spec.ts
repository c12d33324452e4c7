import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PLACES, type Place, withLocal, withWebdav } from '../helpers/cli-places.ts';
import { assertRestored, writeNoise, writePersonsFolder } from '../helpers/cli-trees.ts';
import { assertStatus, summaryOf, withMachine } from '../helpers/program.ts';

const restore = suite('a restore');

for (const [name, withPlace] of Object.entries(PLACES)) {
  restore(`from ${name}: everything is as it was`, async () => {
    await withPlace((place: Place) =>
      withMachine(async (machine) => {
        const source = join(machine.home, 'source');
        writePersonsFolder(source);
        chmodSync(join(source, 'a-b'), 0o4751);
        linkSync(join(source, 'zeros'), join(source, 'notes/zeros again'));
        if (process.getuid?.() === 0) chownSync(join(source, 'secret'), 1234, 5678);
        utimesSync(join(source, 'notes'), 1_400_000_000, 1_400_000_000.000001);
        await machine.succeeds(['init']);
        await machine.succeeds(['backup', '--direct', source]);
        const target = join(machine.folder, 'restored');
        await machine.succeeds(['restore', 'latest', '--target', target]);
        assertRestored(target, [source]);
        const at = (path: string) => lstatSync(join(target, source, path));
        assert.is(at('pictures/cat.raw').ino, at('pictures/the same cat.raw').ino, 'one file with two names');
        assert.is(at('zeros').ino, at('notes/zeros again').ino);
        if (process.getuid?.() === 0) assert.equal([at('secret').uid, at('secret').gid], [1234, 5678]);
      }, place.env),
    );
  });
}

restore('that is killed again and again fetches only what is not there yet', async () => {
  await withWebdav((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      const size = writeNoise(source, 20, 1_000_000);
      await machine.succeeds(['init']);
      await machine.succeeds(['backup', '--direct', source]);
      const target = join(machine.folder, 'restored');
      for (const share of [0.2, 0.5]) {
        const run = machine.start(['restore', 'latest', '--target', target, '--json', '--connections', '1']);
        await run.waitFor(`${share} of it`, () =>
          run.events().some(({ restored_bytes }) => Number(restored_bytes) >= share * size),
        );
        run.kill('SIGKILL');
        await run.ended;
      }
      const summary = summaryOf(await machine.succeeds(['restore', 'latest', '--target', target, '--json']));
      assert.ok(
        Number(summary.fetched_bytes) < 0.7 * size,
        `${summary.fetched_bytes} of ${size} fetched again`,
      );
      assertRestored(target, [source]);
    }, place.env),
  );
});

restore('over what is there replaces nothing unless it is told to', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      mkdirSync(source);
      for (const name of ['same', 'edited', 'gone']) writeFileSync(join(source, name), name);
      await machine.succeeds(['init']);
      await machine.succeeds(['backup', '--direct', source]);

      const target = join(machine.folder, 'restored');
      const at = (name: string) => join(target, source, name);
      mkdirSync(join(target, source), { recursive: true });
      writeFileSync(at('edited'), 'mine, newer');
      const kept = await machine.run(['restore', 'latest', '--target', target]);
      assertStatus(kept, 3);
      assert.match(kept.stderr, /✖ .*edited: /);
      assert.match(kept.stderr, /--overwrite if-changed/);
      assert.is(readFileSync(at('edited'), 'utf8'), 'mine, newer');
      assert.is(readFileSync(at('gone'), 'utf8'), 'gone');

      await machine.succeeds(['restore', 'latest', '--target', target, '--overwrite', 'if-changed']);
      assertRestored(target, [source]);

      // As long, and as old: only its content tells.
      writeFileSync(at('same'), 'SAME');
      const { atime, mtime } = lstatSync(join(source, 'same'));
      utimesSync(at('same'), atime, mtime);
      await machine.succeeds(['restore', 'latest', '--target', target, '--overwrite', 'always']);
      assert.is(readFileSync(at('same'), 'utf8'), 'same');
    }, place.env),
  );
});

restore('stays below its target, whatever symlinks lie there', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      mkdirSync(join(source, 'folder'), { recursive: true });
      writeFileSync(join(source, 'folder/file'), 'from the backup');
      await machine.succeeds(['init']);
      await machine.succeeds(['backup', '--direct', source]);

      const [target, elsewhere] = [join(machine.folder, 'restored'), join(machine.folder, 'elsewhere')];
      mkdirSync(join(target, source), { recursive: true });
      mkdirSync(elsewhere);
      symlinkSync(elsewhere, join(target, source, 'folder'));
      const outcome = await machine.run(['restore', 'latest', '--target', target]);
      assert.not.ok(existsSync(join(elsewhere, 'file')), 'nothing went through the symlink');
      assertStatus(outcome, 3);
      assert.match(outcome.stderr, /✖ .*folder/);
    }, place.env),
  );
});

restore.run();
