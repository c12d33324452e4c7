import { randomBytes } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HEADER_BYTES } from '../../lib/format/envelope.ts';
import { chunkId, repositoryKeys } from '../../lib/format/keys.ts';
import { createPackBuilder } from '../../lib/format/pack.ts';
import type { Frame, OpenedFrame, SealedSpan } from '../../lib/repository/chunks.ts';
import { createOpener, type Opener } from '../../lib/repository/opener.ts';
import { testMaster } from '../format/fixtures.ts';

const keys = repositoryKeys(testMaster());
/** Less than an answer of the thread, as much, more; and nothing. */
const SIZES = [1, 0, 1000, 512 * 1024 - 1001, 512 * 1024, 3, 700_000, 512 * 1024 + 1, 5];

/** A pack of such chunks, as the remote would give all of it. */
function sealed(chunks: readonly Buffer[], ids = chunks.map((chunk) => chunkId(keys, chunk))) {
  const total = chunks.reduce((sum, { length }) => sum + length, 0);
  const builder = createPackBuilder(keys, Buffer.allocUnsafeSlow(total + 100_000));
  chunks.forEach((chunk, index) => {
    builder.add(ids[index]!, 0, chunk);
  });
  const { bytes, entries } = builder.seal();
  return (): SealedSpan<Frame> => ({
    name: 'packs/it',
    header: Buffer.from(bytes.subarray(0, HEADER_BYTES)),
    bytes: Buffer.from(bytes),
    range: { offset: 0, length: bytes.length },
    frames: entries.map((entry, position) => ({ ...entry, position })),
  });
}

/** What is opened is good only until the next one is asked for, so each is copied. */
async function readAll(opened: AsyncIterable<OpenedFrame>) {
  const read: { readonly position: number; readonly chunk: Buffer | null; readonly damage: string | null }[] =
    [];
  for await (const { frame, chunk, damage } of opened) {
    read.push({
      position: frame.position,
      chunk: chunk && Buffer.from(chunk),
      damage: damage?.message ?? null,
    });
  }
  return read;
}

function expected(chunks: readonly Buffer[]) {
  return chunks.map((chunk, position) => ({ position, chunk, damage: null }));
}

async function withOpener(use: (opener: Opener) => Promise<void>): Promise<void> {
  const opener = createOpener(keys);
  try {
    await use(opener);
  } finally {
    await opener.stop();
  }
}

const opener = suite('the thread that opens chunks');

opener('gives each chunk in its place, whatever their sizes', () =>
  withOpener(async (opener) => {
    const chunks = SIZES.map((size) => randomBytes(size));
    assert.equal(await readAll(opener.open(sealed(chunks)())), expected(chunks));
  }),
);

opener('opens what lies in the middle of a pack', () =>
  withOpener(async (opener) => {
    const chunks = SIZES.map((size) => randomBytes(size));
    const whole = sealed(chunks)();
    const frames = whole.frames.slice(2, 5);
    const [start, last] = [frames[0]!.offset, frames.at(-1)!];
    const length = last.offset + last.storedSize - start;
    const bytes = whole.bytes.subarray(start, start + length); // a part of a larger buffer is not taken away
    const span = { ...whole, bytes, range: { offset: start, length }, frames };
    const read = await readAll(opener.open(span));
    assert.equal(read, expected(chunks).slice(2, 5));
    assert.is(bytes.length, length);
  }),
);

opener('keeps apart what is opened at the same time', () =>
  withOpener(async (opener) => {
    const sets = [1, 2, 3, 4].map(() => SIZES.map((size) => randomBytes(size)));
    const read = await Promise.all(sets.map((chunks) => readAll(opener.open(sealed(chunks)()))));
    assert.equal(read, sets.map(expected));
  }),
);

opener('tells of each chunk that is not what its id says, and gives the others', () =>
  withOpener(async (opener) => {
    const chunks = ['one', 'two', 'three'].map((text) => Buffer.from(text));
    const ids = chunks.map((chunk) => chunkId(keys, chunk));
    const lying = sealed(chunks, [ids[0]!, ids[0]!, ids[2]!])();
    const read = await readAll(opener.open(lying));
    assert.equal(
      read.map(({ chunk }) => chunk?.toString()),
      ['one', undefined, 'three'],
    );
    assert.match(read[1]!.damage!, /^read packs\/it: open chunk [0-9a-f]{64}: its bytes were damaged when/);

    const changed = sealed(chunks)();
    changed.bytes[changed.frames[2]!.offset]! ^= 1;
    const [first, second, third] = await readAll(opener.open(changed));
    assert.equal([first!.damage, second!.damage], [null, null]);
    assert.match(third!.damage!, /its bytes have changed$/);
  }),
);

opener('tells of every chunk of what is no pack', () =>
  withOpener(async (opener) => {
    const span = sealed([Buffer.from('one'), Buffer.from('two')])();
    const read = await readAll(opener.open({ ...span, header: Buffer.alloc(HEADER_BYTES) }));
    assert.is(read.length, 2);
    for (const { chunk, damage } of read) {
      assert.is(chunk, null);
      assert.match(damage!, /packs\/it/);
    }
  }),
);

opener('goes on with others when the rest of one is not wanted', () =>
  withOpener(async (opener) => {
    const chunks = SIZES.map((size) => randomBytes(size));
    for await (const { frame } of opener.open(sealed(chunks)())) if (frame.position === 3) break;
    assert.equal(await readAll(opener.open(sealed(chunks)())), expected(chunks));
  }),
);

opener('is not there before it is needed, and is started once', async () => {
  let started = 0;
  const onWorker = () => {
    started += 1;
  };
  process.on('worker', onWorker);
  try {
    await withOpener(async () => {});
    assert.is(started, 0);
    await withOpener(async (opener) => {
      opener.begin();
      await new Promise(setImmediate); // it is told of a moment later
      assert.is(started, 1);
      opener.begin();
      for (const text of ['one', 'two']) await readAll(opener.open(sealed([Buffer.from(text)])()));
    });
    await withOpener(async (opener) => void (await readAll(opener.open(sealed([Buffer.from('one')])()))));
    assert.is(started, 2);
  } finally {
    process.off('worker', onWorker);
  }
});

opener('fails what waits for it when it has ended', async () => {
  const opener = createOpener(keys);
  opener.begin();
  await opener.stop();
  const failure = await readAll(opener.open(sealed([Buffer.from('one')])())).catch((error) => error);
  assert.match(String(failure), /opener-thread has ended/);
});

opener('fails all that waits for it when it breaks, and whatever comes later', async () => {
  const opener = createOpener(keys);
  const span = sealed([Buffer.from('one')]);
  const whole = span();
  const broken = { ...whole, frames: whole.frames.map((frame) => ({ ...frame, position: -1 })) }; // a bug: no frame has it
  const large = sealed(SIZES.map((size) => randomBytes(size)));
  const reading = opener.open(large());
  await reading.next(); // of what was opened at the same time, the rest will not come
  const waiting = [readAll(opener.open(broken)), readAll(reading), readAll(opener.open(large()))].map(
    (read) =>
      read.then(
        () => 'read',
        (error: unknown) => String(error),
      ),
  );
  // Whoever was not told when the thread ended would wait for ever.
  const ended = opener.stop().then(() => new Promise<string>((resolve) => setImmediate(resolve, 'nothing')));
  for (const read of waiting) assert.match(await Promise.race([read, ended]), /^RangeError: /);
  const later = await readAll(opener.open(span())).catch((error) => error);
  assert.instance(later, RangeError);
});

opener.run();
