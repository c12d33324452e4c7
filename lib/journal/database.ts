import { closeSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { Kysely, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { MIGRATIONS } from '../../migrations/index.ts';
import { SkylockError, systemErrorCode } from '../errors.ts';
import type { Schema } from './schema.ts';

/** The database on this machine that knows what is durable on the remote. Its functions take it as their first argument. */
export interface Journal {
  readonly file: string;
  readonly db: Kysely<Schema>;
  readonly sqlite: Database.Database;
  /** Runs `change` as one transaction that holds the write lock from its start; nothing in it may wait. */
  transaction<Result>(change: () => Result): Result;
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

/**
 * Opens the journal, making it (0600, in a folder of 0700) where there is none. A damaged one is moved aside and a new
 * one begun: what it knew is on the remote.
 * @param options.check look at the whole file first (`integrity_check`), which takes time that grows with it
 * @throws SkylockError when it is of a newer version (it is left untouched) or the disk does not let us write
 */
export async function openJournal(
  file: string,
  { now, check = false }: { readonly now: Date; readonly check?: boolean },
): Promise<OpenedJournal> {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    closeSync(openSync(file, 'a', 0o600));
    try {
      return { journal: await open(file, check), movedAside: null };
    } catch (error) {
      if (!isDamage(error)) throw error;
      const movedAside = moveAside(file, now);
      return { journal: await open(file, false), movedAside };
    }
  } catch (error) {
    throw journalError(file, error);
  }
}

async function open(file: string, check: boolean): Promise<Journal> {
  const sqlite = new Database(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    const version = schemaVersion(sqlite);
    if (version > SCHEMA_VERSION) {
      throw new SkylockError(`open ${file}: the journal was written by a newer version of skylock`, {
        hints: ['Update skylock on this machine; the journal was left as it is.'],
      });
    }
    if (check) checkIntegrity(sqlite);
    sqlite.pragma('journal_mode = WAL');
    sqlite.pragma('synchronous = FULL');
    sqlite.pragma('foreign_keys = ON');
    sqlite.pragma('cache_size = -32768');
    sqlite.pragma('temp_store = MEMORY');
    const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: sqlite }) });
    if (version < SCHEMA_VERSION) await migrate(db, sqlite);
    return {
      file,
      db,
      sqlite,
      transaction: (change) => sqlite.transaction(change).immediate(),
      close: () => sqlite.close(),
    };
  } catch (error) {
    sqlite.close();
    throw error;
  }
}

/** All missing migrations in one transaction: SQLite would keep half of one that failed, and Kysely's lock is a no-op here. */
async function migrate(db: Kysely<Schema>, sqlite: Database.Database): Promise<void> {
  sqlite.exec('BEGIN EXCLUSIVE');
  try {
    // Another process may have migrated while this one waited for the lock.
    if (schemaVersion(sqlite) < SCHEMA_VERSION) {
      const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } });
      const { error } = await migrator.migrateToLatest();
      if (error) throw error;
      sqlite.pragma(`user_version = ${SCHEMA_VERSION}`);
    }
    sqlite.exec('COMMIT');
  } catch (error) {
    if (sqlite.inTransaction) sqlite.exec('ROLLBACK');
    throw error;
  }
}

function schemaVersion(sqlite: Database.Database): number {
  return sqlite.pragma('user_version', { simple: true }) as number;
}

class DamagedJournal extends Error {}

function checkIntegrity(sqlite: Database.Database): void {
  const verdict = sqlite.pragma('integrity_check(1)', { simple: true });
  if (verdict !== 'ok') throw new DamagedJournal(String(verdict));
}

function isDamage(error: unknown): boolean {
  const code = systemErrorCode(error) ?? '';
  return error instanceof DamagedJournal || code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB';
}

function moveAside(file: string, now: Date): string {
  const target = `${file}.corrupt-${now.toISOString().replace(/[-:]|\.\d+/g, '')}`;
  renameSync(file, target);
  // A write-ahead log belongs to the file it was written beside; the new journal must not take it for its own.
  for (const suffix of ['-wal', '-shm']) {
    try {
      renameSync(file + suffix, target + suffix);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') rmSync(file + suffix, { force: true });
    }
  }
  return target;
}

/** @returns what a person can act on for SQLite's and the file system's errors; anything else as it is */
export function journalError(file: string, error: unknown): unknown {
  const code = systemErrorCode(error) ?? '';
  const fail = (reason: string, hint: string) =>
    new SkylockError(`write journal ${file}: ${reason}`, { hints: [hint], cause: error });
  if (code === 'SQLITE_FULL' || code === 'ENOSPC') {
    return fail('the disk is full', 'Make room and run the same command again: it goes on where it was.');
  }
  if (code.startsWith('SQLITE_READONLY') || code === 'EROFS') {
    return fail('the disk is read-only', 'Set XDG_DATA_HOME to a folder that can be written.');
  }
  if (code === 'EACCES' || code === 'EPERM' || code.startsWith('SQLITE_CANTOPEN')) {
    return fail('permission denied', 'Look at the owner and the mode of that file and its folder.');
  }
  if (code.startsWith('SQLITE_BUSY')) {
    return fail(
      'another process keeps it locked',
      'Wait for the other skylock to end and run the command again.',
    );
  }
  if (code.startsWith('SQLITE_IOERR') || code === 'EIO') {
    return fail('input/output error', 'Look at the disk; what is on the remote is safe.');
  }
  return error;
}
