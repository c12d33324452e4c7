import {
  BACKUP_ID,
  type BackupHeader,
  decodeBackupHeader,
  encodeBackupHeader,
} from '../format/backup-header.ts';
import { openObject, sealObject } from '../format/envelope.ts';
import { concurrently } from './concurrently.ts';
import { BACKUPS_PREFIX, type Repository } from './repository.ts';

const FETCHES_AT_ONCE = 4;

/** @returns the ids of the complete backups on the remote, the oldest first */
export async function listBackupIds({ remote }: Pick<Repository, 'remote'>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { name } of remote.list(BACKUPS_PREFIX)) {
    const id = name.slice(BACKUPS_PREFIX.length);
    if (BACKUP_ID.test(id)) ids.push(id);
  }
  return ids.sort();
}

/** @returns the headers of the complete backups, the oldest first */
export async function readBackups(repository: Repository): Promise<BackupHeader[]> {
  const headers: BackupHeader[] = [];
  await concurrently(await listBackupIds(repository), FETCHES_AT_ONCE, async (id) => {
    const header = await readBackup(repository, id);
    if (header !== null) headers.push(header);
  });
  return headers.sort((a, b) => (a.backupId < b.backupId ? -1 : 1));
}

/** @returns the header of a complete backup, or `null` when there is none of this id @throws DamagedError */
export async function readBackup({ remote, keys }: Repository, id: string): Promise<BackupHeader | null> {
  const name = `${BACKUPS_PREFIX}${id}`;
  const bytes = await remote.get(name);
  return bytes === null ? null : decodeBackupHeader(openObject(keys, 'backup', name, bytes), name);
}

/** Order 4: the last of a backup's objects, put when all it refers to is durable. */
export async function putBackup({ remote, keys }: Repository, header: BackupHeader): Promise<void> {
  const name = `${BACKUPS_PREFIX}${header.backupId}`;
  await remote.put(name, sealObject(keys, 'backup', name, encodeBackupHeader(header)));
}
