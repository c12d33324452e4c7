import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Chunker,
  type ChunkSizes,
  createChunker,
  DATA_CHUNK_SIZES,
  MANIFEST_CHUNK_SIZES,
} from '../../lib/format/chunker.ts';
import { seededBytes, testKeys } from './fixtures.ts';

const SMALL: ChunkSizes = { min: 64, avg: 256, max: 1024 };
const { gear } = testKeys();

function lengthsOf(chunker: Chunker, bytes: Uint8Array, from = 0): number[] {
  const lengths: number[] = [];
  for (let at = from; at < bytes.length; at += lengths.at(-1)!) {
    lengths.push(chunker.nextCut(bytes, at, bytes.length, true));
  }
  return lengths;
}

/** `docs/format.md` word for word, in numbers that never wrap by themselves. */
function plainLengthsOf({ min, avg, max }: ChunkSizes, bytes: Uint8Array): number[] {
  const bits = Math.log2(avg);
  const lengths: number[] = [];
  for (let start = 0; start < bytes.length; start += lengths.at(-1)!) {
    let hash = 0n;
    let length = Math.min(max, bytes.length - start);
    for (let index = min; index < length; index += 1) {
      hash = (2n * hash + BigInt(gear[bytes[start + index]!]!)) % 2n ** 32n;
      const zeroBits = index < avg ? bits + 2 : bits - 2;
      if (hash < 2n ** BigInt(32 - zeroBits)) length = index + 1;
    }
    lengths.push(length);
  }
  return lengths;
}

const chunker = suite('the chunker');

chunker('cuts where the plain reading of the format cuts', () => {
  const bytes = Buffer.concat([seededBytes(60_000, 'cut'), Buffer.alloc(5000), seededBytes(3000, 'more')]);
  for (const sizes of [SMALL, { min: 100, avg: 128, max: 130 }, { min: 64, avg: 64, max: 64 }]) {
    assert.equal(lengthsOf(createChunker(gear, sizes), bytes), plainLengthsOf(sizes, bytes));
  }
});

chunker('cuts chunks that are longer than what it looks at in one go where the plain reading does', () => {
  const bytes = seededBytes(400_000, 'long');
  for (const sizes of [
    { min: 5000, avg: 32_768, max: 100_000 },
    { min: 16_384, avg: 16_384, max: 90_001 },
  ]) {
    assert.equal(lengthsOf(createChunker(gear, sizes), bytes), plainLengthsOf(sizes, bytes));
  }
});

chunker('cuts any bytes where the plain reading does', () => {
  const small = createChunker(gear, SMALL);
  const texts = fc.array(fc.constantFrom('word ', 'another ', '\n', 'x'), { maxLength: 1500 });
  fc.assert(
    fc.property(texts, (words) => {
      const bytes = Buffer.from(words.join(''));
      assert.equal(lengthsOf(small, bytes), plainLengthsOf(SMALL, bytes));
    }),
    { numRuns: 50 },
  );
});

chunker('finds the same boundaries again from any boundary', () => {
  const bytes = seededBytes(40_000, 'restart');
  const small = createChunker(gear, SMALL);
  const lengths = lengthsOf(small, bytes);
  let boundary = 0;
  lengths.forEach((length, index) => {
    assert.equal(lengthsOf(small, bytes, boundary), lengths.slice(index));
    assert.equal(lengthsOf(small, bytes.subarray(boundary)), lengths.slice(index));
    boundary += length;
  });
});

chunker('finds the same boundaries through windows of any size', () => {
  const bytes = seededBytes(20_000, 'windows');
  const small = createChunker(gear, SMALL);
  const lengths = lengthsOf(small, bytes);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }), (steps) => {
      const found: number[] = [];
      let start = 0;
      let end = 0;
      for (let step = 0; start < bytes.length; step += 1) {
        end = Math.min(bytes.length, end + steps[step % steps.length]!);
        const atEof = end === bytes.length;
        for (let cut = 1; cut > 0 && start < bytes.length; start += cut) {
          cut = small.nextCut(bytes, start, end, atEof);
          if (cut > 0) found.push(cut);
        }
      }
      assert.equal(found, lengths);
    }),
    { numRuns: 30 },
  );
});

chunker('takes no chunk above max, and none of min or less but the last', () => {
  const bytes = seededBytes(200_000, 'bounds');
  const lengths = lengthsOf(createChunker(gear, SMALL), bytes);
  assert.ok(Math.max(...lengths) <= SMALL.max);
  assert.ok(Math.min(...lengths.slice(0, -1)) > SMALL.min);
  const average = bytes.length / lengths.length;
  assert.ok(average > SMALL.avg * 0.9 && average < SMALL.avg * 1.6, `${average}`);
});

chunker('at the edge sizes asks for more, or gives what there is at the end', () => {
  // Bytes whose hash never has enough zero bits, so that only the sizes decide
  const dull = gear.findIndex((value) => {
    let hash = 0;
    const hashes = Array.from({ length: 40 }, () => {
      hash = (hash * 2 + value) % 2 ** 32;
      return hash;
    });
    return Math.min(...hashes) > 2 ** 27;
  });
  const bytes = Buffer.alloc(SMALL.max + 1, dull);
  const small = createChunker(gear, SMALL);
  for (const size of [0, 1, 63, 64, 65, 255, 256, 257, 1023]) {
    assert.is(small.nextCut(bytes, 0, size, false), 0, `${size}, more to come`);
    assert.is(small.nextCut(bytes, 0, size, true), size, `${size}, the end`);
  }
  for (const atEof of [false, true]) {
    assert.is(small.nextCut(bytes, 0, SMALL.max, atEof), SMALL.max);
    assert.is(small.nextCut(bytes, 0, SMALL.max + 1, atEof), SMALL.max);
  }
});

chunker('after an insertion finds old boundaries again', () => {
  const before = seededBytes(50_000, 'edit');
  const after = Buffer.concat([before.subarray(0, 20_000), Buffer.from('inserted'), before.subarray(20_000)]);
  const small = createChunker(gear, SMALL);
  const chunksOf = (bytes: Buffer) => {
    let end = 0;
    return lengthsOf(small, bytes).map((length) => {
      end += length;
      return bytes.toString('hex', end - length, end);
    });
  };
  const old = new Set(chunksOf(before));
  const added = chunksOf(after).filter((chunk) => !old.has(chunk));
  assert.ok(added.length >= 1 && added.length <= 4, `${added.length} of ${old.size}`);
});

chunker('cuts elsewhere under another key', () => {
  const bytes = seededBytes(20_000, 'key');
  const other = new Uint32Array(gear.toReversed());
  assert.not.equal(
    lengthsOf(createChunker(other, SMALL), bytes),
    lengthsOf(createChunker(gear, SMALL), bytes),
  );
});

chunker('takes only sizes in order, around a power of two', () => {
  for (const sizes of [
    { min: 64, avg: 300, max: 1024 },
    { min: 300, avg: 256, max: 1024 },
    { min: 64, avg: 256, max: 255 },
  ]) {
    assert.throws(() => createChunker(gear, sizes), RangeError);
  }
  assert.is(createChunker(gear, DATA_CHUNK_SIZES).sizes, DATA_CHUNK_SIZES);
  assert.is(createChunker(gear, MANIFEST_CHUNK_SIZES).sizes, MANIFEST_CHUNK_SIZES);
});

chunker.run();
