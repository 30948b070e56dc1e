// What every kind of sink is to the loop that feeds it.
import type { SinkBatch, SinkSource } from '#model/sink-batch.ts';
import type { SinkPosition } from '#model/sinks.ts';

export interface Taken {
  /** Kept with the position, for this kind alone. */
  readonly data: string | null;
  /** Records that came before under the same natural key. */
  readonly doubles: number;
}

export interface SinkTarget {
  /** Where the target itself has written down that it stands: it counts, unless a later run was ordered. null: it keeps no such books, or has nothing yet. */
  readonly positionOf: ((source: SinkSource) => Promise<SinkPosition | null>) | null;
  /** A batch that is sent again must be the same one: its end is written down before it is sent. */
  readonly isPlanned: boolean;
  readonly itemsMax: number;
  readonly bytesMax: number;
  /** So long a batch that is not full waits for more. */
  readonly gatherMs: number;
  /** So many epochs at the same time. */
  readonly atOnce: number;
  /** Resolves when the target has all of it, durably as far as it says so; `data` is what was kept with the position. Throws TargetGone when it wants no more. */
  take(batch: SinkBatch, data: string | null, signal: AbortSignal): Promise<Taken>;
  /** Work beside the batches: old files. */
  tidy?(): Promise<void>;
  close(): Promise<void>;
}

/** The target says that it wants no more, for good. */
export class TargetGone extends Error {}

/** The target asks to be left alone for so long. */
export class TargetBusy extends Error {
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs: number) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}
