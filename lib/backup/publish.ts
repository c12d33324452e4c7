import { SkylockError } from '../errors.ts';
import type { BackupHeader, BackupProgress } from '../format/backup-header.ts';
import { renameRun } from '../journal/backup-ids.ts';
import type { Manifest } from '../journal/manifests.ts';
import type { Owner } from '../journal/owner.ts';
import { totalsOf } from '../journal/totals.ts';
import { demoteBrokenFiles } from '../journal/uploaded-entries.ts';
import { pendingFiles } from '../journal/uploading.ts';
import { putBackup } from '../repository/backups.ts';
import { repositoryExists } from '../repository/create.ts';
import { putIndexes } from '../repository/indexes.ts';
import { type ComingManifest, isWhole, type ManifestDeps, makeManifest } from './make-manifest.ts';
import { takenIds } from './own.ts';

export interface BackupFacts {
  readonly host: string;
  readonly program: string;
  readonly sourcePaths: readonly Buffer[];
  readonly matchKey: Buffer;
  /** Entries that could not be read. */
  readonly unreadable: number;
  readonly owner: Owner;
}

/**
 * Order 4: the manifest's chunks, then the indexes, and the backup itself as the last of all objects. Over a long line all of
 * them are sent at once; each gets its name when what it refers to is durable under its own.
 */
export async function publish(facts: BackupFacts, deps: ManifestDeps): Promise<BackupHeader> {
  const { journal, repository, run } = deps;
  if (!pendingFiles(journal, run.sourceSet).next().done) {
    throw new Error(`publish backup ${run.backupId}: a file is still to be uploaded`);
  }
  const made = await makeManifest(deps);
  const header = describe('complete', made.manifest, facts, deps);
  const look = lookout(facts, deps);
  const preparing = prepareFor(header, made, look, deps);
  const abandon = new AbortController();
  preparing.catch((error: unknown) => abandon.abort(error));
  try {
    await putBackup(repository, header, {
      signal: abandon.signal,
      async beforeNaming() {
        await preparing;
        if ((await look.freeId()) !== header.backupId) throw TAKEN;
      },
    });
    return header;
  } catch (error) {
    await preparing; // nothing goes on behind who is told, and its own failure is the one to tell
    if (error !== TAKEN) throw error;
    const other = { ...header, backupId: await look.freeId() };
    await putBackup(repository, other);
    return other;
  }
}

/** Thrown where another backup has the id that a header was sent with. */
const TAKEN = new Error('the id is taken');

/** Puts the indexes, and looks meanwhile whether the backup may come into being. */
async function prepareFor(
  header: BackupHeader,
  made: ComingManifest,
  look: Lookout,
  deps: ManifestDeps,
): Promise<void> {
  try {
    await indexAll(made, deps, () => void look.freeId());
    refuseUnknownChunks(header, deps);
    await look.freeId();
  } finally {
    await look.ended();
  }
}

/**
 * Puts the manifest of what is uploaded by now and the indexes it needs, so that only the header is left to be put.
 * What becomes uploaded meanwhile may or may not be in it.
 */
export async function assemble(
  state: BackupHeader['state'],
  facts: BackupFacts,
  deps: ManifestDeps,
): Promise<BackupHeader> {
  const made = await makeManifest(deps);
  await indexAll(made, deps);
  return describe(state, made.manifest, facts, deps);
}

/**
 * Puts the indexes of all packs that are durable and those of the manifest.
 * @param onDurable called when the manifest is, which is before the indexes get their names
 */
async function indexAll(
  { packs, durable }: ComingManifest,
  { repository, journal, run }: ManifestDeps,
  onDurable: () => void = () => {},
): Promise<void> {
  const beforeNaming = () => durable.then(onDurable);
  const abandon = new AbortController();
  durable.catch((error: unknown) => abandon.abort(error)); // a put of an index that is tried again and again is not waited for
  const options = { coming: packs, beforeNaming, signal: abandon.signal };
  try {
    await putIndexes(repository, journal, run.journalRepository, options);
  } finally {
    await durable; // nothing goes on behind who is told
  }
}

function describe(
  state: BackupHeader['state'],
  { sizeBytes, chunks, ...counts }: Manifest,
  facts: BackupFacts,
  deps: ManifestDeps,
): BackupHeader {
  const { run, now } = deps;
  return {
    backupId: run.backupId,
    state,
    startedAt: run.startedAt,
    finishedAt: state === 'complete' ? now() : null,
    host: facts.host,
    sourcePaths: facts.sourcePaths,
    matchKey: facts.matchKey.toString('hex'),
    ...counts,
    unreadable: facts.unreadable,
    program: facts.program,
    claims: [...run.takenOver, ...run.claims],
    manifest: { sizeBytes, chunks },
    progress: state === 'complete' ? null : progressOf(facts, deps),
  };
}

/** Another process may have learned meanwhile that the remote lost packs: nothing is published that needs one of them. */
function refuseUnknownChunks({ backupId, manifest }: BackupHeader, deps: ManifestDeps): void {
  const broken = demoteBrokenFiles(deps.journal, deps.run, deps.now());
  if (broken.files === 0 && isWhole(manifest, deps)) return;
  throw new SkylockError(`publish backup ${backupId}: packs it needs have gone from the remote meanwhile`, {
    hints: ['Run the same command again: it sends what was in them, and nothing else.'],
  });
}

function progressOf({ owner }: BackupFacts, { journal, run, now }: ManifestDeps): BackupProgress {
  const { totalFiles, totalBytes } = totalsOf(journal, run);
  return { totalFiles, totalBytes, updatedAt: now(), owner };
}

/** Where a disk of the server was unmounted meanwhile, what was sent since lies in a folder that is no repository. */
async function refuseStrangePlace({ remote }: ManifestDeps['repository']): Promise<void> {
  if (await repositoryExists(remote)) return;
  throw new SkylockError(`publish backup: the repository is gone from ${remote.url}`, {
    hints: [
      'If it lies on a disk that was unmounted meanwhile, mount it and run the same command again.',
      'What was sent since then is looked for, and sent again where it is missing.',
    ],
  });
}

/** A look that is older is none: where a put has been tried again and again, much may have come in between. */
const LOOK_HOLDS_MS = 3000;

/** Looks whether the backup may come into being. */
interface Lookout {
  /** @returns the id for it, by a look of a moment ago or one that begins now */
  freeId(): Promise<string>;
  /** Resolves when no look is under way. */
  ended(): Promise<void>;
}

function lookout(facts: BackupFacts, deps: ManifestDeps): Lookout {
  let id = deps.run.backupId;
  const look = async () => {
    const finding = freeId(id, facts, deps);
    // Neither goes on behind who is told of the other.
    await refuseStrangePlace(deps.repository).finally(() => finding.catch(() => {}));
    id = await finding;
    return id;
  };
  let looking: Promise<string> | null = null;
  /** `null` while it waits for the one before: two at a time might find two ids. */
  let begunAtMs: number | null = null;
  return {
    freeId() {
      const isFresh = begunAtMs === null || performance.now() - begunAtMs <= LOOK_HOLDS_MS;
      if (looking !== null && isFresh) return looking;
      begunAtMs = null;
      looking = (looking ?? Promise.resolve())
        .catch(() => {})
        .then(() => {
          begunAtMs = performance.now();
          return look();
        });
      looking.catch(() => {}); // whoever asks is told
      return looking;
    },
    async ended() {
      await looking?.catch(() => {});
    },
  };
}

/**
 * Two machines may have begun in the same second: the one that is ready first has the id, and the other takes the next.
 * Our own backup, put just before a kill, is put again.
 */
async function freeId(
  id: string,
  facts: BackupFacts,
  { journal, repository, run }: ManifestDeps,
): Promise<string> {
  const isTaken = takenIds(repository, { ...facts, run });
  return (await isTaken(id)) ? renameRun(journal, run, isTaken) : id;
}
