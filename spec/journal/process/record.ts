/**
 * Goes on with the backup of FILES files until it is killed: plans them, records them as uploaded, saves the state file.
 * Prints a line after each transaction: `record.ts <journal>`
 */
import { writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openJournal } from '../../../lib/journal/database.ts';
import { journalEntries } from '../../../lib/journal/entries.ts';
import { applyPlan } from '../../../lib/journal/planned-entries.ts';
import { rememberRepository } from '../../../lib/journal/repositories.ts';
import { openStateFile } from '../../../lib/journal/state-file.ts';
import { recordTotals } from '../../../lib/journal/totals.ts';
import { pendingFiles, recordUploaded } from '../../../lib/journal/uploading.ts';
import { claim, entryAt, NOW, packOf, piecesOf } from '../fixture.ts';
import { CHUNKS, FILES, PATHS, PLANNED_AT_ONCE, UPLOADED_AT_ONCE } from './recorded.ts';

const [file = ''] = process.argv.slice(2);
const { journal } = await openJournal(file, { now: NOW });
const run = claim({ journal, journalRepository: rememberRepository(journal, 'first', 'file:///backups') });
const state = openStateFile(journal, run, { folder: join(dirname(file), 'resume_state'), sourcePaths: [] });
await state.rewrite();
const planned = [...journalEntries(journal, run.sourceSet)].length;
writeSync(1, 'ready\n');

for (let from = planned; from < FILES; from += PLANNED_AT_ONCE) {
  const added = PATHS.slice(from, from + PLANNED_AT_ONCE).map((path) => entryAt(path));
  applyPlan(journal, run, { added, changed: [], moved: [], gone: [] });
  writeSync(1, 'planned\n');
}
if (run.totalFiles === null) {
  const totals = { totalFiles: FILES, totalBytes: 3000 * FILES, uploadedFiles: 0, uploadedBytes: 0 };
  recordTotals(journal, run, totals, NOW);
  writeSync(1, 'totals\n');
}
const pending = [...pendingFiles(journal, run.sourceSet)];
let isSaving = false;
for (let from = 0; from < pending.length; from += UPLOADED_AT_ONCE) {
  const files = pending.slice(from, from + UPLOADED_AT_ONCE);
  const names = files.map(({ path }) => CHUNKS.map((chunk) => `${chunk} of ${path}`));
  const batch = {
    pack: packOf(...names.flat()),
    pieces: files.flatMap(({ id }, index) => piecesOf(id, 0, ...names[index]!)),
    completed: files.map(({ id }) => ({ entry: id, chunks: CHUNKS.length, bytes: 3000, torn: false })),
    bytes: 3000 * files.length,
  };
  recordUploaded(journal, run, batch, NOW);
  writeSync(1, 'uploaded\n');
  state.noteUploaded(files.map(({ path }) => path));
  if (!isSaving) {
    isSaving = true;
    state.save().finally(() => {
      isSaving = false;
    });
  }
  await new Promise(setImmediate);
}
