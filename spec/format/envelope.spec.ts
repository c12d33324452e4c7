import { hash } from 'node:crypto';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError } from '../../lib/errors.ts';
import {
  contentName,
  HEADER_BYTES,
  MAX_OBJECT_BYTES,
  openObject,
  sealObject,
} from '../../lib/format/envelope.ts';
import { generateMasterKey, repositoryKeys } from '../../lib/format/keys.ts';
import { assertThrows, seededBytes, testKeys, withFlippedBit } from './fixtures.ts';

const NAME = 'backups/20251107_142030';

const objects = suite('a sealed object');

objects('opens to what was sealed, at every size', () => {
  for (const size of [0, 1, 4095, 4096, 4097, 1_000_000]) {
    const plaintext = seededBytes(size, 'object');
    const sealed = sealObject(testKeys(), 'backup', NAME, plaintext);
    assert.is(sealed.length, 41 + size + 16);
    assert.equal(openObject(testKeys(), 'backup', NAME, sealed), plaintext);
  }
});

objects('begins with magic, kind and salt', () => {
  const salt = Buffer.alloc(32, 5);
  const sealed = sealObject(testKeys(), 'checkpoint', NAME, Buffer.of(1, 2, 3), salt);
  assert.equal(sealed.subarray(0, HEADER_BYTES), Buffer.concat([Buffer.from('SKYLOCK1\x04'), salt]));
});

objects('is another one each time, since its salt is', () => {
  const [first, second] = [1, 2].map(() => sealObject(testKeys(), 'index', '', Buffer.from('same')));
  assert.not.equal(first!.subarray(9, 41), second!.subarray(9, 41));
  assert.not.equal(first!.subarray(41), second!.subarray(41));
});

objects('opens under no other kind, name or master key', () => {
  const sealed = sealObject(testKeys(), 'backup', NAME, Buffer.from('plaintext'));
  assertThrows(() => openObject(testKeys(), 'checkpoint', NAME, sealed), DamagedError, /no checkpoint/);
  assertThrows(() => openObject(testKeys(), 'backup', 'backups/20251107_142031', sealed), DamagedError);
  const strangers = repositoryKeys(generateMasterKey());
  assertThrows(() => openObject(strangers, 'backup', NAME, sealed), DamagedError, /backups\/20251107_142030/);
});

objects('of one kind does not open as another when the kind is changed in place', () => {
  const sealed = sealObject(testKeys(), 'backup', NAME, Buffer.from('plaintext'));
  sealed[8] = 4;
  assertThrows(() => openObject(testKeys(), 'checkpoint', NAME, sealed), DamagedError, /changed/);
});

objects('that is an index needs no name, its name being the SHA-256 of its bytes', () => {
  const sealed = sealObject(testKeys(), 'index', '', Buffer.from('plaintext'));
  const name = contentName(sealed);
  assert.is(name, hash('sha256', sealed, 'hex'));
  assert.equal(openObject(testKeys(), 'index', `index/${name}`, sealed), Buffer.from('plaintext'));
});

objects('does not open with any byte changed or missing', () => {
  const sealed = sealObject(testKeys(), 'backup', NAME, Buffer.from('a little plaintext'));
  for (let position = 0; position < sealed.length; position += 1) {
    assertThrows(
      () => openObject(testKeys(), 'backup', NAME, withFlippedBit(sealed, position)),
      DamagedError,
    );
    assertThrows(() => openObject(testKeys(), 'backup', NAME, sealed.subarray(0, position)), DamagedError);
  }
  assertThrows(
    () => openObject(testKeys(), 'backup', NAME, Buffer.concat([sealed, Buffer.of(0)])),
    DamagedError,
  );
});

objects('is never more than the format allows', () => {
  const tooMuch = Buffer.alloc(MAX_OBJECT_BYTES - HEADER_BYTES - 16 + 1);
  assert.throws(() => sealObject(testKeys(), 'backup', NAME, tooMuch), RangeError);
  assertThrows(
    () => openObject(testKeys(), 'backup', NAME, Buffer.alloc(MAX_OBJECT_BYTES + 1)),
    DamagedError,
    /too large/,
  );
});

objects('is not made out of bytes at random', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, begun) => {
      const object = begun ? Buffer.concat([Buffer.from('SKYLOCK1\x02'), bytes]) : bytes;
      assertThrows(() => openObject(testKeys(), 'index', '', object), DamagedError);
    }),
  );
});

objects.run();
