import { randomBytes } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError, RemoteError } from '../../lib/errors.ts';
import { chunkId } from '../../lib/format/keys.ts';
import { createPackBuilder } from '../../lib/format/pack.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { type Frame, free, type OpenedFrame, readFrames } from '../../lib/repository/chunks.ts';
import { packName, type Repository } from '../../lib/repository/repository.ts';
import { type Bench, noise, withBench } from '../restore/fixtures.ts';

interface Packed {
  readonly chunks: readonly Buffer[];
  readonly frames: readonly Frame[];
  readonly pack: { readonly name: Buffer; readonly size: number };
  readonly name: string;
}

/** Puts one pack of these chunks; `ids` in place of their own where a spec lies. */
async function putPack(
  { repository, remote }: Bench,
  chunks: readonly Buffer[],
  ids?: readonly Buffer[],
): Promise<Packed> {
  const total = chunks.reduce((sum, { length }) => sum + length, 0);
  const builder = createPackBuilder(repository.keys, Buffer.alloc(total + 100_000));
  chunks.forEach((chunk, index) => {
    builder.add(ids?.[index] ?? chunkId(repository.keys, chunk), 0, chunk);
  });
  const { name, bytes, entries } = builder.seal();
  await remote.put(packName(name), bytes);
  return {
    chunks,
    frames: entries.map((entry, position) => ({ ...entry, position })),
    pack: { name: Buffer.from(name, 'hex'), size: bytes.length },
    name: packName(name),
  };
}

/** A repository that writes down what it is asked for. */
function watched(bench: Bench): { readonly repository: Repository; readonly asked: string[] } {
  const asked: string[] = [];
  const remote: Remote = {
    ...bench.remote,
    get(name, range) {
      asked.push(range === undefined ? 'all' : `${range.offset}+${range.length}`);
      return bench.remote.get(name, range);
    },
  };
  return { repository: { ...bench.repository, remote }, asked };
}

async function read(
  repository: Repository,
  { pack }: Packed,
  frames: readonly Frame[],
): Promise<OpenedFrame[]> {
  return Array.fromAsync(readFrames(repository, pack, frames));
}

const MIB = 1024 * 1024;
const reading = suite('the frames of a pack');

reading('come opened, in their order', () =>
  withBench(async (bench) => {
    const packed = await putPack(bench, [noise(10, 'a'), noise(70_000, 'b'), noise(1, 'c')]);
    const opened = await read(bench.repository, packed, packed.frames);
    assert.equal(
      opened.map(({ frame }) => frame),
      packed.frames,
    );
    opened.forEach(({ chunk }, index) => {
      assert.ok(chunk?.equals(packed.chunks[index]!));
    });
  }),
);

reading('are one request when most of the pack is needed', () =>
  withBench(async (bench) => {
    const packed = await putPack(
      bench,
      Array.from({ length: 8 }, (_, n) => noise(400_000, String(n))),
    );
    const { repository, asked } = watched(bench);
    const seven = packed.frames.filter((_, index) => index !== 3);
    assert.is((await read(repository, packed, seven)).length, 7);
    assert.equal(asked, [`0+${packed.pack.size}`]);
  }),
);

reading(
  'that lie near one another are one request, far ones another, and the header comes with the first or alone',
  () =>
    withBench(async (bench) => {
      const packed = await putPack(
        bench,
        Array.from({ length: 40 }, (_, n) => noise(100_000, String(n))),
      );
      const at = (index: number) => packed.frames[index]!;
      const end = (index: number) => at(index).offset + at(index).storedSize;
      for (const [needed, requests] of [
        [[0], [`0+${end(0)}`]],
        [[2], [`0+${end(2)}`]],
        [[3], [`${at(3).offset}+${at(3).storedSize}`, '0+41']],
        [
          [0, 2, 4, 20, 22],
          [`0+${end(4)}`, `${at(20).offset}+${end(22) - at(20).offset}`],
        ],
        [
          [10, 30],
          [`${at(10).offset}+${at(10).storedSize}`, '0+41', `${at(30).offset}+${at(30).storedSize}`],
        ],
      ] as const) {
        const { repository, asked } = watched(bench);
        const opened = await read(repository, packed, needed.map(at));
        assert.ok(opened.every(({ chunk }, index) => chunk?.equals(packed.chunks[needed[index]!]!)));
        assert.equal(asked, requests, needed.join());
      }
    }),
);

reading('of a large pack come in answers of bounded size', () =>
  withBench(async (bench) => {
    const packed = await putPack(
      bench,
      Array.from({ length: 8 }, () => randomBytes(4 * MIB)),
    );
    const { repository, asked } = watched(bench);
    const opened = await read(repository, packed, packed.frames);
    assert.ok(opened.every(({ chunk }, index) => chunk?.equals(packed.chunks[index]!)));
    const lengths = asked.map((range) => Number(range.split('+')[1]));
    assert.ok(lengths.length > 1 && lengths.every((length) => length <= 5 * MIB), lengths.join());
  }),
);

reading('of a large pack are asked for one answer ahead, and no further', () =>
  withBench(async (bench) => {
    const packed = await putPack(
      bench,
      Array.from({ length: 4 }, () => randomBytes(4 * MIB)),
    );
    const { repository, asked } = watched(bench);
    let read = 0;
    for await (const { chunk } of readFrames(repository, packed.pack, packed.frames)) {
      assert.ok(chunk?.equals(packed.chunks[read]!));
      read += 1;
      assert.is(asked.length, Math.min(read + 1, 4), `after ${read}`);
    }
    assert.is(read, 4);
  }),
);

reading('fail where an answer that was asked for ahead does not come', () =>
  withBench(async (bench) => {
    const packed = await putPack(
      bench,
      Array.from({ length: 4 }, () => randomBytes(4 * MIB)),
    );
    const third = packed.frames[2]!.offset;
    const remote: Remote = {
      ...bench.remote,
      async get(name, range) {
        if (range!.offset >= third) throw new RemoteError('get it: the line is down', { retryable: false });
        return bench.remote.get(name, range);
      },
    };
    let read = 0;
    const failure = await (async () => {
      for await (const _ of readFrames({ ...bench.repository, remote }, packed.pack, packed.frames)) {
        read += 1;
        await new Promise(setImmediate); // what nobody catches would end the process here
      }
    })().catch((error: unknown) => String(error));
    assert.equal([read, failure], [2, 'RemoteError: get it: the line is down']);
  }),
);

reading('tell what was fetched', () =>
  withBench(async (bench) => {
    const packed = await putPack(bench, [noise(1000)]);
    let bytes = 0;
    const onFetched = (count: number) => {
      bytes += count;
    };
    await Array.fromAsync(readFrames(bench.repository, packed.pack, packed.frames, { onFetched }));
    assert.is(bytes, packed.pack.size);
  }),
);

reading('tell nothing of what comes when nobody reads any more', () =>
  withBench(async (bench) => {
    const packed = await putPack(
      bench,
      Array.from({ length: 3 }, () => randomBytes(4 * MIB)),
    );
    const ahead = Promise.withResolvers<void>();
    const remote: Remote = {
      ...bench.remote,
      async get(name, range) {
        if (range!.offset > 0) await ahead.promise;
        return bench.remote.get(name, range);
      },
    };
    let told = 0;
    const onFetched = () => {
      told += 1;
    };
    const repository = { ...bench.repository, remote };
    for await (const _ of readFrames(repository, packed.pack, packed.frames, { onFetched })) break;
    ahead.resolve();
    await new Promise(setImmediate);
    assert.is(told, 1);
  }),
);

const damaged = suite('a damaged frame');

damaged('is told with its pack, and the others are read', () =>
  withBench(async (bench) => {
    const packed = await putPack(bench, [noise(1000, 'a'), noise(1000, 'b'), noise(1000, 'c')]);
    bench.remote.objects.get(packed.name)![packed.frames[1]!.offset + 5]! ^= 1;
    const opened = await read(bench.repository, packed, packed.frames);
    assert.equal(
      opened.map(({ damage }) => damage === null),
      [true, false, true],
    );
    assert.instance(opened[1]!.damage, DamagedError);
    assert.match(
      opened[1]!.damage!.message,
      new RegExp(`^read ${packed.name}: open chunk [0-9a-f]{64}: its bytes`),
    );
  }),
);

damaged('is one whose bytes do not have its id, though the seal is right', () =>
  withBench(async (bench) => {
    const packed = await putPack(
      bench,
      [noise(1000, 'a')],
      [chunkId(bench.repository.keys, noise(1000, 'b'))],
    );
    const [opened] = await read(bench.repository, packed, packed.frames);
    assert.match(opened!.damage!.message, /its bytes were damaged when they were stored$/);
  }),
);

damaged('is every one of a pack that is not there', () =>
  withBench(async (bench) => {
    const packed = await putPack(bench, [noise(1000, 'a'), noise(1000, 'b')]);
    bench.remote.objects.clear();
    const opened = await read(bench.repository, packed, packed.frames);
    assert.equal(
      opened.map(({ damage }) => damage?.message),
      Array(2).fill(`read ${packed.name}: it is not on the remote`),
    );
  }),
);

for (const [what, isGone] of [
  ['header', (offset: number) => offset === 0],
  ['frame', (offset: number) => offset > 0],
] as const) {
  damaged(`is one of a pack that goes while it is asked for: there is no ${what}`, () =>
    withBench(async (bench) => {
      const packed = await putPack(
        bench,
        Array.from({ length: 5 }, (_, n) => noise(100_000, String(n))),
      );
      const remote: Remote = {
        ...bench.remote,
        get: async (name, range) => (isGone(range!.offset) ? null : bench.remote.get(name, range)),
      };
      const opened = await read({ ...bench.repository, remote }, packed, [packed.frames[4]!]);
      assert.equal(
        opened.map(({ damage }) => damage?.message),
        [`read ${packed.name}: it is not on the remote`],
      );
    }),
  );
}

const freeing = suite('memory given back');

freeing('is all of a buffer of its own, and nothing of a shared one', () => {
  const own = Buffer.from(new ArrayBuffer(1_000_000));
  free(own);
  assert.is(own.length, 0);
  const whole = Buffer.alloc(100, 1);
  free(whole.subarray(10, 20));
  assert.ok(whole.equals(Buffer.alloc(100, 1)));
});

reading.run();
damaged.run();
freeing.run();
