/** How large packs are: what a kill may cost is bounded in time, not in bytes. */
export interface Pace {
  /** No pack is made smaller, but the last. */
  readonly smallestBytes: number;
  /** No pack is made much larger than this, whatever was measured. */
  readonly largestBytes: number;
  /** A pack that has reached this is ended. @param packs how many may exist at once */
  packBytes(packs: number): number;
  /** A lane has put so many bytes in so many milliseconds. */
  observe(bytes: number, ms: number): void;
}

/** A pack takes its lane about so long. */
export const SECONDS_A_PACK = 4;
const SMALLEST_BYTES = 1024 * 1024;
const LARGEST_BYTES = 32 * 1024 * 1024;
/** What all packs that exist at once may hold: those in flight, the one being built and the one in waiting. */
const ALL_PACKS_BYTES = 128 * 1024 * 1024;
/** As long as few lanes fill the line, half of it is as fast. */
const FEW_PACKS = 8;
const FEW_PACKS_BYTES = 64 * 1024 * 1024;
/** How much the newest measurement counts: a line that has become slow is noticed after two or three packs. */
const WEIGHT = 0.5;

/**
 * Follows the throughput of the lanes. It begins with small packs: on a slow line the first ones would take minutes
 * otherwise, and on a fast one they are through in a moment.
 * @param firstPacks how many may exist at once to begin with
 */
export function createPace(firstPacks: number): Pace {
  const largestBytes = largest(firstPacks);
  let bytesPerSecond: number | null = null;
  return {
    smallestBytes: SMALLEST_BYTES,
    largestBytes,
    packBytes(packs) {
      const wanted = (bytesPerSecond ?? 0) * SECONDS_A_PACK;
      return Math.round(Math.min(largestBytes, largest(packs), Math.max(SMALLEST_BYTES, wanted)));
    },
    observe(bytes, ms) {
      const measured = bytes / (Math.max(1, ms) / 1000);
      bytesPerSecond = bytesPerSecond === null ? measured : WEIGHT * measured + (1 - WEIGHT) * bytesPerSecond;
    },
  };
}

function largest(packs: number): number {
  const allBytes = packs <= FEW_PACKS ? FEW_PACKS_BYTES : ALL_PACKS_BYTES;
  return Math.min(LARGEST_BYTES, Math.floor(allBytes / packs));
}

/** @returns a pace that does not change */
export function steadyPace(packBytes: number): Pace {
  return { smallestBytes: packBytes, largestBytes: packBytes, packBytes: () => packBytes, observe: () => {} };
}
