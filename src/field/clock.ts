// The right time, learned from believed answers, on top of a system clock that may be wrong, absent or set by somebody meanwhile.
// docs/wire/device.md §5, time.
import type { Clock } from '#base/clock.ts';

/** How a record is dated when it is taken. */
export interface Stamp {
  /** Milliseconds since 1970 UTC: corrected when `clockTrusted`, else what the system believes. */
  readonly atMs: number;
  /** Of the machine, which goes on when the clock is set. */
  readonly uptimeMs: number;
  readonly clockTrusted: boolean;
}

export type Learned = 'taken' | 'kept' | 'refused';

export interface FieldClock {
  nowMs(): number;
  trusted(): boolean;
  /** What the corrected time may be off, either way; null before the first answer. */
  errorMs(): number | null;
  /** System clock minus corrected time; null before the first answer. */
  systemAheadMs(): number | null;
  stamp(): Stamp;
  /**
   * A server's `time=` (ms) in an answer that came at `monoMs`, `roundTripMs` after its request had been written: true time was somewhere
   * in between, so that the middle is off by half the round trip at most. `kept`: what we have is better. The caller has judged the answer.
   */
  learn(serverMs: number, roundTripMs: number, monoMs: number): Learned;
  /** Called once, when the first trusted time is known; at once if it is. True time of a record = nowMs − (uptimeMs − its uptime). */
  onTrusted(listener: (nowMs: number, uptimeMs: number) => void): void;
}

export interface FieldClockOptions {
  readonly clock: Clock;
  /** Milliseconds since the machine started; grows while the process sleeps, too. */
  uptimeMs(): number;
  /** A clock that shows less is wrong for certain, so no jump is too far for it. */
  readonly builtAtMs: number;
}

const jumpMaxMs = 366 * 24 * 3_600_000;
/** Ordinary quartz is off by less than 100 ppm: an old estimate grows worse, until a later one of a longer round trip is better. */
const driftPerMs = 100e-6;
/** The server's own rounding to milliseconds, and ours. */
const roundingMs = 1;

export function buildFieldClock({ clock, uptimeMs, builtAtMs }: FieldClockOptions): FieldClock {
  /** True time = uptime + offset: the machine's uptime knows nothing of a clock that is set. */
  let known: { offsetMs: number; errorMs: number; atUptimeMs: number } | null = null;
  const listeners: ((nowMs: number, uptimeMs: number) => void)[] = [];
  const errorNow = (at: number) => (known === null ? null : known.errorMs + (at - known.atUptimeMs) * driftPerMs);
  const nowMs = () => (known === null ? clock.nowMs() : Math.round(uptimeMs() + known.offsetMs));

  return {
    nowMs,
    trusted: () => known !== null,
    errorMs: () => errorNow(uptimeMs()),
    systemAheadMs: () => (known === null ? null : clock.nowMs() - nowMs()),
    stamp: () => ({ atMs: nowMs(), uptimeMs: uptimeMs(), clockTrusted: known !== null }),
    learn(serverMs, roundTripMs, monoMs) {
      if (!Number.isFinite(serverMs) || !Number.isFinite(roundTripMs) || roundTripMs < 0 || serverMs < builtAtMs) return 'refused';
      const up = uptimeMs();
      // The answer may have waited in a queue of ours since it came.
      const trueNowMs = serverMs + roundTripMs / 2 + Math.max(0, clock.monoMs() - monoMs);
      const own = nowMs();
      if (Math.abs(trueNowMs - own) > jumpMaxMs && own >= builtAtMs) return 'refused';
      const errorMs = roundTripMs / 2 + roundingMs;
      const before = errorNow(up);
      // An estimate that contradicts ours beyond what both may be off is no better one: one of the two clocks was wrong or was set.
      if (before !== null && errorMs >= before && Math.abs(trueNowMs - own) <= errorMs + before) return 'kept';
      const isFirst = known === null;
      known = { offsetMs: trueNowMs - up, errorMs, atUptimeMs: up };
      if (isFirst) for (const listener of listeners.splice(0)) listener(nowMs(), up);
      return 'taken';
    },
    onTrusted(listener) {
      if (known === null) listeners.push(listener);
      else listener(nowMs(), uptimeMs());
    },
  };
}
