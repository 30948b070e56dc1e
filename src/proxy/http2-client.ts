// The client's side of HTTP/2 (RFC 9113): one connection in node:http2's hands, each of its streams an exchange of its own. What is counted
// here is what one client may cost: streams given up, PING and SETTINGS frames, time without a request.
import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream, type ServerSessionOptions } from 'node:http2';
import { isFault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { Conn } from '#net/conn.ts';
import type { Sweep, Swept } from '#net/sweep.ts';
import { isBad, type RequestHead } from '#wire/http1.ts';
import { headBytesOf, headTextOf, listTextOf, readHttp2Request, type FieldList, type Http2Request } from '#wire/http2-heads.ts';
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
/** nghttp2.h: NGHTTP2_ERR_TOO_MANY_CONTINUATIONS, as node:http2 hands it on. */
const TOO_MANY_CONTINUATIONS = -905;
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

/** Tells when one more is more than so many within a minute. */
function buildPerMinute(max: number, startMs: number): (nowMs: number) => boolean {
  let fromMs = startMs;
  let count = 0;
  return (nowMs) => {
    if (nowMs - fromMs >= MINUTE_MS) {
      fromMs = nowMs;
      count = 0;
    }
    return ++count > max;
  };
}

/** Stands for a head that could not be read, while its refusal is on the way. */
const unreadHead = readHttp2Request([':method', 'GET', ':scheme', 'http', ':authority', '-', ':path', '/'], true, 1, null) as RequestHead;

class Http2Connection implements Http2Client, Swept {
  deadlineMs: number;
  readonly #options: Http2Options;
  readonly #session: ServerHttp2Session;
  readonly #exchanges = new Set<Http2Exchange>();
  readonly #door: Http2Door;
  readonly #isOneResetTooMany: (nowMs: number) => boolean;
  #last: Http2Request | null = null;
  #begun = 0;
  #phase: 'open' | 'draining' | 'ending' | 'closed' = 'open';

  constructor(options: Http2Options) {
    this.#options = options;
    const { conn, sweep, limits } = options;
    this.deadlineMs = sweep.nowMs + limits.headTimeoutMs;
    this.#isOneResetTooMany = buildPerMinute(limits.http2ResetsPerMinuteMax, sweep.nowMs);
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
    return this.#exchanges.size === 0;
  }

  drain(): void {
    if (this.#phase === 'open') this.#goodbye();
  }

  destroy(): void {
    if (this.#phase === 'closed') return;
    // The socket first: ending the session ends its streams, and what is half answered must not look whole.
    this.#options.conn.socket.destroy();
    this.#session.destroy();
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
    // Comes when the connection has ended already.
    session.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ERR_HTTP2_ERROR' || error.code === 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES') this.#options.onAbuse?.(`it broke HTTP/2 (${error.message})`);
    });
    const isOnePingTooMany = buildPerMinute(limits.http2PingsPerMinuteMax, sweep.nowMs);
    session.on('ping', () => {
      if (isOnePingTooMany(sweep.nowMs)) this.#abuse('it sent PING frames without end');
    });
    const isOneSettingsTooMany = buildPerMinute(limits.http2SettingsPerMinuteMax, sweep.nowMs);
    session.on('remoteSettings', () => {
      if (isOneSettingsTooMany(sweep.nowMs)) this.#abuse('it sent SETTINGS frames without end');
      else if (this.#begun === 0) this.#restIfIdle();
    });
    session.once('connect', () => {
      if (!session.destroyed) session.setLocalWindowSize(limits.http2ConnWindowBytes);
    });
    this.#sendBackOversizedHeads();
    conn.socket.once('close', () => this.#socketClosed());
    // Whoever ends its side sends no WINDOW_UPDATE any more, and can reset nothing.
    conn.socket.once('end', () => this.destroy());
  }

  /**
   * A head of more than nine frames ends the session in nghttp2 before we see it. Over HTTP/1.1 it would be answered, with the
   * order to clear the cookies that a neighbour's page planted; so that is where the client is told to go (RFC 9113 §7, HTTP_1_1_REQUIRED).
   */
  #sendBackOversizedHeads(): void {
    const session = this.#session;
    const destroy = session.destroy.bind(session);
    session.destroy = (error, code) => {
      if ((error as NodeJS.ErrnoException | undefined)?.errno !== TOO_MANY_CONTINUATIONS) return destroy(error, code);
      // A session that says it was closed lets its socket be read on. Otherwise that would be destroyed with the rest of the head
      // unread, and the reset that makes of it (RFC 9293 §3.6.1) would overtake what we say.
      Object.defineProperty(session, 'closed', { value: true });
      this.#end();
      destroy(error, constants.NGHTTP2_HTTP_1_1_REQUIRED);
    };
  }

  #begin(stream: ServerHttp2Stream, ended: boolean, list: FieldList): void {
    // An error of the stream is followed by its close, which the exchange hears.
    stream.on('error', () => {});
    try {
      this.#read(stream, ended, list);
    } catch (thrown) {
      this.#broken(thrown);
    }
  }

  #read(stream: ServerHttp2Stream, ended: boolean, list: FieldList): void {
    const { limits, mayGrow } = this.#options;
    if (stream.destroyed || this.#phase === 'closed') return;
    this.#begun += 1;
    const head = readHttp2Request(list, ended, limits.headFieldsMax, this.#last);
    if (isBad(head)) {
      const unread: RequestHead = { ...unreadHead, method: list[list.indexOf(':method') + 1] === 'HEAD' ? 'HEAD' : 'GET', framing: ended ? 'none' : 'chunked' };
      return this.#refuse(this.#open(stream, unread), head.status, head.bad, listTextOf(list, limits.headBytesMax));
    }
    const exchange = this.#open(stream, head);
    const bytes = headBytesOf(head);
    this.#last = bytes <= REMEMBERED_HEAD_BYTES_MAX ? { list, ended, head } : null;
    if (bytes > limits.headBytesMax) {
      const soFar = headTextOf(head, limits.headBytesMax);
      const most = mayGrow(soFar) ? limits.headBytesGrownMax : limits.headBytesMax;
      if (bytes > most) return this.#refuse(exchange, 431, `the request head is larger than ${Math.round(most / 1024)} KiB`, soFar);
    }
    try {
      this.#options.onExchange(exchange);
    } catch (thrown) {
      if (!isFault(thrown)) throw thrown;
      // A consumer that cannot serve a stream; where it said why to the client, this changes nothing.
      exchange.reset(constants.NGHTTP2_INTERNAL_ERROR);
    }
    if (this.#phase === 'open' && (this.#begun >= limits.exchangesPerConnMax || this.#options.isDraining())) this.drain();
  }

  #open(stream: ServerHttp2Stream, head: RequestHead): Http2Exchange {
    const exchange = new Http2Exchange(this.#options.conn, head, stream, this.#door);
    this.#exchanges.add(exchange);
    if (this.#phase === 'open') this.deadlineMs = 0;
    return exchange;
  }

  #refuse(exchange: Http2Exchange, status: number, why: string, headSoFar: string): void {
    const { lines, body } = this.#options.onBadHead(status, why, headSoFar);
    exchange.respond(status, lines, body);
  }

  #exchangeClosed(exchange: Http2Exchange, givenUp: boolean): void {
    this.#exchanges.delete(exchange);
    if (this.#phase === 'closed') return;
    if (givenUp && this.#isOneResetTooMany(this.#options.sweep.nowMs)) return this.#abuse('it gave up one request after the other');
    this.#restIfIdle();
  }

  #restIfIdle(): void {
    if (!this.isIdle) return;
    if (this.#phase === 'draining') this.#goodbye();
    // No request: from now on it waits for the next.
    else if (this.#phase === 'open') this.deadlineMs = this.#options.sweep.nowMs + this.#options.limits.keepAliveIdleMs;
  }

  /**
   * GOAWAY with the last request that was taken: those behind it were not begun, so clients send them anew (RFC 9113 §6.8). The warning with the
   * highest number, which the RFC suggests to send first, is no warning to nghttp2: it would take nothing after it, and the client would wait.
   */
  #goodbye(): void {
    if (this.#phase === 'ending' || this.#phase === 'closed') return;
    if (!this.#session.destroyed) this.#session.close();
    if (this.isIdle) return this.#end();
    this.#phase = 'draining';
    this.deadlineMs = 0;
  }

  /** Nothing is in progress any more: what the socket still holds gets a moment. */
  #end(): void {
    this.#phase = 'ending';
    this.deadlineMs = this.#options.sweep.nowMs + LINGER_MS;
  }

  #abuse(why: string): void {
    if (this.#phase === 'ending' || this.#phase === 'closed') return;
    this.#options.onAbuse?.(why);
    this.#end();
    for (const exchange of Array.from(this.#exchanges)) exchange.abort(why);
    // The client is owed the GOAWAY, not more: it has until the deadline to take it.
    this.#session.destroy(new Error(why), constants.NGHTTP2_ENHANCE_YOUR_CALM);
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
