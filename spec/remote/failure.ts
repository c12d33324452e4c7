import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';

/** @returns the RemoteError a call ends in; fails when it ends in anything else. */
export async function failure(promise: Promise<unknown>): Promise<RemoteError> {
  const outcome = await promise.then(
    () => 'success',
    (error: unknown) => error,
  );
  assert.instance(outcome, RemoteError, `not a RemoteError: ${outcome}`);
  return outcome as RemoteError;
}
