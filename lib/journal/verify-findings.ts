import { PAGE, pages } from './restore-plan.ts';
import { statement } from './statement.ts';
import type { FindingKind, Tables, VerifyStore } from './verify-store.ts';

export interface StoredFinding {
  readonly id: number;
  readonly kind: FindingKind;
  /** Its name on the remote. */
  readonly object: string;
  readonly reason: string;
}

export interface AffectedFile {
  readonly backupId: string;
  readonly path: Buffer;
}

/** Stands for the list of a backup's files, where that itself is affected. */
const WHOLE_BACKUP: Buffer = Buffer.alloc(0);

const insertFinding = statement<Omit<StoredFinding, 'id'>, Tables>()((db, p) =>
  db
    .insertInto('finding')
    .values({ kind: p.kind, object: p.object, reason: p.reason })
    .onConflict((conflict) => conflict.columns(['object', 'reason']).doUpdateSet({ object: p.object }))
    .returning('id'),
);

/** @returns its number; that of the first one when the same was found before */
export function addFinding(store: VerifyStore, kind: FindingKind, object: string, reason: string): number {
  return insertFinding(store).all({ kind, object, reason })[0]!.id;
}

const insertAffected = statement<Tables['affected'], Tables>()((db, p) =>
  db.insertInto('affected').orIgnore().values({ finding: p.finding, backup: p.backup, path: p.path }),
);

/** @param path of the file that cannot be restored; without it the backup's list of files cannot be read whole */
export function addAffected(
  store: VerifyStore,
  finding: number,
  backupId: string,
  path: Buffer = WHOLE_BACKUP,
): void {
  insertAffected(store).run({ finding, backup: backupId, path });
}

const selectFindings = statement<{ kind: string; after: number; limit: number }, Tables>()((db, p) =>
  db
    .selectFrom('finding')
    .selectAll()
    .where('kind', '=', p.kind as never)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit),
);

export function* storedFindings(store: VerifyStore, kind: FindingKind): Generator<StoredFinding> {
  yield* pages(0, (after) => selectFindings(store).all({ kind, after, limit: PAGE }));
}

const selectBackups = statement<{ finding: number }, Tables>()((db, { finding }) =>
  db.selectFrom('affected').select('backup').distinct().where('finding', '=', finding).orderBy('backup'),
);

/** @returns the ids of the backups the finding affects */
export function affectedBackups(store: VerifyStore, finding: number): string[] {
  return selectBackups(store)
    .all({ finding })
    .map(({ backup }) => backup);
}

const selectFiles = statement<{ finding: number; backup: string; path: Buffer; limit: number }, Tables>()(
  (db, p) =>
    db
      .selectFrom('affected')
      .select(['backup as backupId', 'path'])
      .where('finding', '=', p.finding)
      .where(({ eb, refTuple, tuple }) =>
        eb(refTuple('backup', 'path'), '>', tuple(p.backup as never, p.path as never)),
      )
      .orderBy('backup')
      .orderBy('path')
      .limit(p.limit),
);

/** The files the finding affects, by backup and in byte order of their paths. */
export function* affectedFiles(store: VerifyStore, finding: number): Generator<AffectedFile> {
  for (let [backup, path] = ['', WHOLE_BACKUP]; ; ) {
    const page = selectFiles(store).all({ finding, backup, path, limit: PAGE });
    yield* page.filter(({ path }) => path.length > 0);
    if (page.length < PAGE) return;
    ({ backupId: backup, path } = page.at(-1)!);
  }
}

const countFiles = statement<{ finding: number }, Tables>()((db, { finding }) =>
  db
    .selectFrom('affected')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('finding', '=', finding)
    .where('path', '<>', WHOLE_BACKUP),
);

export function countAffectedFiles(store: VerifyStore, finding: number): number {
  return countFiles(store).get({ finding })!.count;
}
const countAllFiles = statement<object, Tables>()((db) =>
  db
    .selectFrom(
      db
        .selectFrom('affected')
        .select(['backup', 'path'])
        .distinct()
        .where('path', '<>', WHOLE_BACKUP)
        .as('file'),
    )
    .select((eb) => eb.fn.countAll<number>().as('count')),
);

/** @returns how many files any finding affects; one in two backups counts twice, one with two findings once */
export function countAllAffected(store: VerifyStore): number {
  return countAllFiles(store).get({})!.count;
}
