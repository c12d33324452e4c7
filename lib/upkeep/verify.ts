import { BACKUP_ID } from '../format/backup-header.ts';
import type { Journal } from '../journal/database.ts';
import {
  type AffectedFile,
  affectedBackups,
  affectedFiles,
  countAffectedFiles,
  countAllAffected,
  type StoredFinding,
  storedFindings,
} from '../journal/verify-findings.ts';
import { markMissingPacks, openVerifyStore, storedPacks, type VerifyStore } from '../journal/verify-store.ts';
import type { Progress } from '../progress.ts';
import { TEMPORARY_FOLDER } from '../remote/remote.ts';
import {
  BACKUPS_PREFIX,
  CHECKPOINTS_PREFIX,
  CONFIG_NAME,
  INDEX_PREFIX,
  KEYS_PREFIX,
  packName,
  type Repository,
} from '../repository/repository.ts';
import { checkData, type DataCheck } from './check-data.ts';
import { checkHashes, type HashCheck, requireHashes } from './check-hashes.ts';
import { checkHeaders, type Listed } from './check-headers.ts';
import { checkManifests } from './check-manifests.ts';
import { checkSettings } from './check-settings.ts';
import { withRefusalsAsDamage } from './damage.ts';
import { createFindings, type Findings } from './findings.ts';
import { SET_ASIDE_PREFIX } from './set-aside.ts';
import { listObjects, readIndexes } from './survey.ts';

export interface VerifyRequest {
  /** Look at this backup and what it needs; `null` for all. */
  readonly backupId: string | null;
  /** 0 to 1: of so many of the packs, chosen at random, every byte is fetched and looked at. */
  readonly readShare: number;
  /** Have the server compute the hash of every pack. */
  readonly serverHash: boolean;
}

export interface VerifyDeps {
  /** Only its folder is used: what it remembers of the remote proves nothing. */
  readonly journal: Pick<Journal, 'file'>;
  readonly repository: Repository;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** @returns 0 up to 1 */
  readonly random: () => number;
  /** Told of each when all was looked at, or when the look was cut short. */
  readonly onFinding: (finding: Finding) => Promise<void>;
}

export interface Finding extends Omit<StoredFinding, 'id'> {
  /** Ids of the backups it affects. */
  readonly backups: readonly string[];
  /** How many files cannot be restored whole. */
  readonly files: number;
  /** May be asked for until the next finding is told. */
  readonly affected: () => Iterable<AffectedFile>;
}

export interface VerifySummary {
  readonly findings: number;
  readonly notes: number;
  /** Files that cannot be restored whole. */
  readonly affectedFiles: number;
  readonly backups: number;
  readonly indexes: number;
  readonly packs: number;
  /** Of the packs. */
  readonly bytes: number;
  /** Packs whose hash the server was asked for. */
  readonly hashedPacks: number;
  readonly hashedBytes: number;
  readonly readPacks: number;
  readonly readBytes: number;
  /** Names of the packs that were read, when they are a share of them. */
  readonly chosenPacks: readonly string[];
}

/**
 * Proves that what is on the remote can be restored, as far as that can be seen without fetching it; by hashes the server
 * computes; with a share, by fetching it. Cheap looks come first, and what one finds keeps none of the others from being made.
 * @throws SkylockError when there is no backup of the id
 */
export async function verify(request: VerifyRequest, deps: VerifyDeps): Promise<VerifySummary> {
  const store = openVerifyStore(deps.journal);
  try {
    const counts = await check(request, store, deps).catch(async (error: unknown) => {
      await tell(store, deps);
      throw error;
    });
    const told = await tell(store, deps);
    return { ...counts, ...told, affectedFiles: countAllAffected(store) };
  } finally {
    store.close();
  }
}

async function check(
  { backupId, readShare, serverHash }: VerifyRequest,
  store: VerifyStore,
  { repository: given, progress, signal, random }: VerifyDeps,
): Promise<Omit<VerifySummary, 'findings' | 'notes' | 'affectedFiles'>> {
  const repository = { ...given, remote: withRefusalsAsDamage(given.remote, signal) };
  const findings = createFindings(store);
  const deps = { repository, store, findings, progress, signal };

  progress({ type: 'checking', what: `settings of ${repository.remote.url}` });
  if (serverHash) await requireHashes(repository, signal);
  await checkSettings(repository, findings);
  // What relies on others is looked at before them: what a backup that runs meanwhile adds is then seen whole or not at all.
  progress({ type: 'checking', what: 'backups' });
  const listed = await checkHeaders(repository, backupId, findings);

  progress({ type: 'checking', what: 'indexes' });
  let indexes = 0;
  await readIndexes(deps, (name, damage) => {
    indexes += 1;
    if (damage !== null) findings.damaged(name, damage);
  });
  progress({ type: 'checking', what: 'packs' });
  await listObjects(deps, (name) => noteObject(name, listed, findings));
  for await (const { name } of repository.remote.list(`${TEMPORARY_FOLDER}/`)) {
    findings.note(name, 'it belongs to an upload that runs, or to one that did not end');
  }
  markMissingPacks(store);

  const isUseKnown = await checkManifests(listed, deps);
  const usedOnly = backupId !== null;
  const hashed = serverHash ? await checkHashes(usedOnly, findings, deps) : NO_HASHES;
  const choice = { share: readShare, usedOnly, random };
  const data = readShare > 0 ? await checkData(choice, findings, deps) : NO_DATA;
  // Which files the chunks belong to that turned out to be damaged.
  if (hashed.lostChunks || data.lostChunks) await checkManifests(listed, deps);
  const found = checkUnused(store, backupId === null, isUseKnown, findings);
  return {
    ...found,
    backups: listed.length,
    indexes,
    hashedPacks: hashed.packs,
    hashedBytes: hashed.bytes,
    readPacks: data.packs,
    readBytes: data.bytes,
    chosenPacks: data.chosen,
  };
}

const NO_HASHES: HashCheck = { packs: 0, bytes: 0, lostChunks: false };
const NO_DATA: DataCheck = { packs: 0, bytes: 0, lostChunks: false, chosen: [] };

/** Packs that no index names, or no file needs, harm nobody; where it is not known what files need, missing ones may. */
function checkUnused(
  store: VerifyStore,
  isWholeLook: boolean,
  isUseKnown: boolean,
  findings: Findings,
): { readonly packs: number; readonly bytes: number } {
  let [packs, bytes] = [0, 0];
  for (const { name, size, foundSize, damage, used } of storedPacks(store)) {
    if (foundSize !== null) {
      packs += 1;
      bytes += foundSize;
    }
    if (!isWholeLook || used) continue;
    const object = packName(name.toString('hex'));
    if (size === null) {
      if (damage === null) findings.note(object, 'it is in no index that can be read');
    } else if (size !== foundSize) {
      if (isUseKnown) findings.note(object, `${damage}; no file needs it`);
      else findings.damaged(object, String(damage));
    }
  }
  return { packs, bytes };
}

const KNOWN_PREFIXES = [KEYS_PREFIX, INDEX_PREFIX, 'archives/'];

/** @param name of an object that is no pack */
function noteObject(name: string, listed: readonly Listed[], findings: Findings): void {
  const [folder, rest = ''] = [name.slice(0, name.indexOf('/') + 1), name.slice(name.indexOf('/') + 1)];
  if (name === CONFIG_NAME || KNOWN_PREFIXES.includes(folder)) return;
  if (folder === SET_ASIDE_PREFIX) findings.note(name, "'skylock repair' has set it aside");
  else if (![BACKUPS_PREFIX, CHECKPOINTS_PREFIX].includes(folder) || !BACKUP_ID.test(rest)) {
    findings.note(name, 'it is nothing of a repository');
  } else if (folder === CHECKPOINTS_PREFIX && listed.some(({ object }) => object === BACKUPS_PREFIX + rest)) {
    findings.note(name, 'its backup is complete: the next backup removes it');
  }
}

async function tell(
  store: VerifyStore,
  { onFinding }: VerifyDeps,
): Promise<{ readonly findings: number; readonly notes: number }> {
  const counts = { finding: 0, note: 0 };
  for (const kind of ['finding', 'note'] as const) {
    for (const { id, object, reason } of storedFindings(store, kind)) {
      counts[kind] += 1;
      await onFinding({
        kind,
        object,
        reason,
        backups: affectedBackups(store, id),
        files: countAffectedFiles(store, id),
        affected: () => affectedFiles(store, id),
      });
    }
  }
  return { findings: counts.finding, notes: counts.note };
}
