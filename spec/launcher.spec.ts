/** `bin/skylock`, the shell script that finds a Node: on machines that have none, an old one, or the right one. */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withFolder } from './helpers/temporary.ts';

const LAUNCHER = resolve(import.meta.dirname, '../bin/skylock');
const PINNED = 'node_modules/node/bin/node';

/** What is found in place of the program, and tells how it was started. */
const PROBE = `const { argv, cwd, env, execPath, pid } = process;
const arenas = env.MALLOC_ARENA_MAX;
console.log(JSON.stringify({ program: argv[1], args: argv.slice(2), cwd: cwd(), execPath, pid, arenas }));
if (argv[2] === 'exit') process.exitCode = Number(argv[3]);
if (argv[2] === 'wait') setInterval(() => {}, 1000);
`;

interface Probe {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly execPath: string;
  readonly pid: number;
  readonly arenas?: string;
}

interface Installation {
  /** The launcher, in `root`/bin. */
  readonly launcher: string;
  readonly root: string;
  /** A PATH with the tools the launcher uses and, if one was asked for, a node. */
  readonly path: string;
  run(
    args: readonly string[],
    options?: { readonly cwd?: string; readonly as?: string; readonly env?: NodeJS.ProcessEnv },
  ): SpawnSyncReturns<string>;
}

interface Setting {
  /** Files below the root: `bin/skylock.ts`, `dist/skylock.js`, or a Node of this version. */
  readonly files: readonly string[];
  /** What the machine's Node says its version is; `real` for this one, `null` for none. */
  readonly machine: string | null;
  /** Of the pinned Node, when `files` has one. */
  readonly pinned?: string;
}

const CHECKOUT = ['bin/skylock.ts', PINNED];
const PUBLISHED = ['dist/skylock.js'];

async function withInstallation(setting: Setting, use: (it: Installation) => Promise<void> | void) {
  await withFolder(async (folder) => {
    const root = join(folder, 'a folder with blanks, "quotes" and $HOME');
    const launcher = join(root, 'bin/skylock');
    mkdirSync(dirname(launcher), { recursive: true });
    copyFileSync(LAUNCHER, launcher);
    for (const file of setting.files) {
      if (file === PINNED) makeNode(join(root, file), setting.pinned ?? 'real');
      else writeDeep(join(root, file), PROBE);
    }
    const path = join(folder, 'tools');
    mkdirSync(path);
    for (const tool of ['dirname', 'readlink']) symlinkSync(whereIs(tool), join(path, tool));
    if (setting.machine !== null) makeNode(join(path, 'node'), setting.machine);
    await use({
      launcher,
      root,
      path,
      run: (args, { cwd = folder, as = launcher, env = {} } = {}) =>
        spawnSync(as, args, { cwd, env: { ...env, PATH: path }, encoding: 'utf8' }),
    });
  });
}

/** This Node, or a stand-in that knows its version and tells what it was asked to run. */
function makeNode(file: string, version: string): void {
  mkdirSync(dirname(file), { recursive: true });
  if (version === 'real') {
    symlinkSync(process.execPath, file);
    return;
  }
  const script = `if [ "$1" = --version ]; then echo '${version}'; else echo "ran by ${version}"; fi`;
  writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

function writeDeep(file: string, content: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

function whereIs(tool: string): string {
  return ['/usr/bin', '/bin'].map((folder) => join(folder, tool)).find(existsSync) ?? tool;
}

function probeOf({ status, stdout, stderr }: SpawnSyncReturns<string>): Probe {
  assert.is(status, 0, stderr);
  return JSON.parse(stdout) as Probe;
}

/** It did not start, and said why in one line. */
function assertRefused({ status, stdout, stderr }: SpawnSyncReturns<string>, message: RegExp): void {
  assert.is(status, 1);
  assert.is(stdout, '');
  assert.match(stderr, message);
  assert.is(stderr.trimEnd().split('\n').length, 1, stderr);
}

const launcher = suite('the launcher');

launcher(
  'starts from any folder, through symlinks of symlinks, and hands every argument on as it is',
  async () => {
    await withInstallation({ files: CHECKOUT, machine: null }, ({ root, run }) => {
      symlinkSync('bin/skylock', join(root, 'first link'));
      symlinkSync(join(root, 'first link'), join(root, 'second link'));
      mkdirSync(join(root, 'else where'));
      const args = ['', 'two words', "it's", '"', '*', '$HOME', '-n', '--', 'line\nbreak', '\\'];
      for (const as of [
        join(root, 'bin/skylock'),
        join(root, 'second link'),
        '../second link',
        './../bin/skylock',
      ]) {
        const probe = probeOf(run(args, { as, cwd: join(root, 'else where') }));
        assert.is(probe.program, join(root, 'bin/skylock.ts'), as);
        assert.equal(probe.args, args);
        assert.is(probe.cwd, join(root, 'else where'));
      }
    });
  },
);

launcher('starts from the PATH, as npm links it in an installed package', async () => {
  await withInstallation({ files: PUBLISHED, machine: 'real' }, ({ root, path, run }) => {
    symlinkSync(join(root, 'bin/skylock'), join(path, 'skylock'));
    assert.is(probeOf(run(['list'], { as: 'skylock' })).program, join(root, 'dist/skylock.js'));
  });
});

launcher('runs the sources where there are any, whatever was built from them before', async () => {
  await withInstallation({ files: [...CHECKOUT, ...PUBLISHED], machine: null }, ({ root, run }) => {
    assert.is(probeOf(run([])).program, join(root, 'bin/skylock.ts'));
  });
});

launcher('has its threads share what memory is free, unless the person says otherwise', async () => {
  await withInstallation({ files: CHECKOUT, machine: null }, ({ run }) => {
    assert.is(probeOf(run([])).arenas, '2');
    assert.is(probeOf(run([], { env: { MALLOC_ARENA_MAX: '5' } })).arenas, '5');
  });
});

launcher('takes the pinned Node before that of the machine', async () => {
  for (const machine of ['v20.20.2', 'v99.0.0', null]) {
    await withInstallation({ files: CHECKOUT, machine }, ({ run }) => {
      assert.is(probeOf(run([])).execPath, process.execPath, String(machine));
    });
  }
});

launcher('takes that of the machine where the pinned one does not run', async () => {
  await withInstallation({ files: CHECKOUT, pinned: 'v20.20.2', machine: 'real' }, ({ run }) => {
    assert.is(probeOf(run([])).execPath, process.execPath);
  });
});

launcher('takes Node 24.7 and all that came later', async () => {
  const rows: [string, boolean][] = [
    ['v24.7.0', true],
    ['v24.21.0', true],
    ['v25.0.0', true],
    ['v100.1.0', true],
    ['v26.0.0-nightly20261101', true],
    ['v24.6.9', false],
    ['v24', false],
    ['v23.11.1', false],
    ['v9.99.0', false],
    ['nonsense', false],
    ['', false],
  ];
  for (const [version, isGood] of rows) {
    await withInstallation({ files: PUBLISHED, machine: version }, ({ run }) => {
      const outcome = run([]);
      if (isGood) assert.is(outcome.stdout, `ran by ${version}\n`);
      else assertRefused(outcome, /^skylock: needs Node 24\.7 or newer/);
    });
  }
});

launcher('says in one line what to do where there is no Node, or an old one', async () => {
  await withInstallation({ files: PUBLISHED, machine: null }, ({ run }) => {
    assertRefused(run(['list']), /^skylock: needs Node 24\.7 or newer, found none: install it from /);
  });
  await withInstallation({ files: PUBLISHED, machine: 'v20.20.2' }, ({ run }) => {
    assertRefused(run(['list']), /found v20\.20\.2: install it from /);
  });
  await withInstallation({ files: CHECKOUT, pinned: '', machine: 'v20.20.2' }, ({ run, root }) => {
    const outcome = run(['list']);
    assertRefused(outcome, /found v20\.20\.2: run 'make setup' in /);
    assert.ok(outcome.stderr.includes(root));
  });
});

launcher('says that a checkout is not set up yet', async () => {
  await withInstallation({ files: ['bin/skylock.ts'], machine: 'real' }, ({ run }) => {
    assertRefused(run([]), /^skylock: not set up yet: run 'make setup' in /);
  });
});

launcher('becomes the program: its process, its status, its signals', async () => {
  await withInstallation({ files: CHECKOUT, machine: null }, async ({ launcher: file, run }) => {
    assert.is(run(['exit', '75']).status, 75);
    const child = spawn(file, ['wait'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
    assert.is((JSON.parse(line) as Probe).pid, child.pid);
    child.kill('SIGTERM');
    const [status, signal] = await once(child, 'exit');
    assert.equal([status, signal], [null, 'SIGTERM']);
  });
});

launcher.run();
