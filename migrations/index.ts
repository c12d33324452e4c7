/** Every migration, by name, in order; a spec compares this list with the folder. Once released, one is never changed. */
import type { Kysely } from 'kysely';
import * as first from './0001-journal.ts';
import * as second from './0002-temporaries.ts';
import * as third from './0003-chunks-twice.ts';
import * as fourth from './0004-lanes.ts';
import * as fifth from './0005-claims.ts';
import * as sixth from './0006-manifests.ts';

export const MIGRATIONS: Record<string, { up(db: Kysely<unknown>): Promise<void> }> = {
  '0001-journal': first,
  '0002-temporaries': second,
  '0003-chunks-twice': third,
  '0004-lanes': fourth,
  '0005-claims': fifth,
  '0006-manifests': sixth,
};

/** SHA-256 of the schema that all of them make, as `schemaSha256` of the journal reads it; the same spec holds it. */
export const SCHEMA_SHA256 = 'f9480b0368b934193b740b3720f0bf14add4a256c2d1e8b6a7a2ba14ba060df3';
