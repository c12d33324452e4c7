/** Every migration, by name, in order; a spec compares this list with the folder. Once released, one is never changed. */
import type { Kysely } from 'kysely';
import * as first from './0001-journal.ts';
import * as second from './0002-temporaries.ts';
import * as third from './0003-chunks-twice.ts';

export const MIGRATIONS: Record<string, { up(db: Kysely<unknown>): Promise<void> }> = {
  '0001-journal': first,
  '0002-temporaries': second,
  '0003-chunks-twice': third,
};

/** SHA-256 of the schema that all of them make, as `schemaSha256` of the journal reads it; the same spec holds it. */
export const SCHEMA_SHA256 = '289ebc3bd87d2f2bac3eae105ae46329200bb6b4fa31e0ccecebbf032aa67a6f';
