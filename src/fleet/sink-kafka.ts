// Kafka as a sink: a message an item, keyed by its feed, so that a feed stays in one partition and in order. The producer is idempotent:
// what it sends again by itself is there once. After a crash of ours a batch may come again: each message says which item it is.
import { Producer, ProduceAcks, stringSerializers } from '@platformatic/kafka';
import type { Limits } from '#base/limits.ts';
import type { ConfigSink } from '#model/config.ts';
import { itemDocument } from '#model/sink-batch.ts';
import type { SinkTarget } from './sink-target.ts';

export interface KafkaSinkDeps {
  readonly sink: Extract<ConfigSink, { readonly kind: 'kafka' }>;
  /** The password of the user that is configured. */
  readonly secret: string | null;
  readonly limits: Limits;
}

export function openKafkaSink({ sink, secret, limits }: KafkaSinkDeps): SinkTarget {
  const open = () =>
    new Producer({
      clientId: `postern-${sink.name}`,
      bootstrapBrokers: [...sink.brokers],
      serializers: stringSerializers,
      idempotent: true,
      acks: ProduceAcks.ALL,
      timeout: limits.sinkCallTimeoutMs,
      connectTimeout: 5_000,
      // Beyond that the loop of sinks tries again, with its own pauses.
      retries: 3,
      ...(sink.tls ? { tls: sink.ca === undefined ? {} : { ca: sink.ca } } : {}),
      ...(sink.user === undefined || secret === null ? {} : { sasl: { mechanism: 'SCRAM-SHA-256', username: sink.user, password: secret } }),
    });
  let producer: ReturnType<typeof open> | null = null;
  const drop = async () => {
    const dropped = producer;
    producer = null;
    // One that has failed cannot always be closed in order.
    await dropped?.close(true).catch(() => {});
  };
  return {
    positionOf: null,
    isPlanned: false,
    itemsMax: 2_000,
    bytesMax: limits.sinkBatchBytes / 2,
    gatherMs: 20,
    // Its sequence numbers want one batch after the other.
    atOnce: 1,
    async take({ source, items, run }) {
      producer ??= open();
      const feed = `${source.customer}/${source.serial}/${source.feed}`;
      try {
        await producer.send({
          messages: items.map((item) => ({
            topic: sink.topic,
            key: feed,
            value: JSON.stringify(itemDocument(source, item)),
            headers: new Map([['postern-id', `${feed}/${source.epoch}:${item.off}${run === 0 ? '' : `:r${run}`}`]]),
          })),
        });
      } catch (thrown) {
        // After a failure nobody knows how far its numbers are: a new one gets new ones.
        await drop();
        throw thrown;
      }
      return { data: null, doubles: 0 };
    },
    close: drop,
  };
}
