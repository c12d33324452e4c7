import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError, UnreachableError } from '../../lib/errors.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import { type RetryPolicy, withRetry } from '../../lib/remote/retry.ts';
import { type Failure, failingRemote } from '../helpers/failing-remote.ts';
import { remoteContract } from './contract.ts';

remoteContract('a remote that is tried again', (run) => run(withRetry(memoryRemote(), { retryForMs: 1000 })));

const MINUTE = 60_000;
const broken = new RemoteError('put x: the line was cut', { retryable: true });
const final = new RemoteError('put x: no space', { retryable: false });

/** A policy whose clock moves only by its own sleeping, and what it was asked to sleep. */
function fakeTime(policy: Partial<RetryPolicy> = {}) {
  const delays: number[] = [];
  const reasons: string[] = [];
  let nowMs = 5_000_000;
  return {
    delays,
    reasons,
    advance: (ms: number) => {
      nowMs += ms;
    },
    policy: {
      retryForMs: 10 * MINUTE,
      random: () => 1,
      now: () => nowMs,
      sleep: async (ms: number) => {
        delays.push(ms);
        nowMs += ms;
      },
      onRetry: (reason: string) => reasons.push(reason),
      ...policy,
    } satisfies RetryPolicy,
  };
}

function setUp(failures: readonly Failure[], policy: Partial<RetryPolicy> = {}) {
  const memory = memoryRemote();
  const failing = failingRemote(memory, failures);
  const time = fakeTime(policy);
  return { memory, failing, ...time, remote: withRetry(failing, time.policy) };
}

async function rejection(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => null,
    (reason: Error) => reason,
  );
  assert.ok(error !== null, 'it was to fail');
  return error as Error;
}

const retrying = suite('trying again');

for (const verb of ['put', 'get', 'stat', 'remove', 'list', 'sha256'] as const) {
  retrying(`${verb} that fails twice succeeds in the end`, async () => {
    const { remote, memory, failing, delays, reasons } = setUp([{ verb, call: 1, times: 2, error: broken }]);
    if (verb !== 'put') memory.objects.set('packs/x', Buffer.from('x'));
    if (verb === 'put') await remote.put('packs/x', Buffer.from('x'));
    if (verb === 'get') assert.is((await remote.get('packs/x'))?.toString(), 'x');
    if (verb === 'stat') assert.is((await remote.stat('packs/x'))?.sizeBytes, 1);
    if (verb === 'remove') await remote.remove('packs/x');
    if (verb === 'sha256') assert.is((await remote.sha256?.(['packs/x']))?.size, 1);
    if (verb === 'list') assert.is((await Array.fromAsync(remote.list('packs/'))).length, 1);
    assert.is(memory.objects.has('packs/x'), verb !== 'remove');
    assert.is(failing.calls.length, 3);
    assert.equal(delays, [500, 1000]);
    assert.equal(reasons, [broken.message, broken.message]);
  });
}

retrying('a listing that breaks half-way gives each object once', async () => {
  const { remote, memory } = setUp([{ verb: 'list', call: 1, when: 'after', error: broken }]);
  for (const name of ['a', 'b', 'c']) memory.objects.set(name, Buffer.from(name));
  assert.equal(
    (await Array.fromAsync(remote.list(''))).map(({ name }) => name),
    ['a', 'b', 'c'],
  );
});

retrying('a remote that computes no hashes computes none', () => {
  const { sha256: _, ...plain } = memoryRemote();
  assert.is(withRetry(plain, { retryForMs: 1000 }).sha256, undefined);
});

retrying('a remote that opens what puts need beforehand is asked to', () => {
  const asked: number[] = [];
  withRetry({ ...memoryRemote(), prepare: (puts) => void asked.push(puts) }, { retryForMs: 1000 }).prepare?.(
    3,
  );
  assert.equal(asked, [3]);
});

retrying('an error that is final passes at once', async () => {
  const { remote, failing, delays } = setUp([{ verb: 'put', call: 1, error: final }]);
  assert.is(await rejection(remote.put('x', Buffer.from('x'))), final);
  assert.is(failing.calls.length, 1);
  assert.equal(delays, []);
});

retrying('a bug is not tried again', async () => {
  const bug = new TypeError('x is undefined');
  const { remote, failing } = setUp([{ verb: 'get', call: 1, error: bug }]);
  assert.is(await rejection(remote.get('x')), bug);
  assert.is(failing.calls.length, 1);
});

retrying('the waits double from half a second to a minute', async () => {
  const { remote, delays } = setUp([{ verb: 'get', call: 1, times: 9, error: broken }], {
    retryForMs: 60 * MINUTE,
  });
  await remote.get('x');
  assert.equal(delays, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
});

retrying('the jitter takes any part of the wait', async () => {
  let drawn = 0;
  const { remote, delays } = setUp([{ verb: 'get', call: 1, times: 3, error: broken }], {
    random: () => [0, 0.25, 0.5][drawn++] ?? 1,
  });
  await remote.get('x');
  assert.equal(delays, [0, 250, 1000]);
});

retrying('a remote that asks for time gets at least so much', async () => {
  const busy = new RemoteError('put x: busy', { retryable: true, retryAfterMs: 90_000 });
  const { remote, delays } = setUp([{ verb: 'put', call: 1, error: busy }]);
  await remote.put('x', Buffer.from('x'));
  assert.equal(delays, [90_000]);
});

retrying('a remote that asks for more time than there is, is given up at once', async () => {
  const busy = new RemoteError('put x: busy', { retryable: true, retryAfterMs: 60 * MINUTE });
  const { remote, delays } = setUp([{ verb: 'put', call: 1, error: busy }]);
  const error = await rejection(remote.put('x', Buffer.from('x')));
  assert.instance(error, UnreachableError);
  assert.match(error.message, /left alone for 1h 00m/);
  assert.equal(delays, []);
});

retrying(
  'it is given up when nothing has succeeded for long enough, with the last try at the very end',
  async () => {
    const { remote, delays } = setUp([{ verb: 'put', call: 1, times: Infinity, error: broken }]);
    const error = (await rejection(remote.put('x', Buffer.from('x')))) as UnreachableError;
    assert.instance(error, UnreachableError);
    assert.is(error.exitStatus, 75);
    assert.is(
      error.message,
      `reach memory:: nothing has succeeded for 10m 00s; the last reason was: ${broken.message}`,
    );
    assert.match(error.hints.join('\n'), /Run the same command again to resume/);
    assert.is(error.cause, broken);
    assert.is(
      delays.reduce((sum, delay) => sum + delay, 0),
      10 * MINUTE,
    );
  },
);

retrying('time before the first failure does not count', async () => {
  const { remote, delays, advance } = setUp([{ verb: 'put', call: 2, error: broken }]);
  await remote.put('x', Buffer.from('x'));
  advance(24 * 60 * MINUTE);
  await remote.put('y', Buffer.from('y'));
  assert.equal(delays, [500]);
});

retrying('an hour in which the machine slept does not count, whatever the clock says', async () => {
  const slept: number[] = [];
  const sleep = async (ms: number) => {
    slept.push(ms);
    advance(slept.length === 2 ? ms + 60 * MINUTE : ms);
  };
  const { remote, advance } = setUp([{ verb: 'put', call: 1, times: 5, error: broken }], { sleep });
  await remote.put('x', Buffer.from('x'));
  assert.equal(slept, [500, 1000, 2000, 4000, 8000]);
});

retrying('another call that succeeds gives all calls their time again', async () => {
  const { remote, delays } = setUp([{ verb: 'put', call: 1, times: 30, error: broken }], {
    onRetry: () => void remoteStat(),
  });
  const remoteStat = () => remote.stat('x');
  await remote.put('x', Buffer.from('x'));
  assert.is(delays.length, 30);
  assert.ok(delays.reduce((sum, delay) => sum + delay, 0) > 20 * MINUTE);
});

retrying('a success gives the next failure its whole time', async () => {
  const { remote } = setUp([
    { verb: 'get', call: 1, times: 14, error: broken },
    { verb: 'get', call: 16, times: 14, error: broken },
  ]);
  await remote.get('x');
  await remote.get('x');
});

retrying('progress begins again at 0 with each try', async () => {
  const { remote } = setUp([{ verb: 'put', call: 1, when: 'after', error: broken }]);
  const told: number[] = [];
  await remote.put('x', Buffer.alloc(100_000), { onSent: (sentBytes) => told.push(sentBytes) });
  assert.equal(told, [65_536, 100_000, 0, 65_536, 100_000]);
});

retrying('a put is told of each try that another will follow', async () => {
  const { remote } = setUp([{ verb: 'put', call: 1, times: 2, error: broken }]);
  const retries: string[] = [];
  await remote.put('x', Buffer.from('x'), { onRetry: () => retries.push('x') });
  assert.is(retries.length, 2);
});

for (const whose of ['the policy', 'the call'] as const) {
  retrying(`a wait ends at once when the signal of ${whose} is aborted`, async () => {
    const stop = new AbortController();
    const reason = new Error('the person asked to stop');
    const failing = failingRemote(memoryRemote(), [{ verb: 'put', call: 1, error: broken }]);
    const remote = withRetry(failing, {
      retryForMs: 10 * MINUTE,
      random: () => 60_000,
      onRetry: () => setImmediate(() => stop.abort(reason)),
      ...(whose === 'the policy' ? { signal: stop.signal } : {}),
    });
    const options = whose === 'the call' ? { signal: stop.signal } : {};
    assert.is(await rejection(remote.put('x', Buffer.from('x'), options)), reason);
    assert.is(failing.calls.length, 1);
  });
}

retrying('a wait ends at once when the remote is closed', async () => {
  const remote = withRetry(failingRemote(memoryRemote(), [{ verb: 'get', call: 1, error: broken }]), {
    retryForMs: 10 * MINUTE,
    random: () => 60_000,
    onRetry: () => setImmediate(() => remote.close()),
  });
  assert.match((await rejection(remote.get('x'))).message, /closed/);
});

retrying('an abort during a try is no reason for another', async () => {
  const stop = new AbortController();
  const { remote, failing } = setUp([{ verb: 'put', call: 1, when: 'after', error: broken }]);
  const onSent = () => stop.abort(new Error('stop'));
  const error = await rejection(remote.put('x', Buffer.from('x'), { signal: stop.signal, onSent }));
  assert.is(error.message, 'stop');
  assert.is(failing.calls.length, 1);
});

retrying.run();
