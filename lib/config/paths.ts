import { isAbsolute, join } from 'node:path';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where things lie on this machine; nothing of it has to be there yet. */
export interface DataPaths {
  readonly configFile: string;
  /** Holds all below. */
  readonly dataFolder: string;
  readonly journalFile: string;
  /** The folder of the state files. */
  readonly stateFolder: string;
  /** The repository that is used while no remote is named. */
  readonly defaultRepository: string;
  /** What opens it. */
  readonly defaultKeyFile: string;
  /** Holds what can be had again, at the cost of some time. */
  readonly cacheFolder: string;
}

const OURS = 'skylock-hybrid';

/** @see https://specifications.freedesktop.org/basedir-spec/latest/ (a relative path there is to be ignored) */
export function dataPaths(env: Environment, home: string): DataPaths {
  const dataFolder = join(baseFolder(env.XDG_DATA_HOME) ?? join(home, '.local', 'share'), OURS);
  return {
    configFile: join(baseFolder(env.XDG_CONFIG_HOME) ?? join(home, '.config'), OURS, 'config.toml'),
    dataFolder,
    journalFile: join(dataFolder, 'journal.db'),
    stateFolder: join(dataFolder, 'resume_state'),
    defaultRepository: join(dataFolder, 'repository'),
    defaultKeyFile: join(dataFolder, 'repository.key'),
    cacheFolder: join(baseFolder(env.XDG_CACHE_HOME) ?? join(home, '.cache'), OURS),
  };
}

/** @returns `~` and `~/…` under the home folder, everything else as it is. */
export function expandHome(path: string, home: string): string {
  return path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : path;
}

function baseFolder(value: string | undefined): string | null {
  return value !== undefined && isAbsolute(value) ? value : null;
}
