import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { watchSilence } from '../../lib/remote/webdav/silence.ts';

/** A watch of 60 s on a clock that moves only when it is told to. */
function fakeWatch() {
  let nowMs = 1_000_000;
  let timer: { readonly action: () => void; readonly atMs: number } | null = null;
  const clock = {
    now: () => nowMs,
    setTimeout: (action: () => void, ms: number) => {
      timer = { action, atMs: nowMs + ms };
      return 1 as unknown as NodeJS.Timeout;
    },
    clearTimeout: () => {
      timer = null;
    },
  };
  const pass = (ms: number) => {
    const endMs = nowMs + ms;
    while (timer !== null && timer.atMs <= endMs) {
      const { action, atMs } = timer;
      timer = null;
      nowMs = Math.max(nowMs, atMs);
      action();
    }
    nowMs = endMs;
  };
  /** A clock that goes on while the machine sleeps: what was due meanwhile comes at once. */
  const wake = (afterMs: number) => {
    nowMs += afterMs;
    pass(0);
  };
  return { pass, wake, isTimed: () => timer !== null, watch: watchSilence('put x', 60_000, [], clock) };
}

const silence = suite('the silence of a server');

silence('it is too long when nothing was heard for the whole of it', () => {
  const { pass, watch } = fakeWatch();
  pass(59_999);
  assert.not.ok(watch.signal.aborted);
  pass(1);
  assert.ok(watch.signal.aborted);
  assert.is(watch.silence()?.message, 'put x: the server was silent for 60 s');
  assert.is(watch.silence()?.retryable, true);
});

silence('it begins again with each byte, for as long as the transfer takes', () => {
  const { pass, watch } = fakeWatch();
  for (let minutes = 0; minutes < 100; minutes += 1) {
    pass(59_000);
    watch.heard();
  }
  assert.is(watch.silence(), null);
  pass(60_000);
  assert.ok(watch.signal.aborted);
});

silence('the answer to a slow transfer may take as long as the transfer in addition', () => {
  const { pass, watch } = fakeWatch();
  for (let n = 0; n < 10; n += 1) {
    pass(30_000);
    watch.heard();
  }
  watch.allSent();
  pass(359_999);
  assert.is(watch.silence(), null);
  pass(1);
  assert.is(watch.silence()?.message, 'put x: the server was silent for 360 s');
});

silence('an hour in which the machine slept is none of the server', () => {
  const { pass, wake, watch } = fakeWatch();
  pass(30_000);
  wake(3_600_000);
  assert.is(watch.silence(), null, 'it gets its time again');
  pass(59_999);
  assert.is(watch.silence(), null);
  pass(1);
  assert.ok(watch.signal.aborted);
});

silence('nothing is timed any more after the end', () => {
  const { pass, isTimed, watch } = fakeWatch();
  watch.end();
  assert.not.ok(isTimed());
  pass(1_000_000);
  assert.not.ok(watch.signal.aborted);
});

silence.run();
