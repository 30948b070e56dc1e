// A flow over a stream of a session: docs/wire/tunnel.md §5, Datagrams. What waits, waits here and not in the stream, so that it
// can be dropped while a turn to send is not there; the stream gets only what leaves with this turn.
import type { Clock } from '#base/clock.ts';
import { Fault, isFault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { endOf, newFlowState } from '#net/flow.ts';
import type { Flow, FlowCounts, FlowEnd } from '#net/flow.ts';
import { buildDatagramParser, datagramBytesMax, datagramHeadBytes, encodeFlowEnd, writeDatagram } from '#wire/datagrams.ts';
import type { DatagramParser } from '#wire/datagrams.ts';
import type { Budget, Holder } from './budget.ts';
import { answerOfFault, faultOfAnswer } from './open.ts';
import type { MuxStream } from './stream.ts';

/** What flows of one process or one end did so far, and how many there are. */
export interface FlowTally {
  open: number;
  sent: number;
  received: number;
  dropped: number;
}

export const newFlowTally = (): FlowTally => ({ open: 0, sent: 0, received: 0, dropped: 0 });

export interface DropNote {
  add(datagrams: number): void;
  /** What was not told yet. */
  flush(): void;
}

/** Tells of drops at most once in `everyMs`: the first at once, those after it together. */
export function buildDropNote(clock: Clock, everyMs: number, note: (datagrams: number) => void): DropNote {
  let untold = 0;
  let toldAtMs = Number.NEGATIVE_INFINITY;
  const flush = () => {
    if (untold === 0) return;
    toldAtMs = clock.monoMs();
    note(untold);
    untold = 0;
  };
  return {
    add(datagrams) {
      untold += datagrams;
      if (clock.monoMs() - toldAtMs >= everyMs) flush();
    },
    flush,
  };
}

export interface StreamFlowOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly budget: Pick<Budget, 'join' | 'leave' | 'changed'>;
  readonly tally?: FlowTally;
  onDropped?(datagrams: number): void;
}

interface Waiting {
  readonly bytes: Buffer;
  readonly sinceMs: number;
}

export class StreamFlow implements Flow, Holder {
  movedAtMs: number;
  readonly #stream: MuxStream;
  readonly #options: StreamFlowOptions;
  readonly #state = newFlowState();
  readonly #parser: DatagramParser;
  readonly #queue: Waiting[] = [];
  #queuedBytes = 0;
  /** As the budget knows it: what waits, and what is kept of a datagram that has not come whole. */
  #held = 0;
  #isGone = false;
  #take: ((datagram: Buffer) => void) | undefined;
  /** Closed by us: what waits goes first. */
  #isEnding = false;
  #ending: Fault | undefined;

  /** Takes the stream over: its preface and answer are behind it. */
  constructor(stream: MuxStream, options: StreamFlowOptions) {
    this.#stream = stream;
    this.#options = options;
    this.movedAtMs = options.clock.monoMs();
    this.#parser = buildDatagramParser({
      onDatagram: (datagram) => this.#received(datagram),
      onEnd: ({ code, text }) => this.#ended(code === 0 ? { why: text === '' ? 'the other end ended it' : text } : endOf(faultOfAnswer({ code, text }))),
    });
    options.budget.join(this);
    if (options.tally) options.tally.open += 1;
    stream.onTurn = (roomBytes) => this.#onTurn(roomBytes);
    stream.on('error', (error) => this.#ended(endOf(isFault(error) ? error : new Fault('closed', error.message, { cause: error }))));
    stream.on('end', () => this.#ended(this.#parser.isBetween ? { why: 'the other end ended it' } : endOf(new Fault('protocol', 'the flow broke off within a datagram'))));
    stream.on('close', () => this.#ended({ why: 'the stream was closed' }));
    if (stream.destroyed) this.#ended({ why: 'the stream was closed' });
  }

  get counts(): FlowCounts {
    return this.#state.counts;
  }

  get isClosed(): boolean {
    return this.#state.isClosed;
  }

  get heldBytes(): number {
    return this.#held;
  }

  onClosed(told: (end: FlowEnd) => void): void {
    this.#state.onClosed(told);
  }

  onDatagram(take: (datagram: Buffer) => void): void {
    this.#take = take;
    this.#read();
  }

  #read(): void {
    const stream = this.#stream;
    if (stream.listenerCount('data') > 0 || stream.destroyed) return;
    stream.on('data', (chunk: Buffer) => {
      if (this.#state.isClosed) return;
      try {
        this.#parser.push(chunk);
        this.#account();
      } catch (thrown) {
        if (!isFault(thrown, 'protocol')) throw thrown;
        stream.destroy(thrown);
      }
    });
    // Where a preface was read from it, it stands paused.
    stream.resume();
  }

  #received(datagram: Buffer): void {
    if (this.#state.isClosed) return;
    const { counts } = this.#state;
    counts.received += 1;
    counts.receivedBytes += datagram.length;
    if (this.#options.tally) this.#options.tally.received += 1;
    this.#take?.(datagram);
  }

  #dropped(datagrams: number): void {
    if (datagrams === 0) return;
    this.#state.counts.dropped += datagrams;
    if (this.#options.tally) this.#options.tally.dropped += datagrams;
    this.#options.onDropped?.(datagrams);
  }

  send(datagram: Buffer): boolean {
    if (this.#state.isClosed || datagram.length > datagramBytesMax) {
      this.#dropped(1);
      return false;
    }
    const { limits, clock } = this.#options;
    const now = clock.monoMs();
    let gone = this.#tooOld(now);
    let bytes = this.#queuedBytes + datagram.length;
    for (let i = 0; i < gone; i++) bytes -= this.#queue[i]!.bytes.length;
    while (gone < this.#queue.length && (this.#queue.length - gone >= limits.flowQueueDatagramsMax || bytes > limits.flowQueueBytesMax)) bytes -= this.#queue[gone++]!.bytes.length;
    this.#remove(gone);
    this.#dropped(gone);
    this.#queue.push({ bytes: Buffer.from(datagram), sinceMs: now });
    this.#queuedBytes += datagram.length;
    this.#account();
    // The budget may have given this flow up.
    if (this.#queue.length === 0) return false;
    this.#stream.askTurn();
    return true;
  }

  close(why: string | Fault): void {
    const end = endOf(why);
    if (this.#state.isClosed) return;
    this.#isEnding = true;
    this.#ending = end.fault;
    if (this.#options.tally) this.#options.tally.open -= 1;
    this.#state.end(end);
    const stream = this.#stream;
    if (stream.destroyed) return this.#letGo();
    this.#account();
    this.#read();
    const timer = this.#options.clock.after(this.#options.limits.refusedStreamMs, () => stream.destroy());
    stream.once('close', () => {
      timer.cancel();
      this.#letGo();
    });
    if (this.#queue.length === 0) this.#finish();
    else stream.askTurn();
  }

  giveUp(why: string): void {
    this.#letGo();
    this.close(new Fault('closed', why));
  }

  /** The other end ended it, or the stream is gone: nobody takes what waits. */
  #ended(end: FlowEnd): void {
    this.#letGo();
    const stream = this.#stream;
    if (!stream.writableEnded && !stream.destroyed) stream.end();
    if (this.#state.isClosed) return;
    if (this.#options.tally) this.#options.tally.open -= 1;
    this.#state.end(end);
  }

  #letGo(): void {
    this.#isGone = true;
    const left = this.#queue.length;
    this.#remove(left);
    this.#account();
    this.#dropped(left);
    this.#options.budget.leave(this);
  }

  #finish(): void {
    const stream = this.#stream;
    if (stream.writableEnded || stream.destroyed) return;
    if (this.#ending === undefined) stream.end();
    else stream.end(encodeFlowEnd(answerOfFault(this.#ending)));
  }

  #account(): void {
    const delta = this.#queuedBytes + (this.#isGone || this.#state.isClosed ? 0 : this.#parser.heldBytes) - this.#held;
    if (delta === 0) return;
    this.#held += delta;
    this.#options.budget.changed(delta);
  }

  /** How many of the oldest have waited too long. */
  #tooOld(nowMs: number): number {
    const before = nowMs - this.#options.limits.datagramAgeMaxMs;
    let count = 0;
    while (count < this.#queue.length && this.#queue[count]!.sinceMs <= before) count += 1;
    return count;
  }

  #remove(count: number): void {
    if (count === 0) return;
    let bytes = 0;
    for (const each of this.#queue.splice(0, count)) bytes += each.bytes.length;
    this.#queuedBytes -= bytes;
    this.#account();
  }

  /** The outbox asks: as many as fit into this frame, or one that is longer, if the window takes it. */
  #onTurn(roomBytes: number): void {
    const stream = this.#stream;
    // A long one is still leaving.
    if (stream.destroyed || stream.writableEnded || stream.writableLength > 0) return;
    const now = this.#options.clock.monoMs();
    const old = this.#tooOld(now);
    this.#remove(old);
    this.#dropped(old);
    let bytes = 0;
    let count = 0;
    for (const each of this.#queue) {
      const next = bytes + datagramHeadBytes + each.bytes.length;
      if (next > stream.sendWindowBytes || (count > 0 && next > roomBytes)) break;
      bytes = next;
      count += 1;
    }
    if (count > 0) this.#write(bytes, count, now);
    else if (this.#isEnding && this.#queue.length === 0) this.#finish();
  }

  #write(bytes: number, count: number, nowMs: number): void {
    const { counts } = this.#state;
    const records = Buffer.allocUnsafe(bytes);
    let at = 0;
    for (let i = 0; i < count; i++) at = writeDatagram(records, at, this.#queue[i]!.bytes);
    this.#remove(count);
    counts.sent += count;
    counts.sentBytes += bytes - count * datagramHeadBytes;
    if (this.#options.tally) this.#options.tally.sent += count;
    this.movedAtMs = nowMs;
    this.#stream.write(records, this.#written);
  }

  readonly #written = () => {
    if (this.#queue.length > 0 || this.#isEnding) this.#stream.askTurn();
  };
}
