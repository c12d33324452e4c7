import type { Journal } from './database.ts';
import { livingOwner, type Owner } from './owner.ts';
import { statement } from './statement.ts';

const insertToken = statement<{
  token: string;
  journalRepository: number;
  pid: number;
  started: string;
  boot: string;
}>()((db, p) =>
  db.insertInto('temporary_token').values({
    token: p.token,
    repository: p.journalRepository,
    owner_pid: p.pid,
    owner_started: p.started,
    owner_boot: p.boot,
  }),
);

/** `owner` may write temporary objects whose names begin with `token` from now on. */
export function noteToken(journal: Journal, journalRepository: number, token: string, owner: Owner): void {
  const { pid, startedAt: started, bootId: boot } = owner;
  insertToken(journal).run({ token, journalRepository, pid, started, boot });
}

const selectTokens = statement<{ journalRepository: number }>()((db, p) =>
  db.selectFrom('temporary_token').selectAll().where('repository', '=', p.journalRepository),
);

/** @returns the tokens that were noted, and whether the process that has each still lives */
export function notedTokens(
  journal: Journal,
  journalRepository: number,
): Map<string, { readonly isAlive: boolean }> {
  const rows = selectTokens(journal).all({ journalRepository });
  return new Map(rows.map((row) => [row.token, { isAlive: livingOwner(row) !== null }]));
}

const deleteToken = statement<{ token: string }>()((db, { token }) =>
  db.deleteFrom('temporary_token').where('token', '=', token),
);

export function forgetToken(journal: Journal, token: string): void {
  deleteToken(journal).run({ token });
}

/** A temporary object whose token is not noted: of another machine, or from before the journal was lost. */
export interface StrangeTemporary {
  readonly name: string;
  readonly sizeBytes: number;
  /** When it was first seen with this size. */
  readonly since: Date;
}

const selectStrange = statement<{ journalRepository: number }>()((db, p) =>
  db
    .selectFrom('strange_temporary')
    .select(['name', 'size', 'since'])
    .where('repository', '=', p.journalRepository),
);

export function strangeTemporaries(journal: Journal, journalRepository: number): StrangeTemporary[] {
  return selectStrange(journal)
    .all({ journalRepository })
    .map(({ name, size, since }) => ({ name, sizeBytes: size, since: new Date(since) }));
}

const deleteStrange = statement<{ journalRepository: number }>()((db, p) =>
  db.deleteFrom('strange_temporary').where('repository', '=', p.journalRepository),
);
const insertStrange = statement<{ journalRepository: number; name: string; size: number; since: number }>()(
  (db, p) =>
    db
      .insertInto('strange_temporary')
      .values({ repository: p.journalRepository, name: p.name, size: p.size, since: p.since }),
);

/** Takes the place of what was noted before. To be called inside a transaction. */
export function noteStrangeTemporaries(
  journal: Journal,
  journalRepository: number,
  temporaries: readonly StrangeTemporary[],
): void {
  deleteStrange(journal).run({ journalRepository });
  for (const { name, sizeBytes: size, since } of temporaries) {
    insertStrange(journal).run({ journalRepository, name, size, since: since.getTime() });
  }
}
