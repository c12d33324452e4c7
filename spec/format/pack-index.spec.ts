import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError } from '../../lib/errors.ts';
import { MAX_CHUNK_BYTES } from '../../lib/format/chunker.ts';
import { MAX_OBJECT_BYTES } from '../../lib/format/envelope.ts';
import { chunkId } from '../../lib/format/keys.ts';
import { createPackBuilder, type SealedPack } from '../../lib/format/pack.ts';
import { decodePackIndex, encodePackIndex, indexedPackBytes } from '../../lib/format/pack-index.ts';
import { assertOnlySkylockErrors, assertThrows, seededBytes, testKeys, withFlippedBit } from './fixtures.ts';

const keys = testKeys();

function packOf(...sizes: readonly number[]): SealedPack {
  const builder = createPackBuilder(keys, Buffer.alloc(100_000));
  for (const size of sizes) {
    const chunk = seededBytes(size, 'index');
    builder.add(chunkId(keys, chunk), 0, chunk);
  }
  return builder.seal();
}

const toIndex = ({ name, bytes, directory }: SealedPack) => ({ name, sizeBytes: bytes.length, directory });

/** An index of one pack with one entry, each field of which can be wrong. */
function indexWith({ packSize = 41 + 26 + 57 + 4, count = 1, compression = 0, storedSize = 26, size = 10 }) {
  const bytes = Buffer.alloc(32 + 4 + 4 + 41, 7);
  bytes.writeUInt32BE(packSize, 32);
  bytes.writeUInt32BE(count, 36);
  bytes.writeUInt8(compression, 72);
  bytes.writeUInt32BE(storedSize, 73);
  bytes.writeUInt32BE(size, 77);
  return bytes;
}

const indexes = suite('an index');

indexes('tells of each pack what the pack tells of itself', () => {
  for (const packs of [[], [packOf(1)], [packOf(5, 600, 70), packOf(1), packOf(9, 9)]]) {
    const decoded = [...decodePackIndex(encodePackIndex(packs.map(toIndex)))];
    assert.equal(
      decoded.map(({ name, sizeBytes, entries }) => ({ name, sizeBytes, entries: [...entries] })),
      packs.map(({ name, bytes, entries }) => ({ name, sizeBytes: bytes.length, entries: [...entries] })),
    );
  }
});

indexes('grows by what it says it does', () => {
  const pack = packOf(5, 600, 70);
  assert.is(encodePackIndex([toIndex(pack), toIndex(pack)]).length, 2 * indexedPackBytes(3));
});

indexes('is read one pack at a time', () => {
  const bytes = Buffer.concat([encodePackIndex([toIndex(packOf(1))]), Buffer.of(1)]);
  const packs = decodePackIndex(bytes, 'index/abc');
  assert.is(packs.next().done, false);
  assertThrows(() => packs.next(), DamagedError, /index\/abc/);
});

indexes('with a field that no pack has is damaged', () => {
  assert.is([...decodePackIndex(indexWith({}))].length, 1);
  assert.is([...decodePackIndex(indexWith({ compression: 1, size: 11 }))].length, 1);
  for (const wrong of [
    { packSize: 41 + 26 + 57 + 5 },
    { packSize: 0 },
    { packSize: MAX_OBJECT_BYTES + 1 },
    { count: 0 },
    { count: 2 },
    { count: 0xffff_ffff },
    { compression: 2 },
    { compression: 1 }, // that saved nothing
    { storedSize: 25 },
    { storedSize: 16, size: 0, packSize: 41 + 16 + 57 + 4 },
    { compression: 1, storedSize: 16, packSize: 41 + 16 + 57 + 4 },
    { compression: 1, storedSize: 0, packSize: 41 + 57 + 4 },
    { size: 11 },
    { compression: 1, size: MAX_CHUNK_BYTES + 1 },
  ]) {
    assertThrows(() => [...decodePackIndex(indexWith(wrong))], DamagedError);
  }
});

indexes('with a pack that holds nothing, or more than any object may, is damaged', () => {
  const nothing = indexWith({ packSize: 41 + 16 + 4, count: 0 }).subarray(0, 40);
  assertThrows(() => [...decodePackIndex(nothing)], DamagedError);

  const size = MAX_CHUNK_BYTES;
  const storedSize = size + 16;
  const withLargest = (count: number) => {
    const packSize = 41 + count * storedSize + count * 41 + 16 + 4;
    const bytes = indexWith({ packSize, count, size, storedSize });
    return Buffer.concat([bytes, ...Array.from({ length: count - 1 }, () => bytes.subarray(40))]);
  };
  assert.is([...decodePackIndex(withLargest(3))][0]?.entries.length, 3);
  assertThrows(() => [...decodePackIndex(withLargest(4))], DamagedError, /too large/);
});

indexes('cut short anywhere but between packs is damaged', () => {
  const bytes = encodePackIndex([packOf(5), packOf(6)].map(toIndex));
  for (let length = 1; length < bytes.length; length += 1) {
    if (length === indexedPackBytes(1)) continue;
    assertThrows(() => [...decodePackIndex(bytes.subarray(0, length))], DamagedError);
  }
});

indexes('out of any bytes is damaged and nothing worse', () => {
  const bytes = encodePackIndex([packOf(5, 7), packOf(6)].map(toIndex));
  for (let position = 0; position < bytes.length; position += 1) {
    assertOnlySkylockErrors(() => [...decodePackIndex(withFlippedBit(bytes, position))]);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (random) =>
      assertOnlySkylockErrors(() => [...decodePackIndex(Buffer.from(random))]),
    ),
  );
});

indexes.run();
