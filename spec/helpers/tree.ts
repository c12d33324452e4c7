import { hash } from 'node:crypto';
import {
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { withFolder } from './temporary.ts';

/** What a name stands for: a file's content, or where a symlink points to. A name that ends in `/` is a folder. */
export type Content = string | Uint8Array | { readonly linkTo: string | Buffer };
/** By paths relative to the tree's root; as pairs where a path is not UTF-8. */
export type Tree = Readonly<Record<string, Content>> | Iterable<readonly [string | Buffer, Content]>;

const SLASH = Buffer.from('/');
/** Long ago, so that no file of a tree looks as if it were being written right now. */
const MADE_AT = new Date('2024-02-29T12:34:56.789Z');

/** Lends a folder with these files in it: `withTree({ 'a/b': 'text', 'empty/': '' }, async (path) => …)`. */
export async function withTree<T>(tree: Tree, use: (path: string) => Promise<T> | T): Promise<T> {
  return withFolder(async (path) => {
    writeTree(path, tree);
    return use(path);
  });
}

/** Writes the tree's entries, and the folders above them, below `root`; what is there already is overwritten. */
export function writeTree(root: string, tree: Tree): void {
  const pairs = Symbol.iterator in tree ? tree : Object.entries(tree);
  for (const [name, content] of pairs) {
    const path = under(root, name);
    const isFolder = path.at(-1) === SLASH[0];
    mkdirSync(isFolder ? path : path.subarray(0, path.lastIndexOf(SLASH)), { recursive: true });
    if (isFolder) continue;
    if (typeof content === 'object' && 'linkTo' in content) symlinkSync(content.linkTo, path);
    else writeFileSync(path, content);
    lutimesSync(path, MADE_AT, MADE_AT);
  }
}

/** @returns `root/name` as bytes */
export function under(root: string | Buffer, name: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(root), SLASH, Buffer.from(name)]);
}

/** What a restored tree has to have in common with its source; times in microseconds. */
export interface Fact {
  readonly type: 'file' | 'folder' | 'symlink' | 'other';
  readonly mode: number;
  readonly mtimeUs: bigint;
  readonly size?: number;
  readonly sha256?: string;
  readonly target?: string;
}

/**
 * Looks at `root` and everything below it, by means of its own.
 * @returns facts by absolute path, both paths and targets with one character a byte (latin1), in byte order of the paths
 */
export function factsOf(root: string): Map<string, Fact> {
  const facts: [string, Fact][] = [];
  const look = (path: string) => {
    const bytes = Buffer.from(path, 'latin1');
    const stats = lstatSync(bytes, { bigint: true });
    const common = { mode: Number(stats.mode & 0o7777n), mtimeUs: stats.mtimeNs / 1000n };
    if (stats.isFile()) {
      const content = readFileSync(bytes);
      facts.push([path, { type: 'file', ...common, ...factsOfContent(content) }]);
    } else if (stats.isSymbolicLink()) {
      const target = readlinkSync(bytes, 'buffer').toString('latin1');
      facts.push([path, { type: 'symlink', ...common, target }]);
    } else if (stats.isDirectory()) {
      facts.push([path, { type: 'folder', ...common }]);
      for (const name of readdirSync(bytes, 'latin1')) look(path === '/' ? `/${name}` : `${path}/${name}`);
    } else facts.push([path, { type: 'other', ...common }]);
  };
  look(Buffer.from(root).toString('latin1'));
  return new Map(facts.sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function factsOfContent(content: Uint8Array): Required<Pick<Fact, 'size' | 'sha256'>> {
  return { size: content.length, sha256: hash('sha256', content) };
}
