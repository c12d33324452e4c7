import { sql } from 'kysely';
import type { Journal } from './database.ts';
import { type DurablePack, insertDurablePack } from './packs.ts';
import type { Run } from './runs.ts';
import { statement } from './statement.ts';

/** One file, folder, symlink or special file, as lstat(2) found it. */
export interface Entry {
  readonly path: Buffer;
  /** `file`, `folder`, `symlink`, …: the manifest's words. */
  readonly type: string;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly inode: bigint;
  readonly device: bigint;
  /** How many names the inode has. */
  readonly links: bigint;
  /** Permission bits, `0o7777`. */
  readonly mode: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
  /** What a device file stands for; 0 for all others. */
  readonly specialDevice: bigint;
  /** Where a symlink points to. */
  readonly target: Buffer | null;
}

export interface JournalEntry extends Entry {
  readonly id: bigint;
  readonly state: 'pending' | 'uploaded' | 'unreadable';
}

/** What the scan means for the journal: applied batch by batch, in one transaction each. */
export interface PlanBatch {
  readonly added: readonly Entry[];
  /** The row's number and what is there now: nothing of its content counts as uploaded any more. */
  readonly changed: readonly { readonly id: bigint; readonly entry: Entry }[];
  /** The same content under new attributes. */
  readonly moved: readonly {
    readonly id: bigint;
    readonly entry: Entry;
    readonly state: 'pending' | 'uploaded';
  }[];
  readonly gone: readonly bigint[];
}

const columns = [
  'id',
  'path',
  'type',
  'size',
  'mtime_ns as mtimeNs',
  'ctime_ns as ctimeNs',
  'inode',
  'device',
  'links',
  'mode',
  'uid',
  'gid',
  'special_device as specialDevice',
  'target',
  'state',
] as const;

const selectPage = statement<{ sourceSet: number; after: Buffer; limit: number }>({ bigint: true })((db, p) =>
  db
    .selectFrom('entry')
    .select(columns)
    .where('source_set', '=', p.sourceSet)
    .where('path', '>', p.after)
    .orderBy('path')
    .limit(p.limit),
);

const PAGE = 500;
const BEFORE_EVERY_PATH = Buffer.alloc(0);

/** Pages of the journal's entries of the source set, in byte order of their paths. */
function* entryPages(journal: Journal, sourceSet: number): Generator<readonly JournalEntry[]> {
  for (let after: Buffer = BEFORE_EVERY_PATH; ; ) {
    const page = selectPage(journal).all({ sourceSet, after, limit: PAGE });
    if (page.length > 0) yield page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.path;
  }
}

/** The journal's entries of the source set in byte order of their paths, read page by page: rows may change meanwhile. */
export function* journalEntries(journal: Journal, sourceSet: number): Generator<JournalEntry> {
  for (const page of entryPages(journal, sourceSet)) yield* page;
}

const insertEntry = statement<Entry & { sourceSet: number; state: 'pending' | 'uploaded' }>()((db, p) =>
  db.insertInto('entry').values({
    source_set: p.sourceSet,
    path: p.path,
    type: p.type,
    size: p.size,
    mtime_ns: p.mtimeNs,
    ctime_ns: p.ctimeNs,
    inode: p.inode,
    device: p.device,
    links: p.links,
    mode: p.mode,
    uid: p.uid,
    gid: p.gid,
    special_device: p.specialDevice,
    target: p.target,
    state: p.state,
  }),
);

const findEntry = statement<{ sourceSet: number; path: Buffer }>()((db, p) =>
  db.selectFrom('entry').select('state').where('source_set', '=', p.sourceSet).where('path', '=', p.path),
);

const updateEntry = statement<Entry & { id: bigint; state: 'pending' | 'uploaded' }>()((db, p) =>
  db
    .updateTable('entry')
    .set({
      type: p.type,
      size: p.size,
      mtime_ns: p.mtimeNs,
      ctime_ns: p.ctimeNs,
      inode: p.inode,
      device: p.device,
      links: p.links,
      mode: p.mode,
      uid: p.uid,
      gid: p.gid,
      special_device: p.specialDevice,
      target: p.target,
      state: p.state,
    })
    .where('id', '=', p.id),
);

const deleteEntry = statement<{ id: bigint }>()((db, { id }) => db.deleteFrom('entry').where('id', '=', id));
const deletePieces = statement<{ entry: bigint; from: number }>()((db, { entry, from }) =>
  db
    .deleteFrom('entry_chunk')
    .where('entry', '=', entry as never)
    .where('position', '>=', from),
);

/** Only a regular file has content to upload; an empty one has none either. */
function stateAtFirst({ type, size }: Entry): 'pending' | 'uploaded' {
  return type === 'file' && size > 0n ? 'pending' : 'uploaded';
}

export function applyPlan(journal: Journal, run: Run, { added, changed, moved, gone }: PlanBatch): void {
  if (added.length + changed.length + moved.length + gone.length === 0) return;
  journal.transaction(() => {
    const insert = insertEntry(journal);
    for (const entry of added) {
      insert.run({ ...entry, sourceSet: run.sourceSet, state: stateAtFirst(entry) });
    }
    for (const { id, entry } of changed) {
      deletePieces(journal).run({ entry: id, from: 0 });
      updateEntry(journal).run({ ...entry, id, state: stateAtFirst(entry) });
    }
    for (const { id, entry, state } of moved) updateEntry(journal).run({ ...entry, id, state });
    for (const id of gone) deleteEntry(journal).run({ id });
  });
}

/** An entry that a checkpoint on the remote lists, and the ids of its chunks. */
export interface ImportedEntry extends Entry {
  readonly chunks: readonly Buffer[];
}

/** Takes over what is uploaded according to the remote. What the journal knows of a path already counts for more. */
export function importEntries(journal: Journal, run: Run, entries: readonly ImportedEntry[]): void {
  journal.transaction(() => {
    for (const { chunks, ...entry } of entries) {
      if (findEntry(journal).get({ sourceSet: run.sourceSet, path: entry.path })) continue;
      const { lastInsertRowid } = insertEntry(journal).run({
        ...entry,
        sourceSet: run.sourceSet,
        state: 'uploaded',
      });
      const insert = insertPiece(journal);
      chunks.forEach((chunk, position) => {
        insert.run({ entry: BigInt(lastInsertRowid), position, chunk });
      });
    }
  });
}

/** The file is not what the scan saw any more: nothing of it counts as uploaded. */
export function resetEntry(journal: Journal, run: Run, id: bigint, entry: Entry): void {
  applyPlan(journal, run, { added: [], changed: [{ id, entry }], moved: [], gone: [] });
}

const selectPending = statement<{ sourceSet: number; after: Buffer; limit: number }>({ bigint: true })(
  (db, p) =>
    db
      .selectFrom('entry')
      .select(columns)
      .where('source_set', '=', p.sourceSet)
      .where('state', '=', sql.lit('pending') /* a literal, or SQLite would not take the partial index */)
      .where('path', '>', p.after)
      .orderBy('path')
      .limit(p.limit),
);

/** The files that are not wholly uploaded, in byte order of their paths; each is given once, whatever becomes of it. */
export function* pendingFiles(journal: Journal, sourceSet: number): Generator<JournalEntry> {
  for (let after: Buffer = BEFORE_EVERY_PATH; ; ) {
    const page = selectPending(journal).all({ sourceSet, after, limit: PAGE });
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.path;
  }
}

const selectPieces = statement<{ entry: bigint; repository: number }>()((db, p) =>
  db
    .selectFrom('entry_chunk')
    .leftJoin('chunk', (join) =>
      join.onRef('chunk.id', '=', 'entry_chunk.chunk').on('chunk.repository', '=', p.repository),
    )
    .select(['entry_chunk.position', 'chunk.size'])
    .where('entry_chunk.entry', '=', p.entry as never)
    .orderBy('entry_chunk.position'),
);

/** @returns how many of the file's first chunks are durable without a gap, and the bytes they cover */
export function durablePrefix(
  journal: Journal,
  repository: number,
  entry: bigint,
): { readonly chunks: number; readonly bytes: number } {
  let chunks = 0;
  let bytes = 0;
  for (const { position, size } of selectPieces(journal).all({ entry, repository })) {
    if (position !== chunks || size === null) break;
    chunks += 1;
    bytes += size;
  }
  return { chunks, bytes };
}

const selectBegun = statement<{ sourceSet: number }>({ bigint: true })((db, p) =>
  db
    .selectFrom('entry')
    .innerJoin('entry_chunk', 'entry_chunk.entry', 'entry.id')
    .select('entry.id')
    .where('entry.source_set', '=', p.sourceSet)
    .where('entry.state', '=', sql.lit('pending'))
    .where('entry_chunk.position', '=', 0),
);

/** @returns the bytes at the beginnings of pending files that need not be read or sent again */
export function partlyUploadedBytes(journal: Journal, run: Run): number {
  return selectBegun(journal)
    .all({ sourceSet: run.sourceSet })
    .reduce((sum, { id }) => sum + durablePrefix(journal, run.repository, id).bytes, 0);
}

/** The chunk at one place of a file. */
export interface FilePiece {
  readonly entry: bigint;
  readonly position: number;
  readonly chunk: Buffer;
}

/** A file that was read to its end. */
export interface ReadFile {
  readonly entry: bigint;
  readonly chunks: number;
  readonly bytes: number;
  /** It changed while it was read: the next run reads it again. */
  readonly torn: boolean;
}

const selectUploadedContent = statement<{ sourceSet: number }>()((db, p) =>
  db
    .selectFrom('entry')
    .select(({ fn }) => [fn.countAll<number>().as('files'), sql<number>`coalesce(sum(size), 0)`.as('bytes')])
    .where('source_set', '=', p.sourceSet)
    .where('type', '=', 'file')
    .where('size', '>', 0n)
    .where('state', '=', 'uploaded'),
);

/** @returns how many files with any content count as uploaded, and their bytes */
export function uploadedContent(
  journal: Journal,
  sourceSet: number,
): { readonly files: number; readonly bytes: number } {
  return selectUploadedContent(journal).get({ sourceSet })!;
}

const selectPiece = statement<{ entry: bigint; position: number }>()((db, p) =>
  db
    .selectFrom('entry_chunk')
    .select('chunk')
    .where('entry', '=', p.entry as never)
    .where('position', '=', p.position),
);

/** @returns the id of the chunk at one place of a file, or `null` where none is recorded */
export function chunkAt(journal: Journal, entry: bigint, position: number): Buffer | null {
  return selectPiece(journal).get({ entry, position })?.chunk ?? null;
}

/** What one transaction records: a pack that became durable (or none), the pieces it settles, the files it completes. */
export interface UploadedBatch {
  readonly pack: DurablePack | null;
  readonly pieces: readonly FilePiece[];
  readonly completed: readonly ReadFile[];
  /** Bytes of the files that the pieces stand for. */
  readonly bytes: number;
}

const insertPiece = statement<{ entry: bigint; position: number; chunk: Buffer }>()((db, p) =>
  db
    .insertInto('entry_chunk')
    .values({ entry: p.entry as never, position: p.position, chunk: p.chunk })
    .onConflict((conflict) => conflict.columns(['entry', 'position']).doUpdateSet({ chunk: p.chunk })),
);

const setUploaded = statement<{ id: bigint; chunks: number }>()((db, { id, chunks }) =>
  db
    .updateTable('entry')
    .set({ state: sql.lit('uploaded') })
    .where('id', '=', id)
    .where('state', '<>', sql.lit('uploaded'))
    .where(
      ({ selectFrom, fn }) =>
        selectFrom('entry_chunk')
          .select(fn.countAll().as('count'))
          .where('entry', '=', id as never),
      '=',
      chunks,
    ),
);
const selectState = statement<{ id: bigint }>()((db, { id }) =>
  db.selectFrom('entry').select('state').where('id', '=', id),
);
/** No ctime is 0, so the next run does not take the file for unchanged. */
const setTorn = statement<{ id: bigint; bytes: number }>()((db, { id, bytes }) =>
  db
    .updateTable('entry')
    .set({ size: bytes as never, ctime_ns: 0n })
    .where('id', '=', id),
);
const setUnreadable = statement<{ id: bigint }>()((db, { id }) =>
  db.updateTable('entry').set({ state: 'unreadable' }).where('id', '=', id),
);

/** What is taken off may have been uploaded by the run before, and not be in this one's count yet. */
const addUploaded = statement<{ id: number; files: number; bytes: number; now: number }>()((db, p) =>
  db
    .updateTable('run')
    .set(({ ref }) => ({
      uploaded_files: sql<number>`max(0, ${ref('uploaded_files')} + ${p.files})`,
      uploaded_bytes: sql<number>`max(0, ${ref('uploaded_bytes')} + ${p.bytes})`,
      updated_at: p.now,
    }))
    .where('id', '=', p.id),
);

/**
 * Order 3: to be called after the pack's put has resolved, never before. What is recorded already counts once.
 * @throws Error when a completed file lacks one of its pieces: to go on would be to lose data
 */
export function recordUploaded(journal: Journal, run: Run, batch: UploadedBatch, now: Date): void {
  journal.transaction(() => {
    if (batch.pack) insertDurablePack(journal, run.repository, batch.pack);
    const insert = insertPiece(journal);
    for (const piece of batch.pieces) insert.run(piece);
    const files = batch.completed.filter((file) => completeFile(journal, file)).length;
    addUploaded(journal).run({ id: run.id, files, bytes: batch.bytes, now: now.getTime() });
  });
}

/** @returns false when the file was uploaded already */
function completeFile(journal: Journal, { entry, chunks, bytes, torn }: ReadFile): boolean {
  deletePieces(journal).run({ entry, from: chunks }); // what a longer version of the file once had
  const { changes } = setUploaded(journal).run({ id: entry, chunks });
  if (torn) setTorn(journal).run({ id: entry, bytes });
  if (changes === 1) return true;
  if (selectState(journal).get({ id: entry })?.state === 'uploaded') return false;
  throw new Error(`record file ${entry}: not all of its ${chunks} chunks are recorded`);
}

/** The file cannot be read now; the backup goes on without it, and the next run tries it again. */
export function markUnreadable(journal: Journal, entry: bigint): void {
  setUnreadable(journal).run({ id: entry });
}

const selectChunks = statement<{ entry: bigint }>()((db, p) =>
  db
    .selectFrom('entry_chunk')
    .select('chunk')
    .where('entry', '=', p.entry as never)
    .orderBy('position'),
);

/** Files up to this size have few chunks: those of a whole page are looked up at once. */
const SMALL_BYTES = 8n * 1024n * 1024n;

const selectSmallChunks = statement<{ sourceSet: number; from: Buffer; to: Buffer }>({ bigint: true })(
  (db, p) =>
    db
      .selectFrom('entry')
      .innerJoin('entry_chunk', 'entry_chunk.entry', 'entry.id')
      .select(['entry.id', 'entry_chunk.chunk'])
      .where('entry.source_set', '=', p.sourceSet)
      .where('entry.path', '>=', p.from)
      .where('entry.path', '<=', p.to)
      .where('entry.size', '<=', SMALL_BYTES)
      .orderBy('entry.path')
      .orderBy('entry_chunk.position'),
);

/** The entries that the backup holds, in byte order of their paths, each with the ids of its chunks. */
export function* uploadedEntries(
  journal: Journal,
  sourceSet: number,
): Generator<JournalEntry & { readonly chunks: readonly Buffer[] }> {
  for (const page of entryPages(journal, sourceSet)) {
    const range = { sourceSet, from: page[0]!.path, to: page.at(-1)!.path };
    const small = Map.groupBy(selectSmallChunks(journal).all(range), ({ id }) => id);
    for (const entry of page) {
      if (entry.state !== 'uploaded') continue;
      const rows =
        entry.size > SMALL_BYTES ? selectChunks(journal).all({ entry: entry.id }) : small.get(entry.id);
      yield { ...entry, chunks: rows?.map(({ chunk }) => chunk) ?? [] };
    }
  }
}

/**
 * What a file's chunks add up to must be the file: of rows that are missing, or were read from a page of another time, no
 * check of SQLite's would tell.
 */
const demote = statement<{ sourceSet: number; repository: number }>()((db, p) =>
  db
    .updateTable('entry')
    .set({ state: 'pending' })
    .where('source_set', '=', p.sourceSet)
    .where('state', '=', 'uploaded')
    .where('size', '>', 0n)
    .where(
      sql<boolean>`size IS NOT (
        SELECT CASE WHEN count(chunk.id) = max(entry_chunk.position) + 1 THEN sum(chunk.size) END
        FROM entry_chunk LEFT JOIN chunk ON chunk.repository = ${p.repository} AND chunk.id = entry_chunk.chunk
        WHERE entry_chunk.entry = entry.id)`,
    )
    .returning(['size']),
);

/**
 * Makes every file pending again whose chunks are not all in known packs, and takes it off the run's count.
 * @returns how many there were, and their bytes
 */
export function demoteBrokenFiles(
  journal: Journal,
  run: Run,
  now: Date,
): { readonly files: number; readonly bytes: number } {
  return journal.transaction(() => {
    const rows = demote(journal).all({ sourceSet: run.sourceSet, repository: run.repository });
    const bytes = rows.reduce((sum, { size }) => sum + Number(size), 0);
    addUploaded(journal).run({ id: run.id, files: -rows.length, bytes: -bytes, now: now.getTime() });
    return { files: rows.length, bytes };
  });
}

const selectFilePaths = statement<{ sourceSet: number; after: Buffer; limit: number }>()((db, p) =>
  db
    .selectFrom('entry')
    .select('path')
    .where('source_set', '=', p.sourceSet)
    .where('path', '>', p.after)
    .where('type', '=', 'file')
    .where('state', '=', 'uploaded')
    .orderBy('path')
    .limit(p.limit),
);

/**
 * The paths of the regular files that are wholly uploaded, in byte order, some hundreds at a time; those that are uploaded
 * meanwhile too, where they come after what was given.
 */
export function* uploadedPaths(journal: Journal, sourceSet: number): Generator<readonly Buffer[]> {
  for (let after: Buffer = BEFORE_EVERY_PATH; ; ) {
    const page = selectFilePaths(journal).all({ sourceSet, after, limit: PAGE });
    if (page.length === 0) return;
    yield page.map(({ path }) => path);
    after = page.at(-1)!.path;
  }
}
