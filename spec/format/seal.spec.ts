import { createSecretKey } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LAST_NONCE, nonceOf, sealInto, unseal } from '../../lib/format/seal.ts';
import { seededBytes, withFlippedBit } from './fixtures.ts';

const ZERO_KEY = createSecretKey(Buffer.alloc(32));
const EMPTY = Buffer.alloc(0);

function seal(plaintext: Uint8Array, aad: Uint8Array, counter = 0): Buffer {
  const sealed = Buffer.alloc(plaintext.length + 16);
  assert.is(sealInto(sealed, 0, ZERO_KEY, nonceOf(counter), aad, plaintext), sealed.length);
  return sealed;
}

const sealing = suite('sealing');

sealing('gives the known answers of McGrew and Viega, test cases 13 and 14', () => {
  assert.is(seal(EMPTY, EMPTY).toString('hex'), '530f8afbc74536b9a963b4f1c4cb738b');
  assert.is(
    seal(Buffer.alloc(16), EMPTY).toString('hex'),
    'cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919',
  );
});

sealing('counts nonces in 96 bits, big endian', () => {
  assert.is(nonceOf(0).toString('hex'), '000000000000000000000000');
  assert.is(nonceOf(1).toString('hex'), '000000000000000000000001');
  assert.is(nonceOf(0x01020304).toString('hex'), '000000000000000001020304');
  assert.is(Buffer.from(LAST_NONCE).toString('hex'), 'ffffffffffffffffffffffff');
});

sealing('writes into the middle of a buffer and nowhere else', () => {
  const target = Buffer.alloc(100, 0xaa);
  const written = sealInto(target, 10, ZERO_KEY, nonceOf(0), EMPTY, Buffer.alloc(16));
  assert.is(written, 32);
  assert.equal(target.subarray(0, 10), Buffer.alloc(10, 0xaa));
  assert.equal(target.subarray(10, 42), seal(Buffer.alloc(16), EMPTY));
  assert.equal(target.subarray(42), Buffer.alloc(58, 0xaa));
});

sealing('opens again, at every size', () => {
  for (const size of [0, 1, 15, 16, 17, 65_535, 65_536, 65_537]) {
    const plaintext = seededBytes(size, 'sealing');
    assert.equal(unseal(ZERO_KEY, nonceOf(3), Buffer.of(1), seal(plaintext, Buffer.of(1), 3)), plaintext);
  }
});

sealing('does not open with any bit changed, another key, nonce or AAD, or a part of it', () => {
  const aad = Buffer.from('aad');
  const sealed = seal(Buffer.from('twenty bytes of text'), aad);
  for (let bit = 0; bit < sealed.length * 8; bit += 1) {
    assert.is(unseal(ZERO_KEY, nonceOf(0), aad, withFlippedBit(sealed, bit >> 3, bit % 8)), null);
  }
  assert.is(unseal(createSecretKey(Buffer.alloc(32, 1)), nonceOf(0), aad, sealed), null);
  assert.is(unseal(ZERO_KEY, nonceOf(1), aad, sealed), null);
  assert.is(unseal(ZERO_KEY, nonceOf(0), EMPTY, sealed), null);
  for (let length = 0; length < sealed.length; length += 1) {
    assert.is(unseal(ZERO_KEY, nonceOf(0), aad, sealed.subarray(0, length)), null);
  }
});

sealing.run();
