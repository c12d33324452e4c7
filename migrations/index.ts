/** Every migration, by name, in order; a spec compares this list with the folder. Once released, one is never changed. */
import type { Kysely } from 'kysely';
import * as first from './0001-journal.ts';
import * as second from './0002-temporaries.ts';

export const MIGRATIONS: Record<string, { up(db: Kysely<unknown>): Promise<void> }> = {
  '0001-journal': first,
  '0002-temporaries': second,
};
