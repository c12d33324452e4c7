import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { plan } from '../../lib/backup/plan.ts';
import type { Found } from '../../lib/backup/scan.ts';
import { InterruptedError } from '../../lib/errors.ts';
import type { Journal } from '../../lib/journal/database.ts';
import { type Entry, type JournalEntry, journalEntries } from '../../lib/journal/entries.ts';
import { durablePrefix } from '../../lib/journal/pieces.ts';
import type { Run } from '../../lib/journal/runs.ts';
import { totalsOf } from '../../lib/journal/totals.ts';
import { markUnreadable, type PathRange, pendingFiles, recordUploaded } from '../../lib/journal/uploading.ts';
import type { ProgressEvent } from '../../lib/progress.ts';
import { assertRejects } from '../format/fixtures.ts';
import { add, claim, entryAt, type Lent, NOW, packOf, piecesOf, withJournal } from '../journal/fixture.ts';

const SOURCES = [Buffer.from('/home/docs')];

/** What a scan of one source finds when these entries are there. */
function* found(entries: Iterable<Entry>): Generator<Found> {
  for (const entry of entries) yield { type: 'entry', entry, source: 0 };
  yield { type: 'source_end', source: 0 };
}

function planOf({ journal }: Lent, run: Run, items: Iterable<Found>, options: Partial<Options> = {}) {
  const events: ProgressEvent[] = [];
  const deps = {
    journal,
    run,
    progress: (event: ProgressEvent) => void events.push(event),
    signal: options.signal ?? new AbortController().signal,
    now: () => NOW,
    onPlanned: options.onPlanned ?? (() => {}),
  };
  return plan(items, options.sources ?? SOURCES, deps).then((planned) => ({ ...planned, events }));
}

interface Options {
  readonly sources: readonly Buffer[];
  readonly signal: AbortSignal;
  readonly onPlanned: (range: PathRange) => void;
}

function rowsOf(journal: Journal, run: Run): JournalEntry[] {
  return [...journalEntries(journal, run.sourceSet)];
}

function statesOf(journal: Journal, run: Run): Record<string, string> {
  return Object.fromEntries(rowsOf(journal, run).map(({ path, state }) => [path.toString(), state]));
}

/** Two chunks of 1,000 bytes each are durable, of three. */
function uploadPartly({ journal }: Lent, run: Run, row: JournalEntry): void {
  const names = [`${row.path}#0`, `${row.path}#1`];
  recordUploaded(
    journal,
    run,
    { pack: packOf(...names), pieces: piecesOf(row.id, 0, ...names), completed: [], bytes: 2000 },
    NOW,
  );
}

function upload({ journal }: Lent, run: Run, row: JournalEntry): void {
  const names = [`${row.path}#0`, `${row.path}#1`, `${row.path}#2`];
  const completed = [{ entry: row.id, chunks: 3, bytes: 3000, torn: false }];
  recordUploaded(
    journal,
    run,
    { pack: packOf(...names), pieces: piecesOf(row.id, 0, ...names), completed, bytes: 3000 },
    NOW,
  );
}

function withRun(use: (lent: Lent, run: Run) => Promise<void> | void): Promise<void> {
  return withJournal((lent) => use(lent, claim(lent)));
}

const planning = suite('a plan');

planning('tells of what is pending range by range, as soon as that is in the journal', () =>
  withRun(async (lent, run) => {
    const { journal } = lent;
    const entries = Array.from({ length: 1800 }, (_, index) => entryAt(`/home/docs/${1000 + index}`));
    const [first, last] = [entries[0]!, entries.at(-1)!];
    add(journal, run, ...entries.slice(700, 1300));
    for (const row of rowsOf(journal, run)) upload(lent, run, row);
    const told: string[] = [];
    let ranges = 0;
    const onPlanned = (range: PathRange) => {
      ranges += 1;
      for (const { path } of pendingFiles(journal, run.sourceSet, range)) told.push(path.toString());
    };
    await planOf(lent, run, found(entries), { onPlanned });
    const pending = [...pendingFiles(journal, run.sourceSet)].map(({ path }) => path.toString());
    assert.equal(told, pending, 'each once, in order');
    assert.is(pending.length, 1200);
    assert.equal([pending[0], pending.at(-1)], [first.path.toString(), last.path.toString()]);
    assert.ok(ranges >= 3, `${ranges} ranges`);

    for (const row of rowsOf(journal, run)) if (row.state === 'pending') upload(lent, run, row);
    await planOf(lent, run, found(entries), { onPlanned: () => assert.unreachable('nothing is pending') });
  }),
);

planning('of a first backup has every file with content to upload, and all else done', () =>
  withRun(async (lent, run) => {
    const entries = [
      entryAt('/home/docs', { type: 'folder', size: 0n }),
      entryAt('/home/docs/empty', { size: 0n }),
      entryAt('/home/docs/file'),
      entryAt('/home/docs/link', { type: 'symlink', size: 0n, target: Buffer.from('file') }),
    ];
    const { events, ...planned } = await planOf(lent, run, found(entries));
    assert.equal(planned, {
      totalFiles: 2,
      totalBytes: 3000,
      uploadedFiles: 1,
      uploadedBytes: 0,
      failures: 0,
    });
    assert.equal(statesOf(lent.journal, run), {
      '/home/docs': 'uploaded',
      '/home/docs/empty': 'uploaded',
      '/home/docs/file': 'pending',
      '/home/docs/link': 'uploaded',
    });
    assert.equal(events, [
      { type: 'source_scanning', path: '/home/docs' },
      { type: 'source_scanned', path: '/home/docs', files: 2, bytes: 3000 },
      { type: 'planned', totalFiles: 2, totalBytes: 3000, uploadedFiles: 1, uploadedBytes: 0 },
    ]);
    const { updatedAt: _, ...totals } = totalsOf(lent.journal, run);
    assert.equal(totals, {
      planned: true,
      totalFiles: 2,
      totalBytes: 3000,
      uploadedFiles: 1,
      uploadedBytes: 0,
    });
  }),
);

planning('leaves alone what is unchanged, wholly or partly uploaded', () =>
  withRun(async (lent, run) => {
    const entries = [entryAt('/home/docs/a'), entryAt('/home/docs/b'), entryAt('/home/docs/c')];
    const [a, b] = add(lent.journal, run, ...entries);
    upload(lent, run, a!);
    uploadPartly(lent, run, b!);
    const before = rowsOf(lent.journal, run);
    const planned = await planOf(lent, run, found(entries));
    assert.equal(rowsOf(lent.journal, run), before);
    assert.equal([planned.uploadedFiles, planned.uploadedBytes], [1, 5000]);
    assert.equal(durablePrefix(lent.journal, run.journalRepository, b!.id), { chunks: 2, bytes: 2000 });
  }),
);

for (const [what, difference] of Object.entries({
  size: { size: 3001n },
  'time of content': { mtimeNs: 1_762_525_230_123_456_788n },
  'time of status': { ctimeNs: 1_762_525_230_123_456_789n },
  inode: { inode: 8n },
  type: { type: 'folder', size: 0n },
} satisfies Record<string, Partial<Entry>>)) {
  planning(`takes a file whose ${what} differs for a changed one: nothing of it counts any more`, () =>
    withRun(async (lent, run) => {
      const [row] = add(lent.journal, run, entryAt('/home/docs/a'));
      upload(lent, run, row!);
      const now = entryAt('/home/docs/a', difference);
      await planOf(lent, run, found([now]));
      const [after] = rowsOf(lent.journal, run);
      assert.equal(after, { ...now, id: row!.id, state: now.type === 'file' ? 'pending' : 'uploaded' });
      assert.equal(durablePrefix(lent.journal, run.journalRepository, row!.id), { chunks: 0, bytes: 0 });
    }),
  );
}

planning('keeps what is uploaded of a file whose device has another number since the last boot', () =>
  withRun(async (lent, run) => {
    const rows = add(lent.journal, run, entryAt('/home/docs/a'), entryAt('/home/docs/b'));
    upload(lent, run, rows[0]!);
    uploadPartly(lent, run, rows[1]!);
    const moved = rows.map(({ path }) => entryAt(path, { device: 65n }));
    const planned = await planOf(lent, run, found(moved));
    assert.equal(
      rowsOf(lent.journal, run).map(({ device, state }) => [device, state]),
      [
        [65n, 'uploaded'],
        [65n, 'pending'],
      ],
    );
    assert.is(planned.uploadedBytes, 5000);
  }),
);

for (const [what, difference] of Object.entries({
  links: { links: 2n },
  mode: { mode: 0o600n },
  owner: { uid: 7n },
  group: { gid: 7n },
} satisfies Record<string, Partial<Entry>>)) {
  planning(`believes the disk, and not a row of the journal that says otherwise, of a file's ${what}`, () =>
    withRun(async (lent, run) => {
      const [row] = add(lent.journal, run, entryAt('/home/docs/a', difference));
      upload(lent, run, row!);
      await planOf(lent, run, found([entryAt('/home/docs/a')]));
      assert.equal(rowsOf(lent.journal, run), [
        { ...entryAt('/home/docs/a'), id: row!.id, state: 'uploaded' },
      ]);
    }),
  );
}

planning('believes the disk of where a symlink points to, and of what a device file stands for', () =>
  withRun(async (lent, run) => {
    const link = { type: 'symlink', size: 0n, target: Buffer.from('here') };
    const device = { type: 'block_device', size: 0n, specialDevice: 9n };
    add(
      lent.journal,
      run,
      entryAt('/home/docs/device', { ...device, specialDevice: 8n }),
      entryAt('/home/docs/link', { ...link, target: Buffer.from('there') }),
    );
    const now = [entryAt('/home/docs/device', device), entryAt('/home/docs/link', link)];
    await planOf(lent, run, found(now));
    const rows = rowsOf(lent.journal, run).map(({ id: _, state: __, ...entry }) => entry);
    assert.equal(rows, now);
  }),
);

planning('tries again what could not be read, though it has not changed', () =>
  withRun(async (lent, run) => {
    const [row] = add(lent.journal, run, entryAt('/home/docs/a'));
    markUnreadable(lent.journal, row!.id);
    await planOf(lent, run, found([entryAt('/home/docs/a')]));
    assert.equal(statesOf(lent.journal, run), { '/home/docs/a': 'pending' });
  }),
);

planning('drops what is gone: before, between and behind what is there', () =>
  withRun(async (lent, run) => {
    add(lent.journal, run, ...['a', 'b', 'c', 'd', 'e'].map((name) => entryAt(`/home/docs/${name}`)));
    await planOf(lent, run, found([entryAt('/home/docs/b'), entryAt('/home/docs/d')]));
    assert.equal(Object.keys(statesOf(lent.journal, run)), ['/home/docs/b', '/home/docs/d']);
  }),
);

planning('drops everything when nothing is there any more', () =>
  withRun(async (lent, run) => {
    add(lent.journal, run, entryAt('/home/docs/a'));
    const planned = await planOf(lent, run, found([]));
    assert.equal(rowsOf(lent.journal, run), []);
    assert.is(planned.totalFiles, 0);
  }),
);

planning('names and counts what the scan could not look at', () =>
  withRun(async (lent, run) => {
    const items: Found[] = [
      { type: 'entry', entry: entryAt('/home/docs', { type: 'folder', size: 0n }), source: 0 },
      { type: 'failed', path: Buffer.from('/home/docs/a'), reason: 'permission denied' },
      { type: 'source_end', source: 0 },
    ];
    const { failures, events } = await planOf(lent, run, items);
    assert.is(failures, 1);
    assert.equal(events[1], { type: 'entry_failed', path: '/home/docs/a', reason: 'permission denied' });
  }),
);

planning('counts files and bytes by source, also where the scan interleaves them', () =>
  withRun(async (lent, run) => {
    const sources = [Buffer.from('/a'), Buffer.from('/a-b')];
    const items: Found[] = [
      { type: 'entry', entry: entryAt('/a', { type: 'folder', size: 0n }), source: 0 },
      { type: 'entry', entry: entryAt('/a-b', { size: 5n }), source: 1 },
      { type: 'source_end', source: 1 },
      { type: 'entry', entry: entryAt('/a/1', { size: 7n }), source: 0 },
      { type: 'entry', entry: entryAt('/a/2', { size: 8n }), source: 0 },
      { type: 'source_end', source: 0 },
    ];
    const { events } = await planOf(lent, run, items, { sources });
    assert.equal(events.slice(0, -1), [
      { type: 'source_scanning', path: '/a' },
      { type: 'source_scanning', path: '/a-b' },
      { type: 'source_scanned', path: '/a-b', files: 1, bytes: 5 },
      { type: 'source_scanned', path: '/a', files: 2, bytes: 15 },
    ]);
  }),
);

planning.run();

/** An entry's fields as its variant has them; two variants never have the same content. */
const VARIANTS: readonly Partial<Entry>[] = [
  {},
  { mtimeNs: 1n },
  { size: 0n },
  { type: 'folder', size: 0n },
  { device: 65n }, // the same content as the first
];
const PATHS = ['/d', '/d!', '/d!/x', '/d-', '/d/', '/d/a', '/d/b', '/e', '/\xff'].map((path) =>
  Buffer.from(path, 'latin1'),
);

const anyRow = fc.record({
  path: fc.constantFrom(...PATHS),
  variant: fc.integer({ min: 0, max: VARIANTS.length - 1 }),
  state: fc.constantFrom('pending', 'partly', 'uploaded', 'unreadable'),
});
const anyRows = fc.uniqueArray(anyRow, { selector: ({ path }) => path.toString('latin1') });

const model = suite('any plan');

model('leaves the journal with exactly what is there, and of its content only what is unchanged', () =>
  withJournal(async (lent) => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(anyRows, anyRows, async (before, after) => {
        runs += 1;
        await assertPlanned(lent, claim(lent, { name: `docs ${runs}` }), before, after);
      }),
      { numRuns: 100 },
    );
  }),
);

type Row = typeof anyRow extends fc.Arbitrary<infer T> ? T : never;

async function assertPlanned(
  lent: Lent,
  run: Run,
  before: readonly Row[],
  after: readonly Row[],
): Promise<void> {
  const { journal } = lent;
  for (const row of add(
    journal,
    run,
    ...before.map(({ path, variant }) => entryAt(path, VARIANTS[variant])),
  )) {
    if (row.state !== 'pending') continue; // has no content
    const { state } = before.find(({ path }) => path.equals(row.path))!;
    if (state === 'partly') uploadPartly(lent, run, row);
    if (state === 'uploaded') upload(lent, run, row);
    if (state === 'unreadable') markUnreadable(journal, row.id);
  }
  const known = new Map(rowsOf(journal, run).map((row) => [row.path.toString('latin1'), row]));
  const entries = after
    .map(({ path, variant }) => entryAt(path, VARIANTS[variant]))
    .sort((a, b) => a.path.compare(b.path));
  const planned = await planOf(lent, run, found(entries));

  const expected = entries.map((entry) => {
    const row = known.get(entry.path.toString('latin1'));
    const isSame = row && row.mtimeNs === entry.mtimeNs && row.size === entry.size && row.type === entry.type;
    const isKept = isSame && row.state !== 'unreadable';
    const begun = entry.type === 'file' && entry.size > 0n ? 'pending' : 'uploaded';
    return { ...entry, state: isKept ? row.state : begun };
  });
  const left = rowsOf(journal, run);
  assert.equal(
    left.map(({ id: _, ...row }) => row),
    expected,
  );
  for (const row of left) {
    const was = known.get(row.path.toString('latin1'));
    if (was) assert.is(row.id, was.id);
  }
  const files = expected.filter(({ type }) => type === 'file');
  assert.is(planned.totalFiles, files.length);
  assert.is(planned.uploadedFiles, files.filter(({ state }) => state === 'uploaded').length);
}

model('may go through more rows than a page or a batch holds, old and new in any mixture', () =>
  withRun(async (lent, run) => {
    const { journal } = lent;
    const path = (index: number) => `/home/docs/${String(index).padStart(5, '0')}`;
    const numbers = Array.from({ length: 3100 }, (_, index) => index);
    add(journal, run, ...numbers.filter((index) => index % 3 !== 0).map((index) => entryAt(path(index))));
    const there = numbers.filter((index) => index % 5 !== 0 && (index < 700 || index > 1800));
    const planned = await planOf(
      lent,
      run,
      found(there.map((index) => entryAt(path(index), index % 7 === 0 ? { size: 1n } : {}))),
    );
    assert.is(planned.totalFiles, there.length);
    const rows = rowsOf(journal, run);
    assert.equal(
      rows.map((row) => row.path.toString()),
      there.map(path),
    );
    assert.equal(
      rows.map(({ size }) => size),
      there.map((index) => (index % 7 === 0 ? 1n : 3000n)),
    );
  }),
);

model.run();

const interrupted = suite('a plan that is interrupted');

interrupted('ends between two batches, and the next one makes it whole', () =>
  withRun(async (lent, run) => {
    const entries = Array.from({ length: 1200 }, (_, index) =>
      entryAt(`/home/docs/${String(index).padStart(4, '0')}`),
    );
    const abort = new AbortController();
    const items = function* (): Generator<Found> {
      for (const item of found(entries)) {
        if (item.type === 'entry' && item.entry === entries[600]) abort.abort();
        yield item;
      }
    };
    await assertRejects(
      () => planOf(lent, run, items(), { signal: abort.signal }),
      InterruptedError,
      /^back up: interrupted while scanning$/,
    );
    assert.is(totalsOf(lent.journal, run).planned, false);
    await planOf(lent, run, found(entries));
    assert.is(rowsOf(lent.journal, run).length, 1200);
  }),
);

interrupted.run();
