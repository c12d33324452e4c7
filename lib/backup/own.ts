import { DamagedError, SkylockError } from '../errors.ts';
import type { BackupHeader } from '../format/backup-header.ts';
import { backupIdAt } from '../journal/backup-ids.ts';
import type { Run } from '../journal/runs.ts';
import { glanceAtCheckpoint, readBackup, removeCheckpoint } from '../repository/backups.ts';
import type { Repository } from '../repository/repository.ts';

/** Far more machines than begin in one second; a server that has something under every name would be asked without end. */
const IDS_TRIED = 100;

/** The run of this machine, and what tells its backups from others'. */
export interface OwnRun {
  readonly run: Run;
  readonly host: string;
  readonly matchKey: Buffer;
}

/**
 * Did this run put the backup? Of two machines of which one is a clone of the other nothing but the claims differ: they
 * have the same name and sources, and what starts backups there does so in the same second.
 */
export function isOwnBackup(header: BackupHeader, { run, host, matchKey }: OwnRun): boolean {
  const claim = header.claims.at(-1);
  if (claim !== undefined) return run.claims.includes(claim);
  // Of a version that had no claims.
  return header.host === host && header.matchKey === matchKey.toString('hex');
}

/** Did this run put the checkpoint, or go on with it? */
export function isOwnCheckpoint(header: BackupHeader, own: OwnRun): boolean {
  return isOwnBackup(header, own) || own.run.takenOver.includes(header.claims.at(-1) ?? '');
}

/** Did the run take this checkpoint over? */
export function isTakenOver({ claims, backupId }: BackupHeader, run: Run): boolean {
  return claims.length === 0 ? backupId === run.backupId : run.takenOver.includes(claims.at(-1)!);
}

/**
 * Is the backup of this id that of the run which put the checkpoint, or of one that went on with it? On a machine that
 * began in the same second another one may still be at work.
 * @param checkpoint one under whose id there is a complete backup
 */
export async function isComplete(checkpoint: BackupHeader, repository: Repository): Promise<boolean> {
  const claim = checkpoint.claims.at(-1);
  if (claim === undefined) return true;
  try {
    return (await readBackup(repository, checkpoint.backupId))?.claims.includes(claim) ?? false;
  } catch (error) {
    if (error instanceof DamagedError) return false; // what is left of it may be of use yet
    throw error;
  }
}

/**
 * @returns the id to put a checkpoint under: the first from the run's own on that is no other run's. A machine that began
 * in the same second may have been faster, and each would take the other's place every minute.
 */
export async function checkpointId(repository: Repository, own: OwnRun): Promise<string> {
  for (const backupId of idsFrom(own.run, own.run.backupId)) {
    if (backupId < own.run.backupId) continue;
    const [isFree, checkpoint] = await Promise.all([
      isFreeForBackup(repository, backupId, own),
      whoseCheckpoint(repository, backupId, own),
    ]);
    if (isFree && checkpoint !== 'another') return backupId;
  }
  throw noneFree(own.run.backupId);
}

/**
 * Removes what the run has put of checkpoints, and nothing of others.
 * @param publishedId the id its backup has got: up to it any may have been another's for a while
 */
export async function removeOwnCheckpoints(
  repository: Repository,
  publishedId: string,
  own: OwnRun,
): Promise<void> {
  for (const backupId of idsFrom(own.run, publishedId)) {
    const whose = await whoseCheckpoint(repository, backupId, own);
    if (whose === 'own') await removeCheckpoint(repository, backupId);
    if (whose === 'nobody' && backupId >= publishedId) return;
  }
  throw noneFree(publishedId);
}

/** @returns the ids from the run's first one on, one second after the other: so many as are tried from `fromId` on */
function* idsFrom({ startedAt }: Run, fromId: string): Generator<string> {
  for (let [ms, tried] = [startedAt.getTime(), 0]; tried < IDS_TRIED; ms += 1000) {
    const backupId = backupIdAt(new Date(ms));
    if (backupId >= fromId) tried += 1;
    yield backupId;
  }
}

/** @returns a function that tells of one id after the other whether another run's backup has it, or one that is damaged */
export function takenIds(repository: Repository, own: OwnRun): (backupId: string) => Promise<boolean> {
  let tried = 0;
  return async (backupId) => {
    tried += 1;
    if (tried > IDS_TRIED) throw noneFree(own.run.backupId);
    return !(await isFreeForBackup(repository, backupId, own));
  };
}

function noneFree(fromId: string): SkylockError {
  return new SkylockError(
    `find a free backup id: each of the ${IDS_TRIED} from ${fromId} on is taken or damaged on the remote`,
    { hints: ["'skylock verify' tells what is damaged there."] },
  );
}

async function isFreeForBackup(repository: Repository, backupId: string, own: OwnRun): Promise<boolean> {
  try {
    const header = await readBackup(repository, backupId);
    return header === null || isOwnBackup(header, own);
  } catch (error) {
    if (error instanceof DamagedError) return false; // whose it was cannot be told any more
    throw error;
  }
}

/** A checkpoint that is damaged is of no use to anybody: it counts as the run's own. */
async function whoseCheckpoint(
  repository: Repository,
  backupId: string,
  own: OwnRun,
): Promise<'nobody' | 'own' | 'another'> {
  try {
    const header = await glanceAtCheckpoint(repository, backupId);
    if (header === null) return 'nobody';
    return isOwnCheckpoint(header, own) ? 'own' : 'another';
  } catch (error) {
    if (error instanceof DamagedError) return 'own';
    throw error;
  }
}
