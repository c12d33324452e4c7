import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DamagedError, SkylockError, systemErrorCode } from '../errors.ts';

/** 32 random bytes in base64url. */
const KEY = /^[A-Za-z0-9_-]{43}$/;

export interface DefaultKey {
  /** What takes the place of a password; 256 bits. */
  readonly text: string;
  readonly created: boolean;
}

/**
 * The key of the repository that is used where no remote is named, made when it is not there yet.
 * @throws DamagedError when the file holds something else
 */
export async function defaultKey(path: string): Promise<DefaultKey> {
  const there = await readKey(path);
  if (there !== null) return { text: there, created: false };
  const text = randomBytes(32).toString('base64url');
  const created = await createKey(path, text);
  // Another process was faster: its key is the one.
  return { text: (await readKey(path)) ?? text, created };
}

async function readKey(path: string): Promise<string | null> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw new SkylockError(`read key file ${path}: ${systemErrorCode(error) ?? String(error)}`, {
      cause: error,
    });
  }
  const text = content.replace(/\n$/, '');
  if (KEY.test(text)) return text;
  throw new DamagedError(`read key file ${path}: it holds no key`, {
    hints: [
      'Without it the repository beside it cannot be read: look for a copy of it before anything else.',
    ],
  });
}

/** @returns whether it was this process that made it: under its name it is whole and durable, or not there. */
async function createKey(path: string, text: string): Promise<boolean> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${text}\n`);
    await file.sync();
    // Unlike a rename, a link never replaces a key that another process has made meanwhile.
    await link(temporary, path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw new SkylockError(`write key file ${path}: ${systemErrorCode(error) ?? String(error)}`, {
      cause: error,
    });
  } finally {
    await file.close();
    await unlink(temporary);
    await syncFolder(folder);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
