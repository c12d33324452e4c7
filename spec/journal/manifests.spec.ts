import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Journal } from '../../lib/journal/database.ts';
import {
  changesOf,
  type Manifest,
  noteChange,
  rememberedManifest,
  rememberManifest,
} from '../../lib/journal/manifests.ts';
import { forgetAllPacks } from '../../lib/journal/packs.ts';
import { importEntries } from '../../lib/journal/planned-entries.ts';
import { completeRun, type Run } from '../../lib/journal/runs.ts';
import { abandonRun, unfinishedRuns } from '../../lib/journal/unfinished.ts';
import { demoteBrokenFiles } from '../../lib/journal/uploaded-entries.ts';
import { recordUploaded } from '../../lib/journal/uploading.ts';
import {
  add,
  claim,
  entryAt,
  hash,
  type Lent,
  NOBODY,
  NOW,
  packOf,
  piecesOf,
  withJournal,
} from './fixture.ts';

const MANIFEST: Manifest = { sizeBytes: 700, chunks: hash('manifest'), files: 3, folders: 2, bytes: 9000 };

const EDITION = 1;
const remember = (journal: Journal, run: Run, manifest: Manifest, changes: number) =>
  rememberManifest(journal, run, manifest, { changes, edition: EDITION });
const remembered = (journal: Journal, run: Run) => rememberedManifest(journal, run, EDITION);

const remembering = suite('a manifest that is remembered');

remembering('is there for the next run of the same sources, and for no others', () =>
  withJournal((lent) => {
    const { journal } = lent;
    const first = claim(lent);
    remember(journal, first, MANIFEST, changesOf(journal, first));
    assert.equal(remembered(journal, first), MANIFEST);
    completeRun(journal, first);
    const next = claim(lent, { takenIds: new Set([first.backupId]) });
    assert.equal(remembered(journal, next), MANIFEST);
    assert.is(remembered(journal, claim(lent, { name: 'others' })), null);
  }),
);

remembering('is not believed where manifests are made in another way by now', () =>
  withJournal((lent) => {
    const run = claim(lent);
    remember(lent.journal, run, MANIFEST, changesOf(lent.journal, run));
    assert.is(rememberedManifest(lent.journal, run, EDITION + 1), null);
  }),
);

remembering('is not kept where something has changed since it was begun', () =>
  withJournal((lent) => {
    const run = claim(lent);
    const changes = changesOf(lent.journal, run);
    noteChange(lent.journal, run);
    remember(lent.journal, run, MANIFEST, changes);
    assert.is(remembered(lent.journal, run), null);
  }),
);

const CHANGES: Readonly<Record<string, (lent: Lent, run: Run) => void>> = {
  'an entry that is planned': (lent, run) => void add(lent.journal, run, entryAt('/home/docs/new')),
  'an entry that is taken over': ({ journal }, run) =>
    importEntries(journal, run, [{ ...entryAt('/home/docs/new'), chunks: [hash('a')] }]),
  'a file that becomes uploaded': ({ journal }, run) => upload(journal, run, 2n),
  'a file that is not whole any more': ({ journal, journalRepository }, run) => {
    forgetAllPacks(journal, journalRepository);
    assert.is(demoteBrokenFiles(journal, run, NOW).files, 1);
  },
};

function upload(journal: Lent['journal'], run: Run, entry: bigint): void {
  const pieces = piecesOf(entry, 0, 'a', 'b', 'c');
  const completed = [{ entry, chunks: 3, bytes: 3000, torn: false }];
  recordUploaded(journal, run, { pack: packOf('a', 'b', 'c'), pieces, completed, bytes: 3000 }, NOW);
}

for (const [what, change] of Object.entries(CHANGES)) {
  remembering(`is none any more after ${what}`, () =>
    withJournal((lent) => {
      const { journal } = lent;
      const run = claim(lent);
      const [one] = add(journal, run, entryAt('/home/docs/1'), entryAt('/home/docs/2'));
      upload(journal, run, one!.id);
      remember(journal, run, MANIFEST, changesOf(journal, run));
      assert.equal(remembered(journal, run), MANIFEST);
      change(lent, run);
      assert.is(remembered(journal, run), null);
    }),
  );
}

remembering('is none with any part of it changed', () =>
  withJournal((lent) => {
    const { journal } = lent;
    const run = claim(lent);
    const row = () => journal.sqlite.prepare('SELECT * FROM manifest').get() as Record<string, unknown>;
    const columns = () => Object.keys(row()).filter((name) => name !== 'source_set');
    remember(journal, run, MANIFEST, changesOf(journal, run));
    for (const column of columns()) {
      remember(journal, run, MANIFEST, changesOf(journal, run));
      const other = { number: 77, string: hash('x').toString('hex'), object: hash('x') };
      const value = other[typeof row()[column] as keyof typeof other];
      journal.sqlite.prepare(`UPDATE manifest SET ${column} = ?`).run(value);
      assert.is(remembered(journal, run), null, column);
    }
    assert.is(columns().length, 7);
  }),
);

remembering('goes with the entries of its sources', () =>
  withJournal((lent) => {
    const { journal } = lent;
    const run = claim(lent, { owner: NOBODY });
    remember(journal, run, MANIFEST, changesOf(journal, run));
    for (const unfinished of unfinishedRuns(journal)) abandonRun(journal, unfinished);
    assert.equal(journal.sqlite.prepare('SELECT * FROM manifest').all(), []);
  }),
);

remembering.run();
