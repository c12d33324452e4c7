import { setImmediate } from 'node:timers/promises';
import type { Batch } from './pack.ts';

/** Gives timers, sockets and signals a turn every so often while batches are made. */
const TURN_MS = 8;

/**
 * Runs the synchronous making of batches turn by turn. A step takes a buffer only when the one before it has ended a
 * batch, or it is the first: only then is {@link ready} waited for.
 * @param during calls its argument: what goes around all that is done in one turn
 */
export async function* takeTurns(
  batches: Generator<Batch | null>,
  ready: () => Promise<void>,
  during: <Result>(turn: () => Result) => Result = (turn) => turn(),
): AsyncGenerator<Batch, void, void> {
  const turn = () => {
    const endsAt = performance.now() + TURN_MS;
    for (;;) {
      const step = batches.next();
      if (step.done || step.value !== null || performance.now() >= endsAt) return step;
    }
  };
  try {
    await ready();
    for (;;) {
      const { done, value } = during(turn);
      if (done) return;
      await setImmediate();
      if (value === null) continue;
      yield value;
      await ready();
    }
  } finally {
    batches.return(null as never); // closes the file that is being read
  }
}
