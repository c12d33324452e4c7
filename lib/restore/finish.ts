import { linkSync, lstatSync, unlinkSync } from 'node:fs';
import { claimLeftovers, unclaimedLeftovers } from '../journal/restore-leftovers.ts';
import {
  plannedEntry,
  type RestoreEntry,
  setState,
  waitingFolders,
  waitingLinks,
} from '../journal/restore-plan.ts';
import { setFolderAttributes } from './attributes.ts';
import { EntryError } from './failure.ts';
import { inFolder } from './parts.ts';
import { moveIntoPlace } from './place.ts';
import type { PlanDeps } from './plan.ts';

/** What comes when all files are in place: their further names, what earlier restores left, and the folders' times. */
export async function finish(deps: PlanDeps): Promise<void> {
  const { plan, attempt, pause } = deps;
  for (const entry of waitingLinks(plan)) {
    await attempt(entry, () => makeLink(entry, deps));
    await pause();
  }
  removeLeftovers(deps);
  for (const entry of waitingFolders(plan)) {
    await attempt(entry, () => finishFolder(entry, deps));
    await pause();
  }
}

function makeLink(entry: RestoreEntry, deps: PlanDeps): void {
  const { plan, target, parts, tally } = deps;
  const leader = plannedEntry(plan, entry.leader!);
  const [path, from] = [entry.path.toString('latin1'), leader.path.toString('latin1')];
  if (leader.state !== 'right') {
    throw new EntryError(`it is a link to ${target.shown(from)}, which could not be restored`);
  }
  const name = parts.nameOf(entry);
  linkSync(target.at(from), target.at(path, name));
  moveIntoPlace(path, name, deps);
  // rename(2) does nothing when both are names of one file already.
  if (lstatSync(target.at(path, name), { throwIfNoEntry: false })) unlinkSync(target.at(path, name));
  setState(plan, entry.id, 'right');
  tally.written(entry.size);
  tally.placed(entry.size);
}

function removeLeftovers({ plan, target }: PlanDeps): void {
  for (const { folder, key, name } of unclaimedLeftovers(plan)) {
    claimLeftovers(plan, folder, key);
    try {
      unlinkSync(target.at(inFolder(folder.toString('latin1'), name)));
    } catch {
      // A part nobody needs: that it stays does no harm.
    }
  }
}

function finishFolder(entry: RestoreEntry, { target, tally, plan, userId }: PlanDeps): void {
  const path = entry.path.toString('latin1');
  const refused = setFolderAttributes(target.folderAt(path), entry, userId === 0);
  setState(plan, entry.id, 'right');
  if (refused !== null) tally.failed(target.shown(path), refused);
}
