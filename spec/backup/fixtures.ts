import { createKnownChunks, type KnownChunks } from '../../lib/backup/known.ts';
import { type PackDeps, type PackedBatch, packChunks } from '../../lib/backup/pack.ts';
import type { FileInHand, ReadItem } from '../../lib/backup/read.ts';
import type { AddressedItem } from '../../lib/backup/slabs.ts';
import { STARVED } from '../../lib/backup/turns.ts';
import { chunkId } from '../../lib/format/keys.ts';
import { seededBytes, testKeys } from '../format/fixtures.ts';
import { entryAt } from '../journal/fixture.ts';

export const KEYS = testKeys();

export function fileInHand(number: number, { attempt = 1, sizeBytes = 3000 } = {}): FileInHand {
  return { entry: BigInt(number), path: Buffer.from(`/home/docs/${number}`), sizeBytes, attempt };
}

/** Bytes that do not shrink, the same for the same name. */
export function chunkBytes(name: string, sizeBytes = 1000): Buffer {
  return seededBytes(sizeBytes, name);
}

export function idOf(name: string, sizeBytes?: number): Buffer {
  return chunkId(KEYS, chunkBytes(name, sizeBytes));
}

/** What reading a file gives whose chunks are these, from the first one or from `prefix` on. */
export function* itemsOf(file: FileInHand, chunks: readonly string[], prefix = 0): Generator<ReadItem> {
  for (const [position, name] of chunks.entries()) {
    if (position >= prefix) yield { type: 'chunk', file, position, bytes: chunkBytes(name) };
  }
  yield { type: 'end', file, chunks: chunks.length, bytes: 1000 * chunks.length, torn: false };
}

export function changedItem(file: FileInHand): ReadItem {
  return { type: 'changed', file, entry: entryAt(file.path, { size: BigInt(file.sizeBytes) }) };
}

export interface PackOptions extends Partial<PackDeps> {
  readonly onBatch?: (batch: PackedBatch, known: KnownChunks) => void;
}

/** Packs the items, three chunks of 1,000 bytes to a pack unless told; buffers are never used twice. */
export function* packItems(
  items: Iterable<ReadItem>,
  options: PackOptions = {},
): Generator<PackedBatch | null> {
  for (const step of packSteps(items, options)) if (step !== STARVED) yield step;
}

export function packSteps(
  items: Iterable<ReadItem | null>,
  options: PackOptions = {},
): Generator<PackedBatch | typeof STARVED | null> {
  const known = options.known ?? createKnownChunks(() => false);
  return packChunks(addressed(items), {
    keys: KEYS,
    known,
    takeBuffer: () => Buffer.allocUnsafeSlow(64 * 1024),
    targetBytes: () => 3000,
    compressOverBytes: 0,
    firstNumber: 1,
    ...options,
  });
}

function* addressed(items: Iterable<ReadItem | null>): Generator<AddressedItem | null> {
  for (const item of items) {
    if (item?.type !== 'chunk') yield item;
    else yield { ...item, id: chunkId(KEYS, item.bytes), sizeBytes: item.bytes.length, compression: null };
  }
}

export function batchesOf(items: Iterable<ReadItem>, options: PackOptions = {}): PackedBatch[] {
  return [...packItems(items, options)].filter((batch) => batch !== null);
}
