import type { Journal } from './database.ts';
import type { Entry } from './entries.ts';
import { noteChange } from './manifests.ts';
import { deletePieces, insertPiece } from './pieces.ts';
import type { Run } from './runs.ts';
import { type Parameters, statement } from './statement.ts';

/** What the scan means for the journal: applied batch by batch, in one transaction each. */
export interface PlanBatch {
  readonly added: readonly Entry[];
  /** The row's number and what is there now: nothing of its content counts as uploaded any more. */
  readonly changed: readonly { readonly id: bigint; readonly entry: Entry }[];
  /** The same content under new attributes. */
  readonly moved: readonly {
    readonly id: bigint;
    readonly entry: Entry;
    readonly state: 'pending' | 'uploaded';
  }[];
  readonly gone: readonly bigint[];
}

type Found = Omit<Entry, 'path'> & { state: 'pending' | 'uploaded' };

/** The columns of what was found under a path. */
const foundColumns = (p: Parameters<Found>) => ({
  type: p.type,
  size: p.size,
  mtime_ns: p.mtimeNs,
  ctime_ns: p.ctimeNs,
  inode: p.inode,
  device: p.device,
  links: p.links,
  mode: p.mode,
  uid: p.uid,
  gid: p.gid,
  special_device: p.specialDevice,
  target: p.target,
  state: p.state,
});

const insertEntry = statement<Found & { sourceSet: number; path: Buffer }>()((db, p) =>
  db.insertInto('entry').values({ source_set: p.sourceSet, path: p.path, ...foundColumns(p) }),
);

const findEntry = statement<{ sourceSet: number; path: Buffer }>()((db, p) =>
  db.selectFrom('entry').select('state').where('source_set', '=', p.sourceSet).where('path', '=', p.path),
);

const updateEntry = statement<Found & { id: bigint }>()((db, p) =>
  db.updateTable('entry').set(foundColumns(p)).where('id', '=', p.id),
);

const deleteEntry = statement<{ id: bigint }>()((db, { id }) => db.deleteFrom('entry').where('id', '=', id));

/** Only a regular file has content to upload; an empty one has none either. */
function stateAtFirst({ type, size }: Entry): 'pending' | 'uploaded' {
  return type === 'file' && size > 0n ? 'pending' : 'uploaded';
}

export function applyPlan(journal: Journal, run: Run, { added, changed, moved, gone }: PlanBatch): void {
  if (added.length + changed.length + moved.length + gone.length === 0) return;
  journal.unsyncedTransaction(() => {
    const insert = insertEntry(journal);
    for (const entry of added) {
      insert.run({ ...entry, sourceSet: run.sourceSet, state: stateAtFirst(entry) });
    }
    for (const { id, entry } of changed) {
      deletePieces(journal).run({ entry: id, from: 0 });
      updateEntry(journal).run({ ...entry, id, state: stateAtFirst(entry) });
    }
    for (const { id, entry, state } of moved) updateEntry(journal).run({ ...entry, id, state });
    for (const id of gone) deleteEntry(journal).run({ id });
    noteChange(journal, run);
  });
}

/** An entry that a checkpoint on the remote lists, and the ids of its chunks. */
export interface ImportedEntry extends Entry {
  readonly chunks: readonly Buffer[];
}

/** Takes over what is uploaded according to the remote. What the journal knows of a path already counts for more. */
export function importEntries(journal: Journal, run: Run, entries: readonly ImportedEntry[]): void {
  journal.unsyncedTransaction(() => {
    for (const { chunks, ...entry } of entries) {
      if (findEntry(journal).get({ sourceSet: run.sourceSet, path: entry.path })) continue;
      const { lastInsertRowid } = insertEntry(journal).run({
        ...entry,
        sourceSet: run.sourceSet,
        state: 'uploaded',
      });
      const insert = insertPiece(journal);
      chunks.forEach((chunk, position) => {
        insert.run({ entry: BigInt(lastInsertRowid), position, chunk });
      });
    }
    noteChange(journal, run);
  });
}

/** The file is not what the scan saw any more: nothing of it counts as uploaded. */
export function resetEntry(journal: Journal, run: Run, id: bigint, entry: Entry): void {
  applyPlan(journal, run, { added: [], changed: [{ id, entry }], moved: [], gone: [] });
}
