/** The life of one machine that backs up, is killed, and backs up again, on one repository. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { objectsAt, type Place } from '../helpers/cli-places.ts';
import { assertRestored } from '../helpers/cli-trees.ts';
import { assertHonest, assertTidy, momentsIn, newRepository, watchedProgram } from '../helpers/kill-cases.ts';
import {
  assertStatus,
  type Machine,
  type Outcome,
  type Running,
  summaryOf,
  withMachine,
} from '../helpers/program.ts';
import { strike } from './faults.ts';
import { describeRun, type PlannedKill, planLife, type RunPlan } from './plan.ts';
import { changeSources, writeSources } from './sources.ts';

/** One kill that was survived. */
export interface Kill {
  /** Of what this run sent, what the remote does not hold: it has to be sent again. */
  readonly lostBytes: number;
  /** What all lanes together could have had in flight. */
  readonly inFlightBytes: number;
  /** A line with faults loses more: what was in flight at each of them. */
  readonly faults: number;
}

export interface LifeReport {
  readonly kills: readonly Kill[];
  readonly runs: number;
  readonly backups: number;
  readonly faults: number;
  readonly sentBytes: number;
}

/** SSH's and HTTP's own, and what is asked before the first pack. */
const OVERHEAD = 1.05;
const RUN_BYTES = 200_000;
/** A run that is not killed and had to wait for its line goes on trying for so long. */
const RETRY_FOR = '5m';

interface Life {
  readonly machine: Machine;
  readonly place: Place;
  readonly source: string;
  isJournalLost: boolean;
}

/** @param say told of each run before it begins; @param moments at which this kind of remote can be killed */
export async function live(
  server: Place,
  name: string,
  { seed, moments, say }: { seed: string; moments: readonly string[]; say: (line: string) => void },
): Promise<LifeReport> {
  const place: Place = { ...(await newRepository(server, name)), line: server.line };
  const kills: Kill[] = [];
  const counts = { runs: 0, backups: 0, faults: 0, sentBytes: 0 };
  const rounds = planLife(seed, moments, place.line !== null);
  await withMachine(async (machine) => {
    const life: Life = { machine, place, source: join(machine.folder, 'source'), isJournalLost: false };
    writeSources(life.source, seed);
    let hasEnded = false;
    for (const [index, round] of rounds.entries()) {
      for (const [number, plan] of round.entries()) {
        if (hasEnded) for (const changeSeed of plan.work) changeSources(life.source, changeSeed);
        say(`round ${index + 1}, run ${number + 1}: ${describeRun(plan)}`);
        const { kill, sentBytes } = await runOnce(life, plan);
        hasEnded = kill === null;
        if (kill !== null) kills.push(kill);
        counts.runs += 1;
        counts.faults += plan.faults.length;
        counts.sentBytes += sentBytes;
        say(kill === null ? '  ended' : `  killed, ${kill.lostBytes} bytes lost`);
      }
      await assertWhole(life);
      counts.backups += 1;
      say(`round ${index + 1}: restored and verified`);
    }
  }, place.env);
  return { kills, ...counts };
}

/** Runs the program as planned, and looks at what it left. */
async function runOnce(life: Life, plan: RunPlan): Promise<{ kill: Kill | null; sentBytes: number }> {
  const { machine, place, source } = life;
  const { line } = place;
  const log = join(machine.folder, 'moments');
  rmSync(log, { force: true });
  if (plan.losesJournal) {
    rmSync(machine.dataFolder, { recursive: true, force: true });
    life.isJournalLost = true;
  }
  const before = { objects: objectsAt(place), sentBytes: line?.sentBytes() ?? 0 };
  line?.limit(plan.bytesPerSecond);
  line?.delay(plan.delayMs);
  const env = plan.kill?.by === 'moment' ? watchedProgram(log, plan.kill.moment) : {};
  const run = machine.start(['backup', '--direct', '--json', '--retry-for', RETRY_FOR, source], { env });
  const outcome = await befall(run, plan, life);
  // What a process had handed to the system before it died still goes over the line.
  line?.limit(Number.POSITIVE_INFINITY);
  line?.delay(0);
  while ((line?.lanes().length ?? 0) > 0) await sleep(5);

  const after = objectsAt(place);
  const sentBytes = line === null ? newBytes(before.objects, after) : line.sentBytes() - before.sentBytes;
  if (outcome.signal !== 'SIGKILL') {
    // Files that vanish while they are read are told of by status 3.
    assertStatus(outcome, plan.changes.length > 0 && outcome.status === 3 ? 3 : 0);
    return { kill: null, sentBytes };
  }
  assert.ok(plan.kill !== null, `it was killed and was not to be:\n${outcome.stdout}\n${outcome.stderr}`);
  await assertHonest(machine, place);
  const kill = {
    lostBytes: lostOf(sentBytes, newBytes(before.objects, withoutTemporary(after))),
    inFlightBytes: lanesOf(run) * Math.max(0, ...packSizes(after), ...packsTold(run)),
    faults: plan.faults.length,
  };
  if (kill.faults === 0) {
    const bound = kill.inFlightBytes * OVERHEAD + RUN_BYTES;
    assert.ok(kill.lostBytes <= bound, `${kill.lostBytes} bytes were lost, at most ${bound} were in flight`);
  }
  return { kill, sentBytes };
}

/** Lets everything that is planned happen to the run, and waits for its end. */
async function befall(run: Running, plan: RunPlan, { place, source }: Life): Promise<Outcome> {
  const { line } = place;
  const ended = new AbortController();
  const later = async (atMs: number, action: () => unknown) => {
    await sleep(atMs, undefined, { signal: ended.signal }).then(action, () => {});
  };
  const happening = [
    ...plan.faults.map((fault) => later(fault.atMs, () => strike(line!, fault))),
    ...plan.changes.map(({ atMs, seed }) => later(atMs, () => changeSources(source, seed))),
    ...(plan.kill === null ? [] : [killAsPlanned(run, plan.kill, place, ended.signal)]),
  ];
  const outcome = await run.ended;
  ended.abort();
  await Promise.all(happening);
  return outcome;
}

async function killAsPlanned(
  run: Running,
  kill: PlannedKill,
  place: Place,
  ended: AbortSignal,
): Promise<void> {
  if (kill.by === 'moment') return; // it does so itself
  if (kill.by === 'time') {
    await sleep(kill.atMs, undefined, { signal: ended }).catch(() => {});
  } else {
    const sent = () => place.line?.sentBytes() ?? sum(objectsAt(place).values());
    const before = sent();
    await run.reaches(() => sent() - before >= kill.bytes);
  }
  run.kill('SIGKILL');
}

/** The backup that was made last holds what is there, all that is on the remote is sound, and nothing is left over. */
async function assertWhole({ machine, place, source, isJournalLost }: Life): Promise<void> {
  const target = join(machine.folder, 'restored');
  await machine.succeeds(['restore', 'latest', '--target', target]);
  assertRestored(target, [source]);
  rmSync(target, { recursive: true });
  await machine.succeeds(['verify', '--read-data']);
  assert.is((await machine.succeeds(['resume-status', '--json'])).stdout.trim(), '[]');
  // What a put leaves whose lane was cut is removed by the next run, which has nothing else to do.
  const next = await machine.succeeds(['backup', '--direct', '--json', source]);
  assert.ok(Number(summaryOf(next).sent_bytes) < RUN_BYTES, 'there was nothing left to send');
  await assertHonest(machine, place);
  await assertTidy(machine, place, { isJournalLost });
}

/** The moments of one whole run, at each of which another one may be killed. */
export async function momentsOf(server: Place, name: string, seed: string): Promise<string[]> {
  const place = await newRepository(server, name);
  let moments: string[] = [];
  await withMachine(async (machine) => {
    const [source, log] = [join(machine.folder, 'source'), join(machine.folder, 'moments')];
    writeSources(source, seed);
    await machine.succeeds(['backup', '--direct', source], { env: watchedProgram(log) });
    assert.ok(existsSync(log));
    moments = momentsIn(log).filter((moment) => !moment.startsWith('without '));
  }, place.env);
  return moments;
}

/** What a run says and asks, and what SSH and HTTP add, is no loss. */
function lostOf(sentBytes: number, durableBytes: number): number {
  const lost = sentBytes - durableBytes * OVERHEAD;
  return lost < RUN_BYTES ? 0 : Math.round(lost);
}

/** How many there were at most. */
function lanesOf(run: Running): number {
  return Math.max(1, ...run.events().flatMap(({ lanes }) => (typeof lanes === 'number' ? [lanes] : [])));
}

/** Of those it was sending: not every server keeps what came of one that was cut off. */
function packsTold(run: Running): number[] {
  const told = run.events().flatMap(({ type, pack }) => (type === 'lane' && pack !== null ? [pack] : []));
  return told.map((pack) => Number((pack as { size_bytes: number }).size_bytes));
}

function packSizes(objects: ReadonlyMap<string, number>): number[] {
  return [...objects].filter(([name]) => /^(packs|tmp)\//.test(name)).map(([, size]) => size);
}

function withoutTemporary(objects: ReadonlyMap<string, number>): Map<string, number> {
  return new Map([...objects].filter(([name]) => !name.startsWith('tmp/')));
}

function newBytes(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): number {
  return sum([...after].filter(([name]) => !before.has(name)).map(([, size]) => size));
}

function sum(sizes: Iterable<number>): number {
  return [...sizes].reduce((total, size) => total + size, 0);
}
