import { HEADER_BYTES } from '../format/envelope.ts';
import { openPackDirectory, packDirectoryRange } from '../format/pack.ts';
import { type PackEntry, TRAILER_BYTES } from '../format/pack-directory.ts';
import { PACKS_PREFIX, packName, type Repository } from './repository.ts';

/** Holds the directory of a pack of some 1,500 chunks; that of a larger one is asked for in a second request. */
const TAIL_BYTES = 64 * 1024;

/** @returns the SHA-256 in hexadecimal an object of the remote is named by, or `null` when it is not named like a pack */
export function packSha256(name: string): string | null {
  const sha256 = name.slice(name.lastIndexOf('/') + 1);
  return /^[0-9a-f]{64}$/.test(sha256) && name === packName(sha256) ? sha256 : null;
}

/** @returns the size of every pack on the remote, by its SHA-256 in hexadecimal */
export async function listPacks({ remote }: Pick<Repository, 'remote'>): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for await (const { name, sizeBytes } of remote.list(PACKS_PREFIX)) {
    const sha256 = packSha256(name);
    if (sha256 !== null) sizes.set(sha256, sizeBytes);
  }
  return sizes;
}

/**
 * A pack tells by itself what it holds.
 * @param sha256 in hexadecimal
 * @returns its chunks in the order of its frames, or `null` when it is not on the remote
 * @throws DamagedError
 */
export async function readPackDirectory(
  { remote, keys }: Pick<Repository, 'remote' | 'keys'>,
  sha256: string,
  sizeBytes: number,
): Promise<PackEntry[] | null> {
  const object = packName(sha256);
  const tailOffset = Math.max(0, sizeBytes - TAIL_BYTES);
  const [header, tail] = await Promise.all([
    remote.get(object, { offset: 0, length: HEADER_BYTES }),
    remote.get(object, { offset: tailOffset, length: sizeBytes - tailOffset }),
  ]);
  if (header === null || tail === null) return null; // removed since it was listed
  const { offset, length } = packDirectoryRange(tail.subarray(-TRAILER_BYTES), sizeBytes, object);
  const sealed =
    offset >= tailOffset
      ? tail.subarray(offset - tailOffset, offset - tailOffset + length)
      : await remote.get(object, { offset, length });
  return sealed === null ? null : openPackDirectory(keys, header, sealed, sizeBytes, object);
}
