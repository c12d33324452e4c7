import { CHUNK_ID_BYTES } from '../format/keys.ts';
import type { SealedPack } from '../format/pack.ts';
import { decodeDirectory } from '../format/pack-directory.ts';
import { bufferOf } from '../repository/arrivals.ts';
import type { Batch, EndedFile, PackedBatch, Piece } from './pack.ts';
import type { FileInHand } from './read.ts';

/**
 * A batch on its way to another thread: a few arrays in place of some ten thousand objects, which would have to be copied one
 * by one, and take up ten times the memory until the pack is durable.
 */
export interface FlatBatch extends Pick<Batch, 'number' | 'changed' | 'failed' | 'path'> {
  readonly pack: Omit<SealedPack, 'entries'> | null;
  readonly files: FlatFiles;
  readonly pieces: {
    /** Places in `files`. */
    readonly files: Uint32Array;
    readonly positions: Uint32Array;
    /** One after another. */
    readonly chunks: Uint8Array;
    readonly sizes: Uint32Array;
    /** {@link NOTHING} where the chunk was durable before. */
    readonly needs: Int32Array;
  };
  readonly ended: {
    readonly files: Uint32Array;
    readonly chunks: Uint32Array;
    readonly bytes: Float64Array;
    readonly torn: Uint8Array;
  };
}

/** Each file once. */
interface FlatFiles {
  readonly entries: BigInt64Array;
  readonly sizes: Float64Array;
  readonly attempts: Uint8Array;
  /** One after another. */
  readonly paths: Uint8Array;
  /** Where each path ends. */
  readonly pathEnds: Uint32Array;
}

const NOTHING = -1;

export function flattenBatch({ pack, pieces, ended, ...rest }: PackedBatch): FlatBatch {
  const files = new Map<FileInHand, number>();
  const placeOf = ({ file }: { readonly file: FileInHand }): number => {
    const found = files.get(file) ?? files.size;
    files.set(file, found);
    return found;
  };
  return {
    ...rest,
    pack: pack && { name: pack.name, bytes: pack.bytes, directory: pack.directory },
    pieces: {
      files: Uint32Array.from(pieces, placeOf),
      positions: Uint32Array.from(pieces, ({ position }) => position),
      chunks: Buffer.concat(pieces.map(({ chunk }) => chunk)),
      sizes: Uint32Array.from(pieces, ({ sizeBytes }) => sizeBytes),
      needs: Int32Array.from(pieces, ({ needs }) => needs ?? NOTHING),
    },
    ended: {
      files: Uint32Array.from(ended, placeOf),
      chunks: Uint32Array.from(ended, ({ chunks }) => chunks),
      bytes: Float64Array.from(ended, ({ bytes }) => bytes),
      torn: Uint8Array.from(ended, ({ torn }) => Number(torn)),
    },
    files: flattenFiles([...files.keys()]), // the last: all are known by now
  };
}

function flattenFiles(files: readonly FileInHand[]): FlatFiles {
  let end = 0;
  return {
    entries: BigInt64Array.from(files, ({ entry }) => entry),
    sizes: Float64Array.from(files, ({ sizeBytes }) => sizeBytes),
    attempts: Uint8Array.from(files, ({ attempt }) => attempt),
    paths: Buffer.concat(files.map(({ path }) => path)),
    pathEnds: Uint32Array.from(files, ({ path }) => (end += path.length)),
  };
}

/** @returns the batch; what it lists is made anew each time it is gone through */
export function unflattenBatch(flat: FlatBatch): Batch {
  const { pack, files, pieces, ended, changed, failed, path } = flat;
  return {
    number: flat.number,
    pack: pack && unflattenPack(pack),
    pieces: { [Symbol.iterator]: () => unflattenPieces(pieces, files) },
    ended: { [Symbol.iterator]: () => unflattenEnded(ended, files) },
    changed: changed.map(({ file, entry }) => ({
      file: withBuffer(file),
      entry: withBuffer(entry),
    })),
    failed: failed.map(({ file, reason }) => ({ file: withBuffer(file), reason })),
    path: path && bufferOf(path),
  };
}

function unflattenPack({ name, bytes, directory }: NonNullable<FlatBatch['pack']>): Batch['pack'] {
  const entries = bufferOf(directory);
  return {
    name,
    bytes: bufferOf(bytes),
    directory: entries,
    entries: {
      [Symbol.iterator]: () => decodeDirectory(entries, bytes.length, `record pack ${name}`).values(),
    },
  };
}

function* unflattenPieces(pieces: FlatBatch['pieces'], files: FlatFiles): Generator<Piece> {
  const fileAt = unflattenFiles(files);
  for (const [index, sizeBytes] of pieces.sizes.entries()) {
    const needs = pieces.needs[index]!;
    yield {
      file: fileAt(pieces.files[index]!),
      position: pieces.positions[index]!,
      chunk: bufferOf(pieces.chunks, index * CHUNK_ID_BYTES, CHUNK_ID_BYTES),
      sizeBytes,
      needs: needs === NOTHING ? null : needs,
    };
  }
}

function* unflattenEnded(ended: FlatBatch['ended'], files: FlatFiles): Generator<EndedFile> {
  const fileAt = unflattenFiles(files);
  for (const [index, bytes] of ended.bytes.entries()) {
    yield {
      file: fileAt(ended.files[index]!),
      chunks: ended.chunks[index]!,
      bytes,
      torn: ended.torn[index] === 1,
    };
  }
}

/** @returns the file at a place; for the pieces of one, which follow one another, it is made once */
function unflattenFiles({
  entries,
  sizes,
  attempts,
  paths,
  pathEnds,
}: FlatFiles): (place: number) => FileInHand {
  let last: FileInHand | null = null;
  let lastPlace = -1;
  return (place) => {
    if (last !== null && place === lastPlace) return last;
    const start = place === 0 ? 0 : pathEnds[place - 1]!;
    lastPlace = place;
    last = {
      entry: entries[place]!,
      path: bufferOf(paths, start, pathEnds[place]! - start),
      sizeBytes: sizes[place]!,
      attempt: attempts[place]!,
    };
    return last;
  };
}

/** What has passed from another thread has a plain Uint8Array for its path. */
function withBuffer<Found extends { readonly path: Buffer }>(found: Found): Found {
  return { ...found, path: bufferOf(found.path) };
}
