import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadConfig } from '../../lib/config/config.ts';
import { parseConfig, readConfig } from '../../lib/config/read-config.ts';
import { RemoteError, UsageError } from '../../lib/errors.ts';
import { readKeyFile } from '../../lib/remote/sftp/key-file.ts';
import {
  checkHostKey,
  hostLabel,
  knownAlgorithms,
  readKnownHosts,
} from '../../lib/remote/sftp/known-hosts.ts';
import { readHostConfig } from '../../lib/remote/sftp/ssh-config.ts';
import { formatRemoteUrl, parseRemoteUrl } from '../../lib/remote/url.ts';
import { parseBytes, parseDuration } from '../../lib/units.ts';
import { withFolder } from '../helpers/temporary.ts';
import { anyBytes, anyChangeOf, holds, holdsInTime, readOrRefuse } from './fuzz.ts';

/** What a file of text is put together from, so that some of it makes sense. */
function anyText(words: readonly string[]): fc.Arbitrary<Buffer> {
  const word = fc.oneof(
    fc.constantFrom(...words),
    fc.constantFrom('constructor', '__proto__', ' ', '\t', '"', '=', '#', '\n', '\r\n', ',', '*'),
  );
  const text = fc.array(
    fc.oneof({ weight: 6, arbitrary: word }, { weight: 1, arbitrary: fc.string({ unit: 'binary' }) }),
    { maxLength: 40 },
  );
  return text.map((parts) => Buffer.from(parts.join('')));
}

const CONFIG = `# settings
remote = "sftp://u12345@host/~/backups"
password_command = 'pass show backups'
connections = 4
compress_over = "10MB"
retry_for = "1h30m"
insecure_http = false
`;

const config = suite('any config file');

config('is read, or refused in a line that names the file', () =>
  withFolder(async (home) => {
    const folder = join(home, '.config/skylock-hybrid');
    const file = join(folder, 'config.toml');
    mkdirSync(folder, { recursive: true });
    const words = CONFIG.split(/\b/).concat(
      '[table]',
      '[[',
      ']',
      '{',
      '}',
      '1979-05-27',
      'inf',
      '0x7f',
      "'''",
      '\\u0000',
    );
    const anyConfig = fc.oneof(anyChangeOf(Buffer.from(CONFIG)), anyText(words), anyBytes());
    holds(
      fc.property(anyConfig, (bytes) => {
        writeFileSync(file, bytes);
        const values = readOrRefuse(() => readConfig(file), UsageError);
        const loaded = readOrRefuse(() => loadConfig({ flags: {}, env: {}, home, cwd: home }), UsageError);
        if (loaded !== null) assert.ok(values !== null && loaded.connections >= 1 && loaded.connections <= 8);
        readOrRefuse(() => parseConfig('config.toml', bytes.toString()), UsageError);
      }),
      500,
    );
  }),
);

config('with deep tables, or keys that mean something to JavaScript, is no trouble', () => {
  const deep = (count: number) => `a = ${'['.repeat(count)}${']'.repeat(count)}\n`;
  const hostile = [
    deep(200),
    deep(100_000),
    '__proto__ = 1',
    '[__proto__]\nremote = 1',
    'constructor = 1',
    `${'[a]\n'.repeat(3)}`,
    `a${'.a'.repeat(50_000)} = 1`,
  ];
  for (const text of hostile) readOrRefuse(() => parseConfig('config.toml', text), UsageError);
  assert.is(({} as { remote?: unknown }).remote, undefined);
});

config.run();

const ED25519 = 'AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl';
const HASHED = '|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=';
const KNOWN_HOSTS = `# hosts
example.org,*.example.net,!bad.example.net ssh-ed25519 ${ED25519} a comment
[example.org]:23 ssh-ed25519 ${ED25519}
@revoked * ssh-ed25519 ${ED25519}
${HASHED} ssh-ed25519 ${ED25519}
@cert-authority *.example.org ssh-ed25519 ${ED25519}
`;

const hosts = suite('any known_hosts file');

hosts('is read line by line, and only what a line says of the key that is shown counts', () =>
  withFolder(async (folder) => {
    const file = join(folder, 'known_hosts');
    const words = KNOWN_HOSTS.split(/([\s,])/);
    const key = Buffer.from(ED25519, 'base64');
    const anyKey = fc.oneof(fc.constant(key), anyChangeOf(key));
    holds(
      fc.property(
        fc.oneof(anyChangeOf(Buffer.from(KNOWN_HOSTS)), anyText(words), anyBytes()),
        anyKey,
        (bytes, shown) => {
          writeFileSync(file, bytes);
          const known = readKnownHosts([file]);
          for (const label of [
            hostLabel('example.org', 22),
            hostLabel('example.org', 23),
            hostLabel('::1', 22),
          ]) {
            const { state } = checkHostKey(known, label, shown);
            if (state === 'known')
              assert.ok(known.some((entry) => entry.key.equals(shown) && !entry.revoked));
            assert.ok(knownAlgorithms(known, label).every((name) => typeof name === 'string'));
          }
        },
      ),
      500,
    );
  }),
);

hosts('with patterns that could be matched in more ways than there is time for is read all the same', () =>
  withFolder(async (folder) => {
    const file = join(folder, 'known_hosts');
    const pattern = `${'*a'.repeat(60)}*b`;
    writeFileSync(file, `${pattern} ssh-ed25519 ${ED25519}\n${'*'.repeat(1000)}x ssh-ed25519 ${ED25519}\n`);
    const label = 'a'.repeat(250);
    assert.is(checkHostKey(readKnownHosts([file]), label, Buffer.from(ED25519, 'base64')).state, 'unknown');
    assert.is(
      checkHostKey(readKnownHosts([file]), `${label}b`, Buffer.from(ED25519, 'base64')).state,
      'known',
    );
  }),
);

hosts('that names a type of key no standard knows says nothing of the keys that are expected', () =>
  withFolder(async (folder) => {
    const file = join(folder, 'known_hosts');
    for (const type of ['constructor', '__proto__', 'toString', 'ssh-dss']) {
      const blob = Buffer.concat([Buffer.of(0, 0, 0, type.length), Buffer.from(type)]);
      writeFileSync(file, `host ${type} ${blob.toString('base64')}\n`);
      const known = readKnownHosts([file]);
      assert.is(checkHostKey(known, 'host', Buffer.from(ED25519, 'base64')).state, 'unknown', type);
      assert.equal(knownAlgorithms(known, 'host'), []);
    }
  }),
);

hosts.run();

const SSH_CONFIG = `Host box *.box !old.box
  HostName %h.example.org
  Port 23
  User "with a space"
  IdentityFile ~/.ssh/%r@%h
  IdentitiesOnly yes
  UserKnownHostsFile ~/one /etc/two
  HostKeyAlias other
  Include more
Match all
  Port=24
Match host x exec "false"
  ProxyJump none
`;

const ssh = suite('any ~/.ssh');

ssh('config is read, or refused in one line', () =>
  withFolder(async (home) => {
    mkdirSync(join(home, '.ssh'));
    const file = join(home, '.ssh/config');
    const words = SSH_CONFIG.split(/(\s+)/).concat('ProxyCommand', 'nc %h %p', '65536', '%%', '%');
    const aliases = ['box', 'a.box', 'old.box', 'constructor'];
    holds(
      fc.property(fc.oneof(anyChangeOf(Buffer.from(SSH_CONFIG)), anyText(words), anyBytes()), (bytes) => {
        writeFileSync(file, bytes);
        for (const alias of aliases) {
          const host = readOrRefuse(() => readHostConfig(alias, home), RemoteError);
          if (host?.port != null) assert.ok(host.port >= 1 && host.port <= 65_535);
        }
      }),
    );
  }),
);

ssh('config that includes itself, more than once, comes to an end', () =>
  withFolder(async (home) => {
    mkdirSync(join(home, '.ssh'));
    writeFileSync(join(home, '.ssh/config'), 'Include config config\nInclude ~/.ssh/con*\nPort 22\n');
    const host = readOrRefuse(() => readHostConfig('box', home), RemoteError);
    assert.ok(host === null || host.port === 22);
  }),
);

ssh('config of very many lines is read in the time one pass takes', () =>
  withFolder(async (home) => {
    mkdirSync(join(home, '.ssh'));
    writeFileSync(join(home, '.ssh/config'), 'IdentityFile ~/.ssh/x\n'.repeat(100_000));
    assert.is(readHostConfig('box', home).identityFiles.length, 100_000);
  }),
);

const KEY = `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACDjKqp5Fc65tEnRulDqKii7Gm4B+QvaJFotHYdpfRiiZQAAAIgAAAAAAAAA
AAAAAAtzc2gtZWQyNTUxOQAAACDjKqp5Fc65tEnRulDqKii7Gm4B+QvaJFotHYdpfRiiZQ
-----END OPENSSH PRIVATE KEY-----
`;

ssh('key file is a key, or a reason why not', () =>
  withFolder(async (folder) => {
    const file = join(folder, 'id_ed25519');
    const body = Buffer.from(KEY.replace(/-----.*?-----|\n/g, ''), 'base64');
    const wrapped = anyChangeOf(body).map((bytes) =>
      Buffer.from(
        `-----BEGIN OPENSSH PRIVATE KEY-----\n${bytes.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`,
      ),
    );
    const pem = anyText([
      '-----BEGIN ',
      'RSA',
      'EC',
      'DSA',
      'OPENSSH',
      ' PRIVATE KEY-----\n',
      '-----END ',
      'Proc-Type: 4,ENCRYPTED\n',
      'DEK-Info: AES-128-CBC,00\n',
      'AAAA',
    ]);
    await holdsInTime(
      fc.asyncProperty(fc.oneof(anyChangeOf(Buffer.from(KEY)), wrapped, pem, anyBytes()), async (bytes) => {
        writeFileSync(file, bytes);
        const read = await readKeyFile(file, async () => 'secret');
        const opened = 'problem' in read ? read : await read.open();
        if ('problem' in opened) assert.type(opened.problem, 'string');
      }),
    );
  }),
);

ssh('key file without a key in it is told as that', () =>
  withFolder(async (folder) => {
    const file = join(folder, 'id_ed25519');
    const words = ['none', 'none', ''].map((word) =>
      Buffer.concat([Buffer.of(0, 0, 0, word.length), Buffer.from(word)]),
    );
    const body = Buffer.concat([Buffer.from('openssh-key-v1\0'), ...words, Buffer.alloc(4)]).toString(
      'base64',
    );
    writeFileSync(file, `-----BEGIN OPENSSH PRIVATE KEY-----\n${body}\n-----END OPENSSH PRIVATE KEY-----\n`);
    assert.equal(await readKeyFile(file, async () => null), { problem: 'it holds no key' });
  }),
);

ssh.run();

const typed = suite('whatever is typed');

typed('as a remote is a place that is written in one way, or refused without telling a password', () => {
  const parts = [
    'sftp',
    'https',
    'webdavs',
    'file',
    'http',
    'constructor',
    '://',
    'user',
    '@',
    'host',
    ':',
    '22',
    '/',
    '~',
    '..',
    '%2F',
    '%',
    '[::1]',
    '?',
    '#',
    'folder',
    '-',
  ];
  const anyUrl = fc.oneof(
    fc.array(fc.constantFrom(...parts), { maxLength: 12 }).map((all) => all.join('')),
    fc.string({ unit: 'binary' }),
    fc.webUrl(),
    anyChangeOf(Buffer.from('sftp://user@host:22/~/folder')).map(String),
  );
  holds(
    fc.property(anyUrl, (text) => {
      const location = readOrRefuse(() => parseRemoteUrl(text, '/cwd'), UsageError);
      if (location === null) return;
      assert.ok(['sftp', 'webdav', 'local'].includes(location.kind));
      assert.equal(parseRemoteUrl(formatRemoteUrl(location), '/elsewhere'), location);
    }),
    2000,
  );
});

typed('as a size or a duration is a number of bytes or milliseconds, or refused', () => {
  const parts = [
    '1',
    '0',
    '9'.repeat(30),
    '.',
    '5',
    'k',
    'B',
    'iB',
    'M',
    'd',
    'h',
    'ms',
    ' ',
    '-',
    'e3',
    'constructor',
  ];
  const anyAmount = fc.array(fc.constantFrom(...parts), { maxLength: 6 }).map((all) => all.join(''));
  holds(
    fc.property(fc.oneof(anyAmount, fc.string()), (text) => {
      for (const parse of [parseBytes, parseDuration]) {
        const value = readOrRefuse(() => parse(text, 'it'), UsageError);
        if (value !== null) assert.ok(Number.isSafeInteger(value) && value >= 0);
      }
    }),
    2000,
  );
});

typed.run();
