CREATE TABLE abandoned (
      backup_id TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID;

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
    ) STRICT, WITHOUT ROWID;

CREATE TABLE claim (
      id INTEGER PRIMARY KEY,
      uuid TEXT NOT NULL UNIQUE,
      run INTEGER,
      taken_over INTEGER NOT NULL
    ) STRICT;

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
    ) STRICT;

CREATE TABLE entry_chunk (
      entry INTEGER NOT NULL REFERENCES entry ON DELETE CASCADE,
      position INTEGER NOT NULL,
      chunk BLOB NOT NULL,
      PRIMARY KEY (entry, position)
    ) STRICT, WITHOUT ROWID;

CREATE TABLE index_seen (
      repository INTEGER NOT NULL REFERENCES repository,
      name TEXT NOT NULL,
      PRIMARY KEY (repository, name)
    ) STRICT, WITHOUT ROWID;

CREATE TABLE manifest (
      source_set INTEGER PRIMARY KEY REFERENCES source_set ON DELETE CASCADE,
      changes INTEGER NOT NULL,
      size INTEGER NOT NULL,
      files INTEGER NOT NULL,
      folders INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      chunks BLOB NOT NULL,
      sha256 TEXT NOT NULL
    ) STRICT;

CREATE TABLE pack (
      id INTEGER PRIMARY KEY,
      repository INTEGER NOT NULL REFERENCES repository,
      name BLOB NOT NULL,
      size INTEGER NOT NULL,
      directory BLOB,
      UNIQUE (repository, name)
    ) STRICT;

CREATE TABLE repository (
      id INTEGER PRIMARY KEY,
      uuid TEXT NOT NULL UNIQUE,
      url TEXT NOT NULL
    ) STRICT;

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
    , lanes INTEGER) STRICT;

CREATE TABLE source_set (
      id INTEGER PRIMARY KEY,
      repository INTEGER NOT NULL REFERENCES repository,
      match_key BLOB NOT NULL,
      source_paths BLOB NOT NULL, changes INTEGER NOT NULL DEFAULT 0,
      UNIQUE (repository, match_key)
    ) STRICT;

CREATE TABLE strange_temporary (
      repository INTEGER NOT NULL REFERENCES repository,
      name TEXT NOT NULL,
      size INTEGER NOT NULL,
      since INTEGER NOT NULL,
      PRIMARY KEY (repository, name)
    ) STRICT, WITHOUT ROWID;

CREATE TABLE temporary_token (
      token TEXT PRIMARY KEY,
      repository INTEGER NOT NULL REFERENCES repository,
      owner_pid INTEGER NOT NULL,
      owner_started TEXT NOT NULL,
      owner_boot TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

CREATE INDEX chunk_by_pack ON chunk (pack, position, "offset", stored_size, size, compression);

CREATE INDEX claim_by_run ON claim (run);

CREATE INDEX entry_pending ON entry (source_set, path) WHERE state = 'pending';

CREATE INDEX pack_without_index ON pack (repository) WHERE directory IS NOT NULL;

CREATE INDEX run_by_set ON run (source_set);

CREATE UNIQUE INDEX run_to_resume ON run (source_set) WHERE state <> 'complete';

CREATE INDEX run_unfinished ON run (started_at) WHERE state <> 'complete';
