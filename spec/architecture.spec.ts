import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const root = resolve(import.meta.dirname, '..');

/** Which rooms of the house a room may import from, itself apart. `errors`, `units`, `progress` and `waiting` are open to all. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  bin: ['main'],
  main: ['commands', 'config', 'view'],
  commands: ['config', 'view', 'backup', 'restore', 'upkeep', 'repository', 'format', 'journal', 'remote'],
  config: [],
  view: [],
  backup: ['repository', 'format', 'journal', 'remote'],
  restore: ['repository', 'format', 'journal', 'remote'],
  upkeep: ['repository', 'format', 'journal', 'remote'],
  repository: ['format', 'journal', 'remote'],
  format: [],
  journal: ['migrations'],
  remote: [],
  migrations: [],
  errors: [],
  units: [],
  progress: [],
  waiting: [],
};
const OPEN_TO_ALL = ['errors', 'units', 'progress', 'waiting'];

/** Who may import a package. */
const OWNERS: Record<string, readonly string[]> = {
  yargs: ['lib/main.ts', 'lib/commands/'],
  listr2: ['lib/view/'],
  kysely: ['lib/journal/', 'migrations/'],
  'kysely/migration': ['lib/journal/'],
  'better-sqlite3': ['lib/journal/database.ts'],
  ssh2: ['lib/remote/'],
  'ssh2-sftp-client': ['lib/remote/sftp.ts'],
  webdav: ['lib/remote/webdav.ts', 'lib/remote/webdav/'],
  'smol-toml': ['lib/config/'],
  'get-east-asian-width': ['lib/view/'],
};

interface Import {
  readonly file: string;
  readonly target: string;
}

function productFiles(): string[] {
  return ['bin', 'lib', 'migrations'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => join(folder, file)),
  );
}

function importsOf(file: string): Import[] {
  const source = readFileSync(join(root, file), 'utf8');
  const pattern = /(?:\bfrom|\bimport|\bimport\()\s*'([^']+)'/g;
  return [...source.matchAll(pattern)].map((match) => ({ file, target: match[1] ?? '' }));
}

/** `lib/backup/scan.ts` → `backup`, `lib/main.ts` → `main`, `bin/skylock.ts` → `bin`. */
function roomOf(file: string): string {
  const [top = '', second = ''] = file.split('/');
  return top === 'lib' ? second.replace(/\.ts$/, '') : top;
}

const architecture = suite('the house');

architecture('every import stays inside the rooms it may enter', () => {
  const breaches = productFiles()
    .flatMap(importsOf)
    .filter(({ target }) => target.startsWith('.'))
    .map(({ file, target }) => ({ file, target: relative(root, resolve(root, dirname(file), target)) }))
    .filter(({ file, target }) => {
      const [from, to] = [roomOf(file), roomOf(target)];
      if (target === 'package.json') return false;
      return from !== to && !OPEN_TO_ALL.includes(to) && !MAY_IMPORT[from]?.includes(to);
    })
    .map(({ file, target }) => `${file} → ${target}`);
  assert.equal(breaches, []);
});

architecture('every package has its owner', () => {
  const breaches = productFiles()
    .flatMap(importsOf)
    .filter(({ target }) => !target.startsWith('.') && !target.startsWith('node:'))
    .filter(({ file, target }) => !OWNERS[target]?.some((owner) => file.startsWith(owner)))
    .map(({ file, target }) => `${file} → ${target}`);
  assert.equal(breaches, []);
});

architecture('only bin touches the process, and nothing calls process.exit', () => {
  const breaches = productFiles().filter((file) => {
    const source = readFileSync(join(root, file), 'utf8');
    if (file.startsWith('bin/')) return false;
    return /\bprocess\.(exit|stdout|stderr|stdin|argv|env|on|once)\b|\bconsole\./.test(source);
  });
  assert.equal(breaches, []);
});

architecture('only the journal and its migrations speak SQL', () => {
  const breaches = productFiles().filter((file) => {
    if (file.startsWith('lib/journal/') || file.startsWith('migrations/')) return false;
    return /\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|PRAGMA)\s+[\w"*]/.test(
      readFileSync(join(root, file), 'utf8'),
    );
  });
  assert.equal(breaches, []);
});

architecture.run();
