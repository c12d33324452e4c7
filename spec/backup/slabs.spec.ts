import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createBufferPool } from '../../lib/backup/buffer-pool.ts';
import { createCompressor } from '../../lib/backup/compressor.ts';
import { createKnownChunks } from '../../lib/backup/known.ts';
import { type PackedBatch, packChunks } from '../../lib/backup/pack.ts';
import type { FileInHand, ReadItem, ReadMemory } from '../../lib/backup/read.ts';
import {
  type AddressedItem,
  createSlabMemory,
  type Slab,
  type SlabDeps,
  slabBytes,
  slabItems,
} from '../../lib/backup/slabs.ts';
import { STARVED, takeTurns } from '../../lib/backup/turns.ts';
import { chunkId } from '../../lib/format/keys.ts';
import { type Compression, RAW, ZSTD } from '../../lib/format/pack-directory.ts';
import { readPack, seededBytes } from '../format/fixtures.ts';
import { fileInHand, KEYS } from './fixtures.ts';

const LARGEST = 64 * 1024;
const SLAB = slabBytes({ min: 1024, avg: 8192, max: LARGEST });

/** What a reader does: puts the file's chunks into the memory one behind the other, and fetches more when it is full. */
function* readInto(memory: ReadMemory, file: FileInHand, chunks: readonly Buffer[]): Generator<ReadItem> {
  for (const [position, chunk] of chunks.entries()) {
    const room = memory.bytes.length - memory.used;
    if (room < chunk.length) {
      const start = memory.used;
      chunk.copy(memory.bytes, start, 0, room);
      memory.renew(start);
      assert.equal(memory.bytes.subarray(0, room), chunk.subarray(0, room), 'what was read of it is there');
    }
    const start = memory.used;
    chunk.copy(memory.bytes, start);
    memory.used += chunk.length;
    yield { type: 'chunk', file, position, bytes: memory.bytes.subarray(start, start + chunk.length) };
  }
  const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
  yield { type: 'end', file, chunks: chunks.length, bytes, torn: false };
}

/** What comes out in another thread: no Buffers, and the memory is somebody else's as soon as it was gone through. */
function pass(slab: Slab): { chunks: Buffer[]; ids: Buffer[]; kinds: string[] } {
  const there = structuredClone(slab);
  const [chunks, ids, kinds]: [Buffer[], Buffer[], string[]] = [[], [], []];
  for (const item of slabItems(there)) {
    kinds.push(item.type);
    if (item.type !== 'chunk') continue;
    assert.ok(Buffer.isBuffer(item.id) && Buffer.isBuffer(item.bytes));
    chunks.push(Buffer.from(item.bytes));
    ids.push(item.id);
  }
  return { chunks, ids, kinds };
}

/** A reader that leaves compressing to the packer, unless told. */
const slabDeps = (takeBuffer: () => Buffer, isAhead = () => false): SlabDeps => ({
  keys: KEYS,
  takeBuffer,
  compress: createCompressor(0),
  isAhead,
});

function packAll(items: readonly AddressedItem[]): PackedBatch[] {
  const batches = packChunks(items, {
    keys: KEYS,
    known: createKnownChunks(() => false),
    takeBuffer: () => Buffer.alloc(1024 * 1024),
    targetBytes: () => 1024 * 1024,
    compressOverBytes: 0,
    firstNumber: 1,
  });
  return [...batches].filter((batch) => batch !== null && batch !== STARVED);
}

const slabs = suite('slabs');

slabs('hold what was read, with its ids, however chunks and slabs meet', async () => {
  for (const size of [100, 20_000, LARGEST - 1, LARGEST]) {
    const chunks = Array.from({ length: 9 }, (_, index) => seededBytes(size, `chunk ${index}`));
    const buffers = createBufferPool(3, SLAB);
    const { memory, fill } = createSlabMemory(slabDeps(buffers.take));
    const files = [chunks.slice(0, 4), [], chunks.slice(4)];
    const read = function* () {
      for (const [number, own] of files.entries()) yield* readInto(memory, fileInHand(number), own);
    };
    const [out, ids, kinds]: [Buffer[], Buffer[], string[]] = [[], [], []];
    for await (const slab of takeTurns(fill(read()), { ready: buffers.ready })) {
      const passed = pass(slab);
      out.push(...passed.chunks);
      ids.push(...passed.ids);
      kinds.push(...passed.kinds);
      buffers.giveBack(Buffer.alloc(SLAB));
    }
    assert.ok(Buffer.concat(out).equals(Buffer.concat(chunks)), `chunks of ${size} bytes`);
    assert.equal(
      ids,
      chunks.map((chunk) => chunkId(KEYS, chunk)),
    );
    assert.is(kinds.join(' '), `${'chunk '.repeat(4)}end end ${'chunk '.repeat(5)}end`);
  }
});

slabs('end with a file once there is enough in them, and with what is there at the end', () => {
  const { memory, fill } = createSlabMemory(slabDeps(() => Buffer.alloc(SLAB)));
  const chunk = seededBytes(SLAB / 12, 'a chunk');
  const read = function* () {
    for (let number = 0; number < 6; number += 1) yield* readInto(memory, fileInHand(number), [chunk]);
  };
  const counts = [...fill(read())].filter((slab) => slab !== null).map(({ items }) => items.length);
  assert.equal(counts, [8, 4], 'of files of a chunk and an end each');
});

slabs('end with a file where there are thousands of items', () => {
  const { memory, fill } = createSlabMemory(slabDeps(() => Buffer.alloc(SLAB)));
  const read = function* () {
    for (let number = 0; number < 5000; number += 1) {
      yield* readInto(memory, fileInHand(number), [Buffer.of(number % 256)]);
    }
  };
  const counts = [...fill(read())].filter((slab) => slab !== null).map(({ items }) => items.length);
  assert.equal(counts, [4096, 4096, 1808]);
});

slabs(
  'are packed like what they hold: what does not shrink is tried three times a file, not a slab',
  async () => {
    const { memory, fill } = createSlabMemory(slabDeps(() => Buffer.alloc(SLAB)));
    const hard = Array.from({ length: 12 }, (_, index) => seededBytes(LARGEST / 2, `hard ${index}`));
    const soft = Buffer.alloc(LARGEST / 2, 'soft ');
    const passed = [...fill(readInto(memory, fileInHand(1), [...hard, soft]))]
      .filter((slab) => slab !== null)
      .map((slab) => structuredClone(slab, { transfer: [slab.bytes.buffer as ArrayBuffer] }));
    assert.ok(passed.length > 3, `${passed.length} slabs`);
    const entries = packAll(passed.flatMap((slab) => [...slabItems(slab)])).flatMap(
      ({ pack }) => pack!.entries,
    );
    assert.is(entries.length, 13);
    assert.is(entries.at(-1)!.compression, RAW);
  },
);

slabs('hold what chunks are stored as where the reader is ahead, and pack to the same chunks', () => {
  const half = LARGEST / 2;
  const soft = (text: string) => Buffer.alloc(half, text);
  const hard = (name: string) => seededBytes(half, name);
  const chunks = [soft('a'), hard('b'), soft('c'), hard('d'), hard('e'), hard('f'), soft('given up')];
  const kinds = [ZSTD, RAW, ZSTD, RAW, RAW, RAW, RAW];

  const always = readAndPass(chunks, () => true);
  assert.equal(
    always.map(({ compression }) => compression),
    kinds,
  );
  assert.ok(always[0]!.bytes.length < half / 10, 'the frame, and no more');
  assert.equal(packedAs(always, chunks), kinds);

  let asked = 0;
  const sometimes = readAndPass(chunks, () => {
    asked += 1;
    return asked % 2 === 1;
  });
  assert.equal(
    sometimes.map(({ compression }) => compression),
    [ZSTD, null, ZSTD, null, RAW, null, ZSTD],
  );
  packedAs(sometimes, chunks);
});

/** @returns the chunks as another thread gets them from slabs */
function readAndPass(chunks: readonly Buffer[], isAhead: () => boolean) {
  const { memory, fill } = createSlabMemory(slabDeps(() => Buffer.alloc(SLAB), isAhead));
  return [...fill(readInto(memory, fileInHand(1), chunks))]
    .filter((slab) => slab !== null)
    .flatMap((slab) => [...slabItems(structuredClone(slab))])
    .filter((item) => item.type === 'chunk');
}

/** Packs them, and looks whether the packs hold the chunks. @returns how they are stored there */
function packedAs(items: readonly AddressedItem[], chunks: readonly Buffer[]): Compression[] {
  const batches = packAll(items);
  assert.equal(
    batches.flatMap(({ pieces }) => pieces.map(({ sizeBytes }) => sizeBytes)),
    chunks.map(({ length }) => length),
  );
  const packed = batches.flatMap(({ pack }) => readPack(KEYS, pack!.bytes));
  assert.ok(Buffer.concat(packed.map(({ chunk }) => chunk)).equals(Buffer.concat(chunks)));
  return packed.map(({ entry }) => entry.compression);
}

slabs('are none where nothing was read', () => {
  const { fill } = createSlabMemory(slabDeps(() => Buffer.alloc(SLAB)));
  assert.equal([...fill([])], []);
});

slabs('end where thousands of files fail', () => {
  const { fill } = createSlabMemory(slabDeps(() => Buffer.alloc(SLAB)));
  const read = function* (): Generator<ReadItem> {
    for (let number = 0; number < 5000; number += 1) {
      yield { type: 'failed', file: fileInHand(number), reason: 'input/output error' };
    }
  };
  const counts = [...fill(read())].filter((slab) => slab !== null).map(({ items }) => items.length);
  assert.equal(counts, [4096, 904]);
});

slabs('never wait for a file that fails', () => {
  const { fill } = createSlabMemory(slabDeps(() => Buffer.alloc(SLAB)));
  const failed: ReadItem = { type: 'failed', file: fileInHand(1), reason: 'input/output error' };
  assert.equal([...fill([failed])].at(-1)?.items, [failed]);
});

slabs.run();
