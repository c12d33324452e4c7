import { createHash, randomUUID } from 'node:crypto';
import { SkylockError } from '../errors.ts';
import { type ChunkSizes, DATA_CHUNK_SIZES, MANIFEST_CHUNK_SIZES } from '../format/chunker.ts';
import { parseKeyFile, wrapMasterKey } from '../format/key-file.ts';
import { generateMasterKey, repositoryKeys } from '../format/keys.ts';
import { encodeRepositoryConfig } from '../format/repository-config.ts';
import type { Remote } from '../remote/remote.ts';
import type { KeyMemory } from './open.ts';
import { CONFIG_NAME, KEYS_PREFIX, type Repository } from './repository.ts';

/** Is there a repository at the remote's folder? */
export async function repositoryExists(remote: Remote): Promise<boolean> {
  return (await remote.stat(CONFIG_NAME)) !== null;
}

/** @throws SkylockError when there is a repository already */
export async function refuseExisting(remote: Remote): Promise<void> {
  if (!(await repositoryExists(remote))) return;
  throw new SkylockError(`make repository at ${remote.url}: there is one already`, {
    hints: ['Nothing was changed. Name another folder, or use the repository that is there.'],
  });
}

export interface NewRepository {
  readonly password: string;
  /** For the person, to tell their passwords apart. */
  readonly label: string;
  readonly now: Date;
  readonly chunker?: ChunkSizes;
  readonly manifestChunker?: ChunkSizes;
}

/**
 * Makes a repository with one password. `skylock.json` is put last: until it is there, nothing is, and a creation that was
 * cut short can be begun again.
 * @throws SkylockError when there is one already
 */
export async function createRepository(
  remote: Remote,
  { password, label, now, chunker = DATA_CHUNK_SIZES, manifestChunker = MANIFEST_CHUNK_SIZES }: NewRepository,
  memory: KeyMemory | null = null,
): Promise<Repository> {
  await refuseExisting(remote);
  const config = { repositoryId: randomUUID(), chunker, manifestChunker };
  const master = generateMasterKey();
  const keys = repositoryKeys(master);
  const keyFile = await wrapMasterKey(master, password, {
    repositoryId: config.repositoryId,
    createdAt: now,
    label,
  });
  const name = `${KEYS_PREFIX}${keyId(keyFile)}.json`;
  await remote.put(name, keyFile);
  await remote.put(CONFIG_NAME, encodeRepositoryConfig(config, keys));
  const { salt, parameters } = parseKeyFile(keyFile);
  memory?.keep({ name, kdf: { salt, parameters } });
  return { remote, config, keys };
}

/** A key file is named by the first 16 digits of its SHA-256. */
export function keyId(keyFile: Uint8Array): string {
  return createHash('sha256').update(keyFile).digest('hex').slice(0, 16);
}
