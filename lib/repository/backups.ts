import { setTimeout as sleep } from 'node:timers/promises';
import { DamagedError } from '../errors.ts';
import {
  BACKUP_ID,
  type BackupHeader,
  decodeBackupHeader,
  encodeBackupHeader,
} from '../format/backup-header.ts';
import { MAX_OBJECT_BYTES, openObject, sealObject } from '../format/envelope.ts';
import { type PutOptions, REPLACED_BY_THEN_MS, type Remote, SMALL_BYTES } from '../remote/remote.ts';
import { CALLS_AT_ONCE, concurrently } from './concurrently.ts';
import { BACKUPS_PREFIX, CHECKPOINTS_PREFIX, type Repository } from './repository.ts';

/** Backups that are complete, and checkpoints of those that are not: the same header under two prefixes. */
const PLACES = {
  complete: { prefix: BACKUPS_PREFIX, kind: 'backup' },
  unfinished: { prefix: CHECKPOINTS_PREFIX, kind: 'checkpoint' },
} as const;
type State = keyof typeof PLACES;

/** @returns the ids of the complete backups on the remote, the oldest first */
export function listBackupIds(repository: Pick<Repository, 'remote'>): Promise<string[]> {
  return listIds(repository, 'complete');
}

/**
 * @param onDamaged told of backups that cannot be read, which are left out; without it they are an error
 * @returns the headers of the complete backups, the oldest first
 */
export function readBackups(
  repository: Repository,
  onDamaged?: (error: DamagedError) => void,
): Promise<BackupHeader[]> {
  return readHeaders(repository, 'complete', onDamaged);
}

/** @returns the header of a complete backup, or `null` when there is none of this id @throws DamagedError */
export function readBackup(repository: Repository, id: string): Promise<BackupHeader | null> {
  return readHeader(repository, 'complete', id);
}

/**
 * Order 4: the last of a backup's objects, put when all it refers to is durable.
 * @param options `beforeNaming` lets it be sent beside what it refers to
 */
export function putBackup(repository: Repository, header: BackupHeader, options?: PutOptions): Promise<void> {
  return putHeader(repository, 'complete', header, options);
}

/**
 * @param onDamaged told of checkpoints that cannot be read, which are left out; without it they are an error
 * @returns the headers of the checkpoints on the remote, the oldest first
 */
export function readCheckpoints(
  repository: Repository,
  onDamaged?: (error: DamagedError) => void,
): Promise<BackupHeader[]> {
  return readHeaders(repository, 'unfinished', onDamaged);
}

/** @returns what another machine needs to go on with this backup, or `null` when there is no checkpoint of it */
export function readCheckpoint(repository: Repository, id: string): Promise<BackupHeader | null> {
  return readHeader(repository, 'unfinished', id);
}

/** Reads it as it is at this moment: one that is just being replaced may seem to be absent or torn. @throws DamagedError */
export function glanceAtCheckpoint(repository: Repository, id: string): Promise<BackupHeader | null> {
  return openHeader(repository, 'unfinished', id);
}

/** To be put when all it refers to is durable; it takes the place of the one before it. */
export function putCheckpoint(repository: Repository, header: BackupHeader): Promise<void> {
  return putHeader(repository, 'unfinished', header);
}

export function removeCheckpoint({ remote }: Pick<Repository, 'remote'>, id: string): Promise<void> {
  return remote.remove(`${CHECKPOINTS_PREFIX}${id}`);
}

async function listIds(repository: Pick<Repository, 'remote'>, state: State): Promise<string[]> {
  return [...(await listSizes(repository, state)).keys()].sort();
}

/** @returns the size of every header, by the backup's id */
async function listSizes({ remote }: Pick<Repository, 'remote'>, state: State): Promise<Map<string, number>> {
  const { prefix } = PLACES[state];
  const sizes = new Map<string, number>();
  for await (const { name, sizeBytes } of remote.list(prefix)) {
    const id = name.slice(prefix.length);
    if (BACKUP_ID.test(id)) sizes.set(id, sizeBytes);
  }
  return sizes;
}

async function readHeaders(
  repository: Repository,
  state: State,
  onDamaged?: (error: DamagedError) => void,
): Promise<BackupHeader[]> {
  const headers: BackupHeader[] = [];
  await concurrently(await listSizes(repository, state), CALLS_AT_ONCE, async ([id, sizeBytes]) => {
    try {
      // An adapter would not fetch it either, but to it that is no damage.
      if (sizeBytes > MAX_OBJECT_BYTES) {
        throw new DamagedError(`open ${PLACES[state].prefix}${id}: it is too large`);
      }
      const header = await readHeader(repository, state, id);
      if (header !== null) headers.push(header); // else it was removed since it was listed
    } catch (error) {
      if (onDamaged === undefined || !(error instanceof DamagedError)) throw error;
      onDamaged(error);
    }
  });
  return headers.sort((a, b) => (a.backupId < b.backupId ? -1 : 1));
}

/**
 * A checkpoint is replaced every minute, and a server may do that in two steps: for a moment it is absent, or torn. Only what is
 * so a moment later as well is.
 */
async function readHeader(repository: Repository, state: State, id: string): Promise<BackupHeader | null> {
  if (state === 'complete') return openHeader(repository, state, id);
  try {
    const header = await openHeader(repository, state, id);
    if (header !== null) return header;
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
  }
  await sleep(REPLACED_BY_THEN_MS);
  return openHeader(repository, state, id);
}

async function openHeader(
  { remote, keys }: Repository,
  state: State,
  id: string,
): Promise<BackupHeader | null> {
  const { prefix, kind } = PLACES[state];
  const name = `${prefix}${id}`;
  const bytes = await getHeader(remote, name);
  return bytes === null ? null : decodeBackupHeader(openObject(keys, kind, name, bytes), name);
}

/** Nearly every header comes with the first answer, on any channel there is, and nothing has to be asked before. */
async function getHeader(remote: Remote, name: string): Promise<Buffer | null> {
  const start = await remote.get(name, { offset: 0, length: SMALL_BYTES });
  return start === null || start.length < SMALL_BYTES ? start : remote.get(name);
}

async function putHeader(
  { remote, keys }: Repository,
  state: State,
  header: BackupHeader,
  options?: PutOptions,
): Promise<void> {
  const { prefix, kind } = PLACES[state];
  const name = `${prefix}${header.backupId}`;
  await remote.put(name, sealObject(keys, kind, name, encodeBackupHeader(header)), options);
}
