import { DamagedError, RemoteError } from '../errors.ts';
import { encodeDirectory } from '../format/pack-directory.ts';
import type { Journal } from '../journal/database.ts';
import { insertDurablePack, knownPacks } from '../journal/packs.ts';
import type { Progress } from '../progress.ts';
import { CALLS_AT_ONCE, concurrently } from './concurrently.ts';
import { syncIndexes } from './indexes.ts';
import { listPacks, readPackDirectory } from './pack-directories.ts';
import type { Repository } from './repository.ts';

export interface LearnDeps {
  readonly repository: Repository;
  readonly journal: Journal;
  /** The repository's number in the journal. */
  readonly journalRepository: number;
  readonly progress: Progress;
}

/** What to do about damage that was only noticed by the way. */
const MEND = `'skylock verify' tells what it affects, 'skylock repair' mends what can be.`;

/**
 * Brings what the journal knows of the remote's chunks up to date, from its indexes. Where one is damaged, the packs that no
 * other lists are asked themselves.
 */
export async function learnChunks(deps: LearnDeps): Promise<void> {
  const { repository, journal, journalRepository } = deps;
  let damaged = false;
  await syncIndexes(repository, journal, journalRepository, (error) => {
    damaged = true;
    tellDamagedIndex(error, deps);
  });
  if (damaged) await learnPacks(await listPacks(repository), deps);
}

/** Everything an index says stands in the packs as well, so it is not missed. */
export function tellDamagedIndex({ message }: DamagedError, { progress }: Pick<LearnDeps, 'progress'>): void {
  progress({ type: 'notice', text: `an index is damaged and not used: ${message}`, hints: [MEND] });
}

/**
 * Adopts the packs that the journal does not know: a pack tells by itself what it holds. One that cannot be read is told of
 * and left alone.
 * @param sizes of packs that are on the remote, by SHA-256 in hexadecimal
 */
export async function learnPacks(sizes: ReadonlyMap<string, number>, deps: LearnDeps): Promise<void> {
  const unknown = new Map(sizes);
  for (const { name } of knownPacks(deps.journal, deps.journalRepository)) {
    unknown.delete(name.toString('hex'));
  }
  await concurrently(unknown, CALLS_AT_ONCE, ([name, sizeBytes]) => learnPack(name, sizeBytes, deps));
}

async function learnPack(
  name: string,
  sizeBytes: number,
  { repository, journal, journalRepository, progress }: LearnDeps,
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
      hints: [MEND],
    });
  }
}
