import {
  closeSync,
  constants,
  ftruncateSync,
  lstatSync,
  opendirSync,
  openSync,
  renameSync,
  unlinkSync,
} from 'node:fs';
import { systemErrorCode } from '../errors.ts';
import { claimLeftovers, noteFolder, noteLeftover } from '../journal/restore-leftovers.ts';
import { countPiece, notePart, type PlannedPiece, partOf } from '../journal/restore-pieces.ts';
import { type RestoreEntry, type RestorePlan, setState } from '../journal/restore-plan.ts';
import { setFileAttributes } from './attributes.ts';
import { HOLE_BYTES, writeChunk } from './holes.ts';
import { isAbandoned, parsePartName, partKey, partName } from './part-name.ts';
import { moveIntoPlace, type Overwrite } from './place.ts';
import type { Tally } from './tally.ts';
import { bytes, type Target } from './target.ts';

/**
 * Files on their way. Each is written beside its final place, under a name that no other process uses and the next
 * restore recognises, and moved into place when its content and attributes are right.
 */
export interface Parts {
  /** Writes all of a file that consists of one chunk. */
  writeWhole(entry: RestoreEntry, chunk: Buffer): Promise<void>;
  /** Writes one of a file's pieces; the last one puts it in place. */
  writePiece(piece: PlannedPiece, chunk: Buffer): Promise<void>;
  /** Opens the part file an earlier restore has left of this file, `null` where there is none. */
  adopt(entry: RestoreEntry): number | null;
  create(entry: RestoreEntry): number;
  /** What the entry is called until it is moved into place. */
  nameOf(entry: RestoreEntry): string;
  /** The content is whole: sets the attributes, closes the file and moves it into place. */
  put(entry: RestoreEntry, fd: number): void;
  /** Removes what there is of the file. */
  discard(entry: RestoreEntry): void;
  /** A file of the backup that is called like a part file is not one. */
  disown(entry: RestoreEntry): void;
  /** Remembers what earlier restores have left in a folder, once. */
  lookForLeftovers(folder: string): void;
  /** This restore has made the folder: nobody has left anything in it. */
  noteMade(folder: string): void;
  /** Is nothing in the folder but what this restore has put there? `false` where that is not known. */
  isOurs(folder: string): boolean;
  close(): void;
}

export interface PartsDeps {
  readonly plan: RestorePlan;
  readonly target: Target;
  readonly tally: Tally;
  readonly overwrite: Overwrite;
  readonly userId: number;
  /** This process's, of `partTag`. */
  readonly tag: string;
}

interface OpenPart {
  readonly fd: number;
  writers: number;
  discarded: boolean;
}

const OPEN_PARTS = 48;
/** Looking into a folder that was forgotten costs little. */
const MADE_FOLDERS = 1024;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;

export function createParts({ plan, target, tally, overwrite, userId, tag }: PartsDeps): Parts {
  /** Of files that wait for pieces; the one used last comes last. */
  const open = new Map<number, OpenPart>();
  const made = new Set<string>();
  let lookedInto: string | null = null;
  let hasLeftovers = false;
  const asRoot = userId === 0;
  const partAt = ({ path }: PathOnly) => target.at(text(path), ownName(path));
  /** Of the path asked about last: of most files the name is wanted twice in a row, when it is made and when it is moved. */
  let named: { readonly path: Buffer; readonly name: string } | null = null;
  const ownName = (path: Buffer): string => {
    if (named?.path !== path) named = { path, name: partName(partKey(nameOf(path)), tag) };
    return named.name;
  };

  const create = (entry: RestoreEntry): number => {
    const fd = openSync(partAt(entry), O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, 0o600);
    // A hole at the end is not written either.
    if (entry.size >= HOLE_BYTES) ftruncateSync(fd, entry.size);
    return fd;
  };

  const put = (entry: RestoreEntry, fd: number): void => {
    let refused: string | null;
    try {
      refused = setFileAttributes(fd, entry, asRoot);
    } finally {
      closeSync(fd);
    }
    moveIntoPlace(text(entry.path), ownName(entry.path), { target, overwrite });
    setState(plan, entry.id, 'right');
    tally.placed(entry.size);
    if (refused !== null) tally.failed(target.shown(text(entry.path)), refused);
  };

  /** Nothing waits between the look and the opening, so that two lanes do not make the same part file. */
  const borrow = (entry: RestoreEntry): OpenPart | null => {
    const { failed, hasPart } = partOf(plan, entry.id);
    if (failed) return null;
    let part = open.get(entry.id);
    if (part === undefined) {
      closeIdle();
      part = {
        fd: hasPart ? openSync(partAt(entry), O_RDWR | O_NOFOLLOW) : create(entry),
        writers: 0,
        discarded: false,
      };
      if (!hasPart) notePart(plan, entry.id);
    }
    open.delete(entry.id);
    open.set(entry.id, part);
    part.writers += 1;
    return part;
  };

  const giveBack = (part: OpenPart): void => {
    part.writers -= 1;
    if (part.discarded && part.writers === 0) closeSync(part.fd);
  };

  const closeIdle = (): void => {
    for (const [id, part] of open) {
      if (open.size < OPEN_PARTS) return;
      if (part.writers > 0) continue;
      open.delete(id);
      closeSync(part.fd);
    }
  };

  return {
    create,
    put,
    nameOf: ({ path }) => ownName(path),

    async writeWhole(entry, chunk) {
      const fd = create(entry);
      try {
        await writeChunk(fd, chunk, 0, true);
      } catch (error) {
        closeSync(fd);
        throw error;
      }
      tally.written(chunk.length);
      put(entry, fd);
    },

    async writePiece({ entry, offset, blank }, chunk) {
      const part = borrow(entry);
      if (part === null) return;
      try {
        await writeChunk(part.fd, chunk, offset, blank);
      } finally {
        giveBack(part);
      }
      tally.written(chunk.length);
      if (part.discarded || countPiece(plan, entry.id) > 0) return;
      open.delete(entry.id);
      put(entry, part.fd);
    },

    adopt(entry) {
      if (!hasLeftovers) return null;
      const path = text(entry.path);
      const [name, ...others] = claimLeftovers(plan, bytes(folderOf(path)), partKey(nameOf(entry.path)));
      for (const other of others) unlinkSync(target.at(path, other));
      if (name === undefined) return null;
      renameSync(target.at(path, name), partAt(entry));
      const fd = openSync(partAt(entry), O_RDWR | O_NOFOLLOW);
      ftruncateSync(fd, entry.size);
      return fd;
    },

    discard(entry) {
      const part = open.get(entry.id);
      if (part !== undefined) {
        part.discarded = true;
        open.delete(entry.id);
        if (part.writers === 0) closeSync(part.fd);
      }
      try {
        unlinkSync(partAt(entry));
      } catch {
        // There is none, or it cannot be removed: the next restore finds it.
      }
    },

    disown({ path }) {
      if (!hasLeftovers) return;
      const part = parsePartName(nameOf(path));
      if (part !== null) claimLeftovers(plan, bytes(folderOf(text(path))), part.key);
    },

    lookForLeftovers(folder) {
      // Files of one folder mostly follow one another.
      if (folder === lookedInto) return;
      lookedInto = folder;
      if (!noteFolder(plan, bytes(folder))) return;
      for (const name of namesIn(target, folder)) {
        const part = parsePartName(name);
        if (part === null || !(part.tag === tag || isAbandoned(part))) continue;
        const stats = lstatSync(target.at(inFolder(folder, name)), { throwIfNoEntry: false });
        // Somebody else may have laid it there, or hold it by another name, to change it later.
        const isOurs = stats?.isFile() && stats.nlink === 1 && stats.uid === userId;
        if (!isOurs) continue;
        noteLeftover(plan, bytes(folder), part.key, name);
        hasLeftovers = true;
      }
    },

    noteMade(folder) {
      noteFolder(plan, bytes(folder));
      if (made.size >= MADE_FOLDERS) made.clear();
      made.add(folder);
    },

    isOurs: (folder) => made.has(folder),

    close() {
      for (const { fd } of open.values()) closeSync(fd);
      open.clear();
    },
  };
}

/** Name by name: a folder may hold a million. */
function* namesIn(target: Target, folder: string): Generator<string> {
  let listing: ReturnType<typeof opendirSync>;
  try {
    listing = opendirSync(target.folderAt(folder), { encoding: 'latin1' as BufferEncoding });
  } catch (error) {
    if (systemErrorCode(error) === 'EACCES') return; // what may not be seen is left alone
    throw error;
  }
  try {
    for (let item = listing.readSync(); item !== null; item = listing.readSync()) yield item.name;
  } finally {
    listing.closeSync();
  }
}

type PathOnly = Pick<RestoreEntry, 'path'>;

function text(path: Buffer): string {
  return path.toString('latin1');
}

function nameOf(path: Buffer): string {
  return text(path.subarray(path.lastIndexOf('/') + 1));
}

export function inFolder(folder: string, name: string): string {
  return folder === '/' ? `/${name}` : `${folder}/${name}`;
}

/** @returns `/` for what lies right below it */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
