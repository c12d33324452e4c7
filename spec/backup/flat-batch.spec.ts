import { serialize } from 'node:v8';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { flattenBatch, unflattenBatch } from '../../lib/backup/flat-batch.ts';
import type { Batch, PackedBatch } from '../../lib/backup/pack.ts';
import type { FileInHand, ReadItem } from '../../lib/backup/read.ts';
import { entryAt } from '../journal/fixture.ts';
import { batchesOf, changedItem, fileInHand, itemsOf } from './fixtures.ts';

/** As it arrives in another thread. */
function passOn(batch: PackedBatch): Batch {
  return unflattenBatch(structuredClone(flattenBatch(batch)));
}

/** As an object literal would be. */
function record<Fields>(
  fields: { [Name in keyof Fields]: fc.Arbitrary<Fields[Name]> },
): fc.Arbitrary<Fields> {
  return fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<Fields>;
}

/** All that it lists. */
function contents({ number, pack, pieces, changed, ended, failed, path }: Batch) {
  return {
    number,
    pack: pack && { ...pack, entries: [...pack.entries] },
    pieces: [...pieces],
    changed: changed.map(({ file, entry }) => ({ file, entry })),
    ended: [...ended].map(({ file, chunks, bytes, torn }) => ({ file, chunks, bytes, torn })),
    failed: failed.map(({ file, reason }) => ({ file, reason })),
    path,
  };
}

const anyFile: fc.Arbitrary<FileInHand> = record({
  entry: fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }),
  path: fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  sizeBytes: fc.oneof(fc.nat(), fc.maxSafeNat()),
  attempt: fc.integer({ min: 1, max: 3 }),
});

const anyBatch: fc.Arbitrary<PackedBatch> = fc
  .array(anyFile, { minLength: 1, maxLength: 9 })
  .chain((files) => {
    const file = fc.constantFrom(...files);
    const position = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    return record({
      number: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      pack: fc.constant(null),
      pieces: fc.array(
        record({
          file,
          position,
          chunk: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
          sizeBytes: fc.integer({ min: 1, max: 64 * 2 ** 20 }),
          needs: fc.option(fc.integer({ min: 1, max: 2 ** 31 - 1 })),
        }),
      ),
      ended: fc.array(record({ file, chunks: position, bytes: fc.maxSafeNat(), torn: fc.boolean() })),
      changed: fc.array(record({ file, entry: file.map(({ path }) => entryAt(path)) })),
      failed: fc.array(record({ file, reason: fc.string() })),
      path: fc.option(file.map(({ path }) => path)),
    });
  });

const test = suite('a batch on its way to another thread');

test('arrives as it was, whatever it lists, however often it is gone through', () => {
  fc.assert(
    fc.property(anyBatch, (batch) => {
      const arrived = passOn(batch);
      assert.equal(contents(arrived), contents(batch));
      assert.equal(contents(arrived), contents(batch), 'once more');
    }),
  );
});

test('arrives with its pack, and all of it in Buffers', () => {
  const file = fileInHand(1);
  const items = [changedItem(file), ...itemsOf(file, ['a', 'b', 'a', 'c', 'd'])];
  for (const batch of batchesOf(items)) {
    const arrived = contents(passOn(batch));
    assert.equal(arrived, contents(batch));
    const { pack, pieces, ended, changed, path } = arrived;
    const buffers = [pack?.bytes, pack?.directory, path, changed[0]?.entry.path ?? path];
    const ids = [...(pack?.entries ?? []).map(({ id }) => id), ...pieces.map(({ chunk }) => chunk)];
    const paths = [...pieces, ...ended, ...changed].map((one) => one.file.path);
    for (const bytes of [...buffers, ...ids, ...paths]) assert.ok(Buffer.isBuffer(bytes));
  }
});

test('takes up little more than the ids and paths that it lists', () => {
  const paths: Buffer[] = [];
  const items = function* (): Generator<ReadItem> {
    for (let number = 1; number <= 8000; number += 1) {
      const file = fileInHand(number);
      paths.push(file.path);
      yield { type: 'chunk', file, position: 0, bytes: Buffer.from(`${number}`) };
      yield { type: 'end', file, chunks: 1, bytes: 4, torn: false };
    }
  };
  const [batch] = batchesOf(items(), { targetBytes: () => 1e9, takeBuffer: () => Buffer.alloc(2 ** 20) });
  const { pack, ...rest } = flattenBatch(batch!);
  const bytes = serialize({ ...rest, directory: pack!.directory }).length;
  const pathBytes = Buffer.concat(paths).length;
  // An id for the piece, 41 bytes for the chunk in the directory, and some numbers.
  assert.ok((bytes - pathBytes) / 8000 < 130, `${(bytes - pathBytes) / 8000} bytes a file`);
});

test.run();
