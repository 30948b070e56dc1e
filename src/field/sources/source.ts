// What every source is to those who open and watch it, and what each of them needs: counts for people, and trying again.
import { sleep } from '#base/clock.ts';
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Log } from '#base/log.ts';
import type { Intake } from '../intake.ts';

export interface SourceStatus {
  /** The source in words: `tcp-listen 192.0.2.1:5025`. */
  readonly what: string;
  /** Clients, open files, or 1 and 0. */
  readonly connected: number;
  readonly bytes: number;
  readonly records: number;
  /** Records and frames that were left out: cut short on the line, or too many at once. */
  readonly dropped: number;
  readonly lastRecordAtMs: number | null;
  readonly lastError: { readonly why: string; readonly atMs: number } | null;
}

export interface Source {
  status(): SourceStatus;
  /** What was read and waits for its end is handed on. */
  close(): Promise<void>;
}

export interface SourceDeps {
  readonly feed: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly intake: Intake;
}

/** Counts of one source. */
export interface Tally {
  connected: number;
  bytes: number;
  records: number;
  dropped: number;
  /** Kept for people, and logged when it is another than the last. */
  failed(thrown: unknown): void;
  /** The next failure is news again. */
  worked(): void;
  tookRecord(): void;
  status(what: string): SourceStatus;
}

export function newTally({ feed, clock, log }: SourceDeps): Tally {
  let lastError: SourceStatus['lastError'] = null;
  let lastRecordAtMs: number | null = null;
  let logged = '';
  const tally: Tally = {
    connected: 0,
    bytes: 0,
    records: 0,
    dropped: 0,
    failed(thrown) {
      const why = printable(reasonOf(thrown));
      lastError = { why, atMs: clock.nowMs() };
      if (logged !== why) log.warn('source.failed', { feed, why });
      logged = why;
    },
    worked() {
      logged = '';
    },
    tookRecord() {
      tally.records += 1;
      lastRecordAtMs = clock.nowMs();
    },
    status: (what) => ({ what, connected: tally.connected, bytes: tally.bytes, records: tally.records, dropped: tally.dropped, lastRecordAtMs, lastError }),
  };
  return tally;
}

/** A delay with 20 % to either side, so that many devices do not come back at once. */
export function spread(delayMs: number, random: Random): number {
  return Math.round(delayMs * (0.8 + (0.4 * random(2).readUInt16BE()) / 65_535));
}

/**
 * Runs `attempt` again and again until the signal aborts: at once after one that said `worked`, waited for from the first to the longest delay.
 * An attempt ends when what it opened has ended; it must itself look at the signal.
 */
export async function keepTrying(deps: SourceDeps, tally: Tally, signal: AbortSignal, attempt: (worked: () => void) => Promise<void>): Promise<void> {
  let delayMs: number = limits.feedReconnectFirstMs;
  while (!signal.aborted) {
    try {
      await attempt(() => {
        delayMs = limits.feedReconnectFirstMs;
        tally.worked();
      });
    } catch (thrown) {
      if (!signal.aborted) tally.failed(thrown);
    }
    if (signal.aborted) return;
    await sleep(deps.clock, spread(delayMs, deps.random), signal);
    delayMs = Math.min(delayMs * 2, limits.feedReconnectMaxMs);
  }
}
