import { hash } from 'node:crypto';
import { sql } from 'kysely';
import type { Journal } from './database.ts';
import type { Run } from './runs.ts';
import { statement } from './statement.ts';

/** What the entries of a source set that are uploaded come to. */
export interface Manifest {
  readonly sizeBytes: number;
  /** The ids of its chunks, one after the other. */
  readonly chunks: Buffer;
  readonly files: number;
  readonly folders: number;
  /** Of the files. */
  readonly bytes: number;
}

const addChange = statement<{ sourceSet: number }>()((db, p) =>
  db
    .updateTable('source_set')
    .set({ changes: sql`random() >> 11` /* 53 bits: a number of JavaScript's */ })
    .where('id', '=', p.sourceSet),
);

/** To be called in each transaction that changes which entries are uploaded, or one of them: no manifest from before is right then. */
export function noteChange(journal: Journal, { sourceSet }: Pick<Run, 'sourceSet'>): void {
  addChange(journal).run({ sourceSet });
}

const selectChanges = statement<{ sourceSet: number }>()((db, p) =>
  db.selectFrom('source_set').select('changes').where('id', '=', p.sourceSet),
);

/**
 * @returns a number that is another after each change of the entries that are uploaded. One that grew would come back where a
 * page of the journal did.
 */
export function changesOf(journal: Journal, { sourceSet }: Pick<Run, 'sourceSet'>): number {
  return selectChanges(journal).get({ sourceSet })!.changes;
}

type ManifestRow = Omit<Manifest, 'sizeBytes'> & { readonly changes: number; readonly size: number };

const replaceManifest = statement<ManifestRow & { sourceSet: number; sha256: string }>()((db, p) =>
  db.replaceInto('manifest').values({
    source_set: p.sourceSet,
    changes: p.changes,
    size: p.size,
    files: p.files,
    folders: p.folders,
    bytes: p.bytes,
    chunks: p.chunks,
    sha256: p.sha256,
  }),
);

/** How a manifest came about. */
export interface Making {
  /** What {@link changesOf} said before the first entry was read for it: with any change since, it is not kept. */
  readonly changes: number;
  /** One that was made in another way is made anew. */
  readonly edition: number;
}

/** Keeps the manifest for the next backup of the same sources. Its chunks have to be durable. */
export function rememberManifest(
  journal: Journal,
  run: Run,
  manifest: Manifest,
  { changes, edition }: Making,
): void {
  const { sizeBytes: size, files, folders, bytes, chunks } = manifest;
  const row = { changes, size, files, folders, bytes, chunks };
  journal.unsyncedTransaction(() => {
    if (changesOf(journal, run) !== changes) return;
    replaceManifest(journal).run({ ...row, sourceSet: run.sourceSet, sha256: sha256Of(row, edition) });
  });
}

const selectManifest = statement<{ sourceSet: number }>()((db, p) =>
  db
    .selectFrom('manifest')
    .select(['changes', 'size', 'files', 'folders', 'bytes', 'chunks', 'sha256'])
    .where('source_set', '=', p.sourceSet),
);

/**
 * @returns the manifest of the run's entries as they are now, or `null` when it has to be made: they have changed since one
 * was, or a bit of what is remembered has
 */
export function rememberedManifest(journal: Journal, run: Run, edition: number): Manifest | null {
  const found = selectManifest(journal).get({ sourceSet: run.sourceSet });
  if (found?.changes !== changesOf(journal, run) || found.sha256 !== sha256Of(found, edition)) return null;
  const { size: sizeBytes, files, folders, bytes, chunks } = found;
  return { sizeBytes, files, folders, bytes, chunks };
}

function sha256Of({ changes, size, files, folders, bytes, chunks }: ManifestRow, edition: number): string {
  return hash('sha256', [edition, changes, size, files, folders, bytes, chunks.toString('hex')].join());
}
