import type { Journal } from '../journal/database.ts';
import { demoteBrokenFiles } from '../journal/entries.ts';
import { forgetPacks, knownPacks } from '../journal/packs.ts';
import type { Run } from '../journal/runs.ts';
import type { Remote } from '../remote/remote.ts';
import { PACKS_PREFIX } from '../repository/repository.ts';

/**
 * Lists the packs on the remote and compares them with those the journal knew when the listing began. What is missing or
 * has another size is not durable any more, whatever the journal says.
 * @returns the journal's numbers of the packs that were lost
 */
export async function findLostPacks(remote: Remote, journal: Journal, repository: number): Promise<number[]> {
  const known = knownPacks(journal, repository);
  if (known.length === 0) return [];
  const sizes = new Map<string, number>();
  for await (const { name, sizeBytes } of remote.list(PACKS_PREFIX)) {
    sizes.set(name.slice(name.lastIndexOf('/') + 1), sizeBytes);
  }
  return known.filter(({ name, size }) => sizes.get(name.toString('hex')) !== size).map(({ id }) => id);
}

/** @returns what of the run has to be uploaded again because a chunk of it is in no known pack */
export function dropLostPacks(
  journal: Journal,
  run: Run,
  lost: readonly number[],
  now: Date,
): { readonly files: number; readonly bytes: number } {
  forgetPacks(journal, lost);
  return demoteBrokenFiles(journal, run, now);
}
