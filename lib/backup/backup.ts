import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkylockError, UsageError } from '../errors.ts';
import type { BackupHeader } from '../format/backup-header.ts';
import { isKnownBackupId } from '../journal/backup-ids.ts';
import { hasEnded, isKnownClaim } from '../journal/claims.ts';
import type { Journal } from '../journal/database.ts';
import type { Owner } from '../journal/owner.ts';
import { claimRun, completeRun, interruptRun, type Run, unfinishedBackupId } from '../journal/runs.ts';
import { openStateFile, type StateFile } from '../journal/state-file.ts';
import { noteLanes } from '../journal/totals.ts';
import { abandonExpiredRuns } from '../journal/unfinished.ts';
import { demoteBrokenFiles } from '../journal/uploaded-entries.ts';
import { EVERY_PATH } from '../journal/uploading.ts';
import type { Progress } from '../progress.ts';
import { listBackupIds, readCheckpoints, removeCheckpoint } from '../repository/backups.ts';
import type { Repository } from '../repository/repository.ts';
import { formatCount } from '../units.ts';
import { startCheckpoints } from './checkpoint.ts';
import { createLedger } from './ledger.ts';
import { isComplete, isTakenOver, removeOwnCheckpoints } from './own.ts';
import { type Plan, plan } from './plan.ts';
import { publish } from './publish.ts';
import { recheckFiles } from './recheck.ts';
import { reconcilePacks } from './reconcile.ts';
import { type Found, scan } from './scan.ts';
import { excludedPaths, matchKeyOf } from './sources.ts';
import { chooseCheckpoint, EXPIRE_AFTER_MS, importCheckpoint } from './take-over.ts';
import { startTidying } from './temporaries.ts';
import { startUploader, type Uploader } from './uploader.ts';

export interface BackupRequest {
  /** As `canonicalSources` gives them. */
  readonly sourcePaths: readonly Buffer[];
  /** Left out with all below them: Skylock's own data and cache, and the repository when it lies on this machine. */
  readonly ownFolders: readonly string[];
  /** What a scan of the sources finds, where one was begun already. */
  readonly found?: Iterable<Found> | null;
  readonly stateFolder: string;
  /** Go on with this unfinished backup, whichever machine began it. */
  readonly adopt?: string | null;
  /** Believe nothing of what counts as uploaded: read the files again, ask the remote for each pack. */
  readonly verifyResume?: boolean;
  readonly checkpointEveryMs?: number;
  /** Packs that are sent at once to begin with. */
  readonly lanes: number;
  /** So many where that brings more: as to begin with unless told. */
  readonly mostLanes?: number;
  /** A pack is ended when it has reached this: 16 MiB unless told. */
  readonly packBytes?: number;
  /** Files up to this size are not compressed. */
  readonly compressOverBytes: number;
  readonly host: string;
  readonly owner: Owner;
  /** `skylock 1.2.3` */
  readonly program: string;
}

export interface BackupDeps {
  readonly journal: Journal;
  readonly repository: Repository;
  /** The repository's number in the journal. */
  readonly journalRepository: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly now: () => Date;
}

export interface BackupSummary {
  readonly backupId: string;
  readonly resumed: boolean;
  readonly files: number;
  readonly folders: number;
  readonly bytes: number;
  /** Of packs, by this process. */
  readonly sentBytes: number;
  /** Entries that could not be read, or not without their changing meanwhile. */
  readonly failures: number;
}

const SAVE_STATE_EVERY_MS = 1000;
const CHECKPOINT_EVERY_MS = 60_000;
/** Packs may be found missing by another process while this one goes on: not so often. */
const PASSES = 10;
/** A remote that has gone away just now must not keep a backup that is complete from saying so. */
const TIDY_UP_MS = 5000;

/**
 * Backs the sources up, or goes on with what an earlier process left. However it ends, the same call goes on from there.
 * @throws LockedError when a living process backs them up already
 * @throws InterruptedError when the signal was given
 */
export async function backUp(request: BackupRequest, deps: BackupDeps): Promise<BackupSummary> {
  const { journal, repository, journalRepository, now } = deps;
  const { sourcePaths, host, owner } = request;
  const matchKey = matchKeyOf(sourcePaths);
  const expired = new Date(now().getTime() - EXPIRE_AFTER_MS);
  await abandonExpiredRuns(journal, expired, request.stateFolder).catch((error: Error) =>
    deps.progress({ type: 'notice', text: `old runs could not be tidied up: ${error.message}` }),
  );
  let damaged = 0;
  const [completeIds, checkpoints] = await Promise.all([
    listBackupIds(repository),
    readCheckpoints(repository, ({ message }) => {
      damaged += 1;
      deps.progress({ type: 'notice', text: `a checkpoint is damaged and not used: ${message}` });
    }),
  ]);
  const leftOver = await findLeftOver(checkpoints, completeIds, deps);
  const ownId = unfinishedBackupId(journal, journalRepository, matchKey);
  if (ownId !== null && request.adopt && request.adopt !== ownId) throw ownRunFirst(ownId, request.adopt);
  const chosen =
    ownId !== null
      ? null
      : chooseCheckpoint(
          checkpoints.filter(
            (one) =>
              !leftOver.includes(one) &&
              !isKnownBackupId(journal, one.backupId) &&
              !isKnownClaim(journal, one),
          ),
          { ...request, ...deps, matchKey, now: now() },
        );

  // Order 1: the run is ours in the journal before anything else changes.
  const run = claimRun(journal, {
    journalRepository,
    matchKey,
    sourcePaths,
    host,
    owner,
    now: now(),
    takenIds: new Set([...completeIds, ...checkpoints.map(({ backupId }) => backupId)]),
    checkpoint: chosen && {
      ...chosen,
      totalFiles: chosen.progress?.totalFiles ?? null,
      uploadedFiles: chosen.files,
    },
    uuid: randomUUID(),
  });
  // As long as there is no plan, what an earlier process took over from the checkpoint may be a part of it only.
  const isUnplanned = run.resumed && run.totalFiles === null;
  const cutShort = isUnplanned ? checkpoints.find((one) => isTakenOver(one, run)) : undefined;
  const checkpoint = chosen ?? cutShort ?? null;
  const state = openStateFile(journal, run, { folder: request.stateFolder, sourcePaths });
  const saving = saveRegularly(state, deps.progress);
  const tidying = startTidying(deps);
  const uploader = startUploader({ ...request, ...deps, run });
  try {
    await saving.rewrite();
    for (const { backupId } of leftOver) await removeCheckpoint(repository, backupId);
    const foundCheckpoints = damaged + checkpoints.length;
    const claimed = { matchKey, run, state, saving, uploader, checkpoint, foundCheckpoints };
    return await backUpClaimed(request, claimed, deps);
  } catch (error) {
    try {
      interruptRun(journal, run);
    } catch {
      // The next run finds an owner that is dead. What stopped this one is what the person has to know.
    }
    await saving.rewrite();
    throw error;
  } finally {
    // Last: a thread that waits for a disk that does not answer must keep nobody from what was saved.
    await Promise.all([uploader.endReading(), tidying.stop()]);
    await saving.stop();
  }
}

/** @returns the checkpoints of runs that were completed, or forgotten on this machine */
async function findLeftOver(
  checkpoints: readonly BackupHeader[],
  completeIds: readonly string[],
  { journal, repository }: BackupDeps,
): Promise<BackupHeader[]> {
  const leftOver: BackupHeader[] = [];
  for (const one of checkpoints) {
    const isOver =
      hasEnded(journal, one) || (completeIds.includes(one.backupId) && (await isComplete(one, repository)));
    if (isOver) leftOver.push(one);
  }
  return leftOver;
}

function ownRunFirst(ownId: string, adopt: string): UsageError {
  return new UsageError(
    `go on with backup ${adopt}: these sources have an unfinished backup of their own, ${ownId}`,
    {
      hints: [`'skylock cleanup ${ownId}' forgets that one; what it sent stays useful.`],
    },
  );
}

/** A run that is ours, with what goes with it. */
interface Claimed {
  readonly matchKey: Buffer;
  readonly run: Run;
  readonly state: StateFile;
  readonly saving: Saving;
  readonly uploader: Uploader;
  /** What another machine, or this one before it lost its journal, had uploaded of it. */
  readonly checkpoint: BackupHeader | null;
  /** How many there were on the remote, whoever's. */
  readonly foundCheckpoints: number;
}

async function backUpClaimed(
  request: BackupRequest,
  claimed: Claimed,
  deps: BackupDeps,
): Promise<BackupSummary> {
  const { matchKey, run, state, uploader, checkpoint, foundCheckpoints } = claimed;
  const { journal, repository, progress, signal, now } = deps;
  const { sourcePaths, host, owner, program, lanes, compressOverBytes } = request;
  const { checkpointEveryMs = CHECKPOINT_EVERY_MS, verifyResume = false } = request;
  noteLanes(journal, run, lanes);
  progress({
    type: 'backup_started',
    backupId: run.backupId,
    remote: repository.remote.url,
    lanes,
    compressOverBytes,
    resumed: run.resumed
      ? {
          startedAt: run.startedAt,
          uploadedFiles: checkpoint?.files ?? run.uploadedFiles,
          totalFiles: run.totalFiles ?? checkpoint?.progress?.totalFiles ?? 0,
        }
      : null,
  });

  const lostPacks = await reconcilePacks(deps, { askForEach: verifyResume });
  if (checkpoint !== null) await importCheckpoint(checkpoint, { journal, repository, run });
  if (lostPacks > 0 || checkpoint !== null) demoteBrokenFiles(journal, run, now());
  const unproved = verifyResume ? await recheckFiles({ ...deps, run }) : 0;

  const found = request.found ?? scan(sourcePaths, excludedPaths(request.ownFolders));
  const planned = await plan(found, sourcePaths, {
    journal,
    run,
    progress,
    signal,
    now,
    onPlanned: uploader.readAhead,
  });
  state.notePlanned(planned.uploadedFiles); // where nothing has changed all is done before the next second is over

  const facts = { host, program, sourcePaths, matchKey, owner, unreadable: planned.failures };
  const publishing = { journal, repository, run, now, uploader };
  const checkpoints = startCheckpoints(checkpointEveryMs, facts, publishing, (error) =>
    progress({ type: 'notice', text: `no checkpoint could be put: ${error.message}` }),
  );
  const failed = await uploadFiles(claimed, planned, deps).finally(checkpoints.stop);
  const failures = planned.failures + unproved + failed;
  void uploader.endReading(); // beside what follows, which then has the memory

  progress({ type: 'publishing' });
  const header = await publish({ ...facts, unreadable: failures }, publishing);

  // Order 5: the backup is on the remote; only now is the run complete, and only then do state file and checkpoint go.
  // What cannot be removed now is left over, and the next backup removes it.
  completeRun(journal, run);
  await state.remove().catch(() => {});
  const { backupId, files, folders, bytes } = header;
  if (foundCheckpoints > 0 || checkpoints.mayHavePut()) {
    await Promise.race([
      removeOwnCheckpoints(repository, backupId, { run, host, matchKey }).catch(() => {}),
      sleep(TIDY_UP_MS, undefined, { ref: false }),
    ]);
  }
  return {
    backupId,
    resumed: run.resumed,
    files,
    folders,
    bytes,
    sentBytes: uploader.sentBytes(),
    failures,
  };
}

/** @returns how many files could not be read */
async function uploadFiles(
  { run, state, saving, uploader }: Claimed,
  planned: Plan,
  { journal, progress, now }: BackupDeps,
): Promise<number> {
  const failed = new Set<bigint>();
  const ledger = createLedger(journal, run, {
    now,
    onFailed(file, reason) {
      failed.add(file.entry);
      progress({ type: 'entry_failed', path: file.path.toString(), reason });
    },
  });
  let { uploadedFiles, uploadedBytes } = planned;
  for (let pass = 1; ; pass += 1) {
    await uploader.uploadFiles({
      expect: ledger.expect,
      settle(batch) {
        const { completed, bytes } = ledger.settle(batch);
        state.noteUploaded(completed);
        uploadedFiles += completed.length;
        uploadedBytes += bytes;
        const sentBytes = uploader.sentBytes();
        progress({ type: 'uploaded', uploadedFiles, uploadedBytes, sentBytes });
      },
    });
    // Another process may have found packs missing meanwhile: nothing is published that refers to one.
    const broken = demoteBrokenFiles(journal, run, now());
    if (broken.files === 0) return failed.size;
    if (pass === PASSES) throw neverWhole(journal, broken.files);
    uploadedFiles -= broken.files;
    uploadedBytes -= broken.bytes;
    uploader.readAhead(EVERY_PATH);
    await saving.rewrite();
  }
}

/** Files that were just read and recorded, and yet are not whole by what the journal says: it is not the files' fault. */
function neverWhole({ file }: Journal, files: number): SkylockError {
  return new SkylockError(
    `use journal ${file}: what it says of ${formatCount(files, 'file')} does not add up`,
    {
      hints: ['Move that file away and run the same command again: what it knew is on the remote.'],
    },
  );
}

interface Saving {
  rewrite(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Saves the state file every second while the run goes on. The journal is the truth: a state file that cannot be written
 * is told of once and stops nothing.
 */
function saveRegularly(state: StateFile, progress: Progress): Saving {
  let warned = false;
  const telling = (saved: Promise<void>) =>
    saved.catch((error: Error) => {
      if (!warned)
        progress({ type: 'notice', text: `the state file could not be written: ${error.message}` });
      warned = true;
    });
  let last = Promise.resolve();
  const timer = setInterval(() => {
    last = telling(state.save());
  }, SAVE_STATE_EVERY_MS);
  return {
    rewrite: () => telling(state.rewrite()),
    stop() {
      clearInterval(timer);
      return last;
    },
  };
}
