import type { RepositoryKeys } from '../format/keys.ts';
import type { RepositoryConfig } from '../format/repository-config.ts';
import type { Remote } from '../remote/remote.ts';

/** A remote with its keys open. */
export interface Repository {
  readonly remote: Remote;
  readonly config: RepositoryConfig;
  readonly keys: RepositoryKeys;
}

export const CONFIG_NAME = 'skylock.json';
export const KEYS_PREFIX = 'keys/';
export const PACKS_PREFIX = 'packs/';
export const INDEX_PREFIX = 'index/';
export const BACKUPS_PREFIX = 'backups/';
export const CHECKPOINTS_PREFIX = 'resume/';

/** @param sha256 in hexadecimal */
export function packName(sha256: string): string {
  return `${PACKS_PREFIX}${sha256.slice(0, 2)}/${sha256}`;
}
