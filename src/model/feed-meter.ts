// How fast feeds grow at this moment, and that something happened to one: in memory, fed by intake, asked by the API. What counts for good is
// in the store.
import type { Id } from '#base/ids.ts';
import type { PushOutcome } from './intake.ts';

export interface FeedRate {
  /** Over the last five minutes, or since the gateway started. */
  readonly batchesPerMinute: number;
  readonly bytesPerMinute: number;
}

/** first: nothing had come of it since the gateway started, so it may be new. */
export const feedNews = ['first', 'data', 'gap', 'behind', 'conflict', 'sealed'] as const;
export type FeedNews = (typeof feedNews)[number];

export interface FeedHappened {
  readonly customerId: Id;
  readonly deviceId: Id;
  readonly feed: string;
  readonly news: readonly FeedNews[];
}

/** What the API may know of it. */
export interface FeedRates {
  rateOf(deviceId: Id, feed: string): FeedRate;
  /** Bytes that came in each quarter of a minute of the last five, the oldest first; empty when none did. */
  recentOf(deviceId: Id, feed: string): readonly number[];
  watch(onHappened: (happened: FeedHappened) => void): () => void;
}

export interface FeedMeter extends FeedRates {
  note(happened: FeedHappened, bytes: number): void;
}

const slotMs = 15_000;
const slotsKept = 20;
const feedsMax = 100_000;
const none: FeedRate = { batchesPerMinute: 0, bytesPerMinute: 0 };

interface Measured {
  /** The slot that was written last, by its number since 1970. */
  slot: number;
  readonly batches: Float64Array;
  readonly bytes: Float64Array;
}

const keyOf = (deviceId: Id, feed: string) => `${deviceId} ${feed}`;

/** Slots that have passed since the last one are emptied: nothing came in them. */
function moveTo(measured: Measured, slot: number): void {
  for (let each = Math.max(measured.slot + 1, slot - slotsKept + 1); each <= slot; each++) {
    measured.batches[each % slotsKept] = 0;
    measured.bytes[each % slotsKept] = 0;
  }
  // A clock that was set back goes on in the slot where it was.
  measured.slot = Math.max(measured.slot, slot);
}

export function buildFeedMeter(nowMs: () => number): FeedMeter {
  const feeds = new Map<string, Measured>();
  const watchers = new Set<(happened: FeedHappened) => void>();
  const startedMs = nowMs();
  const sum = (values: Float64Array) => values.reduce((total, each) => total + each, 0);
  return {
    note(happened, bytes) {
      const key = keyOf(happened.deviceId, happened.feed);
      const slot = Math.floor(nowMs() / slotMs);
      let measured = feeds.get(key);
      const isFirst = measured === undefined;
      if (happened.news.includes('data')) {
        if (!measured) measured = { slot, batches: new Float64Array(slotsKept), bytes: new Float64Array(slotsKept) };
        // The one that was longest without a batch stands first, and goes first.
        feeds.delete(key);
        feeds.set(key, measured);
        if (feeds.size > feedsMax) feeds.delete(feeds.keys().next().value!);
        moveTo(measured, slot);
        measured.batches[measured.slot % slotsKept]! += 1;
        measured.bytes[measured.slot % slotsKept]! += bytes;
      }
      const told = isFirst ? { ...happened, news: ['first', ...happened.news] satisfies FeedNews[] } : happened;
      for (const watcher of watchers) watcher(told);
    },
    rateOf(deviceId, feed) {
      const measured = feeds.get(keyOf(deviceId, feed));
      if (!measured) return none;
      const now = nowMs();
      moveTo(measured, Math.floor(now / slotMs));
      const coveredMs = Math.min((slotsKept - 1) * slotMs + (now % slotMs), Math.max(now - startedMs, 60_000));
      const perMinute = (values: Float64Array) => Math.round((sum(values) * 60_000 * 10) / coveredMs) / 10;
      return { batchesPerMinute: perMinute(measured.batches), bytesPerMinute: Math.round(perMinute(measured.bytes)) };
    },
    recentOf(deviceId, feed) {
      const measured = feeds.get(keyOf(deviceId, feed));
      if (!measured) return [];
      moveTo(measured, Math.floor(nowMs() / slotMs));
      const recent = Array.from({ length: slotsKept }, (_, each) => measured.bytes[(measured.slot + 1 + each) % slotsKept]!);
      return recent.some((bytes) => bytes > 0) ? recent : [];
    },
    watch(onHappened) {
      watchers.add(onHappened);
      return () => void watchers.delete(onHappened);
    },
  };
}

/** What a batch brought about; nothing for one that was refused for a reason that is no news. */
export function newsOf(outcome: PushOutcome): FeedNews[] {
  switch (outcome.kind) {
    case 'stored':
      return outcome.lost > 0 ? ['data', 'gap'] : outcome.madeGood ? ['data', 'behind'] : ['data'];
    case 'gap':
      return outcome.first ? ['behind'] : [];
    case 'conflict':
      return ['conflict'];
    case 'sealed':
      return ['sealed'];
    default:
      return [];
  }
}
