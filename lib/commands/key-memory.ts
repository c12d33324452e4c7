import { hash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { encodeKeyName, parseKeyName } from '../format/key-file.ts';
import type { KeyMemory } from '../repository/open.ts';

/**
 * Remembers which key file opens the repository at `url`, in a file of the cache folder. It is read and written where that can
 * be: without it a start takes longer, and with a wrong one too.
 */
export function keyMemory(cacheFolder: string, url: string): KeyMemory {
  const file = join(cacheFolder, 'keys', `${hash('sha256', url).slice(0, 16)}.json`);
  const read = (): Buffer | null => {
    try {
      return readFileSync(file);
    } catch {
      return null;
    }
  };
  return {
    recall() {
      try {
        const bytes = read();
        return bytes === null ? null : parseKeyName(bytes);
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
