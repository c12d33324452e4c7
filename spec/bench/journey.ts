/** Backs up, backs up again, restores: with one tool after the other, each to an empty place, round by round. */
import { randomUUID } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type DataSet, type DataSetName, MADE_AT, warm } from './data.ts';
import { type Look, lookAt, newBytes } from './folder-look.ts';
import { formatMs } from './format.ts';
import type { Goal } from './goals.ts';
import type { Bench, Case, Group } from './group.ts';
import type { Line } from './line.ts';
import { type Command, measure, syncDisks } from './measure.ts';
import { emptyFolder, type Place, placeOn, withPlaceOnLine } from './places.ts';
import type { Account, Tool, ToolName } from './tools/tool.ts';

/** One measured run each: the first backup, one with nothing changed, one with one file changed, a restore into an empty folder. */
export type Step = 'first' | 'again' | 'changed' | 'restore';

export interface Journey {
  readonly id: string;
  /** For people, in Markdown: `` `big`, SFTP ``. */
  readonly title: string;
  readonly data: DataSetName;
  readonly place: Place['kind'];
  /** A round trip takes so much longer. */
  readonly delayMs?: number;
  readonly tools: readonly ToolName[];
  /** Others are measured so often at most: those that take minutes. */
  readonly otherRounds?: number;
  readonly steps: readonly Step[];
  readonly goals: readonly Goal[];
}

const STEP_TITLES: Readonly<Record<Step, string>> = {
  first: 'backup',
  again: 'again, nothing changed',
  changed: 'again, one file changed',
  restore: 'restore',
};

export function journeyGroup(journey: Journey): Group {
  const { id, title, steps, goals } = journey;
  const cases = steps.map((step) => ({ id: caseId(id, step), title: `${title}: ${STEP_TITLES[step]}` }));
  return { id, cases, goals, run: (bench) => travel(journey, cases, bench) };
}

export function caseId(journey: string, step: Step): string {
  return `${journey}:${step}`;
}

async function travel(journey: Journey, cases: readonly Case[], bench: Bench): Promise<void> {
  const data = bench.data(journey.data);
  const server = placeOn(journey.place, bench.servers, join(bench.folder, 'place'));
  const { delayMs = 0 } = journey;
  if (delayMs === 0) return goRounds(journey, cases, { data, place: server, line: null }, bench);
  await withPlaceOnLine(server, { delayMs }, (place, line) =>
    goRounds(journey, cases, { data, place, line }, bench),
  );
}

interface Way {
  readonly data: DataSet;
  readonly place: Place;
  /** What counts the bytes; without one the files on the server do. */
  readonly line: Line | null;
}

async function goRounds(journey: Journey, cases: readonly Case[], way: Way, bench: Bench): Promise<void> {
  const { results, signal } = bench;
  for (let round = 1; round <= bench.rounds; round += 1) {
    for (const tool of bench.tools.filter(({ name }) => journey.tools.includes(name))) {
      if (tool.name !== 'skylock' && round > (journey.otherRounds ?? Number.POSITIVE_INFINITY)) continue;
      const failAll = (reason: string) => {
        for (const { id } of cases)
          if (results.summary(id, tool.name) === null) results.fail(id, tool.name, reason);
      };
      const missing = tool.missing();
      if (missing !== null) failAll(missing);
      else {
        await goOnce(journey, tool, way, {
          ...bench,
          say: (text) => bench.say(`round ${round} · ${text}`),
        }).catch((error: Error) => {
          signal.throwIfAborted();
          bench.say(`${journey.id} · ${tool.title}: ${error.message}`);
          failAll(error.message);
        });
      }
    }
  }
}

async function goOnce(journey: Journey, tool: Tool, { data, place, line }: Way, bench: Bench): Promise<void> {
  const account = await openAccount(tool, place, bench);
  // A new folder each time, and none is removed before the end: for a minute after many files were removed, ext4 takes
  // ten times as long to make others.
  const target = join(bench.folder, 'restored', randomUUID());
  await mkdir(target, { recursive: true });
  for (const step of journey.steps) {
    const command = step === 'restore' ? account.restore(target) : account.backup(data.path);
    if (command === null || (step !== 'first' && tool.name === 'tar')) continue;
    const undo = step === 'changed' ? changeOneFile(data.path) : () => {};
    try {
      const sample = await measureRun(
        command,
        { data, place, line, isRestore: step === 'restore' },
        bench.signal,
      );
      if (step === 'restore') requireWhole(data, lookAt(target));
      bench.results.add(caseId(journey.id, step), tool.name, sample);
      bench.say(`${journey.id} · ${STEP_TITLES[step]} · ${tool.title}: ${formatMs(sample.wallMs)}`);
    } finally {
      undo();
    }
  }
  await emptyFolder(place.folder);
}

/** An account in an empty place, with an empty home. */
export async function openAccount(tool: Tool, place: Place, bench: Bench): Promise<Account> {
  const home = join(bench.folder, 'home', tool.name);
  await emptyFolder(place.folder);
  await mkdir(home, { recursive: true });
  await emptyFolder(home);
  const account = await tool.account(place, home);
  if (account.prepare !== null) await measure(account.prepare, bench.signal);
  return account;
}

interface RunOptions extends Way {
  readonly isRestore: boolean;
}

/** The data comes from memory, and the disk has nothing else to do. */
export async function measureRun(
  command: Command,
  { data, place, line, isRestore }: RunOptions,
  signal: AbortSignal,
) {
  warm(data.path);
  await syncDisks();
  const before = lookAt(place.folder);
  const sentBefore = await line?.sentBytes();
  const { stdout: _, ...usage } = await measure(command, signal);
  const sentAfter = await line?.quiet();
  const after = lookAt(place.folder);
  const bytesSent =
    sentAfter === undefined || sentBefore === undefined ? newBytes(before, after) : sentAfter - sentBefore;
  return {
    ...usage,
    bytesIn: data.bytes,
    bytesSent: isRestore ? null : bytesSent,
    bytesStored: isRestore ? null : after.bytes,
  };
}

/** A restore that is fast because it does less is none. */
function requireWhole(data: DataSet, restored: Look): void {
  if (restored.files === data.files && restored.bytes === data.bytes) return;
  throw new Error(
    `restored ${restored.files} files with ${restored.bytes} bytes, not ${data.files} with ${data.bytes}`,
  );
}

/** Makes the first file longer. @returns what makes it as it was */
function changeOneFile(path: string): () => void {
  const [first] = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const file = first!;
  const content = readFileSync(file);
  appendFileSync(file, 'one line more\n');
  return () => {
    writeFileSync(file, content);
    utimesSync(file, MADE_AT, MADE_AT);
  };
}
