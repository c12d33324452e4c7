import { type KeyObject, randomBytes } from 'node:crypto';
import { DamagedError } from '../errors.ts';
import { decompressChunk } from './compress.ts';
import {
  contentName,
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  MAX_OBJECT_BYTES,
  SALT_BYTES,
} from './envelope.ts';
import { CHUNK_ID_BYTES, deriveKey, type RepositoryKeys } from './keys.ts';
import {
  type Compression,
  decodeDirectory,
  ENTRY_BYTES,
  encodeDirectory,
  type PackEntry,
  RAW,
  sealedDirectoryBytes,
  TRAILER_BYTES,
} from './pack-directory.ts';
import { LAST_NONCE, nonceOf, sealInto, TAG_BYTES, unseal } from './seal.ts';

export interface PackBuilder {
  /** Chunks added so far. */
  readonly count: number;
  /** What the pack's size would be if it were sealed now. */
  readonly sizeBytes: number;
  readonly entries: readonly PackEntry[];
  /** Would a chunk of so many bytes (as stored, without its tag) still fit into the buffer? */
  hasRoomFor(storedBytes: number): boolean;
  /**
   * Encrypts a chunk into the buffer.
   * @param id kept, not copied
   * @param bytes what to store: the chunk itself, or its zstd frame
   * @param size the chunk's own size; that of `bytes` unless compressed
   */
  add(id: Buffer, compression: Compression, bytes: Uint8Array, size?: number): PackEntry;
  /** Ends the pack; nothing may be added afterwards. */
  seal(): SealedPack;
}

export interface SealedPack {
  /** SHA-256 of the bytes in hexadecimal. */
  readonly name: string;
  /** A view into the buffer the builder was given. */
  readonly bytes: Buffer;
  readonly entries: readonly PackEntry[];
  /** The entries as an index holds them. */
  readonly directory: Buffer;
}

/** Where a pack's sealed directory lies in it. */
export interface DirectoryRange {
  readonly offset: number;
  readonly length: number;
}

/** A pack of one chunk is larger than the chunk by this. */
export const PACK_OVERHEAD_BYTES = packSize(TAG_BYTES, 1);

/**
 * *Shape*: header, frames, sealed directory, its length (4 bytes, big endian).
 * @param buffer where the pack is built; its length is the most the pack may take; free for another once the sealed
 * bytes are no longer needed
 * @param salt 32 bytes nobody has used before: a repeated salt gives the chunks of both packs away
 */
export function createPackBuilder(
  keys: RepositoryKeys,
  buffer: Buffer,
  salt: Uint8Array = randomBytes(SALT_BYTES),
): PackBuilder {
  const header = encodeHeader('pack', salt);
  const key = deriveKey(keys.master, 'pack', salt);
  const capacity = Math.min(buffer.length, MAX_OBJECT_BYTES);
  const entries: PackEntry[] = [];
  let end = HEADER_BYTES; // of the frames
  buffer.set(header);

  const hasRoomFor = (storedBytes: number) =>
    packSize(end - HEADER_BYTES + storedBytes + TAG_BYTES, entries.length + 1) <= capacity;

  return {
    entries,
    hasRoomFor,
    get count() {
      return entries.length;
    },
    get sizeBytes() {
      return packSize(end - HEADER_BYTES, entries.length);
    },
    add(id, compression, bytes, size = bytes.length) {
      if (!hasRoomFor(bytes.length)) throw new RangeError('add chunk to pack: the buffer is full');
      const nonce = nonceOf(entries.length); // a frame's place is its nonce, so no two frames share one
      const storedSize = sealInto(buffer, end, key, nonce, frameAad(id, compression), bytes);
      const entry = { id, compression, offset: end, storedSize, size };
      entries.push(entry);
      end += storedSize;
      return entry;
    },
    seal() {
      if (entries.length === 0) throw new RangeError('seal pack: it holds no chunk');
      const directory = encodeDirectory(entries);
      const sealedBytes = sealInto(buffer, end, key, LAST_NONCE, header, directory);
      const size = buffer.writeUInt32BE(sealedBytes, end + sealedBytes);
      const bytes = buffer.subarray(0, size);
      return { name: contentName(bytes), bytes, entries, directory };
    },
  };
}

/**
 * The key of one pack.
 * @param header the pack's first 41 bytes, or more of it
 * @throws DamagedError unless they are a pack's
 */
export function packKey(keys: RepositoryKeys, header: Uint8Array, name = 'pack'): KeyObject {
  return deriveKey(keys.master, 'pack', decodeHeader('pack', header, name));
}

/**
 * @param trailer the pack's last 4 bytes
 * @throws DamagedError when no directory of a pack of this size is so long
 */
export function packDirectoryRange(
  trailer: Uint8Array,
  packSizeBytes: number,
  name = 'pack',
): DirectoryRange {
  const fail = () => new DamagedError(`open ${name}: the length of its directory is wrong`);
  if (trailer.length !== TRAILER_BYTES || packSizeBytes > MAX_OBJECT_BYTES) throw fail();
  const length = Buffer.from(trailer).readUInt32BE();
  const count = (length - TAG_BYTES) / ENTRY_BYTES;
  const offset = packSizeBytes - TRAILER_BYTES - length;
  if (!Number.isInteger(count) || count < 1 || offset < HEADER_BYTES) throw fail();
  return { offset, length };
}

/**
 * @param header the pack's first 41 bytes
 * @returns what the pack holds, in the order of its frames
 * @throws DamagedError
 */
export function openPackDirectory(
  keys: RepositoryKeys,
  header: Uint8Array,
  sealedDirectory: Uint8Array,
  packSizeBytes: number,
  name = 'pack',
): PackEntry[] {
  const key = packKey(keys, header, name);
  const directory = unseal(key, LAST_NONCE, header.subarray(0, HEADER_BYTES), sealedDirectory);
  if (directory === null) throw new DamagedError(`open ${name}: its directory has changed`);
  return decodeDirectory(directory, packSizeBytes, `open ${name}`);
}

/**
 * @param index the frame's place in the pack, from 0
 * @param frame exactly the frame's bytes
 * @returns the chunk
 * @throws DamagedError unless it is the chunk the entry tells of
 */
export function openFrame(key: KeyObject, index: number, entry: PackEntry, frame: Uint8Array): Buffer {
  const { id, compression, storedSize, size } = entry;
  const fail = (reason: string) => new DamagedError(`open chunk ${id.toString('hex')}: ${reason}`);
  if (frame.length !== storedSize) throw fail(`it has ${frame.length} bytes in place of ${storedSize}`);
  const stored = unseal(key, nonceOf(index), frameAad(id, compression), frame);
  if (stored === null) throw fail('its bytes have changed');
  const chunk = compression === RAW ? stored : decompressChunk(stored, size);
  if (chunk?.length !== size) throw fail('it is not as long as it should be');
  return chunk;
}

function frameAad(id: Uint8Array, compression: Compression): Buffer {
  const aad = Buffer.allocUnsafe(CHUNK_ID_BYTES + 1);
  aad.set(id);
  aad[CHUNK_ID_BYTES] = compression;
  return aad;
}

function packSize(frameBytes: number, count: number): number {
  return HEADER_BYTES + frameBytes + sealedDirectoryBytes(count) + TRAILER_BYTES;
}
