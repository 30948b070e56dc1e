// What the store does with what devices bring (docs/wire/device.md §2): the shapes of its operations, for whoever calls them.
import type { Id } from '#base/ids.ts';
import type { DeclaredGap, DeclaredStart } from '#wire/device.ts';
import type { AuditEntry, DeviceNote, Feed, FeedAlert, FeedEpoch, FeedGap } from './rows.ts';

/** A record that this finds is queued as an alert, in the transaction that stores it. */
export interface AlertRule {
  readonly rule: string;
  /** RE2 syntax. */
  readonly pattern: string;
}

/** One batch as it came, decoded and with its digest checked. */
export interface Push {
  readonly customerId: Id;
  readonly deviceId: Id;
  readonly serial: string;
  readonly feed: string;
  readonly epoch: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** As declared, else as configured, else `lines`; counts when the epoch begins. */
  readonly format: string;
  readonly gap: DeclaredGap | null;
  readonly start: DeclaredStart | null;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly alerts: readonly AlertRule[];
  /** From a device that waits: so many bytes at most, in all its feeds. null: a device that is known. */
  readonly quarantineMax: number | null;
}

/** Every one has `next`: the first offset that is not here, durably. */
export type PushOutcome =
  | {
      readonly kind: 'stored';
      readonly next: number;
      /** A part of it, or all, had come before. */
      readonly repeat: boolean;
      readonly epochNumber: number;
      readonly records: number;
      readonly alerts: number;
      /** Bytes that the device declared lost with this batch, and were not known to be. */
      readonly lost: number;
      /** The server had less than it once had, and now has as much again, or knows that the rest is lost. */
      readonly madeGood: boolean;
      readonly unframed: boolean;
    }
  /** `first`: nobody knew yet that this gateway has less than it once had. */
  | { readonly kind: 'gap'; readonly next: number; readonly first: boolean; readonly epochNumber: number }
  | { readonly kind: 'conflict'; readonly next: number; readonly epochNumber: number }
  | { readonly kind: 'sealed'; readonly next: number; readonly to: string | null }
  /** The quarantine of a waiting device is full, or it waits no longer: look it up again. */
  | { readonly kind: 'full'; readonly next: number }
  | { readonly kind: 'gone'; readonly next: number }
  | { readonly kind: 'too-many'; readonly next: number; readonly why: string };

/** A body that came without offsets. */
export interface KeyedPush {
  readonly customerId: Id;
  readonly deviceId: Id;
  readonly serial: string;
  readonly feed: string;
  /** For the first one: the feed's id, and the epoch that the gateway counts in. */
  readonly newFeedId: Id;
  readonly newEpoch: string;
  readonly format: string;
  /** SHA-256 of the key, hex; null: it came without one. */
  readonly keyDigest: string | null;
  /** SHA-256 of the body, hex. */
  readonly bodyDigest: string;
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly alerts: readonly AlertRule[];
}

export type KeyedOutcome =
  | { readonly kind: 'stored' | 'repeat'; readonly at: number; readonly epochNumber: number; readonly alerts: number }
  /** The key came before, with another body. */
  | { readonly kind: 'reused'; readonly at: number }
  | { readonly kind: 'too-many'; readonly why: string };

export interface SealedEpoch {
  readonly feed: string;
  readonly epoch: string;
  readonly next: number;
}

export interface FeedQuery {
  readonly customerId?: Id;
  readonly deviceId?: Id;
  /** Only feeds behind this one, by id. */
  readonly afterId?: Id;
  readonly limit: number;
}

export interface FeedState {
  readonly feed: Feed;
  /** The newest first; at most 100. */
  readonly epochs: readonly FeedEpoch[];
  /** Bytes that are kept, in all epochs. */
  readonly bytes: number;
}

export interface StoredChunk {
  readonly off: number;
  readonly at: number;
  readonly records: number;
  readonly body: Uint8Array;
}

export interface ChunkPage {
  /** In order. The first may begin before `from`. */
  readonly chunks: readonly StoredChunk[];
  /** Those that begin within what the chunks span, or behind the last. */
  readonly gaps: readonly FeedGap[];
  /** Nothing follows that is here now. */
  readonly atEnd: boolean;
}

export interface SearchQuery {
  readonly epoch: number;
  /** A record's offset, or the epoch's first. */
  readonly from: number;
  /** RE2 syntax; null: every record. */
  readonly pattern: string | null;
  readonly limit: number;
}

export interface FoundRecord {
  readonly off: number;
  readonly end: number;
  /** When its last byte was stored. */
  readonly receivedAt: number;
  /** As the device stamped it; null without stamps. */
  readonly atMs: number | null;
  readonly broken: boolean;
  readonly bytes: Uint8Array;
}

export interface SearchPage {
  readonly records: readonly FoundRecord[];
  readonly gaps: readonly FeedGap[];
  /** Where to go on. */
  readonly reached: number;
  readonly atEnd: boolean;
}

export interface IntakeOperations {
  /**
   * Compares, stores, splits, queues alerts and moves `next` for each batch, all in one transaction that is on the disk when
   * this resolves. The outcomes stand in the order of the pushes. Fault `busy`: nothing of any of them was stored.
   */
  intake(pushes: readonly Push[]): Promise<readonly PushOutcome[]>;
  intakeKeyed(pushes: readonly KeyedPush[]): Promise<readonly KeyedOutcome[]>;
  /** null: there is no such epoch. */
  findEpoch(deviceId: Id, feed: string, epoch: string): Promise<FeedEpoch | null>;
  /** Ends every open epoch of the device that has bytes: `next` moves no more until the device comes back. */
  sealEpochs(deviceId: Id, to: string, at: number): Promise<readonly SealedEpoch[]>;
  /** The epochs of a device, the newest first of each feed: for check-ins. */
  epochsOfDevice(deviceId: Id): Promise<readonly (FeedEpoch & { readonly feed: string })[]>;
  listFeeds(query: FeedQuery): Promise<readonly FeedState[]>;
  findFeed(feedId: Id): Promise<FeedState | null>;
  readEpoch(number: number): Promise<(FeedEpoch & { readonly feed: Feed }) | null>;
  readChunks(epoch: number, from: number, bytesMax: number): Promise<ChunkPage>;
  searchRecords(query: SearchQuery): Promise<SearchPage>;
  listGaps(feedId: Id, limit: number): Promise<readonly FeedGap[]>;
  /** Epochs that are not sealed and lack what they once had (`claimed`), or cannot be split (`unframed`); the last ones that moved first. */
  listTroubled(limit: number): Promise<readonly (FeedEpoch & { readonly feed: Feed })[]>;
  /** What is due, the oldest first. */
  dueAlerts(now: number, limit: number): Promise<readonly FeedAlert[]>;
  listAlerts(query: { readonly customerId?: Id; readonly beforeId?: Id; readonly limit: number }): Promise<readonly FeedAlert[]>;
  settleAlerts(settled: readonly Pick<FeedAlert, 'id' | 'tries' | 'dueAt' | 'doneAt' | 'why'>[]): Promise<void>;
  noteDevices(notes: readonly DeviceNote[]): Promise<void>;
  /** With all its bytes. */
  removeFeed(feedId: Id, audit: AuditEntry): Promise<void>;
}
