// What the gateway says about what it keeps: backups, what grows and how long it stays, the disk below. Plain data for the API.
import type { Id } from '#base/ids.ts';

/** A backup on its way. */
export interface BackupProgress {
  /** copying: the database, as it is at one moment, into one file · sending: that file and the others. */
  readonly phase: 'copying' | 'sending';
  /** Bytes; `total` may still grow while the database is copied. */
  readonly done: number;
  readonly total: number;
  readonly startedAt: number;
}

/** The first file of a backup. */
export interface BackupManifest {
  readonly format: number;
  readonly program: 'postern';
  /** Of the program that made it. */
  readonly version: string;
  readonly at: number;
  /** Number of the last migration: a program that knows fewer does not take it. */
  readonly schema: number;
  /** What the gateway had its store in. The backup holds SQLite in any case. */
  readonly store: 'sqlite' | 'postgres';
  readonly storeBytes: number;
  /** Where the audit stood. */
  readonly audit: { readonly seq: number; readonly hash: string };
}

export const backupFormat = 1;

/** What a restored data folder says to the gateway that starts with it; a file there. */
export interface RestoredNote {
  /** When the backup was made, and by which version. */
  readonly backupAt: number;
  readonly version: string;
  readonly restoredAt: number;
  /** When the gateway wrote it into its audit; null: not yet. */
  readonly notedAt: number | null;
}

export interface BackupState {
  readonly running: BackupProgress | null;
  /** The last that was made whole. */
  readonly last: { readonly at: number; readonly bytes: number } | null;
  /** The last that was not; null once one was made since. */
  readonly failed: { readonly at: number; readonly why: string } | null;
}

/** ok · warn: look after it · low: the journal is cut and retention runs at once · full: new visits and pushes are refused. */
export type DiskLevel = 'ok' | 'warn' | 'low' | 'full';

export interface DiskState {
  readonly level: DiskLevel;
  /** Of the disk below the data folder; null: it could not be asked. */
  readonly freeBytes: number | null;
  readonly usedBytes: number | null;
  /** Inside the store's file: room that what was dropped has left. */
  readonly reusableBytes: number;
  readonly since: number;
  readonly why: string | null;
}

export const keptKinds = ['journal', 'audit', 'visits', 'records', 'gaps', 'alerts', 'keys', 'files', 'samples', 'recordings'] as const;
export type KeptKind = (typeof keptKinds)[number];

/** Those that the store holds; the journal is in memory, recordings are still to come. */
export type StoredKind = 'audit' | 'visits' | 'records' | 'gaps' | 'alerts' | 'keys' | 'files' | 'samples';

/** What the store holds of one kind. */
export interface KeptFigures {
  readonly count: number;
  /** Milliseconds since 1970; null: there is none. */
  readonly oldestAt: number | null;
  /** About; null: not counted. */
  readonly bytes: number | null;
}

export interface KeepBounds {
  readonly days: number | null;
  readonly count: number | null;
  readonly bytes: number | null;
}

export interface KeptView extends KeptFigures {
  readonly kind: KeptKind;
  readonly keep: KeepBounds;
  /** By retention, since the process began. */
  readonly dropped: number;
}

export interface KeepingState {
  readonly now: number;
  readonly kinds: readonly KeptView[];
  readonly disk: DiskState;
  readonly retention: { readonly running: boolean; readonly lastAt: number | null; readonly failed: string | null };
  readonly backup: BackupState;
  /** null: the data folder was not restored from a backup, or somebody has taken note. */
  readonly restored: RestoredNote | null;
}

export interface AuditVerdict {
  readonly lines: number;
  /** The first line whose hash or link is wrong. */
  readonly brokenAt: number | null;
  readonly why: string | null;
  /** Lines up to this one were dropped by retention: the first that is left continues it. Absent: nothing was. */
  readonly droppedThrough?: number;
}

export interface KeptEpochOfFeed {
  readonly number: number;
  readonly feedId: Id;
  readonly first: number;
  readonly next: number;
  readonly lostBytes: number;
  /** Of the feed. */
  readonly name: string;
  readonly serial: string;
  readonly customerId: Id;
}

export interface DropQuery {
  readonly epoch: number;
  /** Chunks stored before this time may go; 0: none by age. */
  readonly before: number;
  /** And those that end at or before this offset. */
  readonly below: number;
  /** Sinks that this feed goes to, by name: what one of them has not taken stays. Empty: nobody waits. */
  readonly sinks: readonly string[];
}

export interface DropPlan {
  /** Where the epoch may begin from now on: at a record. */
  readonly first: number;
  /** The sinks held something back. */
  readonly held: boolean;
  /** More may go after this. */
  readonly more: boolean;
}

/** Each takes the oldest rows, at most so many (1,000), so that no commit is long. */
export interface KeepingOperations {
  /** Lines before that time, or up to that number; the last hundred stay. Resolves how many went, and the last of them. */
  dropAudit(before: number, through: number, rows: number): Promise<{ dropped: number; anchor: { readonly seq: number; readonly hash: string } | null }>;
  /** Closed ones that ended before that time, and the oldest of those that are more than `keep`. */
  dropVisits(before: number, keep: number, rows: number): Promise<number>;
  /** Whole chunks that end at or before `first`, which is where the epoch begins from then on. */
  dropChunks(epoch: number, first: number, rows: number): Promise<{ dropped: number; more: boolean }>;
  dropGaps(before: number, rows: number): Promise<number>;
  dropAlerts(before: number, rows: number): Promise<number>;
  dropIntakeKeys(before: number, rows: number): Promise<number>;
  planDrop(query: DropQuery): Promise<DropPlan>;
  keptFigures(): Promise<Readonly<Record<StoredKind, KeptFigures>>>;
  /** The number up to which lines may go so that the others have about so many bytes; 0: all fit. */
  auditBeyond(bytesMax: number): Promise<number>;
  /** What the store takes, and the room inside its file that what was dropped has left (PostgreSQL: 0). */
  storeRoom(): Promise<{ readonly bytes: number; readonly reusableBytes: number }>;
  /** Those that still have bytes, feed by feed, the newest epoch of each first. */
  keptEpochs(after: { readonly feedId: string; readonly number: number } | null, limit: number): Promise<readonly KeptEpochOfFeed[]>;
  /** Numbers that somebody wants to know after a restart. */
  noteNumbers(numbers: Readonly<Record<string, number>>): Promise<void>;
  readNumbers(names: readonly string[]): Promise<Readonly<Record<string, number>>>;
}
