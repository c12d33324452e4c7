import { readFileSync, readlinkSync } from 'node:fs';
import { systemErrorCode } from '../errors.ts';

/** A process, told apart from every other one that ever had its number: its id, its start time and the boot it lives in. */
export interface Owner {
  readonly pid: number;
  readonly startedAt: string;
  readonly bootId: string;
}

/** @returns the identity of process `pid`, or `null` when there is none */
export function identifyProcess(pid: number): Owner | null {
  const startedAt = processStart(pid);
  return startedAt === null ? null : { pid, startedAt, bootId: bootId() };
}

/** An owner whose process has ended, or lived before the last boot, owns nothing any more. */
export function isAlive(owner: Owner): boolean {
  const living = identifyProcess(owner.pid);
  return living !== null && living.startedAt === owner.startedAt && living.bootId === owner.bootId;
}

/** The columns of a run that name its owner; all `null` when it has none. */
export interface OwnerColumns {
  readonly owner_pid: number | null;
  readonly owner_started: string | null;
  readonly owner_boot: string | null;
}

/** @returns the process id of the living process that owns the run, or `null` */
export function livingOwner(run: OwnerColumns): number | null {
  if (run.owner_pid === null) return null;
  const { owner_pid: pid, owner_started: startedAt, owner_boot: bootId } = run;
  return isAlive({ pid, startedAt: startedAt ?? '', bootId: bootId ?? '' }) ? pid : null;
}

/** Field 22 of `/proc/<pid>/stat` (proc(5)); fields are counted after the name, which may hold blanks and brackets. */
function processStart(pid: number): string | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    // Any other failure (no descriptor left) says nothing about that process: it must not lose what it owns.
    if (systemErrorCode(error) !== 'ENOENT' && systemErrorCode(error) !== 'ESRCH') throw error;
    return existsWithoutProc(pid) ? '' : null;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, start] = [fields[0], fields[19]];
  return state === 'Z' || state === 'X' || start === undefined ? null : start;
}

/** Systems without /proc know only whether the number is in use. */
function existsWithoutProc(pid: number): boolean {
  try {
    readFileSync('/proc/self/stat');
    return false;
  } catch {
    try {
      return process.kill(pid, 0);
    } catch (error) {
      return systemErrorCode(error) === 'EPERM';
    }
  }
}

/** With the namespace its number counts in: containers share the boot of their host. */
function bootId(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '';
  }
}
