// The client's side of HTTP/2 (RFC 9113): one connection in node:http2's hands, each of its streams an exchange of its own. What is counted
// here is what one client may cost: streams given up, PING and SETTINGS frames, time without a request.
import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream, type ServerSessionOptions } from 'node:http2';
import { isFault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { Conn } from '#net/conn.ts';
import type { Sweep, Swept } from '#net/sweep.ts';
import { isBad } from '#wire/http1.ts';
import { headBytesOf, headTextOf, listOfLines, listTextOf, readHttp2Request, type FieldList, type Http2Request } from '#wire/http2-heads.ts';
import type { Exchange } from './exchange.ts';
import { Http2Exchange, type Http2Door } from './http2-exchange.ts';

export interface Http2Options {
  readonly conn: Conn;
  readonly sweep: Sweep;
  readonly limits: Limits;
  /** Bytes that were read before, the preface among them; empty where ALPN said `h2`. */
  readonly leftover: Buffer;
  /** Called once per request; what it sets as `sink` is told the rest. */
  readonly onExchange: (exchange: Exchange) => void;
  /** Asked when a head is larger than 16 KiB: may it be up to 64? Its first 16 KiB in HTTP/1.1's form, in latin1. */
  readonly mayGrow: (headSoFar: string) => boolean;
  /** A head that is refused before it is an exchange. Returns the whole answer's header lines and body. */
  readonly onBadHead: (status: number, why: string, headSoFar: string) => { lines: string; body: string };
  readonly onClosed: () => void;
  /** Something was thrown that is no Fault. */
  readonly onBroken: (thrown: unknown) => void;
  /** No further request on this connection. */
  readonly isDraining: () => boolean;
  readonly newRequestId: () => string;
  /** The client broke HTTP/2, or did more of something than anybody needs; its connection ends. */
  readonly onAbuse?: ((why: string) => void) | undefined;
}

export interface Http2Client {
  /** Ends the connection once the requests in progress are answered; at once when there are none. */
  drain(): void;
  destroy(): void;
  readonly isIdle: boolean;
}

const LINGER_MS = 2_000;
const MINUTE_MS = 60_000;
const HIGHEST_STREAM = 2 ** 31 - 1;
const REMEMBERED_HEAD_BYTES_MAX = 4 * 1024;

function sessionOptions(limits: Limits): ServerSessionOptions {
  return {
    maxHeaderListPairs: limits.http2HeadPairsMax,
    maxSessionMemory: limits.http2ConnMemoryMegabytes,
    maxSessionInvalidFrames: limits.http2InvalidFramesMax,
    maxSessionRejectedStreams: limits.http2RefusedStreamsMax,
    maxSettings: limits.http2SettingsValuesMax,
    // Beside the count of requests given up: this one sees resets of streams that never became a request.
    streamResetBurst: limits.http2ResetsPerMinuteMax,
    streamResetRate: Math.ceil(limits.http2ResetsPerMinuteMax / 60),
    // Two Content-Type lines of a careless device are passed on as they are, not thrown.
    strictSingleValueFields: false,
    settings: {
      enablePush: false,
      enableConnectProtocol: false,
      maxConcurrentStreams: limits.http2StreamsMax,
      initialWindowSize: limits.http2StreamWindowBytes,
      maxHeaderListSize: limits.http2HeadListBytesMax,
    },
  };
}

/** Counts events by the minute. */
class PerMinute {
  #fromMs: number;
  #count = 0;

  constructor(nowMs: number) {
    this.#fromMs = nowMs;
  }

  /** True when this one is more than `max` within the minute. */
  isTooMany(nowMs: number, max: number): boolean {
    if (nowMs - this.#fromMs >= MINUTE_MS) {
      this.#fromMs = nowMs;
      this.#count = 0;
    }
    return ++this.#count > max;
  }
}

class Http2Connection implements Http2Client, Swept {
  deadlineMs: number;
  readonly #options: Http2Options;
  readonly #session: ServerHttp2Session;
  readonly #exchanges = new Set<Http2Exchange>();
  readonly #door: Http2Door;
  readonly #resets: PerMinute;
  readonly #pings: PerMinute;
  readonly #settings: PerMinute;
  #last: Http2Request | null = null;
  #begun = 0;
  /** Refused heads whose answers are on their way. */
  #refusing = 0;
  #phase: 'open' | 'draining' | 'ending' | 'closed' = 'open';

  constructor(options: Http2Options) {
    this.#options = options;
    const { conn, sweep, limits } = options;
    this.deadlineMs = sweep.nowMs + limits.headTimeoutMs;
    this.#resets = new PerMinute(sweep.nowMs);
    this.#pings = new PerMinute(sweep.nowMs);
    this.#settings = new PerMinute(sweep.nowMs);
    this.#door = {
      sweep,
      limits,
      newRequestId: options.newRequestId,
      closed: (exchange, givenUp) => this.#exchangeClosed(exchange, givenUp),
      broken: (thrown) => this.#broken(thrown),
    };
    const { socket } = conn;
    if (options.leftover.length > 0) socket.unshift(options.leftover);
    // node:http2 waits for a handshake while this is set, and only tls.Server, which we do without, takes it back when it is done.
    if ('secureConnecting' in socket) socket.secureConnecting = false;
    this.#session = performServerHandshake(socket, sessionOptions(limits));
    this.#listen();
    sweep.add(this);
    if (socket.destroyed) this.#socketClosed();
  }

  get isIdle(): boolean {
    return this.#exchanges.size === 0 && this.#refusing === 0;
  }

  drain(): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'draining';
    if (this.isIdle) return this.#goodbye();
    // Requests that are on their way now are taken, and the client learns to send no more (RFC 9113 §6.8). Once the PING is back, it has.
    this.#session.goaway(constants.NGHTTP2_NO_ERROR, HIGHEST_STREAM);
    this.#session.ping((failed) => {
      if (failed === null && this.#phase === 'draining') this.#goodbye();
    });
  }

  destroy(): void {
    if (this.#phase === 'closed') return;
    this.#session.destroy();
    this.#options.conn.socket.destroy();
    this.#socketClosed();
  }

  onDeadline(): void {
    if (this.#phase === 'ending' || this.#phase === 'closed') return this.destroy();
    // What is still to be told is told as it ends; the client may open another connection.
    this.#goodbye();
  }

  #listen(): void {
    const { conn, sweep, limits } = this.#options;
    const session = this.#session;
    session.on('stream', (stream: ServerHttp2Stream, _, flags, list) => this.#begin(stream, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0, (list ?? []) as unknown as FieldList));
    // Errors of the session are the client's doing; `close` of the socket follows.
    session.on('error', (error: NodeJS.ErrnoException) => this.#abuse(`it broke HTTP/2 (${error.message})`, null));
    session.on('ping', () => {
      if (this.#pings.isTooMany(sweep.nowMs, limits.http2PingsPerMinuteMax)) this.#abuse('it sent PING frames without end');
    });
    session.on('remoteSettings', () => {
      if (this.#settings.isTooMany(sweep.nowMs, limits.http2SettingsPerMinuteMax)) return this.#abuse('it sent SETTINGS frames without end');
      this.#restIfIdle();
    });
    session.once('connect', () => {
      if (!session.destroyed) session.setLocalWindowSize(limits.http2ConnWindowBytes);
    });
    conn.socket.once('close', () => this.#socketClosed());
    // Whoever ends its side sends no WINDOW_UPDATE any more, and can reset nothing.
    conn.socket.once('end', () => this.destroy());
  }

  #begin(stream: ServerHttp2Stream, ended: boolean, list: FieldList): void {
    stream.on('error', () => {});
    try {
      this.#read(stream, ended, list);
    } catch (thrown) {
      // A consumer that cannot be served over HTTP/2 has reset the stream.
      if (!isFault(thrown)) this.#broken(thrown);
    }
  }

  #read(stream: ServerHttp2Stream, ended: boolean, list: FieldList): void {
    const { limits, conn, mayGrow } = this.#options;
    if (stream.destroyed || this.#phase === 'closed') return;
    const head = readHttp2Request(list, ended, limits.headFieldsMax, this.#last);
    if (isBad(head)) return this.#refuse(stream, head.status, head.bad, listTextOf(list, limits.headBytesMax));
    const bytes = headBytesOf(head);
    if (bytes > limits.headBytesMax) {
      const soFar = headTextOf(head, limits.headBytesMax);
      const most = mayGrow(soFar) ? limits.headBytesGrownMax : limits.headBytesMax;
      if (bytes > most) return this.#refuse(stream, 431, `the request head is larger than ${Math.round(most / 1024)} KiB`, soFar);
    }
    this.#last = bytes <= REMEMBERED_HEAD_BYTES_MAX ? { list, ended, head } : null;
    this.#begun += 1;
    const exchange = new Http2Exchange(conn, head, stream, this.#door);
    this.#exchanges.add(exchange);
    this.deadlineMs = 0;
    this.#options.onExchange(exchange);
    if (this.#phase === 'open' && (this.#begun >= limits.exchangesPerConnMax || this.#options.isDraining())) this.drain();
  }

  #refuse(stream: ServerHttp2Stream, status: number, why: string, headSoFar: string): void {
    const { lines, body } = this.#options.onBadHead(status, why, headSoFar);
    const bytes = Buffer.from(body, 'utf8');
    this.#refusing += 1;
    stream.once('close', () => {
      this.#refusing -= 1;
      this.#restIfIdle();
    });
    stream.respond(listOfLines(Buffer.from(lines, 'utf8').toString('latin1'), [':status', String(status), 'content-length', String(bytes.length)]), { endStream: bytes.length === 0 });
    stream.end(bytes);
    stream.close(constants.NGHTTP2_NO_ERROR);
    // An answer that the client does not fetch: the connection is as good as idle, and ends as one.
    if (this.#exchanges.size === 0) this.#rest();
  }

  #exchangeClosed(exchange: Http2Exchange, givenUp: boolean): void {
    this.#exchanges.delete(exchange);
    if (this.#phase === 'closed') return;
    const { sweep, limits } = this.#options;
    if (givenUp && this.#resets.isTooMany(sweep.nowMs, limits.http2ResetsPerMinuteMax)) return this.#abuse('it gave up one request after the other');
    this.#restIfIdle();
  }

  #restIfIdle(): void {
    if (!this.isIdle) return;
    if (this.#phase === 'open') this.#rest();
    else if (this.#phase === 'draining') this.#goodbye();
  }

  /** No request: from now on it waits for the next. */
  #rest(): void {
    if (this.#phase === 'open') this.deadlineMs = this.#options.sweep.nowMs + this.#options.limits.keepAliveIdleMs;
  }

  /** GOAWAY with the last stream that was taken; those that run are finished, then the connection ends. */
  #goodbye(): void {
    if (this.#phase === 'ending' || this.#phase === 'closed') return;
    this.#session.close();
    if (this.isIdle) this.#end();
    else {
      this.#phase = 'draining';
      this.deadlineMs = 0;
    }
  }

  /** Nothing is in progress any more: what the socket still holds gets a moment. */
  #end(): void {
    this.#phase = 'ending';
    this.deadlineMs = this.#options.sweep.nowMs + LINGER_MS;
  }

  #abuse(why: string, code: number | null = constants.NGHTTP2_ENHANCE_YOUR_CALM): void {
    if (this.#phase === 'ending' || this.#phase === 'closed') return;
    this.#options.onAbuse?.(why);
    this.#end();
    for (const exchange of Array.from(this.#exchanges)) exchange.abort(why);
    // The client is owed the GOAWAY, not more: it has until the deadline to take it.
    if (code !== null && !this.#session.destroyed) this.#session.destroy(new Error(why), code);
  }

  #broken(thrown: unknown): void {
    if (!isFault(thrown)) this.#options.onBroken(thrown);
    // A mistake of ours in one connection ends that connection, not everybody's.
    this.destroy();
  }

  #socketClosed(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.deadlineMs = 0;
    this.#options.sweep.remove(this);
    for (const exchange of Array.from(this.#exchanges)) exchange.abort('the client closed the connection');
    this.#options.onClosed();
  }
}

/** Takes over a connection that speaks HTTP/2: ALPN chose `h2`, or its first bytes are the preface. */
export function openHttp2(options: Http2Options): Http2Client {
  return new Http2Connection(options);
}
