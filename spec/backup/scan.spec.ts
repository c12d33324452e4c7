import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Found, reasonOf, scan } from '../../lib/backup/scan.ts';
import { withoutPrivileges } from '../helpers/privileges.ts';
import { type Content, factsOf, under, withTree } from '../helpers/tree.ts';

const NOTHING: ReadonlySet<string> = new Set();

function scanAll(sources: readonly (string | Buffer)[], excluded = NOTHING): Found[] {
  return [...scan(sources.map((source) => Buffer.from(source)).sort(Buffer.compare), excluded)];
}

/** Paths relative to `root`, one character a byte. */
function pathsOf(found: readonly Found[], root: string): string[] {
  const entries = found.filter((item) => item.type === 'entry');
  return entries.map(({ entry }) => entry.path.toString('latin1').slice(root.length + 1));
}

function failuresOf(found: readonly Found[], root: string): string[] {
  return found
    .filter((item) => item.type === 'failed')
    .map(({ path, reason }) => `${path.toString().slice(root.length + 1)}: ${reason}`);
}

const order = suite('a scan');

order('finds entries in the byte order of whole paths', () =>
  withTree(
    {
      a: '',
      'a!/x': '',
      'a-b': '',
      'a.d/e': '',
      a0: '',
      'b/': '',
      'c/d/e': '',
      'c/d-e/': '',
      'c/d.': '',
      'c-': '',
    },
    (root) => {
      rmSync(join(root, 'a'));
      mkdirSync(join(root, 'a'));
      writeFileSync(join(root, 'a', 'c'), '');
      assert.equal(pathsOf(scanAll([root]), root), [
        '',
        'a',
        'a!',
        'a!/x',
        'a-b',
        'a.d',
        'a.d/e',
        'a/c',
        'a0',
        'b',
        'c',
        'c-',
        'c/d',
        'c/d-e',
        'c/d.',
        'c/d/e',
      ]);
    },
  ),
);

/** Names whose order changes with what follows them: `/` sorts between `.` and `0`. */
const NAMES = ['a', 'a!', 'a-', 'a.', 'a0', 'aa', '!', '-', '.a', '0', 'ä', '\u{1f600}', '\uffee'].map(
  (name) => Buffer.from(name),
);
NAMES.push(
  Buffer.from('a\xff', 'latin1'),
  Buffer.from('\xff', 'latin1'),
  Buffer.from('a\x01'),
  Buffer.from('\n'),
);

const anyTree = fc.array(
  fc.record({
    parts: fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 4 }),
    isFolder: fc.boolean(),
  }),
  { maxLength: 25 },
);

order('finds every entry of any tree once, in byte order, also of names that are no text', async () => {
  await fc.assert(
    fc.asyncProperty(anyTree, async (items) => {
      const leaves = new Map<string, Content>();
      for (const { parts, isFolder } of items) {
        const path = parts.map((part) => part.toString('latin1')).join('/');
        const above = parts.map((_, index) =>
          parts
            .slice(0, index)
            .map((one) => one.toString('latin1'))
            .join('/'),
        );
        if (above.some((folder) => leaves.has(folder))) continue;
        if ([...leaves.keys()].some((leaf) => leaf.startsWith(`${path}/`) || leaf === `${path}/`)) continue;
        leaves.set(isFolder && !leaves.has(path) ? `${path}/` : path, 'x');
      }
      const tree = [...leaves].map(([path, content]) => [Buffer.from(path, 'latin1'), content] as const);
      await withTree(tree, (root) => {
        const found = scanAll([root]);
        const paths = found
          .filter((item) => item.type === 'entry')
          .map(({ entry }) => entry.path.toString('latin1'));
        assert.equal(paths, [...factsOf(root).keys()]);
        assert.equal(found.at(-1), { type: 'source_end', source: 0 });
        assert.equal(found.length, paths.length + 1);
      });
    }),
    { numRuns: 60 },
  );
});

order('goes through several sources at once, in one order, and says when it is through with each', () =>
  withTree({ 'a/c': '', 'a-b': '', 'a.d/e': '', b: '' }, (root) => {
    const found = scanAll(['a', 'a-b', 'a.d', 'b'].map((name) => join(root, name)));
    assert.equal(pathsOf(found, root), ['a', 'a-b', 'a.d', 'a.d/e', 'a/c', 'b']);
    const names = ['a-b', 'a.d', 'a', 'b']; // by their number, as they sort
    const sorted = names.map((name) => `${root}/${name}`).sort();
    const told = found.map((item) => {
      if (item.type === 'failed') throw new Error('nothing fails here');
      const source = sorted[item.source]!.slice(root.length + 1);
      return item.type === 'entry' ? `${source}: ${pathsOf([item], root)}` : `${source} ends`;
    });
    assert.equal(told, [
      'a: a',
      'a-b: a-b',
      'a-b ends',
      'a.d: a.d',
      'a.d: a.d/e',
      'a.d ends',
      'a: a/c',
      'a ends',
      'b: b',
      'b ends',
    ]);
  }),
);

order('of the root of the file system writes no slash twice', () => {
  const found = scan([Buffer.from('/')], NOTHING);
  const paths: string[] = [];
  for (const item of found) {
    if (item.type === 'entry') paths.push(item.entry.path.toString('latin1'));
    if (paths.length === 3) break;
  }
  assert.is(paths[0], '/');
  for (const path of paths.slice(1)) assert.match(path, /^\/[^/]/);
});

order('lists a folder only when its turn comes', () =>
  withTree({ 'a/1': '', 'b/2': '' }, (root) => {
    const found = scan([Buffer.from(root)], NOTHING);
    const paths: string[] = [];
    for (const item of found) {
      if (item.type === 'entry') paths.push(...pathsOf([item], root));
      if (paths.at(-1) === 'a') writeFileSync(join(root, 'b', '3'), '');
    }
    assert.equal(paths, ['', 'a', 'a/1', 'b', 'b/2', 'b/3']);
  }),
);

order.run();

const excluded = suite('what is excluded');

excluded('is left out with all below it, and nothing else is', () =>
  withTree({ 'a/b/c': '', 'a/bc': '', 'a/d': '', 'e/b': '' }, (root) => {
    const found = scanAll([root], new Set([`${root}/a/b`]));
    assert.equal(pathsOf(found, root), ['', 'a', 'a/bc', 'a/d', 'e', 'e/b']);
  }),
);

excluded('may be a whole source, which still ends', () =>
  withTree({ 'a/b': '', 'c/d': '' }, (root) => {
    const found = scanAll([`${root}/a`, `${root}/c`], new Set([`${root}/a`]));
    assert.equal(pathsOf(found, root), ['c', 'c/d']);
    assert.equal(
      found.filter(({ type }) => type === 'source_end'),
      [
        { type: 'source_end', source: 0 },
        { type: 'source_end', source: 1 },
      ],
    );
  }),
);

excluded('may be a name that is no text', () =>
  withTree([[Buffer.from('\xff/x', 'latin1'), '']], (root) => {
    const path = under(root, Buffer.from('\xff', 'latin1')).toString('latin1');
    assert.equal(pathsOf(scanAll([root], new Set([path])), root), ['']);
  }),
);

excluded.run();

const entry = suite('an entry');

function entryAt(path: string | Buffer) {
  const [found] = scanAll([path]);
  if (found?.type !== 'entry') throw new Error('found none');
  return found.entry;
}

entry('of a file has what lstat says of it', () =>
  withTree({ file: 'text' }, (root) => {
    const path = join(root, 'file');
    chmodSync(path, 0o4751);
    const stats = statSync(path, { bigint: true });
    assert.equal(entryAt(path), {
      path: Buffer.from(path),
      type: 'file',
      size: 4n,
      mtimeNs: stats.mtimeNs,
      ctimeNs: stats.ctimeNs,
      inode: stats.ino,
      device: stats.dev,
      links: 1n,
      mode: 0o4751n,
      uid: stats.uid,
      gid: stats.gid,
      specialDevice: 0n,
      target: null,
    });
  }),
);

entry('of a symlink has where it points to, byte for byte, and is not followed', () =>
  withTree({ link: { linkTo: Buffer.from('../caf\xe9/', 'latin1') } }, (root) => {
    const found = scanAll([root]).filter((item) => item.type === 'entry');
    assert.is(found[1]?.entry.type, 'symlink');
    assert.equal(found[1]?.entry.target, Buffer.from('../caf\xe9/', 'latin1'));
    assert.is(found[1]?.entry.size, 0n);
  }),
);

entry('of a folder or a symlink has no size and no count of links: only of files they mean something', () =>
  withTree({ 'a/b/': '', 'a/c/': '' }, (root) => {
    const { type, size, links } = entryAt(`${root}/a`);
    assert.equal([type, size, links], ['folder', 0n, 1n]);
  }),
);

entry('of a file with two names says so', () =>
  withTree({ a: 'text' }, (root) => {
    execFileSync('ln', [join(root, 'a'), join(root, 'b')]);
    const [one, other] = scanAll([root])
      .flatMap((item) => (item.type === 'entry' ? [item.entry] : []))
      .slice(1);
    assert.is(one?.links, 2n);
    assert.is(one?.inode, other?.inode);
  }),
);

entry('may be special: pipe, socket, device', () =>
  withTree({}, async (root) => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    const server = createServer().listen(join(root, 'socket'));
    await once(server, 'listening');
    const types = scanAll([root]).map((item) => (item.type === 'entry' ? item.entry.type : ''));
    server.close();
    assert.equal(types, ['folder', 'fifo', 'socket', '']);
    const device = entryAt('/dev/null');
    assert.equal(
      [device.type, device.specialDevice],
      ['character_device', statSync('/dev/null', { bigint: true }).rdev],
    );
  }),
);

entry.run();

const failing = suite('what cannot be looked at');

failing('in a folder that may not be listed is named, and the rest is found', () =>
  withTree({ 'a/1': '', 'b/2': '', 'b-c': '', 'd/3': '' }, (root) => {
    chmodSync(root, 0o755);
    chmodSync(join(root, 'b'), 0);
    const found = withoutPrivileges(() => scanAll([root]));
    chmodSync(join(root, 'b'), 0o755);
    assert.equal(pathsOf(found, root), ['', 'a', 'a/1', 'b', 'b-c', 'd', 'd/3']);
    assert.equal(failuresOf(found, root), ['b: permission denied']);
    assert.equal(found.at(-1), { type: 'source_end', source: 0 });
  }),
);

failing('in a folder that may be listed but not entered is named one by one', () =>
  withTree({ 'b/1': '', 'b/2': '', c: '' }, (root) => {
    chmodSync(root, 0o755);
    chmodSync(join(root, 'b'), 0o744);
    if (process.geteuid?.() !== 0) chmodSync(join(root, 'b'), 0o444);
    const found = withoutPrivileges(() => scanAll([root]));
    chmodSync(join(root, 'b'), 0o755);
    assert.equal(pathsOf(found, root), ['', 'b', 'c']);
    assert.equal(failuresOf(found, root), ['b/1: permission denied', 'b/2: permission denied']);
  }),
);

failing('because it vanished after its folder was listed is named', () =>
  withTree({ 'a/1': '', 'a/2': '', 'a/3': '' }, (root) => {
    const found: Found[] = [];
    for (const item of scan([Buffer.from(root)], NOTHING)) {
      found.push(item);
      if (pathsOf([item], root)[0] === 'a/1') rmSync(join(root, 'a', '2'));
    }
    assert.equal(pathsOf(found, root), ['', 'a', 'a/1', 'a/3']);
    assert.equal(failuresOf(found, root), ['a/2: vanished while it was being backed up']);
  }),
);

failing('because a folder vanished, or became a file, before it was entered is named', () =>
  withTree({ 'a/1': '', 'b/2': '', c: '' }, (root) => {
    const found: Found[] = [];
    for (const item of scan([Buffer.from(root)], NOTHING)) {
      found.push(item);
      const [path] = pathsOf([item], root);
      if (path === 'a') rmSync(join(root, 'a'), { recursive: true });
      if (path !== 'b') continue;
      rmSync(join(root, 'b'), { recursive: true });
      renameSync(join(root, 'c'), join(root, 'b'));
    }
    assert.equal(pathsOf(found, root), ['', 'a', 'b']);
    assert.equal(failuresOf(found, root), [
      'a: vanished while it was being backed up',
      'b: vanished while it was being backed up',
      'c: vanished while it was being backed up',
    ]);
  }),
);

failing('as a whole source is named, and the source ends', () =>
  withTree({ b: '' }, (root) => {
    const found = scanAll([join(root, 'a'), join(root, 'b')]);
    assert.equal(failuresOf(found, root), ['a: vanished while it was being backed up']);
    assert.equal(
      found.map(({ type }) => type),
      ['failed', 'source_end', 'entry', 'source_end'],
    );
  }),
);

for (const [code, reason] of Object.entries({
  EPERM: 'permission denied',
  EIO: 'input/output error: the disk may be failing',
  ELOOP: 'became a symlink while it was being backed up',
  EMFILE: 'cannot be read (EMFILE)',
})) {
  failing(`for ${code} says '${reason}'`, () =>
    assert.is(reasonOf(Object.assign(new Error('no'), { code })), reason),
  );
}

failing('through a bug is no reason: it is thrown', () => {
  const bug = new TypeError('undefined is not a function');
  assert.throws(
    () => reasonOf(bug),
    (error: unknown) => error === bug,
  );
});

failing.run();
