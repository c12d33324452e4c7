import { hash } from 'node:crypto';
import * as assert from 'uvu/assert';
import { SkylockError } from '../../lib/errors.ts';
import { type MasterKey, masterKeyFrom, type RepositoryKeys, repositoryKeys } from '../../lib/format/keys.ts';
import { openFrame, openPackDirectory, packDirectoryRange, packKey } from '../../lib/format/pack.ts';
import type { PackEntry } from '../../lib/format/pack-directory.ts';

/** The bytes 0, 1, 2, …, 31. */
export function testMaster(): MasterKey {
  return masterKeyFrom(Uint8Array.from({ length: 32 }, (_, index) => index));
}

export function testKeys(): RepositoryKeys {
  return repositoryKeys(testMaster());
}

/** Bytes that look random and are the same everywhere: SHA-256 of `seed`, a colon and 0, 1, 2, … one after the other. */
export function seededBytes(length: number, seed: string): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, index) =>
    hash('sha256', `${seed}:${index}`, 'buffer'),
  );
  return Buffer.concat(blocks).subarray(0, length);
}

/** A copy in which one byte has one bit turned over. */
export function withFlippedBit(bytes: Uint8Array, position: number, bit = position % 8): Buffer {
  const copy = Buffer.from(bytes);
  copy[position]! ^= 1 << bit;
  return copy;
}

/** A JSON object that a spec makes wrong in some way or other. */
// biome-ignore lint/suspicious/noExplicitAny: any field may get any value, that is the point
export type Json = any;

export interface ReadChunk {
  readonly entry: PackEntry;
  readonly chunk: Buffer;
}

/** Reads a whole pack with nothing but itself and the keys. */
export function readPack(keys: RepositoryKeys, bytes: Buffer): ReadChunk[] {
  const { offset, length } = packDirectoryRange(bytes.subarray(-4), bytes.length);
  const key = packKey(keys, bytes);
  return openPackDirectory(keys, bytes, bytes.subarray(offset, offset + length), bytes.length).map(
    (entry, index) => {
      const frame = bytes.subarray(entry.offset, entry.offset + entry.storedSize);
      return { entry, chunk: openFrame(key, index, entry, frame) };
    },
  );
}

/** Whatever is read, what is thrown has to be an error a person can act on: anything else is a crash. */
export function assertOnlySkylockErrors(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof SkylockError)) throw error;
  }
}

export function assertThrows(run: () => unknown, expected: typeof SkylockError, message?: RegExp): void {
  assert.throws(run, (error: unknown) => {
    assert.instance(error, expected);
    if (message !== undefined) assert.match((error as Error).message, message);
    return true;
  });
}

export async function assertRejects(
  run: () => Promise<unknown>,
  expected: typeof SkylockError,
  message?: RegExp,
): Promise<void> {
  let error: unknown = null;
  try {
    await run();
  } catch (thrown) {
    error = thrown;
  }
  assert.instance(error, expected);
  if (message !== undefined) assert.match((error as Error).message, message);
}
