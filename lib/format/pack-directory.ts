import { DamagedError } from '../errors.ts';
import { MAX_CHUNK_BYTES } from './chunker.ts';
import { HEADER_BYTES } from './envelope.ts';
import { CHUNK_ID_BYTES } from './keys.ts';
import { TAG_BYTES } from './seal.ts';

/** How a chunk's bytes are stored: 0 as they are, 1 as one zstd frame. */
export type Compression = 0 | 1;
export const RAW = 0;
export const ZSTD = 1;

export interface PackEntry {
  readonly id: Buffer;
  readonly compression: Compression;
  /** Where the frame starts in the pack. */
  readonly offset: number;
  /** The frame's bytes in the pack, tag included. */
  readonly storedSize: number;
  /** The chunk's own bytes. */
  readonly size: number;
}

/** Chunk id, compression (1 byte), stored size (4), size (4). */
export const ENTRY_BYTES = CHUNK_ID_BYTES + 1 + 4 + 4;
/** The last bytes of a pack: how long the sealed directory before them is. */
export const TRAILER_BYTES = 4;

/** *Shape*: an entry of 41 bytes a chunk, in the order of their frames; numbers big endian. Offsets follow from the sizes. */
export function encodeDirectory(entries: readonly PackEntry[]): Buffer {
  const directory = Buffer.allocUnsafe(entries.length * ENTRY_BYTES);
  let at = 0;
  for (const { id, compression, storedSize, size } of entries) {
    directory.set(id, at);
    directory[at + CHUNK_ID_BYTES] = compression;
    directory.writeUInt32BE(storedSize, at + CHUNK_ID_BYTES + 1);
    directory.writeUInt32BE(size, at + CHUNK_ID_BYTES + 5);
    at += ENTRY_BYTES;
  }
  return directory;
}

/**
 * @param packSizeBytes the whole pack's size, which the entries have to add up to
 * @returns entries whose ids are views into `directory`
 * @throws DamagedError
 */
export function decodeDirectory(directory: Buffer, packSizeBytes: number, task: string): PackEntry[] {
  const count = directory.length / ENTRY_BYTES;
  if (!Number.isInteger(count) || count === 0) throw new DamagedError(`${task}: its directory is malformed`);
  const entries: PackEntry[] = [];
  let offset = HEADER_BYTES;
  for (let at = 0; at < directory.length; at += ENTRY_BYTES) {
    const entry = decodePackEntry(directory, at, offset);
    if (entry === null)
      throw new DamagedError(`${task}: entry ${entries.length} of its directory is malformed`);
    entries.push(entry);
    offset += entry.storedSize;
  }
  if (offset + sealedDirectoryBytes(count) + TRAILER_BYTES !== packSizeBytes) {
    throw new DamagedError(`${task}: its directory does not add up to ${packSizeBytes} bytes`);
  }
  return entries;
}

export function sealedDirectoryBytes(count: number): number {
  return count * ENTRY_BYTES + TAG_BYTES;
}

/** @returns `null` when no chunk is stored like that */
function decodePackEntry(directory: Buffer, at: number, offset: number): PackEntry | null {
  const compression = directory[at + CHUNK_ID_BYTES];
  const storedSize = directory.readUInt32BE(at + CHUNK_ID_BYTES + 1);
  const size = directory.readUInt32BE(at + CHUNK_ID_BYTES + 5);
  if (compression !== RAW && compression !== ZSTD) return null;
  if (size < 1 || size > MAX_CHUNK_BYTES) return null;
  const sealedBytes = storedSize - TAG_BYTES;
  if (compression === RAW ? sealedBytes !== size : sealedBytes < 1 || sealedBytes >= size) return null;
  return { id: directory.subarray(at, at + CHUNK_ID_BYTES), compression, offset, storedSize, size };
}
