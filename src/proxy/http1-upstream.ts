// The upstream's side of HTTP/1.1: one connection, one exchange at a time, answers read and judged, the connection given back when
// both messages are whole. Knows nothing of clients, routes or retries.
import type { Duplex } from 'node:stream';
import { latin1Of } from '#base/bytes.ts';
import { Fault, isFault, toFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { TAKEN_BYTES_MAX, tapReads, untapReads } from '#net/tapped-reads.ts';
import { encodeTrailers, newBodyReader, readBody, startBody, type BodyReader, type BodySink } from '#wire/http1-body.ts';
import { findResponseHeadEnd, isBad, MORE, parseResponseHead, type ResponseHead } from '#wire/http1.ts';

/** Who sent the request and is told the answer. */
export interface UpstreamSink {
  onInterim(head: ResponseHead): void;
  onAnswerHead(head: ResponseHead): void;
  /** A piece of at most 8 KiB must be done with when this returns: its bytes may be overwritten (net/tapped-reads). */
  onAnswerPiece(piece: Buffer): void;
  onAnswerEnd(trailers: string): void;
  /** After 101: the connection is the sink's. */
  onSwitched(head: ResponseHead, stream: Duplex, leftover: Buffer): void;
  /** All that arrived at once has been handed over. */
  onTurnEnd(): void;
  onUpstreamDrain(): void;
  /** `touched`: at least one byte of an answer had arrived. */
  onUpstreamFailed(why: Fault, touched: boolean): void;
}

export class Upstream implements BodySink {
  readonly stream: Duplex;
  /** When it was last given back, on the sweep's clock. */
  idleSinceMs = 0;
  /** Exchanges it has carried. */
  used = 0;
  readonly #body: BodyReader = newBodyReader();
  readonly #onGone: (upstream: Upstream) => void;
  #sink: UpstreamSink | null = null;
  #lastHead: ResponseHead | null = null;
  #method = '';
  /** The pool's note of where it waits. */
  poolKey: string | null = null;
  #rest: Buffer | null = null;
  #searched = 0;
  #inBody = false;
  #interims = 0;
  #touched = false;
  #requestEnded = true;
  #reusable = true;
  #dead = false;
  readonly #onData = (chunk: Buffer) => this.#receive(chunk);
  readonly #onEnd = () => this.#ended();
  readonly #onClose = () => this.#fail(new Fault('closed', 'the upstream closed the connection before its answer was whole'));
  readonly #onError = (error: Error) => this.#fail(isFault(error) ? error : new Fault('closed', `the connection to the upstream broke (${error.message})`, { cause: error }));
  readonly #onDrain = () => this.#sink?.onUpstreamDrain();

  /** `onGone` is called once when an idle connection ends or breaks. */
  constructor(stream: Duplex, onGone: (upstream: Upstream) => void) {
    this.stream = stream;
    this.#onGone = onGone;
    if (!tapReads(stream, this.#onData)) stream.on('data', this.#onData);
    stream.on('end', this.#onEnd).on('close', this.#onClose).on('error', this.#onError).on('drain', this.#onDrain);
  }

  get isDead(): boolean {
    return this.#dead;
  }

  /** Sends a head (with its empty line) and belongs to the sink until `onAnswerEnd`, `onSwitched` or `onUpstreamFailed`. */
  begin(sink: UpstreamSink, method: string, head: string, requestEnded: boolean): boolean {
    this.#sink = sink;
    this.#method = method;
    this.#inBody = false;
    this.#interims = 0;
    this.#touched = false;
    this.#reusable = true;
    this.#requestEnded = requestEnded;
    this.used += 1;
    return this.stream.write(head, 'latin1');
  }

  /** The request body is whole; without this a connection is never reused. */
  requestEnded(): void {
    this.#requestEnded = true;
  }

  pause(): void {
    this.stream.pause();
  }

  resume(): void {
    this.stream.resume();
  }

  /** Whether it can carry another exchange now that the answer is whole. */
  get isReusable(): boolean {
    return this.#sink === null && !this.#dead && this.#reusable && this.#requestEnded && this.stream.writable;
  }

  destroy(): void {
    this.#dead = true;
    this.#sink = null;
    this.stream.destroy();
  }

  onBodyPiece(piece: Buffer): void {
    this.#sink?.onAnswerPiece(piece);
  }

  #receive(chunk: Buffer): void {
    if (this.#sink === null) {
      // Bytes that answer nothing: whatever they are, they must never become somebody's answer.
      this.#gone();
      return;
    }
    this.#touched = true;
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = null;
    let at = 0;
    try {
      while (this.#sink !== null) {
        if (!this.#inBody) {
          const end = findResponseHeadEnd(bytes, at, at + this.#searched);
          if ((end === MORE ? bytes.length : end) - at > limits.headBytesGrownMax) throw new Fault('protocol', 'the head of the answer is larger than 64 KiB');
          if (end === MORE) {
            this.#rest = bytes.length > TAKEN_BYTES_MAX ? bytes.subarray(at) : Buffer.from(bytes.subarray(at));
            this.#searched = this.#rest.length;
            return;
          }
          this.#searched = 0;
          const head = parseResponseHead(latin1Of(bytes, at, end), this.#method, limits.headFieldsMax, this.#lastHead);
          const headBytes = end - at;
          at = end;
          if (isBad(head)) throw new Fault('protocol', `the upstream's answer is not HTTP/1: ${head.bad}`);
          if (head.status === 101) return this.#switched(head, bytes.subarray(at));
          if (head.status < 200) {
            if (++this.#interims > limits.interimAnswersMax) throw new Fault('protocol', 'too many interim answers');
            this.#sink.onInterim(head);
            continue;
          }
          // A large head is not worth keeping while the connection waits.
          this.#lastHead = headBytes <= 4_096 ? head : null;
          this.#inBody = true;
          this.#reusable = head.keepAlive;
          startBody(this.#body, head.framing, head.bodyBytes);
          this.#sink.onAnswerHead(head);
          if (this.#sink === null) return;
        }
        at = readBody(this.#body, bytes, at, this);
        if (this.#sink === null) return;
        if (!this.#body.done) break;
        if (at < bytes.length) this.#reusable = false;
        this.#finish(encodeTrailers(this.#body.trailers));
        return;
      }
      this.#sink?.onTurnEnd();
    } catch (thrown) {
      this.#fail(toFault(thrown));
    }
  }

  #finish(trailers: string): void {
    const sink = this.#sink!;
    this.#sink = null;
    this.#inBody = false;
    sink.onAnswerEnd(trailers);
  }

  #switched(head: ResponseHead, leftover: Buffer): void {
    const sink = this.#sink!;
    this.#sink = null;
    this.#dead = true;
    this.stream.pause();
    untapReads(this.stream);
    this.stream.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose).off('drain', this.#onDrain);
    sink.onSwitched(head, this.stream, Buffer.from(leftover));
  }

  #ended(): void {
    if (this.#sink !== null && this.#inBody && this.#body.framing === 'close') {
      this.#reusable = false;
      return this.#finish('');
    }
    if (this.#sink === null) return this.#gone();
    this.#fail(new Fault('closed', this.#touched ? 'the upstream ended the connection before its answer was whole' : 'the upstream ended the connection without an answer'));
  }

  #gone(): void {
    if (this.#dead) return;
    this.#dead = true;
    this.stream.destroy();
    this.#onGone(this);
  }

  #fail(why: Fault): void {
    const sink = this.#sink;
    if (sink === null) return this.#gone();
    this.#sink = null;
    this.#dead = true;
    this.stream.destroy();
    sink.onUpstreamFailed(why, this.#touched);
  }
}
