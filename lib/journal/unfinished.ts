import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { LockedError, systemErrorCode } from '../errors.ts';
import { abandonClaims } from './claims.ts';
import type { Journal } from './database.ts';
import { diskError } from './disk-error.ts';
import { livingOwner } from './owner.ts';
import { splitPaths } from './source-paths.ts';
import { backupIdOfStateFile } from './state-file.ts';
import { statement } from './statement.ts';

export interface UnfinishedRun {
  readonly id: number;
  readonly backupId: string;
  readonly repositoryUuid: string;
  readonly remote: string;
  readonly host: string;
  readonly startedAt: Date;
  /** The last time anything of it was recorded. */
  readonly updatedAt: Date;
  readonly sourcePaths: readonly Buffer[];
  readonly totalFiles: number | null;
  readonly totalBytes: number | null;
  readonly uploadedFiles: number;
  readonly uploadedBytes: number;
  /** How many packs are sent at once, or were at last; `null` where nobody knows. */
  readonly lanes: number | null;
  /** The living process that works on it, or `null`. */
  readonly runningPid: number | null;
}

const selectUnfinished = statement<object>()((db) =>
  db
    .selectFrom('run')
    .innerJoin('source_set', 'source_set.id', 'run.source_set')
    .innerJoin('repository', 'repository.id', 'source_set.repository')
    .selectAll('run')
    .select(['source_set.source_paths', 'repository.uuid', 'repository.url'])
    .where('run.state', '<>', sql.lit('complete') /* a literal, or SQLite would not take the partial index */)
    .orderBy('run.started_at'),
);

/** @returns every run whose backup is not complete, the oldest first */
export function unfinishedRuns(journal: Journal): UnfinishedRun[] {
  return selectUnfinished(journal)
    .all({})
    .map((row) => ({
      id: row.id,
      backupId: row.backup_id,
      repositoryUuid: row.uuid,
      remote: row.url,
      host: row.host,
      startedAt: new Date(row.started_at),
      updatedAt: new Date(row.updated_at),
      sourcePaths: splitPaths(row.source_paths),
      totalFiles: row.total_files,
      totalBytes: row.total_bytes,
      uploadedFiles: row.uploaded_files,
      uploadedBytes: row.uploaded_bytes,
      lanes: row.lanes,
      runningPid: livingOwner(row),
    }));
}

/** @returns the unfinished runs nobody works on of which nothing was recorded since `olderThan`, the oldest first */
export function expiredRuns(journal: Journal, olderThan: Date): UnfinishedRun[] {
  return unfinishedRuns(journal).filter(
    ({ updatedAt, runningPid }) => runningPid === null && updatedAt < olderThan,
  );
}

const deleteRun = statement<{ id: number }>()((db, { id }) =>
  db.deleteFrom('run').where('id', '=', id).returning('source_set'),
);

/** With the set go its entries and their chunks. */
const deleteSourceSet = statement<{ id: number }>()((db, { id }) =>
  db
    .deleteFrom('source_set')
    .where('id', '=', id)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('run').select('run.id').whereRef('run.source_set', '=', 'source_set.id'))),
    ),
);

/**
 * Forgets an unfinished run. Its packs stay known, so that the next backup sends nothing of them again; its entries go
 * unless a complete backup of the same sources is what the next one compares with.
 * @throws LockedError when a living process works on it
 */
export function abandonRun(journal: Journal, run: UnfinishedRun): void {
  journal.transaction(() => {
    const current = unfinishedRuns(journal).find(({ id }) => id === run.id);
    if (current === undefined) return;
    if (current.runningPid !== null) {
      throw new LockedError(`forget ${run.backupId}: process ${current.runningPid} is working on it`, {
        hints: ['Let it end, or stop it first.'],
      });
    }
    forget(journal, current);
  });
}

const insertAbandoned = statement<{ backupId: string }>()((db, { backupId }) =>
  db
    .insertInto('abandoned')
    .values({ backup_id: backupId })
    .onConflict((conflict) => conflict.doNothing()),
);

/** A checkpoint of the run may lie on the remote: id and claims are kept, so that nobody takes it up again from there. */
function forget(journal: Journal, run: UnfinishedRun): void {
  insertAbandoned(journal).run({ backupId: run.backupId });
  abandonClaims(journal, run.id);
  const { source_set: id } = deleteRun(journal).all({ id: run.id })[0]!;
  deleteSourceSet(journal).run({ id });
}

/** Forgets every run of {@link expiredRuns}, state files included. @returns those runs */
export async function abandonExpiredRuns(
  journal: Journal,
  olderThan: Date,
  stateFolder: string,
): Promise<UnfinishedRun[]> {
  // One transaction: between the look and the deed no process may take one of them over.
  const expired = journal.transaction(() => {
    const runs = expiredRuns(journal, olderThan);
    for (const run of runs) forget(journal, run);
    return runs;
  });
  await removeStaleStateFiles(journal, stateFolder);
  return expired;
}

/**
 * Removes state files, half-written ones too, that belong to no unfinished run. Nothing else in the folder is touched.
 * @throws SkylockError when the folder cannot be read or written
 */
export async function removeStaleStateFiles(journal: Journal, folder: string): Promise<void> {
  try {
    // The folder first: a run that is claimed after this look has no file in it, and one that is unfinished keeps its own.
    const found = await readdir(folder, { withFileTypes: true });
    const unfinished = new Set(unfinishedRuns(journal).map(({ backupId }) => backupId));
    for (const item of found) {
      const backupId = item.isFile() ? backupIdOfStateFile(item.name) : null;
      if (backupId !== null && !unfinished.has(backupId)) await rm(join(folder, item.name), { force: true });
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return; // no folder, no files
    throw diskError(`clean ${folder}`, error);
  }
}
