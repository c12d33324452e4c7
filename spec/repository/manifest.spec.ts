import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError } from '../../lib/errors.ts';
import type { BackupHeader } from '../../lib/format/backup-header.ts';
import { chunkLocation, forgetPacks, knownPacks } from '../../lib/journal/packs.ts';
import { syncIndexes } from '../../lib/repository/indexes.ts';
import { readManifest } from '../../lib/repository/manifest.ts';
import { type Bench, file, folder, store, withBench } from '../restore/fixtures.ts';

/** Their list takes about a hundred chunks. */
const STORED = [
  folder('/s'),
  ...Array.from({ length: 500 }, (_, n) => file(`/s/${String(n).padStart(4, '0')}`, String(n))),
];

function read({ repository, journal, journalRepository }: Bench, header: BackupHeader, signal?: AbortSignal) {
  return readManifest(repository, journal, journalRepository, header, { signal });
}

const failure = (reading: AsyncIterable<unknown>) =>
  Array.fromAsync(reading).then(
    () => null,
    (error: unknown) => error as Error,
  );

const manifest = suite('the manifest of a backup');

manifest('gives the entries in the order of their paths', () =>
  withBench(async (bench) => {
    const entries = await Array.fromAsync(read(bench, await store(bench, STORED)));
    assert.equal(
      entries.map(({ path }) => path.toString()),
      STORED.map(({ entry }) => entry.path.toString()),
    );
  }),
);

manifest('is read in far fewer requests than it has chunks', () =>
  withBench(async (bench) => {
    const header = await store(bench, STORED);
    let gets = 0;
    const remote = {
      ...bench.remote,
      get: (...args: Parameters<typeof bench.remote.get>) => {
        gets += 1;
        return bench.remote.get(...args);
      },
    };
    await Array.fromAsync(read({ ...bench, repository: { ...bench.repository, remote } }, header));
    assert.ok(header.manifest.chunks.length / 32 > 50);
    assert.ok(gets < 5, `${gets} requests`);
  }),
);

manifest('can share chunks with an earlier one, in any order', () =>
  withBench(async (bench) => {
    await store(bench, STORED, { packBytes: 3000 });
    const more = [...STORED.slice(0, 250), file('/s/0249a', 'new'), ...STORED.slice(250)];
    const header = await store(bench, more, { id: '20251108_000000', packBytes: 3000 });
    const entries = await Array.fromAsync(read(bench, header));
    assert.is(entries.length, 502);
  }),
);

manifest('of another machine is read once its indexes are', () =>
  withBench(async (bench) => {
    const header = await store(bench, STORED);
    const { journal, journalRepository, repository } = bench;
    forgetPacks(
      journal,
      knownPacks(journal, journalRepository).map(({ id }) => id),
    );
    const error = await failure(read(bench, header));
    assert.match(
      error?.message ?? '',
      /^read manifest of 20251107_142030: no pack is known to hold its chunk/,
    );
    journal.sqlite.exec('DELETE FROM index_seen');
    await syncIndexes(repository, journal, journalRepository);
    assert.is((await Array.fromAsync(read(bench, header))).length, 501);
  }),
);

manifest('that has lost a pack is damaged, and what came before is given', () =>
  withBench(async (bench) => {
    const header = await store(bench, STORED, { packBytes: 10_000 });
    const last = header.manifest.chunks.subarray(-32);
    const { pack } = chunkLocation(bench.journal, bench.journalRepository, last)!;
    bench.remote.objects.delete(`packs/${pack.toString('hex', 0, 1)}/${pack.toString('hex')}`);
    const seen: string[] = [];
    const reading = async function* () {
      for await (const entry of read(bench, header)) yield seen.push(entry.path.toString());
    };
    const error = await failure(reading());
    assert.instance(error, DamagedError);
    assert.ok(seen.length > 100 && seen.length < 501);
  }),
);

manifest('of another length than its header says is damaged', () =>
  withBench(async (bench) => {
    const header = await store(bench, STORED);
    const sizeBytes = header.manifest.sizeBytes + 1;
    const error = await failure(read(bench, { ...header, manifest: { ...header.manifest, sizeBytes } }));
    assert.instance(error, DamagedError);
    const chunks = header.manifest.chunks.subarray(0, -32);
    assert.instance(
      await failure(read(bench, { ...header, manifest: { ...header.manifest, chunks } })),
      DamagedError,
    );
  }),
);

manifest('is not read on when the person asks to stop', () =>
  withBench(async (bench) => {
    const header = await store(bench, STORED);
    const reason = new Error('stop');
    assert.is(await failure(read(bench, header, AbortSignal.abort(reason))), reason);
  }),
);

manifest.run();
