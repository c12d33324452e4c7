/**
 * The real program, killed with SIGKILL at each step that outlives it, and run again. What the steps are is not written down
 * here: a run that is not killed tells them.
 */
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { concurrently } from '../../lib/repository/concurrently.ts';
import { verify } from '../../lib/upkeep/verify.ts';
import { seededBytes } from '../format/fixtures.ts';
import { type Place, packsAt } from './cli-places.ts';
import { assertRestored } from './cli-trees.ts';
import {
  assertNothingFalse,
  assertTidy,
  differentMoments,
  momentsIn,
  namesIn,
  newRepository,
  repositoryAt,
  watchedProgram,
} from './kill-cases.ts';
import { assertStatus, jsonLines, type Machine, type Outcome, summaryOf, withMachine } from './program.ts';
import { type Tree, withTree } from './tree.ts';

/**
 * Two packs: the first is ended by its size in the middle of `big`, the second by the end of the files. No file is empty: where
 * some are uploaded as soon as they are planned, the state file is written anew at the first save, and copied at the second only.
 */
const TREE: Tree = [
  ['a/text', 'the same line again\n'.repeat(400)],
  ['big', seededBytes(1_300_000, 'big')],
  ...Array.from(
    { length: 6 },
    (_, index) => [`docs/${index}`, seededBytes(9_000 * (index + 1), `${index}`)] as const,
  ),
  ['docs/none/', ''],
  ['link', { linkTo: 'docs/5' }],
];

/** Of packs that hold the same in two runs: their headers, and manifests of another state. */
const SLACK_BYTES = 10_000;
const CASES_AT_ONCE = 2;
/** Four lanes take turns as they like: now and then the third pack of one run is the second of another. */
const TRIES = 3;

/** An object that was begun and holds nothing yet is left out: the folder has it. */
const ON_THE_REMOTE = /^(before|after) (fill|name|remove) (temporary object|pack|index|checkpoint|backup) /;
/** What no run is without; on the remote alone, what of it happens there. */
const STEPS = [
  'record migrations',
  'record source_set run claim',
  'name state file',
  'copy next state file',
  'fill temporary object',
  'name pack',
  'name index',
  'name checkpoint',
  'name backup',
  'record run.state',
  'remove state file',
  'remove checkpoint',
];

interface Clean {
  readonly moments: readonly string[];
  /** Of packs. */
  readonly sentBytes: number;
}

interface Bench {
  readonly place: Place;
  readonly source: string;
}

/** Runs the program that is killed at `moment`, or not at all. */
function backUpWatched(machine: Machine, source: string, moment?: string): Promise<Outcome> {
  return machine.run(['backup', '--direct', '--json', source], {
    env: watchedProgram(join(machine.folder, 'moments'), moment),
  });
}

function told(machine: Machine): string[] {
  return momentsIn(join(machine.folder, 'moments'));
}

async function runClean({ place, source }: Bench): Promise<Clean> {
  const own = await newRepository(place, 'clean');
  let moments: string[] = [];
  await withMachine(async (machine) => {
    const outcome = await backUpWatched(machine, source);
    assertStatus(outcome, 0);
    await assertNothingFalse(machine, own, source);
    await assertTidy(machine, own);
    moments = told(machine);
  }, own.env);
  return { moments, sentBytes: bytesOf(own) };
}

function bytesOf(place: Place): number {
  return [...packsAt(place).values()].reduce((sum, size) => sum + size, 0);
}

/** @returns whether the kill came; it does not where lanes took other turns than in the clean run */
async function killAt(moment: string, name: string, bench: Bench, clean: Clean): Promise<boolean> {
  const { source } = bench;
  const place = await newRepository(bench.place, name);
  let wasKilled = false;
  await withMachine(async (machine) => {
    const first = await backUpWatched(machine, source, moment);
    wasKilled = first.signal === 'SIGKILL';
    if (!wasKilled) return assertStatus(first, 0);
    assert.is(told(machine).at(-1), moment, 'nothing comes after the kill');
    assert.not.ok(
      jsonLines(wholeLines(first.stdout)).some(({ type }) => type === 'summary'),
      'it says it is done',
    );
    await assertNothingFalse(machine, place, source);
    const durableBytes = bytesOf(place);
    const moments = told(machine);
    const isClaimed = moments.includes('after record source_set run claim 1');
    const isComplete = moments.includes('after record run.state 1');
    const [stateFile] = machine.stateFiles().filter((file) => file.endsWith('.json'));
    if (!isComplete) {
      const hasState = moments.includes('after name state file 1');
      assert.is(stateFile !== undefined, hasState, 'there is a state file');
      const hasCheckpoint = moments.some((one) => one.startsWith('after name checkpoint'));
      assert.ok(!hasCheckpoint || namesIn(place, 'resume').length === 1, 'there is a checkpoint');
    }

    const second = await machine.run(['backup', '--direct', '--json', source]);
    assertStatus(second, 0);
    const summary = summaryOf(second);
    assert.is(summary.resumed, isClaimed && !isComplete, 'it goes on where there is something to go on with');
    if (summary.resumed && stateFile !== undefined) {
      assert.ok(stateFile.endsWith(`/${summary.backup_id}.json`), 'it is the same backup');
    }
    assert.not.ok(second.stdout.includes('missing or short'), 'what was recorded had not been put');
    const sent = durableBytes + Number(summary.sent_bytes);
    assert.ok(sent <= clean.sentBytes + SLACK_BYTES, `${sent} bytes in place of ${clean.sentBytes}`);
    assert.ok(bytesOf(place) <= clean.sentBytes + SLACK_BYTES, 'no chunk lies there twice');
    await assertNothingFalse(machine, place, source);
    await assertTidy(machine, place);
    await assertVerified(machine, place);
    assert.ok(namesIn(place, 'backups').includes(String(summary.backup_id)));
  }, place.env);
  return wasKilled;
}

/** A last line that was being written. */
function wholeLines(text: string): string {
  return text.slice(0, text.lastIndexOf('\n') + 1);
}

/** By the program's own means, every byte read. */
async function assertVerified(machine: Machine, place: Place): Promise<void> {
  const { findings } = await verify(
    { backupId: null, readShare: 1, serverHash: false },
    {
      journal: { file: machine.journalFile },
      repository: await repositoryAt(place),
      progress: () => {},
      signal: new AbortController().signal,
      random: Math.random,
      onFinding: async ({ object, reason }) => assert.unreachable(`verify finds ${object}: ${reason}`),
    },
  );
  assert.is(findings, 0);
}

/** Kills at each of these moments, and tells of all that went wrong at once. */
async function killAtEach(moments: readonly string[], bench: Bench, clean: Clean): Promise<void> {
  const wrong: string[] = [];
  await concurrently(moments.entries(), CASES_AT_ONCE, async ([index, moment]) => {
    try {
      for (let attempt = 1; attempt <= TRIES; attempt += 1) {
        if (await killAt(moment, `case-${index}-${attempt}`, bench, clean)) return;
      }
      wrong.push(`${moment}: never came again`);
    } catch (error) {
      wrong.push(`${moment}: ${(error as Error).message}`);
    }
  });
  assert.equal(wrong, []);
}

/**
 * Kills a backup to `place` before and after each of its steps, and proves each time that the next one makes it good.
 * @param options.onRemoteOnly at what happens there: the steps on this machine are the same everywhere
 */
export async function killEverywhere(place: Place, { onRemoteOnly = false } = {}): Promise<void> {
  await withTree(TREE, async (source) => {
    const bench = { place, source };
    const clean = await runClean(bench);
    const isCase = (moment: string) => !onRemoteOnly || ON_THE_REMOTE.test(moment);
    const moments = differentMoments(clean.moments).filter(isCase);
    const missing = STEPS.filter((step) => isCase(`after ${step} 1`)).filter(
      (step) => !moments.some((moment) => moment.startsWith(`after ${step} `)),
    );
    assert.equal(missing, [], 'steps the clean run did not take');
    await killAtEach(moments, bench, clean);

    // And by the command a person would use.
    const restoreFirst = async (machine: Machine) => {
      const target = join(machine.folder, 'restored');
      await machine.succeeds(['restore', 'latest', '--target', target]);
      assertRestored(target, [source]);
    };
    await withMachine(restoreFirst, { ...place.env, SKYLOCK_REMOTE: `${place.url}/case-0-1` });
  });
}
