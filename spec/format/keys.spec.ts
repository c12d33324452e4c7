import { createHmac } from 'node:crypto';
import { inspect } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  chunkId,
  deriveBytes,
  deriveKey,
  generateMasterKey,
  masterKeyFrom,
  repositoryKeys,
} from '../../lib/format/keys.ts';
import { testKeys, testMaster } from './fixtures.ts';

const hmac = (key: Uint8Array, ...parts: Uint8Array[]) =>
  createHmac('sha256', key).update(Buffer.concat(parts)).digest();

/** RFC 5869, sections 2.2 and 2.3, written out for up to two blocks. */
function hkdf(secret: Uint8Array, salt: Uint8Array, info: Uint8Array): Buffer {
  const pseudorandom = hmac(salt.length === 0 ? Buffer.alloc(32) : salt, secret);
  const first = hmac(pseudorandom, info, Buffer.of(1));
  return Buffer.concat([first, hmac(pseudorandom, first, info, Buffer.of(2))]);
}

const derivedKeys = suite('derived keys');

derivedKeys('are HKDF-SHA256 with the label in the info', () => {
  const master = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
  for (const salt of [Buffer.alloc(0), Buffer.alloc(32, 7)]) {
    const expected = hkdf(master, salt, Buffer.from('skylock/1/pack'));
    assert.equal(deriveBytes(testMaster(), 'pack', salt, 64), expected);
    assert.equal(deriveKey(testMaster(), 'pack', salt).export(), expected.subarray(0, 32));
  }
});

derivedKeys('differ by label, by salt and by master key', () => {
  const other = generateMasterKey();
  const all = [
    deriveBytes(testMaster(), 'pack', 'a', 32),
    deriveBytes(testMaster(), 'object', 'a', 32),
    deriveBytes(testMaster(), 'pack', 'b', 32),
    deriveBytes(other, 'pack', 'a', 32),
  ];
  assert.is(new Set(all.map((bytes) => bytes.toString('hex'))).size, all.length);
});

derivedKeys('give a gear table of 256 numbers, read big endian', () => {
  const { gear } = testKeys();
  const bytes = deriveBytes(testMaster(), 'chunker', '', 1024);
  assert.is(gear.length, 256);
  assert.is(gear[0], bytes.readUInt32BE(0));
  assert.is(gear[255], bytes.readUInt32BE(1020));
  assert.is(new Set(gear).size, 256);
});

derivedKeys.run();

const masterKeys = suite('a master key');

masterKeys('is 32 bytes, new each time', () => {
  assert.is(generateMasterKey().export().length, 32);
  assert.not.equal(generateMasterKey().export(), generateMasterKey().export());
  for (const length of [0, 31, 33]) assert.throws(() => masterKeyFrom(new Uint8Array(length)), /32 bytes/);
});

masterKeys('prints without its bytes', () => {
  const secret = Buffer.alloc(32, 'S');
  assert.not.match(inspect(repositoryKeys(masterKeyFrom(secret)).master), /S{8}|53 53|5353/);
});

masterKeys.run();

const chunkIds = suite('a chunk id');

chunkIds('is HMAC-SHA-256 under the chunk-id key', () => {
  const key = deriveBytes(testMaster(), 'chunk-id', '', 32);
  for (const length of [0, 1, 63, 64, 65, 5000]) {
    const bytes = Buffer.alloc(length, 9);
    assert.equal(chunkId(testKeys(), bytes), hmac(key, bytes));
  }
});

chunkIds.run();
