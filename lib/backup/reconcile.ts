import { InterruptedError } from '../errors.ts';
import { forgetPacks, knownPacks } from '../journal/packs.ts';
import { CALLS_AT_ONCE, concurrently } from '../repository/concurrently.ts';
import { dropFromIndexes, relearnIndexes } from '../repository/indexes.ts';
import { type LearnDeps, learnPacks, tellDamagedIndex } from '../repository/learn.ts';
import { listPacks } from '../repository/pack-directories.ts';
import { packName } from '../repository/repository.ts';

export interface ReconcileDeps extends LearnDeps {
  readonly signal: AbortSignal;
}

/**
 * Brings the journal's packs in line with the remote's, whatever happened to either: reads indexes it has not seen, lists
 * the packs, forgets those that are missing or have another size, and adopts those it does not know. A pack that was put
 * just before a kill, before it could be recorded, is one of these.
 * @param options.askForEach ask for the size of every pack, whatever the listing says of it
 * @returns how many packs were lost
 */
export async function reconcilePacks(
  deps: ReconcileDeps,
  { askForEach = false }: { readonly askForEach?: boolean } = {},
): Promise<number> {
  const { repository, journal, journalRepository } = deps;
  // Beside one another, for long lines. What another process puts and records meanwhile may be known and not be listed: for
  // this too a pack that was not listed is looked for by itself.
  const [sizes] = await Promise.all([
    listPacks(repository),
    relearnIndexes(repository, journal, journalRepository, (error) => tellDamagedIndex(error, deps)),
  ]);
  const known = knownPacks(journal, journalRepository);
  const suspects = askForEach
    ? known
    : known.filter(({ name, size }) => sizes.get(name.toString('hex')) !== size);
  const lost = await lookAgain(suspects, { ...deps, progress: askForEach ? deps.progress : () => {} });
  if (lost.length > 0) await forgetLost(lost, deps);

  await learnPacks(sizes, deps);
  return lost.length;
}

type KnownPack = ReturnType<typeof knownPacks>[number];

/** A listing may lie for a moment, as that of a disk which is being mounted; what follows from it is dear. */
async function lookAgain(
  packs: readonly KnownPack[],
  { repository, progress, signal }: ReconcileDeps,
): Promise<KnownPack[]> {
  const totalBytes = packs.reduce((sum, { size }) => sum + size, 0);
  progress({ type: 'checking', what: 'packs that count as sent' });
  progress({ type: 'check_planned', unit: 'pack', total: packs.length, totalBytes });
  const lost: KnownPack[] = [];
  let [done, doneBytes] = [0, 0];
  await concurrently(packs, CALLS_AT_ONCE, async (pack) => {
    if (signal.aborted) throw new InterruptedError('back up: interrupted while asking for packs');
    const found = await repository.remote.stat(packName(pack.name.toString('hex')));
    if (found?.sizeBytes !== pack.size) lost.push(pack);
    done += 1;
    doneBytes += pack.size;
    progress({ type: 'checked', done, doneBytes });
  });
  return lost;
}

async function forgetLost(
  lost: readonly KnownPack[],
  { repository, journal, journalRepository, progress }: ReconcileDeps,
): Promise<void> {
  const held = lost.length === 1 ? '1 pack is' : `${lost.length} packs are`;
  const what = lost.length === 1 ? 'it' : 'they';
  progress({
    type: 'notice',
    text: `${held} missing or short on the remote: what ${what} held is sent again`,
  });
  // The indexes first: once the journal has forgotten the packs, nobody knows any more that the indexes are wrong.
  await dropFromIndexes(repository, new Set(lost.map(({ name }) => name.toString('hex'))));
  forgetPacks(
    journal,
    lost.map(({ id }) => id),
  );
  // Of a chunk that lay in two packs the journal knows one only: the other is learned now. Damage was told of before.
  await relearnIndexes(repository, journal, journalRepository, () => {});
}
