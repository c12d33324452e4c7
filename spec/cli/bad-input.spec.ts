import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertClearError, withMachine, writeConfig } from '../helpers/program.ts';
import { withTree, writeTree } from '../helpers/tree.ts';

const commandLine = suite('a command line that makes no sense');

/** What is typed, and what the one line that is said of it has to name. */
const ROWS: readonly (readonly [string, RegExp, (string | RegExp)?])[] = [
  ['', /no command was named/, /The commands are init, backup, /],
  ['lst', /unknown command 'lst'/, "Did you mean 'list'?"],
  ['list --banana', /unknown option '--banana'/, "See 'skylock list --help'."],
  ['list --conections 3', /unknown option '--conections'/, "Did you mean '--connections'?"],
  ['list --password=hunter2', /unknown option '--password'$/],
  ['list more', /'more' is one argument too many/],
  ['list -- more', /'more' is one argument too many/],
  ['-- list', /no command was named/],
  ['list --remote', /--remote: its value is missing/],
  ['list --connections 99', /--connections: expected a whole number from 1 to 8, found '99'/],
  ['list --connections 2.5', /--connections: expected a whole number/],
  ['list --retry-for banana', /--retry-for: 'banana' is not a duration/, /90s, 12h, 7d or 2w/],
  ['list --compress-over banana', /--compress-over: 'banana' is not a size/],
  ['list --remote ftp://host/folder', /remote 'ftp:\/\/host\/folder': 'ftp' is no kind of remote/],
  [
    'list --remote sftp://host',
    /remote 'sftp:\/\/host': the folder is missing/,
    /sftp:\/\/user@host\/folder/,
  ],
  ['list --remote sftp:/host/folder', /'\/\/' is missing after the ':'/],
  ['list --remote sftp://host:banana/folder', /the port is not a number/],
  [
    'list --remote http://example.com/folder',
    /http:\/\/ would send password and data .* in clear/,
    /--insecure-http/,
  ],
  ['list --remote /a --remote /b', /--remote: expected text, found several values/],
  ['backup --direct', /no path was named/, /backup --direct ~\/Documents/],
  ['backup --direct not-there', /back up not-there: no such file or folder/],
  ['backup notes', /archive mode is not there yet/, /Add --direct/],
  ['resume-status banana', /backup id: 'banana' is none/, /An id looks like 20251107_142030/],
  ['cleanup 2025', /backup id: '2025' is none/],
  ['cleanup --older-than banana', /--older-than: 'banana' is not a duration/],
  ['cleanup --older-than -5d', /--older-than: '-5d' is not a duration/],
  ['ls', /an argument is missing/, "The command is 'skylock ls <id> [path]'."],
  ['ls ../../etc/passwd', /backup id: '..\/..\/etc\/passwd' is none/],
  ['ls latest notes', /path: 'notes' does not begin with \//],
  ['restore latest', /--target is missing/],
  [
    'restore latest --target x --overwrite maybe',
    /--overwrite: expected never, if-changed, always, found "maybe"/,
  ],
  ['init', /no URL was named/, /skylock init sftp:/],
];

for (const [typed, message, hint = /./] of ROWS) {
  commandLine(`skylock ${typed}`, async () => {
    await withMachine(async (machine) => {
      const outcome = await machine.run(typed.split(' ').filter(Boolean));
      assertClearError(outcome, 2, message);
      assert.match(outcome.stderr, hint);
      assert.is(outcome.stdout, '');
      assert.not.match(outcome.stderr, /hunter2/);
    });
  });
}

commandLine(
  'a path of no characters, as an unset variable leaves it, is not the current folder',
  async () => {
    await withMachine(async (machine) => {
      assertClearError(
        await machine.run(['backup', '--direct', '']),
        2,
        /back up '': no such file or folder/,
      );
    });
  },
);

commandLine('behind -- everything is a path, however it begins', async () => {
  await withMachine(async (machine) => {
    for (const name of ['plain', '-dashed', '--json']) writeTree(join(machine.home, name), { file: name });
    await machine.succeeds(['backup', '--direct', 'plain', '--', '-dashed', '--json']);
    const target = join(machine.folder, 'restored');
    await machine.succeeds([
      'restore',
      'latest',
      '--target',
      target,
      '--',
      join(machine.home, '--json/file'),
    ]);
    assert.is(readFileSync(join(target, machine.home, '--json/file'), 'utf8'), '--json');
    assert.not.ok(existsSync(join(target, machine.home, 'plain')));
    await machine.succeeds(['restore', 'latest', '--target', target]);
    assert.is(readFileSync(join(target, machine.home, '-dashed/file'), 'utf8'), '-dashed');
  });
});

for (const url of [
  'sftp://anna:hunter2@host/folder',
  'https://anna:hunter2@host/',
  'sftp://anna:hun/hunter2@host/x',
]) {
  commandLine(`a password in ${url.split(':')[0]} is refused and not repeated`, async () => {
    await withMachine(async (machine) => {
      for (const outcome of [
        await machine.run(['list', '--remote', url]),
        await machine.run(['init', url]),
        await machine.run(['list'], { env: { SKYLOCK_REMOTE: url } }),
      ]) {
        assertClearError(outcome, 2, /a password has no place in it/);
        assert.match(outcome.stderr, /SKYLOCK_REMOTE_PASSWORD/);
        assert.not.match(outcome.stderr, /hunter2/);
      }
    });
  });
}

commandLine.run();

const configFile = suite('a config file that makes no sense');

const FILES: readonly (readonly [string, string, RegExp, RegExp?])[] = [
  ['an unknown key', 'retry-fro = "3s"\n', /unknown key 'retry-fro'/, /Did you mean 'retry_for'\?/],
  [
    'a password in it',
    'password = "hunter2"\n',
    /unknown key 'password'/,
    /use password_file or password_command/,
  ],
  ['no TOML', 'remote = "/a"\nbanana\n', /line 2: /],
  [
    'a value of the wrong kind',
    'connections = "many"\n',
    /connections in .*config\.toml: expected a whole number/,
  ],
  ['a URL that is none', 'remote = "sftp://anna:hunter2@host/x"\n', /a password has no place in it/],
];

for (const [what, toml, message, hint = /./] of FILES) {
  configFile(`${what} is said with the file's name`, async () => {
    await withMachine(async (machine) => {
      writeConfig(machine, toml);
      const outcome = await machine.run(['list']);
      assertClearError(outcome, 2, message);
      assert.match(outcome.stderr, hint);
      assert.not.match(outcome.stderr, /hunter2/);
      if (what !== 'a URL that is none')
        assert.ok(outcome.stderr.includes(machine.configFile), outcome.stderr);
    });
  });
}

configFile('cannot be read: said so, and nothing is done without it', async () => {
  await withMachine(async (machine) => {
    writeConfig(machine, 'remote = "/somewhere"\n');
    chmodSync(machine.configFile, 0);
    const outcome = await machine.run(['list'], { withoutPrivileges: true });
    assertClearError(outcome, 1, /read .*config\.toml: permission denied/);
  });
});

configFile.run();

const disk = suite('a disk that does not let us');

disk('a data folder that cannot be written to', async () => {
  await withTree({ file: 'text' }, async (source) => {
    await withMachine(async (machine) => {
      mkdirSync(join(machine.home, '.local'), { mode: 0o500 });
      const outcome = await machine.run(['backup', '--direct', source], { withoutPrivileges: true });
      assertClearError(outcome, 1, /\.local.*: permission denied/);
    });
  });
});

disk('a file where the data folder would be', async () => {
  await withTree({ file: 'text' }, async (source) => {
    await withMachine(async (machine) => {
      mkdirSync(join(machine.home, '.local/share'), { recursive: true });
      writeFileSync(machine.dataFolder, 'a file');
      assertClearError(await machine.run(['backup', '--direct', source]), 1, /skylock-hybrid/);
    });
  });
});

disk.run();
