import { InterruptedError } from '../errors.ts';
import type { BackupHeader } from '../format/backup-header.ts';
import type { Journal } from '../journal/database.ts';
import type { Owner } from '../journal/owner.ts';
import { chunkLocator, holdSnapshot } from '../journal/packs.ts';
import { openRestorePlan, type RestoreEntry, type RestorePlan, setState } from '../journal/restore-plan.ts';
import type { Progress } from '../progress.ts';
import { learnChunks } from '../repository/learn.ts';
import { readManifest } from '../repository/manifest.ts';
import type { Repository } from '../repository/repository.ts';
import { formatCount } from '../units.ts';
import { abortable, pauser } from '../waiting.ts';
import { choose } from './choose.ts';
import { createCompare } from './compare.ts';
import { reasonOf } from './failure.ts';
import { fetchPieces } from './fetch.ts';
import { finish } from './finish.ts';
import { createOpener } from './opener.ts';
import { createPartFiles } from './part-files.ts';
import { partTag } from './part-name.ts';
import { createParts } from './parts.ts';
import type { Overwrite } from './place.ts';
import { type PlanDeps, planEntries } from './plan.ts';
import { createTally, type RestoreSummary, type Tally } from './tally.ts';
import { openTarget, type Target } from './target.ts';

export interface RestoreRequest {
  readonly backup: BackupHeader;
  /** As in the backup: absolute; none stand for all of it. */
  readonly paths: readonly Buffer[];
  /** A folder, made where there is none. */
  readonly target: string;
  readonly overwrite: Overwrite;
  readonly owner: Owner;
  /** 0 is root, who alone can give files to others. */
  readonly userId: number;
}

export interface RestoreDeps {
  readonly journal: Journal;
  readonly repository: Repository;
  /** The repository's number in the journal. */
  readonly journalRepository: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * Restores a backup, or some of it, below the target folder: each entry under its absolute path. However it ends, the
 * same call goes on from there: what is in place already is not fetched again.
 * @throws UsageError naming a path that is not in the backup
 * @throws DamagedError when the list of entries cannot be read; of a file that cannot be, only that file is told
 * @throws InterruptedError when the signal was given
 */
export async function restore(request: RestoreRequest, deps: RestoreDeps): Promise<RestoreSummary> {
  const plan = openRestorePlan(deps.journal);
  try {
    return await restorePlanned(request, plan, deps);
  } catch (error) {
    if (!deps.signal.aborted) throw error;
    throw new InterruptedError('restore backup: interrupted', {
      hints: ['Run the same command again: what is restored already is not fetched again.'],
      cause: error,
    });
  } finally {
    plan.close();
  }
}

async function restorePlanned(
  request: RestoreRequest,
  plan: RestorePlan,
  deps: RestoreDeps,
): Promise<RestoreSummary> {
  const { backup, paths, overwrite, userId } = request;
  const { repository, journal, journalRepository, progress, signal } = deps;
  const { backupId } = backup;
  progress({ type: 'restore_started', backupId, remote: repository.remote.url, target: request.target });
  const pause = pauser(signal);

  await abortable(() => learnChunks(deps), signal);
  const entries = readManifest(repository, journal, journalRepository, backup, { signal });
  const chosen = await choose(entries, paths, { plan, backupId, pause });

  const target = openTarget(request.target);
  const tally = createTally(progress);
  const writing = { overwrite, asRoot: userId === 0, tag: partTag(request.owner) };
  const files = createPartFiles({ target, ...writing });
  const parts = createParts({ plan, target, tally, files, userId, tag: writing.tag });
  const opener = createOpener({ master: repository.keys.master, root: target.root, ...writing });
  try {
    const attempt = attempter({ plan, target, tally, discard: parts.discard });
    const compare = createCompare(repository.keys);
    const locate = chunkLocator(journal, journalRepository);
    const shared = {
      ...deps,
      ...{ plan, target, tally, parts, compare, locate, opener, overwrite, userId, attempt, pause },
    };

    await planWithSnapshot(journal, shared);
    tally.planned(chosen);
    await fetchPieces(shared);
    await finish(shared);
  } finally {
    await opener.stop(); // it writes into the target
    parts.close();
    target.close();
  }
  if (chosen.sockets > 0) {
    const text = `${formatCount(chosen.sockets, 'socket')} left out: only the program that listens can make one`;
    progress({ type: 'notice', text });
  }
  return { backupId, target: request.target, ...tally.summary() };
}

/** Each file's chunks are looked up in the journal: by the million. */
async function planWithSnapshot(journal: Journal, deps: PlanDeps): Promise<void> {
  const release = holdSnapshot(journal);
  try {
    await planEntries(deps);
  } finally {
    release();
  }
}

/** What fails for one entry is told, and the others go on. */
function attempter(deps: {
  readonly plan: RestorePlan;
  readonly target: Target;
  readonly tally: Tally;
  readonly discard: (entry: RestoreEntry) => void;
}) {
  return async (entry: RestoreEntry, work: () => void | Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      const shown = deps.target.shown(entry.path.toString('latin1'));
      const reason = reasonOf(error, shown);
      const isNews = setState(deps.plan, entry.id, 'failed');
      deps.discard(entry);
      if (!isNews) return;
      if (entry.type === 'file') deps.tally.missed(shown, reason);
      else deps.tally.failed(shown, reason);
    }
  };
}
