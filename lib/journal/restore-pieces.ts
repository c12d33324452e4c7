import type { ChunkLocation } from './packs.ts';
import {
  columns,
  entryOf,
  type FrameTable,
  PAGE,
  pages,
  type RestoreEntry,
  type RestorePlan,
  type Tables,
} from './restore-plan.ts';
import { statement } from './statement.ts';

/** A run of a pack that the restore needs. */
export interface PlannedFrame {
  readonly position: number;
  readonly id: Buffer;
  readonly offset: number;
  readonly storedSize: number;
  readonly size: number;
  readonly compression: number;
}

/** Where a chunk goes. */
export interface PlannedPiece {
  readonly frame: number;
  readonly entry: RestoreEntry;
  readonly offset: number;
  /** What is there reads as zeros. */
  readonly blank: boolean;
  /** Is it all the file consists of? */
  readonly alone: boolean;
}

const insertPack = statement<{ id: number; name: Buffer; size: number }, Tables>()((db, p) =>
  db.insertInto('pack').orIgnore().values({ id: p.id, name: p.name, size: p.size }),
);
const insertFrame = statement<Omit<FrameTable, 'stored_size'> & { storedSize: number }, Tables>()((db, p) =>
  db.insertInto('frame').orIgnore().values({
    pack: p.pack,
    position: p.position,
    id: p.id,
    offset: p.offset,
    stored_size: p.storedSize,
    size: p.size,
    compression: p.compression,
    whole: p.whole,
  }),
);
const insertPiece = statement<Tables['piece'], Tables>()((db, p) =>
  db
    .insertInto('piece')
    .orIgnore()
    .values({ pack: p.pack, frame: p.frame, entry: p.entry, offset: p.offset, blank: p.blank }),
);
const selectWhole = statement<{ pack: number; position: number }, Tables>()((db, p) =>
  db.selectFrom('frame').select('whole').where('pack', '=', p.pack).where('position', '=', p.position),
);
const clearWhole = statement<{ pack: number; position: number }, Tables>()((db, p) =>
  db.updateTable('frame').set({ whole: null }).where('pack', '=', p.pack).where('position', '=', p.position),
);

/** The chunk `id`, which lies at `location`, is to be fetched for `entry`. */
export function addPiece(
  plan: RestorePlan,
  id: Buffer,
  location: ChunkLocation,
  { entry, offset, blank }: { readonly entry: number; readonly offset: number; readonly blank: boolean },
): void {
  const { packId: pack, position } = location;
  if (!addFrame(plan, id, location, null)) share(plan, pack, position);
  insertPiece(plan).run({ pack, frame: position, entry, offset, blank: blank ? 1 : 0 });
}

/** The chunk `id` is to be fetched for a file that consists of it, of which nothing is there, and that no other entry waits for. */
export function addWhole(plan: RestorePlan, id: Buffer, location: ChunkLocation, entry: number): void {
  if (addFrame(plan, id, location, entry)) return;
  addPiece(plan, id, location, { entry, offset: 0, blank: true });
  waitForPieces(plan, entry, 1, false);
}

/** Chunks that follow one another mostly lie in one pack. */
const lastPack = new WeakMap<RestorePlan, number>();

/** @returns whether it was not there before */
function addFrame(plan: RestorePlan, id: Buffer, location: ChunkLocation, whole: number | null): boolean {
  const { packId: pack, position, offset, storedSize, size, compression } = location;
  if (lastPack.get(plan) !== pack) {
    insertPack(plan).run({ id: pack, name: location.pack, size: location.packSize });
    lastPack.set(plan, pack);
  }
  const frame = { pack, position, id, offset, storedSize, size, compression, whole };
  return insertFrame(plan).run(frame).changes > 0;
}

/** The chunk is needed once more: the file that consists of it becomes one of several places it goes to. */
function share(plan: RestorePlan, pack: number, position: number): void {
  const { whole } = selectWhole(plan).get({ pack, position })!;
  if (whole === null) return;
  clearWhole(plan).run({ pack, position });
  insertPiece(plan).run({ pack, frame: position, entry: whole, offset: 0, blank: 1 });
  waitForPieces(plan, whole, 1, false);
}

const updateMissing = statement<{ id: number; missing: number; part: 0 | 1 }, Tables>()((db, p) =>
  db.updateTable('entry').set({ state: 'waiting', missing: p.missing, part: p.part }).where('id', '=', p.id),
);

/** The file waits for `missing` pieces. @param part what it has already lies in a part file */
export function waitForPieces(plan: RestorePlan, id: number, missing: number, part: boolean): void {
  updateMissing(plan).run({ id, missing, part: part ? 1 : 0 });
}

const selectProgress = statement<{ id: number }, Tables>()((db, { id }) =>
  db.selectFrom('entry').select(['state', 'part']).where('id', '=', id),
);

/** What has become of a file whose pieces come from several packs. */
export function partOf(
  plan: RestorePlan,
  id: number,
): { readonly failed: boolean; readonly hasPart: boolean } {
  const { state, part } = selectProgress(plan).get({ id })!;
  return { failed: state === 'failed', hasPart: part === 1 };
}

const updatePart = statement<{ id: number }, Tables>()((db, { id }) =>
  db.updateTable('entry').set({ part: 1 }).where('id', '=', id),
);

/** There is a part file from now on. */
export function notePart(plan: RestorePlan, id: number): void {
  updatePart(plan).run({ id });
}

const decrement = statement<{ id: number }, Tables>()((db, { id }) =>
  db
    .updateTable('entry')
    .set((eb) => ({ missing: eb('missing', '-', 1) }))
    .where('id', '=', id)
    .returning('missing'),
);

/** A piece is in its place. @returns how many the file still waits for */
export function countPiece(plan: RestorePlan, id: number): number {
  return decrement(plan).get({ id })!.missing;
}

const selectPacks = statement<{ after: number; limit: number }, Tables>()((db, p) =>
  db.selectFrom('pack').selectAll().where('id', '>', p.after).orderBy('id').limit(p.limit),
);

/** The packs that hold what is missing. */
export function* neededPacks(plan: RestorePlan): Generator<Tables['pack']> {
  yield* pages(0, (after) => selectPacks(plan).all({ after, limit: PAGE }));
}

const selectFrames = statement<{ pack: number; after: number; limit: number }, Tables>()((db, p) =>
  db
    .selectFrom('frame')
    .select(['position', 'id', 'offset', 'stored_size as storedSize', 'size', 'compression'])
    .where('pack', '=', p.pack)
    .where('position', '>', p.after)
    .orderBy('position')
    .limit(p.limit),
);

/** The frames of a pack that are needed, in their order, at most `limit` at a time. */
export function* neededFrames(plan: RestorePlan, pack: number, limit: number): Generator<PlannedFrame[]> {
  for (let after = -1; ; ) {
    const page = selectFrames(plan).all({ pack, after, limit });
    if (page.length > 0) yield page;
    if (page.length < limit) return;
    after = page.at(-1)!.position;
  }
}

const selectWholes = statement<{ pack: number; first: number; last: number }, Tables>()((db, p) =>
  db
    .selectFrom('frame')
    .innerJoin('entry', 'entry.id', 'frame.whole')
    .select([...columns, 'frame.position'])
    .where('frame.pack', '=', p.pack)
    .where('frame.position', '>=', p.first)
    .where('frame.position', '<=', p.last),
);

/** The files that consist of one of the frames from `first` to `last`, by the number of that. */
export function wholesOf(
  plan: RestorePlan,
  pack: number,
  first: number,
  last: number,
): Map<number, RestoreEntry> {
  const rows = selectWholes(plan).all({ pack, first, last });
  return new Map(rows.map(({ position, ...row }) => [position, entryOf(row)]));
}

const selectPieces = statement<
  { pack: number; last: number; frame: number; entry: number; offset: number; limit: number },
  Tables
>()((db, p) =>
  db
    .selectFrom('piece')
    .innerJoin('entry', 'entry.id', 'piece.entry')
    .select([...columns, 'piece.frame', 'piece.offset', 'piece.blank', 'entry.missing', 'entry.part'])
    .where('piece.pack', '=', p.pack)
    .where('piece.frame', '<=', p.last)
    .where(({ eb, refTuple, tuple }) =>
      eb(
        refTuple('piece.frame', 'piece.entry', 'piece.offset'),
        '>',
        tuple(p.frame as never, p.entry as never, p.offset as never),
      ),
    )
    .orderBy('piece.frame')
    .orderBy('piece.entry')
    .orderBy('piece.offset')
    .limit(p.limit),
);

/** Where the chunks of the frames from `first` to `last` go, in the order of the frames. */
export function* piecesOf(
  plan: RestorePlan,
  pack: number,
  first: number,
  last: number,
): Generator<PlannedPiece> {
  for (let [frame, entry, offset] = [first, 0, -1]; ; ) {
    const page = selectPieces(plan).all({ pack, last, frame, entry, offset, limit: PAGE });
    for (const { frame, offset, blank, missing, part, ...row } of page) {
      yield {
        frame,
        offset,
        blank: blank === 1,
        alone: missing === 1 && part === 0,
        entry: entryOf(row),
      };
    }
    if (page.length < PAGE) return;
    ({ frame, id: entry, offset } = page.at(-1)!);
  }
}
