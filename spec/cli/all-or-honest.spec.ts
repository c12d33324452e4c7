import { spawn } from 'node:child_process';
import { appendFileSync, chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withLocal, withWebdav } from '../helpers/cli-places.ts';
import { assertRestored, writeNoise, writePersonsFolder } from '../helpers/cli-trees.ts';
import {
  assertStatus,
  jsonLines,
  type Machine,
  type Outcome,
  summaryOf,
  withMachine,
} from '../helpers/program.ts';

const honest = suite('a backup of which a part cannot be had');

honest(
  'files and folders without permission are named, the rest is there, status 3; the next run has them',
  async () => {
    await withLocal((place) =>
      withMachine(async (machine) => {
        const source = join(machine.home, 'source');
        writePersonsFolder(source);
        mkdirSync(join(source, 'closed'));
        writeFileSync(join(source, 'closed/inside'), 'not seen');
        chmodSync(join(source, 'closed'), 0);
        chmodSync(join(source, 'notes/today.txt'), 0);
        await machine.succeeds(['init']);

        const outcome = await machine.run(['backup', '--direct', source], { withoutPrivileges: true });
        assertStatus(outcome, 3);
        assert.match(outcome.stderr, named(join(source, 'closed'), 'permission denied'));
        assert.match(outcome.stderr, named(join(source, 'notes/today.txt'), 'permission denied'));
        assert.match(outcome.stderr, /⚠️ +Backup complete/);
        assert.match(outcome.stderr, /warning: 2 entries could not be read/);
        assert.not.match(outcome.stderr, /✅ Backup/);
        assert.match(outcome.stdout, /^\d{8}_\d{6}\n$/);
        assert.match((await machine.succeeds(['list'])).stdout, /complete, 2 unreadable/);
        assert.equal(machine.stateFiles(), []);

        const paths = (await pathsIn(machine)).map((path) => path.slice(source.length + 1));
        assert.ok(paths.includes('pictures/dog.raw') && paths.includes('closed'));
        assert.not.ok(paths.includes('notes/today.txt') || paths.includes('closed/inside'));

        const quiet = await machine.run(['backup', '--direct', '--quiet', source], {
          withoutPrivileges: true,
        });
        assertStatus(quiet, 3);
        assert.match(quiet.stderr, named(join(source, 'closed'), 'permission denied'));
        const json = await machine.run(['backup', '--direct', '--json', source], { withoutPrivileges: true });
        assertStatus(json, 3);
        const failed = jsonLines(json.stdout).filter(({ type }) => type === 'entry_failed');
        assert.equal(
          failed.map(({ path }) => path),
          [join(source, 'closed'), join(source, 'notes/today.txt')],
        );
        assert.is(summaryOf(json).failures, 2);

        chmodSync(join(source, 'closed'), 0o755);
        chmodSync(join(source, 'notes/today.txt'), 0o644);
        await machine.succeeds(['backup', '--direct', source], { withoutPrivileges: true });
        await machine.succeeds(['restore', 'latest', '--target', join(machine.folder, 'restored')]);
        assertRestored(join(machine.folder, 'restored'), [source]);
      }, place.env),
    );
  },
);

honest('a source that cannot be read at all is no success', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      mkdirSync(source);
      writeFileSync(join(source, 'inside'), 'not seen');
      chmodSync(source, 0);
      await machine.succeeds(['init']);
      const outcome = await machine.run(['backup', '--direct', source], { withoutPrivileges: true });
      assertStatus(outcome, 3);
      assert.match(outcome.stderr, named(source, 'permission denied'));
    }, place.env),
  );
});

honest('a file that vanishes before it is read, and one that becomes a folder, are named', async () => {
  // The line stands still once the plan is made: what is at the end of the tree is not read before it moves again.
  await withWebdav((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 4, 10_000_000);
      for (const name of ['z-stays', 'z-vanishes', 'z-becomes a folder', 'z-changes']) {
        writeFileSync(join(source, name), name);
      }
      await machine.succeeds(['init']);
      const run = machine.start(['backup', '--direct', '--json', '--connections', '1', source]);
      await run.waitFor('the plan', () => run.events().some(({ type }) => type === 'source_scanned'));
      place.line.limit(0);
      await run.waitFor('the plan', () => run.events().some(({ type }) => type === 'planned'));
      rmSync(join(source, 'z-vanishes'));
      rmSync(join(source, 'z-becomes a folder'));
      mkdirSync(join(source, 'z-becomes a folder'));
      appendFileSync(join(source, 'z-changes'), ', and is then read as it is');
      place.line.limit(Number.POSITIVE_INFINITY);

      const outcome = await run.ended;
      assertStatus(outcome, 3);
      assert.equal(failuresOf(outcome), [
        [join(source, 'z-becomes a folder'), 'became a folder while it was being backed up'],
        [join(source, 'z-vanishes'), 'vanished while it was being backed up'],
      ]);
      const target = join(machine.folder, 'restored');
      await machine.succeeds(['restore', 'latest', '--target', target]);
      const restored = join(target, source);
      assert.is(readFileSync(join(restored, 'z-stays'), 'utf8'), 'z-stays');
      assert.is(readFileSync(join(restored, 'z-changes'), 'utf8'), 'z-changes, and is then read as it is');
      await machine.succeeds(['backup', '--direct', source]);
    }, place.env),
  );
});

honest('a file that changes each time it is read is named, and what was read last is kept', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 1, 100_000);
      const log = join(source, 'log');
      writeFileSync(log, Buffer.alloc(8_000_000, 'line '));
      await machine.succeeds(['init']);
      const writer = spawn('/bin/sh', ['-c', 'while :; do echo a line more; done >>"$1"', 'sh', log]);
      const outcome = await machine
        .run(['backup', '--direct', '--json', source])
        .finally(() => writer.kill('SIGKILL'));
      assertStatus(outcome, 3);
      assert.equal(failuresOf(outcome), [[log, 'changed each time it was read: what was read last is kept']]);

      const target = join(machine.folder, 'restored');
      await machine.succeeds(['restore', 'latest', '--target', target]);
      const kept = readFileSync(join(target, log));
      assert.ok(kept.length >= 8_000_000);
      assert.ok(readFileSync(log).subarray(0, kept.length).equals(kept), 'a beginning of what it is now');

      await machine.succeeds(['backup', '--direct', source]);
    }, place.env),
  );
});

function failuresOf(outcome: Outcome): unknown[][] {
  return jsonLines(outcome.stdout)
    .filter(({ type }) => type === 'entry_failed')
    .map(({ path, reason }) => [path, reason]);
}

async function pathsIn(machine: Machine): Promise<string[]> {
  return jsonLines((await machine.succeeds(['ls', 'latest', '--json'])).stdout).map(({ path }) =>
    String(path),
  );
}

function named(path: string, reason: string): RegExp {
  return new RegExp(`^✖ ${path}: ${reason}$`, 'm');
}

honest.run();
