import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Journal, openJournal } from '../../lib/journal/database.ts';
import { journalEntries } from '../../lib/journal/entries.ts';
import { knownPacks } from '../../lib/journal/packs.ts';
import { durablePrefix } from '../../lib/journal/pieces.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import { unfinishedRuns } from '../../lib/journal/unfinished.ts';
import { withFolder } from '../helpers/temporary.ts';
import { NOW } from './fixture.ts';
import { CHUNKS, FILES, PATHS, PLANNED_AT_ONCE, UPLOADED_AT_ONCE } from './process/recorded.ts';
import { startScript } from './process/start.ts';

const REPOSITORY = 1;
const SOURCE_SET = 1;

/** Holds what the journal says against what a prefix of the script's transactions leaves. @returns how many there were */
function assertPrefix(journal: Journal): number {
  const [run, ...more] = unfinishedRuns(journal);
  assert.equal(more, []);
  assert.is(run!.runningPid, null);

  const rows = [...journalEntries(journal, SOURCE_SET)];
  assert.is(rows.length % PLANNED_AT_ONCE, 0);
  assert.equal(
    rows.map(({ path }) => String(path)),
    PATHS.slice(0, rows.length),
  );
  const isPlanned = run!.totalFiles !== null;
  if (isPlanned) assert.is(rows.length, FILES);

  const files = run!.uploadedFiles;
  assert.is(files % UPLOADED_AT_ONCE, 0);
  assert.is(run!.uploadedBytes, 3000 * files);
  assert.is(knownPacks(journal, REPOSITORY).length, files / UPLOADED_AT_ONCE);
  const wrong = rows.filter(({ id, state }, index) => {
    const { chunks } = durablePrefix(journal, REPOSITORY, id);
    return index < files
      ? state !== 'uploaded' || chunks !== CHUNKS.length
      : state !== 'pending' || chunks !== 0;
  });
  assert.equal(wrong, []);
  return rows.length / PLANNED_AT_ONCE + Number(isPlanned) + files / UPLOADED_AT_ONCE;
}

/** Whenever the kill came, the state file can be read, and lists nothing twice and nothing the journal does not. */
function assertStateFile(folder: string, uploaded: number): void {
  const file = join(folder, 'resume_state', '20251107_142030.json');
  const { uploaded_files: listed } = JSON.parse(readFileSync(file, 'utf8')) as { uploaded_files: string[] };
  const known = new Set(PATHS.slice(0, uploaded));
  assert.equal(
    listed.filter((path) => !known.delete(path)),
    [],
  );
}

const killed = suite('a process that is killed');

killed('leaves the transactions it had ended, all of them and nothing else', async () => {
  await withFolder(async (folder) => {
    const file = join(folder, 'journal.db');
    let ended = 0;
    for (let round = 0; round < 6; round += 1) {
      const script = startScript('record.ts', file);
      // However slow the machine is: after some of its transactions, more of them each time, and somewhere in the next ones.
      await script.line(10 * round + Math.floor(Math.random() * 10));
      await delay(Math.random() * 5);
      const [, ...printed] = await script.kill();
      const { journal, movedAside } = await openJournal(file, { now: NOW, check: true });
      try {
        assert.is(movedAside, null);
        const left = assertPrefix(journal);
        // It may have been killed between the end of a transaction and the line that tells of it.
        assert.ok(left === ended + printed.length || left === ended + printed.length + 1, `round ${round}`);
        ended = left;
        assertStateFile(folder, unfinishedRuns(journal)[0]!.uploadedFiles);
      } finally {
        journal.close();
      }
    }
    assert.ok(ended > FILES / PLANNED_AT_ONCE + 10, `${ended} transactions: it was always killed too early`);
  });
});

killed('while it makes a journal leaves one that can be opened', async () => {
  for (let round = 0; round < 4; round += 1) {
    await withFolder(async (folder) => {
      const script = startScript('open-journals.ts', folder);
      await script.line(1);
      await delay(Math.random() * 30);
      const last = (await script.kill()).at(-1)!;
      const { journal, movedAside } = await openJournal(join(folder, last, 'journal.db'), {
        now: NOW,
        check: true,
      });
      assert.is(movedAside, null);
      assert.is(rememberRepository(journal, 'first', 'file:///backups'), 1);
      journal.close();
    });
  }
});

killed.run();
