import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PLACES, type Place, withWebdav } from '../helpers/cli-places.ts';
import { assertRestored, writeNoise, writePersonsFolder } from '../helpers/cli-trees.ts';
import type { FaultProxy } from '../helpers/fault-proxy.ts';
import {
  assertStatus,
  type Machine,
  type Running,
  readState,
  summaryOf,
  withMachine,
} from '../helpers/program.ts';

const FIELDS = ['backup_id', 'started_at', 'source_paths', 'uploaded_files', 'total_files', 'last_updated'];
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

function hasTold(run: Running, type: string): boolean {
  return run.events().some((event) => event.type === type);
}

function jq(filter: string, file: string): string {
  return execFileSync('jq', ['-r', filter, file], { encoding: 'utf8' }).trim();
}

function stateFileOf(machine: Machine): string {
  const files = machine.stateFiles().filter((file) => file.endsWith('.json'));
  assert.is(files.length, 1, 'one state file');
  return files[0]!;
}

/** What `resume-status` has of the only unfinished run: the journal's word. */
async function journalOf(machine: Machine): Promise<Record<string, unknown>> {
  const { stdout } = await machine.succeeds(['resume-status', '--json']);
  const runs = JSON.parse(stdout) as Record<string, unknown>[];
  assert.is(runs.length, 1);
  return runs[0]!;
}

async function assertSaysWhatTheJournalKnows(machine: Machine, source: string): Promise<void> {
  const state = readState(stateFileOf(machine));
  const journal = await journalOf(machine);
  assert.equal(Object.keys(state), FIELDS);
  assert.is(state.backup_id, journal.backup_id);
  assert.is(state.started_at, journal.started_at);
  assert.is(state.last_updated, journal.last_updated);
  assert.equal(state.source_paths, [source]);
  assert.is(state.total_files, journal.total_files);
  assert.is(state.uploaded_files.length, journal.uploaded_files);
  assert.is(new Set(state.uploaded_files).size, state.uploaded_files.length);
  assert.ok(state.uploaded_files.every((path) => path.startsWith(`${source}/`)));
}

const stateFile = suite('the state file');

for (const [name, withPlace] of Object.entries(PLACES)) {
  stateFile(`to ${name}: is there from the start, exact after Ctrl-C, gone when all is done`, async () => {
    await withPlace((place: Place) =>
      withMachine(async (machine) => {
        const source = join(machine.home, 'source');
        writePersonsFolder(source);
        writeNoise(source, 40, 300_000);
        await machine.succeeds(['init']);
        assert.equal(machine.stateFiles(), []);

        place.line?.limit(5_000_000);
        const run = machine.start(['backup', '--direct', '--json', source]);
        await run.waitFor('the start', () => hasTold(run, 'backup_started'));
        const file = stateFileOf(machine);
        assert.equal(Object.keys(readState(file)), FIELDS);
        assert.is(statSync(file).mode & 0o7777, 0o600);
        assert.is(statSync(machine.stateFolder).mode & 0o7777, 0o700);
        assert.is(statSync(machine.dataFolder).mode & 0o7777, 0o700);

        await run.waitFor('some files', () => run.events().some((event) => Number(event.uploaded_files) > 3));
        run.kill('SIGINT');
        const outcome = await run.ended;
        if (place.line !== null) assertStatus(outcome, 130); // to a folder it may have been faster
        if (outcome.status !== 0) {
          await assertSaysWhatTheJournalKnows(machine, source);
          assert.is(jq('.uploaded_files | length', file), String(readState(file).uploaded_files.length));
          assert.match(
            jq('.started_at + " " + .last_updated', file),
            new RegExp(`${INSTANT.source.slice(0, -1)} `),
          );
          assert.is(jq('.total_files', file), '52');
        }
        place.line?.limit(Number.POSITIVE_INFINITY);
        await machine.succeeds(['backup', '--direct', source]);
        assert.equal(machine.stateFiles(), []);
      }, place.env),
    );
  });
}

stateFile('is exact after the remote has gone', async () => {
  await withWebdav((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 40, 200_000);
      await machine.succeeds(['init']);
      place.line.limit(3_000_000);
      const run = machine.start(['backup', '--direct', '--json', '--retry-for', '1s', source]);
      await run.waitFor('some files', () => run.events().some((event) => Number(event.uploaded_files) > 3));
      await place.line.cut();
      assertStatus(await run.ended, 75);
      await assertSaysWhatTheJournalKnows(machine, source);
      assert.ok(readState(stateFileOf(machine)).uploaded_files.length > 3);
    }, place.env),
  );
});

type Meddling = readonly [string, (file: string, folder: string) => void];

const MEDDLINGS: readonly Meddling[] = [
  ['deleted', (file) => rmSync(file)],
  ['emptied', (file) => truncateSync(file)],
  ['replaced by garbage', (file) => writeFileSync(file, '{"backup_id": "../../x", "uploaded_files": 7')],
  [
    'edited to say that all is uploaded',
    (file) =>
      writeFileSync(file, readFileSync(file, 'utf8').replace(/"total_files": \d+/, '"total_files": 0')),
  ],
  ['gone with its folder', (_, folder) => rmSync(folder, { recursive: true })],
];

stateFile('meddled with between two runs changes nothing but that it is written again', async () => {
  await withWebdav((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 30, 100_000);
      await machine.succeeds(['init']);
      await killAtPlan(machine, source, place.line);
      const { backup_id } = readState(stateFileOf(machine));
      for (const [what, meddle] of MEDDLINGS) {
        meddle(stateFileOf(machine), machine.stateFolder);
        await killAtPlan(machine, source, place.line);
        const state = readState(stateFileOf(machine));
        assert.equal(Object.keys(state), FIELDS, what);
        assert.equal([state.backup_id, state.total_files], [backup_id, 30], what);
      }
      const summary = summaryOf(await machine.succeeds(['backup', '--direct', '--json', source]));
      assert.is(summary.backup_id, backup_id);
      assert.equal(machine.stateFiles(), []);
      await machine.succeeds(['restore', backup_id, '--target', join(machine.folder, 'restored')]);
      assertRestored(join(machine.folder, 'restored'), [source]);
    }, place.env),
  );
});

async function killAtPlan(machine: Machine, source: string, line: FaultProxy): Promise<void> {
  const run = machine.start(['backup', '--direct', '--json', source]);
  await run.waitFor('the plan', () => hasTold(run, 'planned'));
  line.limit(0); // until the file has been saved
  await run.waitFor('the state file', () => isWhole(stateFileOf(machine), 30));
  run.kill('SIGKILL');
  await run.ended;
  line.limit(Number.POSITIVE_INFINITY);
}

stateFile('meddled with while the run goes on is written again within moments', async () => {
  await withWebdav((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 20, 100_000);
      await machine.succeeds(['init']);
      const run = machine.start(['backup', '--direct', '--json', source]);
      await run.waitFor('the plan', () => hasTold(run, 'planned'));
      place.line.limit(0);
      const file = stateFileOf(machine);
      for (const [what, meddle] of MEDDLINGS) {
        meddle(file, machine.stateFolder);
        await run.waitFor(`it is there again after it was ${what}`, () => isWhole(file, 20));
      }
      place.line.limit(Number.POSITIVE_INFINITY);
      assertStatus(await run.ended, 0);
      assert.equal(machine.stateFiles(), []);
    }, place.env),
  );
});

function isWhole(file: string, totalFiles: number): boolean {
  try {
    return existsSync(file) && readState(file).total_files === totalFiles;
  } catch {
    return false; // half a line of somebody else's
  }
}

stateFile('that cannot be written is said once, and the backup goes on', async () => {
  await withWebdav((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 20, 100_000);
      await machine.succeeds(['init']);
      const run = machine.start(['backup', '--direct', source], { withoutPrivileges: true });
      await run.waitFor('the plan', () => run.stderr().includes('📊 Total'));
      place.line.limit(0);
      chmodSync(machine.stateFolder, 0o500);
      rmSync(stateFileOf(machine));
      await run.waitFor('the notice', () => run.stderr().includes('the state file could not be written'));
      place.line.limit(Number.POSITIVE_INFINITY);
      chmodSync(machine.stateFolder, 0o700);
      const outcome = await run.ended;
      assertStatus(outcome, 0);
      assert.is(outcome.stderr.split('the state file could not be written').length, 2, 'once');
      assert.equal(readdirSync(machine.stateFolder), []);
    }, place.env),
  );
});

stateFile.run();
