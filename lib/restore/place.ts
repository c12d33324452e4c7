import { type BigIntStats, lstatSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { systemErrorCode } from '../errors.ts';
import { EntryError } from './failure.ts';
import { describe, type Target } from './target.ts';

/**
 * What becomes of something else in an entry's place. `never`: it stays. `if-changed`: it is replaced, and what of its
 * content is right already is not fetched. `always`: it is replaced, and files are compared by their content even where
 * size and time are right.
 */
export type Overwrite = 'never' | 'if-changed' | 'always';

export interface PlaceDeps {
  readonly target: Target;
  readonly overwrite: Overwrite;
}

/** @returns `null` when nothing is there */
export function lookAt(target: Target, path: string): BigIntStats | null {
  return lstatSync(target.at(path), { bigint: true, throwIfNoEntry: false }) ?? null;
}

/**
 * Sees to it that an entry can be put in the place of what is there.
 * @param wantsFolder a folder cannot be put in place of anything: what is there is removed
 * @throws EntryError when it has to stay
 */
export function clearWay(
  path: string,
  found: BigIntStats,
  wantsFolder: boolean,
  { target, overwrite }: PlaceDeps,
): void {
  if (overwrite === 'never') throw new EntryError(`${describe(found)} is there already`);
  if (found.isDirectory()) removeFolder(target.at(path));
  else if (wantsFolder) unlinkSync(target.at(path));
}

/** Moves a finished file, symlink or special file over its final place. @param name where it lies, in the same folder */
export function moveIntoPlace(path: string, name: string, { target, overwrite }: PlaceDeps): void {
  // It was free when the entry was planned, which may be long ago.
  const found = overwrite === 'never' ? lookAt(target, path) : null;
  if (found !== null) throw new EntryError(`${describe(found)} is there already`);
  renameSync(target.at(path, name), target.at(path));
}

function removeFolder(at: Buffer): void {
  try {
    rmdirSync(at);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    throw new EntryError('a folder that is not empty is in its place');
  }
}
