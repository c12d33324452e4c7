import { type Kysely, sql } from 'kysely';

/**
 * What a backup believes of a chunk without seeing it again stands twice from here on, in the table and in this index:
 * SQLite has no checksums, but `integrity_check` holds the one against the other.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`DROP INDEX chunk_by_pack`.execute(db);
  await sql`
    CREATE INDEX chunk_by_pack ON chunk (pack, position, "offset", stored_size, size, compression)`.execute(
    db,
  );
}
