// What a feed's buffer promises to sources, which add to it, and to delivery, which reads it. Made by buffer.ts.
import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import type { Disk } from './disk.ts';
import type { Checkpoint } from './intake.ts';
import type { BufferSettings } from './settings.ts';

export interface AppendOptions {
  readonly atMs: number;
  readonly uptimeMs: number;
  /** Whether `atMs` is the time; else `uptimeMs` counts. */
  readonly clockTrusted: boolean;
  readonly urgent: boolean;
  /** Where the source stands behind this record: after a crash both are there, or neither. */
  readonly checkpoint?: Checkpoint;
}

export type BufferRead = { readonly bytes: Buffer; readonly gap: null } | { readonly bytes: null; readonly gap: { readonly from: number; readonly to: number; readonly reason: string } };

export interface BufferStats {
  /** On the disk and in memory. */
  readonly bytes: number;
  /** Of each destination: bytes that it does not have. */
  readonly pending: Readonly<Record<string, number>>;
  /** Bytes that somebody will never get, of this epoch. */
  readonly lost: number;
}

export interface FeedBuffer {
  readonly feed: string;
  readonly epoch: string;
  /** As the bytes are; an older one than was asked for while bytes of it are not delivered. */
  readonly format: string;
  /** The end of all that was appended. */
  readonly next: number;
  /** The oldest byte that is kept. */
  readonly first: number;
  /** Of format `stamped`, else Fault `unsupported`. Never throws for the disk or for a record over 64 KiB: those become gaps and are counted. */
  append(record: Uint8Array, options: AppendOptions): void;
  /** Of the other formats. Whole records at a time, where the source knows them, are lost or kept as a whole. */
  appendBytes(bytes: Uint8Array, options?: { readonly urgent?: boolean; readonly checkpoint?: Checkpoint }): void;
  /** A checkpoint without a record; durable with the next flush. */
  mark(checkpoint: Checkpoint): void;
  /** The newest of each source; a new epoch keeps them. */
  checkpoints(): ReadonlyMap<string, string>;
  /** All that was appended is durable, or a durable gap. Fault `busy` when the disk does not let it be. */
  flush(): Promise<void>;
  /** Up to `max` bytes from `offset`, durable ones; none at the end. Fault `bad-input` beyond the end, `busy` while what is there cannot be made durable. */
  read(offset: number, max: number): Promise<BufferRead>;
  /** Fault `not-found` for one that was not named when the buffer was opened. */
  position(destination: string): number;
  /**
   * Durable when it resolves; may go back. Never beyond what read() gave out: a gateway that has more is given the next bytes, too, to
   * compare, because a disk that lost its end uses their offsets again. Fault `busy` when it cannot be stored.
   */
  setPosition(destination: string, next: number): Promise<void>;
  /** Below it the destination is not to be given bytes, whatever it asks for: it has them under an earlier epoch, or came later. To be declared as a gap of reason `moved`. */
  startOf(destination: string): number;
  /** After a flush that stored something. */
  onAppended(listener: (urgent: boolean) => void): () => void;
  /** The time is known. Resolves when records of this boot have it for good. Fault `busy`. */
  setClock(nowMs: number, uptimeMs: number): Promise<void>;
  stats(): BufferStats;
  /** A new epoch, which begins with what the slowest destination does not have, at a record's start where the format shows one. */
  restart(reason: string): Promise<void>;
  /** Fault `busy` when not all could be flushed; closed it is anyway. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface FeedBufferOptions {
  /** Of all feeds: <state>/feeds. */
  readonly dir: string;
  readonly feed: string;
  readonly format: string;
  readonly settings: BufferSettings;
  /** Names. What others once had confirmed is forgotten. */
  readonly destinations: readonly string[];
  /** The system's, the same while its uptime counts on: /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
  readonly uptimeMs: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly disk?: Disk;
}
