import { createChunker } from '../format/chunker.ts';
import { chunkId } from '../format/keys.ts';
import { MANIFEST_EDITION, splitChunkIds } from '../format/manifest.ts';
import type { PackToIndex } from '../format/pack-index.ts';
import type { Journal } from '../journal/database.ts';
import { changesOf, type Manifest, rememberedManifest, rememberManifest } from '../journal/manifests.ts';
import { isKnownChunk } from '../journal/packs.ts';
import type { Run } from '../journal/runs.ts';
import { uploadedEntries } from '../journal/uploaded-entries.ts';
import { recordUploaded } from '../journal/uploading.ts';
import type { Repository } from '../repository/repository.ts';
import { cutManifest, type ManifestCounts, manifestEntry } from './manifest.ts';
import { durablePack } from './pack.ts';
import type { FileInHand } from './read.ts';
import type { AddressedItem } from './slabs.ts';
import type { Uploader } from './uploader.ts';

export interface ManifestDeps {
  readonly journal: Journal;
  readonly repository: Repository;
  readonly run: Run;
  readonly now: () => Date;
  readonly uploader: Uploader;
}

/** A manifest that is sealed and on its way. */
export interface ComingManifest {
  readonly manifest: Manifest;
  /** That hold what was not on the remote before. */
  readonly packs: readonly PackToIndex[];
  /** Resolves when these are durable and recorded. */
  readonly durable: Promise<void>;
}

/**
 * The manifest of what is uploaded by now. While no entry has changed since one was made, and what it consists of is still
 * there, it is that one: at the second backup of what has not changed there is nothing to be read, cut and hashed.
 */
export async function makeManifest(deps: ManifestDeps): Promise<ComingManifest> {
  const { journal, run } = deps;
  const remembered = rememberedManifest(journal, run, MANIFEST_EDITION);
  if (remembered !== null && isWhole(remembered, deps)) {
    return { manifest: remembered, packs: [], durable: Promise.resolve() };
  }
  const changes = changesOf(journal, run);
  const coming = await sendManifest(deps);
  const durable = coming.durable.then(() =>
    rememberManifest(journal, run, coming.manifest, { changes, edition: MANIFEST_EDITION }),
  );
  durable.catch(() => {}); // whoever waits for it is told
  return { ...coming, durable };
}

async function sendManifest(deps: ManifestDeps): Promise<ComingManifest> {
  const { journal, repository, run, now, uploader } = deps;
  const chunker = createChunker(repository.keys.gear, repository.config.manifestChunker);
  const entries = uploadedEntries(journal, run.sourceSet);
  const counts: ManifestCounts = { files: 0, folders: 0, bytes: 0 };
  const chunkIds: Buffer[] = [];
  const packs: PackToIndex[] = [];
  let sizeBytes = 0;
  let atEnd = false;
  const items = function* (): Generator<AddressedItem> {
    const file = manifestInHand();
    let position = 0;
    for (const bytes of cutManifest(entries.map(manifestEntry), chunker, counts)) {
      const id = chunkId(repository.keys, bytes);
      yield { type: 'chunk', file, position, id, sizeBytes: bytes.length, bytes, compression: null };
      position += 1;
      sizeBytes += bytes.length;
    }
    atEnd = true;
  };
  const sealed = Promise.withResolvers<void>();
  const durable = uploader.uploadChunks(items(), {
    expect({ pieces, pack }) {
      for (const { position, chunk } of pieces) chunkIds[position] = chunk;
      if (pack) packs.push({ name: pack.name, sizeBytes: pack.bytes.length, directory: pack.directory });
      if (atEnd) sealed.resolve();
    },
    settle(batch) {
      recordUploaded(journal, run, { pack: durablePack(batch), pieces: [], completed: [], bytes: 0 }, now());
    },
  });
  await Promise.race([sealed.promise, durable]);
  return { manifest: { sizeBytes, chunks: Buffer.concat(chunkIds), ...counts }, packs, durable };
}

/** Are all chunks of the manifest in packs that are durable, by what is known now? */
export function isWhole(
  { chunks }: Pick<Manifest, 'chunks'>,
  { journal, run }: Pick<ManifestDeps, 'journal' | 'run'>,
): boolean {
  return splitChunkIds(chunks).every((id) => isKnownChunk(journal, run.journalRepository, id));
}

/** The manifest goes the way files go, but no entry of the journal waits for it. */
function manifestInHand(): FileInHand {
  return { entry: 0n, path: Buffer.alloc(0), sizeBytes: Number.POSITIVE_INFINITY, attempt: 1 };
}
