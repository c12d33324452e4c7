import { DamagedError } from '../errors.ts';
import type { BackupHeader } from '../format/backup-header.ts';
import { type FileEntry, splitChunkIds } from '../format/manifest.ts';
import { locationsOf, markUsed, type StoredLocation, type VerifyStore } from '../journal/verify-store.ts';
import type { Progress } from '../progress.ts';
import { readManifestBy } from '../repository/manifest.ts';
import { packName, type Repository } from '../repository/repository.ts';
import type { Listed } from './check-headers.ts';
import { damageOf } from './damage.ts';
import type { Findings } from './findings.ts';

export interface ManifestDeps {
  readonly repository: Repository;
  readonly store: VerifyStore;
  readonly findings: Findings;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

const IN_NO_INDEX = 'its files need chunks that are in no index that can be read';
/** So many files are checked between two words of it. */
const TELL_EVERY = 1000;

/**
 * Reads the list of files of each backup and finds every chunk the files consist of in an index and a pack.
 * @returns whether all lists could be read whole, so that what no file needs is known
 */
export async function checkManifests(listed: readonly Listed[], deps: ManifestDeps): Promise<boolean> {
  const { progress, signal } = deps;
  const total = listed.reduce((sum, { files }) => sum + files, 0);
  const totalBytes = listed.reduce((sum, { bytes }) => sum + bytes, 0);
  progress({ type: 'check_planned', unit: 'file', total, totalBytes });
  let [done, doneBytes] = [0, 0];
  const onFile = ({ size }: FileEntry) => {
    done += 1;
    doneBytes += size;
    if (done % TELL_EVERY === 0) progress({ type: 'checked', done, doneBytes });
  };
  const useChunk = chunkUser(deps);
  let wasWhole = true;
  for (const { object, backupId, header: read } of listed) {
    signal.throwIfAborted();
    const header = await read();
    if (header === null) continue; // removed meanwhile
    try {
      await checkManifest(object, header, { ...deps, useChunk, onFile });
    } catch (error) {
      deps.findings.damaged(object, damageOf(error, object), backupId);
      wasWhole = false;
    }
    progress({ type: 'checked', done, doneBytes });
  }
  return wasWhole;
}

interface Use {
  /** The chunk's own bytes; `null` when no index tells. */
  readonly size: number | null;
  /** Where it may be had from; `null` when nowhere. */
  readonly location: StoredLocation | null;
  /** The places where it was to be. */
  readonly lost: readonly StoredLocation[];
}

async function checkManifest(
  object: string,
  header: BackupHeader,
  deps: ManifestDeps & {
    readonly useChunk: (id: Buffer) => Use;
    readonly onFile: (entry: FileEntry) => void;
  },
): Promise<void> {
  const { repository, findings, useChunk, onFile, signal } = deps;
  for (const id of splitChunkIds(header.manifest.chunks)) {
    const { location, lost } = useChunk(id);
    if (location !== null) continue;
    for (const { pack, damage } of lost) {
      findings.damaged(packName(pack.toString('hex')), String(damage), header.backupId);
    }
  }
  let [files, folders, bytes] = [0, 0, 0];
  const locate = (id: Buffer) => useChunk(id).location;
  for await (const entry of readManifestBy(locate, repository, header, { signal })) {
    if (entry.type === 'folder') folders += 1;
    if (entry.type !== 'file') continue;
    files += 1;
    bytes += entry.size;
    checkFile(object, header.backupId, entry, deps);
    onFile(entry);
  }
  if (files !== header.files || folders !== header.folders || bytes !== header.bytes) {
    throw new DamagedError(`read ${object}: its list of files is not the one it was published with`);
  }
}

function checkFile(
  object: string,
  backupId: string,
  { path, size, chunks }: FileEntry,
  { useChunk, findings }: { readonly useChunk: (id: Buffer) => Use; readonly findings: Findings },
): void {
  let sum: number | null = 0;
  for (const id of splitChunkIds(chunks)) {
    const { size: chunkSize, location, lost } = useChunk(id);
    sum = sum === null || chunkSize === null ? null : sum + chunkSize;
    if (location !== null) continue;
    for (const { pack, damage } of lost) {
      findings.lostFile(packName(pack.toString('hex')), String(damage), backupId, path);
    }
    if (lost.length === 0) findings.lostFile(object, IN_NO_INDEX, backupId, path);
  }
  if (sum !== null && sum !== size) {
    findings.lostFile(object, 'chunks of its files do not add up to their sizes', backupId, path);
  }
}

/** @returns what looks for a chunk and takes down every damaged pack it was to be in */
function chunkUser({ store, findings }: ManifestDeps): (id: Buffer) => Use {
  const used = new Set<number>();
  return (id) => {
    const locations = locationsOf(store, id);
    const lost = locations.filter((one) => one.lost);
    for (const { packId } of locations) {
      if (used.has(packId)) continue;
      used.add(packId);
      markUsed(store, packId);
    }
    // Whoever restores may look there first, even where it can be had elsewhere.
    for (const { pack, damage } of lost) findings.damaged(packName(pack.toString('hex')), String(damage));
    return {
      size: locations[0]?.size ?? null,
      location: locations.find((one) => !one.lost) ?? null,
      lost,
    };
  };
}
