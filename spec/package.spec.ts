/** What `npm pack` would publish, installed and run where there is neither a checkout, nor a compiler, nor a network. */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import wrap from '../build/help/wrap-ansi.ts';
import { thirdPartyLicences } from '../build/licences.ts';
import { PLACES } from './helpers/cli-places.ts';
import { assertRestored, writePersonsFolder } from './helpers/cli-trees.ts';
import { withFolder } from './helpers/temporary.ts';
import { withTree } from './helpers/tree.ts';

const checkout = resolve(import.meta.dirname, '..');
const execute = promisify(execFile);

interface Said {
  readonly stdout: string;
  readonly stderr: string;
}

interface Installed {
  /** Paths in the tarball. */
  readonly files: readonly string[];
  /** The folder npm put the package into, and what it depends on beside it. */
  readonly modules: string;
  readonly dist: string;
  /** Runs the installed program as npm linked it; fails unless its status is 0. */
  run(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Said>;
}

let installed: Promise<Installed> | undefined;

/** Packs and installs once for all tests: into an empty folder, with an empty home, and tools among which no compiler is. */
function installPackage(): Promise<Installed> {
  installed ??= packAndInstall();
  return installed;
}

async function packAndInstall(): Promise<Installed> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'skylock-package-')));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const [home, tools, prefix] = ['home', 'tools', 'installed'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const made of [home, tools, prefix]) mkdirSync(made, { mode: 0o700 });
  for (const tool of ['sh', 'env', 'dirname', 'readlink']) symlinkSync(whereIs(tool), join(tools, tool));
  symlinkSync(process.execPath, join(tools, 'node'));
  const env = { PATH: tools, HOME: home, LANG: 'C.UTF-8' };
  const npm = realpathSync(whereIs('npm'));
  const quiet = ['--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'];

  const pack = ['pack', '--json', ...quiet, '--pack-destination', folder];
  const { stdout } = await execute(process.execPath, [npm, ...pack], { cwd: checkout, env });
  const [{ filename, files }] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [
    { filename: string; files: { path: string }[] },
  ];
  // What npm would fetch from the registry, as `npm ci` fetched it from there.
  const fetched = ['better-sqlite3', 'node-addon-api'].map((name) => join(checkout, 'node_modules', name));
  const install = ['install', '--offline', '--install-links', ...quiet, join(folder, filename), ...fetched];
  await execute(process.execPath, [npm, ...install], { cwd: prefix, env });
  const modules = join(prefix, 'node_modules');
  return {
    files: files.map(({ path }) => path),
    modules,
    dist: join(modules, 'skylock/dist'),
    run: (args, more = {}) =>
      execute(join(modules, '.bin/skylock'), args, { cwd: home, env: { ...env, ...more } }),
  };
}

function whereIs(tool: string): string {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const found = folders.map((folder) => join(folder, tool)).find(existsSync);
  if (found === undefined) throw new Error(`there is no ${tool} on the PATH`);
  return found;
}

const published = suite('the published package');

published('holds the launcher, what was built, and the documents', async () => {
  const { files } = await installPackage();
  const allowed =
    /^(bin\/skylock|dist\/([\w-]+\.js|THIRD-PARTY-LICENSES)|docs\/[\w/.-]+\.(md|svg)|(README|CHANGELOG)\.md|LICENSE|package\.json)$/;
  assert.equal(
    files.filter((path) => !allowed.test(path)),
    [],
  );
  for (const path of [
    'bin/skylock',
    'dist/skylock.js',
    'dist/packer-thread.js',
    'dist/opener-thread.js',
    'LICENSE',
  ]) {
    assert.ok(files.includes(path), path);
  }
});

published('needs one package, and nothing of it is compiled or run when it is installed', async () => {
  const { modules } = await installPackage();
  const names = readdirSync(modules).filter((name) => !name.startsWith('.'));
  assert.equal(names, ['better-sqlite3', 'node-addon-api', 'skylock']);
  for (const name of names) {
    const { scripts = {} } = JSON.parse(readFileSync(join(modules, name, 'package.json'), 'utf8'));
    assert.equal(
      Object.keys(scripts).filter((script) => /^(pre|post)?install$/.test(script)),
      [],
    );
  }
});

published('names no folder of the machine it was built on', async () => {
  const { dist } = await installPackage();
  for (const file of readdirSync(dist)) {
    assert.not.ok(readFileSync(join(dist, file), 'utf8').includes(checkout), file);
  }
});

published('starts without what only some commands use', async () => {
  const { dist } = await installPackage();
  const loaded = loadedAtStart(dist);
  const packages = [...loaded.values()].flatMap((source) =>
    [...source.matchAll(/^\/\/ node_modules\/((?:@[^/]+\/)?[^/]+)/gm)].map((match) => match[1]),
  );
  assert.ok(packages.includes('yargs'), 'the comments by which packages are known are there');
  for (const name of ['ssh2', 'ssh2-sftp-client', 'webdav', 'kysely', 'listr2', 'string-width']) {
    assert.not.ok(packages.includes(name), name);
  }
  assert.not.ok([...loaded.values()].some((source) => source.includes('from "better-sqlite3"')));
});

published('says the same as the checkout of every command', async () => {
  const { run } = await installPackage();
  const fromSources = (args: string[]) =>
    execute(join(checkout, 'bin/skylock'), args, { env: { PATH: process.env.PATH, LANG: 'de_DE.UTF-8' } });
  const { stdout: overview } = await run(['--help']);
  const commands = [...overview.matchAll(/^ {2}skylock ([a-z-]+)/gm)].map((match) => match[1] ?? '');
  assert.ok(commands.includes('backup'), overview);
  for (const words of [['--version'], ['--help'], ...commands.map((command) => [command, '--help'])]) {
    assert.equal(await run(words, { LANG: 'de_DE.UTF-8' }), await fromSources(words), words.join(' '));
  }
});

for (const [name, withPlace] of Object.entries(PLACES)) {
  published(`backs up to ${name}, lists, and restores`, async () => {
    const { run } = await installPackage();
    await withPlace(async ({ env }) =>
      withFolder(async (folder) => {
        const source = join(folder, 'documents');
        writePersonsFolder(source);
        const machine = { ...env, HOME: folder };
        await run(['init'], machine);
        const { stdout } = await run(['backup', '--direct', source], machine);
        const id = stdout.trim();
        const listed = JSON.parse((await run(['list', '--json'], machine)).stdout);
        assert.equal(
          listed.map((one: { backup_id: string; state: string }) => [one.backup_id, one.state]),
          [[id, 'complete']],
        );
        await run(['restore', id, '--target', join(folder, 'restored')], machine);
        assertRestored(join(folder, 'restored'), [source]);
      }),
    );
  });
}

published('keeps what was compiled for the next start, in a folder nobody else can read', async () => {
  const { run } = await installPackage();
  await withFolder(async (folder) => {
    await run(['--version'], { HOME: folder });
    const cache = join(folder, '.cache/skylock-hybrid/compiled');
    assert.is(readdirSync(cache).length, 1);
    await run(['--version'], { HOME: folder, XDG_CACHE_HOME: join(folder, 'elsewhere') });
    assert.is(readdirSync(join(folder, 'elsewhere/skylock-hybrid/compiled')).length, 1);
    const { stdout: modes } = await execute('find', [folder, '-mindepth', '2', '-perm', '/077']);
    assert.is(modes, '');
  });
});

published('starts as well where nothing can be kept', async () => {
  const { run } = await installPackage();
  await withTree({ '.cache': 'a file where a folder ought to be' }, async (home) => {
    const { stdout, stderr } = await run(['resume-status'], { HOME: home });
    assert.equal([stdout, stderr], ['Nothing is unfinished.\n', '']);
  });
});

published.run();

/** @returns the source of every file the program has loaded before it knows which command it runs */
function loadedAtStart(dist: string): Map<string, string> {
  const loaded = new Map<string, string>();
  const load = (file: string, pattern: RegExp) => {
    if (loaded.has(file)) return;
    const source = readFileSync(join(dist, file), 'utf8');
    loaded.set(file, source);
    for (const match of source.matchAll(pattern)) load(match[1] ?? '', STATIC);
  };
  const STATIC = /^(?:import|\} from)[^;'"]*?"\.\/([\w-]+\.js)"/gm;
  load('skylock.js', /"\.\/([\w-]+\.js)"/g); // it loads `main` in a statement of its own
  return loaded;
}

const licences = suite('the licences of what is bundled');

licences('are there with their texts', async () => {
  const { dist } = await installPackage();
  const text = readFileSync(join(dist, 'THIRD-PARTY-LICENSES'), 'utf8');
  for (const name of ['ssh2', 'ssh2-sftp-client', 'webdav', 'kysely', 'yargs', 'listr2', 'smol-toml']) {
    assert.match(text, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\([\\w.-]+\\)$`, 'm'));
  }
  assert.ok(text.includes('Copyright Brian White'), 'of ssh2');
  assert.ok(text.includes('Apache License'), 'of ssh2-sftp-client');
  assert.not.match(text, /^(better-sqlite3|esbuild|typescript) /m);
});

licences('allow it to be published; a package under any other is refused', async () => {
  const license = (name: string) => JSON.stringify({ name: 'thing', version: '1.0.0', license: name });
  const make = (tree: Record<string, string>) =>
    withTree(tree, (root) => thirdPartyLicences(root, ['thing']));
  const text = await make({ 'thing/package.json': license('ISC'), 'thing/license.txt': 'do as you like' });
  assert.match(text, /thing 1\.0\.0 \(ISC\)\n\ndo as you like/);
  for (const [tree, message] of [
    [
      { 'thing/package.json': license('GPL-3.0-only'), 'thing/LICENSE': 'text' },
      /its licence is GPL-3\.0-only/,
    ],
    [{ 'thing/package.json': '{"name":"thing"}', 'thing/LICENSE': 'text' }, /its licence is undefined/],
    [{ 'thing/package.json': license('ISC') }, /has no licence text/],
  ] as const) {
    const error = await make(tree).then(
      () => null,
      (thrown: Error) => thrown,
    );
    assert.match(error?.message ?? '', message);
  }
});

licences.run();

const layout = suite('the help of the bundle');

layout('is laid out as by the package yargs takes for it', async () => {
  const require = createRequire(import.meta.resolve('cliui'));
  const { default: theirs } = await import(require.resolve('wrap-ansi'));
  const words = [
    'a',
    'of',
    'repository',
    'ünïcödé',
    '--remote-password-command',
    '[string]',
    '',
    '漢字',
    'x'.repeat(90),
  ];
  for (let width = 2; width <= 100; width += 1) {
    for (let start = 0; start < words.length; start += 1) {
      const text = [...words.slice(start), '\n', ...words, ...words.slice(0, start)].join(' ').trim();
      assert.is(wrap(text, width), theirs(text, width, { hard: true }), `${width} columns: ${text}`);
    }
  }
});

layout.run();
