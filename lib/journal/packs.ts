import type { Journal } from './database.ts';
import { statement } from './statement.ts';

/** Where a chunk lies on the remote. */
export interface ChunkLocation {
  readonly packId: number;
  /** SHA-256 of the pack. */
  readonly pack: Buffer;
  readonly packSize: number;
  /** The frame's number in the pack. */
  readonly position: number;
  readonly offset: number;
  readonly storedSize: number;
  readonly size: number;
  readonly compression: number;
}

/** A chunk as a pack's directory lists it; its place in the list is the frame's number. */
export interface PackedChunk {
  readonly id: Buffer;
  readonly offset: number;
  readonly storedSize: number;
  readonly size: number;
  readonly compression: number;
}

export interface DurablePack {
  readonly name: Buffer;
  readonly size: number;
  readonly chunks: readonly PackedChunk[];
  /** The directory as `format/pack` writes it, kept until an index holds it; `null` when one does. */
  readonly directory: Buffer | null;
}

const findChunk = statement<{ repository: number; id: Buffer }>()((db, p) =>
  db.selectFrom('chunk').select('size').where('repository', '=', p.repository).where('id', '=', p.id),
);

/** Is the chunk in a pack that is durable on the remote? */
export function isKnownChunk(journal: Journal, repository: number, id: Buffer): boolean {
  return findChunk(journal).get({ repository, id }) !== undefined;
}

const locateChunk = statement<{ repository: number; id: Buffer }>()((db, p) =>
  db
    .selectFrom('chunk')
    .innerJoin('pack', 'pack.id', 'chunk.pack')
    .select([
      'chunk.pack as packId',
      'pack.name as pack',
      'pack.size as packSize',
      'chunk.position',
      'chunk.offset',
      'chunk.stored_size as storedSize',
      'chunk.size',
      'chunk.compression',
    ])
    .where('chunk.repository', '=', p.repository)
    .where('chunk.id', '=', p.id),
);

/** @returns where the chunk lies, or `null` when no known pack holds it */
export function chunkLocation(journal: Journal, repository: number, id: Buffer): ChunkLocation | null {
  return locateChunk(journal).get({ repository, id }) ?? null;
}

/**
 * Keeps the journal as it is now for the lookups that follow: alone, each would take and give back a lock, which costs
 * more than the lookup. Nothing may be recorded until the function that is returned was called.
 */
export function holdSnapshot(journal: Journal): () => void {
  journal.guard(() => journal.sqlite.exec('BEGIN'));
  return () => journal.guard(() => void journal.sqlite.exec('COMMIT'));
}

const insertPack = statement<{ repository: number; name: Buffer; size: number; directory: Buffer | null }>()(
  (db, p) =>
    db
      .insertInto('pack')
      .values({ repository: p.repository, name: p.name, size: p.size, directory: p.directory })
      .onConflict((conflict) => conflict.columns(['repository', 'name']).doNothing())
      .returning('id'),
);

const insertChunk = statement<{
  repository: number;
  id: Buffer;
  pack: number;
  position: number;
  offset: number;
  storedSize: number;
  size: number;
  compression: number;
}>()((db, p) =>
  db
    .insertInto('chunk')
    .values({
      repository: p.repository,
      id: p.id,
      pack: p.pack,
      position: p.position,
      offset: p.offset,
      stored_size: p.storedSize,
      size: p.size,
      compression: p.compression,
    })
    // Two runs at once may both have stored it: either place is right.
    .onConflict((conflict) => conflict.columns(['repository', 'id']).doNothing()),
);

/** Records a pack that is durable, and its chunks. To be called inside a transaction. */
export function insertDurablePack(journal: Journal, repository: number, pack: DurablePack): void {
  const { name, size, directory, chunks } = pack;
  const inserted = insertPack(journal).all({ repository, name, size, directory })[0];
  if (inserted === undefined) return;
  const insert = insertChunk(journal);
  chunks.forEach(({ id, offset, storedSize, size, compression }, position) => {
    insert.run({ repository, id, pack: inserted.id, position, offset, storedSize, size, compression });
  });
}

const insertIndex = statement<{ repository: number; name: string }>()((db, p) =>
  db
    .insertInto('index_seen')
    .values({ repository: p.repository, name: p.name })
    .onConflict((conflict) => conflict.doNothing()),
);

const clearDirectory = statement<{ repository: number; name: Buffer }>()((db, p) =>
  db
    .updateTable('pack')
    .set({ directory: null })
    .where('repository', '=', p.repository)
    .where('name', '=', p.name),
);

/** An index object of the remote was read: its packs and their chunks are known from now on. */
export function recordIndex(
  journal: Journal,
  repository: number,
  name: string,
  packs: Iterable<Omit<DurablePack, 'directory'>>,
): void {
  journal.transaction(() => {
    for (const pack of packs) {
      insertDurablePack(journal, repository, { ...pack, directory: null });
      clearDirectory(journal).run({ repository, name: pack.name });
    }
    insertIndex(journal).run({ repository, name });
  });
}

/** An index object that holds the directories of these packs is on the remote. */
export function recordOwnIndex(
  journal: Journal,
  repository: number,
  name: string,
  packNames: readonly Buffer[],
): void {
  journal.transaction(() => {
    for (const pack of packNames) clearDirectory(journal).run({ repository, name: pack });
    insertIndex(journal).run({ repository, name });
  });
}

const selectIndexes = statement<{ repository: number }>()((db, p) =>
  db.selectFrom('index_seen').select('name').where('repository', '=', p.repository),
);

export function seenIndexes(journal: Journal, repository: number): Set<string> {
  return new Set(
    selectIndexes(journal)
      .all({ repository })
      .map(({ name }) => name),
  );
}

const selectUnindexed = statement<{ repository: number }>()((db, p) =>
  db
    .selectFrom('pack')
    .select(['name', 'size', 'directory'])
    .where('repository', '=', p.repository)
    .where('directory', 'is not', null)
    .orderBy('id'),
);

/** @returns the durable packs that no index on the remote holds yet, with their directories */
export function packsWithoutIndex(
  journal: Journal,
  repository: number,
): { readonly name: Buffer; readonly size: number; readonly directory: Buffer }[] {
  return selectUnindexed(journal)
    .all({ repository })
    .map(({ name, size, directory }) => ({ name, size, directory: directory! }));
}

const selectPacks = statement<{ repository: number }>()((db, p) =>
  db.selectFrom('pack').select(['id', 'name', 'size']).where('repository', '=', p.repository),
);

export function knownPacks(
  journal: Journal,
  repository: number,
): { readonly id: number; readonly name: Buffer; readonly size: number }[] {
  return selectPacks(journal).all({ repository });
}

/** With the pack go its chunks. */
const deletePack = statement<{ pack: number }>()((db, { pack }) =>
  db.deleteFrom('pack').where('id', '=', pack),
);

/** The remote has lost these packs: what they held is not durable any more. */
export function forgetPacks(journal: Journal, packIds: readonly number[]): void {
  journal.transaction(() => {
    for (const pack of packIds) deletePack(journal).run({ pack });
  });
}

const deletePacks = statement<{ repository: number }>()((db, p) =>
  db.deleteFrom('pack').where('repository', '=', p.repository),
);
const deleteIndexedPacks = statement<{ repository: number }>()((db, p) =>
  db.deleteFrom('pack').where('repository', '=', p.repository).where('directory', 'is', null),
);
const deleteIndexes = statement<{ repository: number }>()((db, p) =>
  db.deleteFrom('index_seen').where('repository', '=', p.repository),
);

/**
 * Forgets all that is known of the remote's packs and indexes, which are then read anew. After other packs have taken the
 * place of damaged ones no less is right: a chunk is remembered at one of its places only.
 */
export function forgetAllPacks(journal: Journal, repository: number): void {
  journal.transaction(() => {
    deletePacks(journal).run({ repository });
    deleteIndexes(journal).run({ repository });
  });
}

/** Forgets what was learned from indexes, because one of them is gone. Packs that are in none yet stay known. */
export function forgetIndexedPacks(journal: Journal, repository: number): void {
  journal.transaction(() => {
    deleteIndexedPacks(journal).run({ repository });
    deleteIndexes(journal).run({ repository });
  });
}
