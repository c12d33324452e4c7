import { sql } from 'kysely';
import type { Journal } from './database.ts';
import { BEFORE_EVERY_PATH, entryColumns, type JournalEntry, PAGE } from './entries.ts';
import { noteChange } from './manifests.ts';
import { type DurablePack, insertDurablePack } from './packs.ts';
import { deletePieces, type FilePiece, insertPiece } from './pieces.ts';
import type { Run } from './runs.ts';
import { statement } from './statement.ts';
import { addUploaded } from './totals.ts';

/** A stretch of the byte order of paths. */
export interface PathRange {
  /** The last path before it. */
  readonly after: Buffer;
  /** The last path in it. */
  readonly upTo: Buffer;
}

/** Every path begins with a slash. */
export const EVERY_PATH: PathRange = { after: BEFORE_EVERY_PATH, upTo: Buffer.of(0xff) };

/** A file that is not wholly uploaded. */
export interface PendingFile extends JournalEntry {
  /** 1 when some of its chunks are recorded, or else 0: most files have none, and need not be asked about one by one. */
  readonly begun: bigint;
}

const selectPending = statement<{ sourceSet: number; limit: number } & PathRange>({ bigint: true })((db, p) =>
  db
    .selectFrom('entry')
    .select(entryColumns)
    .select(sql<bigint>`EXISTS (SELECT 1 FROM entry_chunk WHERE entry_chunk.entry = entry.id)`.as('begun'))
    .where('source_set', '=', p.sourceSet)
    .where('state', '=', sql.lit('pending') /* a literal, or SQLite would not take the partial index */)
    .where('path', '>', p.after)
    .where('path', '<=', p.upTo)
    .orderBy('path')
    .limit(p.limit),
);

/** The files that are not wholly uploaded, in byte order of their paths; each is given once, whatever becomes of it. */
export function* pendingFiles(
  journal: Journal,
  sourceSet: number,
  { after, upTo }: PathRange = EVERY_PATH,
): Generator<PendingFile> {
  for (;;) {
    const page = selectPending(journal).all({ sourceSet, after, upTo, limit: PAGE });
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.path;
  }
}

/** A file that was read to its end. */
export interface ReadFile {
  readonly entry: bigint;
  readonly chunks: number;
  readonly bytes: number;
  /** It changed while it was read: the next run reads it again. */
  readonly torn: boolean;
}

/** What one transaction records: a pack that became durable (or none), the pieces it settles, the files it completes. */
export interface UploadedBatch {
  readonly pack: DurablePack | null;
  readonly pieces: Iterable<FilePiece>;
  readonly completed: readonly ReadFile[];
  /** Bytes of the files that the pieces stand for. */
  readonly bytes: number;
}

/** Only where the pieces are those of so many chunks, neither one less nor one more: their places are counted from 0. */
const setUploaded = statement<{ id: bigint; chunks: number }>()((db, { id, chunks }) =>
  db
    .updateTable('entry')
    .set({ state: sql.lit('uploaded') })
    .where('id', '=', id)
    .where('state', '<>', sql.lit('uploaded'))
    .where(
      sql<boolean>`(SELECT count(*) = ${chunks} AND coalesce(max(position) + 1, 0) = ${chunks}
        FROM entry_chunk WHERE entry = ${id})`,
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

/**
 * Order 3: to be called after the pack's put has resolved, never before. What is recorded already counts once.
 * @throws Error when a completed file lacks one of its pieces: to go on would be to lose data
 */
export function recordUploaded(journal: Journal, run: Run, batch: UploadedBatch, now: Date): void {
  journal.transaction(() => {
    if (batch.pack) insertDurablePack(journal, run.journalRepository, batch.pack);
    const insert = insertPiece(journal);
    for (const piece of batch.pieces) insert.run(piece);
    const files = batch.completed.filter((file) => completeFile(journal, file)).length;
    if (batch.completed.length > 0) noteChange(journal, run);
    addUploaded(journal).run({ id: run.id, files, bytes: batch.bytes, now: now.getTime() });
  });
}

/** @returns false when the file was uploaded already */
function completeFile(journal: Journal, { entry, chunks, bytes, torn }: ReadFile): boolean {
  const isUploaded = () => setUploaded(journal).run({ id: entry, chunks }).changes === 1;
  // What a longer version of the file once had is rarely there, and looking for it takes as long as the rest.
  const removeLonger = () => deletePieces(journal).run({ entry, from: chunks }).changes > 0;
  const completed = isUploaded() || (removeLonger() && isUploaded());
  if (torn) setTorn(journal).run({ id: entry, bytes });
  if (completed) return true;
  if (selectState(journal).get({ id: entry })?.state === 'uploaded') return false;
  throw new Error(`record file ${entry}: not all of its ${chunks} chunks are recorded`);
}

/** The file cannot be read now; the backup goes on without it, and the next run tries it again. */
export function markUnreadable(journal: Journal, entry: bigint): void {
  setUnreadable(journal).run({ id: entry });
}
