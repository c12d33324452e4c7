import type { Journal } from './database.ts';
import { statement } from './statement.ts';

const upsert = statement<{ uuid: string; url: string }>()((db, { uuid, url }) =>
  db
    .insertInto('repository')
    .values({ uuid, url })
    .onConflict((conflict) => conflict.column('uuid').doUpdateSet({ url }))
    .returning('id'),
);

/**
 * The same repository may be reached by several URLs: what tells it apart is the id in its `skylock.json`.
 * @returns its number in this journal
 */
export function rememberRepository(journal: Journal, uuid: string, url: string): number {
  return upsert(journal).all({ uuid, url })[0]!.id;
}
