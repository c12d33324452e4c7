/**
 * How long it takes to find an unfinished run among 1,000 of them that have 1,000 entries each, and to take it over, in a
 * journal that has just been opened: `find-run.ts <folder>`
 */
import { join } from 'node:path';
import { openJournal } from '../../../lib/journal/database.ts';
import { applyPlan } from '../../../lib/journal/planned-entries.ts';
import { rememberRepository } from '../../../lib/journal/repositories.ts';
import { type Run, unfinishedBackupId } from '../../../lib/journal/runs.ts';
import { claim, entryAt, hash, NOBODY } from '../../journal/fixture.ts';
import { median } from '../results.ts';

const RUNS = 1000;
const ENTRIES = 1000;
const ASKED = 100;

const [folder = ''] = process.argv.slice(2);
const file = join(folder, 'journal.db');
const now = new Date();
const open = async () => {
  const { journal } = await openJournal(file, { now });
  return { journal, journalRepository: rememberRepository(journal, 'benchmark', 'file:///backups') };
};

const made = await open();
for (let number = 0; number < RUNS; number += 1) {
  const begun = new Date(now.getTime() - (RUNS - number) * 60_000);
  const run: Run = claim(made, { name: `${number}`, owner: NOBODY, now: begun });
  const added = Array.from({ length: ENTRIES }, (_, entry) => entryAt(`/home/${number}/${entry}`));
  applyPlan(made.journal, run, { added, changed: [], moved: [], gone: [] });
}
made.journal.close();

const asked = await open();
const foundMs: number[] = [];
const claimedMs: number[] = [];
for (let count = 0; count < ASKED; count += 1) {
  const name = `${(count * 367) % RUNS}`;
  const startedAt = performance.now();
  const id = unfinishedBackupId(asked.journal, asked.journalRepository, hash(name));
  const foundAt = performance.now();
  const run = claim(asked, { name, now });
  claimedMs.push(performance.now() - foundAt);
  foundMs.push(foundAt - startedAt);
  if (id === null || !run.resumed || run.backupId !== id) throw new Error(`run ${name} was not found`);
}
asked.journal.close();
const [firstMs] = foundMs;
process.stdout.write(
  `${JSON.stringify({ firstMs, foundMs: median(foundMs), claimedMs: median(claimedMs) })}\n`,
);
