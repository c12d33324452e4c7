import { SkylockError } from '../errors.ts';
import type { BackupHeader, BackupProgress } from '../format/backup-header.ts';
import { createChunker } from '../format/chunker.ts';
import { chunkId } from '../format/keys.ts';
import { MANIFEST_EDITION, splitChunkIds } from '../format/manifest.ts';
import { renameRun } from '../journal/backup-ids.ts';
import type { Journal } from '../journal/database.ts';
import { changesOf, type Manifest, rememberedManifest, rememberManifest } from '../journal/manifests.ts';
import type { Owner } from '../journal/owner.ts';
import { isKnownChunk } from '../journal/packs.ts';
import type { Run } from '../journal/runs.ts';
import { totalsOf } from '../journal/totals.ts';
import { demoteBrokenFiles, uploadedEntries } from '../journal/uploaded-entries.ts';
import { pendingFiles, recordUploaded } from '../journal/uploading.ts';
import { putBackup } from '../repository/backups.ts';
import { repositoryExists } from '../repository/create.ts';
import { putIndexes } from '../repository/indexes.ts';
import type { Repository } from '../repository/repository.ts';
import { cutManifest, type ManifestCounts, manifestEntry } from './manifest.ts';
import { takenIds } from './own.ts';
import { durablePack } from './pack.ts';
import type { FileInHand } from './read.ts';
import type { AddressedItem } from './slabs.ts';
import type { Uploader } from './uploader.ts';

export interface PublishDeps {
  readonly journal: Journal;
  readonly repository: Repository;
  readonly run: Run;
  readonly now: () => Date;
  readonly uploader: Uploader;
}

export interface BackupFacts {
  readonly host: string;
  readonly program: string;
  readonly sourcePaths: readonly Buffer[];
  readonly matchKey: Buffer;
  /** Entries that could not be read. */
  readonly unreadable: number;
  readonly owner: Owner;
}

/** Order 4: the manifest's chunks, then the indexes, and the backup itself as the last of all objects. */
export async function publish(facts: BackupFacts, deps: PublishDeps): Promise<BackupHeader> {
  const { journal, repository, run } = deps;
  if (!pendingFiles(journal, run.sourceSet).next().done) {
    throw new Error(`publish backup ${run.backupId}: a file is still to be uploaded`);
  }
  const header = await describe('complete', facts, deps);
  const preparing = prepareFor(header, facts, deps);
  const abandon = new AbortController();
  preparing.catch((error: unknown) => abandon.abort(error));
  // Over a long line it is sent meanwhile; its name it gets when all it refers to is durable, and the name is its own.
  try {
    await putBackup(repository, header, {
      signal: abandon.signal,
      async beforeNaming() {
        if ((await preparing) !== header.backupId) throw TAKEN;
      },
    });
    return header;
  } catch (error) {
    const backupId = await preparing; // nothing goes on behind who is told, and its own failure is the one to tell
    if (error !== TAKEN) throw error;
    const other = { ...header, backupId };
    await putBackup(repository, other);
    return other;
  }
}

/** Thrown where another backup has the id that a header was sent with. */
const TAKEN = new Error('the id is taken');

/** Puts the indexes and looks whether the backup may come into being. @returns the id for it */
async function prepareFor(header: BackupHeader, facts: BackupFacts, deps: PublishDeps): Promise<string> {
  const { journal, repository, run } = deps;
  await putIndexes(repository, journal, run.journalRepository);
  refuseUnknownChunks(header, deps);
  const [backupId] = await Promise.all([freeId(facts, deps), refuseStrangePlace(repository)]);
  return backupId;
}

/**
 * Puts the manifest of what is uploaded by now and the indexes it needs, so that only the header is left to be put.
 * What becomes uploaded meanwhile may or may not be in it.
 */
export async function assemble(
  state: BackupHeader['state'],
  facts: BackupFacts,
  deps: PublishDeps,
): Promise<BackupHeader> {
  const header = await describe(state, facts, deps);
  await putIndexes(deps.repository, deps.journal, deps.run.journalRepository);
  return header;
}

async function describe(
  state: BackupHeader['state'],
  facts: BackupFacts,
  deps: PublishDeps,
): Promise<BackupHeader> {
  const { run, now } = deps;
  const { sizeBytes, chunks, ...counts } = await currentManifest(deps);
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
function refuseUnknownChunks({ backupId, manifest }: BackupHeader, deps: PublishDeps): void {
  const broken = demoteBrokenFiles(deps.journal, deps.run, deps.now());
  if (broken.files === 0 && isWhole(manifest, deps)) return;
  throw new SkylockError(`publish backup ${backupId}: packs it needs have gone from the remote meanwhile`, {
    hints: ['Run the same command again: it sends what was in them, and nothing else.'],
  });
}

function progressOf({ owner }: BackupFacts, { journal, run, now }: PublishDeps): BackupProgress {
  const { totalFiles, totalBytes } = totalsOf(journal, run);
  return { totalFiles, totalBytes, updatedAt: now(), owner };
}

/**
 * The manifest of what is uploaded by now. While no entry has changed since one was made, and what it consists of is still
 * there, it is that one: at the second backup of what has not changed there is nothing to be read, cut and hashed.
 */
async function currentManifest(deps: PublishDeps): Promise<Manifest> {
  const { journal, run } = deps;
  const remembered = rememberedManifest(journal, run, MANIFEST_EDITION);
  if (remembered !== null && isWhole(remembered, deps)) return remembered;
  const changes = changesOf(journal, run);
  const manifest = await uploadManifest(deps);
  rememberManifest(journal, run, manifest, { changes, edition: MANIFEST_EDITION });
  return manifest;
}

async function uploadManifest(deps: PublishDeps): Promise<Manifest> {
  const { journal, repository, run, now, uploader } = deps;
  const chunker = createChunker(repository.keys.gear, repository.config.manifestChunker);
  const entries = uploadedEntries(journal, run.sourceSet);
  const counts: ManifestCounts = { files: 0, folders: 0, bytes: 0 };
  const chunkIds: Buffer[] = [];
  let sizeBytes = 0;
  const items = function* (): Generator<AddressedItem> {
    const file = manifestInHand();
    let position = 0;
    for (const bytes of cutManifest(entries.map(manifestEntry), chunker, counts)) {
      const id = chunkId(repository.keys, bytes);
      yield { type: 'chunk', file, position, id, sizeBytes: bytes.length, bytes, compression: null };
      position += 1;
      sizeBytes += bytes.length;
    }
  };
  await uploader.uploadChunks(items(), {
    settle(batch) {
      for (const { position, chunk } of batch.pieces) chunkIds[position] = chunk;
      recordUploaded(journal, run, { pack: durablePack(batch), pieces: [], completed: [], bytes: 0 }, now());
    },
  });
  return { sizeBytes, chunks: Buffer.concat(chunkIds), ...counts };
}

/** Are all chunks of the manifest in packs that are durable, by what is known now? */
function isWhole(
  { chunks }: Pick<Manifest, 'chunks'>,
  { journal, run }: Pick<PublishDeps, 'journal' | 'run'>,
): boolean {
  return splitChunkIds(chunks).every((id) => isKnownChunk(journal, run.journalRepository, id));
}

/** Where a disk of the server was unmounted meanwhile, what was sent since lies in a folder that is no repository. */
async function refuseStrangePlace({ remote }: PublishDeps['repository']): Promise<void> {
  if (await repositoryExists(remote)) return;
  throw new SkylockError(`publish backup: the repository is gone from ${remote.url}`, {
    hints: [
      'If it lies on a disk that was unmounted meanwhile, mount it and run the same command again.',
      'What was sent since then is looked for, and sent again where it is missing.',
    ],
  });
}

/** The manifest goes the way files go, but no entry of the journal waits for it. */
function manifestInHand(): FileInHand {
  return { entry: 0n, path: Buffer.alloc(0), sizeBytes: Number.POSITIVE_INFINITY, attempt: 1 };
}

/**
 * Two machines may have begun in the same second: the one that is ready first has the id, and the other takes the next.
 * Our own backup, put just before a kill, is put again.
 */
async function freeId(facts: BackupFacts, { journal, repository, run }: PublishDeps): Promise<string> {
  const isTaken = takenIds(repository, { ...facts, run });
  return (await isTaken(run.backupId)) ? renameRun(journal, run, isTaken) : run.backupId;
}
