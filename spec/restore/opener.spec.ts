import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HEADER_BYTES } from '../../lib/format/envelope.ts';
import { chunkId, repositoryKeys } from '../../lib/format/keys.ts';
import { createPackBuilder } from '../../lib/format/pack.ts';
import type { SealedSpan } from '../../lib/repository/chunks.ts';
import { EntryError, reasonOf } from '../../lib/restore/failure.ts';
import { createOpener, type Opener } from '../../lib/restore/opener.ts';
import type { FrameToOpen, Opened, ToOpener } from '../../lib/restore/opener-messages.ts';
import { openTarget } from '../../lib/restore/target.ts';
import { testMaster } from '../format/fixtures.ts';
import { withFolder } from '../helpers/temporary.ts';

const keys = repositoryKeys(testMaster());
/** Less than an answer of the thread, as much, more; and nothing. */
const SIZES = [1, 0, 1000, 512 * 1024 - 1001, 512 * 1024, 3, 700_000, 512 * 1024 + 1, 5];

/** A pack of such chunks, as the remote would give all of it. */
function sealed(chunks: readonly Buffer[], ids = chunks.map((chunk) => chunkId(keys, chunk))) {
  const total = chunks.reduce((sum, { length }) => sum + length, 0);
  const builder = createPackBuilder(keys, Buffer.allocUnsafeSlow(total + 200 * chunks.length + 100_000));
  chunks.forEach((chunk, index) => {
    builder.add(ids[index]!, 0, chunk);
  });
  const { bytes, entries } = builder.seal();
  return (): SealedSpan<FrameToOpen> => ({
    name: 'packs/it',
    header: Buffer.from(bytes.subarray(0, HEADER_BYTES)),
    bytes: Buffer.from(bytes),
    range: { offset: 0, length: bytes.length },
    frames: entries.map((entry, position) => ({ ...entry, position, whole: null })),
  });
}

/** What is opened is good only until the next one is asked for, so each is copied. */
async function readAll(opened: AsyncIterable<Opened<FrameToOpen>[]>) {
  const read: { readonly position: number; readonly chunk: Buffer | null; readonly damage: string | null }[] =
    [];
  for await (const some of opened) {
    for (const { frame, chunk, damage } of some) {
      read.push({
        position: frame.position,
        chunk: chunk && Buffer.from(chunk),
        damage: damage?.message ?? null,
      });
    }
  }
  return read;
}

function expected(chunks: readonly Buffer[]) {
  return chunks.map((chunk, position) => ({ position, chunk, damage: null }));
}

const NO_TARGET = {
  root: { folder: { fd: null, at: '/nowhere' }, base: '/nowhere' },
  overwrite: 'never',
  asRoot: false,
  tag: '1-00000000',
} as const;

function create(threads: number): Opener {
  return createOpener({ master: keys.master, ...NO_TARGET }, threads);
}

async function withOpener(use: (opener: Opener) => Promise<void>, threads = 2): Promise<void> {
  const opener = create(threads);
  try {
    await use(opener);
  } finally {
    await opener.stop();
  }
}

const opener = suite('the threads that open chunks');

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
    for await (const some of opener.open(sealed(chunks)())) if (some.at(-1)!.frame.position > 1) break;
    assert.equal(await readAll(opener.open(sealed(chunks)())), expected(chunks));
  }),
);

interface Target {
  readonly opener: Opener;
  readonly folder: string;
}

/** Lends an opener that writes into a folder. */
async function withTarget(use: (target: Target) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const target = openTarget(folder);
    const opener = createOpener({
      master: keys.master,
      root: target.root,
      overwrite: 'never',
      asRoot: false,
      tag: '1-0123abcd',
    });
    try {
      await use({ opener, folder });
    } finally {
      await opener.stop();
      target.close();
    }
  });
}

/** Chunks of which those with a path are files. */
function sealedFiles(chunks: readonly (readonly [path: string | null, content: Buffer])[]) {
  const span = sealed(chunks.map(([, content]) => content))();
  const frames = span.frames.map((frame, index): FrameToOpen => {
    const [path, { length: size }] = chunks[index]!;
    const facts = { size, mode: 0o640, uid: 0, gid: 0, mtimeUs: 1_700_000_000_123_456 };
    return { ...frame, whole: path === null ? null : { ...facts, path: Buffer.from(path) } };
  });
  return { ...span, frames };
}

opener('writes files that consist of one chunk, and gives the other chunks', () =>
  withTarget(async ({ opener, folder }) => {
    const contents = SIZES.map((size) => randomBytes(size));
    const isFile = (index: number) => index % 3 !== 1;
    const span = sealedFiles(
      contents.map((content, index) => [isFile(index) ? `/s/${index} ä` : null, content]),
    );
    mkdirSync(join(folder, 's'));
    let count = 0;
    for await (const some of opener.open(span)) {
      for (const { frame, chunk, written } of some) {
        assert.is(frame, span.frames[count]);
        if (isFile(count)) assert.equal([chunk, written], [null, { failure: null, refused: null }]);
        else assert.equal([chunk?.equals(contents[count]!), written], [true, null]);
        count += 1;
      }
    }
    assert.is(count, SIZES.length);
    const files = contents.flatMap((content, index) =>
      isFile(index) ? [[`${index} ä`, content] as const] : [],
    );
    assert.equal(
      readdirSync(join(folder, 's')).sort(),
      files.map(([name]) => name),
    );
    for (const [name, content] of files) {
      assert.ok(readFileSync(join(folder, 's', name)).equals(content), name);
      const { mode, mtimeNs } = statSync(join(folder, 's', name), { bigint: true });
      assert.equal([mode & 0o7777n, mtimeNs / 1000n], [0o640n, 1_700_000_000_123_456n]);
    }
  }),
);

opener('says of each file why it was not written, and leaves nothing of it', () =>
  withTarget(async ({ opener, folder }) => {
    writeFileSync(join(folder, 'taken'), 'what was there');
    const long = 'n'.repeat(300);
    const names = ['/first', '/taken', `/${long}`, '/damaged', '/last'];
    const span = sealedFiles(names.map((name) => [name, Buffer.from(name)]));
    span.bytes[span.frames[3]!.offset]! ^= 1;
    const [first, taken, tooLong, damaged, last] = (await Array.fromAsync(opener.open(span))).flat();
    assert.equal([first!.written, last!.written], Array(2).fill({ failure: null, refused: null }));
    assert.instance(taken!.written!.failure, EntryError);
    assert.is(taken!.written!.failure!.message, 'another file is there already');
    assert.is((tooLong!.written!.failure as NodeJS.ErrnoException).code, 'ENAMETOOLONG');
    assert.is(reasonOf(tooLong!.written!.failure, 'it'), 'name too long');
    assert.match(damaged!.damage!.message, /its bytes have changed$/);
    assert.equal(readdirSync(folder).sort(), ['first', 'last', 'taken']);
    assert.is(readFileSync(join(folder, 'taken'), 'utf8'), 'what was there');
  }),
);

opener('gives some of many tiny files before it has written all, and those behind them afterwards', () =>
  withTarget(async ({ opener, folder }) => {
    const count = 5000; // 64 kB, which no machine writes as files in the time one answer has
    const span = sealedFiles(Array.from({ length: count }, (_, n) => [`/${n}`, Buffer.from(`content ${n}`)]));
    const lots = (await Array.fromAsync(opener.open(span))).map(({ length }) => length);
    assert.ok(lots[0]! < count, `${lots}`);
    assert.is(
      lots.reduce((sum, length) => sum + length, 0),
      count,
    );
    assert.is(readdirSync(folder).length, count);
  }),
);

opener('divides many frames among its threads, and gives them in their order', async () => {
  const told: string[][] = [];
  const onWorker = (worker: Worker) => {
    const own: string[] = [];
    told.push(own);
    const { postMessage } = worker;
    worker.postMessage = (message: ToOpener, transfer) => {
      own.push(message.type);
      postMessage.call(worker, message, transfer);
    };
  };
  process.on('worker', onWorker);
  try {
    await withTarget(async ({ opener, folder }) => {
      opener.begin();
      await new Promise(setImmediate); // it is told of a moment later
      const names = Array.from({ length: 2001 }, (_, n) => `/${n}`);
      const span = sealedFiles(names.map((name) => [name, Buffer.from(name)]));
      const opened = (await Array.fromAsync(opener.open(span))).flat();
      assert.equal(
        opened.map(({ frame }) => frame.position),
        names.map((_, n) => n),
      );
      for (const name of names) assert.is(readFileSync(join(folder, name), 'utf8'), name);
    });
    // What comes after files is not asked for: nobody has to hold it.
    assert.equal(told, Array(2).fill(['span', 'more', 'stop']));
    await withOpener(async (opener) => {
      opener.begin();
      await new Promise(setImmediate);
      const chunks = Array.from({ length: 301 }, (_, n) => randomBytes(n * 20));
      const spans = () => told.flat().filter((type) => type === 'span').length;
      // Of a chunk that is large when it is opened no other is held beside it.
      for (const [largest, parts] of [
        [6000, 2],
        [1024 * 1024, 2],
        [1024 * 1024 + 1, 1],
      ] as const) {
        const before = spans();
        const some = [...chunks, randomBytes(largest)];
        assert.equal(await readAll(opener.open(sealed(some)())), expected(some));
        assert.is(spans() - before, parts, `${largest} bytes`);
      }
    });
  } finally {
    process.off('worker', onWorker);
  }
});

opener('writes no more files once it is to stop', () =>
  withTarget(async ({ opener, folder }) => {
    const count = 5000;
    const span = sealedFiles(Array.from({ length: count }, (_, n) => [`/${n}`, Buffer.from(`content ${n}`)]));
    const reading = opener.open(span).next();
    reading.catch(() => {});
    await opener.stop();
    const written = readdirSync(folder).length;
    assert.ok(written < count, `${written}`);
  }),
);

opener('does not wait for its thread when it is to stop', () =>
  withOpener(async (opener) => {
    const stop = new AbortController();
    const reading = opener.open(sealed([Buffer.from('one')])(), stop.signal).next();
    stop.abort(); // before the thread can have answered: it has not begun
    const error = await reading.catch((thrown: unknown) => thrown);
    assert.is(error, stop.signal.reason);
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
      assert.is(started, 2);
      opener.begin();
      for (const text of ['one', 'two']) await readAll(opener.open(sealed([Buffer.from(text)])()));
    });
    await withOpener(async (opener) => void (await readAll(opener.open(sealed([Buffer.from('one')])()))));
    assert.is(started, 4);
  } finally {
    process.off('worker', onWorker);
  }
});

opener('fails what waits for it when it has ended', async () => {
  const opener = create(1);
  opener.begin();
  await opener.stop();
  const failure = await readAll(opener.open(sealed([Buffer.from('one')])())).catch((error) => error);
  assert.match(String(failure), /opener-thread has ended/);
});

opener('fails all that waits for it when it breaks, and whatever comes later', async () => {
  const opener = create(1);
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
