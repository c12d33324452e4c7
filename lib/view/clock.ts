/** Time as the view sees it; specs turn it by hand. */
export interface Clock {
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** Calls back at every period until the function returned is called. */
  readonly every: (periodMs: number, callback: () => void) => () => void;
}

export function everyUnref(periodMs: number, callback: () => void): () => void {
  // Drawing is no reason to keep a program alive whose work is done.
  const timer = setInterval(callback, periodMs).unref();
  return () => clearInterval(timer);
}
