// What a run of the oracle came to: the verdict, and the counts that show that the faults really happened.
import type { LineCounts } from './line.ts';
import type { Compared } from './records.ts';
import type { StoredGap } from './stored.ts';

export interface Report {
  readonly name: string;
  readonly seed: string;
  readonly store: 'sqlite' | 'postgres';
  readonly seconds: number;
  readonly compared: readonly Compared[];
  readonly gaps: readonly StoredGap[];
  /** Bytes that two servers have at the same offsets: the one exception of docs/wire/device.md §4. */
  readonly twice: number;
  readonly repeats: number;
  readonly epochs: number;
  readonly hits: ReadonlyMap<string, number>;
  readonly busyHits: ReadonlyMap<string, number>;
  readonly lines: readonly LineCounts[];
  readonly lives: Readonly<Record<string, number>>;
  /** Sentences; none: it held. */
  readonly misses: readonly string[];
}

const few = (list: readonly (number | string)[]): string => (list.length > 12 ? `${list.slice(0, 12).join(' ')} … (${list.length})` : list.join(' '));

/** Whatever is missing, there twice or wrong, as sentences. */
export function missesOf(compared: Compared, mayMiss: (number: number) => boolean = () => false): string[] {
  const { feed, missing, duplicated, corrupted, disordered } = compared;
  const misses: string[] = [];
  const lost = missing.filter((number) => !mayMiss(number));
  if (lost.length > 0) misses.push(`${feed}: ${lost.length} missing: ${few(lost)}`);
  if (duplicated.length > 0) misses.push(`${feed}: ${duplicated.length} duplicated: ${few(duplicated)}`);
  if (corrupted.length > 0) misses.push(`${feed}: ${corrupted.length} corrupted: ${few(corrupted.map((text) => JSON.stringify(text)))}`);
  if (disordered > 0) misses.push(`${feed}: ${disordered} out of order`);
  return misses;
}

const sumOf = (lines: readonly LineCounts[], of: (line: LineCounts) => Readonly<Record<string, number>>): string => {
  const all: Record<string, number> = {};
  for (const line of lines) for (const [name, count] of Object.entries(of(line))) all[name] = (all[name] ?? 0) + count;
  return Object.entries(all).sort().map(([name, count]) => `${name} ${count}`).join(', ');
};

export function showReport(report: Report): string {
  const { compared, gaps, lines, lives, hits, busyHits, misses } = report;
  const faultsOf = ({ connections, pushes, refused, delayed, cutOnTheWay, cutOnTheWayBack, endedEarly, swallowed, replayed }: LineCounts) => ({ connections, pushes, refused, delayed, 'cut on the way': cutOnTheWay, 'cut on the way back': cutOnTheWayBack, 'ended early': endedEarly, swallowed, 'brought twice': replayed });
  return [
    `${report.name} on ${report.store}, seed ${report.seed}, ${report.seconds} s: ${misses.length === 0 ? 'exactly once' : 'FAILED'}`,
    ...compared.map((each) => `  ${each.feed}: ${each.made} made, ${each.stored} stored, ${each.missing.length} missing, ${each.duplicated.length} duplicated, ${each.corrupted.length} corrupted`),
    ...gaps.map((gap) => `  gap ${gap.from} to ${gap.to}: ${gap.reason}`),
    `  repeats answered ${report.repeats}, epochs ${report.epochs}${report.twice > 0 ? `, bytes at two servers ${report.twice}` : ''}`,
    `  lives: ${Object.entries(lives).map(([name, count]) => `${name} ${count}`).join(', ')}`,
    `  ways: ${sumOf(lines, faultsOf)}`,
    `  answers: ${sumOf(lines, (line) => line.answers)}`,
    `  answers to what was brought twice: ${sumOf(lines, (line) => line.replies)}`,
    ...[...hits].sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, count]) => `  ${String(count).padStart(4)} × ${name}${busyHits.has(name) ? ` (${busyHits.get(name)} with a batch under way)` : ''}`),
    ...misses.map((miss) => `  MISS ${miss}`),
  ].join('\n');
}
