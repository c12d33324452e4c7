import { DamagedError, RemoteError } from '../errors.ts';
import { encodeDirectory } from '../format/pack-directory.ts';
import type { Journal } from '../journal/database.ts';
import { forgetPacks, insertDurablePack, knownPacks } from '../journal/packs.ts';
import type { Progress } from '../progress.ts';
import { concurrently } from '../repository/concurrently.ts';
import { relearnIndexes } from '../repository/indexes.ts';
import { listPacks, readPackDirectory } from '../repository/pack-directories.ts';
import type { Repository } from '../repository/repository.ts';

export interface ReconcileDeps {
  readonly repository: Repository;
  readonly journal: Journal;
  /** The repository's number in the journal. */
  readonly journalRepository: number;
  readonly progress: Progress;
}

const ADOPTIONS_AT_ONCE = 4;

/**
 * Brings the journal's packs in line with the remote's, whatever happened to either: reads indexes it has not seen, lists
 * the packs, forgets those that are missing or have another size, and adopts those it does not know. A pack that was put
 * just before a kill, before it could be recorded, is one of these.
 * @returns how many packs were lost
 */
export async function reconcilePacks(deps: ReconcileDeps): Promise<number> {
  const { repository, journal, journalRepository, progress } = deps;
  await relearnIndexes(repository, journal, journalRepository);

  // Before the listing: another process may put and record a pack while it goes on.
  const known = knownPacks(journal, journalRepository);
  const sizes = await listPacks(repository);
  const lost = known.filter(({ name, size }) => sizes.get(name.toString('hex')) !== size);
  if (lost.length > 0) {
    forgetPacks(
      journal,
      lost.map(({ id }) => id),
    );
    const packs = lost.length === 1 ? '1 pack is' : `${lost.length} packs are`;
    progress({
      type: 'notice',
      text: `${packs} missing or short on the remote: what they held is sent again`,
    });
  }

  const unknown = new Map(sizes);
  for (const { name } of knownPacks(journal, journalRepository)) unknown.delete(name.toString('hex'));
  await concurrently(unknown, ADOPTIONS_AT_ONCE, ([name, sizeBytes]) => adopt(name, sizeBytes, deps));
  return lost.length;
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
