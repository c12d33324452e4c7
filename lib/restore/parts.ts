import { closeSync, constants, lstatSync, opendirSync, openSync, renameSync, unlinkSync } from 'node:fs';
import { systemErrorCode } from '../errors.ts';
import { claimLeftovers, noteFolder, noteLeftover } from '../journal/restore-leftovers.ts';
import { countPiece, notePart, type PlannedPiece, partOf } from '../journal/restore-pieces.ts';
import { type RestoreEntry, type RestorePlan, setState } from '../journal/restore-plan.ts';
import { setPartMode } from './attributes.ts';
import { writeChunk } from './holes.ts';
import { ownName, type PartFiles } from './part-files.ts';
import { isAbandoned, parsePartName, partKey } from './part-name.ts';
import type { Tally } from './tally.ts';
import { bytes, type Target } from './target.ts';

/** Files on their way: those whose pieces come one by one, and what earlier restores have left of theirs. */
export interface Parts {
  /** Writes all of a file that consists of one chunk. */
  writeWhole(entry: RestoreEntry, chunk: Buffer): void;
  /** A file is in place. @param refused why its owner could not be set, or `null` */
  settle(entry: RestoreEntry, refused: string | null): void;
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
  readonly files: PartFiles;
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
const { O_NOFOLLOW, O_RDWR } = constants;

export function createParts({ plan, target, tally, files, userId, tag }: PartsDeps): Parts {
  /** Of files that wait for pieces; the one used last comes last. */
  const open = new Map<number, OpenPart>();
  const made = new Set<string>();
  let lookedInto: string | null = null;
  let hasLeftovers = false;

  const settle = (entry: RestoreEntry, refused: string | null): void => {
    // Only those who would be further names of it ask.
    if (entry.link !== null) setState(plan, entry.id, 'right');
    tally.placed(entry.size);
    if (refused !== null) tally.failed(target.shown(text(entry.path)), refused);
  };

  const put = (entry: RestoreEntry, fd: number): void => settle(entry, files.put(entry, fd));

  /** Nothing waits between the look and the opening, so that two lanes do not make the same part file. */
  const borrow = (entry: RestoreEntry): OpenPart | null => {
    const { failed, hasPart } = partOf(plan, entry.id);
    if (failed) return null;
    let part = open.get(entry.id);
    if (part === undefined) {
      closeIdle();
      part = {
        fd: hasPart ? openSync(files.at(entry.path), O_RDWR | O_NOFOLLOW) : files.create(entry),
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
    create: files.create,
    put,
    settle,
    nameOf: ({ path }) => files.nameOf(path),

    writeWhole(entry, chunk) {
      const refused = files.writeWhole(entry, chunk);
      tally.written(chunk.length);
      settle(entry, refused);
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
      const [name, ...others] = claimLeftovers(plan, bytes(folderOf(path)), partKey(ownName(entry.path)));
      for (const other of others) unlinkSync(target.at(path, other));
      if (name === undefined) return null;
      renameSync(target.at(path, name), files.at(entry.path));
      // A restore that was killed just before it moved the file has left it with the mode the file was to have.
      setPartMode(files.at(entry.path));
      return files.reopen(entry);
    },

    discard(entry) {
      const part = open.get(entry.id);
      if (part !== undefined) {
        part.discarded = true;
        open.delete(entry.id);
        if (part.writers === 0) closeSync(part.fd);
      }
      files.remove(entry.path);
    },

    disown({ path }) {
      if (!hasLeftovers) return;
      const part = parsePartName(ownName(path));
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

function text(path: Buffer): string {
  return path.toString('latin1');
}

export function inFolder(folder: string, name: string): string {
  return folder === '/' ? `/${name}` : `${folder}/${name}`;
}

/** @returns `/` for what lies right below it */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
