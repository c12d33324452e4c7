import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { manifestEntry } from '../../lib/backup/manifest.ts';
import { plan } from '../../lib/backup/plan.ts';
import type { Found } from '../../lib/backup/scan.ts';
import { importCheckpoint } from '../../lib/backup/take-over.ts';
import { chunkId } from '../../lib/format/keys.ts';
import { encodeEntry } from '../../lib/format/manifest.ts';
import { createPackBuilder } from '../../lib/format/pack.ts';
import { RAW } from '../../lib/format/pack-directory.ts';
import type { Entry } from '../../lib/journal/entries.ts';
import { claim, entryAt, type Lent, NOW, withJournal } from '../journal/fixture.ts';
import { headerOf, nameOf, recordPack, repositoryOver, sealPack } from '../repository/fixtures.ts';
import { idOf, KEYS } from './fixtures.ts';

/** Imports a checkpoint of these entries, each file made of the chunk `a`, and plans what is there now. */
async function planAfterImport(
  { journal, journalRepository: number }: Lent,
  held: readonly Entry[],
  there: readonly Entry[],
) {
  const repository = repositoryOver();
  const lines = held.map((entry) =>
    manifestEntry({ ...entry, id: 1n, state: 'uploaded', chunks: [idOf('a')] }),
  );
  const manifest = Buffer.concat(lines.map(encodeEntry));
  const builder = createPackBuilder(KEYS, Buffer.allocUnsafeSlow(manifest.length + 1000));
  const chunks = chunkId(KEYS, manifest);
  builder.add(chunks, RAW, manifest);
  for (const pack of [builder.seal(), sealPack('a')]) {
    repository.remote.objects.set(nameOf(pack), Buffer.from(pack.bytes));
    recordPack(journal, number, pack);
  }
  const run = claim({ journal, journalRepository: number });
  const header = headerOf(run.backupId, { manifest: { sizeBytes: manifest.length, chunks } });
  await importCheckpoint(header, { journal, repository, run });

  const found: Found[] = there.map((entry) => ({ type: 'entry', entry, source: 0 }));
  const deps = { journal, run, progress: () => {}, signal: new AbortController().signal, now: () => NOW };
  return plan(found, [Buffer.from('/docs')], deps);
}

const HERE_AND_NOW = { inode: 99n, device: 65n, ctimeNs: 1_800_000_000_000_000_001n };

const imported = suite('what a checkpoint holds');

imported('counts as uploaded where size and time are the same, on another disk as well', () =>
  withJournal(async (lent) => {
    const { uploadedFiles, totalFiles } = await planAfterImport(
      lent,
      [entryAt('/docs', { type: 'folder', size: 0n }), entryAt('/docs/a'), entryAt('/docs/b')],
      [
        entryAt('/docs', { type: 'folder', size: 0n, ...HERE_AND_NOW }),
        entryAt('/docs/a', HERE_AND_NOW),
        entryAt('/docs/b', { ...HERE_AND_NOW, mtimeNs: 5n }),
        entryAt('/docs/c', HERE_AND_NOW),
      ],
    );
    assert.equal([uploadedFiles, totalFiles], [1, 3]);
  }),
);

imported(
  'of a file that was read while it changed, or a moment after, does not count: its times tell nothing',
  () =>
    withJournal(async (lent) => {
      const { uploadedFiles } = await planAfterImport(
        lent,
        [entryAt('/docs/a', { ctimeNs: 0n }), entryAt('/docs/b')],
        [entryAt('/docs/a', HERE_AND_NOW), entryAt('/docs/b', HERE_AND_NOW)],
      );
      assert.is(uploadedFiles, 1);
    }),
);

imported('with times and devices no system has is passed over, and the others are not', () =>
  withJournal(async (lent) => {
    const { uploadedFiles } = await planAfterImport(
      lent,
      [
        entryAt('/docs/a', { mtimeNs: 10n ** 29n }),
        entryAt('/docs/b', { mtimeNs: -(10n ** 29n) }),
        entryAt('/docs/c', { type: 'block_device', size: 0n, specialDevice: 2n ** 64n }),
        entryAt('/docs/d'),
      ],
      ['a', 'b', 'c', 'd'].map((name) => entryAt(`/docs/${name}`, HERE_AND_NOW)),
    );
    assert.is(uploadedFiles, 1);
  }),
);

imported('and is gone by now is dropped', () =>
  withJournal(async (lent) => {
    const { totalFiles } = await planAfterImport(
      lent,
      [entryAt('/docs/a'), entryAt('/docs/b')],
      [entryAt('/docs/b')],
    );
    assert.is(totalFiles, 1);
  }),
);

imported.run();
