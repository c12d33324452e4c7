import { RemoteError } from '../../lib/errors.ts';
import type { Remote } from '../../lib/remote/remote.ts';

export type Verb = 'put' | 'get' | 'list' | 'stat' | 'remove' | 'sha256';

export interface Failure {
  readonly verb: Verb;
  /** Which call of this verb fails, from 1 on, counted over the whole remote. */
  readonly call: number;
  /** Before it has had any effect, or after its whole effect, as when only the answer is lost. */
  readonly when?: 'before' | 'after';
  /** A retryable {@link RemoteError} unless told. */
  readonly error?: Error;
  /** How many calls fail from that one on: one unless told, `Infinity` for a remote that is gone. */
  readonly times?: number;
}

export interface FailingRemote extends Remote {
  /** Every call in order, as `put packs/ab/…`, also those that failed. */
  readonly calls: readonly string[];
  /** Bytes of the puts that had an effect. */
  readonly putBytes: () => number;
}

/** Wraps a remote that fails where it is told to, for scenarios in which the line or the server breaks. */
export function failingRemote(remote: Remote, failures: readonly Failure[]): FailingRemote {
  const calls: string[] = [];
  const counts: Record<Verb, number> = { put: 0, get: 0, list: 0, stat: 0, remove: 0, sha256: 0 };
  let putBytes = 0;

  /** @returns what fails the call before and after its effect */
  const begin = (verb: Verb, name: string) => {
    calls.push(`${verb} ${name}`);
    counts[verb] += 1;
    const call = counts[verb];
    const failure = failures.find(
      (one) => one.verb === verb && call >= one.call && call < one.call + (one.times ?? 1),
    );
    const error =
      failure?.error ?? new RemoteError(`${verb} ${name}: the line was cut by a spec`, { retryable: true });
    return (moment: 'before' | 'after') => {
      if (failure !== undefined && (failure.when ?? 'before') === moment) throw error;
    };
  };
  const pass = async <T>(verb: Verb, name: string, call: () => Promise<T>): Promise<T> => {
    const failIf = begin(verb, name);
    failIf('before');
    const result = await call();
    failIf('after');
    return result;
  };

  return {
    url: remote.url,
    ...(remote.sha256 && {
      sha256: (names) => pass('sha256', names.join(), () => remote.sha256!(names)),
    }),
    calls,
    putBytes: () => putBytes,
    put: (name, bytes, options) =>
      pass('put', name, async () => {
        await remote.put(name, bytes, options);
        putBytes += bytes.length;
      }),
    get: (name, range) => pass('get', name, () => remote.get(name, range)),
    stat: (name) => pass('stat', name, () => remote.stat(name)),
    remove: (name) => pass('remove', name, () => remote.remove(name)),
    close: () => remote.close(),
    async *list(prefix) {
      const failIf = begin('list', prefix);
      failIf('before');
      yield* remote.list(prefix);
      failIf('after');
    },
  };
}
