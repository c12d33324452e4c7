import { DamagedError, NoRepositoryError, SkylockError, WrongPasswordError } from '../errors.ts';
import {
  createStretch,
  type Kdf,
  type KeyName,
  parseKeyFile,
  type StretchPassword,
  unwrapMasterKey,
} from '../format/key-file.ts';
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

/** Which key file opened the repository last. What it recalls may be wrong: that costs time alone. */
export interface KeyMemory {
  recall(): KeyName | null;
  keep(key: KeyName): void;
}

/**
 * Opens the repository with a password that fits one of its key files.
 * @param connecting what is not needed before the password, where that is known, is being stretched
 * @param askPassword asked once it is clear that there is a repository, or it was opened before
 * @param memory lets the password be stretched, which takes long, while the remote is asked for the key file, and that one alone
 * @throws NoRepositoryError @throws WrongPasswordError @throws DamagedError @throws SkylockError for a newer format
 */
export async function openRepository(
  connecting: Remote | Promise<Remote>,
  askPassword: () => Promise<string>,
  memory: KeyMemory | null = null,
): Promise<Repository> {
  const stretch = createStretch();
  let asked: Promise<string> | null = null;
  const password = () => (asked ??= askPassword());
  const recalled = memory?.recall() ?? null;
  // What fails here fails again where it is needed, unless something else is told first.
  if (recalled !== null) {
    password()
      .then((typed) => stretch(typed, recalled.kdf))
      .catch(() => {});
  }
  const remote = await connecting;
  const [bytes, likely] = await Promise.all([
    readSmall(remote, CONFIG_NAME),
    readKeyFiles(remote, recalled === null ? remote.list(KEYS_PREFIX) : [recalled]),
  ]);
  if (bytes === null) {
    throw new NoRepositoryError(`open repository at ${remote.url}: there is none`, {
      hints: [`Make one with 'skylock init ${remote.url}', or check the URL.`],
    });
  }
  const config = parseRepositoryConfig(bytes);
  const attempt = { password: await password(), repositoryId: config.repositoryId, stretch };
  const open = (files: KeyFiles) => findMasterKey(remote, files, attempt);
  const { master, key } = await (recalled === null
    ? open(likely)
    : open(likely).catch(async (error: unknown) => {
        if (!(error instanceof SkylockError)) throw error;
        return open(await readKeyFiles(remote, remote.list(KEYS_PREFIX))); // it was the wrong one, or is gone
      }));
  const keys = repositoryKeys(master);
  verifyRepositoryConfig(config, keys);
  memory?.keep(key);
  return { remote, config, keys };
}

async function findMasterKey(
  remote: Remote,
  { files, listed, refused }: KeyFiles,
  {
    password,
    repositoryId,
    stretch,
  }: { readonly password: string; readonly repositoryId: string; readonly stretch: StretchPassword },
): Promise<{ readonly master: MasterKey; readonly key: KeyName }> {
  let damage = refused;
  for (const { name, bytes, kdf } of files) {
    try {
      const master = await unwrapMasterKey(bytes, password, repositoryId, name, stretch);
      return { master, key: { name, kdf } };
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
  readonly files: readonly { readonly name: string; readonly bytes: Buffer; readonly kdf: Kdf }[];
  readonly listed: number;
  /** Why one of the others does not. */
  readonly refused: SkylockError | null;
}

async function readKeyFiles(
  remote: Remote,
  names: AsyncIterable<{ readonly name: string }> | Iterable<{ readonly name: string }>,
): Promise<KeyFiles> {
  const files: { name: string; bytes: Buffer; kdf: Kdf }[] = [];
  let refused: SkylockError | null = null;
  let listed = 0;
  for await (const { name } of names) {
    if (!name.endsWith('.json')) continue;
    listed += 1;
    const bytes = listed > MAX_KEY_FILES ? null : await readSmall(remote, name);
    if (bytes === null) continue;
    try {
      const { parameters, salt } = parseKeyFile(bytes, name);
      files.push({ name, bytes, kdf: { parameters, salt } });
    } catch (error) {
      if (!(error instanceof SkylockError)) throw error;
      refused = error;
    }
  }
  return { files: files.sort((a, b) => costOf(a.kdf) - costOf(b.kdf)), listed, refused };
}

function costOf({ parameters: { memoryKib, passes } }: Kdf): number {
  return memoryKib * passes;
}

async function readSmall(remote: Remote, name: string): Promise<Buffer | null> {
  // One byte more than is allowed, so that the parser sees what is too long.
  return remote.get(name, { offset: 0, length: MAX_CONFIG_BYTES + 1 });
}
