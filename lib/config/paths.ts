import { isAbsolute, join } from 'node:path';

export type Environment = Readonly<Record<string, string | undefined>>;

const OURS = 'skylock-hybrid';

/**
 * @returns where the journal, the state files and the embedded default lie
 * @see https://specifications.freedesktop.org/basedir-spec/latest/ (a relative path there is to be ignored)
 */
export function dataFolder(env: Environment, home: string): string {
  return join(baseFolder(env.XDG_DATA_HOME) ?? join(home, '.local', 'share'), OURS);
}

export function configFile(env: Environment, home: string): string {
  return join(baseFolder(env.XDG_CONFIG_HOME) ?? join(home, '.config'), OURS, 'config.toml');
}

export function journalFile(dataFolder: string): string {
  return join(dataFolder, 'journal.db');
}

/** The folder of the state files. */
export function stateFolder(dataFolder: string): string {
  return join(dataFolder, 'resume_state');
}

/** The repository used where no remote is named. */
export function defaultRepositoryFolder(dataFolder: string): string {
  return join(dataFolder, 'repository');
}

/** What opens the repository used where no remote is named. */
export function defaultKeyFile(dataFolder: string): string {
  return join(dataFolder, 'repository.key');
}

/** @returns `~` and `~/…` under the home folder, everything else as it is. */
export function expandHome(path: string, home: string): string {
  return path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : path;
}

function baseFolder(value: string | undefined): string | null {
  return value !== undefined && isAbsolute(value) ? value : null;
}
