import { readdirSync, readFileSync } from 'node:fs';
import {
  appendFile,
  mkdir,
  open,
  readdir,
  rm,
  rmdir,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { JournalEntry } from '../../lib/journal/entries.ts';
import { completeRun, type Run } from '../../lib/journal/runs.ts';
import { openStateFile, type StateFile } from '../../lib/journal/state-file.ts';
import { recordTotals } from '../../lib/journal/totals.ts';
import { recordUploaded } from '../../lib/journal/uploading.ts';
import { add, claim, entryAt, failureOf, type Lent, NOW, packOf, piecesOf, withJournal } from './fixture.ts';

interface Backup extends Lent {
  readonly run: Run;
  readonly state: StateFile;
  readonly stateFolder: string;
  readonly file: string;
  /** The files of the run, in the order they are uploaded in. */
  readonly files: readonly JournalEntry[];
  /** Records so many more files as uploaded and notes them. */
  upload(count: number, at?: Date): void;
  uploaded(): string[];
}

/** Not the order of the paths, which is that of the file after it was written anew. */
function mixed(a: JournalEntry, b: JournalEntry): number {
  return Number((a.id * 7919n) % 1009n) - Number((b.id * 7919n) % 1009n);
}

/** Lends a run whose scan has found so many files. */
async function withBackup(
  paths: number | readonly Buffer[],
  use: (backup: Backup) => Promise<void>,
  { order = mixed }: { readonly order?: (a: JournalEntry, b: JournalEntry) => number } = {},
): Promise<void> {
  await withJournal(async (lent) => {
    const run = claim(lent);
    const names =
      typeof paths === 'number'
        ? Array.from({ length: paths }, (_, index) =>
            Buffer.from(`/home/docs/${String(index).padStart(5, '0')}`),
          )
        : paths;
    const files = add(lent.journal, run, ...names.map((path) => entryAt(path)));
    files.sort(order);
    const stateFolder = join(lent.folder, 'resume_state');
    const state = openStateFile(lent.journal, run, {
      folder: stateFolder,
      sourcePaths: [Buffer.from('/home/docs')],
    });
    const done: JournalEntry[] = [];
    await use({
      ...lent,
      run,
      state,
      stateFolder,
      file: join(stateFolder, '20251107_142030.json'),
      files,
      upload(count, at = NOW) {
        const batch = files.slice(done.length, done.length + count);
        done.push(...batch);
        const completed = batch.map(({ id }) => ({ entry: id, chunks: 1, bytes: 3000, torn: false }));
        const pieces = batch.flatMap(({ id }) => piecesOf(id, 0, 'x'));
        recordUploaded(lent.journal, run, { pack: packOf('x'), pieces, completed, bytes: 3000 }, at);
        state.noteUploaded(batch.map(({ path }) => path));
      },
      uploaded: () => done.map(({ path }) => String(path)),
    });
  });
}

interface Content {
  readonly uploaded_files: string[];
  readonly total_files: number;
  readonly last_updated: string;
}

function contentOf(file: string): Content {
  return JSON.parse(readFileSync(file, 'utf8')) as Content;
}

/** The file lists what was uploaded, each once. */
function assertExact({ file, uploaded }: Backup): void {
  assert.equal(contentOf(file).uploaded_files.toSorted(), uploaded().toSorted());
}

const content = suite('the state file');

content('has the six fields and no other', async () => {
  await withBackup(3, async (backup) => {
    backup.upload(2, new Date('2025-11-07T14:25:15.999Z'));
    await backup.state.save();
    assert.equal(JSON.parse(readFileSync(backup.file, 'utf8')), {
      backup_id: '20251107_142030',
      started_at: '2025-11-07T14:20:30Z',
      source_paths: ['/home/docs'],
      uploaded_files: backup.uploaded().sort(),
      total_files: 3,
      last_updated: '2025-11-07T14:25:15Z',
    });
  });
});

content('is there before the first scan is through, and says that nothing is', async () => {
  await withJournal(async (lent) => {
    const first = claim(lent);
    const [file] = add(lent.journal, first, entryAt('/home/docs/old'));
    const pieces = piecesOf(file!.id, 0, 'x');
    const completed = [{ entry: file!.id, chunks: 1, bytes: 3000, torn: false }];
    recordUploaded(lent.journal, first, { pack: packOf('x'), pieces, completed, bytes: 3000 }, NOW);
    completeRun(lent.journal, first);
    const run = claim(lent);
    const folder = join(lent.folder, 'resume_state');
    await openStateFile(lent.journal, run, { folder, sourcePaths: [] }).rewrite();
    const { uploaded_files, total_files } = contentOf(join(folder, `${run.backupId}.json`));
    assert.equal({ uploaded_files, total_files }, { uploaded_files: [], total_files: 0 });
  });
});

content('lists after a plan what that found to be uploaded, with the next save', async () => {
  for (const [listed, planned] of [
    [0, 0],
    [0, 3],
    [3, 0],
    [3, 4],
  ] as const) {
    await withBackup(9, async (backup) => {
      const { state, files, journal } = backup;
      backup.upload(listed);
      await state.save();
      // As a plan: some of what was uploaded has changed, and what was changed back counts again.
      const isUploaded = journal.sqlite.prepare('UPDATE entry SET state = ? WHERE id = ?');
      files.forEach(({ id }, index) => void isUploaded.run(index < planned ? 'uploaded' : 'pending', id));
      state.notePlanned(planned);
      recordUploaded(journal, backup.run, lastOf(files), NOW);
      state.noteUploaded([files.at(-1)!.path]);
      await state.save();
      const expected = [...files.slice(0, planned), files.at(-1)!].map(({ path }) => String(path));
      assert.equal(
        contentOf(backup.file).uploaded_files.toSorted(),
        expected.sort(),
        `${listed}, ${planned}`,
      );
    });
  }
});

content('that was being saved while the plan came to its end lists what that found', async () => {
  await withBackup(9, async (backup) => {
    const { state, files, journal } = backup;
    await state.rewrite();
    backup.upload(1);
    const saved = state.save();
    await turn();
    journal.sqlite.prepare(`UPDATE entry SET state = 'uploaded' WHERE id = ?`).run(files[1]!.id);
    state.notePlanned(2);
    await saved;
    await state.save();
    const expected = files.slice(0, 2).map(({ path }) => String(path));
    assert.equal(contentOf(backup.file).uploaded_files.toSorted(), expected.sort());
  });
});

function lastOf(files: readonly JournalEntry[]) {
  const { id } = files.at(-1)!;
  const completed = [{ entry: id, chunks: 1, bytes: 3000, torn: false }];
  return { pack: packOf('x'), pieces: piecesOf(id, 0, 'x'), completed, bytes: 3000 };
}

content('is for its owner alone, and so is its folder', async () => {
  await withBackup(20, async ({ state, stateFolder, upload }) => {
    await state.rewrite();
    for (let round = 0; round < 4; round += 1) {
      upload(2);
      await state.save();
      for (const name of await readdir(stateFolder)) {
        assert.is((await stat(join(stateFolder, name))).mode & 0o777, 0o600, name);
      }
    }
    assert.is((await stat(stateFolder)).mode & 0o777, 0o700);
  });
});

const ODD = ['/q"uote\\', '/line\nfeed\u0001', '/\u2028', '/häuser/日本', '/]', '/,"total_files": 9'];
content('can be read whatever a file is called', async () => {
  const paths = [...ODD.map((path) => Buffer.from(path)), Buffer.from([0x2f, 0xff, 0x61])];
  await withBackup(paths, async (backup) => {
    for (let round = 0; round < paths.length; round += 1) {
      backup.upload(1);
      await backup.state.save();
    }
    const { uploaded_files } = contentOf(backup.file);
    assert.equal(uploaded_files.toSorted(), [...ODD, '/\ufffda'].sort());
  });
});

content.run();

const saving = suite('a save');

saving('adds what became uploaded, whatever came before', async () => {
  await withBackup(400, async (backup) => {
    await backup.state.rewrite();
    assertExact(backup);
    for (const count of [0, 1, 0, 2, 30, 1, 1, 100, 0, 5, 260]) {
      backup.upload(count);
      if (count === 30) await backup.state.rewrite();
      await backup.state.save();
      assertExact(backup);
    }
    assert.is(backup.uploaded().length, 400);
    assert.equal(contentOf(backup.file).uploaded_files.length, 400);
  });
});

saving('appends: two files take turns, and none is made anew', async () => {
  await withBackup(60, async ({ state, file, upload }) => {
    await state.rewrite();
    const inodes: bigint[] = [];
    for (let round = 0; round < 20; round += 1) {
      upload(3);
      await state.save();
      inodes.push((await stat(file, { bigint: true })).ino);
    }
    assert.is(new Set(inodes).size, 2);
  });
});

saving('leaves the file alone when nothing has changed', async () => {
  await withBackup(5, async ({ state, file, upload }) => {
    upload(2);
    await state.save();
    const before = await stat(file, { bigint: true });
    await state.save();
    const after = await stat(file, { bigint: true });
    assert.equal([after.ino, after.ctimeNs], [before.ino, before.ctimeNs]);
  });
});

saving('tells of progress inside a file by its time', async () => {
  await withBackup(5, async (backup) => {
    backup.upload(2);
    await backup.state.save();
    const at = new Date('2025-11-07T15:00:00Z');
    recordUploaded(backup.journal, backup.run, { pack: null, pieces: [], completed: [], bytes: 0 }, at);
    await backup.state.save();
    assert.is(contentOf(backup.file).last_updated, '2025-11-07T15:00:00Z');
    assertExact(backup);
  });
});

saving('asked for many times at once is done one after another', async () => {
  await withBackup(100, async (backup) => {
    const saves: Promise<void>[] = [];
    for (let round = 0; round < 25; round += 1) {
      backup.upload(4);
      saves.push(round % 10 === 5 ? backup.state.rewrite() : backup.state.save());
    }
    await Promise.all(saves);
    assertExact(backup);
  });
});

const ORDERS: readonly [title: string, order: (a: JournalEntry, b: JournalEntry) => number][] = [
  ['in the order of their paths', (a, b) => a.path.compare(b.path)],
  ['in the reverse order', (a, b) => b.path.compare(a.path)],
  ['in any order', mixed],
];
for (const [title, order] of ORDERS) {
  for (const everyRounds of [1, 5]) {
    const pace = everyRounds === 1 ? 'all the time' : 'now and then';
    saving(`lists files once that become uploaded ${title}, ${pace}, while it is written anew`, async () => {
      const use = async (backup: Backup) => {
        backup.upload(2000);
        let isOver = false;
        const rewritten = backup.state.rewrite().then(() => {
          isOver = true;
        });
        let rounds = 0;
        for (; !isOver; rounds += 1) {
          if (rounds % everyRounds === 0) backup.upload(2);
          await new Promise(setImmediate);
        }
        await rewritten;
        assert.ok(rounds > 5, 'files were uploaded while the list was being written');
        await backup.state.save();
        assertExact(backup);
      };
      await withBackup(2500, use, { order });
    });
  }
}

saving('shows the list before or the one after to who reads meanwhile', async () => {
  await withBackup(3000, async (backup) => {
    await backup.state.rewrite();
    const seen = new Set<number>();
    for (let round = 0; round < 30; round += 1) {
      backup.upload(100);
      let isOver = false;
      const saved = (round % 10 === 9 ? backup.state.rewrite() : backup.state.save()).then(() => {
        isOver = true;
      });
      for (; !isOver; await new Promise(setImmediate)) seen.add(contentOf(backup.file).uploaded_files.length);
      await saved;
    }
    assert.equal(
      [...seen].filter((length) => length % 100 !== 0),
      [],
    );
  });
});

saving('after the backup is complete does not bring the file back', async () => {
  await withBackup(10, async ({ state, stateFolder, upload }) => {
    for (let round = 0; round < 3; round += 1) {
      upload(3);
      await state.save();
    }
    await Promise.all([state.remove(), state.save(), state.rewrite()]);
    assert.equal(await readdir(stateFolder), []);
  });
});

saving('leaves nothing but the file once it was written anew', async () => {
  await withBackup(10, async ({ state, stateFolder, upload }) => {
    for (let round = 0; round < 3; round += 1) {
      upload(3);
      await state.save();
    }
    await writeFile(join(stateFolder, '20251107_142030.json.tmp'), 'left by a process that was killed');
    await state.rewrite();
    assert.equal(await readdir(stateFolder), ['20251107_142030.json']);
  });
});

saving.run();

const meddling = suite('somebody who meddles with the state file');

const DEEDS: readonly [title: string, deed: (backup: Backup) => Promise<unknown>][] = [
  ['deletes it', ({ file }) => rm(file)],
  ['empties it', ({ file }) => truncate(file)],
  ['cuts it short', ({ file }) => truncate(file, 40)],
  ['adds to it', ({ file }) => appendFile(file, 'x')],
  ['writes another in its place', ({ file }) => writeFile(file, '{"uploaded_files": ["/etc/passwd"]}')],
  ['edits it without a change of its size or its time', editQuietly],
  ['deletes the version before', ({ file }) => rm(`${file}.old`)],
  ['edits the version before', ({ file }) => appendFile(`${file}.old`, 'x')],
  ['deletes its folder', ({ stateFolder }) => rm(stateFolder, { recursive: true })],
  ['empties its folder and all that lies beside it', deleteAll],
];

async function editQuietly({ file }: Backup): Promise<void> {
  const { atime, mtime } = await stat(file);
  const handle = await open(file, 'r+');
  await handle.write('X', readFileSync(file, 'utf8').lastIndexOf('/home/docs/'));
  await handle.close();
  await utimes(file, atime, mtime);
}

async function deleteAll({ stateFolder }: Backup): Promise<void> {
  for (const name of readdirSync(stateFolder)) await rm(join(stateFolder, name));
}

for (const [title, deed] of DEEDS) {
  meddling(`and ${title} changes nothing but that it is written again`, async () => {
    await withBackup(60, async (backup) => {
      for (let round = 0; round < 4; round += 1) {
        backup.upload(5);
        await backup.state.save();
      }
      await deed(backup);
      await backup.state.save(); // with nothing to add
      assertExact(backup);
      for (let round = 0; round < 3; round += 1) {
        backup.upload(5);
        await backup.state.save();
        assertExact(backup);
      }
    });
  });
}

meddling('and makes a save fail half-way loses nothing', async () => {
  await withBackup(20, async (backup) => {
    await backup.state.save();
    for (const attempt of [() => backup.state.save(), () => backup.state.rewrite()]) {
      await mkdir(`${backup.file}.tmp`);
      backup.upload(5);
      const failure = await failureOf(attempt);
      assert.match(failure.message, `write state file ${backup.file}: something else is in its place`);
      await rmdir(`${backup.file}.tmp`);
      backup.upload(5);
      await backup.state.save();
      assertExact(backup);
    }
  });
});

meddling('and puts a file in the place of its folder is told so, until it is gone', async () => {
  await withBackup(20, async (backup) => {
    backup.upload(5);
    await backup.state.save();
    await rm(backup.stateFolder, { recursive: true });
    await writeFile(backup.stateFolder, 'a file');
    backup.upload(5);
    for (const attempt of [() => backup.state.save(), () => backup.state.rewrite()]) {
      const failure = await failureOf(attempt);
      assert.match(failure.message, `write state file ${backup.file}: something else is in its place`);
    }
    await rm(backup.stateFolder);
    await backup.state.save();
    assertExact(backup);
  });
});

meddling.run();

const totals = suite('the totals');

totals('follow the scan of a run that goes on', async () => {
  await withBackup(10, async (backup) => {
    backup.upload(4);
    await backup.state.save();
    // The version that is appended to was the longer one, too.
    for (const totalFiles of [1_000_000, 2_000_000, 12, 13]) {
      const counts = { totalFiles, totalBytes: 36_000, uploadedFiles: 4, uploadedBytes: 12_000 };
      recordTotals(backup.journal, backup.run, counts, NOW);
      await backup.state.save();
      assert.is(contentOf(backup.file).total_files, totalFiles);
      assertExact(backup);
    }
  });
});

totals.run();
