import { DamagedError, RemoteError } from '../errors.ts';
import type { Remote } from '../remote/remote.ts';

/**
 * @param object its name on the remote, which the reason need not repeat
 * @returns what is wrong with the object
 * @throws the error itself when it does not tell of damage
 */
export function damageOf(error: unknown, object: string): string {
  if (!(error instanceof DamagedError)) throw error;
  return error.message.replaceAll(/(?:open|read) (\S+): /g, (task, name) => (name === object ? '' : task));
}

/** An object the remote will never give (a bad sector, no permission) is damaged; the others may still be right. */
export function withRefusalsAsDamage(remote: Remote, signal: AbortSignal): Remote {
  return {
    ...remote,
    async get(name, range) {
      try {
        return await remote.get(name, range);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof RemoteError) || error.retryable) throw error;
        throw new DamagedError(`read ${name}: ${error.message}`, { cause: error });
      }
    },
  };
}
