import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { abortable, pauser } from '../lib/waiting.ts';

const stopping = suite('a call that is told to stop');

stopping('ends at once with the reason, whatever becomes of it', async () => {
  const stop = new AbortController();
  const reason = new Error('the person asked to stop');
  const { promise, reject } = Promise.withResolvers<never>();
  const waiting = abortable(() => promise, stop.signal).catch((error: unknown) => error);
  stop.abort(reason);
  assert.is(await waiting, reason);
  reject(new Error('nobody waits for this any more'));
  let begun = false;
  const late = abortable(async () => {
    begun = true;
  }, stop.signal);
  assert.is(await late.catch((error: unknown) => error), reason);
  assert.is(begun, false);
});

stopping('gives its answer when it comes first', async () => {
  assert.is(await abortable(async () => 7, new AbortController().signal), 7);
  assert.is(await abortable(async () => 7, undefined), 7);
});

stopping.run();

/** Works without a pause for longer than a pauser lets anybody. */
function work(): void {
  for (const until = performance.now() + 30; performance.now() < until; );
}

const pausing = suite('long work with pauses');

pausing('lets what is waiting have its turn', async () => {
  const pause = pauser();
  let turns = 0;
  setImmediate(() => (turns += 1));
  work();
  await pause();
  assert.is(turns, 1);
});

pausing('stops with the reason once it was asked to', async () => {
  const stop = new AbortController();
  const pause = pauser(stop.signal);
  const reason = new Error('the person asked to stop');
  setImmediate(() => stop.abort(reason));
  work();
  assert.is(await pause().catch((error: unknown) => error), reason);
});

pausing.run();
