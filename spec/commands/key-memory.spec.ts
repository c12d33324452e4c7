import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { keyMemory } from '../../lib/commands/key-memory.ts';
import { KDF_PARAMETERS, type KeyName } from '../../lib/format/key-file.ts';
import { withFolder } from '../helpers/temporary.ts';

const KEY: KeyName = {
  name: 'keys/0123456789abcdef.json',
  kdf: { parameters: KDF_PARAMETERS, salt: Buffer.alloc(32, 7) },
};
const URL = 'sftp://host/backups';

const memory = suite('which key file opened a repository');

memory('is remembered for each repository, by nobody but its owner', () =>
  withFolder(async (folder) => {
    const cache = join(folder, 'cache');
    assert.is(keyMemory(cache, URL).recall(), null);
    keyMemory(cache, URL).keep(KEY);
    assert.equal(keyMemory(cache, URL).recall(), KEY);
    assert.is(keyMemory(cache, `${URL}/other`).recall(), null);
    const [name = ''] = readdirSync(join(cache, 'keys'));
    assert.not.match(name, 'host');
    assert.equal(
      [cache, join(cache, 'keys'), join(cache, 'keys', name)].map((path) => statSync(path).mode & 0o777),
      [0o700, 0o700, 0o600],
    );
    const other = { name: 'keys/0.json', kdf: { ...KEY.kdf, salt: Buffer.alloc(32, 8) } };
    keyMemory(cache, URL).keep(other);
    assert.equal(keyMemory(cache, URL).recall(), other);
  }),
);

memory('that is damaged, or asks for more than is sound, is not believed', () =>
  withFolder(async (folder) => {
    keyMemory(folder, URL).keep(KEY);
    const file = join(folder, 'keys', readdirSync(join(folder, 'keys'))[0]!);
    const kept = JSON.parse(readFileSync(file, 'utf8'));
    for (const wrong of [
      { ...kept, name: '../packs/x.json' },
      { ...kept, kdf: { ...kept.kdf, memory_kib: 2 ** 30 } },
      { ...kept, kdf: { ...kept.kdf, passes: KDF_PARAMETERS.passes + 1 } },
      { ...kept, kdf: null },
    ]) {
      writeFileSync(file, JSON.stringify(wrong));
      assert.is(keyMemory(folder, URL).recall(), null);
    }
    writeFileSync(file, JSON.stringify(kept));
    assert.equal(keyMemory(folder, URL).recall(), KEY);
    truncateSync(file, 20);
    assert.is(keyMemory(folder, URL).recall(), null);
    keyMemory(folder, URL).keep(KEY);
    assert.equal(keyMemory(folder, URL).recall(), KEY);
  }),
);

memory('is not waited for where a pipe lies in its place, nor read where it is large', () =>
  withFolder(async (folder) => {
    keyMemory(folder, URL).keep(KEY);
    const file = join(folder, 'keys', readdirSync(join(folder, 'keys'))[0]!);
    writeFileSync(file, readFileSync(file, 'utf8') + ' '.repeat(5000));
    assert.is(keyMemory(folder, URL).recall(), null);
    rmSync(file);
    execFileSync('mkfifo', [file]);
    assert.is(keyMemory(folder, URL).recall(), null);
  }),
);

memory('is forgotten where there is no place for it', () =>
  withFolder(async (folder) => {
    writeFileSync(join(folder, 'cache'), 'a file where a folder ought to be');
    keyMemory(join(folder, 'cache'), URL).keep(KEY);
    assert.is(keyMemory(join(folder, 'cache'), URL).recall(), null);
  }),
);

memory.run();
