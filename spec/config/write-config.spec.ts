import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'smol-toml';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { setRemote, writeRemote } from '../../lib/config/write-config.ts';
import { removeDeadWrites, writePrivateFile } from '../../lib/config/write-file.ts';
import { SkylockError, UsageError } from '../../lib/errors.ts';
import { withFolder } from '../helpers/temporary.ts';

const URL = 'sftp://user@host/new';

const remote = suite('the remote in the config file');

remote('takes the place of the old one and leaves all else as it was', () => {
  for (const [before, after] of [
    ['', `remote = "${URL}"\n`],
    ['remote = "/old"', `remote = "${URL}"`],
    ['remote = "/old" # my box\n', `remote = "${URL}" # my box\n`],
    [
      "# mine\n\n  remote='/old'\ninsecure_http = true\n",
      `# mine\n\n  remote="${URL}"\ninsecure_http = true\n`,
    ],
    [
      '"remote" = "a \\"b\\" # c"\r\ninsecure_http = true\r\n',
      `"remote" = "${URL}"\r\ninsecure_http = true\r\n`,
    ],
    ['# a comment\ninsecure_http = true\n', `remote = "${URL}"\n# a comment\ninsecure_http = true\n`],
    ['insecure_http = true\r\n', `remote = "${URL}"\r\ninsecure_http = true\r\n`],
    ['#remote = "/old"\n', `remote = "${URL}"\n#remote = "/old"\n`],
  ] as const) {
    assert.is(setRemote('config.toml', before, URL), after);
    assert.is((parse(after) as { remote: unknown }).remote, URL);
  }
});

remote('is not mistaken for a line that only looks like it', () => {
  const text = 'password_command = """\nremote = "inside"\n"""\n';
  assert.is(setRemote('config.toml', text, URL), `remote = "${URL}"\n${text}`);
  assert.is(
    setRemote('config.toml', `${text}remote = "/old"\n[table]\nremote = "other"\n`, URL),
    `${text}remote = "${URL}"\n[table]\nremote = "other"\n`,
  );
});

remote('that is written in a way we do not understand is left to the person', () => {
  assert.throws(
    () => setRemote('/x/config.toml', 'remote = """\n/old"""\n', URL),
    (error: unknown) =>
      error instanceof SkylockError &&
      error.message === "write /x/config.toml: the line that sets 'remote' was not found" &&
      error.hints[0] === `Set it by hand: remote = "${URL}"`,
  );
});

remote('may hold any character', () => {
  const odd = '/a "b" \\ \x7f é 日本 $& $1';
  assert.equal({ ...parse(setRemote('config.toml', 'remote = "x"\n', odd)) }, { remote: odd });
});

remote('is not written into a file that is no TOML', () => {
  assert.throws(
    () => setRemote('/x/config.toml', 'remote = \n', URL),
    (error: unknown) =>
      error instanceof UsageError && error.message.startsWith('read /x/config.toml: line 1: '),
  );
});

remote('makes a file for its owner only, where there was none', async () => {
  await withFolder(async (home) => {
    const file = join(home, '.config/skylock-hybrid/config.toml');
    writeRemote(file, URL);
    assert.is(readFileSync(file, 'utf8'), `remote = "${URL}"\n`);
    assert.is(statSync(file).mode & 0o777, 0o600);
    assert.is(statSync(dirname(file)).mode & 0o777, 0o700);
    writeRemote(file, '/other');
    assert.is(readFileSync(file, 'utf8'), 'remote = "/other"\n');
    assert.equal(readdirSync(dirname(file)), ['config.toml']);
  });
});

remote('leaves a symlink a symlink', async () => {
  await withFolder(async (home) => {
    mkdirSync(join(home, 'dotfiles'));
    writeFileSync(join(home, 'dotfiles/skylock.toml'), 'insecure_http = true\n');
    symlinkSync('dotfiles/skylock.toml', join(home, 'config.toml'));
    writeRemote(join(home, 'config.toml'), URL);
    assert.is(readlinkSync(join(home, 'config.toml')), 'dotfiles/skylock.toml');
    assert.is(
      readFileSync(join(home, 'dotfiles/skylock.toml'), 'utf8'),
      `remote = "${URL}"\ninsecure_http = true\n`,
    );
  });
});

remote.run();

const file = suite('a private file');

file('is replaced or kept as asked, and leaves nothing beside it', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'file');
    assert.is(writePrivateFile(path, 'one', 'keep'), true);
    assert.is(writePrivateFile(path, 'two', 'keep'), false);
    assert.is(readFileSync(path, 'utf8'), 'one');
    assert.is(writePrivateFile(path, 'three', 'replace'), true);
    assert.is(readFileSync(path, 'utf8'), 'three');
    assert.equal(readdirSync(folder), ['file']);
  });
});

file('has what writes that were killed have left beside it removed', () =>
  withFolder(async (folder) => {
    const names = ['a.key.0123456789ab', 'a.key.ba9876543210', 'a.key.backup', 'b.key.0123456789ab', 'a.key'];
    for (const name of names) writeFileSync(join(folder, name), '');
    const longAgo = new Date(Date.now() - 3_601_000);
    for (const name of names.toSpliced(1, 1)) utimesSync(join(folder, name), longAgo, longAgo);
    removeDeadWrites(join(folder, 'a.key'), new Date());
    assert.equal(readdirSync(folder).sort(), names.slice(1).sort());
    removeDeadWrites(join(folder, 'nowhere/a.key'), new Date());
  }),
);

file('that cannot be written is an error with its path', async () => {
  await withFolder(async (folder) => {
    writeFileSync(join(folder, 'file'), '');
    assert.throws(
      () => writePrivateFile(join(folder, 'file/below'), 'x', 'replace'),
      (error: unknown) =>
        error instanceof SkylockError && error.message.startsWith(`write ${folder}/file/below: `),
    );
  });
});

file.run();
