import { hash } from 'node:crypto';
import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { encodeKeyName, KDF_PARAMETERS, type KdfParameters, parseKeyName } from '../format/key-file.ts';
import type { KeyMemory } from '../repository/open.ts';

/**
 * Remembers which key file opens the repository at `url`, in a file of the cache folder. It is read and written where that can
 * be: without it a start takes longer, and with a wrong one too.
 */
export function keyMemory(cacheFolder: string, url: string): KeyMemory {
  const file = join(cacheFolder, 'keys', `${hash('sha256', url).slice(0, 16)}.json`);
  const read = (): Buffer | null => {
    try {
      return readSmallFile(file);
    } catch {
      return null;
    }
  };
  return {
    recall() {
      try {
        const bytes = read();
        const key = bytes === null ? null : parseKeyName(bytes);
        // What somebody else put there must not cost more than what was.
        return key !== null && isNoDearer(key.kdf.parameters) ? key : null;
      } catch {
        return null; // half of it was written, or somebody else's hand was in it
      }
    },
    keep(key) {
      const text = encodeKeyName(key);
      if (read()?.toString() === text) return;
      try {
        mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
        writeFileSync(file, text, { mode: 0o600 });
      } catch {
        // The next start takes as long as this one.
      }
    },
  };
}

const MOST_BYTES = 4096;
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** @throws Error when it is no file, or no small one: a pipe would be waited for */
function readSmallFile(file: string): Buffer {
  const descriptor = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile() || stats.size > MOST_BYTES) throw new Error('it is not what was written');
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function isNoDearer({ memoryKib, passes, lanes }: KdfParameters): boolean {
  return (
    memoryKib <= KDF_PARAMETERS.memoryKib && passes <= KDF_PARAMETERS.passes && lanes <= KDF_PARAMETERS.lanes
  );
}
