// NATS JetStream as a sink: a message an item. Its id is the item's identity, so within the stream's window for duplicates the server
// itself drops what comes again; the position moves when the server has confirmed all of a batch.
import { jetstream, type JetStreamClient } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { Limits } from '#base/limits.ts';
import type { ConfigSink } from '#model/config.ts';
import { itemDocument, type SinkSource } from '#model/sink-batch.ts';
import type { SinkTarget } from './sink-target.ts';

export interface NatsSinkDeps {
  readonly sink: Extract<ConfigSink, { readonly kind: 'nats' }>;
  /** The password where a user is configured, else a token. */
  readonly secret: string | null;
  readonly limits: Limits;
}

/** Waiting for their confirmation at the same time. */
const underWayMax = 256;

export async function openNatsSink({ sink, secret, limits }: NatsSinkDeps): Promise<SinkTarget> {
  const connection: NatsConnection = await connect({
    servers: [...sink.servers],
    name: `postern sink ${sink.name}`,
    timeout: 5_000,
    // A batch that fails is tried again by us; the line comes back by itself meanwhile.
    maxReconnectAttempts: -1,
    reconnectTimeWait: 1_000,
    ...(secret === null ? {} : sink.user === undefined ? { token: secret } : { user: sink.user, pass: secret }),
    ...(sink.ca === undefined ? {} : { tls: { ca: sink.ca } }),
  });
  const stream: JetStreamClient = jetstream(connection, { timeout: limits.sinkCallTimeoutMs });
  return {
    positionOf: null,
    isPlanned: false,
    itemsMax: 2_000,
    bytesMax: limits.sinkBatchBytes,
    gatherMs: 20,
    atOnce: 4,
    async take({ source, items, run }) {
      if (connection.isClosed()) throw new Error('the connection is closed');
      const subject = subjectOf(sink.subject, source);
      // Of one epoch in order, so that a stream has it in order, too: those under way are sent in order on one line.
      for (let at = 0; at < items.length; at += underWayMax) {
        const sent = items.slice(at, at + underWayMax).map((item) => {
          const msgID = `${source.customer}/${source.serial}/${source.feed}/${source.epoch}:${item.off}${run === 0 ? '' : `:r${run}`}`;
          return stream.publish(subject, JSON.stringify(itemDocument(source, item)), { msgID, timeout: limits.sinkCallTimeoutMs });
        });
        // All are waited for: one that fails must not leave the others unheard.
        const failed = (await Promise.allSettled(sent)).find((each) => each.status === 'rejected');
        if (failed) throw failed.reason;
      }
      return { data: null, doubles: 0 };
    },
    async close() {
      await connection.close();
    },
  };
}

/** A token of a subject has no dots, blanks or wildcards. */
function subjectOf(pattern: string, source: SinkSource): string {
  return pattern.replace(/\{(customer|serial|feed)\}/g, (_, name: 'customer' | 'serial' | 'feed') => source[name].replace(/[^A-Za-z0-9_-]/g, '_'));
}
