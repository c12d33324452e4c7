import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Lends a new empty folder (mode 0700, no symlink in its path) and removes it with all it then holds. */
export async function withFolder<T>(use: (path: string) => Promise<T>): Promise<T> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'skylock-')));
  try {
    return await use(path);
  } finally {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}
