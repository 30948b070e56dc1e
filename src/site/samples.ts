// Which readings of a profile are kept as series, and of equal ones only where a stretch begins and ends.
import type { Id } from '#base/ids.ts';
import type { ProbeSample, Profile } from '#model/place-rows.ts';
import type { ProbeNote, SeriesEnd } from '#model/probe-operations.ts';

const seriesCharsMax = 120;

/** `supply KEY`, `tray KEY`, `counter NAME`. */
export function readingsOf(profile: Profile, seriesMax: number): Map<string, number> {
  const readings = new Map<string, number>();
  const add = (series: string, value: number | null) => {
    if (value === null || !Number.isFinite(value) || series.length > seriesCharsMax || readings.size >= seriesMax) return;
    readings.set(series, value);
  };
  for (const { key, percent } of profile.supplies) add(`supply ${key}`, percent);
  for (const [name, value] of Object.entries(profile.counters)) add(`counter ${name}`, value);
  for (const { key, percent } of profile.trays) add(`tray ${key}`, percent);
  return readings;
}

export interface SampleTimes {
  readonly nowMs: number;
  /** An unchanged value is noted again after so long. */
  readonly everyMs: number;
  /** A device that calls its supplies something else each time begins no more than so many series. */
  readonly seriesMax: number;
}

/** What is to be written, when this is read and that is there. */
export function samplesOf(device: { readonly deviceId: Id; readonly customerId: Id }, readings: ReadonlyMap<string, number>, ends: readonly SeriesEnd[], { nowMs, everyMs, seriesMax }: SampleTimes): Pick<ProbeNote, 'samples' | 'superseded'> {
  const lastOf = new Map(ends.map(({ series, last }) => [series, last]));
  const samples: ProbeSample[] = [];
  const superseded: { series: string; at: number }[] = [];
  let begun = lastOf.size;
  for (const [series, value] of readings) {
    const [last, before] = lastOf.get(series) ?? [];
    if (last === undefined && ++begun > seriesMax) continue;
    if (last?.value === value) {
      if (nowMs - last.at < everyMs) continue;
      if (before?.value === value) superseded.push({ series, at: last.at });
    }
    samples.push({ ...device, at: nowMs, series, value });
  }
  return { samples, superseded };
}
