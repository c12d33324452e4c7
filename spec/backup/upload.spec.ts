import { mock } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Lanes, steadyLanes } from '../../lib/backup/lanes.ts';
import type { Batch } from '../../lib/backup/pack.ts';
import { type UploadDeps, upload } from '../../lib/backup/upload.ts';
import { InterruptedError, RemoteError } from '../../lib/errors.ts';
import type { ProgressEvent } from '../../lib/progress.ts';
import { type MemoryRemote, memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { assertRejects } from '../format/fixtures.ts';
import { batchesOf, fileInHand, itemsOf } from './fixtures.ts';

const LANES = 3;

/** Batches 1 to `count`, one chunk to a pack. */
function makeBatches(count: number): Batch[] {
  const names = Array.from({ length: count }, (_, index) => `chunk ${index}`);
  const batches = batchesOf(itemsOf(fileInHand(1), names), { targetBytes: () => 1000 });
  return batches.slice(0, count);
}

async function* each(batches: readonly Batch[]): AsyncGenerator<Batch, void, void> {
  yield* batches;
}

interface Log {
  readonly expected: number[];
  readonly settled: number[];
  readonly events: ProgressEvent[];
}

/** @returns what was called, and the promise of the whole */
function start(batches: AsyncIterator<Batch>, remote: Remote, options: Partial<UploadDeps> = {}) {
  const log: Log = { expected: [], settled: [], events: [] };
  const done = upload(batches, {
    remote,
    lanes: steadyLanes(LANES),
    progress: (event) => void log.events.push(event),
    signal: new AbortController().signal,
    expect: ({ number }) => void log.expected.push(number),
    settle: ({ number }) => void log.settled.push(number),
    ...options,
  });
  done.catch(() => {}); // looked at later
  return { ...log, done };
}

/** A memory remote whose puts wait until they are let go, or fail; an abort ends them as it has to. */
function gatedRemote(): MemoryRemote & {
  /** The packs whose puts wait, in their order. */
  readonly waiting: string[];
  release(index: number, error?: Error): Promise<void>;
} {
  const remote = memoryRemote();
  const gates: { name: string; open: (error?: Error) => void }[] = [];
  return {
    ...remote,
    get waiting() {
      return gates.map(({ name }) => name);
    },
    async release(index, error) {
      gates.splice(index, 1)[0]!.open(error);
      await rest();
    },
    async put(name, bytes, options) {
      await new Promise<void>((resolve, reject) => {
        const open = (error?: Error) => (error ? reject(error) : resolve());
        gates.push({ name, open });
        options?.signal?.addEventListener('abort', () => {
          gates.splice(
            gates.findIndex((gate) => gate.open === open),
            1,
          );
          reject(options.signal?.reason);
        });
      });
      await remote.put(name, bytes, options);
    },
  };
}

/** Lets everything happen that needs no more than turns of the event loop. */
async function rest(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await setImmediate();
}

const LINE_CUT = new RemoteError('put pack: the line was cut', { retryable: true });

const uploading = suite('an upload');

uploading('puts every pack under the name of its content, and settles each batch once', async () => {
  const batches = makeBatches(10);
  const remote = memoryRemote();
  const { expected, settled, done } = start(each(batches), remote);
  await done;
  const numbers = batches.map(({ number }) => number);
  assert.equal(expected, numbers);
  assert.equal(
    settled.toSorted((a, b) => a - b),
    numbers,
  );
  const names = batches.map(({ pack }) => `packs/${pack!.name.slice(0, 2)}/${pack!.name}`);
  assert.equal([...remote.objects.keys()].sort(), names.toSorted());
  for (const [index, name] of names.entries())
    assert.equal(remote.objects.get(name), batches[index]!.pack!.bytes);
});

uploading('sends as many at once as there are lanes, each lane one after another', async () => {
  const remote = gatedRemote();
  const { expected, settled, done } = start(each(makeBatches(5)), remote);
  await rest();
  assert.equal([expected, settled, remote.waiting.length], [[1, 2, 3], [], 3]);
  await remote.release(1);
  assert.equal([expected, settled, remote.waiting.length], [[1, 2, 3, 4], [2], 3]);
  while (remote.waiting.length > 0) await remote.release(0);
  await done;
  assert.is(settled.length, 5);
});

uploading('settles a batch only when its put has resolved', async () => {
  const remote = gatedRemote();
  const { settled, done } = start(each(makeBatches(1)), remote);
  await rest();
  assert.equal(settled, []);
  await remote.release(0);
  assert.equal(settled, [1]);
  await done;
});

uploading('settles a batch that has no pack without asking the remote', async () => {
  const batch = { ...makeBatches(1)[0]!, pack: null };
  const remote = gatedRemote();
  const { settled, done } = start(each([batch]), remote);
  await done;
  assert.equal([settled, remote.waiting], [[1], []]);
});

uploading('shows what each lane sends, and that it rests at last', async () => {
  const [batch] = makeBatches(1);
  const { events, done } = start(each([batch!]), memoryRemote(), { lanes: steadyLanes(1) });
  await done;
  const sizeBytes = batch!.pack!.bytes.length;
  const lane = (sentBytes: number) => ({
    type: 'lane',
    lane: 0,
    pack: { file: '/home/docs/1', sentBytes, sizeBytes },
  });
  assert.equal(events, [lane(0), lane(sizeBytes), { type: 'lane', lane: 0, pack: null }]);
});

uploading('tells what it put and that it took some time', async () => {
  const puts: [number, number][] = [];
  const batches = makeBatches(2);
  const onPut = (bytes: number, ms: number) => void puts.push([bytes, ms]);
  await start(each(batches), memoryRemote(), { onPut }).done;
  assert.equal(
    puts.map(([bytes]) => bytes),
    batches.map(({ pack }) => pack!.bytes.length),
  );
  assert.ok(puts.every(([, ms]) => ms > 0));
});

/** Lanes whose number a spec sets, and which keep what they are told. */
function settableLanes(count: number): Lanes & {
  current: number;
  sentBytes: number;
  pushes: number;
  limits: number[];
  waiting: number;
} {
  const lanes = {
    current: count,
    sentBytes: 0,
    pushes: 0,
    limits: [] as number[],
    waiting: 0,
    count: () => lanes.current,
    sent(bytes: number) {
      lanes.sentBytes += bytes;
    },
    waits() {
      lanes.waiting += 1;
      return () => {
        lanes.waiting -= 1;
      };
    },
    pushedBack() {
      lanes.pushes += 1;
    },
    limited: (to: number) => void lanes.limits.push(to),
  };
  return lanes;
}

uploading('sends more packs at once as soon as there are more lanes', async () => {
  const lanes = settableLanes(1);
  const remote = gatedRemote();
  const { settled, done } = start(each(makeBatches(6)), remote, { lanes });
  await rest();
  assert.is(remote.waiting.length, 1);
  lanes.current = 3;
  await remote.release(0);
  assert.is(remote.waiting.length, 3);
  while (remote.waiting.length > 0) await remote.release(0);
  await done;
  assert.equal(settled, [1, 2, 3, 4, 5, 6]);
});

uploading('lets what is in flight end when there are fewer lanes, and begins no more of it', async () => {
  const lanes = settableLanes(3);
  const remote = gatedRemote();
  const { settled, done } = start(each(makeBatches(6)), remote, { lanes });
  await rest();
  assert.is(remote.waiting.length, 3);
  lanes.current = 1;
  await remote.release(2);
  await remote.release(1);
  assert.is(remote.waiting.length, 1);
  while (remote.waiting.length > 0) await remote.release(0);
  await done;
  assert.equal(settled, [3, 2, 1, 4, 5, 6]);
});

uploading('tells the lanes for how long there is nothing to send', async () => {
  const lanes = settableLanes(2);
  const remote = gatedRemote();
  const { promise: more, resolve: giveMore } = Promise.withResolvers<void>();
  const batches = makeBatches(2);
  async function* late() {
    yield* batches.slice(0, 1);
    await more;
    yield* batches.slice(1);
  }
  const { done } = start(late(), remote, { lanes });
  await rest();
  assert.equal([remote.waiting.length, lanes.waiting], [1, 1]);
  giveMore();
  await rest();
  assert.equal([remote.waiting.length, lanes.waiting], [2, 0]);
  while (remote.waiting.length > 0) await remote.release(0);
  await done;
  assert.is(lanes.waiting, 0);
});

uploading('tells the lanes what went through, when the server has enough, and what it gives', async () => {
  const lanes = settableLanes(1);
  const remote = memoryRemote();
  const [batch] = makeBatches(1);
  const size = batch!.pack!.bytes.length;
  const twice: Remote = {
    ...remote,
    async put(name, bytes, options) {
      options?.onSent?.(size / 2);
      options?.onRetry?.(new RemoteError('cut off', { retryable: true }));
      options?.onRetry?.(new RemoteError('HTTP 429', { retryable: true, pushesBack: true }));
      options?.onLimit?.(3);
      options?.onSent?.(0);
      await remote.put(name, bytes, options);
    },
  };
  await start(each([batch!]), twice, { lanes }).done;
  assert.equal([lanes.sentBytes, lanes.pushes, lanes.limits], [1.5 * size, 1, [3]]);
});

uploading.run();

const failing = suite('a lane that fails');

failing('stops the others at the end of what they have in flight, which is settled', async () => {
  const remote = gatedRemote();
  const { expected, settled, done } = start(each(makeBatches(9)), remote);
  await rest();
  await remote.release(1, LINE_CUT);
  assert.is(remote.waiting.length, 2, 'nothing new is begun');
  await remote.release(0);
  await remote.release(0);
  await assertRejects(() => done, RemoteError, /the line was cut/);
  assert.equal(
    [expected, settled],
    [
      [1, 2, 3],
      [1, 3],
    ],
  );
});

failing('leaves what was settled before', async () => {
  const remote = gatedRemote();
  const { settled, done } = start(each(makeBatches(9)), remote);
  await rest();
  for (const _ of [1, 2, 3, 4]) await remote.release(0);
  await remote.release(0, LINE_CUT);
  while (remote.waiting.length > 0) await remote.release(0);
  await assertRejects(() => done, RemoteError);
  assert.equal(settled, [1, 2, 3, 4, 6, 7]);
});

failing('is what is told, also when the others had to be abandoned', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const remote = gatedRemote();
    const { settled, done } = start(each(makeBatches(9)), remote);
    await rest();
    await remote.release(1, LINE_CUT);
    mock.timers.tick(2999);
    await rest();
    assert.is(remote.waiting.length, 2, 'they have their time');
    mock.timers.tick(1);
    await rest();
    await assertRejects(() => done, RemoteError, /the line was cut/);
    assert.equal(settled, []);
  } finally {
    mock.timers.reset();
  }
});

failing('is what is told when another fails after it', async () => {
  const remote = gatedRemote();
  const { done } = start(each(makeBatches(9)), remote);
  await rest();
  await remote.release(2, LINE_CUT);
  await remote.release(0, new RemoteError('put pack: something else', { retryable: true }));
  await remote.release(0);
  await assertRejects(() => done, RemoteError, /the line was cut/);
});

for (const step of ['expect', 'settle'] as const) {
  failing(`because its ${step} threw stops the upload`, async () => {
    const fail = () => {
      throw new Error('the disk is full');
    };
    const { done } = start(each(makeBatches(9)), memoryRemote(), { [step]: fail });
    let message = '';
    await done.catch((error: Error) => (message = error.message));
    assert.is(message, 'the disk is full');
  });
}

failing('while another waits for the next batch does not wait for that', async () => {
  const [first] = makeBatches(1);
  let returned = false;
  const batches: AsyncIterator<Batch> = {
    next: async () => ({ done: false, value: first! }),
    return: () => {
      returned = true;
      return new Promise(() => {}); // as a generator that waits for a slow disk
    },
  };
  let calls = 0;
  const remote = gatedRemote();
  const slow = {
    ...batches,
    next: () => {
      calls += 1;
      return calls === 1 ? batches.next() : new Promise<never>(() => {});
    },
  };
  const { done } = start(slow, remote);
  await rest();
  await remote.release(0, LINE_CUT);
  await assertRejects(() => done, RemoteError, /the line was cut/);
  assert.ok(returned, 'what makes the batches is told to end');
});

failing('to make batches stops the upload with its error', async () => {
  const batches = async function* (): AsyncGenerator<Batch, void, void> {
    yield* makeBatches(2);
    throw new Error('the packer broke');
  };
  const { settled, done } = start(batches(), memoryRemote());
  let message = '';
  await done.catch((error: Error) => (message = error.message));
  assert.is(message, 'the packer broke');
  assert.equal(settled, [1, 2]);
});

failing.run();

const interrupted = suite('an upload that is interrupted');

interrupted('begins nothing when it was interrupted before', async () => {
  const { expected, done } = start(each(makeBatches(3)), memoryRemote(), { signal: AbortSignal.abort() });
  await assertRejects(() => done, InterruptedError, /^back up: interrupted$/);
  assert.equal(expected, []);
});

interrupted('lets what is in flight end, and settles it', async () => {
  const abort = new AbortController();
  const remote = gatedRemote();
  const { expected, settled, done } = start(each(makeBatches(9)), remote, { signal: abort.signal });
  await rest();
  abort.abort();
  for (const _ of [1, 2, 3]) await remote.release(0);
  await assertRejects(() => done, InterruptedError);
  assert.equal(
    [expected, settled],
    [
      [1, 2, 3],
      [1, 2, 3],
    ],
  );
});

interrupted('abandons what has not ended after three seconds', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const abort = new AbortController();
    const remote = gatedRemote();
    const { settled, done } = start(each(makeBatches(9)), remote, { signal: abort.signal });
    await rest();
    abort.abort();
    await remote.release(1);
    mock.timers.tick(2999);
    await rest();
    assert.is(remote.waiting.length, 2);
    mock.timers.tick(1);
    await assertRejects(() => done, InterruptedError);
    assert.equal([settled, remote.waiting], [[2], []]);
    assert.is(remote.objects.size, 1);
  } finally {
    mock.timers.reset();
  }
});

interrupted('does not wait for a batch that is being made', async () => {
  const abort = new AbortController();
  const slow: AsyncIterator<Batch> = {
    next: () => new Promise(() => {}),
    return: () => new Promise(() => {}),
  };
  const { done } = start(slow, memoryRemote(), { signal: abort.signal });
  await rest();
  abort.abort();
  await assertRejects(() => done, InterruptedError);
});

interrupted('does not send a batch that comes after that', async () => {
  const abort = new AbortController();
  const [batch] = makeBatches(1);
  const batches = async function* (): AsyncGenerator<Batch, void, void> {
    abort.abort();
    yield batch!;
  };
  const remote = memoryRemote();
  const { expected, done } = start(batches(), remote, { signal: abort.signal });
  await assertRejects(() => done, InterruptedError);
  assert.equal([expected, remote.objects.size], [[], 0]);
});

interrupted.run();
