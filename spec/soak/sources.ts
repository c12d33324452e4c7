/** A folder a person works in, and what they do there, drawn from a seed. */
import {
  appendFileSync,
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Random, seeded, text } from '../bench/content.ts';
import { pick } from './plan.ts';

const MOST_LARGE_BYTES = 6_000_000;

export function writeSources(root: string, seed: string): void {
  const random = seeded(`${seed} sources`);
  const write = (name: string, bytes: Buffer) => {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), bytes);
  };
  for (let index = random.below(60); index >= 0; index -= 1) {
    write(`notes/${index % 7}/${index}.txt`, text(random, random.below(20_000)));
  }
  for (let index = random.below(12); index >= 0; index -= 1) {
    write(`pictures/${index}`, random.bytes(random.below(900_000)));
  }
  for (let index = random.below(4); index >= 0; index -= 1) {
    write(`films/${index}`, random.bytes(random.below(MOST_LARGE_BYTES)));
  }
  mkdirSync(join(root, 'nothing in it'), { recursive: true });
  symlinkSync('notes', join(root, 'a link'));
}

/** Does one thing a person does; that it cannot be done just now is fine. */
export function changeSources(root: string, seed: string): void {
  const random = seeded(seed);
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const path = files.length === 0 ? join(root, 'first') : pick(random, files);
  try {
    pick(random, CHANGES)(path, random);
  } catch {
    // What was there a moment ago is gone, or a folder stands in its place.
  }
}

const CHANGES: readonly ((path: string, random: Random) => void)[] = [
  (path, random) => appendFileSync(path, random.bytes(random.below(300_000))),
  (path, random) => writeFileSync(path, random.bytes(random.below(1_000_000))),
  // As long as before, and something else in the middle.
  (path, random) => {
    const file = openSync(path, 'r+');
    writeSync(file, random.bytes(1000), 0, 1000, random.below(Math.max(1, statSync(path).size - 1000)));
    closeSync(file);
  },
  (path, random) => truncateSync(path, random.below(1 + statSync(path).size)),
  (path) => rmSync(path),
  (path, random) => renameSync(path, join(dirname(path), `moved ${random.below(100)}`)),
  (path, random) => writeFileSync(`${path} new`, random.bytes(random.below(500_000))),
  (path, random) => writeFileSync(`${path} film`, random.bytes(random.below(MOST_LARGE_BYTES))),
  (path, random) => chmodSync(path, random.below(2) === 0 ? 0o600 : 0o755),
  (path) => {
    rmSync(path);
    mkdirSync(join(path, 'a folder now'), { recursive: true });
  },
];
