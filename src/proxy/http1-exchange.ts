// One exchange of an HTTP/1 connection: the answer's head, framing and pieces, written with as few writes as their bytes need. Knows its
// connection as a set of functions.
import { latin1Of } from '#base/bytes.ts';
import type { Conn } from '#net/conn.ts';
import { TAKEN_BYTES_MAX } from '#net/tapped-reads.ts';
import { encodeFields, type HeadEdit } from '#wire/http1-fields.ts';
import type { Framing, RequestHead, ResponseHead } from '#wire/http1.ts';
import type { Exchange, ExchangeSink } from './exchange.ts';
import { statusLine } from './reasons.ts';

/** What an exchange may ask of its connection. */
export interface ExchangeDoor {
  write(text: string): boolean;
  writeBytes(bytes: Buffer): boolean;
  cork(): void;
  uncork(): void;
  mayKeepAlive(): boolean;
  over(): void;
  pause(): void;
  resume(): void;
  expectWithin(timeoutMs: number): void;
  breakOff(unframed: boolean): void;
  take(): { leftover: Buffer };
  sinkSet(): void;
  newRequestId(): string;
}

export class Http1Exchange implements Exchange {
  conn: Conn;
  readonly head: RequestHead;
  isGone = false;
  #sink: ExchangeSink | null = null;
  requestDone = false;
  answered = false;
  /** The answer is whole. */
  isOver = false;
  keepsAlive = true;
  readonly #door: ExchangeDoor;
  #requestId = '';
  #held = '';
  #framing: Framing = 'none';

  constructor(conn: Conn, head: RequestHead, door: ExchangeDoor) {
    this.conn = conn;
    this.head = head;
    this.#door = door;
  }

  get sink(): ExchangeSink | null {
    return this.#sink;
  }

  set sink(sink: ExchangeSink | null) {
    this.#sink = sink;
    if (sink !== null) this.#door.sinkSet();
  }

  get requestId(): string {
    if (this.#requestId === '') this.#requestId = this.#door.newRequestId();
    return this.#requestId;
  }

  pauseRequest(): void {
    this.#door.pause();
  }

  resumeRequest(): void {
    this.#door.resume();
  }

  expectWithin(timeoutMs: number): void {
    this.#door.expectWithin(timeoutMs);
  }

  interim<Context>(head: ResponseHead, edit: HeadEdit<Context>, context: Context): void {
    if (this.head.minorVersion === 0 || this.answered) return;
    this.#door.write(`${statusLine(head.status, head.reason)}${encodeFields(head.fields, edit, context)}\r\n`);
  }

  answer<Context>(head: ResponseHead, edit: HeadEdit<Context>, context: Context, extraLines: string): void {
    this.answered = true;
    let lines = encodeFields(head.fields, edit, context) + extraLines;
    if (head.status === 101) {
      this.#held = `${statusLine(101, head.reason)}${lines}Connection: Upgrade\r\n\r\n`;
      return;
    }
    this.#framing = head.framing;
    // Answered before its body came: should the body not come to an end, nothing behind it can be found.
    this.keepsAlive = this.head.keepAlive && this.requestDone && this.#door.mayKeepAlive();
    if (head.framing === 'chunked' || head.framing === 'close') {
      // To an HTTP/1.0 client only the connection's end can end a body of unknown length (RFC 9112 §6.3).
      if (this.head.minorVersion === 1) {
        this.#framing = 'chunked';
        lines += 'Transfer-Encoding: chunked\r\n';
      } else {
        this.#framing = 'close';
        this.keepsAlive = false;
      }
    }
    if (!this.keepsAlive) lines += 'Connection: close\r\n';
    else if (this.head.minorVersion === 0) lines += 'Connection: keep-alive\r\n';
    this.#held = head.status === 200 && head.reason === 'OK' ? `HTTP/1.1 200 OK\r\n${lines}\r\n` : `${statusLine(head.status, head.reason)}${lines}\r\n`;
  }

  piece(bytes: Buffer): boolean {
    if (bytes.length === 0) return true;
    if (this.#framing === 'chunked') {
      const text = `${this.#held}${bytes.length.toString(16)}\r\n`;
      this.#held = '';
      if (bytes.length <= TAKEN_BYTES_MAX) return this.#door.write(`${text}${latin1Of(bytes)}\r\n`);
      this.#door.cork();
      this.#door.write(text);
      this.#door.writeBytes(bytes);
      const more = this.#door.write('\r\n');
      this.#door.uncork();
      return more;
    }
    // A small piece is only lent (UpstreamSink.onAnswerPiece), so it is written as a copy.
    if (this.#held === '') return bytes.length <= TAKEN_BYTES_MAX ? this.#door.write(latin1Of(bytes)) : this.#door.writeBytes(bytes);
    const text = this.#held;
    this.#held = '';
    if (bytes.length <= TAKEN_BYTES_MAX) return this.#door.write(text + latin1Of(bytes));
    this.#door.cork();
    this.#door.write(text);
    const more = this.#door.writeBytes(bytes);
    this.#door.uncork();
    return more;
  }

  end(trailers: string): void {
    if (this.isOver) return;
    this.isOver = true;
    if (this.#framing === 'chunked') this.#held += trailers === '' ? '0\r\n\r\n' : `0\r\n${trailers}\r\n`;
    if (this.#held !== '') this.#door.write(this.#held);
    this.#held = '';
    this.#door.over();
  }

  flush(): void {
    if (this.#held === '') return;
    const text = this.#held;
    this.#held = '';
    this.#door.write(text);
  }

  respond(status: number, lines: string, body: string): void {
    if (this.isOver || this.isGone) return;
    this.answered = true;
    this.isOver = true;
    // A body that nobody will read makes the next request impossible to find.
    this.keepsAlive = this.head.keepAlive && this.requestDone && this.#door.mayKeepAlive();
    const connection = this.keepsAlive ? (this.head.minorVersion === 0 ? 'Connection: keep-alive\r\n' : '') : 'Connection: close\r\n';
    // 204 and 304 end with their head (RFC 9112 §6.3): bytes behind it would be taken for the next answer.
    const bodiless = status === 204 || status === 304;
    const length = bodiless ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
    const bytes = Buffer.from(`${statusLine(status)}${lines}${length}${connection}\r\n${bodiless || this.head.method === 'HEAD' ? '' : body}`, 'utf8');
    this.#door.writeBytes(bytes);
    this.#door.over();
  }

  breakOff(): void {
    this.isOver = true;
    this.#door.breakOff(this.#framing === 'close');
  }

  takeSocket(): { leftover: Buffer } {
    this.flush();
    this.isOver = true;
    return this.#door.take();
  }
}
