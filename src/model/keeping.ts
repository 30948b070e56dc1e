// What the gateway says about what it keeps: backups, what grows and how long it stays, the disk below. Plain data for the API.

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
