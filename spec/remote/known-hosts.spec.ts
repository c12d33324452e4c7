import { execFileSync } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  addKnownHost,
  checkHostKey,
  fingerprint,
  hostLabel,
  keyType,
  knownAlgorithms,
  readKnownHosts,
} from '../../lib/remote/sftp/known-hosts.ts';
import { skipTest } from '../helpers/skip.ts';
import { withFolder } from '../helpers/temporary.ts';

const ED1 = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f';
const ED2 = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP8BAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f';
const EC =
  'ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=';
const DSS = `ssh-dss ${Buffer.concat([Buffer.from([0, 0, 0, 7]), Buffer.from('ssh-dss12345')]).toString('base64')}`;

const key = (text: string) => Buffer.from(text.split(' ')[1] ?? '', 'base64');
const plain = suite('a known_hosts file');

const ROWS: [title: string, text: string, label: string, shown: string, state: string][] = [
  ['a name', `box ${ED1}`, 'box', ED1, 'known'],
  ['a name in other letters', `BOX ${ED1}`, hostLabel('Box', 22), ED1, 'known'],
  ['no line', '', 'box', ED1, 'unknown'],
  ['another host', `bo ${ED1}\nboxx ${ED1}`, 'box', ED1, 'unknown'],
  ['a list', `a,box,1.2.3.4 ${ED1} a remark`, 'box', ED1, 'known'],
  ['an address', `a,box,1.2.3.4 ${ED1}`, '1.2.3.4', ED1, 'known'],
  ['a star', `*.example.org ${ED1}`, 'x.example.org', ED1, 'known'],
  ['a star and a dot', `*.example.org ${ED1}`, 'xexample.org', ED1, 'unknown'],
  ['a question mark', `bo? ${ED1}`, 'box', ED1, 'known'],
  ['a name that is ruled out', `*,!box ${ED1}`, 'box', ED1, 'unknown'],
  ['a name beside the one ruled out', `*,!box ${ED1}`, 'fox', ED1, 'known'],
  ['a port', `[box]:2222 ${ED1}`, hostLabel('box', 2222), ED1, 'known'],
  ['another port', `[box]:2222 ${ED1}`, hostLabel('box', 2223), ED1, 'unknown'],
  ['port 22 for another port', `box ${ED1}`, hostLabel('box', 2222), ED1, 'known'],
  ['another key on port 22', `box ${ED2}`, hostLabel('box', 2222), ED1, 'unknown'],
  ['another key', `box ${ED2}`, 'box', ED1, 'changed'],
  ['another key beside the right one', `box ${ED2}\nbox ${ED1}`, 'box', ED1, 'known'],
  ['a key of another type', `box ${EC}`, 'box', ED1, 'changed'],
  ['a key of a type nobody can check', `box ${DSS}`, 'box', ED1, 'unknown'],
  ['a revoked key', `@revoked * ${ED1}\nbox ${ED1}`, 'box', ED1, 'revoked'],
  ['a revoked other key', `@revoked * ${ED2}\nbox ${ED1}`, 'box', ED1, 'known'],
  ['only a revoked other key', `@revoked * ${ED2}`, 'box', ED1, 'unknown'],
  ['an authority', `@cert-authority * ${ED1}`, 'box', ED1, 'unknown'],
  ['a remark', `# box ${ED1}\n#box ${ED1}`, 'box', ED1, 'unknown'],
  [
    'nonsense',
    `box\nbox ssh-ed25519\nbox ssh-ed25519 !!\n\0\nbox ${EC.replace('256 ', '384 ')}`,
    'box',
    ED1,
    'unknown',
  ],
  ['a line after nonsense', `box ssh-ed25519 AAAA\r\nbox ${ED1}\r\n`, 'box', ED1, 'known'],
];
for (const [title, text, label, shown, state] of ROWS) {
  plain(`with ${title}: ${state}`, () =>
    withFile(text, async (file) => {
      assert.is(checkHostKey(readKnownHosts([file]), label, key(shown)).state, state);
    }),
  );
}

plain('names the line that expects another key', () =>
  withFile(`a ${ED1}\n\n# x\nbox ${ED2}\nbox ${EC}\n`, async (file) => {
    const verdict = checkHostKey(readKnownHosts(['/no/such/file', file]), 'box', key(ED1));
    assert.is(verdict.state, 'changed');
    if (verdict.state === 'changed') assert.equal([verdict.entry.file, verdict.entry.line], [file, 4]);
  }),
);

plain('says which kinds of key to ask the server for', () =>
  withFile(`box ${EC}\n@revoked box ${ED1}\nfox ${ED1}\n`, async (file) => {
    const known = readKnownHosts([file]);
    assert.equal(knownAlgorithms(known, 'box'), ['ecdsa-sha2-nistp256']);
    assert.equal(knownAlgorithms(known, 'cox'), []);
  }),
);

plain('hashed by ssh-keygen is understood, with ports too', () =>
  withFile(`box,1.2.3.4 ${ED1}\n[box]:2222 ${ED2}\n`, async (file) => {
    if (!runs('ssh-keygen', ['-H', '-f', file]))
      return skipTest('hashed known_hosts', 'there is no ssh-keygen');
    const text = await readFile(file, 'utf8');
    assert.not.match(text, /box/);
    const known = readKnownHosts([file]);
    for (const label of ['box', '1.2.3.4']) assert.is(checkHostKey(known, label, key(ED1)).state, 'known');
    assert.is(checkHostKey(known, 'box', key(ED2)).state, 'changed');
    assert.is(checkHostKey(known, '[box]:2222', key(ED2)).state, 'known');
    assert.is(checkHostKey(known, 'fox', key(ED1)).state, 'unknown');
    assert.equal(knownAlgorithms(known, 'box'), ['ssh-ed25519']);
  }),
);

plain('is made for the first key (0600 in 0700), and added to, also after an unfinished line', () =>
  withFolder(async (folder) => {
    const file = join(folder, '.ssh', 'known_hosts');
    addKnownHost(file, 'box', key(ED1));
    assert.is((await stat(file)).mode & 0o777, 0o600);
    assert.is((await stat(join(folder, '.ssh'))).mode & 0o777, 0o700);
    assert.is(await readFile(file, 'utf8'), `box ${ED1}\n`);
    await writeFile(file, `other ${ED2}`);
    addKnownHost(file, '[box]:2222', key(EC));
    assert.is(await readFile(file, 'utf8'), `other ${ED2}\n[box]:2222 ${EC}\n`);
    assert.is(checkHostKey(readKnownHosts([file]), '[box]:2222', key(EC)).state, 'known');
  }),
);

plain.run();

const keys = suite('a host key');

keys('has the fingerprint ssh-keygen prints', () =>
  withFile(`${ED1}\n`, async (file) => {
    if (!runs('ssh-keygen', ['-l', '-f', file])) return skipTest('fingerprints', 'there is no ssh-keygen');
    const printed = execFileSync('ssh-keygen', ['-l', '-f', file], { encoding: 'utf8' });
    assert.ok(printed.includes(fingerprint(key(ED1))));
  }),
);

keys('says its type, or nothing when it is cut off', () => {
  assert.is(keyType(key(EC)), 'ecdsa-sha2-nistp256');
  assert.is(keyType(Buffer.alloc(3)), '');
});

keys.run();

async function withFile(text: string, use: (file: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const file = join(folder, 'known_hosts');
    await writeFile(file, text);
    await use(file);
  });
}

function runs(program: string, args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
