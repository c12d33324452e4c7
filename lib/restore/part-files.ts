import { closeSync, constants, ftruncateSync, openSync, unlinkSync } from 'node:fs';
import { type Attributes, PART_MODE, setFileAttributes } from './attributes.ts';
import { HOLE_BYTES, writeChunkSync } from './holes.ts';
import { partKey, partName } from './part-name.ts';
import { moveIntoPlace, type Overwrite } from './place.ts';
import type { Target } from './target.ts';

/** A file of the backup, without its content. */
export interface FileToWrite extends Attributes {
  readonly path: Buffer;
  readonly size: number;
}

/**
 * Files under the names they have until they are whole: each beside its final place, under a name that no other process
 * uses and the next restore recognises.
 */
export interface PartFiles {
  nameOf(path: Buffer): string;
  /** What to call the part file in the next system call. */
  at(path: Buffer): Buffer;
  create(file: Pick<FileToWrite, 'path' | 'size'>): number;
  /** Opens what there is of the file, as long as it is to be. */
  reopen(file: Pick<FileToWrite, 'path' | 'size'>): number;
  /**
   * The content is whole: sets the attributes, closes the file and moves it into place.
   * @returns why the owner could not be set, or `null`
   */
  put(file: FileToWrite, fd: number): string | null;
  /** Does all of it for a file whose content is there. What fails leaves no part file. @returns as {@link put} */
  writeWhole(file: FileToWrite, content: Buffer): string | null;
  remove(path: Buffer): void;
}

export interface PartFileOptions {
  readonly target: Target;
  readonly overwrite: Overwrite;
  /** Only root can give files away. */
  readonly asRoot: boolean;
  /** This process's, of `partTag`. */
  readonly tag: string;
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;

export function createPartFiles({ target, overwrite, asRoot, tag }: PartFileOptions): PartFiles {
  /** Of the path asked about last: of most files the name is wanted twice in a row, when it is made and when it is moved. */
  let named: { readonly path: Buffer; readonly name: string } | null = null;
  const nameOf = (path: Buffer): string => {
    if (named?.path !== path) named = { path, name: partName(partKey(ownName(path)), tag) };
    return named.name;
  };
  const at = (path: Buffer) => target.at(text(path), nameOf(path));

  const files: PartFiles = {
    nameOf,
    at,

    create({ path, size }) {
      const fd = openSync(at(path), O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, PART_MODE);
      if (size < HOLE_BYTES) return fd;
      try {
        return withLength(fd, size); // a hole at the end is not written either
      } catch (error) {
        files.remove(path);
        throw error;
      }
    },

    reopen: ({ path, size }) => withLength(openSync(at(path), O_RDWR | O_NOFOLLOW), size),

    put(file, fd) {
      let refused: string | null;
      try {
        refused = setFileAttributes(fd, file, asRoot);
      } finally {
        closeSync(fd);
      }
      moveIntoPlace(text(file.path), nameOf(file.path), { target, overwrite });
      return refused;
    },

    writeWhole(file, content) {
      const fd = files.create(file);
      try {
        try {
          writeChunkSync(fd, content, 0, true);
        } catch (error) {
          closeSync(fd);
          throw error;
        }
        return files.put(file, fd);
      } catch (error) {
        files.remove(file.path);
        throw error;
      }
    },

    remove(path) {
      try {
        unlinkSync(at(path));
      } catch {
        // There is none, or it cannot be removed: the next restore finds it.
      }
    },
  };
  return files;
}

/** @returns the descriptor, which is closed when this fails */
function withLength(fd: number, size: number): number {
  try {
    ftruncateSync(fd, size);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function text(path: Buffer): string {
  return path.toString('latin1');
}

/** Of an entry, without its folder: one character a byte. */
export function ownName(path: Buffer): string {
  return text(path.subarray(path.lastIndexOf('/') + 1));
}
