// What the data plane counts. Plain numbers, incremented in place, read by metrics and visits; nobody waits for anybody.

/** Counts of one visit, or of everything. Bytes are of bodies. */
export interface Meter {
  requests: number;
  bytesIn: number;
  bytesOut: number;
}

/** Of one listener. */
export interface ListenerCounts {
  accepted: number;
  open: number;
  refused: number;
}

export interface TrafficCounts extends Meter {
  readonly byListener: Map<string, ListenerCounts>;
  connsAccepted: number;
  connsRefused: number;
  connsOpen: number;
  handshakesDone: number;
  handshakesFailed: number;
  /** By class: [1] 1xx … [5] 5xx. */
  readonly answers: number[];
  refusals: number;
  upstreamFailures: number;
  upstreamDials: number;
  upstreamReuses: number;
  /** Cumulative counts under each bound, and the sum, of milliseconds from head to answer's end. */
  readonly durationCounts: number[];
  durationSumMs: number;
}

export const DURATION_BOUNDS_MS = [1, 5, 25, 100, 500, 2_500, 10_000] as const;

export function newTrafficCounts(): TrafficCounts {
  return {
    byListener: new Map(),
    requests: 0, bytesIn: 0, bytesOut: 0, connsAccepted: 0, connsRefused: 0, connsOpen: 0, handshakesDone: 0, handshakesFailed: 0,
    answers: [0, 0, 0, 0, 0, 0], refusals: 0, upstreamFailures: 0, upstreamDials: 0, upstreamReuses: 0,
    durationCounts: Array.from({ length: DURATION_BOUNDS_MS.length + 1 }, () => 0), durationSumMs: 0,
  };
}

/** More names than listeners can have at once: those of listeners that are long gone are dropped. */
const listenerNamesMax = 256;

export function listenerCounts({ byListener }: Pick<TrafficCounts, 'byListener'>, listener: string): ListenerCounts {
  const known = byListener.get(listener);
  if (known) return known;
  if (byListener.size >= listenerNamesMax) for (const [name, { open }] of byListener) if (open === 0) byListener.delete(name);
  const fresh = { accepted: 0, open: 0, refused: 0 };
  byListener.set(listener, fresh);
  return fresh;
}

export function countRefused(counts: TrafficCounts, listener: string): void {
  counts.connsRefused += 1;
  listenerCounts(counts, listener).refused += 1;
}

export function countDuration(counts: TrafficCounts, durationMs: number): void {
  let i = 0;
  while (i < DURATION_BOUNDS_MS.length && durationMs > DURATION_BOUNDS_MS[i]!) i += 1;
  counts.durationCounts[i]! += 1;
  counts.durationSumMs += durationMs;
}
