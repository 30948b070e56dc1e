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

export function buildProbePace({ clock, limits }: { readonly clock: Clock; readonly limits: Limits }): ProbePace {
  let perSecond = perSecondFirst;
  let atOnce = atOnceFirst;
  let tokens = perSecond;
  let filledAt = clock.monoMs();
  const askers: Waiting[] = [];
  let timer: Timer | null = null;

  const fill = () => {
    const now = clock.monoMs();
    tokens = Math.min(perSecond, tokens + ((now - filledAt) * perSecond) / 1_000);
    filledAt = now;
  };
  const serve = () => {
    timer?.cancel();
    timer = null;
    fill();
    // What a timer that fires a hair too early is short of, and what adding fractions loses.
    while (tokens > 1 - 1e-6 && askers.length > 0) {
      tokens = Math.max(0, tokens - 1);
      askers.shift()!.go();
    }
    if (askers.length > 0) timer = clock.after(Math.max(1, ((1 - tokens) * 1_000) / perSecond), serve);
  };

  /** By address, in the order of asking; an address that is in `turns` waits for a place. */
  const lines = new Map<string, Waiting[]>();
  const turns: string[] = [];
  const active = new Set<string>();
  const place = () => {
    while (active.size < atOnce && turns.length > 0) {
      const address = turns.shift()!;
      const line = lines.get(address);
      const first = line?.shift();
      if (line === undefined || first === undefined) {
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
    if (lines.get(address)?.length) turns.push(address);
    else lines.delete(address);
    place();
  };

  return {
    get perSecond() {
      return perSecond;
    },
    get atOnce() {
      return atOnce;
    },
    set(nextPerSecond, nextAtOnce) {
      fill();
      perSecond = Math.min(limits.probePerSecondMax, Math.max(1, Math.floor(nextPerSecond)));
      atOnce = Math.min(limits.probeAtOnceMax, Math.max(1, Math.floor(nextAtOnce)));
      tokens = Math.min(tokens, perSecond);
      serve();
      place();
      return { perSecond, atOnce };
    },
    async take(signal) {
      if (signal.aborted) throw reasonOfSignal(signal);
      const mine = waitIn(askers, signal);
      serve();
      await mine;
    },
    async at(address, signal, run) {
      if (signal.aborted) throw reasonOfSignal(signal);
      let line = lines.get(address);
      if (line === undefined) lines.set(address, (line = []));
      const mine = waitIn(line, signal);
      if (!active.has(address) && !turns.includes(address)) turns.push(address);
      place();
      await mine;
      try {
        return await run();
      } finally {
        leave(address);
      }
    },
  };
}
