import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** @returns the process ids of the children of `pid`, from Linux' /proc. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(Number(name)) === pid)
    .map(Number);
}

/** @returns `pid`'s children, their children and so on, without `pid` itself. */
export function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** @returns the command line of a process, its words ended by NUL; empty when it has ended */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

/** Ends a process with all it started and waits until it is gone. */
export async function endTree(child: ChildProcess): Promise<void> {
  const pid = child.pid;
  if (pid === undefined) return;
  const below = descendantsOf(pid);
  signal(pid, 'SIGKILL');
  for (const one of below) signal(one, 'SIGKILL');
  while (child.exitCode === null && child.signalCode === null) await delay(5);
}

/** Sends a signal; that the process has ended already is fine. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It was faster.
  }
}

function parentOf(pid: number): number | null {
  try {
    // `pid (name) state parent …`, and the name may hold anything, `)` and spaces too.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return null;
  }
}
