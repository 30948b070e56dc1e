// One HTTP/2 stream as an exchange: what the consumer writes as HTTP/1.1 would have it leaves as fields and data frames; what the client
// sends comes as pieces. A stream has its own deadline, so that one that stands still ends without its neighbours.
import { constants, type ServerHttp2Stream } from 'node:http2';
import { noBytes } from '#base/bytes.ts';
import { Fault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { Conn } from '#net/conn.ts';
import type { Sweep, Swept } from '#net/sweep.ts';
import { TAKEN_BYTES_MAX } from '#net/tapped-reads.ts';
import { encodeFields, type HeadEdit } from '#wire/http1-fields.ts';
import { isBad, type Framing, type RequestHead, type ResponseHead } from '#wire/http1.ts';
import { listOfLines, readHttp2Trailers, type FieldList } from '#wire/http2-heads.ts';
import type { Exchange, ExchangeSink } from './exchange.ts';

/** What an exchange may ask of its connection. */
export interface Http2Door {
  readonly sweep: Sweep;
  readonly limits: Limits;
  newRequestId(): string;
  /** The stream is closed. `givenUp`: by the client, before the answer was whole. */
  closed(exchange: Http2Exchange, givenUp: boolean): void;
  /** A mistake of ours, thrown while this ran. */
  broken(thrown: unknown): void;
}

const LINGER_MS = 2_000;
const LINGER_BYTES_MAX = 1024 * 1024;

/** Statuses whose answers have no content (RFC 9110 §15.3.5, §15.3.6, §15.4.5). */
const isBodiless = (status: number) => status === 204 || status === 205 || status === 304;

/**
 * Tells the client to send the same body elsewhere (RFC 9110 §15.4.8, §15.4.9). curl before 8 that gets one while it sends stops reading frames, those that
 * renew its window among them, and hangs; reset with NO_ERROR, it takes the redirect for an error.
 */
const sendsBodyElsewhere = (status: number) => status === 307 || status === 308;

/** A list as node:http2 wants interim answers and trailers. */
function objectOf(list: FieldList): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = list[i]!;
    const before = fields[name];
    if (before === undefined) fields[name] = list[i + 1]!;
    else if (Array.isArray(before)) before.push(list[i + 1]!);
    else fields[name] = [before, list[i + 1]!];
  }
  return fields;
}

export class Http2Exchange implements Exchange, Swept {
  conn: Conn;
  readonly head: RequestHead;
  deadlineMs = 0;
  isGone = false;
  requestDone: boolean;
  answered = false;
  readonly #stream: ServerHttp2Stream;
  readonly #door: Http2Door;
  #sink: ExchangeSink | null = null;
  #requestId = '';
  /** The answer is whole, or will never be. */
  #over = false;
  #closed = false;
  /** The client ended it first. */
  #givenUp = false;
  #reading = false;
  /** The answer has left, and the rest of the request is read for a while, so that the client sees the answer before the reset. */
  #lingers = false;
  #lingered = 0;
  /** An answer of our own that waits for the request's body; what comes of that until then counts as lingered. */
  #waiting: (() => void) | null = null;
  #paused = false;
  #blocked = false;
  /** Bytes of the body that have not come, where its length is known. */
  #left: number;
  #trailers = '';
  /** The answer's head, until something follows it. */
  #held: string[] | null = null;
  #framing: Framing = 'none';
  #answerLeft = 0;
  #answerTrailers = '';
  /** Our side of the stream has been ended. */
  #ended = false;

  constructor(conn: Conn, head: RequestHead, stream: ServerHttp2Stream, door: Http2Door) {
    this.conn = conn;
    this.head = head;
    this.#stream = stream;
    this.#door = door;
    this.#left = head.bodyBytes;
    this.requestDone = head.framing === 'none';
    stream.on('aborted', () => this.#guarded(() => this.#gone('the client gave the request up')));
    stream.on('close', () => this.#guarded(() => this.#streamClosed()));
    stream.on('drain', () => this.#guarded(() => this.#drained()));
    if (!this.requestDone) stream.on('trailers', (_, __, list) => this.#guarded(() => this.#tookTrailers(list ?? [])));
    door.sweep.add(this);
    this.deadlineMs = door.sweep.nowMs + (this.requestDone ? door.limits.relayIdleMs : door.limits.bodyIdleMs);
  }

  get sink(): ExchangeSink | null {
    return this.#sink;
  }

  set sink(sink: ExchangeSink | null) {
    this.#sink = sink;
    if (sink !== null && !this.requestDone && !this.isGone) this.#read();
  }

  get requestId(): string {
    if (this.#requestId === '') this.#requestId = this.#door.newRequestId();
    return this.#requestId;
  }

  pauseRequest(): void {
    if (this.#paused || this.requestDone) return;
    this.#paused = true;
    if (this.#reading) this.#stream.pause();
  }

  resumeRequest(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#reading && !this.isGone) this.#stream.resume();
  }

  expectWithin(timeoutMs: number): void {
    this.#expect(timeoutMs === 0 ? this.#door.limits.relayIdleMs : timeoutMs);
  }

  interim<Context>(head: ResponseHead, edit: HeadEdit<Context>, context: Context): void {
    if (this.answered || !this.#isWritable) return;
    this.#stream.additionalHeaders({ ...objectOf(listOfLines(encodeFields(head.fields, edit, context))), ':status': head.status });
  }

  answer<Context>(head: ResponseHead, edit: HeadEdit<Context>, context: Context, extraLines: string): void {
    if (head.status === 101) throw new Fault('unsupported', 'a connection cannot switch protocols within HTTP/2 (RFC 9113 §8.6)');
    this.answered = true;
    // node:http2 sends no status that nobody has defined; a client would take it for a 5xx anyhow (RFC 9110 §15).
    const status = head.status > 599 ? 502 : head.status;
    this.#framing = isBodiless(status) ? 'none' : head.framing;
    this.#answerLeft = head.bodyBytes;
    let lines = encodeFields(head.fields, edit, context) + extraLines;
    if (status === 205) lines = lines.replace(/(^|\r\n)content-length:[^\r]*\r\n/i, '$1');
    this.#held = listOfLines(lines, [':status', String(status)]);
  }

  piece(bytes: Buffer): boolean {
    if (bytes.length === 0 || this.#framing === 'none' || this.#ended || !this.#isWritable) return true;
    this.#sendHead(false);
    // A small piece is only lent (UpstreamSink.onAnswerPiece), and a frame is written later.
    const kept = bytes.length <= TAKEN_BYTES_MAX ? Buffer.from(bytes) : bytes;
    if (this.#framing === 'length' && (this.#answerLeft -= bytes.length) <= 0) {
      // The last one carries the stream's end, which saves a frame.
      this.#ended = true;
      this.#stream.end(kept);
      this.#expect(this.#door.limits.bodyIdleMs);
      return true;
    }
    this.#blocked = !this.#stream.write(kept);
    this.#expect(this.#blocked ? this.#door.limits.bodyIdleMs : this.#door.limits.relayIdleMs);
    return !this.#blocked;
  }

  end(trailers: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#sink = null;
    if (!this.#isWritable) return;
    this.#answerTrailers = trailers;
    if (this.#held !== null && trailers === '') this.#sendHead(true);
    else {
      this.#sendHead(false);
      if (!this.#ended) this.#stream.end();
    }
    this.#ended = true;
    this.#finish();
  }

  flush(): void {
    if (this.#isWritable) this.#sendHead(false);
  }

  respond(status: number, lines: string, body: string): void {
    if (this.#over || !this.#isWritable) return;
    this.answered = true;
    this.#over = true;
    this.#sink = null;
    const fits = this.head.framing !== 'length' || this.#left <= LINGER_BYTES_MAX;
    if (this.requestDone || !sendsBodyElsewhere(status) || this.head.expectsContinue || !fits) return this.#respondNow(status, lines, body);
    this.#waiting = () => this.#respondNow(status, lines, body);
    this.#expect(this.#door.limits.bodyIdleMs);
    this.#readOn();
  }

  #respondNow(status: number, lines: string, body: string): void {
    if (!this.#isWritable) return;
    this.#ended = true;
    const bytes = Buffer.from(body, 'utf8');
    const list = listOfLines(Buffer.from(lines, 'utf8').toString('latin1'), [':status', String(status)]);
    if (!isBodiless(status)) list.push('content-length', String(bytes.length));
    const bare = isBodiless(status) || this.head.method === 'HEAD' || bytes.length === 0;
    this.#stream.respond(list, { endStream: bare });
    if (!bare) this.#stream.end(bytes);
    this.#finish();
  }

  breakOff(): void {
    this.reset(constants.NGHTTP2_INTERNAL_ERROR);
  }

  /** Never: a stream is no socket. The client is told to come back with HTTP/1.1 (RFC 9113 §7), and the caller that this is over. */
  takeSocket(): { leftover: Buffer } {
    this.reset(constants.NGHTTP2_HTTP_1_1_REQUIRED);
    throw new Fault('unsupported', 'this takes the whole connection, which HTTP/2 has no way to give');
  }

  /** Ends it without telling anybody but the client. */
  reset(code: number): void {
    this.#over = true;
    this.#sink = null;
    this.#close(code);
  }

  /** The connection is gone or has to go. */
  abort(why: string): void {
    this.#gone(why);
    this.#close(constants.NGHTTP2_CANCEL);
    this.#streamClosed();
  }

  onDeadline(): void {
    this.#guarded(() => {
      if (this.#lingers) return this.#closeEarly();
      if (this.#waiting !== null) return this.#sendWaiting();
      if (this.#over || this.#ended) {
        // The answer is whole, and the client does not fetch it.
        this.deadlineMs = 0;
        return this.#stream.destroyed ? this.#streamClosed() : this.#close(constants.NGHTTP2_CANCEL);
      }
      const sink = this.#sink;
      if (this.#blocked || sink === null || (!this.requestDone && this.answered)) {
        this.#gone('the stream stood still');
        return this.#close(constants.NGHTTP2_CANCEL);
      }
      this.deadlineMs = 0;
      sink.onLate();
    });
  }

  get #isWritable(): boolean {
    return !this.isGone && !this.#stream.destroyed && !this.#stream.closed;
  }

  #expect(timeoutMs: number): void {
    this.deadlineMs = this.#door.sweep.nowMs + timeoutMs;
  }

  #guarded(act: () => void): void {
    try {
      act();
    } catch (thrown) {
      this.#door.broken(thrown);
    }
  }

  #sendHead(isAll: boolean): void {
    const list = this.#held;
    if (list === null) return;
    this.#held = null;
    const bare = isAll || this.#framing === 'none' || this.head.method === 'HEAD';
    // Where only the end says how long the body is, the end is given by hand: see #close, and connections that end with the body half sent.
    const waitForTrailers = !bare && this.#framing !== 'length';
    if (waitForTrailers) this.#stream.on('wantTrailers', () => this.#guarded(() => this.#sendTrailers()));
    if (bare) this.#ended = true;
    this.#stream.respond(list, { endStream: bare, waitForTrailers });
  }

  #sendTrailers(): void {
    this.#stream.sendTrailers(objectOf(listOfLines(this.#answerTrailers)));
    this.#linger();
  }

  /** The answer has been handed to the stream, which still has to bring it to the client. */
  #finish(): void {
    this.#expect(this.#door.limits.bodyIdleMs);
    if (this.requestDone) return;
    // Answered before the body came. With trailers, once they have gone.
    if (this.#stream.writableFinished) this.#linger();
    else if (this.#framing === 'length' || this.#framing === 'none') this.#stream.once('finish', () => this.#guarded(() => this.#linger()));
    this.#readOn();
  }

  /** What still comes of the request is thrown away. */
  #readOn(): void {
    this.#paused = false;
    this.#read();
    this.#stream.resume();
  }

  #sendWaiting(): void {
    const send = this.#waiting;
    this.#waiting = null;
    send?.();
  }

  #linger(): void {
    if (this.requestDone) return;
    this.#lingers = true;
    this.#expect(LINGER_MS);
  }

  /** The rest of the body is not wanted (RFC 9113 §8.1). */
  #closeEarly(): void {
    this.deadlineMs = 0;
    if (!this.#stream.destroyed && !this.#stream.closed) this.#stream.close(constants.NGHTTP2_NO_ERROR);
    this.#stream.resume();
  }

  #close(code: number): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    // node:http2 ends our side before it resets the stream, and sends that end if it can: half a body would be a whole one. It cannot while a
    // write is in progress, be it one of nothing.
    if (stream.headersSent && !this.#ended) stream.write(noBytes);
    this.#ended = true;
    stream.close(code);
  }

  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    const stream = this.#stream;
    stream.on('data', (piece: Buffer) => this.#guarded(() => this.#received(piece)));
    stream.on('end', () => this.#guarded(() => this.#requestEnded()));
    if (this.#paused) stream.pause();
  }

  #received(piece: Buffer): void {
    if (this.isGone || this.#stream.closed) return;
    if (this.#over) {
      this.#lingered += piece.length;
      if (this.#waiting !== null) this.#expect(this.#door.limits.bodyIdleMs);
      if (this.#lingered <= LINGER_BYTES_MAX) return;
      if (this.#waiting !== null) return this.#sendWaiting();
      return this.#lingers ? this.#closeEarly() : void this.#stream.pause();
    }
    if (this.head.framing === 'length' && (this.#left -= piece.length) < 0) return this.#refuseBody('the body is longer than Content-Length says (RFC 9113 §8.1.1)');
    this.#expect(this.#door.limits.bodyIdleMs);
    this.#sink?.onRequestPiece(piece);
  }

  #tookTrailers(list: FieldList): void {
    const lines = readHttp2Trailers(list, this.#door.limits.trailerBytesMax);
    if (typeof lines !== 'string') return this.#refuseBody(isBad(lines) ? lines.bad : 'the trailers are malformed');
    this.#trailers = lines;
  }

  #requestEnded(): void {
    // A stream that was reset ends as well; that is no whole body.
    if (this.isGone || this.#stream.aborted) return;
    if (this.#waiting !== null) {
      this.requestDone = true;
      return this.#sendWaiting();
    }
    if (this.#over) return;
    if (this.head.framing === 'length' && this.#left !== 0) return this.#refuseBody('the body is shorter than Content-Length says (RFC 9113 §8.1.1)');
    this.requestDone = true;
    this.#expect(this.#door.limits.relayIdleMs);
    this.#sink?.onRequestEnd(this.#trailers);
  }

  #refuseBody(why: string): void {
    this.#gone(why);
    this.#close(constants.NGHTTP2_PROTOCOL_ERROR);
  }

  #drained(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    if (this.#over) return;
    this.#expect(this.#door.limits.relayIdleMs);
    this.#sink?.onAnswerDrain();
  }

  /** The client is gone, or as good as. */
  #gone(why: string): void {
    if (this.isGone) return;
    this.isGone = true;
    // A stream that was reset with NO_ERROR closes once what came before has been read.
    this.#stream.resume();
    if (this.#over) return;
    this.#over = true;
    this.#givenUp = true;
    const sink = this.#sink;
    this.#sink = null;
    sink?.onAborted(why);
  }

  #streamClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.deadlineMs = 0;
    this.#door.sweep.remove(this);
    this.#gone('the stream ended');
    this.#door.closed(this, this.#givenUp);
  }
}
