import type { Journal } from './database.ts';
import { statement } from './statement.ts';

/** UUIDs of the processes that had a run, the oldest first. */
export interface Claims {
  /** This machine's; the last is the present one's. */
  readonly claims: readonly string[];
  /** That of the checkpoint on the remote which the run goes on with, if it does. */
  readonly takenOver: readonly string[];
}

const insertClaim = statement<{ uuid: string; run: number; takenOver: 0 | 1 }>()((db, p) =>
  db.insertInto('claim').values({ uuid: p.uuid, run: p.run, taken_over: p.takenOver }),
);

export function addClaim(journal: Journal, run: number, uuid: string, takenOver = false): void {
  insertClaim(journal).run({ uuid, run, takenOver: takenOver ? 1 : 0 });
}

const selectClaims = statement<{ run: number }>()((db, { run }) =>
  db.selectFrom('claim').select(['uuid', 'taken_over as takenOver']).where('run', '=', run).orderBy('id'),
);

export function claimsOf(journal: Journal, run: number): Claims {
  const { own = [], foreign = [] } = Object.groupBy(selectClaims(journal).all({ run }), ({ takenOver }) =>
    takenOver === 1 ? 'foreign' : 'own',
  );
  return { claims: own.map(({ uuid }) => uuid), takenOver: foreign.map(({ uuid }) => uuid) };
}

const detachClaims = statement<{ run: number }>()((db, { run }) =>
  db.updateTable('claim').set({ run: null }).where('run', '=', run),
);

/** The run is forgotten. Its claims are kept, so that nobody here goes on with what the remote still has of it. */
export function abandonClaims(journal: Journal, run: number): void {
  detachClaims(journal).run({ run });
}

const findClaim = statement<{ uuid: string }>()((db, { uuid }) =>
  db
    .selectFrom('claim')
    .leftJoin('run', 'run.id', 'claim.run')
    .select('run.state')
    .where('claim.uuid', '=', uuid),
);

const findAbandoned = statement<{ backupId: string }>()((db, { backupId }) =>
  db.selectFrom('abandoned').select('backup_id').where('backup_id', '=', backupId),
);

/** What a backup or checkpoint on the remote says of the run that put it. */
export interface Put {
  readonly backupId: string;
  /** The last is that of the process that put it; none of a version that had no claims. */
  readonly claims: readonly string[];
}

/** Was the run completed or abandoned on this machine? What the remote still has of it is not gone on with. */
export function hasEnded(journal: Journal, { backupId, claims }: Put): boolean {
  const uuid = claims.at(-1);
  if (uuid === undefined) return findAbandoned(journal).get({ backupId }) !== undefined;
  const found = findClaim(journal).get({ uuid });
  return found !== undefined && (found.state === null || found.state === 'complete');
}

/** Is it a run of this journal that has put it? */
export function isKnownClaim(journal: Journal, { claims }: Pick<Put, 'claims'>): boolean {
  return claims.length > 0 && findClaim(journal).get({ uuid: claims.at(-1)! }) !== undefined;
}
