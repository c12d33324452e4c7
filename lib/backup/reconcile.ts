import { DamagedError, RemoteError } from '../errors.ts';
import { encodeDirectory } from '../format/pack-directory.ts';
import type { Journal } from '../journal/database.ts';
import { forgetPacks, insertDurablePack, knownPacks } from '../journal/packs.ts';
import type { Progress } from '../progress.ts';
import { concurrently } from '../repository/concurrently.ts';
import { dropFromIndexes, relearnIndexes } from '../repository/indexes.ts';
import { listPacks, readPackDirectory } from '../repository/pack-directories.ts';
import { packName, type Repository } from '../repository/repository.ts';

export interface ReconcileDeps {
  readonly repository: Repository;
  readonly journal: Journal;
  /** The repository's number in the journal. */
  readonly journalRepository: number;
  readonly progress: Progress;
}

const LOOKS_AT_ONCE = 4;

/**
 * Brings the journal's packs in line with the remote's, whatever happened to either: reads indexes it has not seen, lists
 * the packs, forgets those that are missing or have another size, and adopts those it does not know. A pack that was put
 * just before a kill, before it could be recorded, is one of these.
 * @returns how many packs were lost
 */
export async function reconcilePacks(deps: ReconcileDeps): Promise<number> {
  const { repository, journal, journalRepository } = deps;
  await relearnIndexes(repository, journal, journalRepository);

  // Before the listing: another process may put and record a pack while it goes on.
  const known = knownPacks(journal, journalRepository);
  const sizes = await listPacks(repository);
  const missing = known.filter(({ name, size }) => sizes.get(name.toString('hex')) !== size);
  const lost = await lookAgain(missing, repository);
  if (lost.length > 0) await forgetLost(lost, deps);

  const unknown = new Map(sizes);
  for (const { name } of knownPacks(journal, journalRepository)) unknown.delete(name.toString('hex'));
  await concurrently(unknown, LOOKS_AT_ONCE, ([name, sizeBytes]) => adopt(name, sizeBytes, deps));
  return lost.length;
}

type KnownPack = ReturnType<typeof knownPacks>[number];

/** A listing may lie for a moment, as that of a disk which is being mounted; what follows from it is dear. */
async function lookAgain(missing: readonly KnownPack[], { remote }: Repository): Promise<KnownPack[]> {
  const lost: KnownPack[] = [];
  await concurrently(missing, LOOKS_AT_ONCE, async (pack) => {
    const found = await remote.stat(packName(pack.name.toString('hex')));
    if (found?.sizeBytes !== pack.size) lost.push(pack);
  });
  return lost;
}

async function forgetLost(
  lost: readonly KnownPack[],
  { repository, journal, journalRepository, progress }: ReconcileDeps,
): Promise<void> {
  const packs = lost.length === 1 ? '1 pack is' : `${lost.length} packs are`;
  progress({ type: 'notice', text: `${packs} missing or short on the remote: what they held is sent again` });
  // The indexes first: once the journal has forgotten the packs, nobody knows any more that the indexes are wrong.
  await dropFromIndexes(repository, new Set(lost.map(({ name }) => name.toString('hex'))));
  forgetPacks(
    journal,
    lost.map(({ id }) => id),
  );
  // Of a chunk that lay in two packs the journal knows one only: the other is learned now.
  await relearnIndexes(repository, journal, journalRepository);
}

/** A pack tells by itself what it holds. */
async function adopt(
  name: string,
  sizeBytes: number,
  { repository, journal, journalRepository, progress }: ReconcileDeps,
): Promise<void> {
  try {
    const chunks = await readPackDirectory(repository, name, sizeBytes);
    if (chunks === null) return;
    const directory = encodeDirectory(chunks);
    const pack = { name: Buffer.from(name, 'hex'), size: sizeBytes, chunks, directory };
    journal.transaction(() => insertDurablePack(journal, journalRepository, pack));
  } catch (error) {
    const isItsOwn = error instanceof DamagedError || (error instanceof RemoteError && !error.retryable);
    if (!isItsOwn) throw error;
    // Nothing relies on it yet, so what it should have held is simply sent.
    progress({
      type: 'notice',
      text: `pack ${name} on the remote is not used: ${error.message}`,
    });
  }
}
