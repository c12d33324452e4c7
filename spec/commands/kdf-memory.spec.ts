import { readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kdfMemory } from '../../lib/commands/kdf-memory.ts';
import { KDF_PARAMETERS, type Kdf } from '../../lib/format/key-file.ts';
import { withFolder } from '../helpers/temporary.ts';

const KDF: Kdf = { parameters: KDF_PARAMETERS, salt: Buffer.alloc(32, 7) };
const URL = 'sftp://host/backups';

const memory = suite('how a password was stretched');

memory('is remembered for each repository, by nobody but its owner', () =>
  withFolder(async (folder) => {
    const cache = join(folder, 'cache');
    assert.is(kdfMemory(cache, URL).recall(), null);
    kdfMemory(cache, URL).keep(KDF);
    assert.equal(kdfMemory(cache, URL).recall(), KDF);
    assert.is(kdfMemory(cache, `${URL}/other`).recall(), null);
    const [name = ''] = readdirSync(join(cache, 'keys'));
    assert.not.match(name, 'host');
    assert.equal(
      [cache, join(cache, 'keys'), join(cache, 'keys', name)].map((path) => statSync(path).mode & 0o777),
      [0o700, 0o700, 0o600],
    );
    const other = { ...KDF, salt: Buffer.alloc(32, 8) };
    kdfMemory(cache, URL).keep(other);
    assert.equal(kdfMemory(cache, URL).recall(), other);
  }),
);

memory('that is damaged, or asks for more than is sound, is not believed', () =>
  withFolder(async (folder) => {
    kdfMemory(folder, URL).keep(KDF);
    const file = join(folder, 'keys', readdirSync(join(folder, 'keys'))[0]!);
    const dear = {
      name: 'argon2id',
      memory_kib: 2 ** 30,
      passes: 3,
      lanes: 4,
      salt: KDF.salt.toString('base64'),
    };
    writeFileSync(file, JSON.stringify(dear));
    assert.is(kdfMemory(folder, URL).recall(), null);
    truncateSync(file, 20);
    assert.is(kdfMemory(folder, URL).recall(), null);
    kdfMemory(folder, URL).keep(KDF);
    assert.equal(kdfMemory(folder, URL).recall(), KDF);
  }),
);

memory('is forgotten where there is no place for it', () =>
  withFolder(async (folder) => {
    writeFileSync(join(folder, 'cache'), 'a file where a folder ought to be');
    kdfMemory(join(folder, 'cache'), URL).keep(KDF);
    assert.is(kdfMemory(join(folder, 'cache'), URL).recall(), null);
  }),
);

memory.run();
