// The device's side of data, as its owner's file says: for each feed a buffer, and for those that have one a source that fills it.
// What delivers them is delivery.ts, over the same buffers.
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import { openFeedBuffer } from './buffer.ts';
import type { BufferStats, FeedBuffer } from './feed-buffer.ts';
import type { FieldClock } from './clock.ts';
import { openIntake } from './intake.ts';
import { openSource } from './sources/open.ts';
import type { Source, SourceStatus } from './sources/source.ts';
import type { FeedsSettings } from './settings.ts';

export interface OpenFeed {
  readonly name: string;
  readonly buffer: FeedBuffer;
  /** Names. */
  readonly destinations: readonly string[];
}

export interface FeedStatus {
  readonly name: string;
  readonly epoch: string;
  readonly format: string;
  readonly next: number;
  readonly first: number;
  readonly stats: BufferStats;
  /** Null: other feeds' split rules fill it. */
  readonly source: SourceStatus | null;
}

export interface Feeds {
  readonly feeds: readonly OpenFeed[];
  status(): readonly FeedStatus[];
  /** Sources first; what they had read is in the buffers, durably where the disk lets it. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface FeedsDeps {
  /** The agent's folder; buffers are below `feeds` in it. */
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** The system's, the same while its uptime counts on. */
  readonly bootId: string;
  uptimeMs(): number;
  readonly fieldClock: Pick<FieldClock, 'stamp' | 'onTrusted'>;
  /** What the gateway calls urgent, beside the patterns of the file. */
  isUrgent(record: Uint8Array): boolean;
}

/** Faults of `openFeedBuffer`: `conflict` (another process has them), `busy` (the disk). Sources that cannot be opened now are tried again. */
export async function openFeeds(settings: FeedsSettings, deps: FeedsDeps): Promise<Feeds> {
  const { clock, log, random } = deps;
  const feeds: OpenFeed[] = [];
  const sources = new Map<string, Source>();
  const close = async () => {
    await Promise.all([...sources.values()].map((source) => source.close()));
    // All are closed, whatever one of them says.
    const ends = await Promise.allSettled(feeds.map(({ buffer }) => buffer.close()));
    for (const [index, end] of ends.entries()) if (end.status === 'rejected') log.warn('feed.not-flushed', { feed: feeds[index]!.name, why: reasonOf(end.reason) });
  };
  try {
    for (const { name, format, buffer, destinations } of settings.feeds) {
      feeds.push({ name, destinations, buffer: await openFeedBuffer({ dir: join(deps.stateDir, 'feeds'), feed: name, format, settings: buffer, destinations, bootId: deps.bootId, uptimeMs: () => deps.uptimeMs(), clock, random, log }) });
    }
    deps.fieldClock.onTrusted((nowMs, uptimeMs) => {
      for (const { name, buffer } of feeds) buffer.setClock(nowMs, uptimeMs).catch((thrown: unknown) => log.warn('feed.clock-not-kept', { feed: name, why: reasonOf(thrown) }));
    });
    const storeOf = (name: string) => feeds.find((feed) => feed.name === name)!.buffer;
    for (const feed of settings.feeds) {
      if (feed.source === null) continue;
      const intake = openIntake(feed, { clock, log, stamp: () => deps.fieldClock.stamp(), isUrgent: (record) => deps.isUrgent(record), storeOf });
      sources.set(feed.name, await openSource(feed.source, feed.framing, { feed: feed.name, clock, log, random, intake }));
    }
  } catch (thrown) {
    await close();
    throw thrown;
  }
  return {
    feeds,
    status: () => feeds.map(({ name, buffer }) => ({ name, epoch: buffer.epoch, format: buffer.format, next: buffer.next, first: buffer.first, stats: buffer.stats(), source: sources.get(name)?.status() ?? null })),
    close,
    [Symbol.asyncDispose]: close,
  };
}
