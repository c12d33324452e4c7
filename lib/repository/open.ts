import { DamagedError, NoRepositoryError, WrongPasswordError } from '../errors.ts';
import { unwrapMasterKey } from '../format/key-file.ts';
import { type MasterKey, repositoryKeys } from '../format/keys.ts';
import {
  MAX_CONFIG_BYTES,
  parseRepositoryConfig,
  verifyRepositoryConfig,
} from '../format/repository-config.ts';
import type { Remote } from '../remote/remote.ts';
import { CONFIG_NAME, KEYS_PREFIX, type Repository } from './repository.ts';

/** Each key file costs a password derivation of 64 MiB: more of them than people have passwords are not tried. */
const MAX_KEY_FILES = 32;

/**
 * Opens the repository with a password that fits one of its key files.
 * @param askPassword asked once it is clear that there is a repository
 * @throws NoRepositoryError @throws WrongPasswordError @throws DamagedError @throws SkylockError for a newer format
 */
export async function openRepository(
  remote: Remote,
  askPassword: () => Promise<string>,
): Promise<Repository> {
  const [bytes, keyNames] = await Promise.all([readSmall(remote, CONFIG_NAME), listKeys(remote)]);
  if (bytes === null) {
    throw new NoRepositoryError(`open repository at ${remote.url}: there is none`, {
      hints: [`Make one with 'skylock init ${remote.url}', or check the URL.`],
    });
  }
  const config = parseRepositoryConfig(bytes);
  const keys = repositoryKeys(
    await findMasterKey(remote, keyNames, await askPassword(), config.repositoryId),
  );
  verifyRepositoryConfig(config, keys);
  return { remote, config, keys };
}

/** @returns as many as are tried */
async function listKeys(remote: Remote): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of remote.list(KEYS_PREFIX)) {
    if (name.endsWith('.json') && names.length < MAX_KEY_FILES) names.push(name);
  }
  return names;
}

async function findMasterKey(
  remote: Remote,
  keyNames: readonly string[],
  password: string,
  repositoryId: string,
): Promise<MasterKey> {
  let damaged: unknown = null;
  for (const name of keyNames) {
    try {
      const bytes = await readSmall(remote, name);
      if (bytes !== null) return await unwrapMasterKey(bytes, password, repositoryId, name);
    } catch (error) {
      // Another key file may be the one; that this one is damaged matters only when none is.
      if (error instanceof DamagedError) damaged = error;
      else if (!(error instanceof WrongPasswordError)) throw error;
    }
  }
  if (damaged !== null) throw damaged;
  if (keyNames.length === 0) {
    throw new DamagedError(`open repository at ${remote.url}: it has no key file`, {
      hints: [`Put a copy of the files of '${KEYS_PREFIX}' back: without one nothing can be read.`],
    });
  }
  throw new WrongPasswordError(`open repository at ${remote.url}: wrong password`, {
    hints: ['Set SKYLOCK_PASSWORD or SKYLOCK_PASSWORD_FILE, or type it when asked.'],
  });
}

async function readSmall(remote: Remote, name: string): Promise<Buffer | null> {
  // One byte more than is allowed, so that the parser sees what is too long.
  return remote.get(name, { offset: 0, length: MAX_CONFIG_BYTES + 1 });
}
