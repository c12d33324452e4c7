import { setImmediate } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createBatchLimit } from '../../lib/backup/batch-limit.ts';
import { createBufferPool } from '../../lib/backup/buffer-pool.ts';
import { createKnownChunks } from '../../lib/backup/known.ts';
import type { Batch } from '../../lib/backup/pack.ts';
import type { ReadItem } from '../../lib/backup/read.ts';
import { takeTurns } from '../../lib/backup/turns.ts';
import { createArrivals } from '../../lib/repository/arrivals.ts';
import { fileInHand, idOf, itemsOf, packItems, packSteps } from './fixtures.ts';

/** @returns whether the promise is settled once all that needs no more than turns of the event loop has happened */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => (settled = true));
  for (let turn = 0; turn < 5; turn += 1) await setImmediate();
  return settled;
}

const pool = suite('a buffer pool');

pool('lends so many buffers of its size, and no more', () => {
  const buffers = createBufferPool(2, 100);
  const [one, other] = [buffers.take(), buffers.take()];
  assert.equal([one.length, other.length], [100, 100]);
  assert.is.not(one.buffer, other.buffer);
  assert.throws(() => buffers.take(), /no buffer is free/);
});

pool('lends memory that another thread sees without its changing owner', () => {
  const one = createBufferPool(1, 100).take();
  const elsewhere = structuredClone(one);
  one[7] = 42;
  assert.is(elsewhere[7], 42);
});

pool('takes back a view, and lends the whole buffer again', () => {
  const buffers = createBufferPool(1, 100);
  const { buffer } = buffers.take();
  buffers.giveBack(Buffer.from(buffer, 0, 10));
  const again = buffers.take();
  assert.is(again.buffer, buffer);
  assert.is(again.length, 100);
});

pool('is ready while a buffer is free', async () => {
  const buffers = createBufferPool(2, 100);
  await buffers.ready();
  const first = buffers.take();
  await buffers.ready();
  buffers.take();
  const ready = buffers.ready();
  assert.is(await isSettled(ready), false);
  buffers.giveBack(first);
  await ready;
});

pool('wakes one who waits for each buffer that comes back', async () => {
  const buffers = createBufferPool(1, 100);
  const first = buffers.take();
  const waiting = [1, 2].map(() => buffers.ready().then(() => buffers.take()));
  buffers.giveBack(first);
  const again = await Promise.race(waiting);
  assert.equal(await Promise.all(waiting.map(isSettled)), [true, false]);
  buffers.giveBack(again);
  await Promise.all(waiting);
});

pool('keeps what it has promised when fewer may exist from then on', async () => {
  const buffers = createBufferPool(3, 100);
  const taken = [buffers.take(), buffers.take(), buffers.take()];
  buffers.giveBack(taken.pop()!);
  await buffers.ready();
  buffers.limit(1);
  buffers.giveBack(taken.pop()!);
  buffers.take();
  const ready = buffers.ready();
  assert.is(await isSettled(ready), false, 'two are out, and one may be');
  for (const one of taken) buffers.giveBack(one);
  assert.is(await isSettled(ready), false, 'the promised one is still out');
});

pool('is dry when all are out but the one that was found ready', async () => {
  const buffers = createBufferPool(2, 100);
  const one = buffers.take();
  assert.not(buffers.isDry());
  await buffers.ready();
  assert.ok(buffers.isDry(), 'the other one is as good as taken');
  buffers.giveBack(one);
  assert.not(buffers.isDry());
  buffers.take();
  buffers.take();
  assert.ok(buffers.isDry());
});

pool.run();

const limit = suite('a limit of batches');

limit('lets one more be made when one is settled, and fewer or more from then on', async () => {
  const { ready, made, settled } = createBatchLimit(2);
  for (const _ of [1, 2]) {
    await ready();
    made();
  }
  let waiting = ready();
  assert.is(await isSettled(waiting), false, 'two are on their way');
  settled(1);
  assert.is(await isSettled(waiting), false, 'one is, and one may be');
  settled(1);
  assert.is(await isSettled(waiting), true);
  made();
  waiting = ready();
  assert.is(await isSettled(waiting), false);
  settled(3);
  for (const _ of [1, 2, 3]) {
    await ready();
    made();
  }
  assert.is(await isSettled(ready()), false, 'three are');
});

limit.run();

const turns = suite('batches that are made turn by turn');

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

turns('are the same, without the moments in between', async () => {
  const made = packItems(itemsOf(fileInHand(1), NAMES));
  const batches = await Array.fromAsync(takeTurns(made, { ready: async () => {} }));
  assert.equal(
    batches.map(({ number }) => number),
    [1, 2, 3],
  );
});

turns('wait until a buffer is free, and then go on', async () => {
  const buffers = createBufferPool(2, 64 * 1024);
  const made = packItems(itemsOf(fileInHand(1), NAMES), { takeBuffer: buffers.take });
  const batches = takeTurns(made, { ready: buffers.ready });
  const taken: Batch[] = [];
  for (const _ of [1, 2]) taken.push((await batches.next()).value!);
  const third = batches.next();
  assert.is(await isSettled(third), false, 'both are out');
  buffers.giveBack(taken[0]!.pack!.bytes);
  assert.is((await third).value?.number, 3);
});

turns('wait for what has not arrived, and hold no thread up meanwhile', async () => {
  const items = [...itemsOf(fileInHand(1), NAMES)];
  const arrived = createArrivals<ReadItem>();
  const arriving = function* (): Generator<ReadItem | null> {
    for (let count = 0; count < items.length; ) {
      const item = arrived.take() ?? null;
      if (item !== null) count += 1;
      yield item;
    }
  };
  let steps = 0;
  const counted = function* () {
    for (const step of packSteps(arriving())) {
      steps += 1;
      yield step;
    }
  };
  const batches = takeTurns(counted(), { ready: async () => {}, arrival: arrived.wait });
  const first = batches.next();
  for (const item of items.slice(0, 2)) arrived.push(item);
  assert.is(await isSettled(first), false, 'two chunks are no pack');
  const before = steps;
  await isSettled(first);
  assert.is(steps, before, 'who waits takes no steps');
  for (const item of items.slice(2)) arrived.push(item);
  assert.is((await first).value?.number, 1);
  assert.equal(
    (await Array.fromAsync(batches)).map(({ number }) => number),
    [2, 3],
  );
});

turns('have something around all that is done in one', async () => {
  const depths: number[] = [];
  let depth = 0;
  const made = function* (): Generator<Batch | null> {
    for (const batch of packItems(itemsOf(fileInHand(1), NAMES))) {
      depths.push(depth);
      yield batch;
    }
  };
  const during = <Result>(turn: () => Result): Result => {
    depth += 1;
    try {
      return turn();
    } finally {
      depth -= 1;
    }
  };
  for await (const _ of takeTurns(made(), { ready: async () => {}, during })) assert.is(depth, 0);
  assert.ok(depths.length > 3 && depths.every((one) => one === 1));
});

turns('let others have theirs', async () => {
  const slow = function* (): Generator<Batch | null> {
    for (let count = 0; count < 5; count += 1) {
      for (const until = performance.now() + 5; performance.now() < until; );
      yield null;
    }
  };
  let others = 0;
  let done = false;
  const other = async () => {
    for (; !done; others += 1) await setImmediate();
  };
  void other();
  assert.equal(await Array.fromAsync(takeTurns(slow(), { ready: async () => {} })), []);
  done = true;
  assert.ok(others >= 2, 'not a moment in 25 ms');
});

turns('end what makes them when nobody wants more', async () => {
  let ended = false;
  const made = function* (): Generator<Batch | null> {
    try {
      yield* packItems(itemsOf(fileInHand(1), NAMES));
    } finally {
      ended = true;
    }
  };
  const batches = takeTurns(made(), { ready: async () => {} });
  await batches.next();
  await batches.return();
  assert.ok(ended);
});

turns.run();

const known = suite('the chunks that are known');

known('are durable, on their way, or new', () => {
  const durable = idOf('a');
  const chunks = createKnownChunks((id) => id.equals(durable));
  chunks.expect(idOf('b'), 7);
  assert.equal(
    [chunks.find(idOf('a')), chunks.find(idOf('b')), chunks.find(idOf('c'))],
    ['durable', 7, null],
  );
});

known('are the journal’s business once their batch is settled, and only then', () => {
  const recorded = new Set<string>();
  const chunks = createKnownChunks((id) => recorded.has(id.toString('hex')));
  chunks.expect(idOf('a'), 1);
  chunks.expect(idOf('b'), 1);
  chunks.expect(idOf('c'), 2);
  recorded.add(idOf('a').toString('hex'));
  assert.is(chunks.find(idOf('a')), 1);
  chunks.settle(1);
  assert.equal(
    [chunks.find(idOf('a')), chunks.find(idOf('b')), chunks.find(idOf('c'))],
    ['durable', null, 2],
  );
  chunks.settle(1);
});

known.run();
