/** Every migration, by name, in order; a spec compares this list with the folder. Once released, one is never changed. */
import type { Migration } from 'kysely/migration';
import * as first from './0001-journal.ts';

export const MIGRATIONS: Record<string, Migration> = {
  '0001-journal': first,
};
