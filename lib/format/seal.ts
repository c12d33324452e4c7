import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';

const ALGORITHM = 'aes-256-gcm';
export const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const STEP_BYTES = 64 * 1024;

/** @returns a counter as a nonce of 96 bits, big endian */
export function nonceOf(counter: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUInt32BE(counter, NONCE_BYTES - 4);
  return nonce;
}

/** 2^96 − 1: no frame can have it, since frames are counted in 32 bits. */
export const LAST_NONCE: Uint8Array = Buffer.alloc(NONCE_BYTES, 0xff);

/**
 * Encrypts with AES-256-GCM straight into `target` at `offset`.
 * *Shape*: ciphertext, as long as the plaintext, then the tag of 16 bytes.
 * @returns how many bytes were written
 */
export function sealInto(
  target: Buffer,
  offset: number,
  key: KeyObject,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): number {
  const cipher = createCipheriv(ALGORITHM, key, nonce);
  cipher.setAAD(aad);
  // Node has no cipher that writes into a given buffer. Piece by piece its own stay in the processor's cache. (`copy`, as `set`
  // takes half as long again where threads share the target.)
  for (let at = 0; at < plaintext.length; at += STEP_BYTES) {
    cipher.update(plaintext.subarray(at, at + STEP_BYTES)).copy(target, offset + at);
  }
  cipher.final();
  target.set(cipher.getAuthTag(), offset + plaintext.length);
  return plaintext.length + TAG_BYTES;
}

/** @returns the plaintext, or `null` when the tag does not fit: wrong key, nonce, AAD, or changed bytes */
export function unseal(
  key: KeyObject,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Buffer | null {
  const size = sealed.length - TAG_BYTES;
  if (size < 0) return null;
  const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(size));
  const plaintext = decipher.update(sealed.subarray(0, size));
  try {
    decipher.final();
  } catch {
    return null; // `final` fails for one reason only: the tag
  }
  return plaintext;
}
