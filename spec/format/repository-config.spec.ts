import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError, SkylockError } from '../../lib/errors.ts';
import { DATA_CHUNK_SIZES, MANIFEST_CHUNK_SIZES } from '../../lib/format/chunker.ts';
import { generateMasterKey, repositoryKeys } from '../../lib/format/keys.ts';
import {
  encodeRepositoryConfig,
  MAX_CONFIG_BYTES,
  parseRepositoryConfig,
  type RepositoryConfig,
  verifyRepositoryConfig,
} from '../../lib/format/repository-config.ts';
import { assertOnlySkylockErrors, assertThrows, type Json, testKeys, withFlippedBit } from './fixtures.ts';

const keys = testKeys();
const CONFIG: RepositoryConfig = {
  repositoryId: '3e1f7a52-9c0d-4b6e-8a21-5d4c3b2a1f00',
  chunker: DATA_CHUNK_SIZES,
  manifestChunker: MANIFEST_CHUNK_SIZES,
};

/** The config's JSON after `change`, as bytes. */
function changed(change: (json: Json) => void): Buffer {
  const json = JSON.parse(encodeRepositoryConfig(CONFIG, keys).toString());
  change(json);
  return Buffer.from(JSON.stringify(json));
}

const configs = suite('a repository config');

configs('is read and verified as it was written', () => {
  const config = parseRepositoryConfig(encodeRepositoryConfig(CONFIG, keys));
  verifyRepositoryConfig(config, keys);
  const { mac, ...rest } = config;
  assert.equal(rest, CONFIG);
  assert.is(mac.length, 32);
});

configs('does not verify with other keys', () => {
  const config = parseRepositoryConfig(encodeRepositoryConfig(CONFIG, keys));
  assertThrows(() => verifyRepositoryConfig(config, repositoryKeys(generateMasterKey())), DamagedError);
});

configs('with any field changed does not verify', () => {
  for (const change of [
    (json: Json) => (json.repository_id = json.repository_id.replace('3', '4')),
    (json: Json) => (json.chunker.min += 1),
    (json: Json) => (json.chunker.avg *= 2),
    (json: Json) => (json.chunker.max -= 1),
    (json: Json) => (json.manifest_chunker.min += 1),
    (json: Json) => (json.manifest_chunker.avg *= 2),
    (json: Json) => (json.manifest_chunker.max -= 1),
    (json: Json) => ([json.chunker, json.manifest_chunker] = [json.manifest_chunker, json.chunker]),
    (json: Json) => (json.mac = Buffer.alloc(32).toString('base64')),
    (json: Json) => (json.mac = Buffer.alloc(31).toString('base64')),
    (json: Json) => (json.mac = ''),
  ]) {
    const config = parseRepositoryConfig(changed(change));
    assertThrows(() => verifyRepositoryConfig(config, keys), DamagedError, /has been changed/);
  }
});

configs('of a newer format says that a newer Skylock is needed, whatever else it holds', () => {
  for (const newer of ['{"format":2}', '{"format":9007199254740991,"chunker":"other"}']) {
    assert.throws(
      () => parseRepositoryConfig(Buffer.from(newer)),
      (error: unknown) => {
        assert.is((error as Error).constructor, SkylockError);
        assert.match((error as SkylockError).message, /^open repository: it has format \d+/);
        assert.match((error as SkylockError).hints.join(), /newer Skylock/);
        return true;
      },
    );
  }
});

configs('with a value that makes no sense is damaged', () => {
  for (const change of [
    (json: Json) => delete json.format,
    (json: Json) => (json.format = 0),
    (json: Json) => (json.format = '1'),
    (json: Json) => (json.format = 1.5),
    (json: Json) => delete json.repository_id,
    (json: Json) => (json.repository_id = json.repository_id.toUpperCase()),
    (json: Json) => (json.repository_id = '../../etc'),
    (json: Json) => delete json.chunker,
    (json: Json) => (json.chunker = null),
    (json: Json) => (json.chunker = [1, 2, 3]),
    (json: Json) => (json.chunker.min = 0),
    (json: Json) => (json.chunker.min = 63),
    (json: Json) => (json.chunker.min = json.chunker.avg + 1),
    (json: Json) => (json.chunker.avg = 1024 * 1024 + 1),
    (json: Json) => (json.chunker.avg = 512),
    (json: Json) => (json.chunker.max = json.chunker.avg - 1),
    (json: Json) => (json.chunker.max = 16 * 1024 * 1024 + 1),
    (json: Json) => (json.chunker.max = 1e300),
    (json: Json) => (json.chunker.extra = 1),
    (json: Json) => delete json.mac,
    (json: Json) => (json.mac = 'not base64!'),
    (json: Json) => (json.mac = json.mac.replace('=', '')),
    (json: Json) => (json.extra = true),
  ]) {
    assertThrows(() => parseRepositoryConfig(changed(change)), DamagedError, /skylock\.json/);
  }
  for (const text of ['', 'null', '[]', '"text"', '{', '<html>', '\ufeff{}']) {
    assertThrows(() => parseRepositoryConfig(Buffer.from(text)), DamagedError);
  }
  assertThrows(() => parseRepositoryConfig(Buffer.of(0x7b, 0xff, 0x7d)), DamagedError, /UTF-8/);
  assertThrows(
    () => parseRepositoryConfig(Buffer.alloc(MAX_CONFIG_BYTES + 1, ' ')),
    DamagedError,
    /too large/,
  );
});

configs('out of any bytes is damaged and nothing worse', () => {
  const bytes = encodeRepositoryConfig(CONFIG, keys);
  for (let position = 0; position < bytes.length; position += 1) {
    assertOnlySkylockErrors(() => parseRepositoryConfig(withFlippedBit(bytes, position)));
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (random) =>
      assertThrows(() => parseRepositoryConfig(random), DamagedError),
    ),
  );
  fc.assert(
    fc.property(fc.json(), (json) => assertOnlySkylockErrors(() => parseRepositoryConfig(Buffer.from(json)))),
  );
});

configs.run();
