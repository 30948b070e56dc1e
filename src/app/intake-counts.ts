// What intake counts, for /metrics: numbers that are read when somebody asks.

export interface IntakeCounts {
  batches: number;
  records: number;
  bytes: number;
  repeats: number;
  gaps: number;
  conflicts: number;
  /** Answers that refused, by their code. */
  readonly refused: Record<string, number>;
  readonly commits: CommitCounts;
}

export interface CommitCounts {
  /** One more than bounds each: the last is above all. */
  readonly sizes: number[];
  readonly times: number[];
  batches: number;
  ms: number;
}

export const commitSizeBounds = [1, 2, 4, 8, 16, 32, 64, 128, 256] as const;
export const commitMsBounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000] as const;

const zeros = (count: number): number[] => Array.from({ length: count }, () => 0);

export const newIntakeCounts = (): IntakeCounts => ({
  batches: 0, records: 0, bytes: 0, repeats: 0, gaps: 0, conflicts: 0, refused: {},
  commits: { sizes: zeros(commitSizeBounds.length + 1), times: zeros(commitMsBounds.length + 1), batches: 0, ms: 0 },
});

const placeOf = (bounds: readonly number[], value: number): number => {
  const found = bounds.findIndex((bound) => value <= bound);
  return found < 0 ? bounds.length : found;
};

export function countCommit(commits: CommitCounts, batches: number, ms: number): void {
  commits.sizes[placeOf(commitSizeBounds, batches)]! += 1;
  commits.times[placeOf(commitMsBounds, ms)]! += 1;
  commits.batches += batches;
  commits.ms += ms;
}

const codesMax = 40;

/** Codes are words of ours; the bound is against a mistake of ours. */
export function countRefusal({ refused }: IntakeCounts, code: string): void {
  if (Object.hasOwn(refused, code)) refused[code]! += 1;
  else if (Object.keys(refused).length < codesMax) refused[code] = 1;
}
