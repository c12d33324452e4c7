/** Is what was restored what was there? Contents, modes, times to the microsecond, symlinks, hard links, of every entry. */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { factsOf } from '../helpers/tree.ts';

export interface Comparison {
  readonly same: number;
  /** Paths, for people. */
  readonly different: readonly string[];
}

/** @param target holds every source under its absolute path, and nothing beside them */
export function compareRestored(sources: readonly string[], target: string): Comparison {
  let same = 0;
  const different: string[] = [];
  for (const source of sources) {
    const [expected, restored] = [entriesOf(source), entriesOf(join(target, source))];
    for (const path of new Set([...expected.keys(), ...restored.keys()])) {
      if (isDeepStrictEqual(expected.get(path), restored.get(path))) same += 1;
      else different.push(JSON.stringify(source + path));
    }
  }
  return { same, different };
}

/** @returns by path relative to `root`, what can be said of an entry, and which other paths are the same file */
function entriesOf(root: string): Map<string, object> {
  const prefix = Buffer.byteLength(root);
  const facts = [...factsOf(root)].map(([path, fact]) => [path.slice(prefix), fact] as const);
  const names = new Map<number, string[]>();
  const inodeOf = (path: string) =>
    lstatSync(Buffer.concat([Buffer.from(root), Buffer.from(path, 'latin1')])).ino;
  for (const [path] of facts) names.set(inodeOf(path), [...(names.get(inodeOf(path)) ?? []), path]);
  return new Map(facts.map(([path, fact]) => [path, { ...fact, names: names.get(inodeOf(path)) }]));
}
