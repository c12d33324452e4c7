import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LockedError } from '../../lib/errors.ts';
import { journalEntries } from '../../lib/journal/entries.ts';
import { isKnownChunk } from '../../lib/journal/packs.ts';
import { completeRun } from '../../lib/journal/runs.ts';
import {
  abandonExpiredRuns,
  abandonRun,
  expiredRuns,
  removeStaleStateFiles,
  unfinishedRuns,
} from '../../lib/journal/unfinished.ts';
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

const DAY_MS = 24 * 3_600_000;

/** A run of one file whose chunk is durable, left by a process that is dead. */
function leaveRun(lent: Lent, name: string, now = NOW) {
  const run = claim(lent, { name, owner: NOBODY, now });
  const [file] = add(lent.journal, run, entryAt(`/home/${name}/file`), entryAt(`/home/${name}/other`));
  recordUploaded(
    lent.journal,
    run,
    {
      pack: packOf(`chunk of ${name}`),
      pieces: piecesOf(file!.id, 0, `chunk of ${name}`),
      completed: [{ entry: file!.id, chunks: 1, bytes: 3000, torn: false }],
      bytes: 3000,
    },
    now,
  );
  return run;
}

function rows({ journal }: Lent, table: string): number {
  return journal.sqlite.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number;
}

const abandoning = suite('abandoning a run');

abandoning('takes its rows away and leaves its packs known', async () => {
  await withJournal((lent) => {
    leaveRun(lent, 'docs');
    leaveRun(lent, 'pictures');
    const [docs, pictures] = unfinishedRuns(lent.journal);
    abandonRun(lent.journal, docs!);
    assert.equal(unfinishedRuns(lent.journal), [pictures]);
    assert.is(rows(lent, 'source_set'), 1);
    assert.is(rows(lent, 'entry'), 2);
    assert.is(rows(lent, 'entry_chunk'), 1);
    assert.ok(isKnownChunk(lent.journal, lent.journalRepository, hash('chunk of docs')));
    assert.not(claim(lent, { name: 'docs' }).resumed);
  });
});

abandoning('leaves the entries that a complete backup of the same sources is compared with', async () => {
  await withJournal((lent) => {
    completeRun(lent.journal, leaveRun(lent, 'docs'));
    const next = claim(lent, { owner: NOBODY });
    abandonRun(lent.journal, unfinishedRuns(lent.journal)[0]!);
    assert.is([...journalEntries(lent.journal, next.sourceSet)].length, 2);
  });
});

abandoning('is refused while a process works on it', async () => {
  await withJournal((lent) => {
    leaveRun(lent, 'docs');
    const [seen] = unfinishedRuns(lent.journal);
    claim(lent); // between the look and the deed
    assert.throws(
      () => abandonRun(lent.journal, seen!),
      (error: unknown) =>
        error instanceof LockedError &&
        error.message === `forget 20251107_142030: process ${process.pid} is working on it`,
    );
    assert.is(rows(lent, 'entry'), 2);
  });
});

abandoning('twice is fine', async () => {
  await withJournal((lent) => {
    leaveRun(lent, 'docs');
    const [run] = unfinishedRuns(lent.journal);
    abandonRun(lent.journal, run!);
    abandonRun(lent.journal, run!);
    assert.equal(unfinishedRuns(lent.journal), []);
  });
});

abandoning.run();

const expiry = suite('runs of long ago');

expiry('are forgotten with their state files, unless somebody works on them', async () => {
  await withJournal(async (lent) => {
    const states = join(lent.folder, 'resume_state');
    await mkdir(states);
    const old = new Date(NOW.getTime() - 8 * DAY_MS);
    const ids: string[] = [];
    for (const [name, at] of [
      ['old', old],
      ['taken over', old],
      ['young', NOW],
    ] as const) {
      ids.push(leaveRun(lent, name, at).backupId);
      await writeFile(join(states, `${ids.at(-1)}.json`), '{}');
    }
    claim(lent, { name: 'taken over', now: old });
    const limit = new Date(NOW.getTime() - 7 * DAY_MS);

    const expired = expiredRuns(lent.journal, limit).map(({ backupId }) => backupId);
    assert.equal(expired, [ids[0]]);
    assert.is(unfinishedRuns(lent.journal).length, 3);

    const abandoned = await abandonExpiredRuns(lent.journal, limit, states);
    assert.equal(
      abandoned.map(({ backupId }) => backupId),
      expired,
    );
    assert.equal(
      unfinishedRuns(lent.journal).map(({ backupId }) => backupId),
      [ids[1], ids[2]],
    );
    assert.equal((await readdir(states)).sort(), [`${ids[1]}.json`, `${ids[2]}.json`]);
  });
});

expiry('that went on since are not of long ago', async () => {
  await withJournal((lent) => {
    leaveRun(lent, 'docs', new Date(NOW.getTime() - 8 * DAY_MS));
    claim(lent, { owner: NOBODY });
    assert.equal(expiredRuns(lent.journal, new Date(NOW.getTime() - 7 * DAY_MS)), []);
  });
});

expiry.run();

const stale = suite('state files that belong to no unfinished run');

stale('are removed, and nothing else is', async () => {
  await withJournal(async (lent) => {
    const states = join(lent.folder, 'resume_state');
    await mkdir(states);
    const kept = [
      `${leaveRun(lent, 'docs').backupId}.json`,
      'notes.json',
      '20240101_000000.json.bak',
      '20240101_000000.jsonl',
      'x20240101_000000.json',
    ];
    const stale = ['20240101_000000.json', '20240101_000000.json.tmp', '20240102_000000.json.old'];
    for (const name of [...kept, ...stale]) await writeFile(join(states, name), '{}');
    await mkdir(join(states, '20240103_000000.json'));
    await removeStaleStateFiles(lent.journal, states);
    assert.equal((await readdir(states)).sort(), [...kept, '20240103_000000.json'].sort());
  });
});

stale('are none where there is no folder', async () => {
  await withJournal((lent) => removeStaleStateFiles(lent.journal, join(lent.folder, 'resume_state')));
});

stale.run();
