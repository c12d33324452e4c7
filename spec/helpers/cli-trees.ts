/** What a person has on their disk, and how it is proved that they get it back. */
import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, lutimesSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Fact, factsOf, type Tree, writeTree } from './tree.ts';

/** A little of everything: names of any bytes, empty things, links, modes, times to the microsecond. */
export function writePersonsFolder(root: string): void {
  const tree: Tree = [
    ['notes/today.txt', 'milk, bread\n'],
    ['notes/empty', ''],
    ['notes/with\nnewline and "quotes"', 'odd'],
    [Buffer.from('notes/not utf-8: \xff\xfe', 'latin1'), 'bytes'],
    ['notes/ünïcödé ☃', 'snow'],
    ['pictures/cat.raw', randomBytes(300_000)],
    ['pictures/dog.raw', randomBytes(2_000_000)],
    ['empty folder/', ''],
    ['link to notes', { linkTo: 'notes' }],
    ['dangling', { linkTo: Buffer.from('nowhere/\xff', 'latin1') }],
    ['a', 'sorts before a-b and a/…'],
    ['a-b', 'text'],
    ['zeros', Buffer.alloc(1_500_000)],
    ['secret', 'mine alone'],
  ];
  writeTree(root, tree);
  linkSync(join(root, 'pictures/cat.raw'), join(root, 'pictures/the same cat.raw'));
  chmodSync(join(root, 'secret'), 0o400);
  chmodSync(join(root, 'notes/today.txt'), 0o755);
  chmodSync(join(root, 'empty folder'), 0o500);
  // Times a second's fraction of which no float holds exactly.
  utimesSync(join(root, 'a'), 1_699_999_999.123457, 1_699_999_999.123457);
  lutimesSync(join(root, 'dangling'), 1_600_000_000.000001, 1_600_000_000.000001);
  utimesSync(join(root, 'empty folder'), 1_500_000_000.5, 1_500_000_000.5);
  utimesSync(join(root, 'notes'), 1_400_000_000, 1_400_000_000);
}

/** Below `target` lies what lies at `roots`, byte by byte, with types, modes, times and links. */
export function assertRestored(target: string, roots: readonly string[]): void {
  const restored = new Map(roots.flatMap((root) => [...relativeFacts(join(target, root), target)]));
  const expected = new Map(roots.flatMap((root) => [...relativeFacts(root, '')]));
  assert.equal([...restored.keys()].sort(), [...expected.keys()].sort(), 'the paths that were restored');
  for (const [path, fact] of expected) assert.equal(restored.get(path), fact, path);
}

function relativeFacts(root: string, prefix: string): Map<string, Fact> {
  return new Map([...factsOf(root)].map(([path, fact]) => [path.slice(prefix.length), fact]));
}

/** Writes `count` files of `sizeBytes` that nothing can compress; @returns their sizes' sum */
export function writeNoise(root: string, count: number, sizeBytes: number): number {
  writeTree(
    root,
    Array.from({ length: count }, (_, index) => [`noise-${index}`, randomBytes(sizeBytes)] as const),
  );
  return count * sizeBytes;
}
