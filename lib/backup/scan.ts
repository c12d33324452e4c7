import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { systemErrorCode } from '../errors.ts';
import type { Entry } from '../journal/entries.ts';

export type Found =
  | { readonly type: 'entry'; readonly entry: Entry; readonly source: number }
  | { readonly type: 'failed'; readonly path: Buffer; readonly reason: string }
  /** Everything under the source was found. */
  | { readonly type: 'source_end'; readonly source: number };

/** A folder being listed. Paths are strings of one character a byte (latin1): they sort and compare like the bytes. */
interface Listing {
  /** The folder's path with a slash at its end; empty for the list of the sources themselves. */
  readonly prefix: string;
  readonly names: readonly string[];
  next: number;
  /** Folders that were found and not yet entered; the last one comes first. */
  readonly unentered: { readonly path: string; readonly source: number }[];
  readonly source: number | null;
}

/**
 * Walks the sources and finds their entries in the byte order of whole paths, which is also the journal's and the
 * manifest's: `/a`, `/a-b`, `/a/c`. A folder is therefore entered only after the names that sort before `name/`.
 * @param sources canonical: sorted, none inside another
 * @param excluded paths that are left out with everything below them
 */
export function* scan(sources: readonly Buffer[], excluded: ReadonlySet<string>): Generator<Found> {
  const roots = sources.map((source) => source.toString('latin1'));
  const stack: Listing[] = [{ prefix: '', names: roots, next: 0, unentered: [], source: null }];
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const name = top.names[top.next];
    const folder = top.unentered.at(-1);
    if (folder && (name === undefined || `${folder.path}/` < top.prefix + name)) {
      top.unentered.pop();
      const names = listNames(folder.path);
      if (names instanceof Error) yield failed(folder.path, names);
      const prefix = folder.path === '/' ? '/' : `${folder.path}/`;
      stack.push({
        prefix,
        names: names instanceof Error ? [] : names,
        next: 0,
        unentered: [],
        source: folder.source,
      });
    } else if (name === undefined) {
      stack.pop();
      if (stack.length === 1) yield { type: 'source_end', source: top.source! };
    } else {
      top.next += 1;
      const path = top.prefix + name;
      const source = top.source ?? top.next - 1;
      const isSource = top.source === null;
      if (excluded.has(path)) {
        if (isSource) yield { type: 'source_end', source };
        continue;
      }
      const entry = look(path);
      if (entry instanceof Error) yield failed(path, entry);
      else yield { type: 'entry', entry, source };
      if (!(entry instanceof Error) && entry.type === 'folder') top.unentered.push({ path, source });
      else if (isSource) yield { type: 'source_end', source };
    }
  }
}

function failed(path: string, error: Error): Found {
  return { type: 'failed', path: Buffer.from(path, 'latin1'), reason: reasonOf(error) };
}

function listNames(path: string): string[] | Error {
  try {
    return readdirSync(Buffer.from(path, 'latin1'), 'latin1').sort(byBytes);
  } catch (error) {
    return error as Error;
  }
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function look(path: string): Entry | Error {
  try {
    const bytes = Buffer.from(path, 'latin1');
    const stats = lstatSync(bytes, { bigint: true });
    return entryOf(bytes, stats, stats.isSymbolicLink() ? readlinkSync(bytes, 'buffer') : null);
  } catch (error) {
    return error as Error;
  }
}

/** @param target where a symlink points to */
export function entryOf(path: Buffer, stats: BigIntStats, target: Buffer | null): Entry {
  const type = typeOf(stats);
  return {
    path,
    type,
    size: type === 'file' ? stats.size : 0n,
    mtimeNs: stats.mtimeNs,
    ctimeNs: stats.ctimeNs,
    inode: stats.ino,
    device: stats.dev,
    links: type === 'file' ? stats.nlink : 1n,
    mode: stats.mode & 0o7777n,
    uid: stats.uid,
    gid: stats.gid,
    specialDevice: type.endsWith('_device') ? stats.rdev : 0n,
    target,
  };
}

function typeOf(stats: BigIntStats): string {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isSocket()) return 'socket';
  return stats.isBlockDevice() ? 'block_device' : 'character_device';
}

/** @returns why an entry cannot be read, for people */
export function reasonOf(error: unknown): string {
  const code = systemErrorCode(error);
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'ENOENT':
    case 'ENOTDIR':
      return 'vanished while it was being backed up';
    case 'EIO':
      return 'input/output error: the disk may be failing';
    case 'ELOOP':
      return 'became a symlink while it was being backed up';
    case undefined:
      throw error;
    default:
      return `cannot be read (${code})`;
  }
}
