import { type Kysely, sql } from 'kysely';

/** The manifest of a backup of which nothing has changed is the manifest of the next one: it need not be made again to be had. */
export async function up(db: Kysely<unknown>): Promise<void> {
  // Another number after each change of the entries of the source set that are uploaded, or of one of them.
  await sql`ALTER TABLE source_set ADD COLUMN changes INTEGER NOT NULL DEFAULT 0`.execute(db);

  // In a table of its own: a page of another moment, which no check of SQLite's finds, holds one of the two numbers only.
  await sql`
    CREATE TABLE manifest (
      source_set INTEGER PRIMARY KEY REFERENCES source_set ON DELETE CASCADE,
      changes INTEGER NOT NULL,
      size INTEGER NOT NULL,
      files INTEGER NOT NULL,
      folders INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      chunks BLOB NOT NULL,
      sha256 TEXT NOT NULL
    ) STRICT`.execute(db);
}
