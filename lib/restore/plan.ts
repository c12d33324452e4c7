import { type BigIntStats, chmodSync, mkdirSync } from 'node:fs';
import {
  type EntryToPlan,
  plannedEntries,
  type RestoreEntry,
  type RestorePlan,
  setState,
} from '../journal/restore-plan.ts';
import { clearWay, lookAt } from './place.ts';
import { type FileDeps, planFile } from './plan-file.ts';
import { makeSpecial } from './special.ts';
import { makeSymlink } from './symlink.ts';

export interface PlanDeps extends FileDeps {
  readonly plan: RestorePlan;
  /** Awaited after each entry. */
  readonly pause: () => Promise<void>;
  /** Does what concerns one entry, and tells when that cannot be restored. */
  readonly attempt: (entry: RestoreEntry, work: () => void | Promise<void>) => Promise<void>;
}

/**
 * Compares the entries with what is in the target, in the order of their paths: makes the folders, and all that has no
 * content to wait for, and writes down which chunks of which files are missing.
 */
export async function planEntries(deps: PlanDeps): Promise<void> {
  for (const entry of plannedEntries(deps.plan)) {
    await deps.attempt(entry, () => planEntry(entry, deps));
    await deps.pause();
  }
}

function planEntry(entry: EntryToPlan, deps: PlanDeps): void | Promise<void> {
  switch (entry.type) {
    case 'folder':
      return planFolder(entry, deps);
    case 'file':
      return planFile(entry, deps);
    case 'symlink':
      return makeSymlink(entry, deps);
    default:
      return makeSpecial(entry, deps);
  }
}

/** All that is in a folder comes later, and so do its attributes: time and mode would be changed, or in the way. */
function planFolder(entry: RestoreEntry, deps: PlanDeps): void {
  const { plan, target, parts, userId } = deps;
  const path = entry.path.toString('latin1');
  let found: BigIntStats | null = path === '/' ? null : lookAt(target, path);
  if (found !== null && !found.isDirectory()) {
    clearWay(path, found, true, deps);
    found = null;
  }
  if (found === null && path !== '/') {
    mkdirSync(target.at(path), 0o700);
    parts.noteMade(path);
  } else {
    // One that was restored before may not let its owner in.
    if (found !== null && userId !== 0 && (found.mode & 0o700n) !== 0o700n) {
      chmodSync(target.folderAt(path), Number((found.mode & 0o7777n) | 0o700n));
    }
    parts.lookForLeftovers(path);
  }
  // Of the folders above what was asked for, only those that were not there are made like the ones in the backup.
  const isOurs = entry.chosen || found === null;
  setState(plan, entry.id, isOurs ? 'waiting' : 'right');
}
