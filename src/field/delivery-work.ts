// What delivery knows of the feeds of one destination: how far each has come, and where its bytes are.
import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import type { DeclaredGap, DeclaredStart } from '#wire/device.ts';
import type { Backoff } from './backoff.ts';
import type { OpenDestination } from './destination.ts';
import type { Holder } from './destination-state.ts';

/** What delivery needs of a feed's buffer. */
export interface DeliveredBuffer {
  readonly feed: string;
  readonly epoch: string;
  readonly format: string;
  /** End of what is stored; oldest byte kept. */
  readonly next: number;
  readonly first: number;
  flush(): Promise<void>;
  /** Durable bytes alone; at the end none. */
  read(offset: number, max: number): Promise<{ readonly bytes: Buffer; readonly gap: null } | { readonly bytes: null; readonly gap: DeclaredGap }>;
  position(destination: string): number;
  /** Durable when it resolves; may go back. */
  setPosition(destination: string, next: number): Promise<void>;
  /** Below it the destination has the bytes already, under an earlier epoch: they are declared as a gap of reason `moved`. */
  startOf(destination: string): number;
  onAppended(listener: (urgent: boolean) => void): () => void;
  /** A new epoch, into which every destination's undelivered bytes are carried over. */
  restart(reason: string): Promise<void>;
}

export interface DeliveryOptions {
  readonly destination: OpenDestination;
  readonly buffers: readonly DeliveredBuffer[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The most to hold data before a push, milliseconds; as the server's `push=` says. */
  holdMs(): number;
  /** `work=1` in an answer: something waits for this device. */
  onWork?(): void;
}

export interface Work {
  readonly buffer: DeliveredBuffer;
  readonly backoff: Backoff;
  epoch: string;
  batchMax: number;
  /** Waits since then for its push; null: nothing waits. */
  heldSinceMs: number | null;
  /** Goes at once, until nothing is left. */
  isHasty: boolean;
  /** Below it, bytes were acknowledged to us once: if they are asked for again and gone, it was the server that lost them. */
  acknowledged: number;
  /** A push of this epoch was tried since we started: the server may have more of it than we know. */
  isTouched: boolean;
  /** A server (null: the programmed one) that may have stored a batch whose answer did not arrive: it is asked before anybody else gets that batch. */
  unsettled: { readonly server: string | null; /** Answers of it that did not say. */ readonly refusals: number } | null;
  /** A stretch that another server has, and that this one wants declared. */
  moved: DeclaredGap | null;
  compresses: boolean;
  isWaitingShown: boolean;
}

export interface Piece {
  readonly gap: DeclaredGap | null;
  readonly offset: number;
  readonly bytes: Buffer;
}

export interface Place {
  readonly base: string;
  /** Null: the programmed server. */
  readonly server: string | null;
  readonly start: DeclaredStart | null;
  /** Somebody else may be named: the body waits for the word. */
  readonly expect: boolean;
}

/** Null: the server that is programmed has all of it, and nobody else was tried. */
export function holderOf(work: Work, destination: OpenDestination): Holder | null {
  const holder = destination.state.holders[work.buffer.feed];
  return holder?.epoch === work.buffer.epoch ? holder : null;
}

export async function hold(work: Work, destination: OpenDestination, holder: Holder): Promise<void> {
  await destination.keep({ holders: { ...destination.state.holders, [work.buffer.feed]: holder } });
}
