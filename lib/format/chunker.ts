import { createGearScan } from './gear-scan.ts';

/** Sizes of chunks in bytes: none is larger than `max`, and only the last of a file is `min` or smaller. */
export interface ChunkSizes {
  readonly min: number;
  /** The size boundaries are aimed at: a power of two. */
  readonly avg: number;
  readonly max: number;
}

export const DATA_CHUNK_SIZES: ChunkSizes = { min: 512 * 1024, avg: 1024 * 1024, max: 8 * 1024 * 1024 };
export const MANIFEST_CHUNK_SIZES: ChunkSizes = { min: 16 * 1024, avg: 64 * 1024, max: 256 * 1024 };

/** No chunk of any repository is larger, whatever its sizes are: what a reader may be made to hold. */
export const MAX_CHUNK_BYTES = 16 * 1024 * 1024;

export interface Chunker {
  readonly sizes: ChunkSizes;
  /**
   * The length of the chunk that begins at `start`. It depends on the bytes from `start` on and on nothing before
   * them, so reading may go on at any boundary and finds the same boundaries.
   * @param end where the bytes that are there end; more than `max` after `start` are not looked at
   * @param atEof nothing follows after `end`
   * @returns 0 when more bytes are needed (or, at the end, when there are none)
   */
  nextCut(buffer: Uint8Array, start: number, end: number, atEof: boolean): number;
}

/** Boundaries come more rarely before `avg` and more often after it, by two bits of the mask. */
const NORMALIZATION_BITS = 2;

/**
 * FastCDC with normalized chunking and a gear hash of 32 bits.
 * @param gear 256 numbers of 32 bits, one a byte value
 * @see Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data Deduplication", USENIX ATC 2016
 */
export function createChunker(gear: Uint32Array, sizes: ChunkSizes): Chunker {
  const { min, avg, max } = sizes;
  const bits = Math.log2(avg);
  if (!Number.isInteger(bits) || min > avg || max < avg) throw new RangeError('chunk sizes make no sense');
  // The upper bits: each has seen more of the bytes before it than those below.
  const rareMask = upperBits(bits + NORMALIZATION_BITS);
  const oftenMask = upperBits(bits - NORMALIZATION_BITS);
  const scan = createGearScan(gear);

  function nextCut(buffer: Uint8Array, start: number, end: number, atEof: boolean): number {
    const limit = Math.min(end, start + max);
    const likelier = Math.min(limit, start + avg);
    scan.begin();
    const cut =
      scan.find(buffer, Math.min(limit, start + min), likelier, rareMask) ??
      scan.find(buffer, likelier, limit, oftenMask);
    if (cut !== null) return cut - start;
    const length = limit - start;
    return atEof || length === max ? length : 0;
  }

  return { sizes, nextCut };
}

function upperBits(count: number): number {
  return (-1 << (32 - count)) | 0;
}
