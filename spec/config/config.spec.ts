import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inspect } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Config, type ConfigInputs, loadConfig } from '../../lib/config/config.ts';
import { CONFIG_OPTIONS, FLAGS, flagOf } from '../../lib/config/options.ts';
import { dataPaths } from '../../lib/config/paths.ts';
import { SkylockError, UsageError } from '../../lib/errors.ts';
import { withFolder } from '../helpers/temporary.ts';

/** Loads the configuration of a home folder whose config file holds `toml`. */
async function load(
  toml: string | null,
  inputs: Partial<ConfigInputs> = {},
): Promise<Config & { home: string }> {
  return withFolder(async (home) => {
    const { configFile } = dataPaths({}, home);
    if (toml !== null) {
      mkdirSync(dirname(configFile), { recursive: true });
      writeFileSync(configFile, toml);
    }
    return { ...loadConfig({ flags: {}, env: {}, home, cwd: '/here', ...inputs }), home };
  });
}

async function failure(toml: string | null, inputs: Partial<ConfigInputs> = {}): Promise<UsageError> {
  const error = await load(toml, inputs).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof UsageError)) throw new Error(`no usage error: ${inspect(error)}`);
  return error;
}

const settings = suite('the configuration');

settings('without flags, environment and file has its defaults', async () => {
  const { home, ...config } = await load(null);
  assert.equal(config, {
    remote: null,
    connections: 4,
    retryForMs: 600_000,
    compressOverBytes: 0,
    identityFile: null,
    knownHosts: null,
    caFile: null,
    certificateFingerprint: null,
    insecureHttp: false,
    password: { of: 'repository', source: null },
    remotePassword: { of: 'remote', source: null },
  });
});

settings('reads every key of the file', async () => {
  const { home, ...config } = await load(`
    remote = "sftp://user@host/backup" # mine
    connections = 2
    retry_for = "1h30m"
    compress_over = "10MB"
    identity_file = "~/.ssh/backup"
    known_hosts = "known"
    ca_file = "/etc/ca.pem"
    certificate_fingerprint = "${'AB:'.repeat(31)}AB"
    insecure_http = true
    password_file = "~/secret"
    remote_password_command = "pass show box"
  `);
  const folder = join(home, '.config/skylock-hybrid');
  const file = join(folder, 'config.toml');
  assert.equal(config, {
    remote: 'sftp://user@host/backup',
    connections: 2,
    retryForMs: 5_400_000,
    compressOverBytes: 10_000_000,
    identityFile: join(home, '.ssh/backup'),
    knownHosts: join(folder, 'known'),
    caFile: '/etc/ca.pem',
    certificateFingerprint: 'ab'.repeat(32),
    insecureHttp: true,
    password: {
      of: 'repository',
      source: { kind: 'file', from: `password_file in ${file}`, path: join(home, 'secret') },
    },
    remotePassword: {
      of: 'remote',
      source: { kind: 'command', from: `remote_password_command in ${file}`, command: 'pass show box' },
    },
  });
});

settings('takes flags over environment over file', async () => {
  const toml = 'remote = "/file"\nconnections = 1\ninsecure_http = true';
  const env = { SKYLOCK_REMOTE: '/env', SKYLOCK_SSH_IDENTITY: 'key', SKYLOCK_KNOWN_HOSTS: '~/known' };
  assert.is((await load(toml)).remote, '/file');
  const both = await load(toml, { env });
  assert.is(both.remote, '/env');
  assert.is(both.connections, 1);
  assert.is(both.identityFile, '/here/key');
  assert.is(both.knownHosts, join(both.home, 'known'));
  const all = await load(toml, { env, flags: { remote: '/flag', connections: '8', 'insecure-http': false } });
  assert.is(all.remote, '/flag');
  assert.is(all.connections, 8);
  assert.is(all.insecureHttp, false);
});

settings('takes an empty variable for one that is not set', async () => {
  const config = await load('remote = "/file"', { env: { SKYLOCK_REMOTE: '', SKYLOCK_PASSWORD: '' } });
  assert.is(config.remote, '/file');
  assert.is(config.password.source, null);
});

settings('cannot be changed', async () => {
  const config = await load(null);
  assert.ok(Object.isFrozen(loadConfig({ flags: {}, env: {}, home: config.home })));
});

settings('looks for the file where XDG says', async () => {
  await withFolder(async (folder) => {
    mkdirSync(join(folder, 'skylock-hybrid'));
    writeFileSync(join(folder, 'skylock-hybrid/config.toml'), 'remote = "/xdg"');
    assert.is(loadConfig({ flags: {}, env: { XDG_CONFIG_HOME: folder }, home: '/nowhere' }).remote, '/xdg');
  });
});

settings.run();

const mistakes = suite('a mistake in the configuration');

mistakes('names an unknown key, the file and the nearest key', async () => {
  for (const [key, meant] of [
    ['conections', 'connections'],
    ['retry-for', 'retry_for'],
    ['Remote', 'remote'],
    ['compres_ovre', 'compress_over'],
    ['knownhosts', 'known_hosts'],
  ] as const) {
    const error = await failure(`"${key}" = 1`);
    assert.match(error.message, new RegExp(`^read /.*/config\\.toml: unknown key '${key}'$`));
    assert.is(error.hints[0], `Did you mean '${meant}'?`);
  }
  const error = await failure('colour = true');
  assert.is(error.hints.length, 1);
  assert.match(error.hints[0] ?? '', 'The keys are remote, connections,');
});

mistakes('of writing a password into the file is met with what to do, and without the password', async () => {
  const error = await failure('password = "hunter2"');
  assert.is(error.hints[0], 'A password has no place in this file: use password_file or password_command.');
  assert.not.match(inspect(error), 'hunter2');
});

mistakes('of TOML names the line', async () => {
  const error = await failure('remote = "/a"\nconnections = \ninsecure_http = true\n');
  assert.match(error.message, /^read \/.*\/config\.toml: line 2: .+$/);
  assert.not.match(error.message, '\n');
  assert.match((await failure('insecure_http = true\ninsecure_http = false')).message, 'line 2');
});

mistakes('names the key, what is expected and what is there', async () => {
  for (const [toml, message] of [
    ['connections = "four"', "expected a whole number from 1 to 8, found 'four'"],
    ['connections = 0', 'expected a whole number from 1 to 8, found 0'],
    ['connections = 9', 'expected a whole number from 1 to 8, found 9'],
    ['connections = 1.5', 'expected a whole number from 1 to 8, found 1.5'],
    ['connections = [1]', 'expected a whole number from 1 to 8, found several values'],
    ['remote = true', 'expected text, found true'],
    ['remote = ""', 'expected text, found nothing'],
    ['[remote]', 'expected text, found a table'],
    ['remote = 2025-11-07', 'expected text, found a date'],
    ['insecure_http = "yes"', "expected true or false, found 'yes'"],
    ['retry_for = 10', 'expected a duration such as "10m", found 10'],
    ['retry_for = "soon"', "'soon' is not a duration"],
    ['compress_over = -1', 'expected a size such as "10MB", found -1'],
    ['compress_over = "much"', "'much' is not a size"],
    ['certificate_fingerprint = "ab:cd"', "expected a SHA-256 of 64 hexadecimal digits, found 'ab:cd'"],
  ] as const) {
    const [key = ''] = toml.match(/\w+/) ?? [];
    const error = await failure(toml);
    assert.match(error.message, new RegExp(`^read ${key} in /.*/config\\.toml: `));
    assert.is(error.message.split('config.toml: ')[1], message);
  }
});

mistakes('in a flag or a variable names that', async () => {
  assert.match(
    (await failure(null, { flags: { 'retry-for': 'banana' } })).message,
    /^read --retry-for: 'banana'/,
  );
  assert.match(
    (await failure(null, { flags: { remote: ['/a', '/b'] } })).message,
    'read --remote: expected text, found several values',
  );
  assert.match(
    (await failure(null, { flags: { connections: '9' } })).message,
    "read --connections: expected a whole number from 1 to 8, found '9'",
  );
});

mistakes('does not lie in wait below what hides it', async () => {
  assert.match(
    (await failure('connections = 99', { flags: { connections: '2' } })).message,
    'connections in',
  );
});

mistakes('of having a folder where the file should be is told as that', async () => {
  await withFolder(async (home) => {
    const { configFile } = dataPaths({}, home);
    mkdirSync(configFile, { recursive: true });
    assert.throws(
      () => loadConfig({ flags: {}, env: {}, home }),
      (error: unknown) =>
        error instanceof SkylockError && error.message === `read ${configFile}: it is a folder`,
    );
  });
});

mistakes.run();

const secrets = suite('the source of a password');

secrets('is a flag, then a variable, then the file; in each the value, the file, the command', async () => {
  const toml = 'password_file = "/toml"\npassword_command = "toml"';
  const kindOf = async (inputs: Partial<ConfigInputs>) => {
    const { source } = (await load(toml, inputs)).password;
    return source === null ? null : `${source.kind} ${source.from.replace(/ in .*/, '')}`;
  };
  const env = {
    SKYLOCK_PASSWORD: 'hunter2',
    SKYLOCK_PASSWORD_FILE: '/env',
    SKYLOCK_PASSWORD_COMMAND: 'env',
  };
  const flags = { 'password-file': '/flag', 'password-command': 'flag' };
  assert.is(await kindOf({}), 'file password_file');
  assert.is(await kindOf({ env }), 'value SKYLOCK_PASSWORD');
  assert.is(await kindOf({ env: { ...env, SKYLOCK_PASSWORD: undefined } }), 'file SKYLOCK_PASSWORD_FILE');
  assert.is(await kindOf({ env: { SKYLOCK_PASSWORD_COMMAND: 'env' } }), 'command SKYLOCK_PASSWORD_COMMAND');
  assert.is(await kindOf({ env, flags }), 'file --password-file');
  assert.is(await kindOf({ env, flags: { 'password-command': 'flag' } }), 'command --password-command');
});

secrets('is not the same for the repository and the remote', async () => {
  const { password, remotePassword } = await load(null, { env: { SKYLOCK_REMOTE_PASSWORD: 'hunter2' } });
  assert.is(password.source, null);
  assert.is(remotePassword.source?.kind, 'value');
});

secrets('never prints the password', async () => {
  const env = { SKYLOCK_PASSWORD: 'hunter2', SKYLOCK_REMOTE_PASSWORD: 'hunter2' };
  const config = await load(null, { env });
  assert.not.match(JSON.stringify(config) + inspect(config, { depth: 9, showHidden: true }), 'hunter2');
});

secrets.run();

const flags = suite('the flags');

flags('are those of the options, --json and --quiet, without defaults of their own', () => {
  assert.equal(
    Object.keys(FLAGS).sort(),
    [...Object.values(CONFIG_OPTIONS).map(flagOf), 'json', 'quiet'].sort(),
  );
  for (const [name, flag] of Object.entries(FLAGS)) {
    assert.is('default' in flag, false, name);
    assert.ok(flag.describe.length > 10, name);
  }
});

flags('never take a password', () => {
  assert.is(
    Object.keys(FLAGS).some((name) => name.endsWith('password')),
    false,
  );
});

flags.run();
