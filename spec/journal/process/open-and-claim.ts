/**
 * Opens the journal when nudged, claims the run that its brothers claim, tells how that went and stays:
 * `open-and-claim.ts <journal> [check]`
 */
import { once } from 'node:events';
import { LockedError } from '../../../lib/errors.ts';
import { openJournal } from '../../../lib/journal/database.ts';
import { rememberRepository } from '../../../lib/journal/repositories.ts';
import { claim, NOW } from '../fixture.ts';

const [file = '', check] = process.argv.slice(2);
process.stdout.write('ready\n');
await once(process.stdin, 'data');
const { journal, movedAside } = await openJournal(file, { now: NOW, check: check === 'check' });
rememberRepository(journal, `of process ${process.pid}`, 'file:///backups');
const journalRepository = rememberRepository(journal, 'first', 'file:///backups');
process.stdout.write(movedAside === null ? 'opened\n' : 'moved aside\n');
try {
  claim({ journal, journalRepository });
  process.stdout.write('claimed\n');
} catch (error) {
  if (!(error instanceof LockedError)) throw error;
  process.stdout.write(`${error.message}\n`);
}
process.stdin.resume();
