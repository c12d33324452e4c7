import { SkylockError } from '../errors.ts';
import { isKnownClaim } from '../journal/claims.ts';
import { type Journal, openJournal } from '../journal/database.ts';

/** What a thread tells the one that began it when it cannot go on. An error itself would arrive without its class. */
export interface ThreadFailure {
  readonly type: 'failed';
  readonly message: string;
  readonly hints: readonly string[];
}

/** What a thread looks up lies close together, or is one page in a large tree. */
const CACHE_BYTES = 8 * 1024 * 1024;

/**
 * Opens the journal through a connection of this thread's own for as long as `use` takes. What goes wrong ends the thread;
 * what a person can do something about is told.
 * @param claim the run's: in a journal that has come into the place of the one that was claimed in, its numbers mean others
 */
export async function withThreadJournal(
  { journalFile, claim }: { readonly journalFile: string; readonly claim: string },
  tell: (failure: ThreadFailure) => void,
  use: (journal: Journal) => Promise<void>,
): Promise<void> {
  try {
    const { journal } = await openJournal(journalFile, { now: new Date(), cacheBytes: CACHE_BYTES });
    try {
      if (!isKnownClaim(journal, { claims: [claim] })) throw replacedMeanwhile(journalFile);
      await use(journal);
    } finally {
      journal.close();
    }
  } catch (error) {
    if (!(error instanceof SkylockError)) throw error;
    // Not thrown as well: what a thread throws may arrive before what it told, as an error without a class.
    tell({ type: 'failed', message: error.message, hints: error.hints });
  }
}

function replacedMeanwhile(file: string): SkylockError {
  return new SkylockError(`use journal ${file}: another one has come into its place`, {
    hints: ['Run the same command again: what the journal knew is on the remote.'],
  });
}
