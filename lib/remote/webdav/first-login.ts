import type { RemoteError } from '../../errors.ts';
import { abortable } from '../../waiting.ts';

/**
 * Until a password has let somebody in, one request at a time shows it and the others wait: six at once that are wrong are
 * enough for a server's guard to shut this machine out.
 */
export interface FirstLogin {
  /** Has the server let a request with the password in? */
  readonly hasWorked: boolean;
  /**
   * Makes an attempt that shows the password.
   * @param signal ends the waiting
   * @throws what the attempt throws; what {@link refused} was told, without another attempt
   */
  offer<T>(attempt: () => Promise<T>, signal: AbortSignal | undefined): Promise<T>;
  /** The server has let it in: nobody waits any longer. */
  worked(): void;
  /** To be told before the attempt ends. @returns the error */
  refused(error: RemoteError): RemoteError;
}

export function firstLogin(): FirstLogin {
  let hasWorked = false;
  let refusal: RemoteError | null = null;
  let offering: PromiseWithResolvers<void> | null = null;
  return {
    get hasWorked() {
      return hasWorked;
    },
    async offer(attempt, signal) {
      while (!hasWorked && offering !== null) {
        const { promise } = offering;
        await abortable(() => promise, signal);
      }
      if (refusal !== null) throw refusal;
      if (hasWorked) return attempt();
      const own = Promise.withResolvers<void>();
      offering = own;
      try {
        return await attempt();
      } finally {
        offering = null;
        own.resolve();
      }
    },
    worked() {
      hasWorked = true;
      offering?.resolve();
    },
    refused(error) {
      if (!hasWorked) refusal = error;
      return error;
    },
  };
}
