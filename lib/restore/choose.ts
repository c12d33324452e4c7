import { createHash } from 'node:crypto';
import { UsageError } from '../errors.ts';
import type { Entry } from '../format/manifest.ts';
import { liesUnder } from '../format/path.ts';
import { addEntry, type RestorePlan } from '../journal/restore-plan.ts';
import { microseconds } from './attributes.ts';

export interface Chosen {
  readonly files: number;
  readonly bytes: number;
  /** Sockets, which only the program that listens can make. */
  readonly sockets: number;
}

/**
 * Takes into the plan what was asked for, and the folders above it. Nothing of the target is touched yet.
 * @param paths absolute; a folder stands for all below it; none stand for everything
 * @param pause awaited after each entry
 * @throws UsageError naming a path that is not in the backup
 */
export async function choose(
  entries: AsyncIterable<Entry>,
  paths: readonly Buffer[],
  { plan, backupId, pause }: { plan: RestorePlan; backupId: string; pause: () => Promise<void> },
): Promise<Chosen> {
  const chosen = { files: 0, bytes: 0, sockets: 0 };
  const notFound = new Set(paths);
  for await (const entry of entries) {
    await pause();
    const matches = paths.filter((path) => path.equals(entry.path) || liesUnder(entry.path, path));
    for (const path of matches) notFound.delete(path);
    const isChosen = paths.length === 0 || matches.length > 0;
    if (!isChosen && !paths.some((path) => liesUnder(path, entry.path))) continue;
    if (entry.type === 'socket') {
      chosen.sockets += 1;
      continue;
    }
    addToPlan(plan, entry, isChosen);
    if (entry.type !== 'file') continue;
    chosen.files += 1;
    chosen.bytes += entry.size;
  }
  const [missing] = notFound;
  if (missing !== undefined) {
    throw new UsageError(`restore ${missing}: it is not in backup ${backupId}`, {
      hints: [`'skylock ls ${backupId}' lists what is in it.`],
    });
  }
  return chosen;
}

function addToPlan(plan: RestorePlan, entry: Entry, chosen: boolean): void {
  const { path, type, mode, uid, gid } = entry;
  const common = { path, type, chosen, mode, uid, gid, mtimeUs: microseconds(entry.mtimeNs) };
  const plain = { ...common, size: 0, device: null, link: null };
  switch (entry.type) {
    case 'file':
      addEntry(plan, { ...plain, size: entry.size, link: linkOf(entry) }, entry.chunks);
      break;
    case 'symlink':
      addEntry(plan, plain, entry.target);
      break;
    case 'character_device':
    case 'block_device':
      addEntry(plan, { ...plain, device: String(entry.device) }, null);
      break;
    default:
      addEntry(plan, plain, null);
  }
}

/** Two names of one file are read at different moments: only what was the same in both is one file again. */
function linkOf({ link, size, mtimeNs, chunks }: Extract<Entry, { type: 'file' }>): Buffer | null {
  if (link === null) return null;
  return createHash('sha256').update(`${link} ${size} ${mtimeNs} `).update(chunks).digest();
}
