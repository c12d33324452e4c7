import { compressChunk } from '../format/compress.ts';
import { type Compression, RAW, ZSTD } from '../format/pack-directory.ts';
import type { FileInHand } from './read.ts';

/** What a chunk is stored as: itself, or its zstd frame. */
export interface StoredChunk {
  readonly compression: Compression;
  readonly bytes: Buffer;
}

/** @param file the chunk's: its chunks come in their order, but not all of them need to */
export type Compressor = (file: FileInHand, chunk: Buffer) => StoredChunk;

/** A file that would not shrink so often in a row is not tried any further. */
const MISSES = 3;

/** @param overBytes files up to this size are not compressed */
export function createCompressor(overBytes: number): Compressor {
  let entry: bigint | null = null; // and not the object: each slab brings one of its own
  let misses = 0;
  return (file, chunk) => {
    if (file.entry !== entry) misses = 0;
    entry = file.entry;
    const isTried = file.sizeBytes > overBytes && misses < MISSES;
    const frame = isTried ? compressChunk(chunk) : null;
    if (isTried) misses = frame === null ? misses + 1 : 0;
    return frame === null ? { compression: RAW, bytes: chunk } : { compression: ZSTD, bytes: frame };
  };
}
