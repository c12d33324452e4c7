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
  readonly chunks: Iterable<PackedChunk>;
  /** The directory as `format/pack` writes it, kept until an index holds it; `null` when one does. */
  readonly directory: Buffer | null;
}

const findChunk = statement<{ journalRepository: number; id: Buffer }>()((db, p) =>
  db.selectFrom('chunk').select('size').where('repository', '=', p.journalRepository).where('id', '=', p.id),
);

/** Is the chunk in a pack that is durable on the remote? */
export function isKnownChunk(journal: Journal, journalRepository: number, id: Buffer): boolean {
  return chunkSize(journal, journalRepository, id) !== null;
}

/** @returns how many bytes the chunk has, or `null` when no known pack holds it */
export function chunkSize(journal: Journal, journalRepository: number, id: Buffer): number | null {
  return findChunk(journal).get({ journalRepository, id })?.size ?? null;
}

const locateChunk = statement<{ journalRepository: number; id: Buffer }>()((db, p) =>
  db
    .selectFrom('chunk')
    .select(['pack as packId', 'position', 'offset', 'stored_size as storedSize', 'size', 'compression'])
    .where('repository', '=', p.journalRepository)
    .where('id', '=', p.id),
);
const findPack = statement<{ pack: number }>()((db, { pack }) =>
  db.selectFrom('pack').select(['name as pack', 'size as packSize']).where('id', '=', pack),
);

/**
 * Two lookups and no join: SQLite plans a join anew each time its parameters change, which takes ten times what it does.
 * @returns where the chunk lies, or `null` when no known pack holds it
 */
export function chunkLocation(journal: Journal, journalRepository: number, id: Buffer): ChunkLocation | null {
  return chunkLocator(journal, journalRepository)(id);
}

/** {@link chunkLocation} of one chunk after the other, as long as a snapshot is held: most lie in the same pack as the last. */
export function chunkLocator(
  journal: Journal,
  journalRepository: number,
): (id: Buffer) => ChunkLocation | null {
  let last: { readonly id: number; readonly facts: Pick<ChunkLocation, 'pack' | 'packSize'> } | null = null;
  return (id) => {
    const chunk = locateChunk(journal).get({ journalRepository, id });
    if (chunk === undefined) return null;
    if (chunk.packId !== last?.id) {
      const facts = findPack(journal).get({ pack: chunk.packId });
      if (facts === undefined) return null;
      last = { id: chunk.packId, facts };
    }
    const { pack, packSize } = last.facts;
    return { ...chunk, pack, packSize };
  };
}

/**
 * Keeps the journal as it is now for the lookups that follow: alone, each would take and give back a lock, which costs
 * more than the lookup. Nothing may be recorded until the function that is returned was called.
 */
export function holdSnapshot(journal: Journal): () => void {
  journal.guard(() => journal.sqlite.exec('BEGIN'));
  return () => journal.guard(() => void journal.sqlite.exec('COMMIT'));
}

const insertPack = statement<{
  journalRepository: number;
  name: Buffer;
  size: number;
  directory: Buffer | null;
}>()((db, p) =>
  db
    .insertInto('pack')
    .values({ repository: p.journalRepository, name: p.name, size: p.size, directory: p.directory })
    .onConflict((conflict) => conflict.columns(['repository', 'name']).doNothing())
    .returning('id'),
);

const insertChunk = statement<{
  journalRepository: number;
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
      repository: p.journalRepository,
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
export function insertDurablePack(journal: Journal, journalRepository: number, pack: DurablePack): void {
  const { name, size, directory, chunks } = pack;
  const inserted = insertPack(journal).all({ journalRepository, name, size, directory })[0];
  if (inserted === undefined) return;
  const insert = insertChunk(journal);
  for (const { id, position, offset, storedSize, size, compression } of inOrderOfIds(chunks)) {
    insert.run({ journalRepository, id, pack: inserted.id, position, offset, storedSize, size, compression });
  }
}

/** No pack of ours has more chunks; somebody else's may have hundreds of thousands. */
const SORTED_AT_ONCE = 8192;

/** In the order of their table, where each page is then changed once: their ids lie anywhere in it. */
function* inOrderOfIds(
  chunks: Iterable<PackedChunk>,
): Generator<PackedChunk & { readonly position: number }> {
  let rows: (PackedChunk & { readonly position: number })[] = [];
  let position = 0;
  for (const chunk of chunks) {
    rows.push({ ...chunk, position });
    position += 1;
    if (rows.length < SORTED_AT_ONCE) continue;
    yield* rows.sort(byId);
    rows = [];
  }
  yield* rows.sort(byId);
}

function byId(a: PackedChunk, b: PackedChunk): number {
  return a.id.compare(b.id);
}

const insertIndex = statement<{ journalRepository: number; name: string }>()((db, p) =>
  db
    .insertInto('index_seen')
    .values({ repository: p.journalRepository, name: p.name })
    .onConflict((conflict) => conflict.doNothing()),
);

const clearDirectory = statement<{ journalRepository: number; name: Buffer }>()((db, p) =>
  db
    .updateTable('pack')
    .set({ directory: null })
    .where('repository', '=', p.journalRepository)
    .where('name', '=', p.name),
);

/** An index object of the remote was read: its packs and their chunks are known from now on. */
export function recordIndex(
  journal: Journal,
  journalRepository: number,
  name: string,
  packs: Iterable<Omit<DurablePack, 'directory'>>,
): void {
  journal.transaction(() => {
    for (const pack of packs) {
      insertDurablePack(journal, journalRepository, { ...pack, directory: null });
      clearDirectory(journal).run({ journalRepository, name: pack.name });
    }
    insertIndex(journal).run({ journalRepository, name });
  });
}

/** An index object that holds the directories of these packs is on the remote. */
export function recordOwnIndex(
  journal: Journal,
  journalRepository: number,
  name: string,
  packNames: readonly Buffer[],
): void {
  journal.transaction(() => {
    for (const pack of packNames) clearDirectory(journal).run({ journalRepository, name: pack });
    insertIndex(journal).run({ journalRepository, name });
  });
}

const selectIndexes = statement<{ journalRepository: number }>()((db, p) =>
  db.selectFrom('index_seen').select('name').where('repository', '=', p.journalRepository),
);

export function seenIndexes(journal: Journal, journalRepository: number): Set<string> {
  return new Set(
    selectIndexes(journal)
      .all({ journalRepository })
      .map(({ name }) => name),
  );
}

const selectUnindexed = statement<{ journalRepository: number; after: number }>()((db, p) =>
  db
    .selectFrom('pack')
    .select(['id', 'name', 'size', 'directory'])
    .where('repository', '=', p.journalRepository)
    .where('directory', 'is not', null)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(1),
);

/** The durable packs that no index on the remote holds yet, one by one, as each brings its directory; rows may change meanwhile. */
export function* packsWithoutIndex(
  journal: Journal,
  journalRepository: number,
): Generator<{ readonly name: Buffer; readonly size: number; readonly directory: Buffer }> {
  for (let after = 0; ; ) {
    const row = selectUnindexed(journal).get({ journalRepository, after });
    if (row === undefined) return;
    const { id, name, size, directory } = row;
    yield { name, size, directory: directory! };
    after = id;
  }
}

const selectPacks = statement<{ journalRepository: number }>()((db, p) =>
  db.selectFrom('pack').select(['id', 'name', 'size']).where('repository', '=', p.journalRepository),
);

export function knownPacks(
  journal: Journal,
  journalRepository: number,
): { readonly id: number; readonly name: Buffer; readonly size: number }[] {
  return selectPacks(journal).all({ journalRepository });
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

const deletePacks = statement<{ journalRepository: number }>()((db, p) =>
  db.deleteFrom('pack').where('repository', '=', p.journalRepository),
);
const deleteIndexedPacks = statement<{ journalRepository: number }>()((db, p) =>
  db.deleteFrom('pack').where('repository', '=', p.journalRepository).where('directory', 'is', null),
);
const deleteIndexes = statement<{ journalRepository: number }>()((db, p) =>
  db.deleteFrom('index_seen').where('repository', '=', p.journalRepository),
);

/**
 * Forgets all that is known of the remote's packs and indexes, which are then read anew. After other packs have taken the
 * place of damaged ones no less is right: a chunk is remembered at one of its places only.
 */
export function forgetAllPacks(journal: Journal, journalRepository: number): void {
  journal.transaction(() => {
    deletePacks(journal).run({ journalRepository });
    deleteIndexes(journal).run({ journalRepository });
  });
}

/**
 * Forgets what was learned from indexes, because one of them is gone. Packs that are in none yet stay known.
 * @returns the indexes that were seen until now: all of them, whoever has recorded them, are to be read again
 */
export function forgetIndexedPacks(journal: Journal, journalRepository: number): Set<string> {
  return journal.transaction(() => {
    const seen = seenIndexes(journal, journalRepository);
    deleteIndexedPacks(journal).run({ journalRepository });
    deleteIndexes(journal).run({ journalRepository });
    return seen;
  });
}
