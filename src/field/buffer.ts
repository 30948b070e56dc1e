// A feed's buffer: the bytes that a device has for its gateways, on its own disk, until all of them have them.
//
// Offsets are of wire bytes (docs/wire/device.md), given once and never again. read() gives out only what is durable, so that a power cut
// takes nothing that a gateway may have; what it gave out once is the same for ever, or a gap. What cannot be stored is a gap as well,
// with its own offsets: nothing is lost in silence. Nothing here ends the process: a disk that is full or broken costs records, counted.
//
// reasons of gaps: `wrap` the bounds were reached, `damaged` bytes failed their checksum, `server-lost` everybody had confirmed them and
// they are deleted, `full` and `failed` the disk took no more when they came, `too-large` a record over 64 KiB.
//
// Records that were taken before the time was known are stored with the time since the boot. When the boot's time is learned
// (setClock) their stamps follow from it; those that are read out before, or whose boot ended before, have -1 - UPTIME for ever.
//
// On the disk: `lock`, `state` (buffer-state.ts), segments (buffer-segments.ts). Whatever else lies in the folder is left alone.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Timer } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { recordBytesMax } from '#wire/records.ts';
import { framePayloadBytesMax, noBoot, putStamped, recordStart, stampedHeadBytes } from './buffer-frames.ts';
import { buildBufferBounds, heldBy } from './buffer-bounds.ts';
import type { BufferBounds } from './buffer-bounds.ts';
import type { CheckpointLog } from './buffer-checkpoints.ts';
import { openBufferFolder } from './buffer-open.ts';
import type { Segments } from './buffer-segments.ts';
import type { StateFile, StatePatch } from './buffer-state.ts';
import { buildBufferStamps } from './buffer-stamps.ts';
import type { BufferStamps } from './buffer-stamps.ts';
import { Unwritten } from './buffer-unwritten.ts';
import { isFull, realDisk } from './disk.ts';
import type { AppendOptions, BufferRead, BufferStats, FeedBuffer, FeedBufferOptions } from './feed-buffer.ts';
import type { Checkpoint } from './intake.ts';

/** Fault `conflict` when another process has it, `busy` when the disk does not work: to be tried again. */
export async function openFeedBuffer(options: FeedBufferOptions): Promise<FeedBuffer> {
  const disk = options.disk ?? realDisk;
  const folder = join(options.dir, options.feed);
  const bootTag = createHash('sha256').update(options.bootId).digest('hex').slice(0, 16);
  const { state, segments, checkpoints, unlock } = await openBufferFolder({ ...options, disk, folder, bootTag });
  return new OpenBuffer(options, { state, segments, checkpoints, unlock, bootTag });
}

const restartsUnreadMax = 5;

interface Opened {
  readonly state: StateFile;
  readonly segments: Segments;
  readonly checkpoints: CheckpointLog;
  readonly unlock: () => void;
  readonly bootTag: string;
}

class OpenBuffer implements FeedBuffer {
  readonly #options: FeedBufferOptions;
  readonly #state: StateFile;
  readonly #segments: Segments;
  readonly #checkpoints: CheckpointLog;
  readonly #unlock: () => void;
  readonly #bootTag: string;
  readonly #unwritten: Unwritten;
  readonly #stamps: BufferStamps;
  readonly #bounds: BufferBounds;
  readonly #listeners = new Set<(urgent: boolean) => void>();
  readonly #minute: Timer;
  #last: Promise<unknown> = Promise.resolve();
  #queuedFlush: Promise<void> | null = null;
  #timer: Timer | null = null;
  #retryMs = 0;
  #isUrgent = false;
  #wasFull = false;
  #refused = 0;
  #restartsUnread = 0;
  /** Bytes and gaps below were given out, or may have been by an earlier process. */
  #handedTo: number;
  #closing: Promise<void> | null = null;

  constructor(options: FeedBufferOptions, { state, segments, checkpoints, unlock, bootTag }: Opened) {
    this.#options = options;
    this.#state = state;
    this.#segments = segments;
    this.#checkpoints = checkpoints;
    this.#unlock = unlock;
    this.#bootTag = bootTag;
    this.#unwritten = new Unwritten(segments.end);
    this.#handedTo = segments.end;
    const shared = { now: () => state.now, commit: (patch: StatePatch) => this.#commit(patch) };
    this.#stamps = buildBufferStamps({ ...shared, bootTag, uptimeMs: options.uptimeMs });
    this.#bounds = buildBufferBounds({ ...shared, feed: options.feed, settings: options.settings, segments, nowMs: this.#stamps.nowMs, log: options.log });
    this.#minute = options.clock.every(60_000, () => this.#tidyLater());
  }

  get feed(): string {
    return this.#options.feed;
  }
  get epoch(): string {
    return this.#state.now.epoch;
  }
  get format(): string {
    return this.#state.now.format;
  }
  get next(): number {
    return this.#unwritten.next - this.#state.now.shift;
  }
  get first(): number {
    return Math.max(0, this.#state.now.first - this.#state.now.shift);
  }

  append(record: Uint8Array, options: AppendOptions): void {
    this.#append(record, options);
    // One that was refused is a gap by now: its source goes on, too.
    if (options.checkpoint !== undefined) this.#checkpoints.add(this.#unwritten.next, options.checkpoint);
  }

  #append(record: Uint8Array, { atMs, uptimeMs, clockTrusted, urgent }: AppendOptions): void {
    if (this.format !== 'stamped') throw new Fault('unsupported', `feed ${this.feed} has format ${this.format}; its bytes go through appendBytes`);
    const length = stampedHeadBytes + record.length;
    if (record.length > recordBytesMax) return this.#refuse(length, 'too-large');
    if (!this.#hasRoom(length)) return;
    const stamp = clockTrusted ? { atMs: Math.round(atMs), waits: false } : this.#stamps.stampAt(uptimeMs);
    const { bytes, at } = this.#unwritten.place(stamp.waits ? 'uptime' : 'data', stamp.waits ? this.#bootTag : noBoot, this.#stamps.nowMs, length);
    putStamped(bytes, at, stamp.atMs, record);
    this.#appended(urgent);
  }

  appendBytes(bytes: Uint8Array, { urgent = false, checkpoint }: { readonly urgent?: boolean; readonly checkpoint?: Checkpoint } = {}): void {
    if (this.format === 'stamped') throw new Fault('unsupported', `feed ${this.feed} has format stamped; its records go through append`);
    if (bytes.length > 0 && this.#hasRoom(bytes.length)) {
      for (let done = 0; done < bytes.length; done += framePayloadBytesMax) {
        const piece = bytes.subarray(done, done + framePayloadBytesMax);
        const place = this.#unwritten.place('data', noBoot, this.#stamps.nowMs, piece.length);
        place.bytes.set(piece, place.at);
      }
      this.#appended(urgent);
    }
    if (checkpoint !== undefined) this.#checkpoints.add(this.#unwritten.next, checkpoint);
  }

  mark(checkpoint: Checkpoint): void {
    if (this.#closing) throw new Fault('closed', `the buffer of feed ${this.feed} is closed`);
    this.#checkpoints.add(this.#unwritten.next, checkpoint);
    this.#appended(false);
  }

  checkpoints(): ReadonlyMap<string, string> {
    return this.#checkpoints.newest();
  }

  #hasRoom(length: number): boolean {
    if (this.#closing) throw new Fault('closed', `the buffer of feed ${this.feed} is closed`);
    if (this.#unwritten.bytes + length <= limits.bufferUnwrittenBytesMax) return true;
    this.#refuse(length, this.#retryMs > 0 && !this.#wasFull ? 'failed' : 'full');
    return false;
  }

  #refuse(length: number, reason: string): void {
    if (this.#refused === 0) this.#options.log.warn('feed.refused', { feed: this.feed, reason, bytes: length });
    this.#refused += length;
    this.#unwritten.gap(length, reason);
    this.#appended(false);
  }

  #appended(urgent: boolean): void {
    if (urgent) this.#isUrgent = true;
    // While the disk refuses, the next try has its own time.
    if (this.#retryMs > 0) return;
    if (urgent || this.#unwritten.bytes >= limits.bufferFlushBytes) {
      if (this.#queuedFlush === null) this.#flushLater();
    } else this.#timer ??= this.#options.clock.after(limits.bufferFlushMs, () => this.#flushLater());
  }

  /** Nobody waits for it: a failure is noted and tried again. */
  #flushLater(): void {
    this.#timer?.cancel();
    this.#timer = null;
    void this.flush().catch(() => {});
  }

  flush(): Promise<void> {
    if (this.#closing) return this.#closing;
    // Appends that come before its turn are part of it.
    this.#queuedFlush ??= this.#inTurn(() => {
      this.#queuedFlush = null;
      return this.#writeOut();
    });
    return this.#queuedFlush;
  }

  #inTurn<Result>(run: () => Promise<Result>): Promise<Result> {
    const mine = this.#last.then(run);
    this.#last = mine.catch(() => {});
    return mine;
  }

  async #writeOut(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    const before = this.#segments.end;
    const urgent = this.#isUrgent;
    this.#isUrgent = false;
    try {
      for (;;) {
        const group = this.#unwritten.take(this.#segments.room);
        if (group.length === 0) break;
        await this.#stamps.noteBoot(group.map(({ frame }) => frame));
        await this.#bounds.makeRoom(group.reduce((sum, { bytes }) => sum + bytes.length, 0));
        // First, so that no bytes are there whose source would read them again; see buffer-checkpoints.ts.
        await this.#checkpoints.write(group.map(({ frame }) => frame.to));
        await this.#segments.write(group);
        this.#unwritten.done();
        this.#checkpoints.settle(this.#segments.end);
      }
      await this.#checkpoints.write([this.#segments.end]);
      this.#checkpoints.settle(this.#segments.end);
      await this.#wasWritten();
    } catch (thrown) {
      this.#unwritten.failed();
      this.#isUrgent ||= urgent;
      throw await this.#notWritten(thrown);
    } finally {
      if (this.#segments.end > before) for (const listener of this.#listeners) listener(urgent);
    }
  }

  async #wasWritten(): Promise<void> {
    if (this.#retryMs > 0) this.#options.log.info('feed.stores-again', { feed: this.feed });
    this.#retryMs = 0;
    const bytes = this.#refused;
    if (bytes === 0) return;
    this.#options.log.warn('feed.lost', { feed: this.feed, bytes });
    await this.#commit((state) => ({ lost: state.lost + bytes }));
    this.#refused -= bytes;
  }

  async #notWritten(thrown: unknown): Promise<Fault> {
    if (this.#retryMs === 0) this.#options.log.warn('feed.not-stored', { feed: this.feed, error: reasonOf(thrown) });
    this.#wasFull = isFull(thrown) || (isFault(thrown) && isFull(thrown.cause));
    this.#retryMs = Math.min(limits.bufferRetryMaxMs, Math.max(limits.bufferRetryFirstMs, this.#retryMs * 2));
    if (!this.#closing) this.#timer ??= this.#options.clock.after(this.#retryMs, () => this.#flushLater());
    // What everybody has is worth less than what is new.
    if (this.#wasFull) await this.#bounds.tidy(0).catch(() => {});
    return new Fault('busy', `feed ${this.feed} cannot be stored: ${reasonOf(thrown)}`, { remedy: 'look at free space and health of the disk', cause: thrown });
  }

  #tidyLater(): void {
    if (this.#closing) return;
    void this.#inTurn(() => this.#bounds.tidy(this.#options.settings.keptTailBytes)).catch((thrown: unknown) => this.#options.log.warn('feed.not-tidied', { feed: this.feed, error: reasonOf(thrown) }));
  }

  #commit(patch: StatePatch): Promise<void> {
    return this.#state.commit((state) => ({ end: this.#segments.end, ...patch(state) }));
  }

  async read(offset: number, max: number): Promise<BufferRead> {
    if (!Number.isSafeInteger(offset) || offset < 0 || max < 1) throw new Fault('bad-input', `no bytes can be read at ${offset}`);
    if (this.#closing) throw new Fault('closed', `the buffer of feed ${this.feed} is closed`);
    await this.#state.settle();
    const { shift } = this.#state.now;
    const at = offset + shift;
    if (at > this.#unwritten.next) throw new Fault('bad-input', `feed ${this.feed} ends at ${this.next}, before ${offset}`);
    if (at >= this.#segments.end && at < this.#unwritten.next) await this.flush();
    if (at >= this.#segments.end) return { bytes: Buffer.alloc(0), gap: null };
    const result = this.#goneAt(at, shift) ?? (await this.#readAt(at, max, shift));
    this.#handedTo = Math.max(this.#handedTo, result.gap === null ? at + result.bytes.length : result.gap.to + shift);
    return result;
  }

  async #readAt(at: number, max: number, shift: number): Promise<BufferRead> {
    const found = await this.#segments.read(at, max);
    // What it held may have been deleted, and the epoch changed, in between.
    if (this.#state.now.shift !== shift) throw new Fault('conflict', `feed ${this.feed} began a new epoch`);
    const goneSince = this.#goneAt(at, shift);
    if (goneSince) return goneSince;
    if ('reason' in found) return { bytes: null, gap: { from: found.from - shift, to: found.to - shift, reason: found.reason } };
    const bytes = await this.#stamps.bytesOf(found);
    const skip = at - found[0]!.frame.from;
    return { bytes: bytes.subarray(skip, skip + max), gap: null };
  }

  #goneAt(at: number, shift: number): BufferRead | null {
    const { first, forcedTo } = this.#state.now;
    if (at >= first) return null;
    const isForced = at < forcedTo;
    return { bytes: null, gap: { from: at - shift, to: (isForced ? Math.min(first, forcedTo) : first) - shift, reason: isForced ? 'wrap' : 'server-lost' } };
  }

  setClock(nowMs: number, uptimeMs: number): Promise<void> {
    return this.#stamps.setClock(nowMs, uptimeMs);
  }

  #known(destination: string): number {
    const position = this.#state.now.positions[destination];
    if (position === undefined) throw new Fault('not-found', `feed ${this.feed} has no destination ${destination}`);
    return position;
  }

  position(destination: string): number {
    return this.#known(destination) - this.#state.now.shift;
  }

  startOf(destination: string): number {
    this.#known(destination);
    return Math.max(0, (this.#state.now.starts[destination] ?? 0) - this.#state.now.shift);
  }

  async setPosition(destination: string, next: number): Promise<void> {
    this.#known(destination);
    if (!Number.isSafeInteger(next) || next < 0) throw new Fault('bad-input', `${next} is no position`);
    const { shift } = this.#state.now;
    const position = Math.min(next + shift, this.#handedTo);
    let isOther = false;
    await this.#commit((state) => {
      isOther = state.shift !== shift;
      return isOther ? {} : { positions: { ...state.positions, [destination]: position } };
    });
    if (isOther) throw new Fault('conflict', `feed ${this.feed} began a new epoch`);
    if (this.#segments.list.length > 1 || !this.#segments.isOpen) this.#tidyLater();
  }

  onAppended(listener: (urgent: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stats(): BufferStats {
    const { first, lost } = this.#state.now;
    const pending = Object.fromEntries(Object.entries(heldBy(this.#state.now)).map(([name, position]) => [name, this.#unwritten.next - Math.max(position, first)]));
    return { bytes: this.#segments.bytes + this.#unwritten.bytes, pending, lost: lost + this.#refused };
  }

  restart(reason: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#writeOut();
      const epoch = this.#options.random(8).toString('hex');
      // Again, when a position moved in between: what is delivered must not be carried over.
      for (;;) {
        let isDone = false;
        const before = this.#state.now.positions;
        const positions: Record<string, number> = {};
        for (const [name, position] of Object.entries(heldBy(this.#state.now))) positions[name] = await this.#recordStart(position);
        const all = Object.values(positions);
        await this.#commit((state) => {
          isDone = state.positions === before;
          return isDone ? { epoch, shift: all.length === 0 ? state.first : Math.min(...all), positions, starts: positions, lost: 0 } : {};
        });
        if (isDone) break;
      }
      const { shift } = this.#state.now;
      await this.#segments.seal();
      this.#segments.identity = { epoch, shift };
      this.#options.log.warn('feed.restarted', { feed: this.feed, epoch, reason, carried: this.#segments.end - shift });
    });
  }

  /** Where the record begins that `at` lies in; `at` where the format or the bytes do not show it. */
  async #recordStart(at: number): Promise<number> {
    const { first, shift } = this.#state.now;
    if (at >= this.#segments.end) return at;
    const least = Math.max(first, shift, at - recordBytesMax);
    let end = at;
    while (end > least) {
      const offset = this.format === 'lines' ? end - 1 : at;
      const found = await this.#segments.read(offset, 1);
      // A disk that reads badly for a moment must not split a record; one that does for good must not keep the old epoch.
      if ('reason' in found && found.isUnread && ++this.#restartsUnread < restartsUnreadMax) throw new Fault('busy', `feed ${this.feed} cannot be read at ${offset - shift}`, { remedy: 'look at the health of the disk' });
      const frame = 'reason' in found ? undefined : found[0];
      if (frame === undefined) return end;
      const { from } = frame.frame;
      if (this.format !== 'lines') return from + recordStart(this.format, frame.payload, at - from);
      const lineEnd = frame.payload.lastIndexOf(10, offset - from);
      if (lineEnd >= 0) return from + lineEnd + 1;
      end = from;
    }
    return end > shift && end > first ? at : end;
  }

  close(): Promise<void> {
    this.#closing ??= this.#inTurn(async () => {
      this.#minute.cancel();
      try {
        await this.#writeOut();
        await this.#commit(() => ({}));
      } finally {
        this.#timer?.cancel();
        await this.#segments.close();
        await this.#checkpoints.close();
        this.#unlock();
      }
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
