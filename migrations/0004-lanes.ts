import { type Kysely, sql } from 'kysely';

/** How many packs a run sends at once follows the line, and is shown. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE run ADD COLUMN lanes INTEGER`.execute(db);
}
