import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  findPassword,
  type PasswordOption,
  readKey,
  readNewPassword,
  readOrMakeKey,
  readPassword,
} from '../../lib/config/password.ts';
import type { SecretSource } from '../../lib/config/secret-source.ts';
import { DamagedError, SkylockError } from '../../lib/errors.ts';
import { withFolder } from '../helpers/temporary.ts';

/** Somebody who gives these answers, one after another, and then has gone. */
function person(...answers: (string | null)[]) {
  const prompts: string[] = [];
  const warnings: string[] = [];
  return {
    prompts,
    warnings,
    askSecret: async (prompt: string) => {
      prompts.push(prompt);
      return answers.shift() ?? null;
    },
    warning: (text: string) => void warnings.push(text),
  };
}

function repository(source: SecretSource | null): PasswordOption {
  return { of: 'repository', source };
}

function command(text: string): PasswordOption {
  return repository({ kind: 'command', from: 'SKYLOCK_PASSWORD_COMMAND', command: text });
}

async function failure(doing: Promise<unknown>): Promise<SkylockError> {
  const error = await doing.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof SkylockError)) throw new Error(`no such error: ${inspect(error)}`);
  return error;
}

const password = suite('a password');

password('from a variable is what is in it', async () => {
  const source: SecretSource = { kind: 'value', from: 'SKYLOCK_PASSWORD', reveal: () => ' hunter2\n' };
  assert.is(await readPassword(repository(source), person()), ' hunter2\n');
});

password('from a file is its text without the newline at the end', async () => {
  await withFolder(async (folder) => {
    for (const [content, text] of [
      ['hunter2', 'hunter2'],
      ['hunter2\n', 'hunter2'],
      ['hunter2\r\n', 'hunter2'],
      ['hunter2\n\n', 'hunter2\n'],
      [' zwei wörter ', ' zwei wörter '],
    ] as const) {
      const path = join(folder, 'secret');
      writeFileSync(path, content, { mode: 0o600 });
      const who = person();
      const source: SecretSource = { kind: 'file', from: '--password-file', path };
      assert.is(await readPassword(repository(source), who), text);
      assert.equal(who.warnings, []);
    }
  });
});

password('from a file that others can read comes with a warning', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'secret');
    writeFileSync(path, 'hunter2');
    for (const [mode, warned] of [
      [0o600, false],
      [0o622, false],
      [0o640, true],
      [0o604, true],
    ] as const) {
      chmodSync(path, mode);
      const who = person();
      await readPassword(repository({ kind: 'file', from: 'x', path }), who);
      assert.equal(
        who.warnings,
        warned ? [`password file ${path} can be read by others: chmod 600 ${path}`] : [],
      );
    }
  });
});

password('from a file that is none says so, and who named the file', async () => {
  await withFolder(async (folder) => {
    const read = (path: string) =>
      failure(readPassword(repository({ kind: 'file', from: '--password-file', path }), person()));
    const absent = await read(join(folder, 'absent'));
    assert.is(absent.message, `read password file ${folder}/absent: there is no such file`);
    assert.equal(absent.hints, ['The file is named by --password-file.']);
    assert.is((await read(folder)).message, `read password file ${folder}: it is a folder`);
    writeFileSync(join(folder, 'bytes'), Buffer.from([0xff, 0xfe, 0x41]));
    assert.match((await read(join(folder, 'bytes'))).message, 'is not UTF-8 text');
    writeFileSync(join(folder, 'big'), 'x'.repeat(70_000));
    assert.match((await read(join(folder, 'big'))).message, 'is too long for one');
    assert.match((await read('/dev/zero')).message, 'is too long for one');
  });
});

password('from a command is what it prints', async () => {
  assert.is(await readPassword(command('echo hunter2'), person()), 'hunter2');
  assert.is(await readPassword(command("printf '%s|' a b"), person()), 'a|b|');
});

password('from a command that fails is none, and nothing of it is shown', async () => {
  const error = await failure(readPassword(command('echo hunter2; exit 3'), person()));
  assert.is(error.message, 'read password: the command of SKYLOCK_PASSWORD_COMMAND ended with status 3');
  assert.not.match(inspect(error), 'hunter2');
  const killed = await failure(readPassword(command('kill -9 $$'), person()));
  assert.match(killed.message, 'was ended by SIGKILL');
  const endless = await failure(readPassword(command('yes hunter2 2>/dev/null'), person()));
  assert.match(endless.message, 'is too long for one');
});

password('that is configured nowhere is asked for', async () => {
  const who = person('hunter2');
  assert.is(await readPassword(repository(null), who), 'hunter2');
  const other = person('hunter3');
  assert.is(await readPassword({ of: 'remote', source: null }, other), 'hunter3');
  assert.equal(
    [...who.prompts, ...other.prompts],
    ['Password of the repository:', 'Password of the account at the remote:'],
  );
});

password('with nobody to ask is absent, and an error where it is needed', async () => {
  assert.is(await findPassword({ of: 'remote', source: null }, person()), null);
  const error = await failure(readPassword({ of: 'remote', source: null }, person()));
  assert.is(error.message, 'read password of the account at the remote: there is none, and nobody to ask');
  assert.match(error.hints.join(' '), 'SKYLOCK_REMOTE_PASSWORD_FILE');
  assert.match(error.hints.join(' '), 'remote_password_command');
});

password('is never empty', async () => {
  const empty: SecretSource = { kind: 'value', from: 'SKYLOCK_PASSWORD', reveal: () => '' };
  assert.match(
    (await failure(readPassword(repository(empty), person()))).message,
    'SKYLOCK_PASSWORD is empty',
  );
  assert.match((await failure(readPassword(command('true'), person()))).message, 'is empty');
  assert.match((await failure(readPassword(repository(null), person('')))).message, 'is empty');
  assert.match((await failure(readNewPassword(repository(null), person('')))).message, 'is empty');
});

password.run();

const chosen = suite('a new password');

chosen('is typed twice', async () => {
  const who = person('hunter2', 'hunter2');
  assert.is(await readNewPassword(repository(null), who), 'hunter2');
  assert.equal(who.prompts, ['New password of the repository:', 'The same again:']);
});

chosen('that was mistyped is typed again, three times at most', async () => {
  assert.is(await readNewPassword(repository(null), person('a', 'b', 'c', 'c')), 'c');
  const who = person('a', 'b', 'c', 'd', 'e', 'f');
  const error = await failure(readNewPassword(repository(null), who));
  assert.is(error.message, 'choose password of the repository: the two differ');
  assert.is(who.prompts.length, 6);
});

chosen('that is configured is not asked for', async () => {
  assert.is(await readNewPassword(command('echo hunter2'), person()), 'hunter2');
});

chosen('needs somebody who chooses it', async () => {
  assert.match((await failure(readNewPassword(repository(null), person()))).message, 'nobody to ask');
});

chosen.run();

const key = suite('the generated key');

key('is made once, for its owner only, and is the same from then on', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'data/skylock-hybrid/repository.key');
    assert.is(readKey(path), null);
    const made = readOrMakeKey(path);
    assert.match(made, /^[\w-]{43}$/);
    assert.is(Buffer.from(made, 'base64url').length, 32);
    assert.is(readOrMakeKey(path), made);
    assert.is(readKey(path), made);
    assert.is(statSync(path).mode & 0o777, 0o600);
    assert.is(statSync(join(folder, 'data/skylock-hybrid')).mode & 0o777, 0o700);
    assert.equal(readdirSync(join(folder, 'data/skylock-hybrid')), ['repository.key']);
  });
});

key('is another one elsewhere', async () => {
  await withFolder(async (folder) => {
    assert.is.not(readOrMakeKey(join(folder, 'a')), readOrMakeKey(join(folder, 'b')));
  });
});

key('that is damaged is never replaced', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'key');
    for (const content of ['', 'short', `${'x'.repeat(44)}\n`]) {
      writeFileSync(path, content);
      for (const read of [readKey, readOrMakeKey]) {
        assert.throws(
          () => read(path),
          (error: unknown) =>
            error instanceof DamagedError && error.message === `read key file ${path}: it holds no key`,
        );
      }
      assert.is(readFileSync(path, 'utf8'), content);
    }
  });
});

key('that cannot be read is an error, not a reason to make one', async () => {
  await withFolder(async (folder) => {
    mkdirSync(join(folder, 'key'));
    assert.throws(
      () => readOrMakeKey(join(folder, 'key')),
      (error: unknown) => error instanceof SkylockError && error.message.endsWith('it is a folder'),
    );
  });
});

key.run();
