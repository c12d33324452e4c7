import { RemoteError } from '../../errors.ts';

/** Ends an exchange in which no byte moves any more: what is timed is the silence, not the transfer. */
export interface SilenceWatch {
  /** Aborted after the silence, or by one of the other signals. */
  readonly signal: AbortSignal;
  /** @returns the error of a silence that was too long, or `null` */
  silence(): RemoteError | null;
  /** A byte has moved. */
  heard(): void;
  /**
   * The last byte is handed to the system, whose buffers may hold megabytes that have yet to go: as long as all the
   * others took, the answer may take in addition.
   */
  allSent(): void;
  end(): void;
}

export interface Clock {
  readonly now: () => number;
  readonly setTimeout: (action: () => void, ms: number) => NodeJS.Timeout;
  readonly clearTimeout: (timer: NodeJS.Timeout) => void;
}

const realClock: Clock = { now: () => performance.now(), setTimeout, clearTimeout };

export function watchSilence(
  doing: string,
  silenceMs: number,
  signals: readonly AbortSignal[],
  clock: Clock = realClock,
): SilenceWatch {
  const tooLong = new AbortController();
  let error: RemoteError | null = null;
  const startedAt = clock.now();
  let allowedMs = silenceMs;
  let heardAt = startedAt;
  let timer: NodeJS.Timeout;
  let dueAt = startedAt + silenceMs;
  const look = () => {
    // A machine that slept, or was too busy to look, has not listened either.
    if (clock.now() - dueAt > silenceMs / 2) heardAt = clock.now();
    const leftMs = heardAt + allowedMs - clock.now();
    if (leftMs > 0) {
      dueAt = clock.now() + leftMs;
      timer = clock.setTimeout(look, leftMs);
      return;
    }
    const seconds = Math.round(allowedMs / 1000);
    error = new RemoteError(`${doing}: the server was silent for ${seconds} s`, { retryable: true });
    tooLong.abort(error);
  };
  timer = clock.setTimeout(look, silenceMs);
  return {
    signal: AbortSignal.any([tooLong.signal, ...signals]),
    silence: () => error,
    heard() {
      heardAt = clock.now();
    },
    allSent() {
      heardAt = clock.now();
      allowedMs = silenceMs + (heardAt - startedAt);
    },
    end() {
      clock.clearTimeout(timer);
    },
  };
}
