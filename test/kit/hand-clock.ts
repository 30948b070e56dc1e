// A clock that tests move by hand.
import type { Clock } from '#base/clock.ts';

export interface HandClock extends Clock {
  /** Moves time and runs what became due, in order. */
  advance(ms: number): void;
  readonly timers: number;
}

export function handClock(startMs = 1_800_000_000_000): HandClock {
  let mono = 0;
  const due = new Set<{ at: number; run: () => void; periodMs?: number }>();
  const add = (timer: { at: number; run: () => void; periodMs?: number }) => {
    due.add(timer);
    return { cancel: () => void due.delete(timer) };
  };
  return {
    nowMs: () => startMs + mono,
    monoMs: () => mono,
    after: (delayMs, run) => add({ at: mono + delayMs, run }),
    every: (periodMs, run) => add({ at: mono + periodMs, run, periodMs }),
    advance(ms) {
      const end = mono + ms;
      for (;;) {
        const next = [...due].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
        if (!next) break;
        mono = Math.max(mono, next.at);
        if (next.periodMs === undefined) due.delete(next);
        // A jump over days does not run what is due every second a million times.
        else next.at = Math.max(next.at + next.periodMs, end - 10 * next.periodMs);
        next.run();
      }
      mono = end;
    },
    get timers() {
      return due.size;
    },
  };
}
