import { createHash } from 'node:crypto';
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import * as assert from 'uvu/assert';
import type { Stored } from './fixtures.ts';

/** What a person would compare. Paths and link targets are text of one character a byte. */
export interface Seen {
  readonly path: string;
  readonly type: string;
  readonly mode: number;
  readonly mtimeUs: bigint;
  /** A digest of the content, or where a symlink points to. */
  readonly content: string;
}

/** Everything below `root`, in the order of the paths; `root` itself is not in it. */
export function treeOf(root: string): Seen[] {
  const seen: Seen[] = [];
  const walk = (path: string) => {
    for (const name of readdirSync(bytes(path), 'latin1')) {
      const inner = `${path}/${name}`;
      const stats = lstatSync(bytes(inner), { bigint: true });
      seen.push({
        path: inner.slice(root.length),
        type: typeOf(stats),
        mode: stats.isSymbolicLink() ? 0o777 : Number(stats.mode & 0o7777n),
        mtimeUs: floorDivide(stats.mtimeNs),
        content: contentAt(inner, stats),
      });
      if (stats.isDirectory()) walk(inner);
    }
  };
  walk(root);
  return seen.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** What {@link treeOf} sees of a whole restore, the folders above the entries apart. */
export function expectedTree(stored: readonly Stored[]): Seen[] {
  return stored
    .map(({ entry, chunks }) => ({
      path: entry.path.toString('latin1'),
      type: entry.type,
      mode: entry.mode,
      mtimeUs: floorDivide(entry.mtimeNs),
      content:
        entry.type === 'file'
          ? digest(Buffer.concat(chunks))
          : entry.type === 'symlink'
            ? entry.target.toString('latin1')
            : '',
    }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Fails unless the target holds the entries, and nothing else but the folders above them. */
export function assertRestored(target: string, stored: readonly Stored[]): void {
  const expected = expectedTree(stored);
  const paths = new Set(expected.map(({ path }) => path));
  const above = (path: string) => !paths.has(path) && [...paths].some((one) => one.startsWith(`${path}/`));
  const found = treeOf(target).filter(({ path }) => !above(path));
  assert.equal(
    found.map(({ path }) => path),
    expected.map(({ path }) => path),
  );
  found.forEach((one, index) => {
    assert.equal(one, expected[index]);
  });
}

export function digest(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

function contentAt(path: string, stats: BigIntStats): string {
  if (stats.isFile()) return digest(readFileSync(bytes(path)));
  return stats.isSymbolicLink() ? readlinkSync(bytes(path), 'buffer').toString('latin1') : '';
}

function typeOf(stats: BigIntStats): string {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  return stats.isCharacterDevice() ? 'character_device' : 'other';
}

function floorDivide(ns: bigint): bigint {
  return ns >= 0n ? ns / 1000n : -((-ns + 999n) / 1000n);
}

export function bytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
