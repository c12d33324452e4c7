import { createHmac, createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';

export const KEY_BYTES = 32;
export const CHUNK_ID_BYTES = 32;
const GEAR_ENTRIES = 256;

/** The 32 random bytes every other key of a repository comes from. As a key object it prints without its bytes. */
export type MasterKey = KeyObject;

/** What is derived once for a repository; each pack and object derives its own key beside. */
export interface RepositoryKeys {
  readonly master: MasterKey;
  readonly chunkId: KeyObject;
  readonly config: KeyObject;
  /** 256 × 32 bits for the chunker. Secret: with it, the lengths of known files' chunks could be foretold. */
  readonly gear: Uint32Array;
}

export function generateMasterKey(): MasterKey {
  return createSecretKey(randomBytes(KEY_BYTES));
}

/** @param bytes 32 of them; the caller may wipe them afterwards */
export function masterKeyFrom(bytes: Uint8Array): MasterKey {
  if (bytes.length !== KEY_BYTES) throw new RangeError(`a master key has ${KEY_BYTES} bytes`);
  return createSecretKey(bytes);
}

/**
 * HKDF-SHA256 with info `"skylock/1/" ‖ label`.
 * @param salt may be empty
 * @see RFC 5869
 */
export function deriveBytes(
  secret: KeyObject | Uint8Array,
  label: string,
  salt: string | Uint8Array,
  length: number,
): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, `skylock/1/${label}`, length));
}

/** `K(label, salt)` of the format: 32 bytes of {@link deriveBytes}, as a key object because ciphers start faster on one. */
export function deriveKey(
  secret: KeyObject | Uint8Array,
  label: string,
  salt: string | Uint8Array,
): KeyObject {
  return createSecretKey(deriveBytes(secret, label, salt, KEY_BYTES));
}

export function repositoryKeys(master: MasterKey): RepositoryKeys {
  const gearBytes = deriveBytes(master, 'chunker', '', GEAR_ENTRIES * 4);
  return {
    master,
    chunkId: deriveKey(master, 'chunk-id', ''),
    config: deriveKey(master, 'config', ''),
    gear: Uint32Array.from({ length: GEAR_ENTRIES }, (_, index) => gearBytes.readUInt32BE(index * 4)),
  };
}

/** The name of a run of bytes: HMAC-SHA-256, so that nobody without the key can tell whether a known file is stored. */
export function chunkId(keys: RepositoryKeys, bytes: Uint8Array): Buffer {
  return createHmac('sha256', keys.chunkId).update(bytes).digest();
}
