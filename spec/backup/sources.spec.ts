import { chmodSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { canonicalSources, excludedPaths, matchKeyOf } from '../../lib/backup/sources.ts';
import { UsageError } from '../../lib/errors.ts';
import { withoutPrivileges } from '../helpers/privileges.ts';
import { under, withTree } from '../helpers/tree.ts';

const sources = suite('the sources');

const TREE = {
  'home/docs/letter': 'a',
  'home/docs/old/letter': 'b',
  'home/docs-2/letter': 'c',
  'home/music/': '',
  'home/note': 'd',
};

function canonical(cwd: string, ...paths: string[]): string[] {
  return canonicalSources(paths, cwd).map(String);
}

for (const [title, paths] of Object.entries({
  'as they are': ['home/docs', 'home/music'],
  'in another order': ['home/music', 'home/docs'],
  'with a slash at the end': ['home/docs/', 'home/music//'],
  'with a dot before': ['./home/docs', './home/./music'],
  'with a way back up': ['home/music/../docs', 'home/docs/../music'],
  twice: ['home/docs', 'home/music', 'home/docs'],
  'with a folder that lies in another': ['home/docs', 'home/music', 'home/docs/old'],
  'with a file that lies in another': ['home/docs/letter', 'home/docs', 'home/music'],
  'through a symlink': ['link/docs', 'home/music'],
  'a symlink itself': ['docs', 'home/music'],
})) {
  sources(`written ${title} are the same`, () =>
    withTree({ ...TREE, link: { linkTo: 'home' }, docs: { linkTo: 'home/docs' } }, (root) => {
      const found = canonical(root, ...paths);
      assert.equal(found, [`${root}/home/docs`, `${root}/home/music`]);
      const absolute = canonicalSources(
        paths.map((path) => `${root}/${path}`),
        '/',
      );
      assert.equal(absolute.map(String), found);
    }),
  );
}

sources('whose names only begin alike do not lie in one another', () =>
  withTree(TREE, (root) => {
    const found = canonical(`${root}/home`, 'docs', 'docs-2');
    assert.equal(found, [`${root}/home/docs`, `${root}/home/docs-2`]);
  }),
);

sources('may be the current folder', () =>
  withTree(TREE, (root) => assert.equal(canonical(`${root}/home`, '.'), [`${root}/home`])),
);

sources('may be a file', () =>
  withTree(TREE, (root) => assert.equal(canonical(root, 'home/note/'), [`${root}/home/note`])),
);

sources('may be the root, in which everything lies', () =>
  withTree(TREE, (root) => assert.equal(canonical(root, 'home', '/'), ['/'])),
);

sources('are bytes: a real path need not be UTF-8', () =>
  withTree([[Buffer.from('caf\xe9/menu', 'latin1'), 'x']], (root) => {
    const real = under(root, Buffer.from('caf\xe9', 'latin1'));
    symlinkSync(real, join(root, 'link'));
    assert.equal(canonicalSources(['link'], root), [real]);
  }),
);

sources('are sorted by their bytes, not by their characters', () =>
  withTree({ '\uffee': 'a', '\u{1f600}': 'b' }, (root) => {
    const found = canonical(root, '\u{1f600}', '\uffee');
    assert.equal(found, [`${root}/\uffee`, `${root}/\u{1f600}`]); // in UTF-16 it would be the other way round
  }),
);

function assertRefuses(paths: readonly string[], cwd: string, message: RegExp): void {
  assert.throws(
    () => canonicalSources(paths, cwd),
    (error: unknown) => error instanceof UsageError && message.test(error.message),
  );
}

sources('are refused when there are none', () => assertRefuses([], '/', /^back up: no path was named$/));

for (const [title, path, message] of [
  ['is missing', 'home/nothing', /^back up home\/nothing: no such file or folder$/],
  ['lies below a file', 'home/note/x', /^back up home\/note\/x: no such file or folder$/],
  ['leads nowhere', 'dangling', /^back up dangling: no such file or folder$/],
  ['leads round in a circle', 'circle', /^back up circle: .*ELOOP/],
  ['is longer than any path', 'x'.repeat(5000), /^back up x+: .*ENAMETOOLONG/],
  ['is empty, as an unset variable in a script', '', /^back up '': no such file or folder$/],
] as const) {
  sources(`are refused, by name, when one ${title}`, () =>
    withTree({ ...TREE, dangling: { linkTo: 'gone' }, circle: { linkTo: 'circle' } }, (root) =>
      assertRefuses(['home/docs', path], root, message),
    ),
  );
}

sources('are refused where we may not look', () =>
  withTree(TREE, (root) => {
    chmodSync(root, 0o755);
    chmodSync(`${root}/home`, 0o700);
    if (process.geteuid?.() !== 0) chmodSync(`${root}/home`, 0);
    withoutPrivileges(() => assertRefuses(['home/docs'], root, /^back up home\/docs: permission denied$/));
    chmodSync(`${root}/home`, 0o700);
  }),
);

sources.run();

const matchKey = suite('the match key');

const keyOf = (...paths: string[]) => matchKeyOf(paths.map((path) => Buffer.from(path))).toString('hex');

matchKey('is the same for the same sources', () => assert.is(keyOf('/a', '/b'), keyOf('/a', '/b')));

matchKey('tells sources apart, also where their names run together', () => {
  const keys = [
    keyOf('/a', '/b'),
    keyOf('/a/b'),
    keyOf('/a'),
    keyOf('/b'),
    keyOf('/a', '/b', '/c'),
    keyOf('/a/', 'b'),
  ];
  assert.is(new Set(keys).size, keys.length);
});

matchKey.run();

const excluded = suite('excluded paths');

excluded('are real paths, and those that are not there are left out', () =>
  withTree({ 'data/': '', link: { linkTo: 'data' } }, (root) => {
    mkdirSync(join(root, 'dätä'));
    const found = excludedPaths([`${root}/link`, `${root}/nothing`, `${root}/dätä`]);
    assert.equal([...found], [`${root}/data`, Buffer.from(`${root}/dätä`).toString('latin1')]);
  }),
);

excluded.run();
