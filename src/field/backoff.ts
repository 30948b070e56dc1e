// How long to wait after a failure: what the server says, else 1, 2, 4 … 300 s ± 20 % (docs/wire/device.md §1).
import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';

export interface Backoff {
  /** On the clock that only grows; 0: nothing to wait for. */
  notBeforeMs(): number;
  /** Resolves how long. `afterSeconds`: as the server said. */
  failed(afterSeconds?: number | null): number;
  worked(): void;
}

export const random01 = (random: Random): number => random(4).readUInt32BE(0) / 0x1_0000_0000;

export function buildBackoff(clock: Clock, random: Random): Backoff {
  let delayMs = 0;
  let notBeforeMs = 0;
  return {
    notBeforeMs: () => notBeforeMs,
    failed(afterSeconds = null) {
      delayMs = Math.min(delayMs === 0 ? limits.pushRetryFirstMs : delayMs * 2, limits.pushRetryMaxMs);
      // Never sooner than said; later by up to a fifth, so that devices that were told the same do not come at once.
      const said = afterSeconds === null ? null : Math.min(afterSeconds * 1000, limits.pushRetryAfterMaxMs) * (1 + 0.2 * random01(random));
      const waitMs = said ?? delayMs * (0.8 + 0.4 * random01(random));
      notBeforeMs = clock.monoMs() + waitMs;
      return waitMs;
    },
    worked() {
      delayMs = 0;
      notBeforeMs = 0;
    },
  };
}

/** Waits so long (Infinity: until it is woken), until the signal aborts, or until what it offers is called. */
export async function restUntilWoken(clock: Clock, delayMs: number, signal: AbortSignal, offerWake: (wake: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = delayMs === Number.POSITIVE_INFINITY ? null : clock.after(delayMs, () => done());
    const done = () => {
      timer?.cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    offerWake(done);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
