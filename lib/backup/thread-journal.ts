import { SkylockError } from '../errors.ts';
import { type Journal, openJournal } from '../journal/database.ts';

/** What a thread tells the one that began it when it cannot go on. An error itself would arrive without its class. */
export interface ThreadFailure {
  readonly type: 'failed';
  readonly message: string;
  readonly hints: readonly string[];
}

/**
 * Opens the journal through a connection of this thread's own for as long as `use` takes. What goes wrong ends the thread;
 * what a person can do something about is told before.
 */
export async function withThreadJournal(
  file: string,
  tell: (failure: ThreadFailure) => void,
  use: (journal: Journal) => Promise<void>,
): Promise<void> {
  try {
    const { journal } = await openJournal(file, { now: new Date() });
    await use(journal).finally(journal.close);
  } catch (error) {
    if (error instanceof SkylockError) tell({ type: 'failed', message: error.message, hints: error.hints });
    throw error;
  }
}
