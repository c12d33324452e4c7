import { createHash } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemErrorCode, UsageError } from '../errors.ts';

const SLASH = Buffer.from('/');

/**
 * The same sources, however they are written: real paths, sorted by their bytes, without duplicates and without one
 * that lies inside another.
 * @throws UsageError naming a path that is not there or cannot be looked up
 */
export function canonicalSources(paths: readonly string[], cwd: string): Buffer[] {
  if (paths.length === 0) {
    throw new UsageError('back up: no path was named', {
      hints: ["Name what to back up, such as 'skylock backup --direct ~/Documents'."],
    });
  }
  const sorted = paths.map((path) => realPath(path, cwd)).sort(Buffer.compare);
  return sorted.filter((path, index) => {
    const inside = sorted.some((other) => other.length < path.length && liesInside(path, other));
    const repeated = index > 0 && path.equals(sorted[index - 1]!);
    return !inside && !repeated;
  });
}

function realPath(path: string, cwd: string): Buffer {
  const fail = (reason: string) => new UsageError(`back up ${path || "''"}: ${reason}`);
  // A variable that is not set in somebody's script: they do not mean the current folder.
  if (path === '') throw fail('no such file or folder');
  try {
    return realpathSync.native(resolve(cwd, path), 'buffer');
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === undefined) throw error;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw fail('no such file or folder');
    throw fail(code === 'EACCES' ? 'permission denied' : `it cannot be looked up (${code})`);
  }
}

function liesInside(path: Buffer, folder: Buffer): boolean {
  const prefix = folder.equals(SLASH) ? SLASH : Buffer.concat([folder, SLASH]);
  return path.subarray(0, prefix.length).equals(prefix);
}

/** What a run is found again by: equal for equal sources and equal options that change what is stored. */
export function matchKeyOf(sources: readonly Buffer[]): Buffer {
  const hash = createHash('sha256').update('skylock/1/match-key');
  for (const source of sources) hash.update('\0').update(source); // no path holds a NUL
  return hash.digest();
}

/** @returns the real paths of those that are there, as `scan` takes them: one character a byte */
export function excludedPaths(paths: readonly string[]): ReadonlySet<string> {
  return new Set(
    paths.filter((path) => existsSync(path)).map((path) => realPath(path, '/').toString('latin1')),
  );
}
