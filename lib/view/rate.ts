export interface Rate {
  /** @param total of what is counted, so far; one lower than the last (a pack begun anew) counts as the last */
  sample(atMs: number, total: number): void;
  /** @returns the average of the last seconds, a second; `null` until that means something. */
  perSecond(atMs: number): number | null;
}

interface Sample {
  readonly atMs: number;
  readonly total: number;
}

/** Long enough that packs ending one after another do not show, short enough to follow a line that changes. */
const WINDOW_MS = 10_000;
/** The first two seconds are connecting and filling buffers. */
const SETTLED_MS = 2_000;
/** Samples closer to one another than this replace each other: the window holds 100 at most. */
const RESOLUTION_MS = 100;

/** A moving average over the last ten seconds. */
export function createRate(): Rate {
  const samples: Sample[] = [];
  return {
    sample(atMs, total) {
      const [last, beforeLast] = [samples.at(-1), samples.at(-2)];
      const sample = { atMs, total: Math.max(total, last?.total ?? total) };
      if (last && beforeLast && last.atMs - beforeLast.atMs < RESOLUTION_MS) samples.pop();
      samples.push(sample);
      // One sample before the window stays: it says where the window begins.
      while (samples[1] && samples[1].atMs <= atMs - WINDOW_MS) samples.shift();
    },
    perSecond(atMs) {
      const [first, last] = [samples[0], samples.at(-1)];
      if (!first || !last || atMs - first.atMs < SETTLED_MS) return null;
      const beginMs = Math.max(first.atMs, atMs - WINDOW_MS);
      return ((last.total - totalAt(samples, beginMs)) * 1000) / (atMs - beginMs);
    },
  };
}

/** Between two samples the total is taken to have grown evenly. */
function totalAt(samples: readonly Sample[], atMs: number): number {
  const after = samples.findIndex((sample) => sample.atMs > atMs);
  const [a, b] = [samples[after - 1] ?? samples[0], samples[after]];
  if (!a || !b || b.atMs === a.atMs) return (after < 0 ? samples.at(-1) : a)?.total ?? 0;
  return a.total + ((b.total - a.total) * (atMs - a.atMs)) / (b.atMs - a.atMs);
}

/** More than that is a guess nobody can use. */
const LONGEST_MS = 100 * 86_400_000;

/** @returns how long the rest takes at this rate, or `null` when that cannot be said. */
export function timeLeftMs(remaining: number, perSecond: number | null): number | null {
  if (remaining <= 0) return 0;
  const ms = (remaining * 1000) / (perSecond ?? 0);
  return ms <= LONGEST_MS ? ms : null;
}
