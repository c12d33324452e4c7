import { readlinkSync, symlinkSync } from 'node:fs';
import { contentOf, type EntryToPlan, type RestorePlan, setState } from '../journal/restore-plan.ts';
import { setSymlinkAttributes } from './attributes.ts';
import type { Parts } from './parts.ts';
import { clearWay, lookAt, moveIntoPlace, type PlaceDeps } from './place.ts';
import type { Tally } from './tally.ts';

export interface LeafDeps extends PlaceDeps {
  readonly plan: RestorePlan;
  readonly parts: Parts;
  readonly tally: Tally;
  readonly userId: number;
}

/** A symlink is text: where it points to is of no concern to us. */
export function makeSymlink(entry: EntryToPlan, deps: LeafDeps): void {
  const { plan, target, parts, tally, userId } = deps;
  const path = entry.path.toString('latin1');
  const content = contentOf(plan, entry);
  const found = lookAt(target, path);
  const isRight = found?.isSymbolicLink() && content.equals(readlinkSync(target.at(path), 'buffer'));
  if (!isRight) {
    if (found !== null) clearWay(path, found, false, deps);
    const name = parts.nameOf(entry);
    symlinkSync(content, target.at(path, name));
    moveIntoPlace(path, name, deps);
  }
  setState(plan, entry.id, 'right');
  const refused = setSymlinkAttributes(target.at(path), entry, userId === 0);
  if (refused !== null) tally.failed(target.shown(path), refused);
}
