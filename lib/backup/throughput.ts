/** What lanes get through, and how long they have nothing to send, since it was last asked to begin anew. */
export interface Throughput {
  begin(): void;
  sent(bytes: number): void;
  /** A lane has nothing to send. @returns to be called when it has */
  waits(): () => void;
  soFar(): {
    readonly tookMs: number;
    readonly sentBytes: number;
    /** Of all lanes together; of those that wait still, what is over. */
    readonly waitedMs: number;
  };
}

/** @param now milliseconds that never go back */
export function createThroughput(now: () => number): Throughput {
  let beganMs = now();
  let sentBytes = 0;
  let waiting = 0;
  let waitedMs = 0;
  /** Until when `waitedMs` is right. */
  let bookedMs = beganMs;

  const book = () => {
    const at = now();
    waitedMs += waiting * (at - bookedMs);
    bookedMs = at;
  };
  return {
    begin() {
      book();
      beganMs = bookedMs;
      sentBytes = 0;
      waitedMs = 0;
    },
    sent(bytes) {
      sentBytes += bytes;
    },
    waits() {
      book();
      waiting += 1;
      return () => {
        book();
        waiting -= 1;
      };
    },
    soFar() {
      book();
      return { tookMs: bookedMs - beganMs, sentBytes, waitedMs };
    },
  };
}
