import { LockedError, SkylockError } from '../errors.ts';
import type { BackupHeader } from '../format/backup-header.ts';
import { type Entry as ManifestEntry, splitChunkIds } from '../format/manifest.ts';
import type { Journal } from '../journal/database.ts';
import { isAlive, type Owner } from '../journal/owner.ts';
import { type ImportedEntry, importEntries } from '../journal/planned-entries.ts';
import type { Run } from '../journal/runs.ts';
import type { Progress } from '../progress.ts';
import { readManifest } from '../repository/manifest.ts';
import type { Repository } from '../repository/repository.ts';

/** Another machine of the same name may still be at work: a run puts a checkpoint every minute or so. */
const FRESH_MS = 10 * 60 * 1000;
/** Nobody goes on with a run that rested for a week; what it sent is found again all the same. */
export const EXPIRE_AFTER_MS = 7 * 24 * 3600 * 1000;
const BATCH = 500;

export interface CheckpointSearch {
  readonly matchKey: Buffer;
  readonly host: string;
  readonly owner: Owner;
  /** The id the person named; without it, one of the same host and sources is looked for. */
  readonly adopt?: string | null;
  readonly progress: Progress;
  readonly now: Date;
}

/**
 * Chooses the unfinished backup to go on with that this machine's journal does not know: another machine's, or this
 * one's before its journal was lost.
 * @param headers of the checkpoints on the remote, the oldest first
 * @throws SkylockError when the one that was named is not among them
 * @throws LockedError when its process lives on this machine
 */
export function chooseCheckpoint(
  headers: readonly BackupHeader[],
  { matchKey, host, owner, adopt = null, progress, now }: CheckpointSearch,
): BackupHeader | null {
  if (adopt !== null) {
    const header = headers.find(({ backupId }) => backupId === adopt);
    if (header !== undefined) return header;
    throw new SkylockError(`go on with backup ${adopt}: the remote has no checkpoint of it`, {
      hints: ["'skylock list' shows what is unfinished. Without --adopt a new backup is begun."],
    });
  }
  const key = matchKey.toString('hex');
  const header = headers
    .filter((one) => one.host === host && one.matchKey === key)
    .filter((one) => now.getTime() - lastSeen(one).getTime() < EXPIRE_AFTER_MS)
    .at(-1);
  if (header === undefined) return null;
  const writer = header.progress?.owner ?? null;
  if (writer !== null && writer.bootId === owner.bootId) {
    if (!isAlive(writer)) return header;
    throw new LockedError(`back up: process ${writer.pid} is backing these sources up already`, {
      hints: [`Wait for it to end, or stop it with 'kill ${writer.pid}' and run the same command again.`],
    });
  }
  const ageMs = now.getTime() - lastSeen(header).getTime();
  if (ageMs > FRESH_MS) return header;
  progress({
    type: 'notice',
    text: `a machine named ${host} was at work on backup ${header.backupId} a moment ago: a new backup is begun`,
    hints: [`If it is not any more, stop this one and add '--adopt ${header.backupId}'.`],
  });
  return null;
}

function lastSeen({ progress, startedAt }: BackupHeader): Date {
  return progress?.updatedAt ?? startedAt;
}

/** Takes what the checkpoint lists into the journal as uploaded; the plan then compares it with what is there. */
export async function importCheckpoint(
  header: BackupHeader,
  {
    journal,
    repository,
    run,
  }: { readonly journal: Journal; readonly repository: Repository; readonly run: Run },
): Promise<void> {
  let batch: ImportedEntry[] = [];
  for await (const entry of readManifest(repository, journal, run.journalRepository, header)) {
    // Read while it changed, or a moment after: its times do not tell whether it is still the same.
    if (entry.ctimeNs === 0n) continue;
    // Nothing here is like that, and the journal has no room for it.
    if (!fitsJournal(entry.mtimeNs) || ('device' in entry && !fitsJournal(entry.device))) continue;
    batch.push(importedEntry(entry));
    if (batch.length < BATCH) continue;
    importEntries(journal, run, batch);
    batch = [];
  }
  importEntries(journal, run, batch);
}

/** The format has 30 digits for a number, SQLite 64 bits. */
function fitsJournal(number: bigint): boolean {
  return BigInt.asIntN(64, number) === number;
}

/** Inode, device and ctime are another machine's, or another disk's: 0 says that they are not to be compared. */
function importedEntry(entry: ManifestEntry): ImportedEntry {
  return {
    path: entry.path,
    type: entry.type,
    size: entry.type === 'file' ? BigInt(entry.size) : 0n,
    mtimeNs: entry.mtimeNs,
    ctimeNs: 0n,
    inode: 0n,
    device: 0n,
    links: 1n,
    mode: BigInt(entry.mode),
    uid: BigInt(entry.uid),
    gid: BigInt(entry.gid),
    specialDevice: 'device' in entry ? entry.device : 0n,
    target: entry.type === 'symlink' ? entry.target : null,
    chunks: entry.type === 'file' ? [...splitChunkIds(entry.chunks)] : [],
  };
}
