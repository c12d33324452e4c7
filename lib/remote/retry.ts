import { setTimeout as sleepFor } from 'node:timers/promises';
import { RemoteError, UnreachableError } from '../errors.ts';
import { formatDuration } from '../units.ts';
import type { PutOptions, Remote } from './remote.ts';

export interface RetryPolicy {
  /** Given up when no call on the remote has succeeded for so long. */
  readonly retryForMs: number;
  /** Ends every wait, and begins no further try. */
  readonly signal?: AbortSignal;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>;
  /** @returns 0 to 1 */
  readonly random?: () => number;
  /** @returns milliseconds that never go back */
  readonly now?: () => number;
  readonly onRetry?: (reason: string, delayMs: number) => void;
}

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 60_000;
/** No timer is so late on a machine that is awake. */
const SLEPT_MS = 30_000;

/**
 * Tries a call again while the error says that it may help: exponential backoff with full jitter, never sooner than the
 * remote asked for. Errors that are final pass at once.
 *
 * `onSent` of a put begins again at 0 with each try. A listing is held whole before its first object is given.
 *
 * @throws UnreachableError when nothing has succeeded for `policy.retryForMs`
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function withRetry(remote: Remote, policy: RetryPolicy): Remote {
  const closing = new AbortController();
  const retry = retrier(remote.url, policy, closing.signal);
  return {
    url: remote.url,
    ...(remote.sha256 && { sha256: (names) => retry(() => remote.sha256!(names)) }),
    ...(remote.prepare && { prepare: remote.prepare }),
    put: (name, bytes, options = {}) =>
      retry(async (tryNumber) => {
        if (tryNumber > 1) options.onSent?.(0);
        await remote.put(name, bytes, options);
      }, options),
    get: (name, range) => retry(() => remote.get(name, range)),
    stat: (name) => retry(() => remote.stat(name)),
    remove: (name) => retry(() => remote.remove(name)),
    async *list(prefix) {
      yield* await retry(() => Array.fromAsync(remote.list(prefix)));
    },
    async close() {
      closing.abort(new RemoteError(`use ${remote.url}: the remote is closed`, { retryable: false }));
      await remote.close();
    },
  };
}

type Retry = <T>(
  call: (tryNumber: number) => Promise<T>,
  options?: Pick<PutOptions, 'signal' | 'onRetry'>,
) => Promise<T>;

function retrier(url: string, policy: RetryPolicy, closing: AbortSignal): Retry {
  const { retryForMs, onRetry, random = Math.random, now = () => performance.now() } = policy;
  const sleep = policy.sleep ?? ((ms, signal) => sleepFor(ms, undefined, { signal }));
  /** Since the first failure after the last success of any call: time in which nothing was asked does not count. */
  let failingSince: number | null = null;

  const delayAfter = (error: RemoteError, tryNumber: number): number => {
    failingSince ??= now();
    const leftMs = retryForMs - (now() - failingSince);
    const ceilingMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (tryNumber - 1));
    const askedMs = error.retryAfterMs ?? 0;
    if (leftMs <= 0 || askedMs > leftMs) throw unreachable(url, now() - failingSince, askedMs, error);
    return Math.max(askedMs, Math.min(random() * ceilingMs, leftMs));
  };

  return async (call, options = {}) => {
    const signals = [closing, policy.signal, options.signal].filter((signal) => signal !== undefined);
    const stop = AbortSignal.any(signals);
    for (let tryNumber = 1; ; tryNumber += 1) {
      stop.throwIfAborted();
      try {
        const result = await call(tryNumber);
        failingSince = null;
        return result;
      } catch (error) {
        stop.throwIfAborted();
        if (!(error instanceof RemoteError && error.retryable)) throw error;
        const delayMs = delayAfter(error, tryNumber);
        onRetry?.(error.message, delayMs);
        options.onRetry?.(error);
        const sleepsAt = now();
        await sleep(delayMs, stop).catch((sleepError: unknown) => {
          stop.throwIfAborted();
          throw sleepError;
        });
        const oversleptMs = now() - sleepsAt - delayMs;
        // The machine slept: that was no time of trying. (Linux' monotonic clock stands still meanwhile, others go on.)
        if (failingSince !== null && oversleptMs > SLEPT_MS) failingSince += oversleptMs;
      }
    }
  };
}

function unreachable(url: string, failedForMs: number, askedMs: number, last: RemoteError): UnreachableError {
  const waited =
    askedMs > 0
      ? `it asks to be left alone for ${formatDuration(askedMs)}`
      : `nothing has succeeded for ${formatDuration(failedForMs)}`;
  return new UnreachableError(`reach ${url}: ${waited}; the last reason was: ${last.message}`, {
    hints: [...last.hints, 'Run the same command again to resume: what is on the remote already is kept.'],
    cause: last,
  });
}
