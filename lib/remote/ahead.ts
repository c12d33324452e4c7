import type { Remote, RemoteObject } from './remote.ts';

/** What was listed before somebody took so long to type a password says little of what is there now. */
const STALE_MS = 10_000;

interface Listing {
  readonly objects: readonly RemoteObject[];
  readonly doneAtMs: number;
}

/**
 * Begins to list these folders now, so that a long line is waited for while other things are done. Who asks for one of them
 * first is given what was found, or told what failed; from then on it is listed anew.
 * @param now milliseconds that never go back
 */
export function listAhead(
  remote: Remote,
  prefixes: readonly string[],
  now: () => number = () => performance.now(),
): Remote {
  const begun = new Map<string, Promise<Listing>>();
  for (const prefix of prefixes) {
    const listing = Array.fromAsync(remote.list(prefix)).then((objects) => ({ objects, doneAtMs: now() }));
    listing.catch(() => {}); // whoever asks for it is told
    begun.set(prefix, listing);
  }
  return {
    ...remote,
    async *list(prefix) {
      const listing = begun.get(prefix);
      begun.delete(prefix);
      const found = await listing;
      if (found === undefined || now() - found.doneAtMs > STALE_MS) yield* remote.list(prefix);
      else yield* found.objects;
    },
  };
}
