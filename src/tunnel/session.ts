// Many streams over one WebSocket: yamux in both directions, the same code at both ends (docs/wire/tunnel.md §3, §4).
// This is the receiving half, the table of streams, keepalive and the end; what is sent goes through the outbox.
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '#base/clock.ts';
import { Fault, isFault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { buildFrameParser, CloseCode, closeCodeOf, encodeClose, encodeFrame, Opcode, parseClose } from '#wire/websocket.ts';
import type { ControlOpcode, FrameParser } from '#wire/websocket.ts';
import { buildYamuxParser, Flag, FrameType, GoAway, writeYamuxHead, yamuxHeadBytes } from '#wire/yamux.ts';
import type { YamuxParser } from '#wire/yamux.ts';
import type { Budget } from './budget.ts';
import { Outbox } from './outbox.ts';
import { MuxStream } from './stream.ts';
import type { StreamOps } from './stream.ts';

export interface SessionOptions {
  /** Carries WebSocket frames already; the session owns it from now on. */
  readonly socket: Duplex;
  /** Bytes that arrived behind the handshake. */
  readonly leftover: Buffer;
  /** The client's streams have odd ids and its frames are masked. */
  readonly role: 'client' | 'server';
  /** Under TLS a client uses the mask 0. */
  readonly isSecure: boolean;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly random: Random;
  readonly budget: Budget;
  /** The other end opened a stream. */
  onStream(stream: MuxStream): void;
  /** The other end opens and takes no new streams any more. */
  onGoAway?(): void;
}

export interface SessionEnd {
  readonly why: string;
  /** The WebSocket close code that ended it, whoever sent it; null when the connection broke. */
  readonly code: number | null;
  readonly byUs: boolean;
}

const recentMax = 1_024;
/** The first pings follow each other: the very first finds both ends cold, and windows grow by what the path really takes. */
const firstPings = 4;
/** How fast the least round trip is forgotten, for each ping. Not the latest: under load that is mostly our own queue. */
const rttDrift = 1.05;
const closeTimeoutMs = 2_000;

export class MuxSession implements AsyncDisposable {
  readonly closed: Promise<SessionEnd>;
  bytesIn = 0;
  readonly #options: SessionOptions;
  readonly #socket: Duplex;
  readonly #parser: FrameParser;
  readonly #yamux: YamuxParser;
  readonly #ops: StreamOps;
  readonly #outbox: Outbox;
  readonly #streams = new Map<number, MuxStream>();
  readonly #recent = new Set<number>();
  readonly #keepAlive: Timer;
  #resolveClosed!: (end: SessionEnd) => void;
  #isOver = false;
  #goneAway = false;
  #peerGoneAway = false;

  #nextId: number;
  #highestPeerId = 0;
  #oursUnanswered = 0;
  #theirsUnanswered = 0;

  #bodyOf: MuxStream | undefined;
  #bodyFlags = 0;

  #lastReceivedMs: number;
  #lastPingMs = Number.NEGATIVE_INFINITY;
  #pingId = 0;
  #pingSentMs: number | undefined;
  #rttLatest: number | null = null;
  #rttLeast = Number.POSITIVE_INFINITY;
  #pongs = 0;

  constructor(options: SessionOptions) {
    const { socket, clock, limits, role } = options;
    this.#options = options;
    this.#socket = socket;
    this.#nextId = role === 'client' ? 1 : 2;
    this.#lastReceivedMs = clock.monoMs();
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    this.#ops = {
      budget: options.budget,
      nowMs: () => clock.monoMs(),
      wantSend: (stream) => this.#outbox.add(stream),
      giveCredit: (stream, delta) => this.#giveCredit(stream, delta),
      windowFor: (window, taken, elapsedMs) => this.#windowFor(window, taken, elapsedMs),
      forget: (stream, reset) => this.#forget(stream, reset),
    };
    this.#outbox = new Outbox({
      socket,
      clock,
      limits,
      budget: options.budget,
      mask: () => this.#mask(),
      firstFlag: (stream) => this.#firstFlag(stream),
      onStuck: () => this.#lost('the other end asks faster than it reads'),
    });
    this.#yamux = buildYamuxParser({
      onFrame: (type, flags, id, length) => this.#onFrame(type, flags, id, length),
      onBody: (bytes, last) => this.#onBody(bytes, last),
    });
    this.#parser = buildFrameParser(
      { expectMask: role === 'server', frameBytesMax: limits.webSocketFrameBytesMax },
      {
        onData: (bytes, isText) => {
          if (isText) throw new Fault('protocol', 'WebSocket: text messages are not spoken here', { detail: { closeCode: CloseCode.unacceptable } });
          if (bytes.length > 0) this.#yamux.push(bytes);
        },
        onControl: (opcode, payload) => this.#onControl(opcode, payload),
      },
    );
    this.#keepAlive = clock.every(limits.keepAliveEveryMs / 3, () => this.#tick());
    if (socket instanceof Socket) socket.setNoDelay(true);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    process.nextTick(() => {
      if (this.#isOver) return;
      if (socket.destroyed) return this.#lost('the connection was closed by the other end');
      socket.on('end', this.#onClose);
      if (options.leftover.length > 0) this.#onData(options.leftover);
      socket.on('data', this.#onData);
      socket.resume();
      this.#tick();
    });
  }

  get bytesOut(): number {
    return this.#outbox.bytesOut;
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** Of the latest ping; null before the first pong. */
  get rttMs(): number | null {
    return this.#rttLatest;
  }

  /** New streams can be opened by us. */
  get isOpen(): boolean {
    return !this.#isOver && !this.#goneAway && !this.#peerGoneAway;
  }

  get isDraining(): boolean {
    return this.#goneAway || this.#peerGoneAway;
  }

  /** Opens a stream; `firstBytes` leave together with its SYN. Faults `closed`, `too-many`. */
  open(firstBytes: Buffer): MuxStream {
    const { limits } = this.#options;
    if (!this.isOpen) throw new Fault('closed', this.#isOver ? 'the link is closed' : 'the link takes no new streams');
    if (this.#nextId > 0x7fff_ffff) throw new Fault('closed', 'the link has used up its stream ids');
    if (this.#streams.size >= limits.streamsPerLinkMax) throw new Fault('too-many', `the link has ${limits.streamsPerLinkMax} streams open already`);
    if (this.#oursUnanswered >= limits.streamsUnansweredMax) throw new Fault('too-many', `${limits.streamsUnansweredMax} streams of the link wait for an answer already`);
    const stream = new MuxStream(this.#nextId, true, limits.windowStartBytes, this.#ops);
    this.#nextId += 2;
    this.#oursUnanswered += 1;
    this.#streams.set(stream.id, stream);
    if (firstBytes.length > 0) stream.write(firstBytes);
    else this.#outbox.frame(FrameType.windowUpdate, stream.takeFirstFlag(), stream.id, 0);
    return stream;
  }

  /** No new streams; the standing ones go on. */
  goAway(code: number = GoAway.normal): void {
    if (this.#goneAway || this.#isOver) return;
    this.#goneAway = true;
    this.#outbox.frame(FrameType.goAway, 0, 0, code);
  }

  /** Ends the session and every stream at once. */
  close(why: string, closeCode: number = CloseCode.normal): void {
    this.#end({ why, code: closeCode, byUs: true }, closeCode === CloseCode.protocol ? GoAway.protocol : GoAway.normal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close('closed');
    await this.closed;
  }

  // --- the end ---

  #end(end: SessionEnd, goAwayCode?: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#keepAlive.cancel();
    this.#outbox[Symbol.dispose]();
    const socket = this.#socket;
    socket.off('end', this.#onClose);
    if (goAwayCode !== undefined && end.code !== null && socket.writable) {
      const head = Buffer.allocUnsafe(yamuxHeadBytes);
      writeYamuxHead(head, 0, FrameType.goAway, 0, 0, goAwayCode);
      const mask = this.#mask();
      socket.write(Buffer.concat([encodeFrame(Opcode.binary, head, mask), encodeFrame(Opcode.close, encodeClose(end.code, end.why), mask)]));
    }
    // The other end may neither read nor answer: what is not gone by then is torn down.
    const timer = this.#options.clock.after(closeTimeoutMs, () => socket.destroy());
    socket.once('close', () => timer.cancel());
    socket.off('data', this.#onData);
    socket.on('data', () => {});
    socket.once('end', () => socket.destroy());
    socket.end();
    const fault = new Fault('closed', `the link ended: ${end.why}`);
    for (const stream of this.#streams.values()) stream.cut(fault);
    this.#resolveClosed(end);
  }

  readonly #onError = (error: Error) => this.#lost(`the connection broke: ${error.message}`);
  readonly #onClose = () => this.#lost('the connection was closed by the other end');

  #lost(why: string): void {
    this.#end({ why, code: null, byUs: false });
    this.#socket.destroy();
  }

  // --- receiving ---

  readonly #onData = (chunk: Buffer) => {
    this.bytesIn += chunk.length;
    this.#lastReceivedMs = this.#options.clock.monoMs();
    try {
      this.#parser.push(chunk);
    } catch (thrown) {
      if (!isFault(thrown, 'protocol')) throw thrown;
      this.#end({ why: thrown.message, code: closeCodeOf(thrown), byUs: true }, GoAway.protocol);
    }
  };

  #onControl(opcode: ControlOpcode, payload: Buffer): void {
    if (opcode === Opcode.close) {
      const { code, reason } = parseClose(payload);
      const why = reason === '' ? `the other end closed it (${code})` : reason;
      if (!this.#isOver && this.#socket.writable) this.#socket.write(encodeFrame(Opcode.close, payload.subarray(0, 2), this.#mask()));
      this.#end({ why, code, byUs: false });
    } else if (opcode === Opcode.ping) {
      this.#outbox.pong(payload);
    }
  }

  #onFrame(type: number, flags: number, id: number, length: number): void {
    if (this.#isOver) return;
    if (type === FrameType.ping) return this.#onPing(flags, length);
    if (type === FrameType.goAway) {
      if (length !== GoAway.normal) return this.#end({ why: `the other end reported ${length === GoAway.protocol ? 'a protocol error' : 'an internal error'}`, code: CloseCode.internal, byUs: false });
      this.#peerGoneAway = true;
      this.#options.onGoAway?.();
      return;
    }
    if (id === 0) throw new Fault('protocol', 'yamux: stream 0 is the session');
    const stream = (flags & Flag.syn) !== 0 ? this.#accept(id) : this.#find(id);
    if (stream !== undefined && (flags & Flag.ack) !== 0) this.#answered(stream);
    if (type === FrameType.windowUpdate) {
      if (stream === undefined) return;
      if (length > 0) stream.receiveWindow(length);
      this.#onFlags(stream, flags);
      return;
    }
    if (length === 0) {
      if (stream !== undefined) this.#onFlags(stream, flags);
      return;
    }
    if (stream !== undefined) stream.receiveHead(length);
    this.#bodyOf = stream;
    this.#bodyFlags = flags;
  }

  #onBody(bytes: Buffer, last: boolean): void {
    const stream = this.#bodyOf;
    if (stream === undefined) return;
    stream.receiveBody(bytes);
    if (!last) return;
    this.#bodyOf = undefined;
    if ((this.#bodyFlags & (Flag.fin | Flag.rst)) !== 0) this.#onFlags(stream, this.#bodyFlags);
  }

  #onFlags(stream: MuxStream, flags: number): void {
    if ((flags & Flag.rst) !== 0) stream.cut(new Fault('closed', 'the other end reset the stream'));
    else if ((flags & Flag.fin) !== 0) stream.receiveFin();
  }

  #onPing(flags: number, opaque: number): void {
    if ((flags & Flag.syn) !== 0) return this.#outbox.frame(FrameType.ping, Flag.ack, 0, opaque);
    if ((flags & Flag.ack) === 0 || opaque !== this.#pingId || this.#pingSentMs === undefined) return;
    const rttMs = Math.max(0.05, this.#lastReceivedMs - this.#pingSentMs);
    this.#rttLatest = rttMs;
    this.#rttLeast = Math.min(rttMs, this.#rttLeast * rttDrift);
    this.#pingSentMs = undefined;
    this.#pongs += 1;
    if (this.#pongs < firstPings) this.#ping();
  }

  #isTheirs(id: number): boolean {
    return (id & 1) === (this.#options.role === 'client' ? 0 : 1);
  }

  /** Undefined: it was refused, and its data is dropped. */
  #accept(id: number): MuxStream | undefined {
    const { limits } = this.#options;
    if (!this.#isTheirs(id)) throw new Fault('protocol', `yamux: the other end opened stream ${id}, an id of ours`);
    if (this.#streams.has(id) || this.#recent.has(id)) throw new Fault('protocol', `yamux: stream ${id} was opened twice`);
    // Not "must grow": with public libraries two opens that run at once may send their SYNs in either order.
    this.#highestPeerId = Math.max(this.#highestPeerId, id);
    if (this.#goneAway || this.#streams.size >= limits.streamsPerLinkMax || this.#theirsUnanswered >= limits.streamsUnansweredMax) {
      this.#remember(id);
      this.#outbox.frame(FrameType.windowUpdate, Flag.rst, id, 0);
      return undefined;
    }
    const stream = new MuxStream(id, false, limits.windowStartBytes, this.#ops);
    this.#theirsUnanswered += 1;
    this.#streams.set(id, stream);
    this.#options.onStream(stream);
    return stream;
  }

  /** Undefined: it was closed a moment ago, and what still comes for it is dropped. */
  #find(id: number): MuxStream | undefined {
    const stream = this.#streams.get(id);
    if (stream !== undefined) return stream;
    const wasOpened = this.#isTheirs(id) ? id <= this.#highestPeerId : id < this.#nextId;
    if (!wasOpened) throw new Fault('protocol', `yamux: stream ${id} was never opened`);
    return undefined;
  }

  #answered(stream: MuxStream): void {
    if (!stream.isOurs || stream.isAnswered) return;
    stream.isAnswered = true;
    this.#oursUnanswered -= 1;
  }

  #remember(id: number): void {
    this.#recent.add(id);
    if (this.#recent.size > recentMax) this.#recent.delete(this.#recent.values().next().value!);
  }

  #forget(stream: MuxStream, reset: boolean): void {
    if (!this.#streams.delete(stream.id)) return;
    if (this.#bodyOf === stream) this.#bodyOf = undefined;
    if (!stream.isOurs) this.#remember(stream.id);
    this.#outbox.remove(stream);
    if (stream.isOurs) this.#answered(stream);
    else if (!stream.isAckSent) this.#theirsUnanswered -= 1;
    if (reset && !this.#isOver && (!stream.isOurs || stream.isSynSent)) this.#outbox.frame(FrameType.windowUpdate, Flag.rst, stream.id, 0);
  }

  // --- windows ---

  #giveCredit(stream: MuxStream, deltaBytes: number): void {
    if (!this.#isOver) this.#outbox.frame(FrameType.windowUpdate, this.#firstFlag(stream), stream.id, deltaBytes);
  }

  /** Twice bandwidth × delay, at the rate measured over at least one round trip. */
  #windowFor(windowBytes: number, takenBytes: number, elapsedMs: number): number | undefined {
    const rttMs = this.#rttLeast;
    if (elapsedMs < rttMs) return undefined;
    if (!this.#options.budget.mayGrow) return windowBytes;
    const wanted = Math.ceil((2 * takenBytes * rttMs) / elapsedMs);
    return Math.max(windowBytes, Math.min(wanted, this.#options.limits.windowBytesMax));
  }

  #firstFlag(stream: MuxStream): number {
    const flag = stream.takeFirstFlag();
    if (flag === Flag.ack) this.#theirsUnanswered -= 1;
    return flag;
  }

  // --- keepalive ---

  #tick(): void {
    const { clock, limits } = this.#options;
    const now = clock.monoMs();
    if (now - this.#lastReceivedMs >= limits.keepAliveLostMs) return this.#lost(`nothing arrived for ${Math.round((now - this.#lastReceivedMs) / 1000)} s`);
    if (now - this.#lastPingMs >= limits.keepAliveEveryMs) this.#ping();
  }

  #ping(): void {
    const now = this.#options.clock.monoMs();
    this.#lastPingMs = now;
    this.#pingId = (this.#pingId + 1) >>> 0;
    this.#pingSentMs = now;
    this.#outbox.frame(FrameType.ping, Flag.syn, 0, this.#pingId);
  }

  #mask(): number | undefined {
    if (this.#options.role === 'server') return undefined;
    return this.#options.isSecure ? 0 : this.#options.random(4).readUInt32BE(0);
  }
}
