/** Every migration, by name, in order; a spec compares this list with the folder. Once released, one is never changed. */
import type { Kysely } from 'kysely';
import * as first from './0001-journal.ts';
import * as second from './0002-temporaries.ts';
import * as third from './0003-chunks-twice.ts';
import * as fourth from './0004-lanes.ts';
import * as fifth from './0005-claims.ts';

export const MIGRATIONS: Record<string, { up(db: Kysely<unknown>): Promise<void> }> = {
  '0001-journal': first,
  '0002-temporaries': second,
  '0003-chunks-twice': third,
  '0004-lanes': fourth,
  '0005-claims': fifth,
};

/** SHA-256 of the schema that all of them make, as `schemaSha256` of the journal reads it; the same spec holds it. */
export const SCHEMA_SHA256 = '049a78a51126c026138b3f2b9e23e4bd98426a23e5f28231bc23e2778c408925';
