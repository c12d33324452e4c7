import { setImmediate } from 'node:timers/promises';
import type { Batch } from './pack.ts';

/** Gives timers, sockets and signals a turn every so often while batches are made. */
const TURN_MS = 8;

/** Runs the synchronous making of batches piece by piece, when a buffer is free for the next pack. */
export async function* takeTurns(
  batches: Generator<Batch | null>,
  ready: () => Promise<void>,
): AsyncGenerator<Batch, void, void> {
  try {
    let turnEndsAt = performance.now() + TURN_MS;
    for (;;) {
      if (performance.now() >= turnEndsAt) {
        await setImmediate();
        turnEndsAt = performance.now() + TURN_MS;
      }
      await ready();
      const next = batches.next();
      if (next.done) return;
      if (next.value !== null) yield next.value;
    }
  } finally {
    batches.return(null as never); // closes the file that is being read
  }
}
