import { setImmediate } from 'node:timers/promises';
import type { Found } from './scan.ts';

/** Some ten megabytes of them. */
const MOST_AHEAD = 20_000;
/** A millisecond's work; between two slices the network and the signals have their turn. */
const SLICE = 100;

/**
 * Looks at what a scan finds first while something else is waited for: it reads and changes nothing.
 * @param until scanning ahead ends when this is settled, whichever way
 * @returns all that the scan finds, once
 */
export async function scanAhead(found: Iterator<Found>, until: Promise<unknown>): Promise<Iterable<Found>> {
  let waiting = true;
  const end = () => {
    waiting = false;
  };
  until.then(end, end);
  await setImmediate();
  const ahead: Found[] = [];
  while (waiting && ahead.length < MOST_AHEAD) {
    for (let count = 0; count < SLICE; count += 1) {
      const next = found.next();
      if (next.done) return ahead;
      ahead.push(next.value);
    }
    await setImmediate();
  }
  return followedBy(ahead, found);
}

function* followedBy(ahead: Found[], rest: Iterator<Found>): Generator<Found> {
  yield* ahead;
  ahead.length = 0; // what was taken is not held any longer
  for (let next = rest.next(); !next.done; next = rest.next()) yield next.value;
}
