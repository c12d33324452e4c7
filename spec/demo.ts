/**
 * The promise, shown: a backup is killed part-way, the same command goes on where it was, and what is restored is what was
 * there. The real program, a folder of its own for everything, nothing outside it touched. `make demo`
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatBytes, formatCount, formatDuration, formatRate } from '../lib/units.ts';
import { compareRestored } from './demo/compare.ts';
import { makeSample } from './demo/sample.ts';
import { openStorage, type Storage } from './demo/storage.ts';
import { factsOf } from './helpers/tree.ts';

const PROGRAM = resolve(import.meta.dirname, '../bin/skylock');
/** A line of 24 Mbit/s: slow enough to be killed on, fast enough to wait for. */
const LINE_BYTES_PER_SECOND = 3_000_000;
const KILL_AT = 0.4;

const startedAt = performance.now();
const isTerminal = process.stdout.isTTY === true;
const isPlain = !isTerminal || process.env.NO_COLOR !== undefined;
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'skylock-demo-')));
const home = join(folder, 'home');
const anotherHome = join(folder, 'another home');
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  showCursor();
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

const failures: string[] = [];
await tell().catch((error: Error) => fail(error.message));
title(
  failures.length === 0
    ? `It held, in ${formatDuration(performance.now() - startedAt)}.`
    : 'It did NOT hold:',
);
for (const failure of failures) say(`✖ ${failure}`);
process.exitCode = failures.length === 0 ? 0 : 1;

async function tell(): Promise<void> {
  mkdirSync(home, { mode: 0o700 });
  title('1. Two folders, and storage at the other end of a line');
  const sources = makeSample(home);
  const sizes = [...factsOf(home).values()].map(({ size }) => size).filter((size) => size !== undefined);
  const sampleBytes = sizes.reduce((sum, size) => sum + size, 0);
  const count = formatCount(sizes.length, 'file');
  say(`~/Documents and ~/Pictures: ${count}, ${formatBytes(sampleBytes)}, one of them 20 MB;`);
  say('links, empty things, and names that hold newlines, escape sequences or are no UTF-8.');
  const rate = formatRate(LINE_BYTES_PER_SECOND);
  say(`The storage is a WebDAV server inside this demo; its line carries ${rate}.`);
  const storage = await openStorage(join(folder, 'storage'), LINE_BYTES_PER_SECOND);
  const reference = await openStorage(join(folder, 'reference'), Number.POSITIVE_INFINITY);
  try {
    await killAndResume({ sources, sampleBytes, storage, reference });
  } finally {
    for (const one of [storage, reference]) one.close();
  }
}

interface Scene {
  readonly sources: readonly string[];
  readonly sampleBytes: number;
  readonly storage: Storage;
  /** Takes a backup that nobody kills, to compare with; behind no line. */
  readonly reference: Storage;
}

async function killAndResume({ sources, sampleBytes, storage, reference }: Scene): Promise<void> {
  await skylock(['init', storage.url]);

  title('2. A backup that is killed (SIGKILL) part-way');
  const backup = ['backup', '--direct', ...sources];
  const first = start(backup);
  const wasKilled = await killWhen(first, () => storage.packBytes() >= KILL_AT * sampleBytes);
  showCursor();
  const wholePacks = storage.packBytes();
  const sentFirst = storage.receivedBytes();
  storage.cut();
  if (!wasKilled) return fail('the backup ended before it could be killed');
  say(`\nKilled. ${formatBytes(wholePacks)} of packs lie whole on the storage; others were on their way.`);

  title('3. What it knows of itself');
  await skylock(['resume-status']);
  const id = showStateFile();

  title('4. The same command again');
  await skylock(backup);
  const sentAgain = storage.receivedBytes() - sentFirst;

  title('5. Everything restored, and compared');
  const target = join(folder, 'restored');
  await skylock(['restore', id, '--target', target]);
  const { same, different } = compareRestored(sources, target);
  say(`${same} entries are as they were: contents, modes, times, links, names.`);
  for (const path of different) fail(`${path} is not as it was`);

  title('6. What was sent');
  mkdirSync(anotherHome, { mode: 0o700 });
  await skylock(['init', reference.url], anotherHome);
  await skylock(backup, anotherHome);
  compareSent({ sentFirst, wholePacks, sentAgain, whole: reference.receivedBytes() });
}

/** As a person would see it, but for the long list in its middle. */
function showStateFile(): string {
  const states = join(home, '.local/share/skylock-hybrid/resume_state');
  const [name = ''] = readdirSync(states);
  const state = JSON.parse(readFileSync(join(states, name), 'utf8'));
  const { backup_id: id, uploaded_files: uploaded, total_files: total } = state;
  command(`jq '.uploaded_files |= length' ${join(states, name)}`);
  say(JSON.stringify({ ...state, uploaded_files: uploaded.length }, null, 2));
  if (name !== `${id}.json`) fail(`the state file of ${id} is called ${name}`);
  if (uploaded.length === 0 || uploaded.length >= total) {
    fail(`${uploaded.length} of ${total} files were uploaded when it was killed`);
  }
  return id;
}

interface Sent {
  readonly sentFirst: number;
  /** Of which so much was whole when the run was killed. */
  readonly wholePacks: number;
  readonly sentAgain: number;
  /** By one run that nobody killed, to another storage. */
  readonly whole: number;
}

function compareSent({ sentFirst, wholePacks, sentAgain, whole }: Sent): void {
  const rows: [string, number][] = [
    ['first run, until it was killed', sentFirst],
    ['second run', sentAgain],
    ['both together', sentFirst + sentAgain],
    ['one run that is not killed', whole],
    ['sent twice: what was on its way', sentFirst + sentAgain - whole],
  ];
  for (const [what, bytes] of rows) {
    const percent = `${Math.round((bytes * 100) / whole)}%`;
    say(`${what.padEnd(34)} ${formatBytes(Math.max(0, bytes)).padStart(8)} ${percent.padStart(5)}`);
  }
  // Chunks are cut where a secret of the repository says, so that two of them never have quite the same size.
  const tolerance = 0.02 * whole;
  if (sentAgain > whole - wholePacks + tolerance) fail('the second run sent again what the storage had');
}

/** Runs the program, shows what it says, and insists that it succeeds. */
async function skylock(args: readonly string[], as = home): Promise<void> {
  const child = start(args, as);
  const [status, signal] = await once(child, 'exit');
  if (status !== 0) throw new Error(`skylock ${args[0]} ended with ${signal ?? `status ${status}`}`);
}

function start(args: readonly string[], as = home): ChildProcess {
  const isShown = as === home;
  if (isShown) command(['skylock', ...args].join(' '));
  const kept = ['PATH', 'TERM', 'LANG', 'LC_ALL', 'NO_COLOR'].filter((name) => name in process.env);
  const child = spawn(PROGRAM, isShown ? args : [...args, '--quiet'], {
    cwd: as,
    env: {
      ...Object.fromEntries(kept.map((name) => [name, process.env[name]])),
      HOME: as,
      SKYLOCK_PASSWORD: 'demonstration',
    },
    stdio: ['ignore', isShown ? 'inherit' : 'ignore', 'inherit'],
  });
  running.add(child);
  child.on('exit', () => running.delete(child));
  return child;
}

/** @returns whether it was killed, and had not ended before */
async function killWhen(child: ChildProcess, isTime: () => boolean): Promise<boolean> {
  while (running.has(child)) {
    if (isTime()) {
      child.kill('SIGKILL');
      const [, signal] = await once(child, 'exit');
      return signal === 'SIGKILL';
    }
    await sleep(10);
  }
  return false;
}

/** A program that was killed in the middle of its drawing leaves it hidden. */
function showCursor(): void {
  if (isTerminal) process.stdout.write('\u001b[?25h');
}

function fail(what: string): void {
  failures.push(what);
}

function title(text: string): void {
  say(isPlain ? `\n== ${text}\n` : `\n\u001b[1m${text}\u001b[0m\n`);
}

function command(line: string): void {
  const short = line.replaceAll(home, '~');
  say(isPlain ? `$ ${short}` : `\u001b[2m$ ${short}\u001b[0m`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
