import type { Config } from '../config/config.ts';
import { readKey, readOrMakeKey, readPassword } from '../config/password.ts';
import type { DataPaths } from '../config/paths.ts';
import { NoRepositoryError } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { Remote } from '../remote/remote.ts';
import type { Repository } from '../repository/repository.ts';
import type { Cli } from './cli.ts';
import { keyMemory } from './key-memory.ts';

/**
 * Opens the repository of a remote that was named, with the password of the configuration or the person's.
 * @param remote.connecting comes when its library is loaded, which is not waited for before the password is there, unless a command has to say it
 * @param onPassword called when it is there, and the derivation of keys begins, which is long and not in this thread
 */
export async function openNamed(
  { url, connecting }: { readonly url: string; readonly connecting: Promise<Remote> },
  config: Config,
  { cacheFolder }: DataPaths,
  { terminal }: Cli,
  onPassword: () => void,
): Promise<Repository> {
  const { openRepository } = await import('../repository/open.ts');
  const askPassword = async () => {
    const password = await readPassword(config.password, terminal);
    onPassword();
    return password;
  };
  const { source } = config.password;
  // Who has to type it is asked when it is clear what for; nor is a command run for a URL or settings that are refused.
  const memory = source === null ? null : keyMemory(cacheFolder, url);
  return openRepository(source?.kind === 'command' ? await connecting : connecting, askPassword, memory);
}

export interface DefaultOptions {
  readonly progress: Progress;
  /** Make it if it is not there. */
  readonly makeDefaultRepository: boolean;
  /** As for {@link openNamed}. */
  readonly onPassword: () => void;
}

/** A backup on the same disk is better than none while the person looks for a remote; it is said what it is. */
export async function openDefault(
  remote: Remote,
  paths: DataPaths,
  cli: Cli,
  { progress, makeDefaultRepository, onPassword }: DefaultOptions,
): Promise<Repository> {
  const { openRepository } = await import('../repository/open.ts');
  const { createRepository, repositoryExists } = await import('../repository/create.ts');
  if (makeDefaultRepository) {
    progress({
      type: 'notice',
      text: `no remote is named: backing up to ${paths.defaultRepository} on this machine`,
      hints: [
        'A copy on the same disk is no backup yet: it is lost with the disk.',
        "Name a remote with 'skylock init sftp://user@host/folder', or for one run with --remote.",
        `The key of this repository is ${paths.defaultKeyFile}: whoever has it can read the backups.`,
      ],
    });
  }
  const askKey = async () => {
    const key = readKey(paths.defaultKeyFile);
    if (key !== null) {
      onPassword();
      return key;
    }
    throw new NoRepositoryError(`open ${paths.defaultRepository}: its key ${paths.defaultKeyFile} is gone`, {
      hints: ['Put the key file back, or move that folder away: without the key nobody can read it.'],
    });
  };
  const memory = keyMemory(paths.cacheFolder, remote.url);
  const open = () => openRepository(remote, askKey, memory);
  if (await repositoryExists(remote)) return open();
  if (!makeDefaultRepository) {
    throw new NoRepositoryError('open repository: no remote is named and nothing was backed up here yet', {
      hints: ["Name a remote with 'skylock init sftp://user@host/folder' or --remote."],
    });
  }
  const { withLock } = await import('../journal/database.ts');
  // Of two first backups at once only one may make it: what the other put there could never be read again.
  return withLock(`${paths.defaultRepository}.lock`, async () => {
    if (await repositoryExists(remote)) return open();
    const password = readOrMakeKey(paths.defaultKeyFile);
    return createRepository(remote, { password, label: 'generated key', now: cli.now() }, memory);
  });
}
