import {
  constants,
  createZstdCompress,
  createZstdDecompress,
  zstdCompressSync,
  zstdDecompressSync,
} from 'node:zlib';
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
  context ??= openContext(IS_TRIED ? (createZstdCompress({ params: LEVEL }) as ZstdStream) : {});
  const compressed = context(bytes);
  return compressed.length <= bytes.length * WORTHWHILE ? compressed : null;
}

/** The inside of a Node of another version may end the process when it is given what it does not expect. */
const IS_TRIED = process.version.startsWith('v24.');
/** Each thread has one, from its first chunk on. */
let context: ((bytes: Uint8Array) => Buffer) | null = null;

/** The part of node's zstd streams that its own synchronous functions use, on a context that they make anew each time. */
export interface ZstdStream {
  readonly _handle?: {
    writeSync(
      flush: number,
      from: Uint8Array,
      fromOffset: number,
      fromLength: number,
      to: Uint8Array,
      toOffset: number,
      toLength: number,
    ): void;
  };
  /** The bytes left in `to` and in `from` after a write. */
  readonly _writeState?: Uint32Array;
}

/**
 * A context that is used again and again saves nearly half of the time that a file of some KiB takes. Node has no public
 * way to it: where its inside is not as it was, each chunk gets a context of its own.
 */
export function openContext({
  _handle: handle,
  _writeState: left,
}: ZstdStream): (bytes: Uint8Array) => Buffer {
  if (typeof handle?.writeSync !== 'function' || left?.length !== 2) return compressAlone;
  let target = Buffer.alloc(0);
  const compress = (bytes: Uint8Array): Buffer => {
    const mostBytes = bytes.length + (bytes.length >> 7) + FRAMING_BYTES; // more than any frame takes
    if (target.length < mostBytes) target = Buffer.allocUnsafeSlow(mostBytes);
    left.fill(NOTHING_WRITTEN);
    handle.writeSync(constants.ZSTD_e_end, bytes, 0, bytes.length, target, 0, target.length);
    const [targetLeft = 0, bytesLeft] = left;
    if (bytesLeft !== 0 || targetLeft >= target.length) throw new Error('zstd did not take a whole chunk');
    return Buffer.from(target.subarray(0, target.length - targetLeft));
  };
  return isRight(compress) ? compress : compressAlone;
}

const FRAMING_BYTES = 64;
const NOTHING_WRITTEN = 0xffff_ffff;

/** One after another, as chunks come: what comes out is what anybody's zstd can read. */
function isRight(compress: (bytes: Uint8Array) => Buffer): boolean {
  try {
    return [3000, 100, 200_000].every((size) => {
      const bytes = Buffer.alloc(size, 'one chunk after another, ');
      return decompressAlone(compress(bytes), size)?.equals(bytes) === true;
    });
  } catch {
    return false; // for whatever reason: there is the public way
  }
}

function compressAlone(bytes: Uint8Array): Buffer {
  // Told the size, zstd sets up tables for that size only: more than twice as fast on small files.
  return zstdCompressSync(bytes, { params: LEVEL, pledgedSrcSize: bytes.length, chunkSize: bytes.length });
}

/** @returns `null` unless `compressed` is a zstd frame of exactly `size` bytes */
export function decompressChunk(compressed: Uint8Array, size: number): Buffer | null {
  if (size > SMALL_BYTES) return decompressAlone(compressed, size);
  decompressor ??= openDecompressor(newDecompressor());
  const bytes = decompressor(compressed, size);
  if (bytes !== null) return bytes;
  // It may be in the middle of whatever that was. What is wrong is said by one that has seen nothing before.
  decompressor = null;
  return decompressAlone(compressed, size);
}

type Decompress = (compressed: Uint8Array, size: number) => Buffer | null;

/** Of what unfolds to more, setting a context up is a small part. */
const SMALL_BYTES = 128 * 1024;
/** Each thread has one, until it meets a frame that is not right. */
let decompressor: Decompress | null = null;

function newDecompressor(): ZstdStream {
  if (!IS_TRIED) return {};
  // What goes wrong shows in what it leaves, and at once.
  return createZstdDecompress({ params: WINDOW }).on('error', () => {}) as ZstdStream;
}

/** The same for opening, where a context of its own is three quarters of a small chunk's time. */
export function openDecompressor({ _handle: handle, _writeState: left }: ZstdStream): Decompress {
  if (typeof handle?.writeSync !== 'function' || left?.length !== 2) return decompressAlone;
  const target = Buffer.allocUnsafeSlow(SMALL_BYTES + 1);
  const decompress: Decompress = (compressed, size) => {
    left.fill(NOTHING_WRITTEN);
    // One byte more than it may be: a frame that unfolds to more would take it.
    handle.writeSync(constants.ZSTD_e_end, compressed, 0, compressed.length, target, 0, size + 1);
    const [targetLeft, bytesLeft] = left;
    return bytesLeft === 0 && targetLeft === 1 ? Buffer.from(target.subarray(0, size)) : null;
  };
  return opensRight(decompress) ? decompress : decompressAlone;
}

function opensRight(decompress: Decompress): boolean {
  try {
    return [3000, 100].every((size) => {
      const bytes = Buffer.alloc(size, 'one chunk after another, ');
      return decompress(compressAlone(bytes), size)?.equals(bytes) === true;
    });
  } catch {
    return false; // as above
  }
}

function decompressAlone(compressed: Uint8Array, size: number): Buffer | null {
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
