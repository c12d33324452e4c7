import { MAX_CHUNK_BYTES } from '../format/chunker.ts';
import { chunkId, type RepositoryKeys } from '../format/keys.ts';
import type { ChunkLocation } from '../journal/packs.ts';
import { isZero, readInto } from './holes.ts';

/** A chunk of a file, and where it belongs in it. */
export interface Piece {
  readonly id: Buffer;
  readonly offset: number;
  readonly location: ChunkLocation;
}

export interface Comparison {
  readonly is: 'right' | 'blank' | 'other';
  /** What is there, until the next comparison. */
  readonly bytes: Buffer;
}

/** Says whether a file holds a chunk: what has its id is it, wherever it came from. */
export type Compare = (fd: number, piece: Piece) => Comparison;

export function createCompare(keys: RepositoryKeys): Compare {
  const buffer = Buffer.allocUnsafeSlow(MAX_CHUNK_BYTES); // costs what is touched of it
  return (fd, { id, offset, location }) => {
    const bytes = readInto(buffer, fd, offset, location.size);
    if (bytes.length < location.size) return { is: 'other', bytes };
    if (chunkId(keys, bytes).equals(id)) return { is: 'right', bytes };
    return { is: isZero(bytes) ? 'blank' : 'other', bytes };
  };
}
