import { hash, randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { Kysely, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { MIGRATIONS, SCHEMA_SHA256 } from '../../migrations/index.ts';
import { SkylockError, systemErrorCode } from '../errors.ts';
import { diskError, isDamage } from './disk-error.ts';
import type { Schema } from './schema.ts';

/** An open database, and Kysely's view of its tables. */
export interface Connection<Tables> {
  readonly db: Kysely<Tables>;
  readonly sqlite: Database.Database;
  /** Runs what speaks to SQLite; its errors leave as ones a person can act on. */
  guard<Result>(work: () => Result): Result;
}

/** The database on this machine that knows what is durable on the remote. Its functions take it as their first argument. */
export interface Journal extends Connection<Schema> {
  readonly file: string;
  /** Runs `change` as one transaction that holds the write lock from its start; nothing in it may wait. */
  transaction<Result>(change: () => Result): Result;
  /**
   * A transaction that the disk is not waited for. No kill takes it back; a loss of power may, with all that came after it,
   * unless a {@link transaction} has followed.
   */
  unsyncedTransaction<Result>(change: () => Result): Result;
  /** All that `look` reads is of one moment, and costs one lock; it changes nothing, and nothing in it may wait. */
  snapshot<Result>(look: () => Result): Result;
  /** @returns what is another each time something has been written, by whichever process */
  writes(): string;
  /** A journal that turned out to be damaged is moved aside, so that the next opening begins a new one. */
  close(): void;
}

export interface OpenedJournal {
  readonly journal: Journal;
  /** Where a damaged journal was moved to, had there been one. */
  readonly movedAside: string | null;
}

const SCHEMA_VERSION = Object.keys(MIGRATIONS).length;
/** Another process holds the write lock for one transaction at a time, the longest of which is a migration. */
const BUSY_TIMEOUT_MS = 30_000;
const CACHE_BYTES = 16 * 1024 * 1024;

/**
 * Opens the journal, making it (0600, in a folder of 0700) where there is none. A damaged one is moved aside and a new
 * one begun: what it knew is on the remote.
 * @param options.cacheBytes pages that are held in memory: 16 MiB unless told
 * @param options.check look at the whole file first (`integrity_check`), which takes time that grows with it
 * @throws SkylockError when it is of a newer version (it is left untouched) or the disk does not let us write
 */
export async function openJournal(
  file: string,
  {
    now,
    check = false,
    cacheBytes = CACHE_BYTES,
  }: { readonly now: Date; readonly check?: boolean; readonly cacheBytes?: number },
): Promise<OpenedJournal> {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    try {
      return { journal: await open(file, { check, now, cacheBytes }), movedAside: null };
    } catch (error) {
      if (!isDamage(error)) throw error;
      const movedAside = moveAsideIfDamaged(file, now);
      return { journal: await open(file, { check: false, now, cacheBytes }), movedAside };
    }
  } catch (error) {
    throw diskError(`open journal ${file}`, error);
  }
}

async function open(
  file: string,
  { check, now, cacheBytes }: { check: boolean; now: Date; cacheBytes: number },
): Promise<Journal> {
  closeSync(openSync(file, 'a', 0o600)); // SQLite would make it readable by others
  const sqlite = new Database(file, { timeout: BUSY_TIMEOUT_MS });
  let close = (): void => {
    sqlite.close();
  };
  try {
    const version = schemaVersion(sqlite);
    if (version > SCHEMA_VERSION && isOfNewerVersion(sqlite)) {
      close = () => closeUntouched(sqlite, file);
      throw new SkylockError(`open journal ${file}: it was written by a newer version of skylock`, {
        hints: ['Update skylock on this machine; the journal was left as it is.'],
      });
    }
    if (check) checkIntegrity(sqlite);
    sqlite.pragma('journal_mode = WAL');
    sqlite.pragma('synchronous = FULL');
    sqlite.pragma('foreign_keys = ON');
    sqlite.pragma(`cache_size = ${-cacheBytes / 1024}`);
    sqlite.pragma('temp_store = MEMORY');
    const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: sqlite }) });
    if (version !== SCHEMA_VERSION) await migrate(db, sqlite);
    return lend(file, sqlite, db, now);
  } catch (error) {
    close();
    throw error;
  }
}

function lend(file: string, sqlite: Database.Database, db: Kysely<Schema>, now: Date): Journal {
  let damaged = false;
  const guard = <Result>(work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      damaged ||= isDamage(error);
      throw diskError(`use journal ${file}`, error);
    }
  };
  const ownChanges = sqlite.prepare('SELECT total_changes()').pluck();
  const { immediate: change, deferred: read } = sqlite.transaction((work: () => unknown) => work());
  return {
    file,
    db,
    sqlite,
    guard,
    transaction: <Result>(work: () => Result) => guard(() => change(work) as Result),
    unsyncedTransaction: <Result>(work: () => Result) =>
      guard(() => {
        if (sqlite.inTransaction) return change(work) as Result; // which ends with the one around it
        sqlite.pragma('synchronous = NORMAL');
        try {
          return change(work) as Result;
        } finally {
          sqlite.pragma('synchronous = FULL');
        }
      }),
    snapshot: <Result>(look: () => Result) => guard(() => read(look) as Result),
    writes: () => guard(() => `${sqlite.pragma('data_version', { simple: true })} ${ownChanges.get()}`),
    close: () =>
      guard(() => {
        sqlite.close();
        if (damaged) moveAsideIfDamaged(file, now);
      }),
  };
}

/** A database of one process, for what it has to know for a while and could not hold in memory. */
export interface Scratch<Tables> extends Connection<Tables> {
  close(): void;
}

/**
 * Makes a database beside the journal (0600) whose file has no name any more when this returns: it goes with the
 * process, however that ends, and nobody else can open it. Nothing in it is synced, or rolled back.
 * @param tables what makes its tables
 */
export function openScratch<Tables>(journal: Pick<Journal, 'file'>, tables: string): Scratch<Tables> {
  const file = join(dirname(journal.file), `scratch-${randomUUID()}.db`);
  const guard = <Result>(work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      throw diskError(`use ${file}`, error);
    }
  };
  return guard(() => {
    removeDeadScratches(dirname(file));
    closeSync(openSync(file, 'wx', 0o600)); // SQLite would make it readable by others
    const sqlite = new Database(file);
    sqlite.pragma('journal_mode = MEMORY');
    sqlite.pragma('synchronous = OFF');
    sqlite.pragma('locking_mode = EXCLUSIVE');
    sqlite.pragma('cache_size = -8192');
    sqlite.pragma('temp_store = MEMORY');
    // One transaction from beginning to end: a page goes to the disk only when the cache is full.
    sqlite.exec('BEGIN EXCLUSIVE');
    rmSync(file);
    sqlite.exec(tables);
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: sqlite }) });
    return { db, sqlite, guard, close: () => void sqlite.close() };
  });
}

/** One that still has its name after a minute belongs to a process that was killed before it could take it away. */
const SCRATCH_DEAD_AFTER_MS = 60_000;

function removeDeadScratches(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!/^scratch-[0-9a-f-]{36}\.db$/.test(name)) continue;
    const found = statSync(join(folder, name), { throwIfNoEntry: false });
    if (found !== undefined && found.mtimeMs < Date.now() - SCRATCH_DEAD_AFTER_MS) {
      rmSync(join(folder, name), { force: true });
    }
  }
}

/**
 * All missing migrations in one transaction: SQLite would keep half of one that failed, and Kysely's lock is a no-op here.
 * What another process did while this one waited for the lock is not missing any more.
 */
async function migrate(db: Kysely<Schema>, sqlite: Database.Database): Promise<void> {
  sqlite.exec('BEGIN EXCLUSIVE');
  try {
    const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } });
    const { error } = await migrator.migrateToLatest();
    if (error) throw error;
    sqlite.pragma(`user_version = ${SCHEMA_VERSION}`);
    sqlite.exec('COMMIT');
  } catch (error) {
    if (sqlite.inTransaction) sqlite.exec('ROLLBACK');
    throw error;
  }
}

function schemaVersion(sqlite: Database.Database): number {
  return sqlite.pragma('user_version', { simple: true }) as number;
}

/** The version's number is four bytes, which may have changed as all others: a newer version has left a migration's name. */
function isOfNewerVersion(sqlite: Database.Database): boolean {
  const names = sqlite.prepare('SELECT name FROM kysely_migration').pluck().all() as string[];
  return names.some((name) => !Object.hasOwn(MIGRATIONS, name));
}

/** The last connection to close moves the write-ahead log into the file, unless it may only read. */
function closeUntouched(sqlite: Database.Database, file: string): void {
  const reader = new Database(file, { readonly: true });
  schemaVersion(reader); // a connection counts from its first look
  sqlite.close();
  reader.close();
}

function checkIntegrity(sqlite: Database.Database): void {
  const verdict = sqlite.pragma('integrity_check(1)', { simple: true });
  if (verdict !== 'ok') throw new Database.SqliteError(String(verdict), 'SQLITE_CORRUPT');
  // What the tables should be is text in the database as well, and no check of SQLite's looks at it.
  if (schemaVersion(sqlite) === SCHEMA_VERSION && schemaSha256(sqlite) !== SCHEMA_SHA256) {
    throw new Database.SqliteError('the schema has changed', 'SQLITE_CORRUPT');
  }
}

/** @returns the SHA-256, in hexadecimal, of the statements that make the tables and indexes, Kysely's own left out */
export function schemaSha256(sqlite: Database.Database): string {
  const statements = sqlite
    .prepare(
      `SELECT sql FROM sqlite_master WHERE tbl_name NOT LIKE 'kysely%' AND sql IS NOT NULL ORDER BY type, name`,
    )
    .pluck()
    .all() as string[];
  return hash('sha256', statements.join(';\n'));
}

/**
 * Only one process at a time may look and move: of two that found the same damage, the second would move away the new
 * journal of the first.
 * @returns where it was moved to, or `null` when another process was faster
 */
function moveAsideIfDamaged(file: string, now: Date): string | null {
  const lock = takeLock(`${file}.lock`);
  try {
    return isDamaged(file) ? moveAside(file, now) : null;
  } finally {
    lock.close();
  }
}

/**
 * Runs `work` while no other process that asks for this lock does, waiting for it where one does. A process that dies lets
 * go of it; the empty file stays.
 */
export async function withLock<Result>(file: string, work: () => Promise<Result>): Promise<Result> {
  let lock: Database.Database;
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    lock = takeLock(file);
  } catch (error) {
    throw diskError(`lock ${file}`, error);
  }
  try {
    return await work();
  } finally {
    lock.close();
  }
}

function takeLock(file: string): Database.Database {
  closeSync(openSync(file, 'a', 0o600)); // SQLite would make it readable by others
  const lock = new Database(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}

function isDamaged(file: string): boolean {
  let sqlite: Database.Database | undefined;
  try {
    sqlite = new Database(file, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
    checkIntegrity(sqlite);
    return false;
  } catch (error) {
    if (systemErrorCode(error)?.startsWith('SQLITE_CANTOPEN')) return false; // moved away a moment ago
    if (!isDamage(error)) throw error;
    return true;
  } finally {
    sqlite?.close();
  }
}

function moveAside(file: string, now: Date): string {
  const target = `${file}.corrupt-${now.toISOString().replace(/[-:]|\.\d+/g, '')}`;
  // A process that still has it open writes to its log: the new journal must not take that for its own. The file comes
  // last, so that none is made in its place before.
  for (const suffix of ['-wal', '-shm', '']) {
    try {
      renameSync(file + suffix, target + suffix);
    } catch (error) {
      if (suffix === '' || systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
  return target;
}
