import { type Kysely, sql } from 'kysely';

/** What has to be known of uploads that died, so that what they left on the remote can be removed. */
export async function up(db: Kysely<unknown>): Promise<void> {
  // Whose temporary objects begin with the token; noted before the first of them is written.
  await sql`
    CREATE TABLE temporary_token (
      token TEXT PRIMARY KEY,
      repository INTEGER NOT NULL REFERENCES repository,
      owner_pid INTEGER NOT NULL,
      owner_started TEXT NOT NULL,
      owner_boot TEXT NOT NULL
    ) STRICT, WITHOUT ROWID`.execute(db);

  // Temporary objects of nobody known here, and since when they have had this size.
  await sql`
    CREATE TABLE strange_temporary (
      repository INTEGER NOT NULL REFERENCES repository,
      name TEXT NOT NULL,
      size INTEGER NOT NULL,
      since INTEGER NOT NULL,
      PRIMARY KEY (repository, name)
    ) STRICT, WITHOUT ROWID`.execute(db);
}
