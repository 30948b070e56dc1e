// Time as a parameter: the real clock is made in bin, tests bring their own.

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since 1970, as the system believes. May jump. */
  nowMs(): number;
  /** Milliseconds that only grow, for durations and deadlines. */
  monoMs(): number;
  /** Runs once. The timer does not keep the process alive. */
  after(delayMs: number, run: () => void): Timer;
  /** Runs again and again. The timer does not keep the process alive. */
  every(periodMs: number, run: () => void): Timer;
}

/** Waits; ends early, without throwing, when the signal aborts. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(delayMs, done);
    signal?.addEventListener('abort', done);
  });
}
