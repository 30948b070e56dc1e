// The sending half of a session: control frames first, then one data frame of each stream in turn, all that one turn of the
// event loop made in one message and one write. One write is under way at a time, so that fairness is decided as late as
// possible and a ping never waits behind more than one message.
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import type { Limits } from '#base/limits.ts';
import { applyMask, encodeFrame, frameHeadBytesMax, Opcode, writeFrameHead } from '#wire/websocket.ts';
import { FrameType, writeYamuxHead, yamuxHeadBytes } from '#wire/yamux.ts';
import type { Budget } from './budget.ts';
import type { MuxStream } from './stream.ts';

export interface OutboxOptions {
  readonly socket: Duplex;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly budget: Budget;
  /** For the next frame: undefined when we are the server. */
  mask(): number | undefined;
  /** SYN or ACK when the stream's next frame is its first. */
  firstFlag(stream: MuxStream): number;
  /** The other end makes us answer and does not read. */
  onStuck(): void;
}

/** Room for a message: the longest WebSocket head, the message, and the frame that may stand over its end. */
const scratchBytes = (limits: Limits) => frameHeadBytesMax + limits.messageSendBytesMax + limits.frameBytesMax + yamuxHeadBytes;
/** A TLS record's payload: frames that fill exactly one arrive at the other end in one piece. */
const tlsRecordBytes = 16 * 1024;
/** Up to here a message is copied out of the scratch into a slice of Node's pool. */
const smallBytesMax = 4 * 1024;
const scratchKeptMax = 4;
/** An idle link keeps no more than this for control frames. */
const controlKeptBytesMax = 1024;

/** Buffers between messages; what is in one never outlives the write that it was taken for. */
const scratchFree: Buffer[] = [];

/** Of a message of 64 KiB and more. */
const longHeadBytes = (isMasked: boolean) => (isMasked ? frameHeadBytesMax : frameHeadBytesMax - 4);

function takeScratch(bytes: number): Buffer {
  const kept = scratchFree.pop();
  return kept !== undefined && kept.length >= bytes ? kept : Buffer.allocUnsafeSlow(bytes);
}

function keepScratch(scratch: Buffer): void {
  if (scratchFree.length < scratchKeptMax) scratchFree.push(scratch);
}

export class Outbox implements Disposable {
  bytesOut = 0;
  readonly #options: OutboxOptions;
  #isStopped = false;
  #firstReady: MuxStream | undefined;
  #lastReady: MuxStream | undefined;
  #control: Buffer = Buffer.allocUnsafe(0);
  #controlBytes = 0;
  #pong: Buffer | undefined;
  #isFlushScheduled = false;
  #isFlushing = false;
  #isWriting = false;
  #writeBytes = 0;
  #writeScratch: Buffer | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Queues a frame without a body; it goes before data. */
  frame(type: number, flags: number, id: number, length: number): void {
    if (this.#isStopped) return;
    if (this.#controlBytes + yamuxHeadBytes > this.#control.length) {
      if (this.#controlBytes >= this.#options.limits.controlBytesMax) {
        // Not within the parser that asked for this frame.
        process.nextTick(() => this.#options.onStuck());
        return;
      }
      const larger = Buffer.allocUnsafeSlow(Math.max(8 * yamuxHeadBytes, this.#control.length * 2));
      this.#control.copy(larger, 0, 0, this.#controlBytes);
      this.#control = larger;
    }
    writeYamuxHead(this.#control, this.#controlBytes, type, flags, id, length);
    this.#controlBytes += yamuxHeadBytes;
    this.#schedule();
  }

  /** Answers a WebSocket ping. Only the latest has to be answered (RFC 6455 §5.5.3), which bounds what a flood can queue. */
  pong(payload: Buffer): void {
    this.#pong = Buffer.from(payload);
    this.#schedule();
  }

  /** The stream has data or FIN that may leave: it takes its turn behind those that wait already. */
  add(stream: MuxStream): void {
    if (stream.isReady || this.#isStopped) return;
    stream.isReady = true;
    if (this.#lastReady === undefined) this.#firstReady = stream;
    else this.#lastReady.nextReady = stream;
    this.#lastReady = stream;
    this.#schedule();
  }

  remove(stream: MuxStream): void {
    if (!stream.isReady) return;
    let before: MuxStream | undefined;
    let at = this.#firstReady;
    while (at !== undefined && at !== stream) {
      before = at;
      at = at.nextReady;
    }
    if (at === undefined) return;
    if (before === undefined) this.#firstReady = stream.nextReady;
    else before.nextReady = stream.nextReady;
    if (this.#lastReady === stream) this.#lastReady = before;
    stream.nextReady = undefined;
    stream.isReady = false;
  }

  /** Sends nothing more; what was handed to the socket is the socket's. */
  [Symbol.dispose](): void {
    this.#isStopped = true;
    this.#firstReady = undefined;
    this.#lastReady = undefined;
    this.#control = Buffer.allocUnsafe(0);
    this.#controlBytes = 0;
    this.#pong = undefined;
  }

  #shiftReady(): MuxStream | undefined {
    const stream = this.#firstReady;
    if (stream === undefined) return undefined;
    this.#firstReady = stream.nextReady;
    if (this.#firstReady === undefined) this.#lastReady = undefined;
    stream.nextReady = undefined;
    stream.isReady = false;
    return stream;
  }

  #schedule(): void {
    if (this.#isFlushScheduled || this.#isFlushing || this.#isWriting || this.#isStopped) return;
    this.#isFlushScheduled = true;
    setImmediate(this.#flush);
  }

  readonly #flush = () => {
    this.#isFlushScheduled = false;
    if (this.#isWriting || this.#isStopped) return;
    this.#isFlushing = true;
    const scratch = takeScratch(scratchBytes(this.#options.limits));
    const end = this.#compose(scratch);
    this.#isFlushing = false;
    if (this.#isStopped) {
      keepScratch(scratch);
      return;
    }
    if (this.#pong !== undefined) {
      this.#options.socket.write(encodeFrame(Opcode.pong, this.#pong, this.#options.mask()));
      this.#pong = undefined;
    }
    const length = end - frameHeadBytesMax;
    if (length === 0) {
      keepScratch(scratch);
      return;
    }
    const mask = this.#options.mask();
    const start = writeFrameHead(scratch, frameHeadBytesMax, Opcode.binary, length, mask);
    if (mask !== undefined && mask !== 0) applyMask(scratch.subarray(frameHeadBytesMax, end), mask);
    let message = scratch.subarray(start, end);
    if (message.length <= smallBytesMax) {
      message = Buffer.from(message);
      keepScratch(scratch);
    } else this.#writeScratch = scratch;
    this.#writeBytes = message.length;
    this.#options.budget.changed(message.length);
    this.bytesOut += message.length;
    this.#isWriting = true;
    this.#options.socket.write(message, this.#onWritten);
  };

  /** Control frames, then one frame of each stream in turn; says where the message ends. */
  #compose(scratch: Buffer): number {
    const { limits, clock } = this.#options;
    let at = frameHeadBytesMax;
    if (this.#controlBytes > 0) {
      this.#control.copy(scratch, at, 0, this.#controlBytes);
      at += this.#controlBytes;
      this.#controlBytes = 0;
      if (this.#control.length > controlKeptBytesMax) this.#control = Buffer.allocUnsafe(0);
    }
    if (this.#firstReady === undefined) return at;
    const now = clock.monoMs();
    const full = Math.min(limits.frameBytesMax, tlsRecordBytes - yamuxHeadBytes);
    const stop = frameHeadBytesMax + limits.messageSendBytesMax;
    // The first frame is shorter by what stands before it in its TLS record, so that the others begin with one.
    let frameMax = Math.max(1024, full - (at - frameHeadBytesMax) - longHeadBytes(this.#options.mask() !== undefined));
    while (at < stop) {
      const stream = this.#shiftReady();
      if (stream === undefined) break;
      const head = at;
      at += yamuxHeadBytes;
      const flags = this.#options.firstFlag(stream);
      let bytes = 0;
      // Again and again: calling the writer back often brings the next piece.
      for (let next = stream.nextFrameBytes(frameMax) || stream.takeTurn(frameMax); next > 0; next = stream.nextFrameBytes(frameMax - bytes)) {
        stream.copyOut(scratch, at, next, now);
        at += next;
        bytes += next;
      }
      frameMax = full;
      if (bytes > 0) {
        // FIN goes in a frame of its own: hashicorp/yamux (Go, v0.1.2) marks a stream ended before it stores the body of the
        // same frame, so that a reader in between takes the end for the whole.
        writeYamuxHead(scratch, head, FrameType.data, flags, stream.id, bytes);
      } else {
        const fin = stream.takeFin();
        if ((flags | fin) === 0) {
          at = head;
          continue;
        }
        writeYamuxHead(scratch, head, FrameType.windowUpdate, flags | fin, stream.id, 0);
      }
      if (stream.canSend) this.add(stream);
    }
    return at;
  }

  readonly #onWritten = () => {
    this.#isWriting = false;
    this.#options.budget.changed(-this.#writeBytes);
    this.#writeBytes = 0;
    const scratch = this.#writeScratch;
    this.#writeScratch = undefined;
    // Only a socket is done with the bytes when it says so; other streams may have handed them on by reference.
    if (scratch !== undefined && this.#options.socket instanceof Socket && !this.#isStopped) keepScratch(scratch);
    if (this.#firstReady !== undefined || this.#controlBytes > 0 || this.#pong !== undefined) this.#schedule();
  };
}
