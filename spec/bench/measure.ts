/** Runs programs in process groups of their own, and says what they took. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { descendantsOf, signal } from '../helpers/processes.ts';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** All of its environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** What a program took, with all it started and waited for. */
export interface Usage {
  readonly wallMs: number;
  /** Of user and system; `null` where there is no GNU time. */
  readonly cpuMs: number | null;
  /** Of its largest process, resident; `null` where there is no GNU time. */
  readonly peakBytes: number | null;
}

export interface Running {
  /** @throws when it ends in any way but with status 0, with the last it said */
  readonly ended: Promise<Usage & { readonly stdout: string }>;
  /** Ends it with SIGKILL, and all it has started. Resolves when it is gone. */
  kill(): Promise<void>;
}

const TIME = '/usr/bin/time';
/** Far more than anything takes: what hangs is ended, and its row says so. */
const PATIENCE_MS = 20 * 60_000;
const KEPT_TEXT = 16 * 1024;
const KEPT_REASON = 200;

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const { pid } of running) if (pid !== undefined) killGroup(pid);
});

export function start(command: Command): Running {
  const folder = mkdtempSync(join(tmpdir(), 'skylock-time-'));
  const report = join(folder, 'report');
  const { file, args, env, cwd = '/' } = command;
  const isTimed = existsSync(TIME);
  const timed = isTimed ? [TIME, '-o', report, '-f', '%U %S %M', file, ...args] : [file, ...args];
  const startedAt = performance.now();
  const child = spawn(timed[0]!, timed.slice(1), {
    cwd,
    env,
    detached: true, // a group of its own: Ctrl-C reaches the benchmark alone, which then ends this one
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] = (said[name] + text).slice(-KEPT_TEXT);
    });
  }
  const impatience = setTimeout(() => void kill(child), PATIENCE_MS);
  let endedAt = Number.NaN;
  child.on('exit', () => {
    endedAt = performance.now();
  });
  const closed = once(child, 'close').finally(() => {
    clearTimeout(impatience);
    running.delete(child);
  });
  const ended = closed.then(([status, name]: unknown[]) => {
    const usage = isTimed ? usageIn(report) : { cpuMs: null, peakBytes: null };
    rmSync(folder, { recursive: true, force: true });
    if (status === 0) return { wallMs: endedAt - startedAt, ...usage, stdout: said.stdout };
    const last = (said.stderr || said.stdout).replace(/\s+/g, ' ').trim().slice(-KEPT_REASON);
    throw new Error(`${file} ended with ${name ?? `status ${status}`}: ${last}`);
  });
  ended.catch(() => {}); // who kills it does not ask how it ended
  return {
    ended,
    async kill() {
      await kill(child);
      await ended.catch(() => {});
    },
  };
}

/** Runs a program to its end. @throws when that is not status 0, or when `abort` was given */
export async function measure(
  command: Command,
  abort: AbortSignal,
): Promise<Usage & { readonly stdout: string }> {
  abort.throwIfAborted();
  const one = start(command);
  const onAbort = () => void one.kill();
  abort.addEventListener('abort', onAbort, { once: true });
  try {
    return await one.ended;
  } catch (error) {
    abort.throwIfAborted();
    throw error;
  } finally {
    abort.removeEventListener('abort', onAbort);
  }
}

/** What was written before goes to the disk now, and not while the next one is measured. */
export async function syncDisks(): Promise<void> {
  await promisify(execFile)('sync');
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || !running.has(child)) return;
  // Some give their ssh a group of its own, so that Ctrl-C does not reach it.
  const strays = descendantsOf(child.pid);
  killGroup(child.pid);
  for (const stray of strays) signal(stray, 'SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

function killGroup(pid: number): void {
  signal(-pid, 'SIGKILL');
}

/** Its last line: what was said of a status comes before. */
function usageIn(report: string): Pick<Usage, 'cpuMs' | 'peakBytes'> {
  const line = existsSync(report) ? readFileSync(report, 'utf8').trim().split('\n').at(-1) : undefined;
  const [user, system, kib] = (line ?? '').split(' ').map(Number);
  if (user === undefined || system === undefined || kib === undefined || Number.isNaN(kib)) {
    return { cpuMs: null, peakBytes: null };
  }
  return { cpuMs: (user + system) * 1000, peakBytes: kib * 1024 };
}
