import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { importCheckpoint } from '../../lib/backup/take-over.ts';
import { SkylockError } from '../../lib/errors.ts';
import { chunkId } from '../../lib/format/keys.ts';
import { type Entry, encodeEntry } from '../../lib/format/manifest.ts';
import { createPackBuilder } from '../../lib/format/pack.ts';
import { RAW } from '../../lib/format/pack-directory.ts';
import { insertDurablePack } from '../../lib/journal/packs.ts';
import { packName } from '../../lib/repository/repository.ts';
import { claim } from '../journal/fixture.ts';
import { headerOf } from '../repository/fixtures.ts';
import { type Bench, restoreInto, withBench } from '../restore/fixtures.ts';
import { anyChangeOf, anyChangeOfJson, holdsInTime } from './fuzz.ts';

const CONTENT = Buffer.from('what the file holds');
const FACTS = {
  mode: 0o644,
  uid: process.getuid!(),
  gid: process.getgid!(),
  mtimeNs: 3n,
  ctimeNs: 4n,
  inode: 5n,
};

/** Entries that point out of the target as far as they may, or lie where others do. */
function entriesOf(chunk: Buffer): Entry[] {
  const content = { type: 'file', size: CONTENT.length, link: null, chunks: chunk } as const;
  return [
    { ...FACTS, mode: 0o755, path: Buffer.from('/a'), type: 'folder' },
    { ...FACTS, ...content, path: Buffer.from('/a/b') },
    { ...FACTS, ...content, path: Buffer.from('/a/c'), link: '1:5' },
    { ...FACTS, ...content, path: Buffer.from('/a/d'), link: '1:5' },
    { ...FACTS, path: Buffer.from('/a/e'), type: 'symlink', target: Buffer.from('../../outside') },
    { ...FACTS, path: Buffer.from('/a/f'), type: 'fifo' },
    { ...FACTS, path: Buffer.from('/outside'), type: 'symlink', target: Buffer.from('/etc') },
  ];
}

/** Puts a pack that holds these chunks. @returns their ids */
async function store(
  { repository, journal, journalRepository, remote }: Bench,
  chunks: readonly Buffer[],
): Promise<Buffer[]> {
  const ids = chunks.map((chunk) => chunkId(repository.keys, chunk));
  const builder = createPackBuilder(repository.keys, Buffer.alloc(1_000_000));
  chunks.forEach((chunk, index) => void builder.add(ids[index]!, RAW, chunk));
  const { name, bytes, entries, directory } = builder.seal();
  await remote.put(packName(name), bytes);
  const pack = { name: Buffer.from(name, 'hex'), size: bytes.length, chunks: entries, directory };
  journal.transaction(() => insertDurablePack(journal, journalRepository, pack));
  return ids;
}

const lists = suite('any list of files that somebody has sealed');

lists('is restored inside the target, or refused, and nothing outside of it changes', () =>
  withBench(async (bench) => {
    const outside = join(bench.folder, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'mine'), 'mine');
    const [content] = await store(bench, [CONTENT]);
    const entries = entriesOf(content!);
    const lines = entries.map((entry) => encodeEntry(entry).toString().trimEnd());
    const oddLine = fc.nat(lines.length - 1).chain((at) =>
      anyChangeOfJson(JSON.parse(lines[at]!)).map((odd) =>
        Buffer.from(
          lines
            .with(at, odd.toString())
            .map((line) => `${line}\n`)
            .join(''),
        ),
      ),
    );
    const someLines = fc
      .shuffledSubarray(lines)
      .map((some) => Buffer.from(some.map((line) => `${line}\n`).join('')));
    const anyManifest = fc.oneof(oddLine, someLines, anyChangeOf(Buffer.concat(entries.map(encodeEntry))));
    const overwrites = fc.constantFrom('never', 'if-changed', 'always');
    const target = join(bench.folder, 'target');
    // As when a backup is gone on with from a checkpoint that lists the same.
    const run = claim({ journal: bench.journal, journalRepository: bench.journalRepository });
    await holdsInTime(
      fc.asyncProperty(anyManifest, overwrites, async (manifest, overwrite) => {
        fc.pre(manifest.length > 0);
        const [id] = await store(bench, [manifest]);
        const backup = headerOf('20251107_142030', { manifest: { sizeBytes: manifest.length, chunks: id! } });
        const taken = { journal: bench.journal, repository: bench.repository, run };
        await importCheckpoint(backup, taken).catch((error: unknown) => assert.instance(error, SkylockError));
        await restoreInto(bench, backup, { overwrite }).catch((error: unknown) =>
          assert.instance(error, SkylockError),
        );
        assert.equal(readdirSync(outside), ['mine']);
        assert.equal(
          readdirSync(bench.folder).filter((name) => !/^(outside|target|journal\.db.*)$/.test(name)),
          [],
        );
        spawnSync('chmod', ['-R', 'u+rwX', target]); // there may be none
      }),
      60,
    );
  }),
);

lists.run();
