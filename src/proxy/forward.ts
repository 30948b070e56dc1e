// One exchange carried to an upstream and back: dial or reuse, send the head anew, stream both bodies with backpressure, retry where
// that can never repeat a deed, and tell the client what went wrong where it cannot.
import type { Duplex } from 'node:stream';
import { Fault, toFault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { type Conn, toldFrom } from '#net/conn.ts';
import { relay } from '#net/relay.ts';
import type { Sweep } from '#net/sweep.ts';
import { encodeForwardedChain } from '#wire/forwarded.ts';
import { encodeFields, type HeadEdit } from '#wire/http1-fields.ts';
import type { RequestHead, ResponseHead } from '#wire/http1.ts';
import type { BodyStage } from './body-stage.ts';
import type { Exchange, ExchangeSink } from './exchange.ts';
import { Upstream, type UpstreamSink } from './http1-upstream.ts';
import { countDuration, type Meter, type TrafficCounts } from './meter.ts';
import type { UpstreamPool } from './upstream-pool.ts';

/** Where an exchange goes and how its heads change on the way. Made once per target, not per exchange. */
export interface ForwardPlan<Context> {
  /** Connections under one key are interchangeable: same target, same person where that matters. */
  readonly key: string;
  /** Where what makes them so changes while the plan stays: asked once for each exchange, instead of `key`. */
  readonly freshKey?: ((exchange: Exchange) => string) | undefined;
  /** For people: `127.0.0.1:8000`, `device "printer1", port 80`. */
  readonly name: string;
  /** What Host says for an HTTP/1.0 client that sent none, unless `requestLines` has it. */
  readonly authority: string;
  dial(exchange: Exchange, signal: AbortSignal): Promise<Duplex>;
  readonly requestEdit: HeadEdit<Context>;
  readonly answerEdit: HeadEdit<Context>;
  readonly context: Context;
  /** Extra lines with CRLF: towards the upstream, towards the client. */
  readonly requestLines: string;
  readonly answerLines: string;
  readonly answerTimeoutMs: number;
  readonly limits: Limits;
  /** An application's name: what goes wrong is told as panels understand it (panel-pages). */
  readonly panel?: string | undefined;
  /** Add X-Forwarded-* and Forwarded. */
  readonly forwarded: boolean;
  /** Counted beside the gateway's own: a visit. */
  readonly meter: Meter | null;
  readonly onSend?: ((stream: Duplex, exchange: Exchange) => void) | undefined;
  /** The exchange runs and can be cut; `onDone` is told the same object when it is over. */
  readonly onBegin?: ((running: { cut(why: string): void }) => void) | undefined;
  readonly onDone?: ((running: { cut(why: string): void }) => void) | undefined;
  /** A relay after 101 began; returns what is called when it is over. */
  readonly onSwitched?: ((exchange: Exchange, close: (why: string) => void) => () => void) | undefined;
}

/** What one exchange has of its own beside its plan: where it is asked, for whom, and what becomes of the answer. */
export interface Passage<Context> {
  /** As the server is asked. */
  readonly target: string;
  /** Connections under one key are interchangeable. */
  readonly key: string;
  readonly requestEdit: HeadEdit<Context>;
  readonly context: Context;
  /** Instead of the plan's and of the forwarding lines; with CRLF. */
  readonly requestLines: string;
  dial(exchange: Exchange, signal: AbortSignal): Promise<Duplex>;
  /** Sees the answer's head before it goes on: how it changes, lines to add, and what its body goes through. A stage makes the body's length unknown. */
  onAnswer(head: ResponseHead): { readonly edit: HeadEdit<Context>; readonly lines: string; readonly stage: BodyStage | null };
}

/** A plan with every field in one order: V8 reads objects of one shape several times faster, and this one is read for every exchange. */
export function buildPlan<Context>(given: ForwardPlan<Context>): ForwardPlan<Context> {
  return {
    key: given.key,
    freshKey: given.freshKey,
    name: given.name,
    authority: given.authority,
    dial: given.dial,
    requestEdit: given.requestEdit,
    answerEdit: given.answerEdit,
    context: given.context,
    requestLines: given.requestLines,
    answerLines: given.answerLines,
    answerTimeoutMs: given.answerTimeoutMs,
    limits: given.limits,
    panel: given.panel,
    forwarded: given.forwarded,
    meter: given.meter,
    onSend: given.onSend,
    onBegin: given.onBegin,
    onDone: given.onDone,
    onSwitched: given.onSwitched,
  };
}

export interface ForwardRoom {
  readonly pool: UpstreamPool;
  readonly sweep: Sweep;
  readonly counts: TrafficCounts;
  monoMs(): number;
  /** The page for a failure; also journals it. */
  failed(exchange: Exchange, plan: ForwardPlan<never>, why: Fault): { status: number; lines: string; body: string };
  /** Standing relays, so that closing the gateway ends them. */
  readonly relays: Set<(why: string) => void>;
}

/** RFC 9110 §9.2.2. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE', 'PROPFIND']);
/** A method that may not be repeated takes a waiting connection only while that is fresh: servers close idle ones without a word. */
const FRESH_MS = 1_000;

/** A piece of one byte costs hundreds while it is kept as it came, and pins the block that it was read into. */
const HELD_PIECES_MAX = 64;

/** The forwarding lines: ours alone, inbound ones are removed, unless a trusted proxy sent them: then what it said stands in front. */
export function forwardedLines(conn: Conn, host: string): string {
  if (conn.forwardedHost === host) return conn.forwardedLines;
  conn.forwardedHost = host;
  conn.forwardedLines = encodeForwardedChain({ client: toldFrom(conn), before: conn.forwardedBefore, via: conn.accepted.from, host, proto: conn.facts.secure ? 'https' : 'http' });
  return conn.forwardedLines;
}

function encodeRequest<Context>(head: RequestHead, plan: ForwardPlan<Context>, conn: Conn, passage: Passage<Context> | null): string {
  let text =
    passage === null
      ? `${head.method} ${head.target} HTTP/1.1\r\n${plan.requestLines}${encodeFields(head.fields, plan.requestEdit, plan.context)}`
      : `${head.method} ${passage.target} HTTP/1.1\r\n${encodeFields(head.fields, passage.requestEdit, passage.context)}${passage.requestLines}`;
  if (head.host === '' && plan.requestLines === '') text += `Host: ${plan.authority}\r\n`;
  if (plan.forwarded && passage === null) text += forwardedLines(conn, head.host);
  if (head.framing === 'chunked') text += 'Transfer-Encoding: chunked\r\n';
  if (head.upgrade !== '') text += `Connection: Upgrade\r\nUpgrade: ${head.upgrade}\r\n`;
  return `${text}\r\n`;
}

class Forwarding<Context> implements ExchangeSink, UpstreamSink {
  readonly #room: ForwardRoom;
  readonly #exchange: Exchange;
  readonly #plan: ForwardPlan<Context>;
  readonly #passage: Passage<Context> | null;
  #stage: BodyStage | null = null;
  /** As it was when this began: what was opened before a change is not given back as if it had been opened after it. */
  readonly #key: string;
  readonly #startedMs: number;
  #upstream: Upstream | null = null;
  #dialing: AbortController | null = null;
  /** Pieces of the request body not yet sent, or still held for a retry; null once too much of it has gone by. */
  #held: Buffer[] | null = null;
  #heldBytes = 0;
  #requestTrailers: string | null = null;
  #retried = false;
  #answerPaused = false;
  /** The upstream takes no more of the request body for now. */
  #requestPaused = false;
  #over = false;

  constructor(room: ForwardRoom, exchange: Exchange, plan: ForwardPlan<Context>, passage: Passage<Context> | null) {
    this.#room = room;
    this.#exchange = exchange;
    this.#plan = plan;
    this.#passage = passage;
    this.#key = passage !== null ? passage.key : plan.freshKey === undefined ? plan.key : plan.freshKey(exchange);
    this.#startedMs = room.monoMs();
    if (exchange.head.framing !== 'none') this.#held = [];
    exchange.sink = this;
  }

  start(): void {
    this.#room.counts.requests += 1;
    if (this.#plan.meter) this.#plan.meter.requests += 1;
    this.#plan.onBegin?.(this);
    this.#exchange.expectWithin(this.#plan.answerTimeoutMs);
    const waiting = this.#room.pool.take(this.#key, IDEMPOTENT.has(this.#exchange.head.method) ? this.#plan.limits.upstreamIdleMs : FRESH_MS);
    if (waiting) {
      this.#room.counts.upstreamReuses += 1;
      this.#send(waiting);
    } else this.#dial();
  }

  #dial(): void {
    const dialing = new AbortController();
    this.#dialing = dialing;
    this.#room.counts.upstreamDials += 1;
    (this.#passage ?? this.#plan).dial(this.#exchange, dialing.signal).then(
      (stream) => {
        this.#dialing = null;
        if (this.#over) stream.destroy();
        else this.#send(new Upstream(stream, this.#room.pool.onGone));
      },
      (thrown: unknown) => {
        this.#dialing = null;
        if (!this.#over) this.#fail(toFault(thrown));
      },
    );
  }

  #send(upstream: Upstream): void {
    this.#upstream = upstream;
    const { head } = this.#exchange;
    this.#plan.onSend?.(upstream.stream, this.#exchange);
    const done = this.#exchange.requestDone;
    const bodiless = head.framing === 'none';
    let more = upstream.begin(this, head.method, encodeRequest(head, this.#plan, this.#exchange.conn, this.#passage), bodiless);
    if (bodiless || this.#over) return;
    for (const piece of this.#held ?? []) more = this.#sendPiece(piece);
    if (this.#requestTrailers !== null) this.#sendEnd(this.#requestTrailers);
    this.#requestPaused = !more;
    if (more && !done && this.#requestTrailers === null) this.#exchange.resumeRequest();
  }

  #sendPiece(piece: Buffer): boolean {
    const stream = this.#upstream!.stream;
    if (this.#exchange.head.framing !== 'chunked') return stream.write(piece);
    stream.cork();
    stream.write(`${piece.length.toString(16)}\r\n`, 'latin1');
    stream.write(piece);
    const more = stream.write('\r\n', 'latin1');
    stream.uncork();
    return more;
  }

  #sendEnd(trailers: string): void {
    const upstream = this.#upstream!;
    if (this.#exchange.head.framing === 'chunked') upstream.stream.write(`0\r\n${trailers}\r\n`, 'latin1');
    upstream.requestEnded();
  }

  /** Whoever runs it is not allowed to any more. */
  cut(why: string): void {
    this.#fail(new Fault('closed', why));
  }

  // from the client

  onRequestPiece(piece: Buffer): void {
    this.#room.counts.bytesIn += piece.length;
    if (this.#plan.meter) this.#plan.meter.bytesIn += piece.length;
    if (this.#held !== null) {
      this.#heldBytes += piece.length;
      // Up to the bound it is held for a retry; beyond it only while there is nowhere to send it, and then the client waits.
      if (this.#heldBytes > this.#plan.limits.retryBodyBytesMax && this.#upstream !== null) this.#held = null;
      else if (this.#held.push(piece) >= HELD_PIECES_MAX) this.#held = [Buffer.concat(this.#held)];
    }
    if (this.#upstream === null) {
      if (this.#heldBytes >= this.#plan.limits.retryBodyBytesMax) this.#exchange.pauseRequest();
      return;
    }
    if (!this.#sendPiece(piece)) {
      this.#requestPaused = true;
      this.#exchange.pauseRequest();
    }
    this.#exchange.expectWithin(this.#plan.limits.bodyIdleMs);
  }

  onRequestEnd(trailers: string): void {
    this.#requestTrailers = trailers;
    if (this.#upstream !== null) this.#sendEnd(trailers);
    if (!this.#exchange.answered) this.#exchange.expectWithin(this.#plan.answerTimeoutMs);
  }

  onAnswerDrain(): void {
    if (!this.#answerPaused) return;
    this.#answerPaused = false;
    this.#upstream?.resume();
  }

  onAborted(): void {
    if (this.#over) return;
    this.#finish();
    this.#dialing?.abort();
    this.#upstream?.destroy();
  }

  onLate(): void {
    if (this.#over) return;
    const { name, answerTimeoutMs, limits } = this.#plan;
    const { head, requestDone } = this.#exchange;
    const idleSeconds = Math.round(limits.bodyIdleMs / 1000);
    if (requestDone || this.#upstream === null || (head.expectsContinue && this.#heldBytes === 0)) this.#fail(new Fault('timeout', `${name} did not answer within ${Math.round(answerTimeoutMs / 1000)} s`));
    else if (this.#requestPaused) this.#fail(new Fault('timeout', `${name} took nothing of the request body for ${idleSeconds} s`));
    else this.#fail(new Fault('timeout', `the request body stopped for ${idleSeconds} s`, { detail: { status: 408 } }));
  }

  // from the upstream

  onInterim(head: ResponseHead): void {
    this.#exchange.interim(head, this.#plan.answerEdit, this.#plan.context);
    this.#exchange.expectWithin(this.#exchange.requestDone ? this.#plan.answerTimeoutMs : this.#plan.limits.bodyIdleMs);
  }

  onAnswerHead(head: ResponseHead): void {
    const cls = Math.floor(head.status / 100);
    this.#room.counts.answers[cls]! += 1;
    this.#held = null;
    this.#exchange.expectWithin(0);
    if (this.#passage === null) return this.#exchange.answer(head, this.#plan.answerEdit, this.#plan.context, this.#plan.answerLines);
    const { edit, lines, stage } = this.#passage.onAnswer(head);
    this.#stage = head.framing === 'none' ? null : stage;
    this.#exchange.answer(this.#stage === null ? head : { ...head, framing: 'chunked' }, edit, this.#passage.context, lines);
  }

  onAnswerPiece(read: Buffer): void {
    const piece = this.#stage === null ? read : this.#stage.push(read);
    this.#room.counts.bytesOut += piece.length;
    if (this.#plan.meter) this.#plan.meter.bytesOut += piece.length;
    if (this.#over || piece.length === 0) return;
    if (!this.#exchange.piece(piece) && !this.#answerPaused) {
      this.#answerPaused = true;
      this.#upstream?.pause();
    }
  }

  onTurnEnd(): void {
    this.#exchange.flush();
  }

  onAnswerEnd(trailers: string): void {
    if (this.#over) return;
    const upstream = this.#upstream!;
    if (this.#answerPaused) upstream.resume();
    const rest = this.#stage?.end();
    if (rest !== undefined && rest.length > 0) this.#exchange.piece(rest);
    this.#finish();
    // Given back first: the next exchange of this very connection may begin within `end`.
    this.#room.pool.give(this.#key, upstream);
    this.#exchange.end(trailers);
  }

  onUpstreamDrain(): void {
    if (!this.#requestPaused) return;
    this.#requestPaused = false;
    this.#exchange.resumeRequest();
  }

  onSwitched(head: ResponseHead, stream: Duplex, leftover: Buffer): void {
    const exchange = this.#exchange;
    if (exchange.head.upgrade === '' || head.upgrade !== exchange.head.upgrade) {
      stream.destroy();
      return this.#fail(new Fault('protocol', 'the upstream switched to a protocol that was not asked for'));
    }
    this.#room.counts.answers[1]! += 1;
    const upgrade = `Upgrade: ${head.fields.values[head.fields.names.indexOf('upgrade')]!}\r\n`;
    const passed = this.#passage?.onAnswer(head);
    if (passed) exchange.answer(head, passed.edit, this.#passage!.context, passed.lines + upgrade);
    else exchange.answer(head, this.#plan.answerEdit, this.#plan.context, this.#plan.answerLines + upgrade);
    this.#finish();
    const taken = exchange.takeSocket();
    const { socket } = exchange.conn;
    const { counts, relays, sweep } = this.#room;
    const { meter, limits } = this.#plan;
    const close = () => {
      socket.destroy();
      stream.destroy();
    };
    relays.add(close);
    const ended = this.#plan.onSwitched?.(exchange, close);
    void relay(socket, stream, {
      sweep,
      idleMs: limits.relayIdleMs,
      leftoverA: taken.leftover,
      leftoverB: leftover,
      onBytes(fromClient, fromUpstream) {
        counts.bytesIn += fromClient;
        counts.bytesOut += fromUpstream;
        if (meter) {
          meter.bytesIn += fromClient;
          meter.bytesOut += fromUpstream;
        }
      },
    }).then(() => {
      relays.delete(close);
      ended?.();
    });
  }

  onUpstreamFailed(why: Fault, touched: boolean): void {
    if (this.#over) return;
    const upstream = this.#upstream!;
    this.#upstream = null;
    const { head } = this.#exchange;
    const whole = head.framing === 'none' || (this.#held !== null && this.#heldBytes <= this.#plan.limits.retryBodyBytesMax);
    // A connection that waited may have been closed by its server at the moment we used it (RFC 9112 §9.3.1). Once, never after a byte of an
    // answer, never for a method that does something each time.
    if (!touched && upstream.used > 1 && !this.#retried && whole && IDEMPOTENT.has(head.method)) {
      this.#retried = true;
      return this.#dial();
    }
    this.#fail(why);
  }

  #fail(why: Fault): void {
    if (this.#over) return;
    this.#finish();
    this.#upstream?.destroy();
    this.#dialing?.abort();
    this.#room.counts.upstreamFailures += 1;
    const page = this.#room.failed(this.#exchange, this.#plan as unknown as ForwardPlan<never>, why);
    if (this.#exchange.answered) this.#exchange.breakOff();
    else this.#exchange.respond(page.status, page.lines, page.body);
  }

  #finish(): void {
    this.#over = true;
    this.#plan.onDone?.(this);
    countDuration(this.#room.counts, this.#room.monoMs() - this.#startedMs);
  }
}

/** Carries the exchange. Everything that happens to it from here on is the forwarding's. */
export function forward<Context>(room: ForwardRoom, exchange: Exchange, plan: ForwardPlan<Context>, passage: Passage<Context> | null = null): void {
  if (!exchange.isGone) new Forwarding(room, exchange, plan, passage).start();
}

