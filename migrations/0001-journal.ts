import { type Kysely, sql } from 'kysely';

/** Paths, names and ids are BLOBs: a path is bytes, not text. Instants are milliseconds since 1970, UTC. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    CREATE TABLE repository (
      id INTEGER PRIMARY KEY,
      uuid TEXT NOT NULL UNIQUE,
      url TEXT NOT NULL
    ) STRICT`.execute(db);

  // What a person backs up as one: the match key stands for repository, sources and the options that change what is stored.
  await sql`
    CREATE TABLE source_set (
      id INTEGER PRIMARY KEY,
      repository INTEGER NOT NULL REFERENCES repository,
      match_key BLOB NOT NULL,
      source_paths BLOB NOT NULL,
      UNIQUE (repository, match_key)
    ) STRICT`.execute(db);

  await sql`
    CREATE TABLE run (
      id INTEGER PRIMARY KEY,
      source_set INTEGER NOT NULL REFERENCES source_set,
      backup_id TEXT NOT NULL UNIQUE,
      state TEXT NOT NULL CHECK (state IN ('running', 'interrupted', 'complete')),
      host TEXT NOT NULL,
      started_at INTEGER NOT NULL,
      updated_at INTEGER NOT NULL,
      total_files INTEGER,
      total_bytes INTEGER,
      uploaded_files INTEGER NOT NULL DEFAULT 0,
      uploaded_bytes INTEGER NOT NULL DEFAULT 0,
      owner_pid INTEGER,
      owner_started TEXT,
      owner_boot TEXT
    ) STRICT`.execute(db);
  await sql`CREATE INDEX run_by_set ON run (source_set)`.execute(db);
  // The next backup of the same sources goes on with the unfinished one: there is never a second.
  await sql`CREATE UNIQUE INDEX run_to_resume ON run (source_set) WHERE state <> 'complete'`.execute(db);
  await sql`CREATE INDEX run_unfinished ON run (started_at) WHERE state <> 'complete'`.execute(db);

  await sql`
    CREATE TABLE abandoned (
      backup_id TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID`.execute(db);

  // One row an entry of a source set, as the newest run found it; the run that follows compares with it.
  await sql`
    CREATE TABLE entry (
      id INTEGER PRIMARY KEY,
      source_set INTEGER NOT NULL REFERENCES source_set ON DELETE CASCADE,
      path BLOB NOT NULL,
      type TEXT NOT NULL,
      size INTEGER NOT NULL,
      mtime_ns INTEGER NOT NULL,
      ctime_ns INTEGER NOT NULL,
      inode INTEGER NOT NULL,
      device INTEGER NOT NULL,
      links INTEGER NOT NULL,
      mode INTEGER NOT NULL,
      uid INTEGER NOT NULL,
      gid INTEGER NOT NULL,
      special_device INTEGER NOT NULL,
      target BLOB,
      state TEXT NOT NULL CHECK (state IN ('pending', 'uploaded', 'unreadable')),
      UNIQUE (source_set, path)
    ) STRICT`.execute(db);
  await sql`CREATE INDEX entry_pending ON entry (source_set, path) WHERE state = 'pending'`.execute(db);

  await sql`
    CREATE TABLE entry_chunk (
      entry INTEGER NOT NULL REFERENCES entry ON DELETE CASCADE,
      position INTEGER NOT NULL,
      chunk BLOB NOT NULL,
      PRIMARY KEY (entry, position)
    ) STRICT, WITHOUT ROWID`.execute(db);

  await sql`
    CREATE TABLE pack (
      id INTEGER PRIMARY KEY,
      repository INTEGER NOT NULL REFERENCES repository,
      name BLOB NOT NULL,
      size INTEGER NOT NULL,
      directory BLOB,
      UNIQUE (repository, name)
    ) STRICT`.execute(db);
  // A pack keeps its directory here until an index on the remote holds it.
  await sql`CREATE INDEX pack_without_index ON pack (repository) WHERE directory IS NOT NULL`.execute(db);

  await sql`
    CREATE TABLE chunk (
      repository INTEGER NOT NULL REFERENCES repository,
      id BLOB NOT NULL,
      pack INTEGER NOT NULL REFERENCES pack ON DELETE CASCADE,
      position INTEGER NOT NULL,
      "offset" INTEGER NOT NULL,
      stored_size INTEGER NOT NULL,
      size INTEGER NOT NULL,
      compression INTEGER NOT NULL,
      PRIMARY KEY (repository, id)
    ) STRICT, WITHOUT ROWID`.execute(db);
  await sql`CREATE INDEX chunk_by_pack ON chunk (pack, position)`.execute(db);

  await sql`
    CREATE TABLE index_seen (
      repository INTEGER NOT NULL REFERENCES repository,
      name TEXT NOT NULL,
      PRIMARY KEY (repository, name)
    ) STRICT, WITHOUT ROWID`.execute(db);
}
