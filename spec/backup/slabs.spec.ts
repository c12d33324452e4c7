import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createBufferPool } from '../../lib/backup/buffer-pool.ts';
import { createKnownChunks } from '../../lib/backup/known.ts';
import { packChunks } from '../../lib/backup/pack.ts';
import type { FileInHand, ReadItem, ReadMemory } from '../../lib/backup/read.ts';
import { createSlabMemory, type Slab, slabBytes, slabItems } from '../../lib/backup/slabs.ts';
import { takeTurns } from '../../lib/backup/turns.ts';
import { chunkId } from '../../lib/format/keys.ts';
import { RAW } from '../../lib/format/pack-directory.ts';
import { seededBytes } from '../format/fixtures.ts';
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

const slabs = suite('slabs');

slabs('hold what was read, with its ids, however chunks and slabs meet', async () => {
  for (const size of [100, 20_000, LARGEST - 1, LARGEST]) {
    const chunks = Array.from({ length: 9 }, (_, index) => seededBytes(size, `chunk ${index}`));
    const buffers = createBufferPool(3, SLAB);
    const { memory, fill } = createSlabMemory(KEYS, buffers.take);
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
  const { memory, fill } = createSlabMemory(KEYS, () => Buffer.alloc(SLAB));
  const chunk = seededBytes(SLAB / 12, 'a chunk');
  const read = function* () {
    for (let number = 0; number < 6; number += 1) yield* readInto(memory, fileInHand(number), [chunk]);
  };
  const counts = [...fill(read())].filter((slab) => slab !== null).map(({ items }) => items.length);
  assert.equal(counts, [8, 4], 'of files of a chunk and an end each');
});

slabs('end with a file where there are thousands of items', () => {
  const { memory, fill } = createSlabMemory(KEYS, () => Buffer.alloc(SLAB));
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
    const { memory, fill } = createSlabMemory(KEYS, () => Buffer.alloc(SLAB));
    const hard = Array.from({ length: 12 }, (_, index) => seededBytes(LARGEST / 2, `hard ${index}`));
    const soft = Buffer.alloc(LARGEST / 2, 'soft ');
    const passed = [...fill(readInto(memory, fileInHand(1), [...hard, soft]))]
      .filter((slab) => slab !== null)
      .map((slab) => structuredClone(slab, { transfer: [slab.bytes.buffer as ArrayBuffer] }));
    assert.ok(passed.length > 3, `${passed.length} slabs`);
    const batches = packChunks(
      passed.flatMap((slab) => [...slabItems(slab)]),
      {
        keys: KEYS,
        known: createKnownChunks(() => false),
        takeBuffer: () => Buffer.alloc(1024 * 1024),
        targetBytes: () => 1024 * 1024,
        compressOverBytes: 0,
        firstNumber: 1,
      },
    );
    const entries = [...batches].flatMap((batch) =>
      typeof batch === 'object' ? (batch?.pack?.entries ?? []) : [],
    );
    assert.is(entries.length, 13);
    assert.is(entries.at(-1)!.compression, RAW);
  },
);

slabs('are none where nothing was read', () => {
  const { fill } = createSlabMemory(KEYS, () => Buffer.alloc(SLAB));
  assert.equal([...fill([])], []);
});

slabs('never wait for a file that fails', () => {
  const { fill } = createSlabMemory(KEYS, () => Buffer.alloc(SLAB));
  const failed: ReadItem = { type: 'failed', file: fileInHand(1), reason: 'input/output error' };
  assert.equal([...fill([failed])].at(-1)?.items, [failed]);
});

slabs.run();
