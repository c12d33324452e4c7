import { sql } from 'kysely';
import { LockedError } from '../errors.ts';
import type { Journal } from './database.ts';
import { livingOwner, type Owner } from './owner.ts';
import { joinPaths } from './source-paths.ts';
import { statement } from './statement.ts';

export interface Run {
  readonly id: number;
  readonly backupId: string;
  /** The number of the sources' rows in the journal, which outlive the run: the next one compares with them. */
  readonly sourceSet: number;
  readonly repository: number;
  readonly startedAt: Date;
  /** Was it begun by an earlier process? */
  readonly resumed: boolean;
  /** `null` until the first scan is through. */
  readonly totalFiles: number | null;
  readonly uploadedFiles: number;
}

export interface RunClaim {
  readonly repository: number;
  readonly matchKey: Buffer;
  readonly sourcePaths: readonly Buffer[];
  readonly host: string;
  readonly owner: Owner;
  readonly now: Date;
  /** Backup ids that are taken on the remote. */
  readonly takenIds: ReadonlySet<string>;
  /** An unfinished backup of these sources that the remote has a checkpoint of, and the journal does not know. */
  readonly checkpoint?: RunCheckpoint | null;
}

export interface RunCheckpoint {
  readonly backupId: string;
  readonly startedAt: Date;
  readonly totalFiles: number | null;
  readonly uploadedFiles: number;
}

const upsertSourceSet = statement<{ repository: number; matchKey: Buffer; paths: Buffer }>()((db, p) =>
  db
    .insertInto('source_set')
    .values({ repository: p.repository, match_key: p.matchKey, source_paths: p.paths })
    .onConflict((conflict) =>
      conflict.columns(['repository', 'match_key']).doUpdateSet({ source_paths: p.paths }),
    )
    .returning('id'),
);

const findUnfinished = statement<{ sourceSet: number }>()((db, { sourceSet }) =>
  db
    .selectFrom('run')
    .selectAll()
    .where('source_set', '=', sourceSet)
    .where('state', '<>', sql.lit('complete') /* a literal, or SQLite would not take the partial index */),
);

const takeOver = statement<{ id: number; now: number; pid: number; started: string; boot: string }>()(
  (db, p) =>
    db
      .updateTable('run')
      .set({
        state: 'running',
        updated_at: p.now,
        owner_pid: p.pid,
        owner_started: p.started,
        owner_boot: p.boot,
      })
      .where('id', '=', p.id),
);

const insertRun = statement<{
  sourceSet: number;
  backupId: string;
  host: string;
  startedAt: number;
  now: number;
  pid: number;
  started: string;
  boot: string;
}>()((db, p) =>
  db.insertInto('run').values({
    source_set: p.sourceSet,
    backup_id: p.backupId,
    state: 'running',
    host: p.host,
    started_at: p.startedAt,
    updated_at: p.now,
    total_files: null,
    total_bytes: null,
    owner_pid: p.pid,
    owner_started: p.started,
    owner_boot: p.boot,
  }),
);

const findBackupId = statement<{ backupId: string }>()((db, { backupId }) =>
  db.selectFrom('run').select('id').where('backup_id', '=', backupId),
);

const updateLanes = statement<{ id: number; lanes: number }>()((db, p) =>
  db.updateTable('run').set({ lanes: p.lanes }).where('id', '=', p.id),
);

/** How many packs are sent at once now: for people to see. */
export function noteLanes(journal: Journal, run: Run, lanes: number): void {
  updateLanes(journal).run({ id: run.id, lanes });
}

/**
 * Finds the unfinished run of the same match key and takes it over, or begins a new one.
 * @throws LockedError when a living process owns it
 */
export function claimRun(journal: Journal, claim: RunClaim): Run {
  const { repository, matchKey, owner, now } = claim;
  const ownership = { pid: owner.pid, started: owner.startedAt, boot: owner.bootId };
  return journal.transaction(() => {
    const paths = joinPaths(claim.sourcePaths);
    const sourceSet = upsertSourceSet(journal).all({ repository, matchKey, paths })[0]!.id;
    const found = findUnfinished(journal).get({ sourceSet });
    if (found) {
      const other = livingOwner(found);
      if (other !== null) {
        throw new LockedError(`back up: process ${other} is backing these sources up already`, {
          hints: [`Wait for it to end, or stop it with 'kill ${other}' and run the same command again.`],
        });
      }
      takeOver(journal).run({ id: found.id, now: now.getTime(), ...ownership });
      return {
        id: found.id,
        backupId: found.backup_id,
        sourceSet,
        repository,
        startedAt: new Date(found.started_at),
        resumed: true,
        totalFiles: found.total_files,
        uploadedFiles: found.uploaded_files,
      };
    }
    const checkpoint = claim.checkpoint ?? null;
    const startedAt = checkpoint?.startedAt ?? freeInstant(journal, now, claim.takenIds);
    const backupId = checkpoint?.backupId ?? backupIdAt(startedAt);
    const id = Number(
      insertRun(journal).run({
        sourceSet,
        backupId,
        host: claim.host,
        startedAt: startedAt.getTime(),
        now: Math.max(startedAt.getTime(), now.getTime()),
        ...ownership,
      }).lastInsertRowid,
    );
    return {
      id,
      backupId,
      sourceSet,
      repository,
      startedAt,
      resumed: checkpoint !== null,
      totalFiles: checkpoint?.totalFiles ?? null,
      uploadedFiles: checkpoint?.uploadedFiles ?? 0,
    };
  });
}

const findSetRun = statement<{ repository: number; matchKey: Buffer }>()((db, p) =>
  db
    .selectFrom('source_set')
    .innerJoin('run', 'run.source_set', 'source_set.id')
    .select('run.backup_id')
    .where('source_set.repository', '=', p.repository)
    .where('source_set.match_key', '=', p.matchKey)
    .where(
      'run.state',
      '<>',
      sql.lit('complete') /* a literal, or SQLite would not take the partial index */,
    ),
);

/** @returns the id of the unfinished run of this match key that the journal knows, or `null` */
export function unfinishedBackupId(journal: Journal, repository: number, matchKey: Buffer): string | null {
  return findSetRun(journal).get({ repository, matchKey })?.backup_id ?? null;
}

const findAbandoned = statement<{ backupId: string }>()((db, { backupId }) =>
  db.selectFrom('abandoned').select('backup_id').where('backup_id', '=', backupId),
);

/** Was the run forgotten on this machine? What the remote still has of it is not gone on with. */
export function isAbandoned(journal: Journal, backupId: string): boolean {
  return findAbandoned(journal).get({ backupId }) !== undefined;
}

/** Is the id that of any run in this journal? */
export function isKnownBackupId(journal: Journal, backupId: string): boolean {
  return findBackupId(journal).get({ backupId }) !== undefined;
}

/** @returns the first whole second from `now` on whose backup id is free here and on the remote */
function freeInstant(journal: Journal, now: Date, takenIds: ReadonlySet<string>): Date {
  for (let ms = now.getTime() - (now.getTime() % 1000); ; ms += 1000) {
    const id = backupIdAt(new Date(ms));
    if (!takenIds.has(id) && !findBackupId(journal).get({ backupId: id })) return new Date(ms);
  }
}

const setBackupId = statement<{ id: number; backupId: string }>()((db, { id, backupId }) =>
  db.updateTable('run').set({ backup_id: backupId }).where('id', '=', id),
);

/**
 * Gives the run the next id that is free here and on the remote: another machine, which began in the same second, has
 * published a backup under its own.
 * @param isTaken on the remote
 */
export async function renameRun(
  journal: Journal,
  run: Run,
  isTaken: (backupId: string) => Promise<boolean>,
): Promise<string> {
  const takenIds = new Set<string>();
  for (;;) {
    const backupId = backupIdAt(freeInstant(journal, run.startedAt, takenIds));
    if (await isTaken(backupId)) takenIds.add(backupId);
    else {
      setBackupId(journal).run({ id: run.id, backupId });
      return backupId;
    }
  }
}

/** @returns `YYYYMMDD_HHMMSS`, UTC */
export function backupIdAt(instant: Date): string {
  const digits = instant.toISOString().replace(/\D/g, '');
  return `${digits.slice(0, 8)}_${digits.slice(8, 14)}`;
}

export function isBackupId(text: string): boolean {
  return /^\d{8}_\d{6}$/.test(text);
}

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

const release = statement<{ id: number; state: 'interrupted' | 'complete' }>()((db, { id, state }) =>
  db
    .updateTable('run')
    .set({ state, owner_pid: null, owner_started: null, owner_boot: null })
    .where('id', '=', id)
    .where('state', '=', 'running'),
);

/** The run ended before its backup was complete; nobody owns it. One that is complete stays so. */
export function interruptRun(journal: Journal, run: Run): void {
  release(journal).run({ id: run.id, state: 'interrupted' });
}

/** The manifest is on the remote. */
export function completeRun(journal: Journal, run: Run): void {
  release(journal).run({ id: run.id, state: 'complete' });
}
