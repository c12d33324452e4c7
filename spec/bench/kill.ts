import { type Command, start } from './measure.ts';

/**
 * Runs a program and ends it with SIGKILL, and all it has started, when `moment` has come.
 * @throws when it ends before, or when `abort` was given
 */
export async function killAt(command: Command, moment: Promise<unknown>, abort: AbortSignal): Promise<void> {
  abort.throwIfAborted();
  const one = start(command);
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(abort.reason);
  abort.addEventListener('abort', onAbort, { once: true });
  const tooEarly = one.ended.then(() => {
    throw new Error(`${command.file} ended before it could be killed`);
  });
  try {
    await Promise.race([moment, tooEarly, aborted.promise]);
  } finally {
    abort.removeEventListener('abort', onAbort);
    tooEarly.catch(() => {});
    await one.kill();
  }
}
