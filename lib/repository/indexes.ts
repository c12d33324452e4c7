import { DamagedError } from '../errors.ts';
import { contentName, MAX_OBJECT_BYTES, openObject, sealObject } from '../format/envelope.ts';
import { decodeDirectory, encodeDirectory } from '../format/pack-directory.ts';
import {
  decodePackIndex,
  encodePackIndex,
  indexedPackBytes,
  type PackToIndex,
} from '../format/pack-index.ts';
import type { Journal } from '../journal/database.ts';
import {
  type ChunkLocation,
  chunkLocation,
  type DurablePack,
  forgetIndexedPacks,
  packsWithoutIndex,
  recordIndex,
  recordOwnIndex,
  seenIndexes,
} from '../journal/packs.ts';
import type { PutOptions, RemoteObject } from '../remote/remote.ts';
import { pauser } from '../waiting.ts';
import { free } from './chunks.ts';
import { CALLS_AT_ONCE, concurrently } from './concurrently.ts';
import { readPackDirectory } from './pack-directories.ts';
import { INDEX_PREFIX, packName, type Repository } from './repository.ts';

/** An index is ended at about this size: some 100,000 chunks. */
const INDEX_BYTES = 4 * 1024 * 1024;
/** One that is larger was not written by this program, and may take up much memory: it is read alone. */
const ORDINARY_BYTES = 2 * INDEX_BYTES;

/** Told of an index that is damaged, which is passed over; without it the damage is an error. */
export type OnDamaged = (error: DamagedError) => void;

/**
 * Reads the indexes on the remote that the journal has not seen.
 * @throws DamagedError naming the index that is damaged
 */
export async function syncIndexes(
  repository: Repository,
  journal: Journal,
  journalRepository: number,
  onDamaged?: OnDamaged,
): Promise<void> {
  const listed = await listIndexes(repository);
  await readIndexes(repository, listed, { journal, journalRepository, onDamaged });
}

/**
 * As {@link syncIndexes}, and when one that the journal has seen is not there any more, what it knew from indexes is
 * learned anew: a pack that no index lists must get into one again before a backup relies on it.
 */
export async function relearnIndexes(
  repository: Repository,
  journal: Journal,
  journalRepository: number,
  onDamaged?: OnDamaged,
): Promise<void> {
  const listed = await listIndexes(repository);
  const there = new Set(listed.map(({ name }) => name));
  const unlisted = (names: Iterable<string>) => [...names].filter((name) => !there.has(name));
  if (await hasVanished(unlisted(seenIndexes(journal, journalRepository)), repository)) {
    // What another process has put and recorded since the listing, or while it was asked for, is forgotten with the rest.
    const forgotten = forgetIndexedPacks(journal, journalRepository);
    await concurrently(unlisted(forgotten), CALLS_AT_ONCE, async (name) => {
      const found = await repository.remote.stat(name);
      if (found !== null) listed.push(found);
    });
  }
  await readIndexes(repository, listed, { journal, journalRepository, onDamaged });
}

/** A listing is older than what another process has just put, and may lie for a moment. */
async function hasVanished(names: readonly string[], { remote }: Repository): Promise<boolean> {
  for (const name of names) {
    if ((await remote.stat(name)) === null) return true;
  }
  return false;
}

async function listIndexes({ remote }: Repository): Promise<RemoteObject[]> {
  const listed: RemoteObject[] = [];
  for await (const object of remote.list(INDEX_PREFIX)) {
    if (/^[0-9a-f]{64}$/.test(object.name.slice(INDEX_PREFIX.length))) listed.push(object); // any other file is not ours
  }
  return listed;
}

async function readIndexes(
  repository: Repository,
  listed: readonly RemoteObject[],
  {
    journal,
    journalRepository,
    onDamaged,
  }: {
    readonly journal: Journal;
    readonly journalRepository: number;
    readonly onDamaged?: OnDamaged | undefined;
  },
): Promise<void> {
  const seen = seenIndexes(journal, journalRepository);
  const unseen = listed.filter(({ name }) => !seen.has(name));
  const isOrdinary = unseen.every(({ sizeBytes }) => sizeBytes <= ORDINARY_BYTES);
  await concurrently(unseen, isOrdinary ? CALLS_AT_ONCE : 1, async (object) => {
    try {
      const bytes = await openIndex(repository, object);
      // One pack after the other: all that a hostile index can hold would fill the memory.
      if (bytes !== null) recordIndex(journal, journalRepository, object.name, packsOf(bytes, object.name));
    } catch (error) {
      if (onDamaged === undefined || !(error instanceof DamagedError)) throw error;
      onDamaged(error);
    }
  });
}

function* packsOf(bytes: Buffer, name: string): Generator<Omit<DurablePack, 'directory'>> {
  for (const { name: pack, sizeBytes, entries } of decodePackIndex(bytes, name)) {
    yield { name: Buffer.from(pack, 'hex'), size: sizeBytes, chunks: entries };
  }
}

/** @returns what it says, or `null` when it was removed since it was listed, by somebody who had put another in its place */
async function openIndex(
  { remote, keys }: Repository,
  { name, sizeBytes }: RemoteObject,
): Promise<Buffer | null> {
  const mend = { hints: [`'skylock repair' makes indexes anew from the packs.`] };
  if (sizeBytes > MAX_OBJECT_BYTES) throw new DamagedError(`open ${name}: it is too large`, mend);
  const bytes = await remote.get(name);
  if (bytes === null) return null;
  if (`${INDEX_PREFIX}${contentName(bytes)}` !== name) {
    throw new DamagedError(`open ${name}: its bytes do not have the SHA-256 it is named by`, mend);
  }
  const plaintext = openObject(keys, 'index', name, bytes);
  free(bytes);
  return plaintext;
}

/**
 * Puts indexes without these packs in the place of those that name them: whoever has nothing but the indexes would look
 * there for chunks that have been sent again since. Damaged ones are left to a repair.
 * @param lost SHA-256 in hexadecimal
 */
export async function dropFromIndexes(repository: Repository, lost: ReadonlySet<string>): Promise<void> {
  for (const object of await listIndexes(repository)) {
    const left = await packsWithout(lost, repository, object);
    if (left === null) continue;
    await Array.fromAsync(writeIndexes(repository, left)); // durable before the old one goes
    await repository.remote.remove(object.name);
  }
}

/** @returns what an index is to say from now on, or `null` when it may stay as it is */
async function packsWithout(
  lost: ReadonlySet<string>,
  repository: Repository,
  object: RemoteObject,
): Promise<PackToIndex[] | null> {
  try {
    const bytes = await openIndex(repository, object);
    const packs = [...decodePackIndex(bytes ?? Buffer.alloc(0), object.name)];
    const left = packs.filter(({ name }) => !lost.has(name));
    if (left.length === packs.length) return null;
    return left.map((pack) => ({ ...pack, directory: encodeDirectory(pack.entries) }));
  } catch (error) {
    if (error instanceof DamagedError) return null;
    throw error;
  }
}

export interface IndexOptions {
  /** Packs that are on their way: the indexes hold them as well. */
  readonly coming?: readonly PackToIndex[];
  /** As for every put; resolves when those packs are recorded. */
  readonly beforeNaming?: () => Promise<void>;
  /** As for every put. */
  readonly signal?: AbortSignal;
}

/** Puts indexes that hold every durable pack no index holds yet. */
export async function putIndexes(
  repository: Repository,
  journal: Journal,
  journalRepository: number,
  { coming = [], ...options }: IndexOptions = {},
): Promise<void> {
  const comingNames = new Set(coming.map(({ name }) => name));
  const locate = (id: Buffer) => chunkLocation(journal, journalRepository, id);
  const pause = pauser(); // very small files have many chunks to look up
  const packs = async function* (): AsyncGenerator<PackToIndex> {
    for (const pack of packsWithoutIndex(journal, journalRepository)) {
      await pause();
      const name = pack.name.toString('hex');
      if (comingNames.has(name)) continue; // it was recorded meanwhile
      const directory = isDirectoryOf(pack, locate)
        ? pack.directory
        : await readDirectory(repository, name, pack.size);
      yield { name, sizeBytes: pack.size, directory };
    }
    yield* coming;
  };
  for await (const { name, group } of writeIndexes(repository, packs(), options)) {
    const names = group.map((pack) => Buffer.from(pack.name, 'hex'));
    recordOwnIndex(journal, journalRepository, name, names);
  }
}

/**
 * Is the directory what the journal knows of the pack otherwise? It waits there from one checkpoint to the next, or for
 * the backup after a kill: a byte that changed meanwhile would lead everybody who has nothing but the indexes astray.
 */
function isDirectoryOf(
  pack: { readonly name: Buffer; readonly size: number; readonly directory: Buffer },
  locate: (id: Buffer) => ChunkLocation | null,
): boolean {
  try {
    return decodeDirectory(pack.directory, pack.size, '').every(({ id, ...frame }, position) => {
      const known = locate(id);
      if (!known?.pack.equals(pack.name)) return known?.size === frame.size; // it lies in another pack as well
      return (
        known.position === position &&
        known.offset === frame.offset &&
        known.storedSize === frame.storedSize &&
        known.size === frame.size &&
        known.compression === frame.compression
      );
    });
  } catch (error) {
    if (error instanceof DamagedError) return false;
    throw error;
  }
}

/** @throws DamagedError unless the pack itself tells */
async function readDirectory(repository: Repository, name: string, sizeBytes: number): Promise<Buffer> {
  const entries = await readPackDirectory(repository, name, sizeBytes);
  if (entries !== null) return encodeDirectory(entries);
  throw new DamagedError(`open ${packName(name)}: it is not on the remote any more`, {
    hints: ['Run the same command again: what was in it is sent anew.'],
  });
}

/** Puts indexes of these packs, and tells of each when it is durable. */
export async function* writeIndexes(
  { remote, keys }: Repository,
  packs: Iterable<PackToIndex> | AsyncIterable<PackToIndex>,
  options?: PutOptions,
): AsyncGenerator<{ readonly name: string; readonly group: readonly PackToIndex[] }, void, void> {
  for await (const group of groupsOf(packs)) {
    const sealed = sealObject(keys, 'index', '', encodePackIndex(group));
    const name = `${INDEX_PREFIX}${contentName(sealed)}`;
    await remote.put(name, sealed, options);
    yield { name, group };
  }
}

async function* groupsOf(
  packs: Iterable<PackToIndex> | AsyncIterable<PackToIndex>,
): AsyncGenerator<PackToIndex[]> {
  let group: PackToIndex[] = [];
  let bytes = 0;
  for await (const pack of packs) {
    group.push(pack);
    bytes += indexedPackBytes(0) + pack.directory.length;
    if (bytes < INDEX_BYTES) continue;
    yield group;
    group = [];
    bytes = 0;
  }
  if (group.length > 0) yield group;
}
