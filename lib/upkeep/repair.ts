import { LockedError } from '../errors.ts';
import { encodeDirectory } from '../format/pack-directory.ts';
import type { PackToIndex } from '../format/pack-index.ts';
import { forgetAllPacks } from '../journal/packs.ts';
import { unfinishedRuns } from '../journal/unfinished.ts';
import {
  addPackContents,
  countLostChunks,
  dropDamagedIndexes,
  markMissingPacks,
  markPack,
  openVerifyStore,
  storedPacks,
  unlistedPacks,
} from '../journal/verify-store.ts';
import { CALLS_AT_ONCE, concurrently } from '../repository/concurrently.ts';
import { syncIndexes, writeIndexes } from '../repository/indexes.ts';
import { readPackDirectory } from '../repository/pack-directories.ts';
import { packName } from '../repository/repository.ts';
import { checkData } from './check-data.ts';
import { damageOf } from './damage.ts';
import { createFindings } from './findings.ts';
import { mendHeaders } from './mend-headers.ts';
import {
  type Action,
  change,
  moveAside,
  type RepairDeps,
  type RepairRequest,
  type StepDeps,
} from './repair-step.ts';
import { rescueChunks } from './rescue-chunks.ts';
import { entriesOf, findMissingPacks, listObjects, readIndexes } from './survey.ts';

export interface RepairSummary {
  readonly dryRun: boolean;
  readonly actions: number;
  /** Backups whose header is damaged. */
  readonly unreadableBackups: number;
  /** Chunks that can be read nowhere: the next backup sends those its sources still have. */
  readonly lostChunks: number;
}

/**
 * Mends what can be: afterwards indexes name exactly the packs that can be read. Killed anywhere, the same call does the
 * rest.
 * @throws LockedError when a process on this machine backs up to the repository
 */
export async function repair(request: RepairRequest, given: RepairDeps): Promise<RepairSummary> {
  refuseWhileBackingUp(given);
  const store = openVerifyStore(given.journal);
  let actions = 0;
  const onAction = async (action: Action) => {
    if (action.action !== 'kept') actions += 1;
    await given.onAction(action);
  };
  const deps: StepDeps = { ...request, ...given, store, onAction };
  try {
    await survey(deps);
    const copied = await rescueChunks(deps);
    const lostChunks = countLostChunks(store);

    // Order 4: packs, then the indexes that name them; only then what those take the place of.
    const replaced = dropDamagedIndexes(store);
    await putIndexes(deps);
    refuseWhileBackingUp(given);
    // Before the indexes that name them go: a damaged pack in no index would look like one that was just put.
    for (const { name, damage } of copied) {
      await change(deps, () => deps.repository.remote.remove(name));
      await onAction({ action: 'set_aside', object: name, reason: damage });
    }
    for (const { name, damage } of replaced) {
      if (damage !== null) await moveAside(name, damage, deps);
      else {
        await change(deps, () => deps.repository.remote.remove(name));
        await onAction({ action: 'removed', object: name, reason: 'it names packs that cannot be read' });
      }
    }
    const unreadableBackups = await mendHeaders(deps);
    await change(deps, () => relearn(deps));
    return { dryRun: deps.dryRun, actions, unreadableBackups, lostChunks };
  } finally {
    store.close();
  }
}

function refuseWhileBackingUp({ journal, repository }: RepairDeps): void {
  const running = unfinishedRuns(journal).find(
    ({ repositoryUuid, runningPid }) =>
      repositoryUuid === repository.config.repositoryId && runningPid !== null,
  );
  if (running === undefined) return;
  throw new LockedError(`repair repository: process ${running.runningPid} is backing up to it`, {
    hints: [`Wait for it to end, or stop it with 'kill ${running.runningPid}'.`],
  });
}

/** Finds out what there is, and marks what is damaged. */
async function survey(deps: StepDeps): Promise<void> {
  const { store, progress, readData } = deps;
  progress({ type: 'checking', what: 'indexes' });
  await readIndexes(deps);
  progress({ type: 'checking', what: 'packs' });
  await listObjects(deps);
  await findMissingPacks(deps);
  markMissingPacks(store);
  await readDirectories(deps);
  if (!readData) return;
  const everything = { share: 1, usedOnly: false, random: () => 0 };
  await checkData(everything, createFindings(store), deps);
}

/** Packs in no index tell by themselves what they hold. */
async function readDirectories({ repository, store, signal }: StepDeps): Promise<void> {
  await concurrently(storedPacks(store), CALLS_AT_ONCE, async ({ id, name, size, foundSize }) => {
    if (size !== null || foundSize === null) return;
    signal.throwIfAborted();
    const sha256 = name.toString('hex');
    try {
      const chunks = await readPackDirectory(repository, sha256, foundSize);
      if (chunks !== null) addPackContents(store, { name, size: foundSize, chunks });
    } catch (error) {
      markPack(store, id, damageOf(error, packName(sha256)), 'all');
    }
  });
}

/** Puts indexes of the packs that are right and in no index that stays. */
async function putIndexes({ repository, store, dryRun, onAction, signal }: StepDeps): Promise<void> {
  const packs = unlistedPacks(store).map((pack): PackToIndex => {
    const directory = encodeDirectory(entriesOf(store, pack) ?? []);
    return { name: pack.name.toString('hex'), sizeBytes: pack.size ?? 0, directory };
  });
  if (dryRun) {
    for (const { name } of packs) {
      await onAction({ action: 'put', object: 'index/', reason: `an index that names ${packName(name)}` });
    }
    return;
  }
  signal.throwIfAborted();
  for await (const { name, group } of writeIndexes(repository, packs)) {
    await onAction({ action: 'put', object: name, reason: `an index of ${group.length} packs` });
  }
}

/** What this machine remembers of the packs is not right any more. */
async function relearn({ repository, journal, journalRepository }: StepDeps): Promise<void> {
  forgetAllPacks(journal, journalRepository);
  await syncIndexes(repository, journal, journalRepository);
}
