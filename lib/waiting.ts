import { setImmediate } from 'node:timers/promises';

/** A call that cannot be told to stop is left to end by itself. @throws the signal's reason */
export async function abortable<T>(call: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return call();
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const answer = call();
    answer.catch(() => {}); // nobody may be waiting any more
    return await Promise.race([answer, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

const BUSY_MS = 25;

/** @returns what lets signals, timers and the network have their turn, now and then, and stops when it was asked to */
export function pauser(signal?: AbortSignal): () => Promise<void> {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < BUSY_MS) return;
    await setImmediate();
    signal?.throwIfAborted();
    since = performance.now();
  };
}
