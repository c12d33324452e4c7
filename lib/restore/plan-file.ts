import { type BigIntStats, closeSync, constants, openSync } from 'node:fs';
import { systemErrorCode } from '../errors.ts';
import { splitChunkIds } from '../format/manifest.ts';
import type { ChunkLocation } from '../journal/packs.ts';
import { addPiece, addWhole, waitForPieces } from '../journal/restore-pieces.ts';
import {
  contentOf,
  type EntryToPlan,
  followLeader,
  leaderOf,
  type RestoreEntry,
  type RestorePlan,
  setState,
} from '../journal/restore-plan.ts';
import { microseconds, setFileAttributes } from './attributes.ts';
import type { Compare, Piece } from './compare.ts';
import { EntryError } from './failure.ts';
import { writeChunk } from './holes.ts';
import type { Opener } from './opener.ts';
import { folderOf, type Parts } from './parts.ts';
import { clearWay, lookAt, type PlaceDeps } from './place.ts';
import type { Tally } from './tally.ts';

/** Thousands of files are passed to a thread at once, with their paths: those that are longer are written one by one. */
const WHOLE_PATH_BYTES = 1024;

export interface FileDeps extends PlaceDeps {
  readonly plan: RestorePlan;
  readonly parts: Parts;
  readonly tally: Tally;
  readonly compare: Compare;
  readonly opener: Pick<Opener, 'begin'>;
  /** Where a chunk lies on the remote, or `null`. */
  readonly locate: (id: Buffer) => ChunkLocation | null;
  readonly userId: number;
  /** Awaited after each chunk that was read from the disk. */
  readonly pause: () => Promise<void>;
}

/** Finds out whether a file is right, what is in its way, and which of its chunks are to be fetched. */
export async function planFile(entry: EntryToPlan, deps: FileDeps): Promise<void> {
  const { plan, target, parts, overwrite } = deps;
  const path = entry.path.toString('latin1');
  const folder = folderOf(path);
  parts.lookForLeftovers(folder);
  parts.disown(entry);
  const found = parts.isOurs(folder) ? null : lookAt(target, path);
  if (found?.isFile() && (await isRight(entry, found, deps))) return settle(entry, found, deps);
  if (found !== null) clearWay(path, found, false, deps);
  const leader = entry.link === null ? null : leaderOf(plan, entry.link);
  if (leader !== null) return followLeader(plan, entry.id, leader.id);
  const old = overwrite === 'if-changed' && found?.isFile() ? openFound(path, deps) : null;
  try {
    await collect(entry, old, deps);
  } finally {
    if (old !== null) closeSync(old);
  }
}

/** Size and time tell that a file was restored before; where they do not, or are not to be trusted, its content does. */
async function isRight(entry: EntryToPlan, found: BigIntStats, deps: FileDeps): Promise<boolean> {
  if (Number(found.size) !== entry.size) return false;
  if (microseconds(found.mtimeNs) === entry.mtimeUs && deps.overwrite !== 'always') return true;
  const fd = openFound(entry.path.toString('latin1'), deps);
  if (fd === null) return false;
  try {
    for (const piece of piecesOf(entry, deps)) {
      if (deps.compare(fd, piece).is !== 'right') return false;
      await deps.pause();
    }
    return true;
  } finally {
    closeSync(fd);
  }
}

/** The content is there. What else differs is set right where that is allowed. */
function settle(entry: RestoreEntry, found: BigIntStats, deps: FileDeps): void {
  const { plan, tally, target, overwrite, userId } = deps;
  const path = entry.path.toString('latin1');
  setState(plan, entry.id, 'right');
  tally.present(entry.size);
  const isSame =
    Number(found.mode & 0o7777n) === entry.mode &&
    microseconds(found.mtimeNs) === entry.mtimeUs &&
    (userId !== 0 || (Number(found.uid) === entry.uid && Number(found.gid) === entry.gid));
  if (overwrite === 'never' || isSame) return;
  const fd = openFound(path, deps);
  let refused: string | null = 'its mode and time could not be set';
  if (fd !== null) {
    try {
      refused = setFileAttributes(fd, entry, userId === 0);
    } finally {
      closeSync(fd);
    }
  }
  if (refused !== null) tally.failed(target.shown(path), refused);
}

/** @returns `null` when it may not be read */
function openFound(path: string, { target }: FileDeps): number | null {
  try {
    // Without waiting: it may have become a FIFO meanwhile.
    return openSync(target.at(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (systemErrorCode(error) === 'EACCES') return null;
    throw error;
  }
}

/**
 * Keeps what is right of a part file, or of the old file, in the part file; what is missing becomes pieces of the plan.
 * @param old open for reading, `null` where nothing is to be taken over
 */
async function collect(entry: EntryToPlan, old: number | null, deps: FileDeps): Promise<void> {
  const { plan, parts, tally, compare, opener, pause } = deps;
  let part = parts.adopt(entry);
  let missing = 0;
  try {
    for (const piece of piecesOf(entry, deps)) {
      const { offset, location, id } = piece;
      const there = part === null ? 'blank' : compare(part, piece).is;
      const kept = there === 'right' ? null : old !== null && compare(old, piece);
      if (kept && kept.is === 'right') {
        part ??= parts.create(entry);
        await writeChunk(part, kept.bytes, offset, there === 'blank');
      }
      if (there === 'right' || (kept && kept.is === 'right')) {
        tally.kept(location.size);
        await pause();
        continue;
      }
      if (piece.isWhole && part === null && entry.link === null && entry.path.length <= WHOLE_PATH_BYTES) {
        opener.begin();
        return addWhole(plan, id, location, entry.id);
      }
      addPiece(plan, id, location, { entry: entry.id, offset, blank: there === 'blank' });
      missing += 1;
    }
    if (missing > 0) {
      opener.begin(); // ready by the time the other files were looked at
      return waitForPieces(plan, entry.id, missing, part !== null);
    }
    const whole = part ?? parts.create(entry);
    part = null; // closed with the putting
    parts.put(entry, whole);
  } finally {
    if (part !== null) closeSync(part);
  }
}

/** @throws EntryError when a chunk is nowhere, or they do not add up to the file */
function* piecesOf(entry: EntryToPlan, deps: FileDeps): Generator<Piece & { readonly isWhole: boolean }> {
  const ids = contentOf(deps.plan, entry);
  let offset = 0;
  for (const id of splitChunkIds(ids)) {
    const location = deps.locate(id);
    if (location === null) throw new EntryError(`no pack is known to hold its chunk ${id.toString('hex')}`);
    yield { id, offset, location, isWhole: id.length === ids.length && location.size === entry.size };
    offset += location.size;
  }
  if (offset !== entry.size) {
    throw new EntryError(`its chunks have ${offset} bytes, and the file has ${entry.size}`);
  }
}
