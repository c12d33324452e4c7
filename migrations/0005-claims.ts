import { type Kysely, sql } from 'kysely';

/** Each process that claims a run has a UUID, by which what it puts on the remote is told from what a cloned machine puts. */
export async function up(db: Kysely<unknown>): Promise<void> {
  // Without a run: it was abandoned. Taken over: the claim of a checkpoint that the run goes on with.
  await sql`
    CREATE TABLE claim (
      id INTEGER PRIMARY KEY,
      uuid TEXT NOT NULL UNIQUE,
      run INTEGER,
      taken_over INTEGER NOT NULL
    ) STRICT`.execute(db);
  await sql`CREATE INDEX claim_by_run ON claim (run)`.execute(db);
}
