import { SECONDS_A_PACK } from './pace.ts';
import { createThroughput } from './throughput.ts';

/** How many packs are sent at once: no more than bring something, fewer when the server pushes back or the line is slow. */
export interface Lanes {
  count(): number;
  /** So many bytes have gone to the remote, by whichever lane. */
  sent(bytes: number): void;
  /** A lane has nothing to send. @returns to be called when it has */
  waits(): () => void;
  /** The server has enough, and said so to a lane. */
  pushedBack(): void;
  /** The server lets so many packs be sent at once and no more: a channel or a connection was refused. */
  limited(count: number): void;
}

/** @returns lanes whose number does not change */
export function steadyLanes(count: number): Lanes {
  return {
    count: () => count,
    sent: () => {},
    waits: () => () => {},
    pushedBack: () => {},
    limited: () => {},
  };
}

export interface LanesOptions {
  /** To begin with. */
  readonly first: number;
  readonly most: number;
  /** No pack is made smaller because lanes are slow. */
  readonly smallestPackBytes: number;
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
/** So many of a slow line's: some remotes take a pack at one go, and then nothing for seconds. */
const WINDOW_PACKS_A_LANE = 4;
/** Twice the lanes have to bring so much more to be kept: what the machine itself can do shows as less. */
const GAIN = 1.25;
/** Half the lanes are kept when they bring no less than this part. */
const NO_LOSS = 0.9;
/** A lane is slow when the smallest pack takes it longer: half the lanes make them as fast as packs are meant to be. */
const SLOW_SECONDS_A_PACK = 1.5 * SECONDS_A_PACK;
/** Lanes that waited for more than this part of a window were not what held the backup up. */
const MAY_WAIT = 0.25;
/** After an attempt that brought nothing, or a server that pushed back; twice as long after each further one. */
const HOLD_MS = 30_000;
const LONGEST_HOLD_MS = 10 * 60_000;

/** Another number of lanes that is being tried. */
interface Attempt {
  /** The number before. */
  readonly from: number;
  /** Bytes per second of all lanes together that make it worth keeping. */
  readonly rate: number;
  /** For how long it is not tried again, if it is not. */
  readonly hold: Hold;
}

/**
 * Doubles the lanes as long as that brings a quarter more, halves them on a slow line as long as that costs next to nothing,
 * goes back when it is otherwise, and halves them when the server pushes back. What is judged is the throughput of all lanes
 * together, in windows in which they had enough to send.
 */
export function createLanes(options: LanesOptions): Lanes {
  const { first, most, smallestPackBytes, largestPackBytes, now, onChange = () => {} } = options;
  const throughput = createThroughput(now);
  const more = createHold(now);
  const fewer = createHold(now);
  let count = Math.min(first, most);
  let attempt: Attempt | null = null;
  /** Connections are made and packs are on their way up: the first window after a change counts for nothing. */
  let settling = true;

  const change = (to: number) => {
    if (to === count) return;
    count = to;
    settling = true;
    throughput.begin();
    onChange(count);
  };
  const isSlow = (rate: number) => rate / count < smallestPackBytes / SLOW_SECONDS_A_PACK;
  // Packs that are made already stay as large as they are: on slower lanes every kill would be dearer.
  const isThin = (rate: number, lanes: number) => rate / lanes < largestPackBytes / SECONDS_A_PACK;

  const conclude = ({ from, rate: wanted, hold }: Attempt, rate: number, starved: boolean): boolean => {
    attempt = null;
    const isKept = !starved && rate >= wanted;
    if (isKept) {
      hold.forget();
    } else {
      hold.begin();
      change(from);
    }
    return isKept;
  };
  const judge = (rate: number, starved: boolean) => {
    if (attempt !== null && !conclude(attempt, rate, starved)) return;
    if (starved) return;
    const half = Math.floor(count / 2);
    const double = Math.min(most, 2 * count);
    if (isSlow(rate) && half > 0 && fewer.isOver()) {
      attempt = { from: count, rate: NO_LOSS * rate, hold: fewer };
      change(half);
    } else if (double > count && more.isOver() && (double <= first || !isThin(rate, double))) {
      attempt = { from: count, rate: GAIN * rate, hold: more };
      change(double);
    }
  };

  return {
    count: () => count,
    waits: throughput.waits,
    sent(bytes) {
      throughput.sent(bytes);
      const { tookMs, sentBytes, waitedMs } = throughput.soFar();
      if (tookMs < WINDOW_MS) return;
      const rate = sentBytes / (tookMs / 1000);
      const isCareful = isSlow(rate) || attempt?.hold === fewer;
      const bytesALane = isCareful ? WINDOW_PACKS_A_LANE * smallestPackBytes : WINDOW_BYTES_A_LANE;
      if (sentBytes < bytesALane * count) return;
      const counts = !settling;
      settling = false;
      const starved = waitedMs > MAY_WAIT * tookMs * count;
      throughput.begin();
      if (counts) judge(rate, starved);
    },
    pushedBack() {
      // All lanes are told at once: of the answers to what was sent before the last change nothing follows.
      if (settling && !more.isOver()) return;
      attempt = null;
      more.begin();
      settling = true;
      throughput.begin();
      change(Math.max(1, Math.floor(count / 2)));
    },
    limited(to) {
      if (to >= count) return;
      attempt = null;
      if (more.isOver()) more.begin(); // one lane after another is refused: that is said several times
      change(Math.max(1, to));
    },
  };
}

/** A while in which something is not tried. */
interface Hold {
  begin(): void;
  isOver(): boolean;
  /** The next one is short again. */
  forget(): void;
}

function createHold(now: () => number): Hold {
  let untilMs = Number.NEGATIVE_INFINITY;
  let nextMs = HOLD_MS;
  return {
    begin() {
      untilMs = now() + nextMs;
      nextMs = Math.min(LONGEST_HOLD_MS, 2 * nextMs);
    },
    isOver: () => now() >= untilMs,
    forget() {
      nextMs = HOLD_MS;
    },
  };
}
