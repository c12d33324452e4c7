import { DamagedError } from '../errors.ts';
import { contentName } from '../format/envelope.ts';
import type { RepositoryKeys } from '../format/keys.ts';
import { openPackDirectory, packDirectoryRange, packKey } from '../format/pack.ts';
import { encodeDirectory, type PackEntry, TRAILER_BYTES } from '../format/pack-directory.ts';
import { openChunk } from '../repository/chunks.ts';

export interface Inspection {
  /** What is wrong with the pack, or `null`. */
  readonly damage: string | null;
  /** Numbers of the frames that cannot be read; `'all'` as well when nobody says where frames are. */
  readonly lostFrames: readonly number[] | 'all';
}

/**
 * Looks at every byte of a pack: its name, its directory, each frame and each chunk's id.
 * @param sha256 what it is named by, in hexadecimal
 * @param indexed what an index says it holds; frames can be read by it although the directory cannot
 * @param onChunk given each chunk that is right
 */
export function inspectPack(
  keys: RepositoryKeys,
  sha256: string,
  bytes: Buffer,
  indexed: readonly PackEntry[] | null,
  onChunk: (entry: PackEntry, chunk: Buffer) => void = () => {},
): Inspection {
  const own = attempt(() => openDirectory(keys, bytes));
  const key = attempt(() => packKey(keys, bytes));
  const entries = indexed ?? own;
  if (key === null || entries === null) {
    return { damage: 'it is no pack of this repository', lostFrames: 'all' };
  }
  const lostFrames: number[] = [];
  for (const [position, entry] of entries.entries()) {
    const sealed = bytes.subarray(entry.offset, entry.offset + entry.storedSize);
    const chunk = attempt(() => openChunk(keys, key, position, entry, sealed));
    if (chunk === null) lostFrames.push(position);
    else onChunk(entry, chunk);
  }
  return { damage: describe(sha256, bytes, { own, entries, lostFrames }), lostFrames };
}

function describe(
  sha256: string,
  bytes: Buffer,
  found: {
    readonly own: readonly PackEntry[] | null;
    readonly entries: readonly PackEntry[];
    readonly lostFrames: readonly number[];
  },
): string | null {
  const { own, entries, lostFrames } = found;
  const reasons: string[] = [];
  if (lostFrames.length > 0) {
    reasons.push(`${lostFrames.length} of its ${entries.length} chunks cannot be read`);
  }
  if (own === null) reasons.push('its directory cannot be read');
  else if (!encodeDirectory(own).equals(encodeDirectory(entries))) {
    reasons.push('its directory is not what the index says');
  }
  if (contentName(bytes) !== sha256) reasons.push('its bytes do not have the SHA-256 it is named by');
  return reasons.length > 0 ? reasons.join('; ') : null;
}

function openDirectory(keys: RepositoryKeys, bytes: Buffer): PackEntry[] {
  const { offset, length } = packDirectoryRange(bytes.subarray(-TRAILER_BYTES), bytes.length);
  return openPackDirectory(keys, bytes, bytes.subarray(offset, offset + length), bytes.length);
}

/** @returns `null` when what `open` opens is damaged */
function attempt<T>(open: () => T): T | null {
  try {
    return open();
  } catch (error) {
    if (error instanceof DamagedError) return null;
    throw error;
  }
}
