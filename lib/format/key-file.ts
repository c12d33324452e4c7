import { argon2, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { DamagedError, UsageError, WrongPasswordError } from '../errors.ts';
import { formatInstant } from '../units.ts';
import { canonicalBytes } from './canonical.ts';
import { Fields, UUID } from './fields.ts';
import { deriveBytes, deriveKey, KEY_BYTES, type MasterKey, masterKeyFrom } from './keys.ts';
import { FORMAT, MAX_CONFIG_BYTES, refuseNewerFormat } from './repository-config.ts';
import { nonceOf, sealInto, TAG_BYTES, unseal } from './seal.ts';

const argon2id = promisify(argon2);

/** Argon2id's cost. */
export interface KdfParameters {
  readonly memoryKib: number;
  readonly passes: number;
  readonly lanes: number;
}

/** About 0.13 s; RFC 9106's second recommendation. */
export const KDF_PARAMETERS: KdfParameters = { memoryKib: 64 * 1024, passes: 3, lanes: 4 };

/** Less than the lower bounds is no protection; more than the upper ones is an attempt to stop this machine. */
const BOUNDS = { memoryKib: [8 * 1024, 1024 * 1024], passes: [1, 16], lanes: [1, 16] } as const;

const SALT_BYTES = 32;
const MAX_LABEL_BYTES = 256;
const FIELDS = ['format', 'repository_id', 'created_at', 'label', 'kdf', 'commitment', 'wrapped_key'];
const KEY_NAME = /^keys\/[0-9A-Za-z_-]{1,64}\.json$/;
const KDF_FIELDS = ['name', 'memory_kib', 'passes', 'lanes', 'salt'];

export interface WrapOptions {
  readonly repositoryId: string;
  readonly createdAt: Date;
  /** For the person, to tell their passwords apart; readable by the server. */
  readonly label?: string;
  readonly parameters?: KdfParameters;
  /** 32 bytes nobody has used before. */
  readonly salt?: Uint8Array;
}

/** What a password is stretched with. No secret: without the rest of the key file it tells nothing of the password. */
export interface Kdf {
  readonly parameters: KdfParameters;
  readonly salt: Buffer;
}

/** What a key file says to anybody. */
export interface KeyFile extends Kdf {
  readonly repositoryId: string;
  readonly createdAt: Date;
  readonly label: string;
  readonly commitment: Buffer;
  readonly wrappedKey: Buffer;
}

/** @returns the bytes of `keys/<key id>.json`: the master key under a password */
export async function wrapMasterKey(
  master: MasterKey,
  password: string,
  {
    repositoryId,
    createdAt,
    label = '',
    parameters = KDF_PARAMETERS,
    salt = randomBytes(SALT_BYTES),
  }: WrapOptions,
): Promise<Buffer> {
  if (Buffer.byteLength(label) > MAX_LABEL_BYTES) {
    throw new UsageError(`add password: its label is longer than ${MAX_LABEL_BYTES} bytes`);
  }
  const passwordKeys = await stretchPassword(password, { salt: Buffer.from(salt), parameters });
  const file: KeyFile = {
    repositoryId,
    createdAt,
    label,
    parameters,
    salt: Buffer.from(salt),
    commitment: passwordKeys.commitment,
    wrappedKey: Buffer.alloc(KEY_BYTES + TAG_BYTES),
  };
  sealInto(file.wrappedKey, 0, passwordKeys.wrapping, nonceOf(0), aadOf(file), master.export());
  const bytes = encodeKeyFile(file);
  parseKeyFile(bytes); // a key file nobody can open again must not come into being
  return bytes;
}

interface PasswordKeys {
  readonly wrapping: KeyObject;
  readonly commitment: Buffer;
}

export type StretchPassword = (password: string, kdf: Kdf) => Promise<PasswordKeys>;

/**
 * @param name the file's, for messages
 * @param stretch as {@link createStretch} makes it, where some of it may be done already
 * @throws WrongPasswordError when it was made with another password
 * @throws DamagedError when it is no key file of this repository, or has been changed
 */
export async function unwrapMasterKey(
  bytes: Uint8Array,
  password: string,
  repositoryId: string,
  name = 'key file',
  stretch: StretchPassword = stretchPassword,
): Promise<MasterKey> {
  const file = parseKeyFile(bytes, name);
  if (file.repositoryId !== repositoryId) {
    throw new DamagedError(
      `open ${name}: it belongs to repository ${file.repositoryId}, not to ${repositoryId}`,
    );
  }
  const { commitment, wrapping } = await stretch(password, file);
  // Before unwrapping: GCM alone can be made to open under more than one key, and cannot tell a wrong password from
  // a damaged file.
  if (!timingSafeEqual(file.commitment, commitment)) {
    throw new WrongPasswordError(`open ${name}: wrong password`);
  }
  const master = unseal(wrapping, nonceOf(0), aadOf(file), file.wrappedKey);
  if (master === null) throw new DamagedError(`open ${name}: it has been changed`);
  return masterKeyFrom(master);
}

/** @throws DamagedError when it is malformed; SkylockError when a newer Skylock has made it */
export function parseKeyFile(bytes: Uint8Array, name = 'key file'): KeyFile {
  const task = `open ${name}`;
  if (bytes.length > MAX_CONFIG_BYTES) throw new DamagedError(`${task}: it is too large`);
  const fields = Fields.parse(bytes, task);
  refuseNewerFormat(fields.integer('format', 1, Number.MAX_SAFE_INTEGER), task);
  fields.refuseOthers(FIELDS);
  const label = fields.text('label');
  if (Buffer.byteLength(label) > MAX_LABEL_BYTES) throw fields.fail('label is too long');
  return {
    repositoryId: fields.text('repository_id', UUID),
    createdAt: fields.instant('created_at'),
    label,
    ...kdfOf(fields.object('kdf')),
    commitment: bytesOf(fields, 'commitment', KEY_BYTES),
    wrappedKey: bytesOf(fields, 'wrapped_key', KEY_BYTES + TAG_BYTES),
  };
}

/** A key file by its name, and how its password is stretched. */
export interface KeyName {
  /** `keys/<key id>.json` */
  readonly name: string;
  readonly kdf: Kdf;
}

/** @throws DamagedError when it is malformed */
export function parseKeyName(bytes: Uint8Array): KeyName {
  const fields = Fields.parse(bytes, 'read name of key file');
  return { name: fields.text('name', KEY_NAME), kdf: kdfOf(fields.object('kdf')) };
}

/** *Shape*: the name, and `kdf` as it stands in the key file, in JSON. */
export function encodeKeyName({ name, kdf }: KeyName): string {
  return JSON.stringify({ name, kdf: kdfFields(kdf) });
}

function kdfOf(fields: Fields): Kdf {
  fields.refuseOthers(KDF_FIELDS);
  fields.oneOf('name', ['argon2id']);
  return {
    parameters: {
      memoryKib: fields.integer('memory_kib', ...BOUNDS.memoryKib),
      passes: fields.integer('passes', ...BOUNDS.passes),
      lanes: fields.integer('lanes', ...BOUNDS.lanes),
    },
    salt: bytesOf(fields, 'salt', SALT_BYTES),
  };
}

function kdfFields({ parameters: { memoryKib, passes, lanes }, salt }: Kdf) {
  return { name: 'argon2id', memory_kib: memoryKib, passes, lanes, salt: salt.toString('base64') };
}

function bytesOf(fields: Fields, name: string, length: number): Buffer {
  const bytes = fields.base64(name);
  if (bytes.length !== length) throw fields.fail(`${name} has not ${length} bytes`);
  return bytes;
}

function encodeKeyFile(file: KeyFile): Buffer {
  const json = {
    format: FORMAT,
    repository_id: file.repositoryId,
    created_at: formatInstant(file.createdAt),
    label: file.label,
    kdf: kdfFields(file),
    commitment: file.commitment.toString('base64'),
    wrapped_key: file.wrappedKey.toString('base64'),
  };
  return Buffer.from(`${JSON.stringify(json, null, 2)}\n`);
}

/** Everything the file says beside the wrapped key. */
function aadOf({ repositoryId, createdAt, label, parameters, salt, commitment }: KeyFile): Buffer {
  const { memoryKib, passes, lanes } = parameters;
  return canonicalBytes([
    'skylock key file',
    FORMAT,
    repositoryId,
    formatInstant(createdAt),
    label,
    'argon2id',
    memoryKib,
    passes,
    lanes,
    salt,
    commitment,
  ]);
}

/** @returns what stretches a password, and the same one with the same salt and cost only once */
export function createStretch(): StretchPassword {
  const begun = new Map<string, Promise<PasswordKeys>>();
  return (password, kdf) => {
    const what = `${JSON.stringify(kdfFields(kdf))} ${password}`;
    const stretched = begun.get(what) ?? stretchPassword(password, kdf);
    begun.set(what, stretched);
    return stretched;
  };
}

async function stretchPassword(
  password: string,
  { salt, parameters: { memoryKib, passes, lanes } }: Kdf,
): Promise<PasswordKeys> {
  const stretched = await argon2id('argon2id', {
    // The same letters typed on another system may come as other code points
    message: Buffer.from(password.normalize('NFC'), 'utf8'),
    nonce: salt,
    memory: memoryKib,
    passes,
    parallelism: lanes,
    tagLength: KEY_BYTES,
  });
  return {
    wrapping: deriveKey(stretched, 'key-wrap', ''),
    commitment: deriveBytes(stretched, 'key-commitment', '', KEY_BYTES),
  };
}
