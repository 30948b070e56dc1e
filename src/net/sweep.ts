// One timer for everything with a deadline: connections set a number, a sweep four times a second looks at it.
// A timer per request costs more than the request's parsing.
import type { Clock, Timer } from '#base/clock.ts';

export interface Swept {
  /** On the sweep's clock; 0 is no deadline. */
  deadlineMs: number;
  onDeadline(): void;
}

export interface Sweep {
  /** Monotonic milliseconds, as of the last sweep: at most 250 ms old. */
  nowMs: number;
  add(swept: Swept): void;
  remove(swept: Swept): void;
  readonly size: number;
  stop(): void;
}

const PERIOD_MS = 250;

export function buildSweep(clock: Clock): Sweep {
  const all = new Set<Swept>();
  const timer: Timer = clock.every(PERIOD_MS, () => {
    sweep.nowMs = clock.monoMs();
    for (const swept of all) if (swept.deadlineMs !== 0 && swept.deadlineMs <= sweep.nowMs) swept.onDeadline();
  });
  const sweep: Sweep = {
    nowMs: clock.monoMs(),
    add: (swept) => void all.add(swept),
    remove: (swept) => void all.delete(swept),
    get size() {
      return all.size;
    },
    stop: () => timer.cancel(),
  };
  return sweep;
}
