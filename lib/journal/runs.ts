import { sql } from 'kysely';
import { LockedError } from '../errors.ts';
import { backupIdAt, freeInstant } from './backup-ids.ts';
import { addClaim, type Claims, claimsOf, type Put } from './claims.ts';
import type { Journal } from './database.ts';
import { livingOwner, type Owner } from './owner.ts';
import { joinPaths } from './source-paths.ts';
import { statement } from './statement.ts';

export interface Run extends Claims {
  readonly id: number;
  readonly backupId: string;
  /** The number of the sources' rows in the journal, which outlive the run: the next one compares with them. */
  readonly sourceSet: number;
  readonly journalRepository: number;
  readonly startedAt: Date;
  /** Was it begun by an earlier process? */
  readonly resumed: boolean;
  /** `null` until the first scan is through. */
  readonly totalFiles: number | null;
  readonly uploadedFiles: number;
}

export interface RunClaim {
  readonly journalRepository: number;
  readonly matchKey: Buffer;
  readonly sourcePaths: readonly Buffer[];
  readonly host: string;
  readonly owner: Owner;
  readonly now: Date;
  /** Backup ids that are taken on the remote. */
  readonly takenIds: ReadonlySet<string>;
  /** An unfinished backup of these sources that the remote has a checkpoint of, and the journal does not know. */
  readonly checkpoint?: RunCheckpoint | null;
  /** Nobody else's, ever. */
  readonly uuid: string;
}

export interface RunCheckpoint extends Put {
  readonly startedAt: Date;
  readonly totalFiles: number | null;
  readonly uploadedFiles: number;
}

const upsertSourceSet = statement<{ journalRepository: number; matchKey: Buffer; paths: Buffer }>()((db, p) =>
  db
    .insertInto('source_set')
    .values({ repository: p.journalRepository, match_key: p.matchKey, source_paths: p.paths })
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

/**
 * Finds the unfinished run of the same match key and takes it over, or begins a new one.
 * @throws LockedError when a living process owns it
 */
export function claimRun(journal: Journal, claim: RunClaim): Run {
  const { journalRepository, matchKey, owner, now } = claim;
  const ownership = { pid: owner.pid, started: owner.startedAt, boot: owner.bootId };
  return journal.transaction(() => {
    const paths = joinPaths(claim.sourcePaths);
    const sourceSet = upsertSourceSet(journal).all({ journalRepository, matchKey, paths })[0]!.id;
    const found = findUnfinished(journal).get({ sourceSet });
    if (found) {
      const other = livingOwner(found);
      if (other !== null) {
        throw new LockedError(`back up: process ${other} is backing these sources up already`, {
          hints: [`Wait for it to end, or stop it with 'kill ${other}' and run the same command again.`],
        });
      }
      takeOver(journal).run({ id: found.id, now: now.getTime(), ...ownership });
      addClaim(journal, found.id, claim.uuid);
      return {
        ...claimsOf(journal, found.id),
        id: found.id,
        backupId: found.backup_id,
        sourceSet,
        journalRepository,
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
    const foreign = checkpoint?.claims.at(-1);
    if (foreign !== undefined) addClaim(journal, id, foreign, true);
    addClaim(journal, id, claim.uuid);
    return {
      ...claimsOf(journal, id),
      id,
      backupId,
      sourceSet,
      journalRepository,
      startedAt,
      resumed: checkpoint !== null,
      totalFiles: checkpoint?.totalFiles ?? null,
      uploadedFiles: checkpoint?.uploadedFiles ?? 0,
    };
  });
}

const findSetRun = statement<{ journalRepository: number; matchKey: Buffer }>()((db, p) =>
  db
    .selectFrom('source_set')
    .innerJoin('run', 'run.source_set', 'source_set.id')
    .select('run.backup_id')
    .where('source_set.repository', '=', p.journalRepository)
    .where('source_set.match_key', '=', p.matchKey)
    .where(
      'run.state',
      '<>',
      sql.lit('complete') /* a literal, or SQLite would not take the partial index */,
    ),
);

/** @returns the id of the unfinished run of this match key that the journal knows, or `null` */
export function unfinishedBackupId(
  journal: Journal,
  journalRepository: number,
  matchKey: Buffer,
): string | null {
  return findSetRun(journal).get({ journalRepository, matchKey })?.backup_id ?? null;
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
