import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { systemErrorCode } from '../errors.ts';
import { fileError } from './file-error.ts';

/**
 * Writes a small file of which there is never a half: temporary name, fsync, final name, fsync of the folder.
 * @param place `replace` takes the place of a file that is there; `keep` leaves that one
 * @returns whether it is this content that now is under the name
 */
export function writePrivateFile(path: string, content: string, place: 'replace' | 'keep'): boolean {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    try {
      withFile(temporary, 'wx', (file) => writeFileSync(file, content));
      if (place === 'keep' && !linkUnlessThere(temporary, path)) return false;
      if (place === 'replace') renameSync(temporary, path);
    } finally {
      rmSync(temporary, { force: true });
    }
    withFile(dirname(path), 'r', () => {});
    return true;
  } catch (error) {
    throw fileError(`write ${path}`, error);
  }
}

/** A write takes moments. */
const DEAD_AFTER_MS = 3_600_000;

/** Removes the temporary files that writes of `path` which were killed have left beside it. What cannot be removed stays. */
export function removeDeadWrites(path: string, now: Date): void {
  const isTemporary = (name: string) =>
    name.startsWith(`${basename(path)}.`) && /^[0-9a-f]{12}$/.test(name.slice(basename(path).length + 1));
  try {
    for (const name of readdirSync(dirname(path)).filter(isTemporary)) {
      const file = join(dirname(path), name);
      if (statSync(file).mtimeMs < now.getTime() - DEAD_AFTER_MS) rmSync(file);
    }
  } catch {
    // There is no such folder, or another process was faster: nothing relies on it.
  }
}

/** Unlike a rename, a link never replaces what another process has put there meanwhile. */
function linkUnlessThere(temporary: string, path: string): boolean {
  try {
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function withFile(path: string, flags: string, use: (file: number) => void): void {
  const file = openSync(path, flags, 0o600);
  try {
    use(file);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
