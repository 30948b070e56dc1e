// A web address as a sink: batches in JSON. A batch that is sent again has the same key and the same items, because where it ends was
// written down before it was sent first; so a receiver that remembers keys, or offsets, has everything once.
import type { Limits } from '#base/limits.ts';
import type { ConfigSink } from '#model/config.ts';
import { itemDocument } from '#model/sink-batch.ts';
import { postJson } from './post-json.ts';
import { TargetBusy, TargetGone, type SinkTarget } from './sink-target.ts';

export interface WebhookSinkDeps {
  readonly sink: Extract<ConfigSink, { readonly kind: 'webhook' }>;
  readonly secret: Buffer | null;
  readonly nowMs: () => number;
  readonly limits: Limits;
}

export function openWebhookSink({ sink, secret, nowMs, limits }: WebhookSinkDeps): SinkTarget {
  return {
    positionOf: null,
    isPlanned: true,
    itemsMax: sink.batchRecords,
    bytesMax: limits.sinkBatchBytes,
    gatherMs: sink.batchMs,
    atOnce: 4,
    async take(batch, _data, signal) {
      const { source, from, to, run } = batch;
      const key = `${source.epoch}:${from}${run === 0 ? '' : `:r${run}`}`;
      const body = JSON.stringify({ sink: sink.name, key, ...source, from, to, items: batch.items.map((item) => itemDocument(source, item)) });
      const posted = await postJson({
        url: sink.url, body, secret, signal,
        at: Math.floor(nowMs() / 1_000),
        ca: sink.ca,
        timeoutMs: limits.sinkCallTimeoutMs,
        fields: { 'x-postern-sink': sink.name, 'idempotency-key': `"${key}"` },
      });
      if (posted.status >= 200 && posted.status < 300) return { data: null, doubles: 0 };
      const why = `it answered ${posted.status}`;
      if (posted.status === 410) throw new TargetGone(`${why}: it wants no more`);
      if (posted.retryAfterMs !== null) throw new TargetBusy(why, posted.retryAfterMs);
      throw new Error(why);
    },
    async close() {},
  };
}
