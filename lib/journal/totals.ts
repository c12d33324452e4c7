import { sql } from 'kysely';
import type { Journal } from './database.ts';
import type { Run } from './runs.ts';
import { statement } from './statement.ts';

const setTotals = statement<{
  id: number;
  now: number;
  totalFiles: number;
  totalBytes: number;
  uploadedFiles: number;
  uploadedBytes: number;
}>()((db, p) =>
  db
    .updateTable('run')
    .set({
      updated_at: p.now,
      total_files: p.totalFiles,
      total_bytes: p.totalBytes,
      uploaded_files: p.uploadedFiles,
      uploaded_bytes: p.uploadedBytes,
    })
    .where('id', '=', p.id),
);

export interface Totals {
  readonly totalFiles: number;
  readonly totalBytes: number;
  readonly uploadedFiles: number;
  /** Also of files that are not whole yet. */
  readonly uploadedBytes: number;
}

/** What the scan found, and how much of it is uploaded. */
export function recordTotals(journal: Journal, run: Run, totals: Totals, now: Date): void {
  setTotals(journal).run({ id: run.id, now: now.getTime(), ...totals });
}

const readTotals = statement<{ id: number }>()((db, { id }) =>
  db
    .selectFrom('run')
    .select(['total_files', 'total_bytes', 'uploaded_files', 'uploaded_bytes', 'updated_at'])
    .where('id', '=', id),
);

/** @returns the run's counts, all 0 until its first scan is through, and when they last changed */
export function totalsOf(
  journal: Journal,
  run: Run,
): Totals & { readonly planned: boolean; readonly updatedAt: Date } {
  const row = readTotals(journal).get({ id: run.id })!;
  return {
    planned: row.total_files !== null,
    totalFiles: row.total_files ?? 0,
    totalBytes: row.total_bytes ?? 0,
    uploadedFiles: row.uploaded_files,
    uploadedBytes: row.uploaded_bytes,
    updatedAt: new Date(row.updated_at),
  };
}

/** What is taken off may have been uploaded by the run before, and not be in this one's count yet. */
export const addUploaded = statement<{ id: number; files: number; bytes: number; now: number }>()((db, p) =>
  db
    .updateTable('run')
    .set(({ ref }) => ({
      uploaded_files: sql<number>`max(0, ${ref('uploaded_files')} + ${p.files})`,
      uploaded_bytes: sql<number>`max(0, ${ref('uploaded_bytes')} + ${p.bytes})`,
      updated_at: p.now,
    }))
    .where('id', '=', p.id),
);

const updateLanes = statement<{ id: number; lanes: number }>()((db, p) =>
  db.updateTable('run').set({ lanes: p.lanes }).where('id', '=', p.id),
);

/** How many packs are sent at once now: for people to see. */
export function noteLanes(journal: Journal, run: Run, lanes: number): void {
  updateLanes(journal).run({ id: run.id, lanes });
}
