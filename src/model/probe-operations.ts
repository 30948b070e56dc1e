// What the store does about probes: the last profile of each device, and series of what was measured.
import type { Id } from '#base/ids.ts';
import type { DeviceProfile, ProbeSample } from './place-rows.ts';

/** What one run leaves behind. */
export interface ProbeNote {
  readonly profile: DeviceProfile;
  readonly samples: readonly ProbeSample[];
  /** Ends of stretches that last on: the same value is in `samples` again, later. */
  readonly superseded: readonly { readonly series: string; readonly at: number }[];
}

/** A series with its newest two readings, the newest first. */
export interface SeriesEnd {
  readonly series: string;
  readonly last: readonly { readonly at: number; readonly value: number }[];
}

export interface SampleQuery {
  readonly deviceId: Id;
  readonly series: string;
  /** Milliseconds since 1970; both are within. */
  readonly from: number;
  readonly to: number;
  /** At most so many points (2 … 2,000): where there are more readings, those of equal stretches of time become one. */
  readonly points: number;
}

/** The last reading of a stretch of time, and how far the others of it went. */
export interface SamplePoint {
  readonly at: number;
  readonly value: number;
  readonly min: number;
  readonly max: number;
}

export interface ProbeOperations {
  /** Nobody did it, so audit has no line of it. A device that is gone is passed over; a reading of the same time is replaced. */
  noteProbe(note: ProbeNote): Promise<void>;
  /** By name. */
  seriesOf(deviceId: Id): Promise<readonly SeriesEnd[]>;
  /** Oldest first. The reading before `from`, which lasts into it, is the first where there is one. */
  readSamples(query: SampleQuery): Promise<readonly SamplePoint[]>;
  /** The oldest before that time, at most so many; resolves how many went. */
  dropSamples(before: number, rows: number): Promise<number>;
}
