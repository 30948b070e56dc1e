// A line between two ends in memory: delay, cuts into chunks, a bound on what is under way, and a break at any moment.
import { Duplex } from 'node:stream';

export interface LineOptions {
  /** Milliseconds each way; 0 delivers in the next turn of the event loop. */
  readonly delayMs: number;
  /** Largest piece that arrives at once; each write is cut at random up to it. */
  readonly pieceBytesMax: number;
  /** Writes are not taken while more than this is under way. */
  readonly underWayBytesMax: number;
  /** 0 … 1 */
  readonly random: () => number;
}

/** mulberry32: small, seeded, good enough to draw test cases. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

class End extends Duplex {
  other!: End;
  readonly #options: LineOptions;
  #underWay = 0;
  #waiting: (() => void) | undefined;
  #blocked: Buffer[] = [];
  #wantsRead = false;
  #ended = false;

  constructor(options: LineOptions) {
    super({ allowHalfOpen: true });
    this.#options = options;
  }

  #later(run: () => void): void {
    if (this.#options.delayMs === 0) setImmediate(run);
    else setTimeout(run, this.#options.delayMs);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    // A copy: the parser unmasks in place and the writer may use its buffer again.
    const copy = Buffer.from(chunk);
    this.#underWay += copy.length;
    this.#later(() => {
      let at = 0;
      while (at < copy.length) {
        const bytes = 1 + Math.floor(this.#options.random() * Math.min(this.#options.pieceBytesMax, copy.length - at));
        this.other.arrive(copy.subarray(at, at + bytes), () => this.#left(bytes));
        at += bytes;
      }
    });
    if (this.#underWay <= this.#options.underWayBytesMax) callback();
    else this.#waiting = callback;
  }

  #left(bytes: number): void {
    this.#underWay -= bytes;
    if (this.#underWay > this.#options.underWayBytesMax) return;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  #taken: (() => void)[] = [];

  arrive(bytes: Buffer, taken: () => void): void {
    if (this.destroyed) return taken();
    this.#blocked.push(bytes);
    this.#taken.push(taken);
    if (this.#wantsRead) this.#deliver();
  }

  arriveEnd(): void {
    this.#ended = true;
    if (this.#wantsRead) this.#deliver();
  }

  #deliver(): void {
    while (this.#blocked.length > 0) {
      const bytes = this.#blocked.shift()!;
      this.#taken.shift()!();
      if (!this.push(bytes)) {
        this.#wantsRead = false;
        return;
      }
    }
    if (this.#ended && !this.readableEnded) this.push(null);
  }

  override _read(): void {
    this.#wantsRead = true;
    this.#deliver();
  }

  override _final(callback: () => void): void {
    this.#later(() => this.other.arriveEnd());
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    for (const taken of this.#taken.splice(0)) taken();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
    this.#later(() => {
      if (!this.other.destroyed) this.other.destroy();
    });
    callback(error);
  }
}

export function buildLine(options: LineOptions): [Duplex, Duplex] {
  const a = new End(options);
  const b = new End(options);
  a.other = b;
  b.other = a;
  return [a, b];
}
