// A database as a sink: what the store room writes there in one transaction, position included.
import type { Limits } from '#base/limits.ts';
import type { SinkBatch, SinkSource } from '#model/sink-batch.ts';
import type { SinkPosition } from '#model/sinks.ts';
import type { SinkTarget } from './sink-target.ts';

export interface SqlWriting {
  positionOf(source: SinkSource): Promise<SinkPosition | null>;
  take(batch: SinkBatch): Promise<number>;
  close(): Promise<void>;
}

export function openSqlSink(writing: SqlWriting, limits: Limits): SinkTarget {
  return {
    positionOf: (source) => writing.positionOf(source),
    isPlanned: false,
    itemsMax: 5_000,
    bytesMax: limits.sinkBatchBytes,
    gatherMs: 20,
    atOnce: 2,
    take: async (batch) => ({ data: null, doubles: await writing.take(batch) }),
    close: () => writing.close(),
  };
}
