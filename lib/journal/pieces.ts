import { sql } from 'kysely';
import type { Journal } from './database.ts';
import { chunkSize } from './packs.ts';
import type { Run } from './runs.ts';
import { statement } from './statement.ts';

/** The chunk at one place of a file. */
export interface FilePiece {
  readonly entry: bigint;
  readonly position: number;
  readonly chunk: Buffer;
}

export const insertPiece = statement<{ entry: bigint; position: number; chunk: Buffer }>()((db, p) =>
  db
    .insertInto('entry_chunk')
    .values({ entry: p.entry as never, position: p.position, chunk: p.chunk })
    .onConflict((conflict) => conflict.columns(['entry', 'position']).doUpdateSet({ chunk: p.chunk })),
);

export const deletePieces = statement<{ entry: bigint; from: number }>()((db, { entry, from }) =>
  db
    .deleteFrom('entry_chunk')
    .where('entry', '=', entry as never)
    .where('position', '>=', from),
);

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

const selectPieces = statement<{ entry: bigint }>()((db, p) =>
  db
    .selectFrom('entry_chunk')
    .select(['position', 'chunk'])
    .where('entry', '=', p.entry as never)
    .orderBy('position'),
);

/** @returns how many of the file's first chunks are durable without a gap, and the bytes they cover */
export function durablePrefix(
  journal: Journal,
  journalRepository: number,
  entry: bigint,
): { readonly chunks: number; readonly bytes: number } {
  let chunks = 0;
  let bytes = 0;
  for (const { position, chunk } of selectPieces(journal).all({ entry })) {
    const sizeBytes = position === chunks ? chunkSize(journal, journalRepository, chunk) : null;
    if (sizeBytes === null) break;
    chunks += 1;
    bytes += sizeBytes;
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
    .reduce((sum, { id }) => sum + durablePrefix(journal, run.journalRepository, id).bytes, 0);
}
