import { type Generated, sql } from 'kysely';
import { type Journal, openScratch, type Scratch } from './database.ts';
import { statement } from './statement.ts';

/**
 * What a restore has to do, entry by entry and pack by pack. It can be made again at any time from the manifest and the
 * target folder, which is why it goes with its process.
 */
export type RestorePlan = Scratch<Tables>;

export interface Tables {
  entry: {
    id: Generated<number>;
    path: Buffer;
    type: string;
    chosen: 0 | 1;
    mode: number;
    uid: number;
    gid: number;
    mtime_us: number;
    size: number;
    content: Buffer | null;
    device: string | null;
    link: Buffer | null;
    state: EntryState;
    missing: number;
    part: 0 | 1;
    leader: number | null;
  };
  pack: { id: number; name: Buffer; size: number };
  frame: FrameTable;
  piece: { pack: number; frame: number; entry: number; offset: number; blank: 0 | 1 };
  seen_folder: { path: Buffer };
  leftover: { folder: Buffer; key: string; name: string };
}

export interface FrameTable {
  pack: number;
  position: number;
  id: Buffer;
  offset: number;
  stored_size: number;
  size: number;
  compression: number;
  /** The file that consists of this chunk, where no other one needs it. Any other place it goes to is a `piece`. */
  whole: number | null;
}

const TABLES = `
  CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL,
    type TEXT NOT NULL,
    chosen INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    mtime_us INTEGER NOT NULL,
    size INTEGER NOT NULL,
    device TEXT,
    link BLOB,
    state TEXT NOT NULL,
    missing INTEGER NOT NULL,
    part INTEGER NOT NULL,
    leader INTEGER,
    content BLOB
  ) STRICT;
  CREATE INDEX entry_leading ON entry (link) WHERE link IS NOT NULL AND leader IS NULL;
  CREATE INDEX entry_linked ON entry (id) WHERE leader IS NOT NULL;
  CREATE TABLE pack (id INTEGER PRIMARY KEY, name BLOB NOT NULL, size INTEGER NOT NULL) STRICT;
  CREATE TABLE frame (
    pack INTEGER NOT NULL,
    position INTEGER NOT NULL,
    id BLOB NOT NULL,
    "offset" INTEGER NOT NULL,
    stored_size INTEGER NOT NULL,
    size INTEGER NOT NULL,
    compression INTEGER NOT NULL,
    whole INTEGER,
    PRIMARY KEY (pack, position)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE piece (
    pack INTEGER NOT NULL,
    frame INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    blank INTEGER NOT NULL,
    PRIMARY KEY (pack, frame, entry, "offset")
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE seen_folder (path BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
  CREATE TABLE leftover (folder BLOB, key TEXT, name TEXT, PRIMARY KEY (folder, key, name)) STRICT, WITHOUT ROWID;
`;

/**
 * `chosen`: not looked at yet, or a file that waits for the one chunk it consists of, or has got it · `waiting`: for
 * chunks, for the file it is a link to, or (a folder) for the end, when its attributes are set · `right`: nothing is left
 * to do; of files that are written, only those with further names are marked so · `failed`: told to the person
 */
export type EntryState = 'chosen' | 'waiting' | 'right' | 'failed';

export interface PlannedEntry {
  readonly path: Buffer;
  /** The manifest's words. */
  readonly type: string;
  /** Asked for, and not only a folder above what was. */
  readonly chosen: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Microseconds since 1970. */
  readonly mtimeUs: number;
  readonly size: number;
  /** What a device file stands for, as the system numbers it. */
  readonly device: string | null;
  /** Equal for names of one file, and nothing else. */
  readonly link: Buffer | null;
}

export type RestoreEntry = PlannedEntry & {
  readonly id: number;
  readonly state: EntryState;
  /** The entry whose file this is another name of. */
  readonly leader: number | null;
};

export const PAGE = 500;
/** One chunk's id; of a page of entries, all that is short is in memory. */
const SHORT_CONTENT_BYTES = 32;

export function openRestorePlan(journal: Pick<Journal, 'file'>): RestorePlan {
  return openScratch<Tables>(journal, TABLES);
}

const insertEntry = statement<PlannedEntryRow, Tables>()((db, p) =>
  db.insertInto('entry').values({
    path: p.path,
    type: p.type,
    chosen: p.chosen,
    mode: p.mode,
    uid: p.uid,
    gid: p.gid,
    mtime_us: p.mtimeUs,
    size: p.size,
    content: p.content,
    device: p.device,
    link: p.link,
    state: 'chosen',
    missing: 0,
    part: 0,
    leader: null,
  }),
);
type PlannedEntryRow = Omit<PlannedEntry, 'chosen'> & { chosen: 0 | 1; content: Buffer | null };

/** @param content a file's chunk ids, one after the other, or where a symlink points to */
export function addEntry(plan: RestorePlan, entry: PlannedEntry, content: Buffer | null): void {
  insertEntry(plan).run({ ...entry, chosen: entry.chosen ? 1 : 0, content });
}

export const columns = [
  'entry.id',
  'entry.path',
  'entry.type',
  'entry.chosen',
  'entry.mode',
  'entry.uid',
  'entry.gid',
  'entry.mtime_us as mtimeUs',
  'entry.size',
  'entry.device',
  'entry.link',
  'entry.state',
  'entry.leader',
] as const;

const selectEntries = statement<{ after: number; limit: number }, Tables>()((db, p) =>
  db
    .selectFrom('entry')
    .select(columns)
    .select(
      sql<Buffer | null>`CASE WHEN length(content) <= ${SHORT_CONTENT_BYTES} THEN content END`.as(
        'shortContent',
      ),
    )
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit),
);

/** With its content where that is short, as most files' is: it costs another look where it is not. */
export type EntryToPlan = RestoreEntry & { readonly shortContent: Buffer | null };

/** All entries in byte order of their paths. */
export function* plannedEntries(plan: RestorePlan): Generator<EntryToPlan> {
  yield* pages(0, (after) => selectEntries(plan).all({ after, limit: PAGE }).map(entryOf));
}

const selectContent = statement<{ id: number }, Tables>()((db, { id }) =>
  db.selectFrom('entry').select('content').where('id', '=', id),
);

/** @returns what {@link addEntry} was given */
export function contentOf(plan: RestorePlan, { id, shortContent }: EntryToPlan): Buffer {
  return shortContent ?? selectContent(plan).get({ id })?.content ?? Buffer.alloc(0);
}

const updateState = statement<{ id: number; state: EntryState }, Tables>()((db, { id, state }) =>
  db.updateTable('entry').set({ state }).where('id', '=', id).where('state', '<>', state),
);

/** @returns whether it was in another state before */
export function setState(plan: RestorePlan, id: number, state: EntryState): boolean {
  return updateState(plan).run({ id, state }).changes > 0;
}

const selectLeader = statement<{ link: Buffer }, Tables>()((db, { link }) =>
  db
    .selectFrom('entry')
    .select(columns)
    .where('link', 'is not', null)
    .where('leader', 'is', null)
    .where('link', '=', link)
    .where('state', 'in', ['waiting', 'right'])
    .limit(1),
);

/** @returns the entry that is, or will be, the file `link` stands for; `null` while there is none */
export function leaderOf(plan: RestorePlan, link: Buffer): RestoreEntry | null {
  const row = selectLeader(plan).get({ link });
  return row === undefined ? null : entryOf(row);
}

const updateLeader = statement<{ id: number; leader: number }, Tables>()((db, { id, leader }) =>
  db.updateTable('entry').set({ leader, state: 'waiting' }).where('id', '=', id),
);

/** The entry is another name of `leader`'s file: it waits for that. */
export function followLeader(plan: RestorePlan, id: number, leader: number): void {
  updateLeader(plan).run({ id, leader });
}

const selectLinks = statement<{ after: number; limit: number }, Tables>()((db, p) =>
  db
    .selectFrom('entry')
    .select(columns)
    .where('leader', 'is not', null)
    .where('id', '>', p.after)
    .orderBy('id')
    .limit(p.limit),
);

/** The entries that are to be links to another one's file. */
export function* waitingLinks(plan: RestorePlan): Generator<RestoreEntry> {
  yield* pages(0, (after) => selectLinks(plan).all({ after, limit: PAGE }).map(entryOf));
}

const selectEntry = statement<{ id: number }, Tables>()((db, { id }) =>
  db.selectFrom('entry').select(columns).where('id', '=', id),
);

export function plannedEntry(plan: RestorePlan, id: number): RestoreEntry {
  return entryOf(selectEntry(plan).get({ id })!);
}

const selectFolders = statement<{ before: number; limit: number }, Tables>()((db, p) =>
  db
    .selectFrom('entry')
    .select(columns)
    .where('type', '=', 'folder')
    .where('state', '=', 'waiting')
    .where('id', '<', p.before)
    .orderBy('id', 'desc')
    .limit(p.limit),
);

/** The folders whose attributes wait to be set: each after all that lies in it. */
export function* waitingFolders(plan: RestorePlan): Generator<RestoreEntry> {
  yield* pages(Number.MAX_SAFE_INTEGER, (before) =>
    selectFolders(plan).all({ before, limit: PAGE }).map(entryOf),
  );
}

export function entryOf<Row extends { readonly chosen: number }>(
  row: Row,
): Omit<Row, 'chosen'> & { chosen: boolean } {
  return { ...row, chosen: row.chosen === 1 };
}

export function* pages<Row extends { readonly id: number }>(
  start: number,
  read: (after: number) => Row[],
): Generator<Row> {
  for (let after = start; ; ) {
    const page = read(after);
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.id;
  }
}
