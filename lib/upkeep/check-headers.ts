import { DamagedError, SkylockError } from '../errors.ts';
import { BACKUP_ID, type BackupHeader } from '../format/backup-header.ts';
import { readBackup, readCheckpoint } from '../repository/backups.ts';
import { BACKUPS_PREFIX, CHECKPOINTS_PREFIX, type Repository } from '../repository/repository.ts';
import { damageOf } from './damage.ts';
import type { Findings } from './findings.ts';

/** A backup, or a checkpoint of one that is unfinished, whose header is right. */
export interface Listed {
  readonly object: string;
  readonly backupId: string;
  /** What the header says its list of files adds up to. */
  readonly files: number;
  readonly bytes: number;
  /**
   * Reads the header, or gives what was read: a checkpoint's next may rely on packs this look came too early for, while
   * a backup never changes and the headers of many may be too large to be held.
   * @returns `null` when it was removed meanwhile
   */
  readonly header: () => Promise<BackupHeader | null>;
}

const READERS = {
  [BACKUPS_PREFIX]: { read: readBackup, state: 'complete' },
  [CHECKPOINTS_PREFIX]: { read: readCheckpoint, state: 'unfinished' },
} as const;
type Prefix = keyof typeof READERS;

/**
 * Opens the header of every backup and checkpoint, or those of `backupId`.
 * @throws SkylockError when there is nothing of `backupId`
 */
export async function checkHeaders(
  repository: Repository,
  backupId: string | null,
  findings: Pick<Findings, 'damaged'>,
): Promise<Listed[]> {
  const listed: Listed[] = [];
  let found = 0;
  for (const prefix of [CHECKPOINTS_PREFIX, BACKUPS_PREFIX] as const) {
    for await (const { name } of repository.remote.list(prefix)) {
      const id = name.slice(prefix.length);
      if (!BACKUP_ID.test(id) || (backupId !== null && backupId !== id)) continue;
      found += 1;
      const one = await checkHeader(repository, prefix, id, findings);
      if (one !== null) listed.push(one);
    }
  }
  if (backupId !== null && found === 0) {
    throw new SkylockError(
      `find backup ${backupId}: the remote has neither a backup nor a checkpoint of it`,
      {
        hints: ["'skylock list' shows those there are."],
      },
    );
  }
  return listed.sort((a, b) => (a.backupId < b.backupId ? -1 : 1));
}

async function checkHeader(
  repository: Repository,
  prefix: Prefix,
  id: string,
  findings: Pick<Findings, 'damaged'>,
): Promise<Listed | null> {
  const object = `${prefix}${id}`;
  const { read, state } = READERS[prefix];
  try {
    const header = await read(repository, id);
    if (header === null) return null; // removed since it was listed
    if (header.backupId !== id || header.state !== state) {
      throw new DamagedError(`open ${object}: it tells of another backup`);
    }
    const { files, bytes } = header;
    const again = async () => (state === 'unfinished' ? header : read(repository, id));
    return { object, backupId: id, files, bytes, header: again };
  } catch (error) {
    findings.damaged(object, damageOf(error, object), id);
    return null;
  }
}
