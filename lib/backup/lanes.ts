import { SECONDS_A_PACK } from './pace.ts';

/** How many packs are sent at once: more only while they bring more, fewer when the server pushes back. */
export interface Lanes {
  count(): number;
  /** So many bytes have gone to the remote, by whichever lane. */
  sent(bytes: number): void;
  /** A lane had nothing to send for so long. */
  waited(ms: number): void;
  /** The server has enough, and said so to a lane. */
  pushedBack(): void;
}

/** @returns lanes whose number does not change */
export function steadyLanes(count: number): Lanes {
  return { count: () => count, sent: () => {}, waited: () => {}, pushedBack: () => {} };
}

export interface LanesOptions {
  /** To begin with. */
  readonly first: number;
  readonly most: number;
  /** No pack is much larger than this. */
  readonly largestPackBytes: number;
  /** @returns milliseconds that never go back */
  readonly now: () => number;
  readonly onChange?: (count: number) => void;
}

/** Long against a round trip, short against a backup. */
const WINDOW_MS = 500;
/** A window in which less went through says little. */
const WINDOW_BYTES_A_LANE = 256 * 1024;
/** Twice the lanes have to bring so much more to be kept: what the machine itself can do shows as less. */
const GAIN = 1.25;
/** Lanes that waited for more than this part of a window were not what held the backup up. */
const MAY_WAIT = 0.25;
/** After an attempt that brought nothing, or a server that pushed back; twice as long after each further one. */
const HOLD_MS = 30_000;
const LONGEST_HOLD_MS = 10 * 60_000;

/**
 * Doubles the lanes as long as that brings a quarter more, goes back when it does not, and halves them when the server
 * pushes back. What is judged is the throughput of all lanes together, in windows in which they had enough to send.
 */
export function createLanes(options: LanesOptions): Lanes {
  const { first, most, largestPackBytes, now, onChange = () => {} } = options;
  let count = Math.min(first, most);
  /** The lanes and bytes per second before the last doubling, until it is judged. */
  let attempt: { readonly count: number; readonly rate: number } | null = null;
  let holdUntilMs = Number.NEGATIVE_INFINITY;
  let holdMs = HOLD_MS;
  /** Connections are made and packs are on their way up: the first window after a change counts for nothing. */
  let settling = true;
  let beganMs = now();
  let bytes = 0;
  let waitedMs = 0;

  const begin = () => {
    beganMs = now();
    bytes = 0;
    waitedMs = 0;
  };
  const change = (to: number) => {
    if (to === count) return;
    count = to;
    settling = true;
    begin();
    onChange(count);
  };
  const hold = () => {
    attempt = null;
    holdUntilMs = now() + holdMs;
    holdMs = Math.min(LONGEST_HOLD_MS, 2 * holdMs);
  };

  const judge = (rate: number, starved: boolean) => {
    if (attempt !== null && (starved || rate < GAIN * attempt.rate)) {
      const { count: before } = attempt;
      hold();
      change(before);
      return;
    }
    if (attempt !== null) holdMs = HOLD_MS;
    attempt = null;
    const more = Math.min(most, 2 * count);
    // Packs that are made already stay as large as they are: on slower lanes every kill would be dearer.
    const isThin = rate / more < largestPackBytes / SECONDS_A_PACK;
    if (starved || isThin || more === count || now() < holdUntilMs) return;
    attempt = { count, rate };
    change(more);
  };

  return {
    count: () => count,
    sent(more) {
      bytes += more;
      const tookMs = now() - beganMs;
      if (tookMs < WINDOW_MS || bytes < WINDOW_BYTES_A_LANE * count) return;
      const rate = bytes / (tookMs / 1000);
      const starved = waitedMs > MAY_WAIT * tookMs * count;
      const counts = !settling;
      settling = false;
      begin();
      if (counts) judge(rate, starved);
    },
    waited(ms) {
      waitedMs += ms;
    },
    pushedBack() {
      // All lanes are told at once: of the answers to what was sent before the last change nothing follows.
      if (settling && now() < holdUntilMs) return;
      hold();
      settling = true;
      begin();
      change(Math.max(1, Math.floor(count / 2)));
    },
  };
}
