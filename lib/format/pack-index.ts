import { DamagedError } from '../errors.ts';
import { MAX_OBJECT_BYTES } from './envelope.ts';
import { decodeDirectory, ENTRY_BYTES, type PackEntry } from './pack-directory.ts';

const NAME_BYTES = 32;
/** Pack name, pack size (4 bytes), count of entries (4). */
const PREFIX_BYTES = NAME_BYTES + 4 + 4;

/** What an index says of one pack, on its way in. */
export interface PackToIndex {
  /** SHA-256 in hexadecimal. */
  readonly name: string;
  readonly sizeBytes: number;
  /** As {@link SealedPack} gives it. */
  readonly directory: Uint8Array;
}

export interface IndexedPack {
  readonly name: string;
  readonly sizeBytes: number;
  /** In the order of the frames: an entry's place is its frame's number. */
  readonly entries: readonly PackEntry[];
}

/** How much an index grows by a pack of so many chunks, so that it can be ended before it is too large. */
export function indexedPackBytes(count: number): number {
  return PREFIX_BYTES + count * ENTRY_BYTES;
}

/** *Shape*: for each pack its name (32 bytes), size (4), count (4) and directory; numbers big endian. */
export function encodePackIndex(packs: Iterable<PackToIndex>): Buffer {
  const parts: Uint8Array[] = [];
  for (const { name, sizeBytes, directory } of packs) {
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.write(name, 'hex');
    prefix.writeUInt32BE(sizeBytes, NAME_BYTES);
    prefix.writeUInt32BE(directory.length / ENTRY_BYTES, NAME_BYTES + 4);
    parts.push(prefix, directory);
  }
  return Buffer.concat(parts);
}

/**
 * One pack after the other; ids are views into `bytes`.
 * @param name the index's, for messages
 * @throws DamagedError at the first pack that is malformed
 */
export function* decodePackIndex(bytes: Buffer, name = 'index'): Generator<IndexedPack, void, void> {
  let at = 0;
  while (at < bytes.length) {
    if (bytes.length - at < PREFIX_BYTES) throw new DamagedError(`open ${name}: it ends inside a pack`);
    const pack = bytes.toString('hex', at, at + NAME_BYTES);
    const sizeBytes = bytes.readUInt32BE(at + NAME_BYTES);
    const directoryBytes = bytes.readUInt32BE(at + NAME_BYTES + 4) * ENTRY_BYTES;
    at += PREFIX_BYTES;
    if (sizeBytes > MAX_OBJECT_BYTES) throw new DamagedError(`open ${name}: pack ${pack} is too large`);
    if (directoryBytes > bytes.length - at)
      throw new DamagedError(`open ${name}: it ends inside pack ${pack}`);
    const directory = bytes.subarray(at, at + directoryBytes);
    yield {
      name: pack,
      sizeBytes,
      entries: decodeDirectory(directory, sizeBytes, `open ${name}: pack ${pack}`),
    };
    at += directoryBytes;
  }
}
