import { DamagedError } from '../errors.ts';
import type { BackupHeader } from '../format/backup-header.ts';
import { decodeManifest, type Entry, splitChunkIds } from '../format/manifest.ts';
import type { Journal } from '../journal/database.ts';
import { type ChunkLocation, chunkLocation } from '../journal/packs.ts';
import { type Frame, free, type PackReference, type ReadOptions, readFrames } from './chunks.ts';
import type { Repository } from './repository.ts';

/** Chunks of the manifest that follow one another in one pack are fetched together, up to so much as it is stored… */
const RUN_BYTES = 4 * 1024 * 1024;
/** …and so much when it is unpacked: a few kilobytes may unfold to the largest chunk there can be. */
const UNPACKED_BYTES = 16 * 1024 * 1024;
const FETCHES_AHEAD = 3;

/** @returns where a chunk lies, or `null` when no known pack holds it */
export type LocateChunk = (id: Buffer) => ChunkLocation | null;

/**
 * The entries of a backup in byte order of their paths, read as they are asked for and a little ahead. The journal must
 * know the remote's indexes (`syncIndexes`).
 * @throws DamagedError when the manifest cannot be read whole; what came before is right
 */
export function readManifest(
  repository: Repository,
  journal: Journal,
  journalRepository: number,
  header: BackupHeader,
  options: ReadOptions = {},
): AsyncGenerator<Entry, void, void> {
  const locate = (id: Buffer) => chunkLocation(journal, journalRepository, id);
  return readManifestBy(locate, repository, header, options);
}

/** As {@link readManifest}, for whom something else than the journal knows where chunks lie. */
export async function* readManifestBy(
  locate: LocateChunk,
  repository: Repository,
  header: BackupHeader,
  options: ReadOptions = {},
): AsyncGenerator<Entry, void, void> {
  const task = `read manifest of ${header.backupId}`;
  let bytes = 0;
  const pieces = async function* (): AsyncGenerator<Buffer> {
    const runs = runsOf(locate, header, task);
    const fetches = runs.map((run) => () => fetchRun(repository, run, task, options));
    for await (const chunks of ahead(fetches, FETCHES_AHEAD)) {
      for (const chunk of chunks) {
        bytes += chunk.length;
        yield chunk;
        free(chunk); // nothing that was read from it is a view of it
      }
    }
  };
  yield* decodeManifest(pieces());
  if (bytes !== header.manifest.sizeBytes) {
    throw new DamagedError(`${task}: it has ${bytes} bytes in place of ${header.manifest.sizeBytes}`);
  }
}

interface Run {
  readonly pack: PackReference;
  readonly frames: Frame[];
}

function* runsOf(locate: LocateChunk, header: BackupHeader, task: string): Generator<Run> {
  let run: (Run & { readonly packId: number }) | null = null;
  let [runBytes, unpackedBytes] = [0, 0];
  for (const id of splitChunkIds(header.manifest.chunks)) {
    const location = locate(id);
    if (location === null) {
      throw new DamagedError(`${task}: no pack is known to hold its chunk ${id.toString('hex')}`, {
        hints: [`'skylock repair' looks for it in the packs.`],
      });
    }
    const follows =
      run !== null &&
      run.packId === location.packId &&
      run.frames.at(-1)!.position < location.position &&
      runBytes + location.storedSize <= RUN_BYTES &&
      unpackedBytes + location.size <= UNPACKED_BYTES;
    if (!follows) {
      if (run !== null) yield run;
      const pack = { name: location.pack, size: location.packSize };
      run = { packId: location.packId, pack, frames: [] };
      [runBytes, unpackedBytes] = [0, 0];
    }
    run?.frames.push({ ...location, id });
    runBytes += location.storedSize;
    unpackedBytes += location.size;
  }
  if (run !== null) yield run;
}

async function fetchRun(
  repository: Repository,
  { pack, frames }: Run,
  task: string,
  options: ReadOptions,
): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  for await (const { chunk, damage } of readFrames(repository, pack, frames, options)) {
    if (chunk === null) throw new DamagedError(`${task}: ${damage.message}`, { cause: damage });
    chunks.push(chunk);
  }
  return chunks;
}

/** The results of tasks in their order; up to `count` are begun before they are asked for. */
async function* ahead<T>(tasks: Iterable<() => Promise<T>>, count: number): AsyncGenerator<T> {
  const begun: Promise<T>[] = [];
  for (const task of tasks) {
    const result = task();
    result.catch(() => {}); // thrown when its turn comes
    begun.push(result);
    if (begun.length > count) yield await begun.shift()!;
  }
  for (const result of begun) yield await result;
}
