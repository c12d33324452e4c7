import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
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
