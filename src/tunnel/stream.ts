// One stream of a session, as a Duplex: FIN each way by itself, RST is destroy. Knows windows, not the wire.
import { Duplex } from 'node:stream';
import { Fault } from '#base/fault.ts';
import { Flag } from '#wire/yamux.ts';
import type { Budget, Holder } from './budget.ts';

/** What a stream needs of its session. */
export interface StreamOps {
  readonly budget: Budget;
  nowMs(): number;
  /** Data or FIN waits and the window allows it. */
  wantSend(stream: MuxStream): void;
  /** The stream's consumer took bytes: the other end may send that many more. */
  giveCredit(stream: MuxStream, deltaBytes: number): void;
  /** How large the receive window should be at that rate; undefined while the time is too short to tell. */
  windowFor(windowBytes: number, takenBytes: number, elapsedMs: number): number | undefined;
  /** The stream is over; `reset` when the other end must be told. */
  forget(stream: MuxStream, reset: boolean): void;
}

type Callback = (error?: Error | null) => void;
interface Queued {
  readonly chunk: Buffer;
}

const ignore = () => {};
/** As many pieces as an ordinary window arrives in count with their bytes alone; each beyond with what a Buffer takes. */
const piecesFree = 64;
const pieceBytes = 160;
/** A sender takes any window up to this (docs/wire/tunnel.md §4). */
const sendWindowBytesMax = 0xffff_ffff;

export class MuxStream extends Duplex implements Holder {
  readonly id: number;
  /** Opened by us. */
  readonly isOurs: boolean;
  /** Links of the session's queue of streams that have something to send. */
  nextReady: MuxStream | undefined;
  isReady = false;
  movedAtMs: number;
  /** The other end has answered with anything that carried ACK. */
  isAnswered = false;
  /** A writer that chooses when the turn has come what leaves (datagrams): it may then write, `roomBytes` fit into the frame. */
  onTurn: ((roomBytes: number) => void) | undefined;
  readonly #ops: StreamOps;

  #firstFlag: number;
  #sendWindow: number;
  #piece: Buffer | undefined;
  #pieceAt = 0;
  #pieces: readonly Queued[] | undefined;
  #piecesAt = 0;
  #written: Callback | undefined;
  #queuedBytes = 0;
  #finished: Callback | undefined;
  #finSent = false;

  #window: number;
  #receiveLeft: number;
  #received = 0;
  #sent = 0;
  #credited = 0;
  /** Since when, and from which count on, the rate is measured. */
  #measuredFromMs: number;
  #measuredFrom = 0;
  #finReceived = false;
  #isCut = false;
  #held = 0;

  constructor(id: number, isOurs: boolean, windowBytes: number, ops: StreamOps) {
    super({ allowHalfOpen: true, emitClose: true });
    this.id = id;
    this.isOurs = isOurs;
    this.#ops = ops;
    this.#firstFlag = isOurs ? Flag.syn : Flag.ack;
    this.#sendWindow = windowBytes;
    this.#window = windowBytes;
    this.#receiveLeft = windowBytes;
    this.#measuredFromMs = ops.nowMs();
    this.movedAtMs = this.#measuredFromMs;
    // A reset is an everyday event: a consumer that watches only 'close' must not bring the process down.
    this.on('error', ignore);
    ops.budget.join(this);
  }

  get heldBytes(): number {
    return this.#held;
  }

  /** The receive window as it was last announced. */
  get windowBytes(): number {
    return this.#window;
  }

  /** What may be sent before the other end has taken more. */
  get sendWindowBytes(): number {
    return this.#sendWindow;
  }

  /** As a socket counts: bytes that left and came, without the frames around them. */
  get bytesWritten(): number {
    return this.#sent;
  }

  get bytesRead(): number {
    return this.#received;
  }

  giveUp(why: string): void {
    this.destroy(new Fault('closed', why));
  }

  /** What unread pieces cost beside their bytes: 256 KiB that came a byte a frame hold 50 MB. */
  #unreadOverheadBytes(): number {
    // Kept by Node for every readable (lib/internal/streams/readable.js); nothing public says how many pieces there are.
    const state = (this as unknown as { readonly _readableState: { readonly buffer: { readonly length: number }; readonly bufferIndex: number } })._readableState;
    const pieces = state.buffer.length - state.bufferIndex;
    return pieces > piecesFree ? (pieces - piecesFree) * pieceBytes : 0;
  }

  #account(): void {
    if (this.destroyed) return; // _destroy has given everything back; a read under way comes here after it
    const delta = this.#queuedBytes + this.readableLength + this.#unreadOverheadBytes() - this.#held;
    if (delta === 0) return;
    this.#held += delta;
    this.#ops.budget.changed(delta);
  }

  // --- towards the wire ---

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#piece = chunk;
    this.#pieceAt = 0;
    this.#pieces = undefined;
    this.#enqueued(chunk.length, callback);
  }

  override _writev(chunks: readonly Queued[], callback: Callback): void {
    let bytes = 0;
    for (const { chunk } of chunks) bytes += chunk.length;
    this.#piece = chunks[0]!.chunk;
    this.#pieceAt = 0;
    this.#pieces = chunks;
    this.#piecesAt = 1;
    this.#enqueued(bytes, callback);
  }

  #enqueued(bytes: number, callback: Callback): void {
    if (bytes === 0) return callback();
    this.#written = callback;
    this.#queuedBytes = bytes;
    this.#account();
    if (this.#sendWindow > 0) this.#ops.wantSend(this);
  }

  override _final(callback: Callback): void {
    this.#finished = callback;
    this.#ops.wantSend(this);
  }

  /** Has something that may be sent now. */
  get canSend(): boolean {
    return !this.destroyed && ((this.#queuedBytes > 0 && this.#sendWindow > 0) || (this.#finished !== undefined && this.#queuedBytes === 0));
  }

  /** How many bytes its next data frame carries. */
  nextFrameBytes(frameBytesMax: number): number {
    return Math.min(this.#queuedBytes, this.#sendWindow, frameBytesMax);
  }

  /** Gets its turn though nothing is queued: see `onTurn`. */
  askTurn(): void {
    if (!this.destroyed) this.#ops.wantSend(this);
  }

  /** As `nextFrameBytes`, once whoever writes at its turn has done so. */
  takeTurn(frameBytesMax: number): number {
    if (this.onTurn === undefined) return 0;
    this.onTurn(frameBytesMax);
    return this.nextFrameBytes(frameBytesMax);
  }

  /** SYN or ACK on the first frame of any kind. */
  takeFirstFlag(): number {
    const flag = this.#firstFlag;
    this.#firstFlag = 0;
    return flag;
  }

  get isSynSent(): boolean {
    return this.isOurs && this.#firstFlag === 0;
  }

  get isAckSent(): boolean {
    return !this.isOurs && this.#firstFlag === 0;
  }

  /** FIN when it is due, once. */
  takeFin(): number {
    const finished = this.#finished;
    if (finished === undefined || this.#queuedBytes > 0) return 0;
    this.#finished = undefined;
    this.#finSent = true;
    finished();
    return Flag.fin;
  }

  /** Copies the next `bytes` queued bytes out. May call the writer back, which may queue more. */
  copyOut(into: Buffer, at: number, bytes: number, nowMs: number): void {
    this.#sendWindow -= bytes;
    this.#sent += bytes;
    this.#queuedBytes -= bytes;
    this.movedAtMs = nowMs;
    let left = bytes;
    while (left > 0) {
      const piece = this.#piece!;
      const stop = Math.min(piece.length, this.#pieceAt + left);
      const copied = piece.copy(into, at, this.#pieceAt, stop);
      at += copied;
      left -= copied;
      this.#pieceAt = stop;
      if (stop < piece.length) break;
      this.#piece = this.#pieces?.[this.#piecesAt++]?.chunk;
      this.#pieceAt = 0;
    }
    this.#account();
    if (this.#queuedBytes > 0) return;
    this.#piece = undefined;
    this.#pieces = undefined;
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  // --- from the wire ---

  /** A data frame's head. Fault `protocol` when it is more than the open window. */
  receiveHead(length: number): void {
    if (this.#finReceived) throw new Fault('protocol', `stream ${this.id}: data after FIN`);
    if (length > this.#receiveLeft) throw new Fault('protocol', `stream ${this.id}: ${length} bytes of data where the window allows ${this.#receiveLeft}`);
    this.#receiveLeft -= length;
  }

  receiveBody(bytes: Buffer): void {
    this.#received += bytes.length;
    if (this.destroyed) return;
    this.push(bytes);
    this.#taken();
  }

  receiveFin(): void {
    if (this.#finReceived) return;
    this.#finReceived = true;
    if (!this.destroyed) this.push(null);
  }

  receiveWindow(deltaBytes: number): void {
    const wasShut = this.#sendWindow === 0;
    this.#sendWindow = Math.min(sendWindowBytesMax, this.#sendWindow + deltaBytes);
    if (this.onTurn !== undefined || (wasShut && this.#queuedBytes > 0 && this.#sendWindow > 0)) this.#ops.wantSend(this);
  }

  /** The other end reset it, or the session is over: nothing is sent any more. */
  cut(fault: Fault): void {
    this.#isCut = true;
    this.destroy(fault);
  }

  override _read(): void {
    // Bytes are pushed as they arrive; what holds the sender back is the window.
  }

  /** Every way of consuming that does not get 'data' at once goes through here: the place to notice what was taken. */
  override read(bytes?: number): unknown {
    const chunk: unknown = super.read(bytes);
    if (chunk !== null) this.#taken();
    return chunk;
  }

  #taken(): void {
    this.#account();
    const taken = this.#received - this.readableLength;
    const owed = taken - this.#credited;
    // A quarter, not half: a first credit of a little more than half leaves less than half, and half of the window unused.
    if (owed * 4 < this.#window || this.#finReceived || this.destroyed) return;
    const now = this.#ops.nowMs();
    const window = this.#ops.windowFor(this.#window, taken - this.#measuredFrom, now - this.#measuredFromMs);
    if (window !== undefined) {
      this.#measuredFromMs = now;
      this.#measuredFrom = taken;
    }
    const delta = owed + (window ?? this.#window) - this.#window;
    this.#window = window ?? this.#window;
    this.#credited = taken;
    this.movedAtMs = now;
    this.#receiveLeft += delta;
    this.#ops.giveCredit(this, delta);
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.#ops.budget.leave(this);
    if (this.#held > 0) {
      const held = this.#held;
      this.#held = 0;
      this.#ops.budget.changed(-held);
    }
    this.#ops.forget(this, !this.#isCut && !(this.#finSent && this.#finReceived));
    this.#queuedBytes = 0;
    this.#piece = undefined;
    this.#pieces = undefined;
    const written = this.#written;
    const finished = this.#finished;
    this.#written = undefined;
    this.#finished = undefined;
    callback(error);
    const fault = error ?? new Fault('closed', 'the stream was closed');
    written?.(fault);
    finished?.(fault);
  }
}
