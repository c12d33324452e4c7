import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { MAX_CHUNK_BYTES } from './chunker.ts';

/** Level 3: what follows costs more time than it saves on the wire at tens of megabytes a second. */
const LEVEL = { [constants.ZSTD_c_compressionLevel]: 3 };
/** A chunk's window is never larger than the largest chunk, so a frame that asks for more is wrong. */
const WINDOW = { [constants.ZSTD_d_windowLogMax]: Math.log2(MAX_CHUNK_BYTES) };
/** A saving below 3 % is not worth the time to decompress. */
const WORTHWHILE = 0.97;
/** zstd's own framing takes up what it could win on less. */
const MIN_BYTES = 64;

/** @returns one zstd frame at least 3 % smaller than `bytes`, or `null` where there is none */
export function compressChunk(bytes: Uint8Array): Buffer | null {
  if (bytes.length < MIN_BYTES) return null;
  // Told the size, zstd sets up tables for that size only: more than twice as fast on small files.
  const compressed = zstdCompressSync(bytes, {
    params: LEVEL,
    pledgedSrcSize: bytes.length,
    chunkSize: bytes.length,
  });
  return compressed.length <= bytes.length * WORTHWHILE ? compressed : null;
}

/** @returns `null` unless `compressed` is a zstd frame of exactly `size` bytes */
export function decompressChunk(compressed: Uint8Array, size: number): Buffer | null {
  try {
    const bytes = zstdDecompressSync(compressed, {
      params: WINDOW,
      maxOutputLength: size,
      chunkSize: Math.max(size, MIN_BYTES), // node takes no less than 64
    });
    return bytes.length === size ? bytes : null;
  } catch {
    return null; // any error of zstd means that these bytes are no such frame
  }
}
