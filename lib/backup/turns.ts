import { setImmediate } from 'node:timers/promises';

/** Gives timers, sockets and signals a turn every so often while batches are made. */
const TURN_MS = 8;
/** What a step gives when it can do nothing before more has arrived. */
export const STARVED = Symbol('starved');

export interface Turns {
  /** Waited for at first and after each batch, as a step takes a buffer only when the one before it has ended a batch. */
  readonly ready: () => Promise<void>;
  /** Waited for after a step that was starved. */
  readonly arrival?: () => Promise<void>;
  /** Calls its argument: what goes around all that is done in one turn. */
  readonly during?: <Result>(turn: () => Result) => Result;
}

/** Runs the synchronous making of batches turn by turn. */
export async function* takeTurns<Batch extends object>(
  batches: Generator<Batch | typeof STARVED | null>,
  { ready, arrival = async () => {}, during = (turn) => turn() }: Turns,
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
      if (value === STARVED) await arrival();
      if (value === null || value === STARVED) continue;
      yield value;
      await ready();
    }
  } finally {
    batches.return(null as never); // closes the file that is being read
  }
}
