/** The data sets: made once, the same each time, and kept. */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  futimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { seeded, text } from './content.ts';
import { sourceTree } from './source-tree.ts';

export interface DataSet {
  readonly name: DataSetName;
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
}

/** A file as it is made: its path below the set, and its content in pieces. */
export type MadeFile = readonly [path: string, pieces: Iterable<Uint8Array>];

const [KIB, MIB, GIB] = [2 ** 10, 2 ** 20, 2 ** 30];
/** Written with the set; another number makes every set anew. */
const VERSION = 1;
/** Long ago: no tool takes a file for one that is still being written. */
export const MADE_AT = new Date('2024-02-29T12:34:56Z');
const PIECE_BYTES = 4 * MIB;

const SETS = {
  /** 1 GiB that does not shrink. */
  big: () => randomFiles('big', [256 * MIB, 256 * MIB, 256 * MIB, 256 * MIB]),
  'big-256m': () => randomFiles('big-256m', [64 * MIB, 64 * MIB, 64 * MIB, 64 * MIB]),
  'mixed-512m': () => randomFiles('mixed-512m', [64 * MIB, 256 * MIB, 64 * MIB, 128 * MIB]),
  small: () => textFiles('small', 10_000),
  'small-2000': () => textFiles('small-2000', 2000),
  tree: () => sourceTree(),
  'thin-10k': () => thinFiles(10_000),
  'thin-100k': () => thinFiles(100_000),
  'thin-1m': () => thinFiles(1_000_000),
} satisfies Record<string, () => Iterable<MadeFile>>;

export type DataSetName = keyof typeof SETS;

/** @returns the set below `folder`, made when it is not there whole, or was removed for its room */
export function provideData(name: DataSetName, folder: string, say: (text: string) => void): DataSet {
  const path = join(folder, name);
  const mark = join(folder, `${name}.json`);
  const isThere = existsSync(mark) && existsSync(path);
  const found = isThere ? JSON.parse(readFileSync(mark, 'utf8')) : null;
  if (found?.version === VERSION) return { name, path, files: found.files, bytes: found.bytes };
  say(`making the data set ${name}`);
  rmSync(mark, { force: true });
  rmSync(path, { recursive: true, force: true });
  let [files, bytes] = [0, 0];
  for (const [file, pieces] of SETS[name]()) {
    files += 1;
    bytes += writePieces(join(path, file), pieces);
  }
  writeFileSync(mark, JSON.stringify({ version: VERSION, files, bytes }));
  return { name, path, files, bytes };
}

let lastFolder = '';

function writePieces(path: string, pieces: Iterable<Uint8Array>): number {
  if (dirname(path) !== lastFolder) mkdirSync(dirname(path), { recursive: true });
  lastFolder = dirname(path);
  const file = openSync(path, 'w');
  let bytes = 0;
  for (const piece of pieces) bytes += writeSync(file, piece);
  futimesSync(file, MADE_AT, MADE_AT);
  closeSync(file);
  return bytes;
}

/** Reads every file, so that it comes from memory when it is measured. */
export function warm(path: string): void {
  const buffer = Buffer.allocUnsafe(MIB);
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = openSync(join(entry.parentPath, entry.name), 'r');
    while (readSync(file, buffer) > 0);
    closeSync(file);
  }
}

/**
 * One file of 64 GiB that takes 256 MiB of disk: each MiB of it begins with a page of noise, so that no two of its chunks
 * are the same.
 * @returns its path
 */
export function provideSparseFile(folder: string, say: (text: string) => void): string {
  const path = join(folder, 'sparse', 'disk.img');
  const mark = join(folder, 'sparse.json');
  if (existsSync(mark) && existsSync(path)) return path;
  say('making the sparse file of 64 GiB');
  mkdirSync(dirname(path), { recursive: true });
  const random = seeded('sparse');
  const file = openSync(path, 'w');
  ftruncateSync(file, SPARSE_BYTES);
  for (let at = 0; at < SPARSE_BYTES; at += MIB) writeSync(file, random.bytes(4 * KIB), 0, 4 * KIB, at);
  closeSync(file);
  writeFileSync(mark, '{}');
  return path;
}

export const SPARSE_BYTES = 64 * GIB;

function* randomFiles(seed: string, sizes: readonly number[]): Generator<MadeFile> {
  const random = seeded(seed);
  for (const [number, size] of sizes.entries()) {
    const pieces = Array.from({ length: size / PIECE_BYTES }, (_, index) => index).values();
    yield [`${number}.bin`, pieces.map(() => random.bytes(PIECE_BYTES))];
  }
}

/** Text of 1 to 16 KiB, a hundred to a folder. */
function* textFiles(seed: string, count: number): Generator<MadeFile> {
  const random = seeded(seed);
  for (let number = 0; number < count; number += 1) {
    yield [numbered(number, 100), [text(random, KIB + random.below(15 * KIB))]];
  }
}

/** Empty to 1 KiB, each with a content of its own, a thousand to a folder. */
function* thinFiles(count: number): Generator<MadeFile> {
  const random = seeded('thin');
  const prose = text(random, MIB);
  for (let number = 0; number < count; number += 1) {
    const own = Buffer.from(`${number}\n`);
    const size = random.below(KIB + 1);
    const from = random.below(MIB - KIB);
    const rest = prose.subarray(from, from + Math.max(0, size - own.length));
    yield [numbered(number, 1000), size === 0 ? [] : [own, rest]];
  }
}

function numbered(number: number, toAFolder: number): string {
  const folder = String(Math.floor(number / toAFolder)).padStart(4, '0');
  return `${folder}/${String(number).padStart(7, '0')}.txt`;
}
