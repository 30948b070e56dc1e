// One request and its answer, whoever speaks it on the wire: a request of our HTTP/1 connection or a
// stream of HTTP/2. The consumer (forward, refuse, redirect, take over) never sees which.
import type { Conn } from '#net/conn.ts';
import type { HeadEdit } from '#wire/http1-fields.ts';
import type { RequestHead, ResponseHead } from '#wire/http1.ts';

/** What the consumer is told while the exchange lasts. */
export interface ExchangeSink {
  onRequestPiece(piece: Buffer): void;
  /** `trailers`: checked lines, each with its CRLF. */
  onRequestEnd(trailers: string): void;
  /** The client takes more of the answer now. */
  onAnswerDrain(): void;
  /** The client is gone or broke the protocol; nothing more can be answered. */
  onAborted(why: string): void;
  /** The deadline set by `expectBy` passed. */
  onLate(): void;
}

export interface Exchange {
  /** Behind a trusted proxy: as this request's own client would have made it. */
  conn: Conn;
  readonly head: RequestHead;
  /** Short, unique in this process's life; shown to people, written to the journal. */
  readonly requestId: string;
  /** Until it is set, a request body waits. */
  sink: ExchangeSink | null;
  /** The client has gone; there is nobody to answer. */
  readonly isGone: boolean;
  /** The whole request body has been handed over. */
  readonly requestDone: boolean;
  /** The answer's head was written (or is about to be). */
  readonly answered: boolean;
  pauseRequest(): void;
  resumeRequest(): void;
  /** Calls `onLate` unless something moves within this time; 0 ends it. */
  expectWithin(timeoutMs: number): void;
  /** A 1xx answer (RFC 9110 §15.2); not sent to HTTP/1.0 clients. */
  interim<Context>(head: ResponseHead, edit: HeadEdit<Context>, context: Context): void;
  /** The answer's head. Held back until `piece`, `end` or `flush`, so that a small body travels in the same write. */
  answer<Context>(head: ResponseHead, edit: HeadEdit<Context>, context: Context, extraLines: string): void;
  /** False: wait for `onAnswerDrain`. Up to 8 KiB are taken over at once, more is kept until it is written. */
  piece(bytes: Buffer): boolean;
  end(trailers: string): void;
  flush(): void;
  /** A whole answer of our own; `lines` are header lines with CRLF. A body that was not read ends the connection. */
  respond(status: number, lines: string, body: string): void;
  /** The answer cannot be finished: the client sees the connection end before the body does. */
  breakOff(): void;
  /** After a 101: the raw connection. The exchange is over. */
  takeSocket(): { leftover: Buffer };
}
