// How fast devices are asked (docs/wire/probe.md §2): so many questions a second, and so many devices at the same time, for all streams of the process together. A
// switch takes a burst of new addresses for a scan, and a printer's network card drops what it has no room for.
import type { Clock, Timer } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';

export interface ProbePace {
  readonly perSecond: number;
  readonly atOnce: number;
  /** As bounded. The last one counts. */
  set(perSecond: number, atOnce: number): { readonly perSecond: number; readonly atOnce: number };
  /** Resolves when one more question may be sent, in the order of asking. Rejects with the signal's reason. */
  take(signal: AbortSignal): Promise<void>;
  /** Runs when the device has its turn: one after the other for one address, at most `atOnce` addresses. Rejects with the signal's reason while it waits. */
  at<Result>(address: string, signal: AbortSignal, run: () => Promise<Result>): Promise<Result>;
}

const perSecondFirst = 20;
const atOnceFirst = 8;

interface Waiting {
  readonly go: () => void;
}

const reasonOfSignal = (signal: AbortSignal): unknown => signal.reason ?? new Fault('closed', 'the question was given up');

/** In line until it is its turn or the signal aborts. */
function waitIn(line: Waiting[], signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      const at = line.indexOf(waiting);
      if (at >= 0) line.splice(at, 1);
      reject(reasonOfSignal(signal));
    };
    const waiting: Waiting = {
      go: () => {
        signal.removeEventListener('abort', leave);
        resolve();
      },
    };
    line.push(waiting);
    signal.addEventListener('abort', leave, { once: true });
  });
}

interface Bucket {
  perSecond: number;
  take(signal: AbortSignal): Promise<void>;
  /** After a change of the rate. */
  look(): void;
}

/** Tokens of at most one second's worth. */
function buildBucket(clock: Clock): Bucket {
  let tokens = perSecondFirst;
  let filledAt = clock.monoMs();
  const askers: Waiting[] = [];
  let timer: Timer | null = null;
  const look = () => {
    timer?.cancel();
    timer = null;
    const now = clock.monoMs();
    tokens = Math.min(bucket.perSecond, tokens + ((now - filledAt) * bucket.perSecond) / 1_000);
    filledAt = now;
    // What a timer that fires a hair too early is short of, and what adding fractions loses.
    while (tokens > 1 - 1e-6 && askers.length > 0) {
      tokens = Math.max(0, tokens - 1);
      askers.shift()!.go();
    }
    if (askers.length > 0) timer = clock.after(Math.max(1, ((1 - tokens) * 1_000) / bucket.perSecond), look);
  };
  const bucket: Bucket = {
    perSecond: perSecondFirst,
    look,
    async take(signal) {
      if (signal.aborted) throw reasonOfSignal(signal);
      const mine = waitIn(askers, signal);
      look();
      await mine;
    },
  };
  return bucket;
}

interface Turns {
  atOnce: number;
  at: ProbePace['at'];
  /** After a change of the number. */
  look(): void;
}

function buildTurns(): Turns {
  /** By address, in the order of asking; an address that is in `next` waits for a place. */
  const lines = new Map<string, Waiting[]>();
  const next: string[] = [];
  const active = new Set<string>();
  const look = () => {
    while (active.size < turns.atOnce && next.length > 0) {
      const address = next.shift()!;
      const first = lines.get(address)?.shift();
      if (first === undefined) {
        lines.delete(address);
        continue;
      }
      active.add(address);
      first.go();
    }
  };
  const leave = (address: string) => {
    active.delete(address);
    // Behind the others: one device with many questions does not keep its place.
    if (lines.get(address)?.length) next.push(address);
    else lines.delete(address);
    look();
  };
  const turns: Turns = {
    atOnce: atOnceFirst,
    look,
    async at(address, signal, run) {
      if (signal.aborted) throw reasonOfSignal(signal);
      let line = lines.get(address);
      if (line === undefined) lines.set(address, (line = []));
      const mine = waitIn(line, signal);
      if (!active.has(address) && !next.includes(address)) next.push(address);
      look();
      await mine;
      try {
        return await run();
      } finally {
        leave(address);
      }
    },
  };
  return turns;
}

const boundedBy = (value: number, most: number): number => Math.min(most, Math.max(1, Math.floor(value)));

export function buildProbePace({ clock, limits }: { readonly clock: Clock; readonly limits: Limits }): ProbePace {
  const bucket = buildBucket(clock);
  const turns = buildTurns();
  return {
    get perSecond() {
      return bucket.perSecond;
    },
    get atOnce() {
      return turns.atOnce;
    },
    set(perSecond, atOnce) {
      // What flowed in until now did so at the old rate.
      bucket.look();
      bucket.perSecond = boundedBy(perSecond, limits.probePerSecondMax);
      turns.atOnce = boundedBy(atOnce, limits.probeAtOnceMax);
      bucket.look();
      turns.look();
      return { perSecond: bucket.perSecond, atOnce: turns.atOnce };
    },
    take: bucket.take,
    at: turns.at,
  };
}
