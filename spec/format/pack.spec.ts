import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError } from '../../lib/errors.ts';
import {
  compressChunk,
  decompressChunk,
  openContext,
  openDecompressor,
  type ZstdStream,
} from '../../lib/format/compress.ts';
import { contentName, MAX_OBJECT_BYTES } from '../../lib/format/envelope.ts';
import { chunkId, generateMasterKey, repositoryKeys } from '../../lib/format/keys.ts';
import {
  createPackBuilder,
  openFrame,
  openPackDirectory,
  PACK_OVERHEAD_BYTES,
  packDirectoryRange,
  packKey,
  type SealedPack,
} from '../../lib/format/pack.ts';
import {
  assertOnlySkylockErrors,
  assertThrows,
  readPack,
  seededBytes,
  testKeys,
  withFlippedBit,
} from './fixtures.ts';

const keys = testKeys();

function packOf(chunks: readonly Uint8Array[], buffer = Buffer.alloc(1024 * 1024)): SealedPack {
  const builder = createPackBuilder(keys, buffer);
  for (const chunk of chunks) {
    const compressed = compressChunk(chunk);
    if (compressed === null) builder.add(chunkId(keys, chunk), 0, chunk);
    else builder.add(chunkId(keys, chunk), 1, compressed, chunk.length);
  }
  return builder.seal();
}

function assertHolds(pack: SealedPack, chunks: readonly Uint8Array[]): void {
  const read = readPack(keys, pack.bytes);
  assert.equal(
    read.map(({ chunk }) => chunk.toString('hex')),
    chunks.map((chunk) => Buffer.from(chunk).toString('hex')),
  );
  assert.equal(
    read.map(({ entry }) => ({ ...entry, id: entry.id.toString('hex') })),
    pack.entries.map((entry) => ({ ...entry, id: entry.id.toString('hex') })),
  );
}

const packs = suite('a pack');

packs('gives back chunks of every size, compressed or not', () => {
  const sizes = [1, 63, 64, 65, 4096, 100_000];
  const chunks = sizes.flatMap((size) => [seededBytes(size, 'raw'), Buffer.alloc(size, 'zip ')]);
  const pack = packOf(chunks);
  assertHolds(pack, chunks);
  assert.equal(new Set(pack.entries.map(({ compression }) => compression)), new Set([0, 1]));
});

packs('gives back any chunks', () => {
  const chunk = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 300 }),
    fc.integer({ min: 1, max: 5000 }).map((size) => Buffer.alloc(size, 'again ')),
  );
  fc.assert(
    fc.property(fc.array(chunk, { minLength: 1, maxLength: 20 }), (chunks) =>
      assertHolds(packOf(chunks), chunks),
    ),
    { numRuns: 50 },
  );
});

packs('is named by its SHA-256 and is a view into the buffer it was built in', () => {
  const buffer = Buffer.alloc(10_000);
  const pack = packOf([Buffer.from('chunk')], buffer);
  assert.is(pack.name, contentName(pack.bytes));
  assert.is(pack.bytes.buffer, buffer.buffer);
  assert.is(pack.bytes.byteOffset, buffer.byteOffset);
});

packs('is as large as it said it would be, and tells its counts while it is built', () => {
  const builder = createPackBuilder(keys, Buffer.alloc(10_000));
  for (const [index, size] of [1, 500, 3000].entries()) {
    const chunk = seededBytes(size, 'size');
    const entry = builder.add(chunkId(keys, chunk), 0, chunk);
    assert.is(entry.storedSize, size + 16);
    assert.is(builder.count, index + 1);
    assert.is(builder.entries.at(-1), entry);
  }
  const said = builder.sizeBytes;
  const pack = builder.seal();
  assert.is(pack.bytes.length, said);
  assert.is(said, 41 + (1 + 500 + 3000 + 3 * 16) + (3 * 41 + 16) + 4);
});

packs('takes chunks up to the last byte of its buffer and none beyond it', () => {
  for (const size of [1, 1000]) {
    const chunk = seededBytes(size, 'full');
    const exact = Buffer.alloc(size + PACK_OVERHEAD_BYTES);
    const roomy = createPackBuilder(keys, exact);
    assert.ok(roomy.hasRoomFor(size));
    assert.not(roomy.hasRoomFor(size + 1));
    roomy.add(chunkId(keys, chunk), 0, chunk);
    assert.not(roomy.hasRoomFor(0));
    assert.is(roomy.seal().bytes.length, exact.length);

    const tight = createPackBuilder(keys, exact.subarray(1));
    assert.not(tight.hasRoomFor(size));
    assert.throws(() => tight.add(chunkId(keys, chunk), 0, chunk), RangeError);
  }
});

packs('is never made empty', () => {
  assert.throws(() => createPackBuilder(keys, Buffer.alloc(1000)).seal(), RangeError);
});

packs('leaves no trace of its chunks in the bytes', () => {
  const chunk = Buffer.from('a secret that nobody should see, ever');
  const pack = packOf([chunk]);
  assert.is(pack.bytes.indexOf('secret'), -1);
  assert.is(pack.bytes.indexOf(chunkId(keys, chunk)), -1);
});

packs('has a key of its own', () => {
  const [first, second] = [packOf([Buffer.from('same')]), packOf([Buffer.from('same')])];
  assert.not.equal(packKey(keys, first!.bytes).export(), packKey(keys, second!.bytes).export());
});

packs('does not open with other keys', () => {
  const pack = packOf([Buffer.from('chunk')]);
  assertThrows(() => readPack(repositoryKeys(generateMasterKey()), pack.bytes), DamagedError);
});

packs('with any bit changed, any byte missing or one added is damaged', () => {
  const { bytes } = packOf([Buffer.from('first'), Buffer.alloc(200, 'second '), Buffer.from('third')]);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    assertThrows(() => readPack(keys, withFlippedBit(bytes, bit >> 3, bit % 8)), DamagedError);
  }
  for (let length = 4; length < bytes.length; length += 1) {
    assertThrows(() => readPack(keys, bytes.subarray(0, length)), DamagedError);
    assertThrows(() => readPack(keys, bytes.subarray(length)), DamagedError);
  }
  assertThrows(() => readPack(keys, Buffer.concat([bytes, Buffer.of(0)])), DamagedError);
});

packs('out of bytes at random is damaged and nothing worse', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 400 }), fc.boolean(), (bytes, begun) => {
      const pack = begun ? Buffer.concat([Buffer.from('SKYLOCK1\x01'), bytes]) : Buffer.from(bytes);
      assertThrows(() => readPack(keys, pack), DamagedError);
    }),
  );
});

packs.run();

const frames = suite('a frame');

frames('opens only as the chunk, at the place and in the compression it was sealed in', () => {
  const pack = packOf([Buffer.from('one one one'), Buffer.from('two two two')]);
  const key = packKey(keys, pack.bytes);
  const [first, second] = pack.entries;
  const frame = (entry = first!) => pack.bytes.subarray(entry.offset, entry.offset + entry.storedSize);
  assert.equal(openFrame(key, 0, first!, frame()), Buffer.from('one one one'));
  assertThrows(() => openFrame(key, 1, first!, frame()), DamagedError);
  assertThrows(() => openFrame(key, 0, first!, frame(second)), DamagedError);
  assertThrows(() => openFrame(key, 0, { ...first!, id: second!.id }, frame()), DamagedError);
  assertThrows(() => openFrame(key, 0, { ...first!, compression: 1 }, frame()), DamagedError);
  assertThrows(() => openFrame(key, 0, { ...first!, size: 10 }, frame()), DamagedError);
  assertThrows(() => openFrame(key, 0, first!, frame().subarray(1)), DamagedError, /27 bytes|in place of/);
});

frames('that unfolds to more than its entry says is stopped there', () => {
  const bomb = zstdCompressSync(Buffer.alloc(8 * 1024 * 1024));
  const builder = createPackBuilder(keys, Buffer.alloc(10_000));
  for (const [index, size] of [1000, 8 * 1024 * 1024 - 1, 8 * 1024 * 1024 + 1].entries()) {
    const entry = builder.add(Buffer.alloc(32, index), 1, bomb, size);
    const pack = builder.entries;
    assert.is(pack.length, index + 1);
    assert.is(entry.size, size);
  }
  const pack = builder.seal();
  const key = packKey(keys, pack.bytes);
  pack.entries.forEach((entry, index) => {
    const frame = pack.bytes.subarray(entry.offset, entry.offset + entry.storedSize);
    assertThrows(() => openFrame(key, index, entry, frame), DamagedError, /not as long/);
  });
});

frames.run();

const directories = suite('where the directory of a pack lies');

directories('is refused when the length cannot be right', () => {
  const trailer = (length: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(length);
    return bytes;
  };
  const smallest = 41 + 17 + 57 + 4;
  assert.equal(packDirectoryRange(trailer(57), smallest), { offset: smallest - 61, length: 57 });
  for (const length of [0, 15, 16, 56, 58, 98, 0xffff_ffff]) {
    assertThrows(() => packDirectoryRange(trailer(length), smallest), DamagedError);
  }
  for (const packSize of [0, 4, 41, 101, MAX_OBJECT_BYTES + 1]) {
    assertThrows(() => packDirectoryRange(trailer(57), packSize), DamagedError);
  }
  assertThrows(() => packDirectoryRange(Buffer.alloc(3), smallest), DamagedError);
});

directories('is refused when the entries do not add up to the pack', () => {
  const { bytes } = packOf([Buffer.from('chunk')]);
  const { offset, length } = packDirectoryRange(bytes.subarray(-4), bytes.length);
  const sealed = bytes.subarray(offset, offset + length);
  assert.is(openPackDirectory(keys, bytes.subarray(0, 41), sealed, bytes.length).length, 1);
  for (const size of [bytes.length - 1, bytes.length + 1]) {
    assertThrows(() => openPackDirectory(keys, bytes, sealed, size), DamagedError, /add up/);
  }
});

directories.run();

const compression = suite('compression');

compression('is used where it saves 3 % and not where it does not', () => {
  const random = seededBytes(10_000, 'compression');
  const mixed = (zeros: number) => Buffer.concat([random, Buffer.alloc(zeros)]);
  assert.is(compressChunk(random), null);
  assert.is(compressChunk(mixed(250)), null);
  assert.ok(compressChunk(mixed(450))!.length <= 10_450 * 0.97);
  for (const size of [0, 1, 63]) assert.is(compressChunk(Buffer.alloc(size)), null);
  assert.ok(compressChunk(Buffer.alloc(64))!.length < 64);
});

compression('is undone at every size', () => {
  for (const size of [64, 65, 1023, 1024, 1_000_000]) {
    const bytes = Buffer.alloc(size, 'fold ');
    assert.equal(decompressChunk(compressChunk(bytes)!, size), bytes);
  }
});

compression('gives frames that node alone reads, each as if it were the only one', () => {
  const mixed = (size: number) => {
    const half = size >> 1;
    return Buffer.concat([seededBytes(size - half, `mixed ${size}`), Buffer.alloc(half, `text ${size} `)]);
  };
  for (const size of [5000, 64, 8 * 1024 * 1024, 100, 70_000, 16 * 1024 * 1024, 5000]) {
    const bytes = mixed(size);
    assert.equal(zstdDecompressSync(compressChunk(bytes)!), bytes);
    assert.is(compressChunk(seededBytes(size, `random ${size}`)), null);
  }
});

compression('goes the public way where the inside of a node is another, or does something else', () => {
  const bytes = Buffer.alloc(5000, 'fold ');
  const left = new Uint32Array(2);
  const streams: ZstdStream[] = [
    {},
    { _handle: { writeSync: () => {} } },
    { _handle: { writeSync: () => {} }, _writeState: left },
    { _handle: { writeSync: (...args) => void left.set([args[6] - 10, 0]) }, _writeState: left },
  ];
  for (const stream of streams) {
    assert.equal(zstdDecompressSync(openContext(stream)(bytes)), bytes);
    assert.equal(openDecompressor(stream)(compressChunk(bytes)!, 5000), bytes);
  }
});

compression('opens each frame as if it were the only one, whatever came before it', () => {
  const sizes = [0, 1, 63, 5000, 128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, 1024 * 1024];
  const whole = sizes.map((size) => Buffer.alloc(size, `text ${size} `));
  const frames = whole.map((bytes) => zstdCompressSync(bytes));
  const wrong: (readonly [frame: Buffer, size: number])[] = [
    [frames[3]!.subarray(0, -1), 5000],
    [frames[3]!.subarray(0, 10), 5000],
    [frames[3]!, 4999],
    [frames[3]!, 5001],
    [frames[5]!, 5000],
    [Buffer.concat([frames[3]!, Buffer.of(1)]), 5000],
    [Buffer.concat([frames[3]!, frames[3]!]), 5000],
    [Buffer.concat([frames[3]!, frames[3]!]), 10_000],
    [Buffer.from('no frame at all'), 5000],
    [Buffer.alloc(0), 5000],
  ];
  for (const [frame, size] of wrong) {
    assert.is(decompressChunk(frame, size), null);
    whole.forEach((bytes, index) => {
      assert.equal(decompressChunk(frames[index]!, bytes.length), bytes);
    });
  }
});

compression('keeps what it gave when the next frame is opened', () => {
  const [one, other] = [Buffer.alloc(5000, 'one '), Buffer.alloc(5000, 'other ')];
  const opened = decompressChunk(compressChunk(one)!, 5000);
  decompressChunk(compressChunk(other)!, 5000);
  assert.equal(opened, one);
});

compression('gives nothing out of bytes that are no frame, or one of another size', () => {
  const frame = compressChunk(Buffer.alloc(1000))!;
  assert.is(decompressChunk(frame, 999), null);
  assert.is(decompressChunk(frame, 1001), null);
  assert.is(decompressChunk(frame.subarray(0, -1), 1000), null);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.integer({ min: 1, max: 1000 }), (bytes, size) => {
      assertOnlySkylockErrors(() => decompressChunk(bytes, size));
    }),
  );
});

compression('refuses a frame that asks for a window larger than any chunk', () => {
  // RFC 8878: magic, a frame header of a window of 2^(10 + exponent) bytes only, one last raw block of five bytes
  const frameOf = (exponent: number) =>
    Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 0x29, 0, 0), Buffer.from('chunk')]);
  assert.equal(decompressChunk(frameOf(14), 5), Buffer.from('chunk'));
  assert.is(decompressChunk(frameOf(15), 5), null);
});

compression('holds no more than it was told to, however much a frame unfolds to', () => {
  // RFC 8878: a frame header of a window of 16 MiB, then blocks that say "128 KiB of x" in four bytes each
  const block = Buffer.of(0x02, 0x00, 0x10, 0x78);
  const last = Buffer.of(0x03, 0x00, 0x10, 0x78);
  const blocks = Array.from({ length: 4095 }, () => block);
  const bomb = Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, 14 << 3), ...blocks, last]);
  const before = process.resourceUsage().maxRSS;
  assert.is(decompressChunk(bomb, 1024 * 1024), null);
  assert.ok(process.resourceUsage().maxRSS - before < 128 * 1024, 'in KiB, of 512 MiB');
});

compression.run();
