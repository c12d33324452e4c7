import { hash, randomBytes } from 'node:crypto';
import { DamagedError } from '../errors.ts';
import { deriveKey, type RepositoryKeys } from './keys.ts';
import { nonceOf, sealInto, TAG_BYTES, unseal } from './seal.ts';

export const MAGIC: Uint8Array = Buffer.from('SKYLOCK1', 'ascii');
export const SALT_BYTES = 32;
/** Magic, kind, salt. */
export const HEADER_BYTES = MAGIC.length + 1 + SALT_BYTES;

export const KINDS = { pack: 1, index: 2, backup: 3, checkpoint: 4, archive: 5 } as const;
export type Kind = keyof typeof KINDS;
/** Kinds that are one sealed message; packs and archives have many. */
export type SealedKind = 'index' | 'backup' | 'checkpoint';

/** No object of format 1 is larger, so nothing larger is looked at. */
export const MAX_OBJECT_BYTES = 64 * 1024 * 1024;

/** *Shape*: `"SKYLOCK1"`, kind (1 byte), salt (32 bytes). */
export function encodeHeader(kind: Kind, salt: Uint8Array): Buffer {
  return Buffer.concat([MAGIC, Buffer.of(KINDS[kind]), salt]);
}

/**
 * @param bytes begin with the header; more may follow
 * @returns the salt
 * @throws DamagedError unless it is the header of an object of this kind
 */
export function decodeHeader(kind: Kind, bytes: Uint8Array, name: string): Uint8Array {
  if (bytes.length < HEADER_BYTES) throw new DamagedError(`open ${name}: it ends inside its header`);
  if (Buffer.compare(bytes.subarray(0, MAGIC.length), MAGIC) !== 0) {
    throw new DamagedError(`open ${name}: it is no object of format 1`);
  }
  if (bytes[MAGIC.length] !== KINDS[kind]) throw new DamagedError(`open ${name}: it is no ${kind}`);
  return bytes.subarray(MAGIC.length + 1, HEADER_BYTES);
}

/**
 * *Shape*: header, ciphertext, tag of 16 bytes.
 * @param name the object's name on the remote, which opening must repeat; it is not used for an index, which is
 * named by the SHA-256 of these very bytes
 * @param salt 32 bytes nobody has used before: a repeated salt gives both plaintexts away
 */
export function sealObject(
  keys: RepositoryKeys,
  kind: SealedKind,
  name: string,
  plaintext: Uint8Array,
  salt: Uint8Array = randomBytes(SALT_BYTES),
): Buffer {
  const sealed = Buffer.allocUnsafe(HEADER_BYTES + plaintext.length + TAG_BYTES);
  if (sealed.length > MAX_OBJECT_BYTES) {
    throw new RangeError(`seal ${name}: an object has at most ${MAX_OBJECT_BYTES} bytes`);
  }
  sealed.set(encodeHeader(kind, salt));
  sealInto(
    sealed,
    HEADER_BYTES,
    deriveKey(keys.master, 'object', salt),
    nonceOf(0),
    aadOf(kind, name),
    plaintext,
  );
  return sealed;
}

/** @throws DamagedError unless the bytes are what {@link sealObject} made of this kind, under this name, with these keys */
export function openObject(keys: RepositoryKeys, kind: SealedKind, name: string, bytes: Uint8Array): Buffer {
  if (bytes.length > MAX_OBJECT_BYTES) throw new DamagedError(`open ${name}: it is too large`);
  const salt = decodeHeader(kind, bytes, name);
  const key = deriveKey(keys.master, 'object', salt);
  const plaintext = unseal(key, nonceOf(0), aadOf(kind, name), bytes.subarray(HEADER_BYTES));
  if (plaintext === null) throw new DamagedError(`open ${name}: its bytes have changed`);
  return plaintext;
}

/** @returns the name of an object that is named for its content (a pack, an index): SHA-256 in hexadecimal */
export function contentName(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

function aadOf(kind: SealedKind, name: string): Buffer {
  return Buffer.concat([Buffer.of(KINDS[kind]), Buffer.from(kind === 'index' ? '' : name, 'utf8')]);
}
