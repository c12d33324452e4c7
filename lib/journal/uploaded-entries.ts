import { sql } from 'kysely';
import type { Journal } from './database.ts';
import { BEFORE_EVERY_PATH, entryPages, type JournalEntry, PAGE } from './entries.ts';
import { noteChange } from './manifests.ts';
import type { Run } from './runs.ts';
import { statement } from './statement.ts';
import { addUploaded } from './totals.ts';

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

/**
 * What a file's chunks add up to must be the file: of rows that are missing, or were read from a page of another time, no
 * check of SQLite's would tell.
 */
const demote = statement<{ sourceSet: number; journalRepository: number }>()((db, p) =>
  db
    .updateTable('entry')
    .set({ state: 'pending' })
    .where('source_set', '=', p.sourceSet)
    .where('state', '=', 'uploaded')
    .where('size', '>', 0n)
    .where(
      sql<boolean>`size IS NOT (
        SELECT CASE WHEN count(chunk.id) = max(entry_chunk.position) + 1 THEN sum(chunk.size) END
        FROM entry_chunk LEFT JOIN chunk ON chunk.repository = ${p.journalRepository} AND chunk.id = entry_chunk.chunk
        WHERE entry_chunk.entry = entry.id)`,
    )
    .returning(['size']),
);

/** A source set all of whose uploaded files were found whole, and what had been written to the journal by then. */
const foundWhole = new WeakMap<Journal, { readonly sourceSet: number; readonly writes: string }>();

/**
 * Makes every file pending again whose chunks are not all in known packs, and takes it off the run's count. Where nobody has
 * written to the journal since they all were, nothing is looked at again.
 * @returns how many there were, and their bytes
 */
export function demoteBrokenFiles(
  journal: Journal,
  run: Run,
  now: Date,
): { readonly files: number; readonly bytes: number } {
  const { sourceSet, journalRepository } = run;
  const found = foundWhole.get(journal);
  if (found?.sourceSet === sourceSet && found.writes === journal.writes()) return { files: 0, bytes: 0 };
  return journal.transaction(() => {
    const rows = demote(journal).all({ sourceSet, journalRepository });
    if (rows.length === 0) {
      foundWhole.set(journal, { sourceSet, writes: journal.writes() });
      return { files: 0, bytes: 0 };
    }
    noteChange(journal, run);
    const bytes = rows.reduce((sum, { size }) => sum + Number(size), 0);
    addUploaded(journal).run({ id: run.id, files: -rows.length, bytes: -bytes, now: now.getTime() });
    return { files: rows.length, bytes };
  });
}
