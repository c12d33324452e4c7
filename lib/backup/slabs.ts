import type { ChunkSizes } from '../format/chunker.ts';
import { CHUNK_ID_BYTES, chunkId, type RepositoryKeys } from '../format/keys.ts';
import type { Compression } from '../format/pack-directory.ts';
import { bufferOf } from '../repository/arrivals.ts';
import type { Compressor } from './compressor.ts';
import type { ReadItem, ReadMemory } from './read.ts';

type ChunkItem = Extract<ReadItem, { type: 'chunk' }>;

/** What is read of files, each chunk with its id: what packing begins with. */
export type AddressedItem =
  | Exclude<ReadItem, ChunkItem>
  | (Omit<ChunkItem, 'bytes'> & {
      readonly id: Buffer;
      /** The chunk's own. */
      readonly sizeBytes: number;
      /** The chunk, or what it is stored as: a view that holds until the next item is asked for. */
      readonly bytes: Buffer;
      /** How `bytes` are to be stored; `null` where they are the chunk, and nobody has tried to compress it. */
      readonly compression: Compression | null;
    });

/** What was read, for the thread that packs it. It passes from thread to thread without being copied. */
export interface Slab {
  /** Holds the chunks, anywhere in it. */
  readonly bytes: Uint8Array;
  /** The ids of the chunks one after another, in the order of the items. */
  readonly ids: Uint8Array;
  readonly items: readonly SlabItem[];
}

type SlabItem =
  | Exclude<ReadItem, ChunkItem>
  | (Omit<ChunkItem, 'bytes'> & {
      readonly sizeBytes: number;
      readonly start: number;
      readonly storedBytes: number;
      readonly compression: Compression | null;
    });

export interface SlabMemory {
  /** What files are to be read into. */
  readonly memory: ReadMemory;
  /**
   * `items → address → slabs`.
   * @param items what is read into the memory
   * @yields a slab, or `null` after each item where none is ready
   */
  fill(items: Iterable<ReadItem>): Generator<Slab | null>;
}

/** Of tiny files a slab would hold hundreds of thousands. */
const ENOUGH_ITEMS = 4096;

/** Half a chunk more than the largest: what has to be copied from one slab to the next is small beside that. */
export function slabBytes({ max }: ChunkSizes): number {
  return max + max / 2;
}

export interface SlabDeps {
  readonly keys: RepositoryKeys;
  /** Gives {@link slabBytes} of memory: called once at first, and before each slab that is yielded. */
  readonly takeBuffer: () => Buffer;
  readonly compress: Compressor;
  /** Does the thread that packs have enough to do already? Then chunks are compressed here. */
  readonly isAhead: () => boolean;
}

export function createSlabMemory({ keys, takeBuffer, compress, isAhead }: SlabDeps): SlabMemory {
  let full: Slab | null = null;
  let ids: Buffer[] = [];
  let items: SlabItem[] = [];
  const memory: ReadMemory = {
    bytes: takeBuffer(),
    used: 0,
    renew(start) {
      const { bytes } = this;
      this.bytes = takeBuffer();
      this.used = 0;
      bytes.copy(this.bytes, 0, start);
      full = endSlab(bytes);
    },
  };
  const endSlab = (bytes: Buffer): Slab => {
    const slab = { bytes, ids: Buffer.concat(ids), items };
    ids = [];
    items = [];
    return slab;
  };
  const add = (item: ReadItem) => {
    if (item.type !== 'chunk') {
      items.push(item);
      return;
    }
    const { bytes, ...chunk } = item;
    ids.push(chunkId(keys, bytes));
    const stored = isAhead() ? compress(item.file, bytes) : { compression: null, bytes };
    // The chunk itself is not needed any more: what it is stored as takes its place.
    if (stored.bytes !== bytes) stored.bytes.copy(bytes);
    items.push({
      ...chunk,
      sizeBytes: bytes.length,
      start: bytes.byteOffset - memory.bytes.byteOffset,
      storedBytes: stored.bytes.length,
      compression: stored.compression,
    });
  };

  return {
    memory,
    *fill(read) {
      for (const item of read) {
        // The slab that this item's chunk did not fit into any more.
        const before = full;
        full = null;
        add(item);
        yield before;
        // The thread that packs shall not wait for a whole one.
        const isEnough = memory.used >= memory.bytes.length / 3 || items.length >= ENOUGH_ITEMS;
        const isOver = item.type === 'end' || item.type === 'failed';
        if (!isOver || !isEnough) continue;
        memory.renew(memory.bytes.length); // nothing behind is read already
        yield full;
        full = null;
      }
      if (items.length === 0) return;
      memory.renew(memory.bytes.length);
      yield full;
      full = null;
    },
  };
}

/** @yields the items of the slab; its memory is free for another when they have been gone through */
export function* slabItems({ bytes, ids, items }: Slab): Generator<AddressedItem> {
  let at = 0;
  for (const item of items) {
    if (item.type !== 'chunk') {
      yield item;
      continue;
    }
    const { start, storedBytes, ...chunk } = item;
    const id = bufferOf(ids, at, CHUNK_ID_BYTES);
    at += CHUNK_ID_BYTES;
    yield { ...chunk, id, bytes: bufferOf(bytes, start, storedBytes) };
  }
}
