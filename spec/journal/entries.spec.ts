import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openJournal } from '../../lib/journal/database.ts';
import { journalEntries } from '../../lib/journal/entries.ts';
import { forgetAllPacks, forgetPacks, isKnownChunk, knownPacks } from '../../lib/journal/packs.ts';
import { durablePrefix, partlyUploadedBytes } from '../../lib/journal/pieces.ts';
import { applyPlan, resetEntry } from '../../lib/journal/planned-entries.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import { completeRun, type Run } from '../../lib/journal/runs.ts';
import { totalsOf } from '../../lib/journal/totals.ts';
import { demoteBrokenFiles, uploadedEntries, uploadedPaths } from '../../lib/journal/uploaded-entries.ts';
import { markUnreadable, pendingFiles, type ReadFile, recordUploaded } from '../../lib/journal/uploading.ts';
import { add, claim, entryAt, hash, type Lent, NOW, packOf, piecesOf, withJournal } from './fixture.ts';

const LATER = new Date(NOW.getTime() + 60_000);

function read(entry: bigint, chunks: number, torn = false): ReadFile {
  return { entry, chunks, bytes: 1000 * chunks, torn };
}

/** Uploads one file, whose chunks have these names, with a pack that holds them all. */
function upload({ journal }: Lent, run: Run, entry: bigint, ...names: string[]): void {
  const batch = {
    pack: packOf(...names),
    pieces: piecesOf(entry, 0, ...names),
    completed: [read(entry, names.length)],
    bytes: 1000 * names.length,
  };
  recordUploaded(journal, run, batch, NOW);
}

function statesOf({ journal }: Lent, run: Run): Record<string, string> {
  return Object.fromEntries(
    [...journalEntries(journal, run.sourceSet)].map(({ path, state }) => [String(path), state]),
  );
}

const entries = suite('entries');

const INTEGERS = [0n, 1n, 2n ** 53n - 1n, 2n ** 53n + 1n, 1_762_525_230_123_456_789n, 2n ** 63n - 1n, -1n];
entries('come back to the last bit', async () => {
  await withJournal((lent) => {
    const found = INTEGERS.map((value, index) =>
      entryAt(`/home/docs/${index}`, {
        size: value,
        mtimeNs: value,
        ctimeNs: value,
        inode: value,
        device: value,
        links: value,
        specialDevice: value,
        type: index % 2 === 0 ? 'file' : 'symlink',
        target: index % 2 === 0 ? null : Buffer.from([0xff, 0x2f, 0x80]),
      }),
    );
    const rows = add(lent.journal, claim(lent), ...found);
    assert.equal(
      rows.map(({ id, state, ...entry }) => entry),
      found,
    );
  });
});

const PATHS: readonly Buffer[] = [
  Buffer.from('/a'),
  Buffer.from('/a-b'),
  Buffer.from('/a/c'),
  Buffer.from([0x2f, 0x61, 0x80]),
  Buffer.from('/a\n"\u0001'),
  Buffer.from('/\u{10ffff}'),
  Buffer.from([0x2f, 0xff, 0xfe]),
  Buffer.concat([Buffer.from('/long'), Buffer.alloc(4000, 0x78)]),
];
entries('come in the byte order of their paths, which are bytes', async () => {
  await withJournal((lent) => {
    const rows = add(lent.journal, claim(lent), ...PATHS.map((path) => entryAt(path)));
    assert.equal(
      rows.map(({ path }) => path),
      PATHS.toSorted(Buffer.compare),
    );
  });
});

for (const count of [0, 1, 499, 500, 501, 1000, 1001]) {
  entries(`come all and once, however many there are: ${count}`, async () => {
    await withJournal((lent) => {
      const run = claim(lent);
      const paths = Array.from(
        { length: count },
        (_, index) => `/home/docs/${String(index).padStart(5, '0')}`,
      );
      const rows = add(lent.journal, run, ...paths.map((path) => entryAt(path)));
      assert.equal(
        rows.map(({ path }) => String(path)),
        paths,
      );
      assert.equal(
        Array.from(pendingFiles(lent.journal, run.sourceSet), ({ path }) => String(path)),
        paths,
      );
      const batch = {
        pack: packOf('x'),
        pieces: rows.flatMap(({ id }) => piecesOf(id, 0, 'x')),
        completed: rows.map(({ id }) => read(id, 1)),
        bytes: 1000 * rows.length,
      };
      recordUploaded(lent.journal, run, batch, NOW);
      assert.equal([...uploadedPaths(lent.journal, run.sourceSet)].flat().map(String), paths);
      assert.equal(
        Array.from(uploadedEntries(lent.journal, run.sourceSet), ({ path }) => String(path)),
        paths,
      );
      assert.equal([...pendingFiles(lent.journal, run.sourceSet)], []);
    });
  });
}

entries('that wait say whether they were begun', async () => {
  await withJournal((lent) => {
    const run = claim(lent);
    const [begun] = add(lent.journal, run, entryAt('/begun'), entryAt('/not begun'));
    recordUploaded(
      lent.journal,
      run,
      { pack: packOf('a'), pieces: piecesOf(begun!.id, 0, 'a'), completed: [], bytes: 1000 },
      NOW,
    );
    assert.equal(
      Array.from(pendingFiles(lent.journal, run.sourceSet), ({ path, begun }) => [String(path), begun]),
      [
        ['/begun', 1n],
        ['/not begun', 0n],
      ],
    );
  });
});

entries('of one source set are not those of another', async () => {
  await withJournal((lent) => {
    const docs = claim(lent);
    const pictures = claim(lent, { name: 'pictures' });
    add(lent.journal, docs, entryAt('/home/x'));
    assert.equal([...journalEntries(lent.journal, pictures.sourceSet)], []);
    add(lent.journal, pictures, entryAt('/home/x'));
    assert.is([...journalEntries(lent.journal, docs.sourceSet)].length, 1);
  });
});

entries('wait for upload when they are files with content', async () => {
  await withJournal((lent) => {
    const run = claim(lent);
    const others = ['folder', 'symlink', 'fifo', 'socket', 'block_device', 'character_device'];
    add(
      lent.journal,
      run,
      entryAt('/full'),
      entryAt('/empty', { size: 0n }),
      ...others.map((type) => entryAt(`/${type}`, { type, size: 0n })),
    );
    assert.equal(
      Array.from(pendingFiles(lent.journal, run.sourceSet), ({ path }) => String(path)),
      ['/full'],
    );
    assert.equal([...uploadedPaths(lent.journal, run.sourceSet)].flat().map(String), ['/empty']);
    assert.is([...uploadedEntries(lent.journal, run.sourceSet)].length, 7);
  });
});

entries('may be given back one by one while they change', async () => {
  await withJournal((lent) => {
    const run = claim(lent);
    add(
      lent.journal,
      run,
      ...Array.from({ length: 1200 }, (_, index) => entryAt(`/${String(index).padStart(4, '0')}`)),
    );
    const seen: string[] = [];
    for (const { id, path } of pendingFiles(lent.journal, run.sourceSet)) {
      seen.push(String(path));
      if (seen.length % 3 === 0) markUnreadable(lent.journal, id);
    }
    assert.is(seen.length, 1200);
    assert.is(new Set(seen).size, 1200);
  });
});

entries.run();

const planning = suite('a plan');

planning('adds, changes, moves and drops entries', async () => {
  await withJournal((lent) => {
    const { journal } = lent;
    const run = claim(lent);
    const rows = add(journal, run, ...['/changed', '/gone', '/kept', '/moved'].map((path) => entryAt(path)));
    const batch = {
      pack: packOf('x'),
      pieces: rows.flatMap(({ id }) => piecesOf(id, 0, 'x')),
      completed: rows.map(({ id }) => read(id, 1)),
      bytes: 1000 * rows.length,
    };
    recordUploaded(journal, run, batch, NOW);
    const [changed, gone, , moved] = rows;
    applyPlan(journal, run, {
      added: [entryAt('/added')],
      changed: [{ id: changed!.id, entry: entryAt('/changed', { mtimeNs: 5n }) }],
      moved: [{ id: moved!.id, entry: entryAt('/moved', { device: 65n }), state: 'uploaded' }],
      gone: [gone!.id],
    });
    assert.equal(statesOf(lent, run), {
      '/added': 'pending',
      '/changed': 'pending',
      '/kept': 'uploaded',
      '/moved': 'uploaded',
    });
    assert.equal(durablePrefix(journal, run.journalRepository, changed!.id), { chunks: 0, bytes: 0 });
    assert.equal(durablePrefix(journal, run.journalRepository, gone!.id), { chunks: 0, bytes: 0 });
    assert.equal(durablePrefix(journal, run.journalRepository, moved!.id), { chunks: 1, bytes: 1000 });
    const now = [...journalEntries(journal, run.sourceSet)];
    assert.is(now.find(({ path }) => String(path) === '/changed')!.mtimeNs, 5n);
    assert.is(now.find(({ path }) => String(path) === '/moved')!.device, 65n);
  });
});

planning('is written down whole or not at all', async () => {
  await withJournal((lent) => {
    const run = claim(lent);
    add(lent.journal, run, entryAt('/there'));
    const plan = { added: [entryAt('/new'), entryAt('/there')], changed: [], moved: [], gone: [] };
    assert.throws(() => applyPlan(lent.journal, run, plan), /UNIQUE/);
    assert.equal(Object.keys(statesOf(lent, run)), ['/there']);
  });
});

planning.run();

const uploading = suite('what was uploaded');

uploading('completes a file with its last piece, in whatever order the packs become durable', async () => {
  await withJournal((lent) => {
    const { journal } = lent;
    const run = claim(lent);
    const [file] = add(journal, run, entryAt('/big', { size: 4000n }));
    const { id } = file!;
    const record = (names: string[], from: number, completed: ReadFile[] = []) =>
      recordUploaded(
        journal,
        run,
        {
          pack: packOf(...names),
          pieces: piecesOf(id, from, ...names),
          completed,
          bytes: 1000 * names.length,
        },
        LATER,
      );
    record(['c'], 2);
    assert.equal(durablePrefix(journal, run.journalRepository, id), { chunks: 0, bytes: 0 });
    assert.is(partlyUploadedBytes(journal, run), 0);
    record(['a'], 0);
    assert.equal(durablePrefix(journal, run.journalRepository, id), { chunks: 1, bytes: 1000 });
    record(['b'], 1);
    assert.equal(durablePrefix(journal, run.journalRepository, id), { chunks: 3, bytes: 3000 });
    assert.is(partlyUploadedBytes(journal, run), 3000);
    assert.equal(statesOf(lent, run), { '/big': 'pending' });
    record(['d'], 3, [read(id, 4)]);
    assert.equal(statesOf(lent, run), { '/big': 'uploaded' });
    assert.is(partlyUploadedBytes(journal, run), 0);
    assert.equal([...uploadedEntries(journal, run.sourceSet)][0]!.chunks, ['a', 'b', 'c', 'd'].map(hash));
    const { uploadedFiles, uploadedBytes, updatedAt } = totalsOf(journal, run);
    assert.equal(
      { uploadedFiles, uploadedBytes, updatedAt },
      { uploadedFiles: 1, uploadedBytes: 4000, updatedAt: LATER },
    );
  });
});

uploading('counts a file once, even when the same is recorded again', async () => {
  await withJournal((lent) => {
    const { journal } = lent;
    const run = claim(lent);
    const [file] = add(journal, run, entryAt('/a'));
    const batch = {
      pack: packOf('a', 'b'),
      pieces: piecesOf(file!.id, 0, 'a', 'b'),
      completed: [read(file!.id, 2)],
      bytes: 2000,
    };
    recordUploaded(journal, run, batch, NOW);
    recordUploaded(journal, run, batch, NOW);
    assert.is(totalsOf(journal, run).uploadedFiles, 1);
    assert.is(knownPacks(journal, run.journalRepository).length, 1);
  });
});

uploading('never completes a file one of whose pieces is missing, and then records nothing', async () => {
  await withJournal((lent) => {
    const { journal } = lent;
    const run = claim(lent);
    const [file] = add(journal, run, entryAt('/a'));
    const gap = [...piecesOf(file!.id, 0, 'a'), ...piecesOf(file!.id, 2, 'c')];
    // As many pieces as there should be, and yet one is missing: the last is of a version that was longer.
    for (const pieces of [gap, [...gap, ...piecesOf(file!.id, 3, 'c')]]) {
      const batch = { pack: packOf('a', 'c'), pieces, completed: [read(file!.id, 3)], bytes: 0 };
      assert.throws(() => recordUploaded(journal, run, batch, NOW), /not all of its 3 chunks are recorded/);
    }
    assert.equal(statesOf(lent, run), { '/a': 'pending' });
    assert.not(isKnownChunk(journal, run.journalRepository, hash('a')));
    assert.is(totalsOf(journal, run).uploadedFiles, 0);
  });
});

uploading('of a file that has become shorter forgets the pieces behind its end', async () => {
  await withJournal((lent) => {
    const { journal } = lent;
    const run = claim(lent);
    const [file] = add(journal, run, entryAt('/a'));
    const { id } = file!;
    recordUploaded(
      journal,
      run,
      { pack: packOf('a', 'b', 'c'), pieces: piecesOf(id, 0, 'a', 'b', 'c'), completed: [], bytes: 0 },
      NOW,
    );
    recordUploaded(
      journal,
      run,
      { pack: null, pieces: piecesOf(id, 0, 'c'), completed: [read(id, 1)], bytes: 0 },
      NOW,
    );
    assert.equal([...uploadedEntries(journal, run.sourceSet)][0]!.chunks, [hash('c')]);
  });
});

uploading('of a file that changed meanwhile counts for nothing any more', async () => {
  await withJournal((lent) => {
    const { journal } = lent;
    const run = claim(lent);
    const [file] = add(journal, run, entryAt('/a'));
    recordUploaded(
      journal,
      run,
      { pack: packOf('a'), pieces: piecesOf(file!.id, 0, 'a'), completed: [], bytes: 0 },
      NOW,
    );
    resetEntry(journal, run, file!.id, entryAt('/a', { size: 9n }));
    assert.equal(durablePrefix(journal, run.journalRepository, file!.id), { chunks: 0, bytes: 0 });
    assert.ok(isKnownChunk(journal, run.journalRepository, hash('a')));
  });
});

uploading('of a file that never stood still is kept, and read again by the next run', async () => {
  await withJournal((lent) => {
    const { journal } = lent;
    const run = claim(lent);
    const [file] = add(journal, run, entryAt('/a'));
    const batch = {
      pack: packOf('a'),
      pieces: piecesOf(file!.id, 0, 'a'),
      completed: [read(file!.id, 1, true)],
      bytes: 1000,
    };
    recordUploaded(journal, run, batch, NOW);
    const [row] = [...uploadedEntries(journal, run.sourceSet)];
    assert.is(row!.size, 1000n);
    assert.is(row!.ctimeNs, 0n);
  });
});

uploading('holds the chunks of small and of huge files, in their order', async () => {
  await withJournal((lent) => {
    const { journal } = lent;
    const run = claim(lent);
    const limit = 8n * 1024n * 1024n;
    const sizes: Record<string, bigint> = {
      '/1': limit - 1n,
      '/2': limit,
      '/3': limit + 1n,
      '/4': 5n,
      '/5': 0n,
    };
    const rows = add(journal, run, ...Object.entries(sizes).map(([path, size]) => entryAt(path, { size })));
    const names = Array.from({ length: 12 }, (_, index) => `chunk ${11 - index}`);
    recordUploaded(journal, run, { pack: packOf(...names), pieces: [], completed: [], bytes: 0 }, NOW);
    for (const { id, size } of rows) {
      if (size === 0n) continue;
      recordUploaded(
        journal,
        run,
        { pack: null, pieces: piecesOf(id, 0, ...names), completed: [read(id, 12)], bytes: 0 },
        NOW,
      );
    }
    const chunks = [...uploadedEntries(journal, run.sourceSet)].map((entry) => entry.chunks);
    const all = names.map(hash);
    assert.equal(chunks, [all, all, all, all, []]);
  });
});

uploading.run();

const lost = suite('a chunk that is lost on the remote');

lost('makes every file that needs it pending again, and takes it off the count', async () => {
  await withJournal((lent) => {
    const { journal } = lent;
    const run = claim(lent);
    const sizes = { '/both': 2000n, '/first': 1000n, '/second': 1000n };
    const rows = add(journal, run, ...Object.entries(sizes).map(([path, size]) => entryAt(path, { size })));
    upload(lent, run, rows[1]!.id, 'a');
    upload(lent, run, rows[2]!.id, 'b');
    upload(lent, run, rows[0]!.id, 'a', 'b'); // its pack brings nothing new
    const pack = knownPacks(journal, run.journalRepository).find(({ name }) => name.equals(packOf('a').name));
    forgetPacks(journal, [pack!.id]);
    assert.equal(demoteBrokenFiles(journal, run, LATER), { files: 2, bytes: 3000 });
    assert.equal(statesOf(lent, run), { '/both': 'pending', '/first': 'pending', '/second': 'uploaded' });
    assert.is(totalsOf(journal, run).uploadedFiles, 1);
    assert.equal(durablePrefix(journal, run.journalRepository, rows[0]!.id), { chunks: 0, bytes: 0 });
    assert.equal(demoteBrokenFiles(journal, run, LATER), { files: 0, bytes: 0 });
  });
});

lost('is not taken off a count that never had it', async () => {
  await withJournal((lent) => {
    const { journal } = lent;
    const first = claim(lent);
    const [file] = add(journal, first, entryAt('/a'));
    upload(lent, first, file!.id, 'a');
    completeRun(journal, first);
    const second = claim(lent);
    forgetPacks(
      journal,
      knownPacks(journal, second.journalRepository).map(({ id }) => id),
    );
    demoteBrokenFiles(journal, second, NOW);
    assert.is(totalsOf(journal, second).uploadedFiles, 0);
    assert.is(totalsOf(journal, second).uploadedBytes, 0);
  });
});

lost('is found by whoever looked before another process had forgotten its pack', async () => {
  await withJournal(async (lent) => {
    const { journal, journalRepository } = lent;
    const run = claim(lent);
    const [file] = add(journal, run, entryAt('/a', { size: 1000n }));
    upload(lent, run, file!.id, 'a');
    assert.equal(demoteBrokenFiles(journal, run, LATER), { files: 0, bytes: 0 });
    assert.equal(demoteBrokenFiles(journal, run, LATER), { files: 0, bytes: 0 });
    const { journal: another } = await openJournal(journal.file, { now: NOW });
    forgetAllPacks(another, journalRepository);
    another.close();
    assert.equal(demoteBrokenFiles(journal, run, LATER), { files: 1, bytes: 1000 });
  });
});

lost('of one repository is not lost in another', async () => {
  await withJournal((lent) => {
    const { journal } = lent;
    const other = { ...lent, journalRepository: rememberRepository(journal, 'second', 'file:///other') };
    const [here, there] = [claim(lent), claim(other)];
    for (const run of [here, there]) {
      const [file] = add(journal, run, entryAt('/a', { size: 1000n }));
      upload(lent, run, file!.id, 'a');
    }
    forgetPacks(
      journal,
      knownPacks(journal, here.journalRepository).map(({ id }) => id),
    );
    assert.equal(demoteBrokenFiles(journal, there, NOW), { files: 0, bytes: 0 });
    assert.equal(demoteBrokenFiles(journal, here, NOW), { files: 1, bytes: 1000 });
  });
});

lost.run();

const damaged = suite('a file of which the journal has lost rows');

for (const [what, change] of [
  ['whose last piece is gone', 'DELETE FROM entry_chunk WHERE position = 2'],
  ['whose first piece is gone', 'DELETE FROM entry_chunk WHERE position = 0'],
  ['of which no piece is left', 'DELETE FROM entry_chunk'],
  [
    "with another file's piece in place of its own",
    `UPDATE entry_chunk SET chunk = x'${hash('d').toString('hex')}' WHERE position = 1`,
  ],
  [
    'with a piece too many',
    'INSERT INTO entry_chunk SELECT entry, position + 3, chunk FROM entry_chunk WHERE position = 0',
  ],
] as const) {
  damaged(`${what} is pending again`, async () => {
    await withJournal((lent) => {
      const { journal } = lent;
      const run = claim(lent);
      const rows = add(
        journal,
        run,
        entryAt('/empty', { size: 0n }),
        entryAt('/whole', { size: 1500n }),
        entryAt('/x'),
      );
      upload(lent, run, rows[2]!.id, 'a', 'b', 'c');
      const half = {
        ...packOf('d', 'e'),
        chunks: [...packOf('d', 'e').chunks].map((chunk) => ({ ...chunk, size: 750 })),
      };
      recordUploaded(
        journal,
        run,
        {
          pack: half,
          pieces: piecesOf(rows[1]!.id, 0, 'd', 'e'),
          completed: [{ entry: rows[1]!.id, chunks: 2, bytes: 1500, torn: false }],
          bytes: 1500,
        },
        NOW,
      );
      assert.equal(demoteBrokenFiles(journal, run, NOW), { files: 0, bytes: 0 });
      journal.sqlite.exec(`${change}${/WHERE/.test(change) ? ' AND' : ' WHERE'} entry = ${rows[2]!.id}`);
      assert.equal(demoteBrokenFiles(journal, run, NOW), { files: 1, bytes: 3000 });
      assert.equal(statesOf(lent, run), { '/empty': 'uploaded', '/whole': 'uploaded', '/x': 'pending' });
    });
  });
}

damaged.run();
