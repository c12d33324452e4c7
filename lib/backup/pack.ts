import type { RepositoryKeys } from '../format/keys.ts';
import { createPackBuilder, type PackBuilder, type SealedPack } from '../format/pack.ts';
import type { PackEntry } from '../format/pack-directory.ts';
import type { Entry } from '../journal/entries.ts';
import type { DurablePack } from '../journal/packs.ts';
import { createCompressor } from './compressor.ts';
import type { KnownChunks } from './known.ts';
import type { FileInHand } from './read.ts';
import type { AddressedItem } from './slabs.ts';
import { STARVED } from './turns.ts';

/** A chunk at its place in a file. */
export interface Piece {
  readonly file: FileInHand;
  readonly position: number;
  readonly chunk: Buffer;
  readonly sizeBytes: number;
  /** The batch whose pack holds the chunk, or `null` when it was durable before. */
  readonly needs: number | null;
}

/** A file that was read to its end. */
export interface EndedFile {
  readonly file: FileInHand;
  readonly chunks: number;
  readonly bytes: number;
  readonly torn: boolean;
}

/** What is put and then recorded as one: a pack, if anything was new, and what the files read meanwhile are made of. */
export interface Batch {
  readonly number: number;
  readonly pack: (Omit<SealedPack, 'entries'> & { readonly entries: Iterable<PackEntry> }) | null;
  readonly pieces: Iterable<Piece>;
  readonly changed: readonly { readonly file: FileInHand; readonly entry: Entry }[];
  readonly ended: Iterable<EndedFile>;
  readonly failed: readonly { readonly file: FileInHand; readonly reason: string }[];
  /** The file read last. */
  readonly path: Buffer | null;
}

/** A batch in the thread that has made it. */
export interface PackedBatch extends Batch {
  readonly pack: SealedPack | null;
  readonly pieces: readonly Piece[];
  readonly ended: readonly EndedFile[];
}

export interface PackDeps {
  readonly keys: RepositoryKeys;
  readonly known: KnownChunks;
  /** Where the next pack is built. Free again when its batch is settled. */
  readonly takeBuffer: () => Buffer;
  /** A pack is ended when it has reached this. */
  readonly targetBytes: () => number;
  /** Files up to this size are not compressed. */
  readonly compressOverBytes: number;
  /** The first batch's number. */
  readonly firstNumber: number;
}

/** Each chunk costs a row in the transaction that records its pack: so many take some 0.2 s. */
const MAX_CHUNKS = 8192;
/** Pieces of chunks that are known already, and files without any, ride along; so many at a time without a pack. */
const MAX_PIECES = 16_384;

/**
 * `chunks → (known? drop) → compress → seal → packs`.
 * @param items `null` where none is there yet
 * @yields a batch, or `null` after each chunk where nothing is ready: a moment at which others may get a turn; or that no
 * item is there, which has to be waited for
 */
export function* packChunks(
  items: Iterable<AddressedItem | null>,
  deps: PackDeps,
): Generator<PackedBatch | typeof STARVED | null> {
  const { keys, known } = deps;
  const compress = createCompressor(deps.compressOverBytes);
  let open = emptyBatch(deps.firstNumber);
  let builder: PackBuilder | null = null;

  const close = (): PackedBatch => {
    const pack = builder?.seal() ?? null;
    const batch = { ...open, pack };
    builder = null;
    open = emptyBatch(batch.number + 1);
    return batch;
  };

  for (const item of items) {
    if (item === null) {
      yield STARVED;
      continue;
    }
    open.path = item.file.path;
    if (item.type !== 'chunk') {
      if (item.type === 'changed') open.changed.push(item);
      else if (item.type === 'end') open.ended.push(item);
      else open.failed.push(item);
      if (open.ended.length + open.failed.length >= MAX_PIECES) yield close();
      continue;
    }
    const { file, position, id, sizeBytes, compression } = item;
    let place = known.find(id);
    if (place === null) {
      const stored = compression === null ? compress(file, item.bytes) : { compression, bytes: item.bytes };
      if (builder !== null && !builder.hasRoomFor(stored.bytes.length)) yield close();
      builder ??= createPackBuilder(keys, deps.takeBuffer());
      builder.add(id, stored.compression, stored.bytes, sizeBytes);
      known.expect(id, open.number);
      place = open.number;
    }
    open.pieces.push({
      file,
      position,
      chunk: id,
      sizeBytes,
      needs: place === 'durable' ? null : place,
    });
    const isFull =
      builder !== null && (builder.sizeBytes >= deps.targetBytes() || builder.count >= MAX_CHUNKS);
    yield isFull || open.pieces.length >= MAX_PIECES ? close() : null;
  }
  if (!isEmpty(open)) yield close();
}

interface OpenBatch {
  readonly number: number;
  readonly pack: null;
  readonly pieces: Piece[];
  readonly changed: { file: FileInHand; entry: Entry }[];
  readonly ended: EndedFile[];
  readonly failed: { file: FileInHand; reason: string }[];
  path: Buffer | null;
}

function emptyBatch(number: number): OpenBatch {
  return { number, pack: null, pieces: [], changed: [], ended: [], failed: [], path: null };
}

function isEmpty({ pieces, changed, ended, failed }: OpenBatch): boolean {
  return pieces.length + changed.length + ended.length + failed.length === 0;
}

/** @returns the batch's pack as the journal records it */
export function durablePack({ pack }: Batch): DurablePack | null {
  return (
    pack && {
      name: Buffer.from(pack.name, 'hex'),
      size: pack.bytes.length,
      chunks: pack.entries,
      directory: pack.directory,
    }
  );
}
