/** The real program, run as a process the way a person runs it, on a machine of its own. */
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { signal } from './processes.ts';
import { withFolder } from './temporary.ts';

export const PROGRAM = resolve(import.meta.dirname, '../../bin/skylock');
/** Far more than anything takes: what hangs fails here, and says what it had said until then. */
const PATIENCE_MS = 120_000;

export interface ProgramOptions {
  /** Beside the machine's own; `undefined` takes one of those away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Root obeys the permissions of files, as everybody else has to. */
  readonly withoutPrivileges?: boolean;
  /** A file standard output goes to; what it says is kept unless told. */
  readonly stdoutFile?: string;
}

export interface Outcome {
  readonly pid: number;
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What `--json` prints for a flow: one object a line. */
export interface JsonLine {
  readonly type: string;
  readonly [name: string]: unknown;
}

export interface Running {
  readonly pid: number;
  readonly ended: Promise<Outcome>;
  stdout(): string;
  stderr(): string;
  /** Lines of `--json` so far. */
  events(): readonly JsonLine[];
  /** That it has ended already is fine. */
  kill(name: NodeJS.Signals): void;
  /** Resolves when `condition` holds, or when the program has ended. @returns whether it holds */
  reaches(condition: () => boolean): Promise<boolean>;
  /** As `reaches`. @throws when the program ends before, with what it said */
  waitFor(what: string, condition: () => boolean): Promise<void>;
}

/** The state file, as its six fields are read by others. */
export interface StateFileContent {
  readonly backup_id: string;
  readonly started_at: string;
  readonly source_paths: readonly string[];
  readonly uploaded_files: readonly string[];
  readonly total_files: number;
  readonly last_updated: string;
}

/** A home, a configuration and data that nothing outside knows of. */
export interface Machine {
  /** Holds `home`, and whatever else a spec puts there. */
  readonly folder: string;
  readonly home: string;
  readonly configFile: string;
  readonly dataFolder: string;
  readonly journalFile: string;
  readonly stateFolder: string;
  /** What every program run here finds in its environment; a spec may change it. */
  readonly env: Record<string, string>;
  /** Every program that ended here, in order. */
  readonly outcomes: readonly Outcome[];
  run(args: readonly string[], options?: ProgramOptions): Promise<Outcome>;
  /** As `run`. @throws unless it ends with status 0 */
  succeeds(args: readonly string[], options?: ProgramOptions): Promise<Outcome>;
  start(args: readonly string[], options?: ProgramOptions): Running;
  /** Paths of the state files there are. */
  stateFiles(): string[];
}

/**
 * Lends a machine, ends what still runs on it, and proves that no password of its environment was said or written by it.
 * @param env of every program run there; `PATH`, `HOME` and the language are there already
 */
export async function withMachine(
  use: (machine: Machine) => Promise<void>,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  await withFolder(async (folder) => {
    const running = new Set<Running>();
    const outcomes: Outcome[] = [];
    const machine = machineIn(folder, env, running, outcomes);
    try {
      await use(machine);
      refuseToldSecrets(machine);
    } finally {
      for (const one of running) one.kill('SIGKILL');
      await Promise.all([...running].map((one) => one.ended));
    }
  });
}

function machineIn(
  folder: string,
  given: Readonly<Record<string, string>>,
  running: Set<Running>,
  outcomes: Outcome[],
): Machine {
  const home = join(folder, 'home');
  mkdirSync(home, { mode: 0o700 });
  const dataFolder = join(home, '.local/share/skylock-hybrid');
  const env: Record<string, string> = {
    PATH: '/usr/bin:/bin',
    HOME: home,
    LANG: 'C.UTF-8',
    NODE_COMPILE_CACHE: compileCache(),
    ...given,
  };
  const start: Machine['start'] = (args, options = {}) => {
    const { promise: ended, resolve: end } = Promise.withResolvers<Outcome>();
    const one = startProgram(args, { cwd: home, ...options, env: { ...env, ...options.env } }, ended, end);
    running.add(one);
    void ended.then((outcome) => {
      running.delete(one);
      outcomes.push(outcome);
    });
    return one;
  };
  const run: Machine['run'] = (args, options) => start(args, options).ended;
  const stateFolder = join(dataFolder, 'resume_state');
  return {
    folder,
    home,
    configFile: join(home, '.config/skylock-hybrid/config.toml'),
    dataFolder,
    journalFile: join(dataFolder, 'journal.db'),
    stateFolder,
    env,
    outcomes,
    start,
    run,
    async succeeds(args, options) {
      const outcome = await run(args, options);
      assertStatus(outcome, 0);
      return outcome;
    },
    stateFiles: () =>
      existsSync(stateFolder) ? readdirSync(stateFolder).map((name) => join(stateFolder, name)) : [],
  };
}

function startProgram(
  args: readonly string[],
  { env, cwd, withoutPrivileges = false, stdoutFile }: ProgramOptions,
  ended: Promise<Outcome>,
  end: (outcome: Outcome) => void,
): Running {
  const drop = withoutPrivileges && process.getuid?.() === 0;
  const capabilities = ['--bounding-set', '-dac_override,-dac_read_search', '--inh-caps=-all', PROGRAM];
  const [command, before] = drop ? ['/usr/bin/setpriv', capabilities] : [PROGRAM, []];
  const stdout = stdoutFile === undefined ? 'pipe' : openSync(stdoutFile, 'w');
  const child = spawn(command, [...before, ...args], {
    stdio: ['ignore', stdout, 'pipe'],
    env: env as Record<string, string>,
    cwd,
  });
  if (typeof stdout === 'number') closeSync(stdout);
  const said = { stdout: '', stderr: '' };
  const events: JsonLine[] = [];
  let readUntil = 0;
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  }
  const pid = child.pid ?? 0;
  let hasEnded = false;
  const impatience = setTimeout(() => signal(pid, 'SIGKILL'), PATIENCE_MS);
  child.on('close', (status, name) => {
    clearTimeout(impatience);
    hasEnded = true;
    end({ pid, status, signal: name, ...said });
  });
  const reaches: Running['reaches'] = async (condition) => {
    for (;;) {
      if (condition()) return true;
      if (hasEnded) return condition();
      await sleep(2);
    }
  };
  return {
    pid,
    ended,
    stdout: () => said.stdout,
    stderr: () => said.stderr,
    events() {
      const end = said.stdout.lastIndexOf('\n') + 1;
      if (end > readUntil) events.push(...jsonLines(said.stdout.slice(readUntil, end)));
      readUntil = end;
      return events;
    },
    kill(name) {
      if (!hasEnded) signal(pid, name);
    },
    reaches,
    async waitFor(what, condition) {
      if (await reaches(condition)) return;
      throw new Error(`ended before ${what}:\n${said.stdout}\n${said.stderr}`);
    },
  };
}

/** @throws unless each line is a JSON object */
export function jsonLines(text: string): JsonLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as JsonLine);
}

/** @returns the last object of a stream of `--json`, which is what the flow came to */
export function summaryOf({ stdout, stderr }: Outcome): JsonLine {
  const last = jsonLines(stdout).at(-1);
  if (last?.type !== 'summary') throw new Error(`there is no summary:\n${stdout}\n${stderr}`);
  return last;
}

export function assertStatus(outcome: Outcome, status: number): void {
  const { stdout, stderr, signal: name } = outcome;
  assert.is(outcome.status, status, `status ${outcome.status ?? name}, not ${status}:\n${stdout}\n${stderr}`);
}

/** It ended with this status and said so in one line, with hints below it perhaps, and without a stack. */
export function assertClearError(outcome: Outcome, status: number, message: RegExp): void {
  assertStatus(outcome, status);
  const lines = outcome.stderr.split('\n').filter((line) => line !== '');
  const errors = lines.filter((line) => line.startsWith('skylock:'));
  assert.is(errors.length, 1, `one error line:\n${outcome.stderr}`);
  assert.match(errors[0] ?? '', message, `${message} in:\n${outcome.stderr}`);
  assert.not.match(outcome.stderr, /^ +at |bug in skylock|node:internal|Error:/m);
  // Below it stand hints only, and those are set in.
  const below = lines.slice(lines.indexOf(errors[0] ?? '') + 1);
  assert.ok(
    below.every((line) => line.startsWith('  ')),
    outcome.stderr,
  );
}

export function readState(file: string): StateFileContent {
  return JSON.parse(readFileSync(file, 'utf8')) as StateFileContent;
}

export function writeConfig(machine: Machine, toml: string): void {
  mkdirSync(join(machine.configFile, '..'), { recursive: true });
  writeFileSync(machine.configFile, toml);
}

/** Every regular file under `folder`, by path; what vanishes meanwhile is left out. */
export function filesUnder(folder: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  if (!existsSync(folder)) return files;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    try {
      files.set(path, readFileSync(path));
    } catch {
      // A temporary file that has got its final name.
    }
  }
  return files;
}

/** Passwords come in through the environment: there, and nowhere else, may they be found. */
function refuseToldSecrets({ env, outcomes, home }: Machine): void {
  const secrets = ['SKYLOCK_PASSWORD', 'SKYLOCK_REMOTE_PASSWORD']
    .map((name) => env[name])
    .filter((secret) => secret !== undefined);
  for (const secret of secrets) {
    for (const { stdout, stderr } of outcomes) {
      assert.not.ok(stdout.includes(secret) || stderr.includes(secret), `a password was said:\n${stderr}`);
    }
    for (const [path, bytes] of filesUnder(home)) {
      assert.not.ok(bytes.includes(secret), `a password was written into ${path}`);
    }
  }
}

let cacheFolder: string | null = null;

/** Compiled once for all programs of this process: most of what a short command does is to start. */
function compileCache(): string {
  if (cacheFolder === null) {
    const folder = mkdtempSync(join(tmpdir(), 'skylock-compiled-'));
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
    cacheFolder = folder;
  }
  return cacheFolder;
}
