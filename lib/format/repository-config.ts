import { createHmac, timingSafeEqual } from 'node:crypto';
import { DamagedError, SkylockError } from '../errors.ts';
import { canonicalBytes } from './canonical.ts';
import { type ChunkSizes, MAX_CHUNK_BYTES } from './chunker.ts';
import { Fields, UUID } from './fields.ts';
import type { RepositoryKeys } from './keys.ts';

export const FORMAT = 1;
/** Longer than any config or key file is. */
export const MAX_CONFIG_BYTES = 16 * 1024;

const MIN_CHUNK_BYTES = 64;
const MIN_AVERAGE_BYTES = 1024;
const FIELDS = ['format', 'repository_id', 'chunker', 'manifest_chunker', 'mac'];
const SIZE_FIELDS = ['min', 'avg', 'max'];

/** What `skylock.json` says to anybody; no secret. */
export interface RepositoryConfig {
  /** A UUID in lower case. */
  readonly repositoryId: string;
  readonly chunker: ChunkSizes;
  readonly manifestChunker: ChunkSizes;
}

/** Read, but not to be trusted before {@link verifyRepositoryConfig}. */
export interface UnverifiedRepositoryConfig extends RepositoryConfig {
  readonly mac: Buffer;
}

export function encodeRepositoryConfig(config: RepositoryConfig, keys: RepositoryKeys): Buffer {
  const file = {
    format: FORMAT,
    repository_id: config.repositoryId,
    chunker: encodeSizes(config.chunker),
    manifest_chunker: encodeSizes(config.manifestChunker),
    mac: macOf(config, keys).toString('base64'),
  };
  return Buffer.from(`${JSON.stringify(file, null, 2)}\n`);
}

/**
 * @throws SkylockError when a newer Skylock has made the repository
 * @throws DamagedError when the bytes are no config
 */
export function parseRepositoryConfig(bytes: Uint8Array): UnverifiedRepositoryConfig {
  const task = 'open repository: read skylock.json';
  if (bytes.length > MAX_CONFIG_BYTES) throw new DamagedError(`${task}: it is too large`);
  const fields = Fields.parse(bytes, task);
  refuseNewerFormat(fields.integer('format', 1, Number.MAX_SAFE_INTEGER), 'open repository');
  fields.refuseOthers(FIELDS);
  return {
    repositoryId: fields.text('repository_id', UUID),
    chunker: decodeSizes(fields.object('chunker')),
    manifestChunker: decodeSizes(fields.object('manifest_chunker')),
    mac: fields.base64('mac'),
  };
}

/** @throws DamagedError when the config is not what was written with these keys */
export function verifyRepositoryConfig(config: UnverifiedRepositoryConfig, keys: RepositoryKeys): void {
  const mac = macOf(config, keys);
  if (config.mac.length !== mac.length || !timingSafeEqual(config.mac, mac)) {
    throw new DamagedError('open repository: skylock.json has been changed', {
      hints: ['Somebody, or a fault of the storage, changed it after it was made: put the original back.'],
    });
  }
}

/** @throws SkylockError for a format later than this program's */
export function refuseNewerFormat(format: number, task: string): void {
  if (format > FORMAT) {
    throw new SkylockError(`${task}: it has format ${format}, this Skylock knows format ${FORMAT}`, {
      hints: ['A newer Skylock has written it: install that one.'],
    });
  }
}

function macOf({ repositoryId, chunker, manifestChunker }: RepositoryConfig, keys: RepositoryKeys): Buffer {
  const sizes = [chunker, manifestChunker].flatMap(({ min, avg, max }) => [min, avg, max]);
  return createHmac('sha256', keys.config)
    .update(canonicalBytes(['skylock config', FORMAT, repositoryId, ...sizes]))
    .digest();
}

function encodeSizes({ min, avg, max }: ChunkSizes): ChunkSizes {
  return { min, avg, max };
}

function decodeSizes(fields: Fields): ChunkSizes {
  fields.refuseOthers(SIZE_FIELDS);
  const avg = fields.integer('avg', MIN_AVERAGE_BYTES, MAX_CHUNK_BYTES);
  if (!Number.isInteger(Math.log2(avg))) throw fields.fail('avg is no power of two');
  return {
    min: fields.integer('min', MIN_CHUNK_BYTES, avg),
    avg,
    max: fields.integer('max', avg, MAX_CHUNK_BYTES),
  };
}
