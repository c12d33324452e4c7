import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createKnownChunks } from '../../lib/backup/known.ts';
import { durablePack, type PackedBatch } from '../../lib/backup/pack.ts';
import type { ReadItem } from '../../lib/backup/read.ts';
import { PACK_OVERHEAD_BYTES } from '../../lib/format/pack.ts';
import { RAW, ZSTD } from '../../lib/format/pack-directory.ts';
import { readPack } from '../format/fixtures.ts';
import {
  batchesOf,
  changedItem,
  chunkBytes,
  fileInHand,
  idOf,
  itemsOf,
  KEYS,
  packItems,
} from './fixtures.ts';

/** The content of each pack, and what each piece waits for. */
function outline(batches: readonly PackedBatch[], names: readonly string[]) {
  const nameOf = (id: Buffer) => names.find((name) => idOf(name).equals(id)) ?? '?';
  return batches.map(({ number, pack, pieces }) => ({
    number,
    pack: pack?.entries.map(({ id }) => nameOf(id)).join('') ?? null,
    pieces: pieces
      .map(
        ({ file, position, chunk, needs }) =>
          `${file.entry}.${position}=${nameOf(chunk)}@${needs ?? 'durable'}`,
      )
      .join(' '),
  }));
}

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

const packing = suite('packing');

packing('puts chunks into packs in their order, and ends one when it has reached its target', () => {
  const batches = batchesOf(itemsOf(fileInHand(1), NAMES));
  assert.equal(outline(batches, NAMES), [
    { number: 1, pack: 'abc', pieces: '1.0=a@1 1.1=b@1 1.2=c@1' },
    { number: 2, pack: 'def', pieces: '1.3=d@2 1.4=e@2 1.5=f@2' },
    { number: 3, pack: 'g', pieces: '1.6=g@3' },
  ]);
  assert.equal(
    batches.map(({ ended }) => ended.map(({ file, chunks, bytes }) => [file.entry, chunks, bytes])),
    [[], [], [[1n, 7, 7000]]],
  );
});

packing('makes packs that can be read with nothing but themselves and the keys', () => {
  for (const { pack, pieces } of batchesOf(itemsOf(fileInHand(1), NAMES))) {
    const chunks = readPack(KEYS, pack!.bytes);
    assert.equal(
      chunks.map(({ entry }) => entry.id),
      pieces.map(({ chunk }) => chunk),
    );
    for (const { entry, chunk } of chunks) {
      const name = NAMES.find((one) => idOf(one).equals(entry.id))!;
      assert.equal(chunk, chunkBytes(name));
    }
  }
});

packing('copies what is only lent', () => {
  const lent = Buffer.alloc(1000);
  const items = function* (): Generator<ReadItem> {
    for (const item of itemsOf(fileInHand(1), ['a', 'b'])) {
      if (item.type !== 'chunk') yield item;
      else {
        lent.set(item.bytes);
        yield { ...item, bytes: lent };
        lent.fill(0);
      }
    }
  };
  const [batch] = batchesOf(items());
  assert.equal(
    readPack(KEYS, batch!.pack!.bytes).map(({ chunk }) => chunk),
    [chunkBytes('a'), chunkBytes('b')],
  );
});

packing('stores a chunk once, also where it comes again in the same pack', () => {
  const batches = batchesOf(itemsOf(fileInHand(1), ['a', 'a', 'b', 'a']));
  assert.equal(outline(batches, NAMES), [
    { number: 1, pack: 'ab', pieces: '1.0=a@1 1.1=a@1 1.2=b@1 1.3=a@1' },
  ]);
});

packing('stores a chunk once, also where it comes again while its pack is not durable yet', () => {
  const batches = batchesOf(itemsOf(fileInHand(1), ['a', 'b', 'c', 'd', 'b']));
  assert.equal(outline(batches, NAMES)[1], { number: 2, pack: 'd', pieces: '1.3=d@2 1.4=b@1' });
});

packing('does not store what is durable, and its pieces wait for nothing', () => {
  const durable = idOf('b');
  const known = createKnownChunks((id) => id.equals(durable));
  const batches = batchesOf(itemsOf(fileInHand(1), ['a', 'b', 'c']), { known });
  assert.equal(outline(batches, NAMES), [{ number: 1, pack: 'ac', pieces: '1.0=a@1 1.1=b@durable 1.2=c@1' }]);
});

packing('asks the journal for a chunk once its batch is settled', () => {
  const durable = new Set<string>();
  const known = createKnownChunks((id) => durable.has(id.toString('hex')));
  const batches: PackedBatch[] = [];
  for (const batch of packItems(itemsOf(fileInHand(1), ['a', 'b', 'c', 'd', 'a']), { known })) {
    if (batch === null) continue;
    for (const { id } of batch.pack!.entries) durable.add(id.toString('hex'));
    known.settle(batch.number);
    batches.push(batch);
  }
  assert.is(outline(batches, NAMES)[1]?.pieces, '1.3=d@2 1.4=a@durable');
});

packing('of what is durable already makes a batch without a pack', () => {
  const known = createKnownChunks(() => true);
  let taken = 0;
  const takeBuffer = () => {
    taken += 1;
    return Buffer.alloc(0);
  };
  const [batch, ...others] = batchesOf(itemsOf(fileInHand(1), ['a', 'b']), { known, takeBuffer });
  assert.equal(others, []);
  assert.is(batch?.pack, null);
  assert.is(durablePack(batch!), null);
  assert.is(batch?.ended.length, 1);
  assert.is(taken, 0);
});

packing('of nothing makes nothing', () => assert.equal(batchesOf([]), []));

packing('of a file that has no chunk left to read makes a batch that ends it', () => {
  const [batch] = batchesOf(itemsOf(fileInHand(1), ['a', 'b'], 2));
  assert.is(batch?.pack, null);
  assert.equal(batch?.ended, [{ type: 'end', file: fileInHand(1), chunks: 2, bytes: 2000, torn: false }]);
});

packing('carries along what became of each file, and names the one read last', () => {
  const items = function* (): Generator<ReadItem> {
    yield* itemsOf(fileInHand(1), ['a']);
    yield { type: 'failed', file: fileInHand(2), reason: 'permission denied' };
    yield changedItem(fileInHand(3));
    yield* itemsOf(fileInHand(3), ['b']);
  };
  const [batch, ...others] = batchesOf(items());
  assert.equal(others, []);
  assert.equal(
    batch?.ended.map(({ file }) => file.entry),
    [1n, 3n],
  );
  assert.equal(
    batch?.failed.map(({ file, reason }) => [file.entry, reason]),
    [[2n, 'permission denied']],
  );
  assert.equal(
    batch?.changed.map(({ file }) => file.entry),
    [3n],
  );
  assert.equal(batch?.path, fileInHand(3).path);
});

packing('numbers batches on from where it was told', () => {
  const batches = batchesOf(itemsOf(fileInHand(1), NAMES), { firstNumber: 40 });
  assert.equal(
    batches.map(({ number }) => number),
    [40, 41, 42],
  );
});

packing('asks for the target at every chunk: it may change while a pack is built', () => {
  let target = 2000;
  const batches: PackedBatch[] = [];
  for (const batch of packItems(itemsOf(fileInHand(1), NAMES), { targetBytes: () => target })) {
    if (batch === null) continue;
    batches.push(batch);
    target = 4000;
  }
  assert.equal(
    outline(batches, NAMES).map(({ pack }) => pack),
    ['ab', 'cdef', 'g'],
  );
});

packing('ends a pack before a chunk that has no room in its buffer', () => {
  const takeBuffer = () => Buffer.allocUnsafeSlow(2500 + PACK_OVERHEAD_BYTES);
  const batches = batchesOf(itemsOf(fileInHand(1), NAMES.slice(0, 5)), {
    takeBuffer,
    targetBytes: () => 1e9,
  });
  assert.equal(outline(batches, NAMES), [
    { number: 1, pack: 'ab', pieces: '1.0=a@1 1.1=b@1' },
    { number: 2, pack: 'cd', pieces: '1.2=c@2 1.3=d@2' },
    { number: 3, pack: 'e', pieces: '1.4=e@3' },
  ]);
});

packing('gives others a turn after each chunk', () => {
  const turns = [...packItems(itemsOf(fileInHand(1), ['a', 'b', 'c', 'd']))];
  assert.equal(
    turns.map((batch) => batch?.number ?? null),
    [null, null, 1, null, 2],
  );
});

packing('ends a pack at 8,192 chunks, so that recording it stays short', () => {
  const items = function* (): Generator<ReadItem> {
    for (let number = 0; number < 8200; number += 1) {
      const bytes = Buffer.from(String(number));
      yield { type: 'chunk', file: fileInHand(1), position: number, bytes };
    }
  };
  const takeBuffer = () => Buffer.allocUnsafeSlow(1024 * 1024);
  const batches = batchesOf(items(), { takeBuffer, targetBytes: () => 1e9 });
  assert.equal(
    batches.map(({ pack }) => pack?.entries.length),
    [8192, 8],
  );
});

packing('ends a batch at 16,384 pieces that have no pack of their own', () => {
  const items = function* (): Generator<ReadItem> {
    for (let position = 0; position < 20_000; position += 1) {
      yield { type: 'chunk', file: fileInHand(1), position, bytes: Buffer.from('again') };
    }
  };
  const batches = batchesOf(items(), { known: createKnownChunks(() => true) });
  assert.equal(
    batches.map(({ pieces }) => pieces.length),
    [16_384, 3616],
  );
});

for (const [what, itemOf] of Object.entries({
  failed: (number: number): ReadItem => ({
    type: 'failed',
    file: fileInHand(number),
    reason: 'permission denied',
  }),
  ended: (number: number): ReadItem => ({
    type: 'end',
    file: fileInHand(number),
    chunks: 1,
    bytes: 1,
    torn: false,
  }),
})) {
  packing(`does not gather more than that of files that have ${what} and no chunk`, () => {
    const items = function* (): Generator<ReadItem> {
      for (let number = 0; number < 40_000; number += 1) yield itemOf(number);
    };
    const sizes = batchesOf(items()).map(({ failed, ended }) => failed.length + ended.length);
    assert.equal(sizes, [16_384, 16_384, 7232]);
  });
}

packing('tells the journal of a pack what its directory says', () => {
  const [batch] = batchesOf(itemsOf(fileInHand(1), ['a', 'b', 'c']));
  const pack = durablePack(batch!)!;
  assert.is(pack.name.toString('hex'), batch?.pack?.name);
  assert.is(pack.size, batch?.pack?.bytes.length);
  assert.equal(
    [...pack.chunks].map(({ id, offset, storedSize, size, compression }) => ({
      id,
      compression,
      offset,
      storedSize,
      size,
    })),
    readPack(KEYS, batch!.pack!.bytes).map(({ entry }) => entry),
  );
});

packing.run();

const compressing = suite('compression');

/** `z` shrinks, `x` does not; each chunk is another. */
function* chunksLike(pattern: string, file = fileInHand(1)): Generator<ReadItem> {
  for (const [position, kind] of [...pattern].entries()) {
    const bytes = kind === 'z' ? Buffer.alloc(1000, position) : chunkBytes(`${file.entry} ${position}`);
    yield { type: 'chunk', file, position, bytes };
  }
}

/** `z` for each chunk that is stored compressed, `x` for one that is stored as it is. */
function storedAs(items: Iterable<ReadItem>, compressOverBytes = 0): string {
  const kinds = batchesOf(items, { compressOverBytes }).flatMap(({ pack }) => pack?.entries ?? []);
  return kinds.map(({ compression }) => (compression === ZSTD ? 'z' : 'x')).join('');
}

compressing('is used where it helps', () => assert.is(storedAs(chunksLike('zxzxz')), 'zxzxz'));

compressing('keeps the sizes of both', () => {
  const [batch] = batchesOf(chunksLike('zx'));
  const [small, whole] = batch!.pack!.entries;
  assert.equal([small?.compression, small?.size, whole?.compression, whole?.size], [ZSTD, 1000, RAW, 1000]);
  assert.ok(small!.storedSize < 100);
  assert.equal(
    batch!.pieces.map(({ sizeBytes }) => sizeBytes),
    [1000, 1000],
  );
});

compressing('is not tried any more after three misses in a row', () => {
  assert.is(storedAs(chunksLike('xxxzz')), 'xxxxx');
  assert.is(storedAs(chunksLike('xxzxxz')), 'xxzxxz');
});

compressing('is tried anew with the next file', () => {
  const items = [...chunksLike('xxxz'), ...chunksLike('z', fileInHand(2))];
  assert.is(storedAs(items), 'xxxxz');
});

for (const [sizeBytes, stored] of [
  [9999, 'x'],
  [10_000, 'x'],
  [10_001, 'z'],
] as const) {
  compressing(
    `is ${stored === 'z' ? 'tried' : 'left out'} for a file of ${sizeBytes} bytes where only those over 10,000 are wanted`,
    () => assert.is(storedAs(chunksLike('z', fileInHand(1, { sizeBytes })), 10_000), stored),
  );
}

compressing.run();
