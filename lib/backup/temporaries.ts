import { setTimeout as sleep } from 'node:timers/promises';
import type { Journal } from '../journal/database.ts';
import {
  forgetToken,
  notedTokens,
  noteStrangeTemporaries,
  type StrangeTemporary,
  strangeTemporaries,
} from '../journal/temporaries.ts';
import type { Progress } from '../progress.ts';
import { type RemoteObject, TEMPORARY_FOLDER } from '../remote/remote.ts';
import { temporaryToken } from '../remote/temporary.ts';
import { CALLS_AT_ONCE, concurrently } from '../repository/concurrently.ts';
import type { Repository } from '../repository/repository.ts';

export interface TidyingDeps {
  readonly repository: Repository;
  readonly journal: Journal;
  /** The repository's number in the journal. */
  readonly journalRepository: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly now: () => Date;
}

/**
 * A put that says nothing for minutes is given up by who makes it: one that has not grown for a day is nobody's any more. Even
 * were it, the put would only find its object gone, and be made again.
 */
const DEAD_AFTER_MS = 24 * 3_600_000;
/** A backup that is through does not wait longer: the next one goes on. */
const PATIENCE_MS = 5000;

export interface Tidying {
  /** Lets what is under way end, for a few seconds. */
  stop(): Promise<void>;
}

/** Begins {@link removeDeadTemporaries} beside the backup, which does not fail when that does. */
export function startTidying(deps: TidyingDeps): Tidying {
  const stopping = new AbortController();
  const stop = AbortSignal.any([stopping.signal, deps.signal]);
  const ended = removeDeadTemporaries(deps, stop).catch((error: Error) => {
    if (stop.aborted) return;
    const text = `what earlier uploads left in ${TEMPORARY_FOLDER}/ could not be removed: ${error.message}`;
    deps.progress({ type: 'notice', text });
  });
  return {
    async stop() {
      if (!stop.aborted) await Promise.race([ended, sleep(PATIENCE_MS, undefined, { ref: false })]);
      stopping.abort();
    },
  };
}

/**
 * Removes what uploads that died have left on the remote. A token that is noted tells whether its process lives; what has
 * none was written by another machine, or before this one lost its journal, and is dead when a day has not changed its size.
 */
export async function removeDeadTemporaries(
  { repository: { remote }, journal, journalRepository, now }: Omit<TidyingDeps, 'progress' | 'signal'>,
  signal: AbortSignal,
): Promise<void> {
  const found: (RemoteObject & { readonly token: string })[] = [];
  for await (const object of remote.list(`${TEMPORARY_FOLDER}/`)) {
    const token = temporaryToken(object.name);
    if (token !== null) found.push({ ...object, token }); // else it is not ours: the folder may be shared with a person
  }
  signal.throwIfAborted();
  const dead = journal.transaction(() => {
    // After the listing: who had written anything by then had noted its token before.
    const tokens = notedTokens(journal, journalRepository);
    // A token is kept until nothing of it is left: a server may have made the last object after its writer was killed.
    for (const [token, { isAlive }] of tokens) {
      if (!isAlive && !found.some((one) => one.token === token)) forgetToken(journal, token);
    }
    const strange = compare(
      found.filter(({ token }) => !tokens.has(token)),
      strangeTemporaries(journal, journalRepository),
      now(),
    );
    noteStrangeTemporaries(journal, journalRepository, strange);
    const deadSince = now().getTime() - DEAD_AFTER_MS;
    return [
      ...found.filter(({ token }) => tokens.get(token)?.isAlive === false),
      ...strange.filter(({ since }) => since.getTime() <= deadSince),
    ].map(({ name }) => name);
  });
  await concurrently(dead, CALLS_AT_ONCE, async (name) => {
    signal.throwIfAborted();
    await remote.remove(name);
  });
}

/** @returns those found, each with the time since when it is known with the size it has */
function compare(
  found: readonly RemoteObject[],
  noted: readonly StrangeTemporary[],
  now: Date,
): StrangeTemporary[] {
  const before = new Map(noted.map((one) => [one.name, one]));
  return found.map(({ name, sizeBytes }) => {
    const seen = before.get(name);
    // A clock that was set back would make it wait for ever.
    const isAsBefore = seen?.sizeBytes === sizeBytes && seen.since <= now;
    return { name, sizeBytes, since: isAsBefore ? seen.since : now };
  });
}
