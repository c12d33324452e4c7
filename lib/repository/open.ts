import { DamagedError, NoRepositoryError, SkylockError, WrongPasswordError } from '../errors.ts';
import { parseKeyFile, unwrapMasterKey } from '../format/key-file.ts';
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
  const [bytes, keyFiles] = await Promise.all([readSmall(remote, CONFIG_NAME), readKeyFiles(remote)]);
  if (bytes === null) {
    throw new NoRepositoryError(`open repository at ${remote.url}: there is none`, {
      hints: [`Make one with 'skylock init ${remote.url}', or check the URL.`],
    });
  }
  const config = parseRepositoryConfig(bytes);
  const password = await askPassword();
  const keys = repositoryKeys(await findMasterKey(remote, keyFiles, password, config.repositoryId));
  verifyRepositoryConfig(config, keys);
  return { remote, config, keys };
}

async function findMasterKey(
  remote: Remote,
  { files, listed, refused }: KeyFiles,
  password: string,
  repositoryId: string,
): Promise<MasterKey> {
  let damage = refused;
  for (const { name, bytes } of files) {
    try {
      return await unwrapMasterKey(bytes, password, repositoryId, name);
    } catch (error) {
      // Another key file may be the one; that this one is damaged matters only when none is.
      if (error instanceof DamagedError) damage = error;
      else if (!(error instanceof WrongPasswordError)) throw error;
    }
  }
  if (damage !== null) throw damage;
  if (listed === 0) {
    throw new DamagedError(`open repository at ${remote.url}: it has no key file`, {
      hints: [`Put a copy of the files of '${KEYS_PREFIX}' back: without one nothing can be read.`],
    });
  }
  const untried = `It has ${listed} key files, of which ${MAX_KEY_FILES} were tried: too many for people's passwords.`;
  throw new WrongPasswordError(`open repository at ${remote.url}: wrong password`, {
    hints: [
      'Set SKYLOCK_PASSWORD or SKYLOCK_PASSWORD_FILE, or type it when asked.',
      ...(listed > MAX_KEY_FILES ? [untried] : []),
    ],
  });
}

interface KeyFiles {
  /** Those that make sense. The cheapest to try come first: whoever adds dear ones keeps nobody waiting. */
  readonly files: readonly { readonly name: string; readonly bytes: Buffer; readonly cost: number }[];
  readonly listed: number;
  /** Why one of the others does not. */
  readonly refused: SkylockError | null;
}

async function readKeyFiles(remote: Remote): Promise<KeyFiles> {
  const files: { name: string; bytes: Buffer; cost: number }[] = [];
  let refused: SkylockError | null = null;
  let listed = 0;
  for await (const { name } of remote.list(KEYS_PREFIX)) {
    if (!name.endsWith('.json')) continue;
    listed += 1;
    const bytes = listed > MAX_KEY_FILES ? null : await readSmall(remote, name);
    if (bytes === null) continue;
    try {
      const { memoryKib, passes } = parseKeyFile(bytes, name).parameters;
      files.push({ name, bytes, cost: memoryKib * passes });
    } catch (error) {
      if (!(error instanceof SkylockError)) throw error;
      refused = error;
    }
  }
  return { files: files.sort((a, b) => a.cost - b.cost), listed, refused };
}

async function readSmall(remote: Remote, name: string): Promise<Buffer | null> {
  // One byte more than is allowed, so that the parser sees what is too long.
  return remote.get(name, { offset: 0, length: MAX_CONFIG_BYTES + 1 });
}
