import type { Generated } from 'kysely';
import { type Journal, openScratch, type Scratch } from './database.ts';
import type { ChunkLocation, PackedChunk } from './packs.ts';
import { PAGE, pages } from './restore-plan.ts';
import { statement } from './statement.ts';

/**
 * What the remote says of itself: its indexes, its packs, and what is wrong with them. Nothing comes from the journal,
 * which would vouch for what it only remembers.
 */
export type VerifyStore = Scratch<Tables>;

export interface Tables {
  index_object: { id: Generated<number>; name: string; damage: string | null };
  /** `size` is what indexes or its own directory say, `found_size` what lies on the remote. */
  pack: {
    id: Generated<number>;
    name: Buffer;
    size: number | null;
    found_size: number | null;
    damage: string | null;
    lost: 0 | 1;
    used: 0 | 1;
  };
  listing: { index_object: number; pack: number };
  chunk: {
    id: Buffer;
    pack: number;
    position: number;
    offset: number;
    stored_size: number;
    size: number;
    compression: number;
    lost: 0 | 1;
  };
  finding: { id: Generated<number>; kind: FindingKind; object: string; reason: string };
  affected: { finding: number; backup: string; path: Buffer };
}

/** A `finding` is damage; a `note` is something nobody needs, or that the next backup mends by itself. */
export type FindingKind = 'finding' | 'note';

const TABLES = `
  CREATE TABLE index_object (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, damage TEXT) STRICT;
  CREATE TABLE pack (
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,
    size INTEGER,
    found_size INTEGER,
    damage TEXT,
    lost INTEGER NOT NULL DEFAULT 0,
    used INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE listing (pack INTEGER, index_object INTEGER, PRIMARY KEY (pack, index_object)) STRICT, WITHOUT ROWID;
  CREATE TABLE chunk (
    id BLOB NOT NULL,
    pack INTEGER NOT NULL,
    position INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    stored_size INTEGER NOT NULL,
    size INTEGER NOT NULL,
    compression INTEGER NOT NULL,
    lost INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (id, pack, position)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX chunk_by_pack ON chunk (pack, position);
  CREATE TABLE finding (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    object TEXT NOT NULL,
    reason TEXT NOT NULL,
    UNIQUE (object, reason)
  ) STRICT;
  CREATE TABLE affected (
    finding INTEGER NOT NULL,
    backup TEXT NOT NULL,
    path BLOB NOT NULL,
    PRIMARY KEY (finding, backup, path)
  ) STRICT, WITHOUT ROWID;
`;

export function openVerifyStore(journal: Pick<Journal, 'file'>): VerifyStore {
  return openScratch<Tables>(journal, TABLES);
}

export interface StoredPack {
  readonly id: number;
  /** SHA-256. */
  readonly name: Buffer;
  /** As an index, or the pack's own directory, says; `null` when neither is known. */
  readonly size: number | null;
  /** On the remote; `null` when it is not there. */
  readonly foundSize: number | null;
  /** What is wrong with it. */
  readonly damage: string | null;
  /** Does a backup that was looked at need a chunk of it? */
  readonly used: boolean;
}

export interface PackContents {
  readonly name: Buffer;
  readonly size: number;
  readonly chunks: readonly PackedChunk[];
}

const packColumns = [
  'pack.id',
  'pack.name',
  'pack.size',
  'pack.found_size as foundSize',
  'pack.damage',
  'pack.used',
] as const;

const insertIndex = statement<{ name: string; damage: string | null }, Tables>()((db, p) =>
  db.insertInto('index_object').values({ name: p.name, damage: p.damage }).returning('id'),
);
const insertListing = statement<{ index: number; pack: number }, Tables>()((db, p) =>
  db.insertInto('listing').orIgnore().values({ index_object: p.index, pack: p.pack }),
);

/** @param damage what is wrong with the index object itself, or `null`; its packs are those that could be read of it */
export function addIndex(
  store: VerifyStore,
  name: string,
  damage: string | null,
  packs: Iterable<PackContents>,
): void {
  const index = insertIndex(store).all({ name, damage })[0]!.id;
  for (const pack of packs) insertListing(store).run({ index, pack: addPackContents(store, pack) });
}

const upsertPack = statement<{ name: Buffer }, Tables>()((db, { name }) =>
  db
    .insertInto('pack')
    .values({ name, lost: 0, used: 0 })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ name }))
    .returning(packColumns),
);
const setSize = statement<{ id: number; size: number }, Tables>()((db, { id, size }) =>
  db.updateTable('pack').set({ size }).where('id', '=', id),
);
const insertChunk = statement<
  Omit<Tables['chunk'], 'stored_size' | 'lost'> & { storedSize: number },
  Tables
>()((db, p) =>
  db.insertInto('chunk').values({
    id: p.id,
    pack: p.pack,
    position: p.position,
    offset: p.offset,
    stored_size: p.storedSize,
    size: p.size,
    compression: p.compression,
    lost: 0,
  }),
);

/** What a pack holds; the first to say so is believed. @returns the pack's number here */
export function addPackContents(store: VerifyStore, { name, size, chunks }: PackContents): number {
  const pack = upsertPack(store).all({ name })[0]!;
  if (pack.size !== null) return pack.id;
  setSize(store).run({ id: pack.id, size });
  chunks.forEach(({ id, offset, storedSize, size, compression }, position) => {
    insertChunk(store).run({ id, pack: pack.id, position, offset, storedSize, size, compression });
  });
  return pack.id;
}

const setFound = statement<{ id: number; foundSize: number }, Tables>()((db, { id, foundSize }) =>
  db.updateTable('pack').set({ found_size: foundSize }).where('id', '=', id),
);

/** The pack lies on the remote. */
export function addFoundPack(store: VerifyStore, name: Buffer, foundSize: number): void {
  setFound(store).run({ id: upsertPack(store).all({ name })[0]!.id, foundSize });
}

const updateDamage = statement<{ id: number; damage: string | null; lost: 0 | 1 }, Tables>()(
  (db, { id, damage, lost }) => db.updateTable('pack').set({ damage, lost }).where('id', '=', id),
);
const updateFrame = statement<{ pack: number; position: number }, Tables>()((db, { pack, position }) =>
  db.updateTable('chunk').set({ lost: 1 }).where('pack', '=', pack).where('position', '=', position),
);

/** @param lostFrames numbers of the frames that cannot be read, or `'all'` @param damage `null`: it was found to be right */
export function markPack(
  store: VerifyStore,
  id: number,
  damage: string | null,
  lostFrames: readonly number[] | 'all',
): void {
  updateDamage(store).run({ id, damage, lost: lostFrames === 'all' ? 1 : 0 });
  if (lostFrames !== 'all') for (const position of lostFrames) updateFrame(store).run({ pack: id, position });
}

const selectPacks = statement<{ after: number; limit: number }, Tables>()((db, p) =>
  db.selectFrom('pack').select(packColumns).where('id', '>', p.after).orderBy('id').limit(p.limit),
);

export function* storedPacks(store: VerifyStore): Generator<StoredPack> {
  yield* pages(0, (after) => selectPacks(store).all({ after, limit: PAGE }).map(packOf));
}

function packOf<Row extends { readonly used: number }>(row: Row): Omit<Row, 'used'> & { used: boolean } {
  return { ...row, used: row.used === 1 };
}

/** Marks the packs an index tells of that the remote has not, or not in this size. */
export function markMissingPacks(store: VerifyStore): void {
  for (const { id, size, foundSize } of storedPacks(store)) {
    if (size === null || size === foundSize) continue;
    const damage =
      foundSize === null ? 'it is not on the remote' : `it has ${foundSize} bytes in place of ${size}`;
    markPack(store, id, damage, 'all');
  }
}

const setUsed = statement<{ id: number }, Tables>()((db, { id }) =>
  db.updateTable('pack').set({ used: 1 }).where('id', '=', id),
);

/** A backup that is looked at needs a chunk of it. */
export function markUsed(store: VerifyStore, id: number): void {
  setUsed(store).run({ id });
}

const selectReadable = statement<{ after: number; limit: number; used: number }, Tables>()((db, p) =>
  db
    .selectFrom('pack')
    .select(packColumns)
    .where('found_size', 'is not', null)
    .where('lost', '=', 0)
    .where('used', '>=', p.used as never)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit),
);

/** The packs on the remote of which nothing is known to be wrong as a whole. @param used only those {@link markUsed} was told */
export function* readablePacks(store: VerifyStore, used: boolean): Generator<StoredPack> {
  yield* pages(0, (after) =>
    selectReadable(store)
      .all({ after, limit: PAGE, used: used ? 1 : 0 })
      .map(packOf),
  );
}

export interface StoredLocation extends ChunkLocation {
  /** The chunk cannot be had from there. */
  readonly lost: boolean;
  /** What is wrong with the pack. */
  readonly damage: string | null;
}

const selectLocations = statement<{ id: Buffer }, Tables>()((db, { id }) =>
  db
    .selectFrom('chunk')
    .innerJoin('pack', 'pack.id', 'chunk.pack')
    .select((eb) => [
      'chunk.pack as packId',
      'pack.name as pack',
      eb.fn.coalesce('pack.size', eb.lit(0)).as('packSize'),
      'chunk.position',
      'chunk.offset',
      'chunk.stored_size as storedSize',
      'chunk.size',
      'chunk.compression',
      eb('pack.lost', '+', eb.ref('chunk.lost')).as('lost'),
      'pack.damage',
    ])
    .where('chunk.id', '=', id),
);

/** @returns every place the chunk is said to lie at */
export function locationsOf(store: VerifyStore, id: Buffer): StoredLocation[] {
  return selectLocations(store)
    .all({ id })
    .map((row) => ({ ...row, lost: Number(row.lost) > 0 }));
}

const selectFrames = statement<{ pack: number }, Tables>()((db, { pack }) =>
  db
    .selectFrom('chunk')
    .select(['id', 'offset', 'stored_size as storedSize', 'size', 'compression'])
    .where('pack', '=', pack)
    .orderBy('position'),
);

/** @returns what the pack is said to hold, in the order of its frames; nothing when nobody says */
export function framesOf(store: VerifyStore, pack: number): PackedChunk[] {
  return selectFrames(store).all({ pack });
}

const deleteDamagedIndexes = statement<object, Tables>()((db) =>
  db
    .deleteFrom('index_object')
    .where(({ eb, or, exists, selectFrom }) =>
      or([
        eb('damage', 'is not', null),
        exists(
          selectFrom('listing')
            .innerJoin('pack', 'pack.id', 'listing.pack')
            .select('pack.id')
            .whereRef('listing.index_object', '=', 'index_object.id')
            .where('pack.damage', 'is not', null),
        ),
      ]),
    )
    .returning(['name', 'damage']),
);

const selectUnlisted = statement<{ after: number; limit: number }, Tables>()((db, p) =>
  db
    .selectFrom('pack')
    .select(packColumns)
    .where('size', 'is not', null)
    .where('damage', 'is', null)
    .where('id', '>', p.after)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('listing')
            .innerJoin('index_object', 'index_object.id', 'listing.index_object')
            .select('listing.pack')
            .whereRef('listing.pack', '=', 'pack.id'),
        ),
      ),
    )
    .orderBy('id')
    .limit(p.limit),
);

export interface StoredIndex {
  readonly name: string;
  /** What is wrong with the object itself. */
  readonly damage: string | null;
}

/** Forgets the indexes that are damaged, or name a damaged pack. @returns them */
export function dropDamagedIndexes(store: VerifyStore): StoredIndex[] {
  return deleteDamagedIndexes(store).all({});
}

/** The packs that are right, and in none of the indexes that are left. */
export function* unlistedPacks(store: VerifyStore): Generator<StoredPack> {
  yield* pages(0, (after) => selectUnlisted(store).all({ after, limit: PAGE }).map(packOf));
}

const selectLost = statement<object, Tables>()((db) =>
  db
    .selectFrom('chunk')
    .innerJoin('pack', 'pack.id', 'chunk.pack')
    .where('pack.damage', 'is not', null)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('chunk as other')
            .innerJoin('pack as whole', 'whole.id', 'other.pack')
            .select('other.id')
            .whereRef('other.id', '=', 'chunk.id')
            .where('whole.damage', 'is', null),
        ),
      ),
    )
    .select((eb) => eb.fn.count<number>('chunk.id').distinct().as('count')),
);

/** @returns how many chunks are in damaged packs alone */
export function countLostChunks(store: VerifyStore): number {
  return selectLost(store).get({})!.count;
}
