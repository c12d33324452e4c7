import type { Journal } from './database.ts';
import { statement } from './statement.ts';

/** One file, folder, symlink or special file, as lstat(2) found it. */
export interface Entry {
  readonly path: Buffer;
  /** `file`, `folder`, `symlink`, …: the manifest's words. */
  readonly type: string;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly inode: bigint;
  readonly device: bigint;
  /** How many names the inode has. */
  readonly links: bigint;
  /** Permission bits, `0o7777`. */
  readonly mode: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
  /** What a device file stands for; 0 for all others. */
  readonly specialDevice: bigint;
  /** Where a symlink points to. */
  readonly target: Buffer | null;
}

export interface JournalEntry extends Entry {
  readonly id: bigint;
  readonly state: 'pending' | 'uploaded' | 'unreadable';
}

/** A row of `entry` under the names of {@link JournalEntry}. */
export const entryColumns = [
  'id',
  'path',
  'type',
  'size',
  'mtime_ns as mtimeNs',
  'ctime_ns as ctimeNs',
  'inode',
  'device',
  'links',
  'mode',
  'uid',
  'gid',
  'special_device as specialDevice',
  'target',
  'state',
] as const;

const selectPage = statement<{ sourceSet: number; after: Buffer; limit: number }>({ bigint: true })((db, p) =>
  db
    .selectFrom('entry')
    .select(entryColumns)
    .where('source_set', '=', p.sourceSet)
    .where('path', '>', p.after)
    .orderBy('path')
    .limit(p.limit),
);

export const PAGE = 500;
export const BEFORE_EVERY_PATH = Buffer.alloc(0);

/** Pages of the journal's entries of the source set, in byte order of their paths. */
export function* entryPages(journal: Journal, sourceSet: number): Generator<readonly JournalEntry[]> {
  for (let after: Buffer = BEFORE_EVERY_PATH; ; ) {
    const page = selectPage(journal).all({ sourceSet, after, limit: PAGE });
    if (page.length > 0) yield page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.path;
  }
}

/** The journal's entries of the source set in byte order of their paths, read page by page: rows may change meanwhile. */
export function* journalEntries(journal: Journal, sourceSet: number): Generator<JournalEntry> {
  for (const page of entryPages(journal, sourceSet)) yield* page;
}
