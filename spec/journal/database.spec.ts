import { readdirSync, readlinkSync } from 'node:fs';
import { copyFile, mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Journal, openJournal } from '../../lib/journal/database.ts';
import { journalEntries } from '../../lib/journal/entries.ts';
import { applyPlan } from '../../lib/journal/planned-entries.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import { unfinishedRuns } from '../../lib/journal/unfinished.ts';
import { MIGRATIONS } from '../../migrations/index.ts';
import { withFolder } from '../helpers/temporary.ts';
import { add, claim, entryAt, failureOf, NOW, withJournal } from './fixture.ts';
import { type Script, withScripts } from './process/start.ts';

const PAGE_BYTES = 4096;
const ENTRIES = 3000;

const reading = suite('reading a journal');

reading('in a snapshot sees one moment, and what was written meanwhile afterwards', async () => {
  await withFolder(async (folder) => {
    const file = join(folder, 'journal.db');
    const [{ journal }, { journal: other }] = [
      await openJournal(file, { now: NOW }),
      await openJournal(file, { now: NOW }),
    ];
    const count = () => Number(journal.sqlite.prepare('select count(*) from repository').pluck().get());
    const counts = journal.snapshot(() => {
      const before = count();
      rememberRepository(other, 'first', 'file:///backups');
      return [before, count()];
    });
    assert.equal([...counts, count()], [0, 0, 1]);
    journal.close();
    other.close();
  });
});

reading(
  'sees a transaction that the disk is not waited for like any other, and the next one is waited for',
  async () => {
    await withFolder(async (folder) => {
      const file = join(folder, 'journal.db');
      const [{ journal }, { journal: other }] = [
        await openJournal(file, { now: NOW }),
        await openJournal(file, { now: NOW }),
      ];
      const waitsForDisk = () => journal.sqlite.pragma('synchronous', { simple: true }) === 2;
      const insert = journal.sqlite.prepare(`insert into abandoned values ('20261123_152735')`);
      const count = () => Number(other.sqlite.prepare('select count(*) from abandoned').pluck().get());
      assert.is(
        journal.unsyncedTransaction(() => {
          insert.run();
          return waitsForDisk();
        }),
        false,
      );
      assert.equal([count(), waitsForDisk()], [1, true]);
      assert.throws(() => journal.unsyncedTransaction(() => insert.run()), /UNIQUE/);
      assert.equal([count(), waitsForDisk()], [1, true]);
      journal.close();
      other.close();
    });
  },
);

reading.run();

/** Lends a closed journal of some hundred pages. */
async function withClosedJournal(use: (file: string, folder: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const file = join(folder, 'journal.db');
    const { journal } = await openJournal(file, { now: NOW });
    fill(journal, 'docs');
    journal.close();
    await use(file, folder);
  });
}

function fill(journal: Journal, name: string): void {
  const journalRepository = rememberRepository(journal, 'first', 'file:///backups');
  const entries = Array.from({ length: ENTRIES }, (_, index) =>
    entryAt(`/home/${name}/a name that is ${index}`),
  );
  add(journal, claim({ journal, journalRepository }, { name }), ...entries);
}

/** @returns bytes that are neither zeros nor text, the same each time */
function noise(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (index * 167 + (index >> 8) * 13 + 5) % 256));
}

async function overwrite(file: string, at: number, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'r+');
  await handle.write(bytes, 0, bytes.length, at);
  await handle.close();
}

/** @param now as long as `before`; text of old versions may lie about in the file as well */
async function replaceAll(file: string, before: string, now: string): Promise<void> {
  const text = await readFile(file, 'latin1');
  assert.ok(text.includes(before));
  await writeFile(file, text.replaceAll(before, now), 'latin1');
}

function isSound({ sqlite }: Journal): boolean {
  return sqlite.pragma('integrity_check', { simple: true }) === 'ok';
}

/** Has all open the journal at once. @returns the processes that claimed the run, and what the others said */
async function race(
  scripts: readonly Script[],
): Promise<{ owners: number[]; refusals: string[]; movers: number }> {
  for (const script of scripts) assert.is(await script.line(0), 'ready');
  for (const script of scripts) script.nudge();
  const owners: number[] = [];
  const refusals: string[] = [];
  let movers = 0;
  for (const script of scripts) {
    if ((await script.line(1)) === 'moved aside') movers += 1;
    const answer = await script.line(2);
    if (answer === 'claimed') owners.push(script.pid);
    else refusals.push(answer ?? 'it died');
  }
  return { owners, refusals, movers };
}

function hasOpen(pid: number, file: string): boolean {
  const descriptors = `/proc/${pid}/fd`;
  return readdirSync(descriptors).some((name) => {
    try {
      return readlinkSync(join(descriptors, name)) === file;
    } catch {
      return false; // closed since it was listed
    }
  });
}

const fresh = suite('a new journal');

fresh('is for its owner alone, with its folder and all that lies beside it', async () => {
  await withFolder(async (folder) => {
    const inside = join(folder, 'share', 'skylock');
    const { journal, movedAside } = await openJournal(join(inside, 'journal.db'), { now: NOW });
    rememberRepository(journal, 'first', 'file:///backups');
    assert.is(movedAside, null);
    const names = (await readdir(inside)).sort();
    assert.equal(names, ['journal.db', 'journal.db-shm', 'journal.db-wal']);
    for (const name of names) assert.is((await stat(join(inside, name))).mode & 0o777, 0o600, name);
    for (const path of [inside, join(folder, 'share')])
      assert.is((await stat(path)).mode & 0o777, 0o700, path);
    journal.close();
  });
});

fresh('opened by several processes at once is one journal, and one process gets the run', async () => {
  await withFolder(async (folder) => {
    const file = join(folder, 'journal.db');
    await withScripts(3, 'open-and-claim.ts', [file], async (scripts) => {
      const { owners, refusals } = await race(scripts);
      assert.is(owners.length, 1);
      const refusal = `back up: process ${owners[0]} is backing these sources up already`;
      assert.equal(refusals, [refusal, refusal]);
    });
    const { journal } = await openJournal(file, { now: NOW, check: true });
    assert.is(journal.sqlite.prepare('SELECT count(*) FROM repository').pluck().get(), 4);
    journal.close();
  });
});

fresh('is not made half: a migration that fails leaves nothing', async () => {
  await withFolder(async (folder) => {
    const file = join(folder, 'journal.db');
    const other = new Database(file);
    other.exec('CREATE TABLE pack (its TEXT)'); // in the way of the sixth table
    let failure: unknown;
    await openJournal(file, { now: NOW }).catch((error) => {
      failure = error;
    });
    assert.match(String(failure), /table pack already exists/);
    assert.equal(other.prepare('SELECT name FROM sqlite_master').pluck().all(), ['pack']);
    assert.is(other.pragma('user_version', { simple: true }), 0);
    other.close();
  });
});

fresh.run();

const newer = suite('a journal of a newer version');

newer('is refused, and not a byte of it or of its write-ahead log changes', async () => {
  await withClosedJournal(async (file, folder) => {
    const writer = new Database(file);
    writer.pragma('user_version = 1000'); // in the log, as after a kill
    writer.exec(`INSERT INTO kysely_migration VALUES ('1000-newer', '2030-01-01')`);
    const copy = join(folder, 'copy', 'journal.db');
    await mkdir(join(folder, 'copy'));
    for (const suffix of ['', '-wal']) await copyFile(file + suffix, copy + suffix);
    writer.close();
    const before = [await readFile(copy), await readFile(`${copy}-wal`)];

    const failure = await failureOf(() => openJournal(copy, { now: NOW, check: true }));

    assert.is(failure.message, `open journal ${copy}: it was written by a newer version of skylock`);
    assert.equal([await readFile(copy), await readFile(`${copy}-wal`)], before);
  });
});

newer('by its number alone is none: four bytes have changed, and are put right', async () => {
  await withClosedJournal(async (file) => {
    await overwrite(file, 60, Buffer.of(0x7f));
    const { journal, movedAside } = await openJournal(file, { now: NOW, check: true });
    assert.is(movedAside, null);
    assert.is(unfinishedRuns(journal).length, 1);
    journal.close();
    const { journal: next } = await openJournal(file, { now: NOW, check: true });
    assert.is(next.sqlite.pragma('user_version', { simple: true }), Object.keys(MIGRATIONS).length);
    next.close();
  });
});

newer.run();

const damaged = suite('a damaged journal');

const DAMAGES: readonly [title: string, damage: (file: string) => Promise<void>][] = [
  ['with noise for a header', (file) => overwrite(file, 0, noise(100))],
  ['with a format no SQLite knows', (file) => overwrite(file, 47, Buffer.of(0x7f))],
  [
    'with a letter changed in the name of a column',
    (file) => replaceAll(file, 'stored_size INTEGER', 'Xtored_size INTEGER'),
  ],
  ['with nothing but zeros', async (file) => writeFile(file, Buffer.alloc((await stat(file)).size))],
  [
    'with text in its place',
    (file) => writeFile(file, 'this is no database, whatever its name says\n'.repeat(200)),
  ],
  ['with its first page gone', (file) => overwrite(file, 100, noise(PAGE_BYTES - 100))],
  ['with its second half gone', async (file) => truncate(file, (await stat(file)).size >> 1)],
  [
    'with a part of a page missing at its end',
    async (file) => truncate(file, (await stat(file)).size - 1000),
  ],
  ['with noise for a page in the middle', (file) => overwrite(file, 50 * PAGE_BYTES, noise(PAGE_BYTES))],
];

for (const [title, damage] of DAMAGES) {
  damaged(`${title} is moved aside, and a new one begun`, async () => {
    await withClosedJournal(async (file, folder) => {
      await damage(file);
      const bytes = await readFile(file);
      const { journal, movedAside } = await openJournal(file, { now: NOW, check: true });
      assert.is(movedAside, `${file}.corrupt-20251107T142030Z`);
      assert.equal(await readFile(movedAside!), bytes);
      assert.ok(isSound(journal));
      assert.equal(unfinishedRuns(journal), []);
      assert.is((await stat(file)).mode & 0o777, 0o600);
      journal.close();
      assert.equal(
        (await readdir(folder)).filter((name) => /-wal|-shm/.test(name)),
        [],
      );
    });
  });
}

damaged('that was emptied is simply new, whatever its write-ahead log says', async () => {
  await withClosedJournal(async (file) => {
    const writer = new Database(file);
    writer.exec(`UPDATE repository SET url = 'file:///elsewhere'`);
    const log = await readFile(`${file}-wal`);
    writer.close();
    await truncate(file, 0);
    await writeFile(`${file}-wal`, log);
    const { journal, movedAside } = await openJournal(file, { now: NOW, check: true });
    assert.is(movedAside, null);
    assert.ok(isSound(journal));
    assert.equal(unfinishedRuns(journal), []);
    journal.close();
  });
});

damaged('that another process still has open takes its write-ahead log along', async () => {
  await withClosedJournal(async (file) => {
    const other = new Database(file);
    other.exec('UPDATE entry SET mode = 0');
    await overwrite(file, 140 * PAGE_BYTES, noise(PAGE_BYTES));
    await truncate(file, 141 * PAGE_BYTES);
    const { journal, movedAside } = await openJournal(file, { now: NOW, check: true });
    const journalRepository = rememberRepository(journal, 'new', 'file:///backups');
    other.exec('UPDATE entry SET mode = 1');
    other.close();
    for (const suffix of ['', '-wal', '-shm']) await stat(movedAside + suffix);
    assert.ok(isSound(journal));
    assert.is(rememberRepository(journal, 'new', 'file:///backups'), journalRepository);
    journal.close();
  });
});

damaged('by the write-ahead log of another one is not used as it is', async () => {
  await withClosedJournal(async (file) => {
    await withJournal(async (other) => {
      fill(other.journal, 'pictures');
      other.journal.sqlite.pragma('wal_checkpoint(TRUNCATE)'); // what follows is a part of its pages only
      other.journal.sqlite.exec('UPDATE entry SET mode = 0 WHERE id % 50 = 0');
      await copyFile(`${other.journal.file}-wal`, `${file}-wal`);
    });
    const { journal, movedAside } = await openJournal(file, { now: NOW, check: true });
    assert.type(movedAside, 'string');
    assert.ok(isSound(journal));
    assert.equal(unfinishedRuns(journal), []);
    journal.close();
  });
});

damaged('found by several processes at once is moved aside once', async () => {
  await withClosedJournal(async (file, folder) => {
    await overwrite(file, 0, noise(100));
    const bytes = await readFile(file);
    await withScripts(3, 'open-and-claim.ts', [file], async (scripts) => {
      const { owners, movers } = await race(scripts);
      assert.is(movers, 1);
      assert.is(owners.length, 1);
    });
    const [aside, ...more] = (await readdir(folder)).filter((name) => name.includes('corrupt'));
    assert.equal(more, []);
    assert.equal(await readFile(join(folder, aside!)), bytes);
  });
});

damaged('is looked at once more when another process may have moved it meanwhile', async () => {
  await withClosedJournal(async (file, folder) => {
    await overwrite(file, 0, noise(100));
    await writeFile(`${file}.lock`, '');
    const lock = new Database(`${file}.lock`);
    lock.exec('BEGIN EXCLUSIVE');
    await withScripts(1, 'open-and-claim.ts', [file], async ([script]) => {
      script!.nudge();
      while (!hasOpen(script!.pid, `${file}.lock`)) await delay(5);
      await rm(file);
      (await openJournal(file, { now: NOW })).journal.close();
      lock.close();
      assert.is(await script!.line(1), 'opened');
    });
    assert.equal(
      (await readdir(folder)).filter((name) => name.includes('corrupt')),
      [],
    );
  });
});

damaged('in what its tables are called is found out in use as well, and moved aside', async () => {
  await withClosedJournal(async (file) => {
    await replaceAll(file, 'source_paths BLOB', 'Xource_paths BLOB');
    const { journal } = await openJournal(file, { now: NOW });
    const failure = await failureOf(() => unfinishedRuns(journal));
    assert.is(failure.message, `use journal ${file}: it is damaged`);
    journal.close();
    const { journal: next, movedAside } = await openJournal(file, { now: NOW, check: true });
    assert.is(movedAside, null);
    assert.equal(unfinishedRuns(next), []);
    next.close();
  });
});

damaged('that is found out while in use is moved aside when it is closed', async () => {
  await withClosedJournal(async (file) => {
    for (let page = 50; page < 90; page += 1) await overwrite(file, page * PAGE_BYTES, noise(PAGE_BYTES));
    const { journal, movedAside } = await openJournal(file, { now: NOW });
    assert.is(movedAside, null);
    const sourceSet = 1; // the first of the journal
    const failure = await failureOf(() => [...journalEntries(journal, sourceSet)]);
    assert.is(failure.message, `use journal ${file}: it is damaged`);
    journal.close();
    const { journal: next } = await openJournal(file, { now: NOW });
    assert.ok(isSound(next));
    assert.equal(unfinishedRuns(next), []);
    next.close();
  });
});

damaged.run();

const disk = suite('a disk that says no');

disk('because it is full undoes the transaction, and lets the next one through', async () => {
  await withJournal(async (lent) => {
    const { journal } = lent;
    const run = claim(lent);
    const added = Array.from({ length: 500 }, (_, index) => entryAt(`/home/docs/${index}`));
    const plan = { added, changed: [], moved: [], gone: [] };
    const pages = journal.sqlite.pragma('page_count', { simple: true });
    journal.sqlite.pragma(`max_page_count = ${pages}`);
    const failure = await failureOf(() => applyPlan(journal, run, plan));
    assert.is(failure.message, `use journal ${journal.file}: the disk is full`);
    assert.match(failure.hints[0]!, /Make room/);
    assert.equal([...journalEntries(journal, run.sourceSet)], []);
    journal.sqlite.pragma('max_page_count = 100000');
    applyPlan(journal, run, plan);
    assert.is([...journalEntries(journal, run.sourceSet)].length, 500);
  });
});

disk('because it is read-only is told as such', async () => {
  await withJournal(async (lent) => {
    lent.journal.sqlite.pragma('query_only = ON');
    const failure = await failureOf(() => claim(lent));
    assert.is(failure.message, `use journal ${lent.journal.file}: the disk is read-only`);
  });
});

const PLACES: readonly [title: string, prepare: (file: string) => Promise<unknown>][] = [
  ['a folder in the place of the journal', (file) => mkdir(file, { recursive: true })],
  ['a file in the place of its folder', (file) => writeFile(join(file, '..'), 'a file')],
];
for (const [title, prepare] of PLACES) {
  disk(`because of ${title} is told as such`, async () => {
    await withFolder(async (folder) => {
      const file = join(folder, 'data', 'journal.db');
      await prepare(file);
      const failure = await failureOf(() => openJournal(file, { now: NOW }));
      assert.is(
        failure.message,
        `open journal ${file}: something else is in its place, or in that of its folder`,
      );
    });
  });
}

disk.run();
