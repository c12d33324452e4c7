import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What lies in a folder, at one moment. */
export interface Look {
  readonly files: number;
  readonly bytes: number;
  /** By path: what tells one version of a file from the next. */
  readonly versions: ReadonlyMap<string, { readonly version: string; readonly bytes: number }>;
}

export function lookAt(folder: string): Look {
  const versions = new Map<string, { version: string; bytes: number }>();
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) continue;
    bytes += found.size;
    versions.set(path, { version: `${found.ino} ${found.size} ${found.mtimeMs}`, bytes: found.size });
  }
  return { files: versions.size, bytes, versions };
}

/** @returns the bytes of the files that are new, or another version, since `before` */
export function newBytes(before: Look, after: Look): number {
  let bytes = 0;
  for (const [path, now] of after.versions) {
    if (before.versions.get(path)?.version !== now.version) bytes += now.bytes;
  }
  return bytes;
}
