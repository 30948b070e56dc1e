// What the data plane counts. Plain numbers, incremented in place, read by metrics and visits; nobody waits for anybody.

/** Counts of one visit, or of everything. Bytes are of bodies. */
export interface Meter {
  requests: number;
  bytesIn: number;
  bytesOut: number;
}

export interface TrafficCounts extends Meter {
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
    requests: 0, bytesIn: 0, bytesOut: 0, connsAccepted: 0, connsRefused: 0, connsOpen: 0, handshakesDone: 0, handshakesFailed: 0,
    answers: [0, 0, 0, 0, 0, 0], refusals: 0, upstreamFailures: 0, upstreamDials: 0, upstreamReuses: 0,
    durationCounts: Array.from({ length: DURATION_BOUNDS_MS.length + 1 }, () => 0), durationSumMs: 0,
  };
}

export function countDuration(counts: TrafficCounts, durationMs: number): void {
  let i = 0;
  while (i < DURATION_BOUNDS_MS.length && durationMs > DURATION_BOUNDS_MS[i]!) i += 1;
  counts.durationCounts[i]! += 1;
  counts.durationSumMs += durationMs;
}
