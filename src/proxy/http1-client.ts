// The client's side of HTTP/1.1 (RFC 9112): requests read strictly from one connection, one exchange at a time, pipelined ones
// waiting; answers written with as few writes as their bytes need. Owns the connection's state and nothing else.
import { Socket } from 'node:net';
import { latin1Of, noBytes } from '#base/bytes.ts';
import { isFault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { Conn } from '#net/conn.ts';
import type { Sweep, Swept } from '#net/sweep.ts';
import { encodeTrailers, newBodyReader, readBody, startBody, type BodyReader, type BodySink } from '#wire/http1-body.ts';
import { BARE, findHeadEnd, isBad, MORE, parseRequestHead, type RequestHead } from '#wire/http1.ts';
import type { Exchange } from './exchange.ts';
import { Http1Exchange, type ExchangeDoor } from './http1-exchange.ts';
import { statusLine } from './reasons.ts';

export interface Http1ClientOptions {
  readonly conn: Conn;
  readonly sweep: Sweep;
  readonly limits: Limits;
  /** Bytes that were read before. */
  readonly leftover: Buffer;
  /** Called once per request; what it sets as `sink` is told the rest. */
  readonly onExchange: (exchange: Exchange) => void;
  /** Asked once when a head passes 16 KiB: may it grow to 64? The head so far, in latin1. */
  readonly mayGrow: (headSoFar: string) => boolean;
  /** A head that is refused before it is an exchange. Returns the whole answer's header lines and body. */
  readonly onBadHead: (status: number, why: string, headSoFar: string) => { lines: string; body: string };
  readonly onClosed: () => void;
  /** Something was thrown that is no Fault. */
  readonly onBroken: (thrown: unknown) => void;
  /** No further request on this connection. */
  readonly isDraining: () => boolean;
  readonly newRequestId: () => string;
}

type Phase = 'head' | 'body' | 'wait' | 'linger' | 'taken' | 'closed';

const LINGER_MS = 2_000;
const LINGER_BYTES_MAX = 1024 * 1024;
const REMEMBERED_HEAD_BYTES_MAX = 4 * 1024;

export class Http1Client implements Swept, BodySink {
  deadlineMs = 0;
  readonly #options: Http1ClientOptions;
  readonly #conn: Conn;
  readonly #sweep: Sweep;
  readonly #limits: Limits;
  readonly #body: BodyReader = newBodyReader();
  #phase: Phase = 'head';
  #rest: Buffer | null = null;
  /** How much of `#rest` has been searched for the head's end. */
  #searched = 0;
  /** The chunk in the pump's hands and where its current head ended. */
  #chunk = noBytes;
  #chunkAt = 0;
  #lastHead: RequestHead | null = null;
  #blankLines = 0;
  #grown = false;
  #pumping = false;
  #paused = false;
  #blocked = false;
  #halfClosed = false;
  #lingered = 0;
  #exchanges = 0;
  #exchange: Http1Exchange | null = null;
  #closedTold = false;
  readonly #onData = (chunk: Buffer) => this.#receive(chunk);
  readonly #onEnd = () => this.#ended();
  readonly #onClose = () => this.#close('the client closed the connection');
  readonly #onError = () => {};
  readonly #onDrain = () => this.#drained();

  constructor(options: Http1ClientOptions) {
    this.#options = options;
    this.#conn = options.conn;
    this.#sweep = options.sweep;
    this.#limits = options.limits;
  }

  /** Begins to read. */
  open(): void {
    const { socket } = this.#conn;
    socket.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose).on('error', this.#onError).on('drain', this.#onDrain);
    this.deadlineMs = this.#sweep.nowMs + this.#limits.headTimeoutMs;
    this.#sweep.add(this);
    if (socket.destroyed) return this.#close('the client closed the connection');
    if (this.#options.leftover.length > 0) this.#receive(this.#options.leftover);
    // What was left over may already have led to a wait, or to somebody else who now reads.
    if (!this.#paused && this.#phase !== 'taken') socket.resume();
  }

  get isIdle(): boolean {
    return this.#exchange === null;
  }

  /** Ends the connection once the exchange in progress is done; at once when there is none. */
  drain(): void {
    if (this.#exchange === null && this.#phase === 'head') this.#end();
  }

  destroy(): void {
    this.#conn.socket.destroy();
    this.#close('closed by the gateway');
  }

  onDeadline(): void {
    switch (this.#phase) {
      case 'head':
        if (this.#rest === null || this.#rest.length === 0) return this.#end();
        return this.#refuse(408, 'the request head did not arrive in time');
      case 'linger':
      case 'closed':
        return this.destroy();
      case 'taken':
        this.deadlineMs = 0;
        return;
      case 'body':
      case 'wait': {
        const exchange = this.#exchange!;
        if (this.#blocked || (this.#phase === 'body' && exchange.answered)) return this.destroy();
        if (this.#halfClosed) return this.#abort('the client ended its side, and the answer stood still');
        this.deadlineMs = 0;
        if (exchange.sink) exchange.sink.onLate();
        else this.destroy();
      }
    }
  }

  onBodyPiece(piece: Buffer): void {
    this.#exchange?.sink?.onRequestPiece(piece);
  }

  #receive(chunk: Buffer): void {
    if (this.#phase === 'linger') {
      this.#lingered += chunk.length;
      if (this.#lingered > LINGER_BYTES_MAX) this.destroy();
      return;
    }
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = null;
    this.#pump(bytes);
  }

  #pump(bytes: Buffer): void {
    this.#pumping = true;
    let at = 0;
    try {
      for (;;) {
        if (this.#phase === 'head') {
          at = this.#readHead(bytes, at);
          if (at < 0) return;
        } else if (this.#phase === 'body') {
          if (this.#exchange!.sink === null) {
            // Nobody takes the body yet (a visit is being recorded): it waits, and so does the client.
            if (at < bytes.length) this.#rest = at === 0 ? bytes : bytes.subarray(at);
            this.#door!.pause();
            return;
          }
          at = readBody(this.#body, bytes, at, this);
          this.deadlineMs = this.#sweep.nowMs + this.#limits.bodyIdleMs;
          // A piece may have led to the end of everything.
          if ((this.#phase as Phase) !== 'body' || !this.#body.done) {
            if (this.#phase === 'body') return;
            continue;
          }
          this.#phase = 'wait';
          const exchange = this.#exchange!;
          exchange.requestDone = true;
          this.deadlineMs = this.#sweep.nowMs + this.#limits.relayIdleMs;
          exchange.sink?.onRequestEnd(encodeTrailers(this.#body.trailers));
          if (exchange.isOver) this.#next();
        } else {
          if (this.#phase !== 'wait') return;
          if (at < bytes.length) this.#keep(at === 0 ? bytes : bytes.subarray(at));
          return;
        }
      }
    } catch (thrown) {
      const exchange = this.#exchange;
      if (!isFault(thrown)) {
        // A mistake of ours in one connection ends that connection, not everybody's.
        this.#options.onBroken(thrown);
        this.#abort('a mistake in the gateway');
      } else if (exchange && !exchange.answered) {
        exchange.requestDone = false;
        exchange.sink?.onAborted(thrown.message);
        this.#exchange = null;
        this.#refuse(400, thrown.message);
      } else this.#abort(thrown.message);
    } finally {
      this.#pumping = false;
    }
  }

  /** Bytes of later requests: kept to a bound, then the client waits. */
  #keep(bytes: Buffer): void {
    this.#rest = bytes;
    this.#searched = 0;
    if (bytes.length > this.#limits.pipelinedBytesMax && !this.#paused && this.#phase === 'wait') {
      this.#paused = true;
      this.#conn.socket.pause();
    }
  }

  /** Returns the index behind the head, or -1 when there is none to go on with. */
  #readHead(bytes: Buffer, from: number): number {
    let at = from;
    // Empty lines before a request (RFC 9112 §2.2): some clients send one behind a form's body.
    while (this.#blankLines < 2 && bytes[at] === 13 && bytes[at + 1] === 10) {
      at += 2;
      this.#blankLines += 1;
    }
    if (at >= bytes.length) return -1;
    const end = findHeadEnd(bytes, at, at + this.#searched);
    if (end === BARE) {
      this.#refuse(400, 'a line does not end with CRLF (RFC 9112 §2.2)');
      return -1;
    }
    const length = end === MORE ? bytes.length - at : end - at;
    const most = this.#grown ? this.#limits.headBytesGrownMax : this.#limits.headBytesMax;
    if (length > most) {
      const soFar = latin1Of(bytes, at, Math.min(bytes.length, at + this.#limits.headBytesMax));
      if (this.#grown || !this.#options.mayGrow(soFar) || length > this.#limits.headBytesGrownMax) {
        this.#refuse(431, `the request head is larger than ${Math.round(most / 1024)} KiB`, soFar);
        return -1;
      }
      this.#grown = true;
    }
    if (end === MORE) {
      this.#rest = at === 0 ? bytes : bytes.subarray(at);
      if (this.#searched === 0) this.deadlineMs = this.#sweep.nowMs + this.#limits.headTimeoutMs;
      this.#searched = this.#rest.length;
      return -1;
    }
    this.#searched = 0;
    this.#blankLines = 0;
    this.#grown = false;
    const text = latin1Of(bytes, at, end);
    const head = parseRequestHead(text, this.#limits.headFieldsMax, this.#lastHead);
    if (isBad(head)) {
      this.#refuse(head.status, head.bad, text);
      return -1;
    }
    // A large head is not worth keeping while the connection idles: there may be tens of thousands.
    this.#lastHead = text.length <= REMEMBERED_HEAD_BYTES_MAX ? head : null;
    this.#chunk = bytes;
    this.#chunkAt = end;
    this.#begin(head);
    return end;
  }

  #begin(head: RequestHead): void {
    this.#exchanges += 1;
    const exchange = new Http1Exchange(this.#conn, head, this.#exchangeDoor());
    this.#exchange = exchange;
    if (head.framing === 'none') {
      exchange.requestDone = true;
      this.#phase = 'wait';
      this.deadlineMs = this.#sweep.nowMs + this.#limits.relayIdleMs;
    } else {
      startBody(this.#body, head.framing, head.bodyBytes);
      this.#phase = 'body';
      this.deadlineMs = this.#sweep.nowMs + this.#limits.bodyIdleMs;
    }
    this.#options.onExchange(exchange);
    if (exchange.isOver && this.#phase === 'wait') this.#next();
  }

  #door: ExchangeDoor | null = null;
  /** What an exchange may ask of its connection; made once per connection. */
  #exchangeDoor(): ExchangeDoor {
    return (this.#door ??= {
      // A plain socket takes a string as it is; under TLS one is copied twice on its way, bytes once.
      write: this.#conn.facts.secure ? (text) => this.#written(this.#conn.socket.write(Buffer.from(text, 'latin1'))) : (text) => this.#written(this.#conn.socket.write(text, 'latin1')),
      writeBytes: (bytes) => this.#written(this.#conn.socket.write(bytes)),
      cork: () => this.#conn.socket.cork(),
      uncork: () => this.#conn.socket.uncork(),
      mayKeepAlive: () => !this.#halfClosed && this.#exchanges < this.#limits.exchangesPerConnMax && !this.#options.isDraining(),
      over: () => this.#over(),
      pause: () => {
        if (this.#paused || this.#phase === 'taken') return;
        this.#paused = true;
        this.#conn.socket.pause();
      },
      resume: () => {
        if (!this.#paused || this.#phase === 'taken') return;
        this.#paused = false;
        this.#conn.socket.resume();
      },
      expectWithin: (timeoutMs) => {
        this.deadlineMs = this.#sweep.nowMs + this.#patience(timeoutMs === 0 ? this.#limits.relayIdleMs : timeoutMs);
      },
      breakOff: (unframed) => this.#breakOff(unframed),
      take: () => this.#take(),
      sinkSet: () => {
        if (this.#rest === null || this.#phase !== 'body') return;
        queueMicrotask(() => {
          if (this.#rest === null || this.#phase !== 'body' || this.#pumping) return;
          const bytes = this.#rest;
          this.#rest = null;
          this.#pump(bytes);
        });
      },
      newRequestId: this.#options.newRequestId,
    });
  }

  #written(more: boolean): boolean {
    this.#blocked = !more;
    this.deadlineMs = this.#sweep.nowMs + (more ? this.#patience(this.#limits.relayIdleMs) : this.#limits.bodyIdleMs);
    return more;
  }

  /** A client that ended its side may have gone for good: only a write would tell, and a silent upstream writes nothing. */
  #patience(ms: number): number {
    return this.#halfClosed ? Math.min(ms, this.#limits.halfClosedMs) : ms;
  }

  #drained(): void {
    this.#blocked = false;
    // An answer that is over drains in the next request's time, which it must not lengthen.
    if (this.#phase !== 'body' && this.#phase !== 'wait') return;
    this.deadlineMs = this.#sweep.nowMs + this.#patience(this.#limits.relayIdleMs);
    this.#exchange?.sink?.onAnswerDrain();
  }

  /** The answer is whole. */
  #over(): void {
    const exchange = this.#exchange!;
    if (!exchange.requestDone) {
      // Answered before the body came: the rest of it is not wanted, and what follows cannot be found without reading it.
      exchange.sink = null;
      this.#exchange = null;
      return this.#end();
    }
    if (!this.#pumping) this.#next();
  }

  #next(): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#phase === 'taken' || this.#phase === 'closed') return;
    this.#exchange = null;
    if (!exchange.keepsAlive || this.#halfClosed) return this.#end();
    this.#phase = 'head';
    this.#searched = 0;
    this.deadlineMs = this.#sweep.nowMs + this.#limits.keepAliveIdleMs;
    if (this.#paused) {
      this.#paused = false;
      this.#conn.socket.resume();
    }
    if (this.#rest !== null && !this.#pumping) {
      const bytes = this.#rest;
      this.#rest = null;
      this.#pump(bytes);
    }
  }

  /** `unframed`: only the connection's end ends this body, so an orderly end would make the half of it a whole one (RFC 9112 §8). */
  #breakOff(unframed: boolean): void {
    const { socket } = this.#conn;
    if (unframed && socket instanceof Socket && !this.#conn.facts.secure) socket.resetAndDestroy();
    this.destroy();
  }

  /** Says goodbye: our direction ends, what the client still sends is read for a moment, so that it sees the answer and not a reset. */
  #end(): void {
    if (this.#phase === 'closed' || this.#phase === 'taken') return;
    this.#phase = 'linger';
    this.#rest = null;
    this.deadlineMs = this.#sweep.nowMs + LINGER_MS;
    this.#conn.socket.end();
    if (this.#halfClosed) this.#conn.socket.once('finish', () => this.#conn.socket.destroy());
    this.#conn.socket.resume();
  }

  #ended(): void {
    this.#halfClosed = true;
    switch (this.#phase) {
      case 'head':
        return this.#end();
      case 'body':
        return this.#abort('the client ended the connection within its request');
      case 'linger':
        if (this.#conn.socket.writableFinished) this.#conn.socket.destroy();
        else this.#conn.socket.once('finish', () => this.#conn.socket.destroy());
        return;
      case 'wait':
        // RFC 9112 §9.6 lets a client end its side and read on.
        if (!this.#blocked) this.deadlineMs = Math.min(this.deadlineMs || Infinity, this.#sweep.nowMs + this.#limits.halfClosedMs);
        return;
      case 'taken':
      case 'closed':
    }
  }

  #refuse(status: number, why: string, headSoFar = ''): void {
    const { lines, body } = this.#options.onBadHead(status, why, headSoFar);
    this.#conn.socket.write(`${statusLine(status)}${lines}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`, 'utf8');
    this.#end();
  }

  #abort(why: string): void {
    this.#conn.socket.destroy();
    this.#close(why);
  }

  #take(): { leftover: Buffer } {
    const { socket } = this.#conn;
    this.#phase = 'taken';
    this.#exchange = null;
    socket.pause();
    socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose).off('drain', this.#onDrain);
    // The error listener stays: whoever takes over adds its own, and none must be missing in between.
    this.#sweep.remove(this);
    // Taken over from within its own first chunk (a service): what stands behind the head is still in the pump's hands.
    const leftover = this.#pumping ? this.#chunk.subarray(this.#chunkAt) : (this.#rest ?? noBytes);
    this.#rest = null;
    this.#tellClosed();
    return { leftover };
  }

  #close(why: string): void {
    if (this.#phase === 'closed' || this.#phase === 'taken') return;
    this.#phase = 'closed';
    this.#sweep.remove(this);
    const exchange = this.#exchange;
    const sink = exchange?.sink;
    if (exchange) exchange.isGone = true;
    this.#exchange = null;
    sink?.onAborted(why);
    this.#tellClosed();
  }

  #tellClosed(): void {
    if (this.#closedTold) return;
    this.#closedTold = true;
    this.#options.onClosed();
  }
}
