import { posix } from 'node:path';
import { SkylockError, UsageError } from '../errors.ts';
import type { BackupHeader } from '../format/backup-header.ts';
import type { Repository } from '../repository/repository.ts';
import { requireBackupId } from './backup-id.ts';

/** What stands for the newest complete backup. */
export const LATEST = 'latest';

/** @throws UsageError unless `text` is `latest` or written like a backup id */
export function requireBackupName(text: string): string {
  return text === LATEST ? text : requireBackupId(text);
}

/**
 * A complete backup, or what the remote has by now of an unfinished one that is named by its id.
 * @throws SkylockError when there is neither
 */
export async function findBackup(repository: Repository, name: string): Promise<BackupHeader> {
  const { listBackupIds, readBackup, readCheckpoint } = await import('../repository/backups.ts');
  const id = name === LATEST ? (await listBackupIds(repository)).at(-1) : name;
  if (id === undefined) {
    throw new SkylockError('find latest backup: no backup on the remote is complete', {
      hints: ["'skylock resume-status' shows what is unfinished."],
    });
  }
  const header = (await readBackup(repository, id)) ?? (await readCheckpoint(repository, id));
  if (header !== null) return header;
  throw new SkylockError(`find backup ${id}: the remote has neither a backup nor a checkpoint of this id`, {
    hints: [
      "'skylock list' shows those there are. An unfinished backup can be looked into after its first checkpoint.",
    ],
  });
}

/** @param text as a person types it: with a slash at its end, perhaps @throws UsageError when it is relative */
export function pathInBackup(text: string): Buffer {
  if (!text.startsWith('/')) {
    throw new UsageError(`read path: '${text}' does not begin with /`, {
      hints: ["Write paths in a backup in full, as 'skylock ls' shows them."],
    });
  }
  const path = posix.normalize(text);
  return Buffer.from(path === '/' ? path : path.replace(/\/$/, ''));
}

/** @returns what a person has to know of a backup that is not complete, or `null` of one that is */
export function describeUnfinished({ backupId, state, files, progress }: BackupHeader): string | null {
  if (state === 'complete') return null;
  const total = progress === null ? '' : ` of ${progress.totalFiles}`;
  return `backup ${backupId} is unfinished: ${files}${total} files are on the remote as of its last checkpoint`;
}
