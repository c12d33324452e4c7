import { PAGE, type RestorePlan, type Tables } from './restore-plan.ts';
import { statement } from './statement.ts';

const insertFolder = statement<{ path: Buffer }, Tables>()((db, { path }) =>
  db.insertInto('seen_folder').orIgnore().values({ path }),
);

/** @returns whether the folder is seen for the first time */
export function noteFolder(plan: RestorePlan, path: Buffer): boolean {
  return insertFolder(plan).run({ path }).changes > 0;
}

const insertLeftover = statement<Tables['leftover'], Tables>()((db, p) =>
  db.insertInto('leftover').orIgnore().values({ folder: p.folder, key: p.key, name: p.name }),
);

/** A part file of an earlier restore lies in `folder`. @param key tells which file it is a part of */
export function noteLeftover(plan: RestorePlan, folder: Buffer, key: string, name: string): void {
  insertLeftover(plan).run({ folder, key, name });
}

const deleteLeftover = statement<{ folder: Buffer; key: string }, Tables>()((db, { folder, key }) =>
  db.deleteFrom('leftover').where('folder', '=', folder).where('key', '=', key).returning('name'),
);

/** @returns the names of the part files of one file; they are nobody's leftovers any more */
export function claimLeftovers(plan: RestorePlan, folder: Buffer, key: string): string[] {
  return deleteLeftover(plan)
    .all({ folder, key })
    .map(({ name }) => name);
}

const selectLeftovers = statement<{ limit: number }, Tables>()((db, { limit }) =>
  db.selectFrom('leftover').selectAll().limit(limit),
);

/** The part files that nobody claimed; each must be claimed before the next page is asked for. */
export function* unclaimedLeftovers(plan: RestorePlan): Generator<Tables['leftover']> {
  for (;;) {
    const page = selectLeftovers(plan).all({ limit: PAGE });
    if (page.length === 0) return;
    yield* page;
  }
}
