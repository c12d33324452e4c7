import { DamagedError, LockedError } from '../errors.ts';
import type { BackupHeader } from '../format/backup-header.ts';
import { encodeDirectory } from '../format/pack-directory.ts';
import type { PackToIndex } from '../format/pack-index.ts';
import type { Journal } from '../journal/database.ts';
import { forgetAllPacks } from '../journal/packs.ts';
import { unfinishedRuns } from '../journal/unfinished.ts';
import {
  addPackContents,
  countLostChunks,
  dropDamagedIndexes,
  locationsOf,
  markMissingPacks,
  markPack,
  openVerifyStore,
  type StoredLocation,
  type StoredPack,
  storedPacks,
  unlistedPacks,
  type VerifyStore,
} from '../journal/verify-store.ts';
import type { Progress } from '../progress.ts';
import { MAX_GET_BYTES } from '../remote/remote.ts';
import { concurrently } from '../repository/concurrently.ts';
import { syncIndexes, writeIndexes } from '../repository/indexes.ts';
import { readManifestBy } from '../repository/manifest.ts';
import { readPackDirectory } from '../repository/pack-directories.ts';
import { CHECKPOINTS_PREFIX, packName, type Repository } from '../repository/repository.ts';
import { checkData } from './check-data.ts';
import { checkHeaders } from './check-headers.ts';
import { damageOf } from './damage.ts';
import { createFindings } from './findings.ts';
import { inspectPack } from './inspect-pack.ts';
import { createRescue } from './rescue.ts';
import { copyAside, setAside } from './set-aside.ts';
import { entriesOf, listObjects, readIndexes } from './survey.ts';

export interface RepairRequest {
  /** Only tell what would be done. */
  readonly dryRun: boolean;
  /** Fetch every pack: without that, damage inside packs that indexes name is not seen. */
  readonly readData: boolean;
}

export interface RepairDeps {
  readonly journal: Journal;
  /** The repository's number in the journal. */
  readonly journalRepository: number;
  readonly repository: Repository;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Told of each step when it is done, or would be. */
  readonly onAction: (action: Action) => Promise<void>;
}

export interface Action {
  /** `kept`: it is damaged and cannot be mended. */
  readonly action: 'put' | 'removed' | 'set_aside' | 'dropped' | 'kept';
  readonly object: string;
  readonly reason: string;
}

export interface RepairSummary {
  readonly dryRun: boolean;
  readonly actions: number;
  /** Backups whose header is damaged. */
  readonly unreadableBackups: number;
  /** Chunks that can be read nowhere: the next backup sends those its sources still have. */
  readonly lostChunks: number;
}

type Deps = RepairDeps & RepairRequest & { readonly store: VerifyStore };

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
  const deps: Deps = { ...request, ...given, store, onAction };
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
      if (!deps.dryRun) await deps.repository.remote.remove(name);
      await onAction({ action: 'set_aside', object: name, reason: damage });
    }
    for (const { name, damage } of replaced) {
      if (damage !== null) await moveAside(name, damage, deps);
      else {
        if (!deps.dryRun) await deps.repository.remote.remove(name);
        await onAction({ action: 'removed', object: name, reason: 'it names packs that cannot be read' });
      }
    }
    const unreadableBackups = await mendHeaders(deps);
    if (!deps.dryRun) await relearn(deps);
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
async function survey(deps: Deps): Promise<void> {
  const { store, progress, readData } = deps;
  progress({ type: 'checking', what: 'indexes' });
  await readIndexes(deps);
  progress({ type: 'checking', what: 'packs' });
  await listObjects(deps);
  markMissingPacks(store);
  await readDirectories(deps);
  if (!readData) return;
  const everything = { share: 1, usedOnly: false, random: () => 0 };
  await checkData(everything, createFindings(store), deps);
}

const READS_AT_ONCE = 4;

/** Packs in no index tell by themselves what they hold. */
async function readDirectories({ repository, store, signal }: Deps): Promise<void> {
  await concurrently(storedPacks(store), READS_AT_ONCE, async ({ id, name, size, foundSize }) => {
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

interface DamagedObject {
  readonly name: string;
  readonly damage: string;
}

/**
 * Takes what can still be read out of damaged packs into new ones, and copies them aside.
 * @returns the packs that may go once no index needs them
 */
async function rescueChunks(deps: Deps): Promise<DamagedObject[]> {
  const { repository, store, dryRun, onAction, signal } = deps;
  const rescue = createRescue({
    ...deps,
    onPut: (object, chunks) =>
      onAction({ action: 'put', object, reason: `${chunks} chunks out of damaged packs` }),
  });
  const copied: DamagedObject[] = [];
  for (const pack of damagedPacks(store)) {
    signal.throwIfAborted();
    const name = packName(pack.name.toString('hex'));
    const damage = String(pack.damage);
    const bytes = await fetchWhole(repository, pack);
    if (bytes === null) {
      const isThere = pack.foundSize !== null;
      await onAction({ action: isThere ? 'kept' : 'dropped', object: name, reason: damage });
      continue;
    }
    const again = inspectPack(
      repository.keys,
      pack.name.toString('hex'),
      bytes,
      entriesOf(store, pack),
      rescue.add,
    );
    if (again.damage === null) {
      throw new DamagedError(`read ${name}: it was damaged at first and is not any more`, {
        hints: [
          'The line or the storage changes what is read. Nothing that was there was removed; try again.',
        ],
      });
    }
    if (!dryRun) await copyAside(repository, name, bytes);
    copied.push({ name, damage });
    await rescue.put();
  }
  await rescue.end();
  return copied;
}

/** A list, since packs of rescued chunks join the others meanwhile. */
function damagedPacks(store: VerifyStore): StoredPack[] {
  return storedPacks(store)
    .filter(({ damage }) => damage !== null)
    .toArray();
}

/** @returns `null` when it is not there, or larger than any pack */
async function fetchWhole({ remote }: Repository, { name, foundSize }: StoredPack): Promise<Buffer | null> {
  if (foundSize === null || foundSize > MAX_GET_BYTES) return null;
  return remote.get(packName(name.toString('hex')));
}

/** Puts indexes of the packs that are right and in no index that stays. */
async function putIndexes({ repository, store, dryRun, onAction }: Deps): Promise<void> {
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
  for await (const { name, group } of writeIndexes(repository, packs)) {
    await onAction({ action: 'put', object: name, reason: `an index of ${group.length} packs` });
  }
}

/** @returns how many backups cannot be opened; checkpoints that cannot be used only stand in the way of the next backup */
async function mendHeaders(deps: Deps): Promise<number> {
  const damaged: DamagedObject[] = [];
  const listed = await checkHeaders(deps.repository, null, {
    damaged: (name, damage) => void damaged.push({ name, damage }),
  });
  for (const { object, header } of listed) {
    if (!object.startsWith(CHECKPOINTS_PREFIX)) continue;
    const damage = await checkListOfFiles(object, await header(), deps);
    if (damage !== null) damaged.push({ name: object, damage });
  }
  let backups = 0;
  for (const { name, damage } of damaged) {
    if (name.startsWith(CHECKPOINTS_PREFIX)) await moveAside(name, damage, deps);
    else {
      backups += 1;
      await deps.onAction({ action: 'kept', object: name, reason: damage });
    }
  }
  return backups;
}

/** @returns why it cannot be read whole, or `null` */
async function checkListOfFiles(
  object: string,
  header: BackupHeader | null,
  { repository, store, dryRun, signal }: Deps,
): Promise<string | null> {
  if (header === null) return null;
  // Rescued chunks lie in new packs, which a dry run does not put.
  const isThere = ({ lost, damage }: StoredLocation) => (dryRun ? !lost : damage === null);
  const locate = (id: Buffer) => locationsOf(store, id).find(isThere) ?? null;
  try {
    const entries = readManifestBy(locate, repository, header, { signal });
    for await (const _ of entries);
    return null;
  } catch (error) {
    return damageOf(error, object);
  }
}

async function moveAside(
  name: string,
  reason: string,
  { repository, dryRun, onAction }: Deps,
): Promise<void> {
  if (!dryRun) await setAside(repository, name);
  await onAction({ action: 'set_aside', object: name, reason });
}

/** What this machine remembers of the packs is not right any more. */
async function relearn({ repository, journal, journalRepository }: Deps): Promise<void> {
  forgetAllPacks(journal, journalRepository);
  await syncIndexes(repository, journal, journalRepository);
}
