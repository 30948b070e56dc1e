// The segments of a feed's buffer on the disk.
//
// A segment is a file of frames (buffer-frames.ts), named EPOCH-SHIFT-START-SERIAL.seg. One file, not bytes beside an index of checksums:
// then one fsync makes both durable, and nothing can be torn between two files. Wire bytes lie in it as they are pushed, in runs of about
// 4 KiB, so reading them out is copying, never encoding; which run is where is learned by one pass over the file when it is first read.
//
// A segment ends where the one with the next serial starts, whatever stands behind in its file. So a file whose write or fsync failed is
// left at what was durable, the bytes that were not (they are still in memory) go into a new file, and the old one's tail never counts
// again. For the same reason nothing is ever appended to a file that an earlier process wrote: its last segment is copied first.
import { join } from 'node:path';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Log } from '#base/log.ts';
import { frameHeadBytes, noBoot, parseHead, payloadOf, scanFrames, sealFrame } from './buffer-frames.ts';
import type { Frame, PlacedFrame } from './buffer-frames.ts';
import type { Disk, DiskFile } from './disk.ts';
import { isPassing, readFileThrough, readTwice, saltOf, segmentName } from './segment-files.ts';
import type { SegmentIdentity, SegmentName } from './segment-files.ts';

/** A frame with room for its head in front. */
export interface FrameBytes {
  readonly frame: Frame;
  readonly bytes: Buffer;
}

export interface Gap {
  readonly from: number;
  readonly to: number;
  readonly reason: string;
  /** The disk did not give the bytes; later it may. */
  readonly isUnread?: boolean;
}

export interface ReadFrame {
  readonly frame: Frame;
  readonly payload: Buffer;
}

export interface Segment {
  readonly name: string;
  readonly start: number;
  readonly serial: number;
  /** Of the file, so far as it counts. */
  bytes: number;
  /** When the first and the newest of its bytes came, 0 unknown. */
  firstAtMs: number;
  lastAtMs: number;
  index: PlacedFrame[] | null;
}

/** More than any segment holds: so many offsets are given up when the last one cannot be opened. */
const unreadableBytes = 128 * 1024 * 1024;
/** Indexes that are kept of segments which are not written any more. */
const indexesMax = 4;

export interface SegmentsOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly log: Log;
  readonly segmentBytes: number;
}

/** In the order of offsets; the last is written to while `isOpen`. Writing, sealing and removing are done one after the other by the owner; reading at any time. */
export class Segments {
  readonly list: Segment[] = [];
  identity: SegmentIdentity;
  /** All before is durable or known to be lost. */
  end: number;
  #serial = 0;
  #file: DiskFile | null = null;
  readonly #options: SegmentsOptions;

  constructor(options: SegmentsOptions, identity: SegmentIdentity, end: number) {
    this.#options = options;
    this.identity = identity;
    this.end = end;
  }

  get bytes(): number {
    return this.list.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get isOpen(): boolean {
    return this.#file !== null;
  }

  /** What the next write may add before the segment is full. */
  get room(): number {
    return this.#file === null ? this.#options.segmentBytes : Math.max(1, this.#options.segmentBytes - this.list.at(-1)!.bytes);
  }

  endOf(index: number): number {
    return this.list[index + 1]?.start ?? this.end;
  }

  /**
   * Takes over what an earlier process left; `first` is where the buffer begins. The last segment is copied into a file of ours, durable,
   * because nobody knows which of its bytes are. Fault `busy` when the disk lets neither that nor an fsync of the old one be done.
   */
  async recover(names: readonly SegmentName[], first: number): Promise<void> {
    let stop = Number.POSITIVE_INFINITY;
    const kept: SegmentName[] = [];
    const passed: string[] = [];
    for (const name of names.toSorted((a, b) => b.serial - a.serial)) {
      this.#serial = Math.max(this.#serial, name.serial);
      // Nothing of it counts: a later one begins where it does, or all of it was deleted.
      if (name.start >= stop || stop <= first) passed.push(name.name);
      else {
        kept.unshift(name);
        stop = name.start;
      }
    }
    for (const { name, start, serial } of kept) this.list.push({ name, start, serial, bytes: await this.#sizeOf(name), firstAtMs: await this.#firstAtOf(name), lastAtMs: 0, index: null });
    for (let at = 0; at < this.list.length - 1; at++) this.list[at]!.lastAtMs = this.list[at + 1]!.firstAtMs;
    const last = this.list.pop();
    if (last !== undefined) {
      this.end = last.start;
      await this.#takeOver(last);
    }
    await this.#removeFiles(passed);
  }

  async #takeOver(old: Segment): Promise<void> {
    const { disk, folder, log } = this.#options;
    const path = join(folder, old.name);
    const found = await readFileThrough(disk, path);
    if (found === null) {
      log.warn('feed.damaged', { folder, segment: old.name });
      this.list.push(old);
      this.end = old.start + unreadableBytes;
      return;
    }
    const file = found.bytes;
    const scan = scanFrames(file, saltOf(old.name), old.start, Number.MAX_SAFE_INTEGER);
    if (scan.frames.length === 0 && scan.end === old.start) {
      await this.#removeFiles([old.name]);
      return;
    }
    const lastEnd = scan.frames.at(-1)?.to ?? old.start;
    const frames = scan.frames.map((frame) => ({ frame, bytes: Buffer.from(file.subarray(frame.position, frame.position + frameHeadBytes + frame.length)) }));
    if (scan.end > lastEnd) {
      log.warn('feed.damaged', { folder, segment: old.name, from: lastEnd, to: scan.end });
      frames.push({ frame: { kind: 'gap', from: lastEnd, to: scan.end, atMs: 0, boot: noBoot, length: 7, position: 0 }, bytes: Buffer.concat([Buffer.alloc(frameHeadBytes), Buffer.from('damaged')]) });
    }
    try {
      await this.#copy(old, frames);
      await this.#removeFiles([old.name]);
    } catch (thrown) {
      log.warn('feed.copy-failed', { folder, segment: old.name, error: reasonOf(thrown) });
      await this.#closeFile();
      // A full disk: what is there has to do, if the disk says now that it is durable.
      try {
        const unchanged = await disk.open(path, 'change');
        try {
          await unchanged.sync();
        } finally {
          await unchanged.close();
        }
      } catch (failed) {
        throw new Fault('busy', `the buffer in ${folder} cannot be made durable: ${reasonOf(failed)}`, { remedy: 'look at free space and health of the disk', cause: failed });
      }
      this.list.push({ ...old, lastAtMs: newest(scan.frames, 0), index: scan.frames });
    }
    this.end = scan.end;
  }

  async #copy(old: Segment, frames: readonly FrameBytes[]): Promise<void> {
    const { disk, folder } = this.#options;
    const serial = ++this.#serial;
    const name = segmentName(this.identity, old.start, serial);
    // Under another name until it is whole: a segment with this one's start would take the place of the old.
    const temporary = join(folder, `${name}.tmp`);
    await disk.remove(temporary);
    this.#file = await disk.open(temporary, 'create');
    const segment: Segment = { name, start: old.start, serial, bytes: 0, firstAtMs: 0, lastAtMs: 0, index: [] };
    await this.#put(segment, frames);
    await disk.rename(temporary, join(folder, name));
    await disk.syncFolder(folder);
    this.list.push(segment);
    if (segment.bytes >= this.#options.segmentBytes) await this.#closeFile();
  }

  async #put(segment: Segment, frames: readonly FrameBytes[]): Promise<void> {
    const salt = saltOf(segment.name);
    let position = segment.bytes;
    const placed: PlacedFrame[] = [];
    for (const { frame, bytes } of frames) {
      sealFrame(bytes, frame, salt);
      placed.push({ ...frame, position });
      position += frameHeadBytes + frame.length;
    }
    await this.#file!.write(Buffer.concat(frames.map(({ frame, bytes }) => bytes.subarray(0, frameHeadBytes + frame.length))), segment.bytes);
    await this.#file!.sync();
    segment.bytes = position;
    (segment.index ??= []).push(...placed);
    if (segment.firstAtMs === 0) segment.firstAtMs = placed[0]?.atMs ?? 0;
    segment.lastAtMs = newest(placed, segment.lastAtMs);
  }

  /** Durable when it resolves. When it throws, none of them are, and the file they went to is not used again. */
  async write(frames: readonly FrameBytes[]): Promise<void> {
    const { disk, folder, segmentBytes } = this.#options;
    try {
      let segment = this.list.at(-1);
      const isNew = this.#file === null || segment === undefined;
      if (isNew) {
        const serial = ++this.#serial;
        segment = { name: segmentName(this.identity, this.end, serial), start: this.end, serial, bytes: 0, firstAtMs: 0, lastAtMs: 0, index: [] };
        this.#file = await disk.open(join(folder, segment.name), 'create');
        this.list.push(segment);
      }
      await this.#put(segment!, frames);
      if (isNew) await disk.syncFolder(folder);
      this.end = frames.at(-1)!.frame.to;
      if (segment!.bytes >= segmentBytes) await this.seal();
    } catch (thrown) {
      await this.#abandon();
      throw thrown;
    }
  }

  /** Whatever the disk has of the file behind its durable end is cut off by the start of the next segment; cutting it here only saves room. */
  async #abandon(): Promise<void> {
    const { disk, folder } = this.#options;
    const segment = this.list.at(-1);
    if (this.#file === null || segment === undefined) return;
    const durable = (segment.index ?? []).filter((frame) => frame.to <= this.end);
    if (durable.length === 0) {
      await this.#closeFile();
      this.list.pop();
      await disk.remove(join(folder, segment.name)).catch(() => {});
      return;
    }
    segment.index = durable;
    const last = durable.at(-1)!;
    segment.bytes = last.position + frameHeadBytes + last.length;
    await this.#file.truncate(segment.bytes).catch(() => {});
    await this.#closeFile();
  }

  /** The next write begins a new segment. */
  async seal(): Promise<void> {
    await this.#closeFile();
    const indexed = this.list.filter(({ index }) => index !== null);
    for (const segment of indexed.slice(0, -indexesMax)) segment.index = null;
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.close().catch(() => {});
  }

  close(): Promise<void> {
    return this.#closeFile();
  }

  /** Where writing goes on, when more offsets are known to have been used than were found. */
  async skipTo(offset: number): Promise<void> {
    if (offset <= this.end) return;
    await this.seal();
    this.end = offset;
  }

  /** Deletes those that end at or before `first`; the caller has made that durable. */
  async removeBelow(first: number): Promise<void> {
    const names: string[] = [];
    while (this.list.length > (this.isOpen ? 1 : 0) && this.endOf(0) <= first) names.push(this.list.shift()!.name);
    await this.#removeFiles(names);
  }

  /** A file that cannot be deleted is in nobody's way: the next start tries again. */
  async #removeFiles(names: readonly string[]): Promise<void> {
    const { disk, folder, log } = this.#options;
    for (const name of names) {
      await disk.remove(join(folder, name)).catch((thrown: unknown) => log.warn('feed.remove-failed', { folder, segment: name, error: reasonOf(thrown) }));
    }
  }

  /** Some whole frames, the first of which has `offset`, about `max` bytes; or the gap that begins there. `offset` is below `end`. */
  async read(offset: number, max: number): Promise<readonly ReadFrame[] | Gap> {
    const at = this.list.findLastIndex(({ start }) => start <= offset);
    const segment = this.list[at];
    if (segment === undefined) return { from: offset, to: Math.min(this.list[0]?.start ?? this.end, this.end), reason: 'damaged' };
    const to = this.endOf(at);
    const { index, isWhole } = await this.#indexOf(segment, to);
    const hole = { from: offset, reason: 'damaged', ...(isWhole ? {} : { isUnread: true }) };
    const begin = firstBehind(index, offset);
    const frame = index[begin];
    // A frame that the segment's own file ends before was abandoned in the moment between.
    if (frame === undefined || frame.from >= to) return { ...hole, to };
    if (frame.from > offset) return { ...hole, to: Math.min(to, frame.from) };
    let last = begin;
    if (frame.kind !== 'gap') while (index[last + 1]?.from === index[last]!.to && index[last + 1]!.kind !== 'gap' && index[last + 1]!.to <= to && index[last + 1]!.to - offset <= max) last += 1;
    const frames = index.slice(begin, last + 1);
    const { found, isUnread } = await this.#payloads(segment, frames);
    if (frame.kind === 'gap') return { from: offset, to: frame.to, reason: found[0]?.payload.toString('latin1') ?? 'damaged' };
    if (found.length > 0) return found;
    this.#options.log.warn('feed.damaged', { folder: this.#options.folder, segment: segment.name, from: frame.from, to: frame.to });
    return { from: offset, to: frame.to, reason: 'damaged', ...(isUnread ? { isUnread } : {}) };
  }

  /** What is whole of them, up to the first that is not. */
  async #payloads(segment: Segment, frames: readonly PlacedFrame[]): Promise<{ readonly found: ReadFrame[]; readonly isUnread: boolean }> {
    const { disk, folder } = this.#options;
    const position = frames[0]!.position;
    const last = frames.at(-1)!;
    const file = await disk.open(join(folder, segment.name), 'read').catch((thrown: unknown) => {
      if (isPassing(thrown)) throw new Fault('busy', `${segment.name} cannot be opened now: ${reasonOf(thrown)}`, { cause: thrown });
      return null;
    });
    if (file === null) return { found: [], isUnread: true };
    try {
      const bytes = (await readTwice(file, position, last.position + frameHeadBytes + last.length - position)) ?? (await readTwice(file, position, frameHeadBytes + frames[0]!.length));
      if (bytes === null) return { found: [], isUnread: true };
      const salt = saltOf(segment.name);
      const found: ReadFrame[] = [];
      for (const frame of frames) {
        const head = parseHead(bytes, frame.position - position, salt);
        if (head === null || head.from !== frame.from || head.to !== frame.to) break;
        const payload = payloadOf(bytes, frame, frame.position - position, salt);
        if (payload === null) break;
        found.push({ frame: head, payload });
      }
      return { found, isUnread: false };
    } finally {
      await file.close().catch(() => {});
    }
  }

  async #indexOf(segment: Segment, to: number): Promise<{ readonly index: PlacedFrame[]; readonly isWhole: boolean }> {
    if (segment.index !== null) return { index: segment.index, isWhole: true };
    const { disk, folder, log } = this.#options;
    const { bytes, isWhole } = (await readFileThrough(disk, join(folder, segment.name))) ?? { bytes: Buffer.alloc(0), isWhole: false };
    const scan = scanFrames(bytes, saltOf(segment.name), segment.start, to);
    const indexed = this.list.filter((other) => other.index !== null);
    if (indexed.length >= indexesMax) for (const other of indexed.slice(0, -1)) other.index = null;
    if (isWhole) segment.index = scan.frames;
    const covered = scan.frames.reduce((sum, frame) => sum + frame.to - frame.from, 0);
    if (covered < to - segment.start) log.warn('feed.damaged', { folder, segment: segment.name, bytes: to - segment.start - covered });
    return { index: scan.frames, isWhole };
  }

  async #sizeOf(name: string): Promise<number> {
    return this.#ask(name, (file) => file.size(), 0);
  }

  async #firstAtOf(name: string): Promise<number> {
    return this.#ask(name, async (file) => parseHead(await file.read(0, frameHeadBytes), 0, saltOf(name))?.atMs ?? 0, 0);
  }

  async #ask<Result>(name: string, ask: (file: DiskFile) => Promise<Result>, otherwise: Result): Promise<Result> {
    const { disk, folder } = this.#options;
    let file: DiskFile | null = null;
    try {
      file = await disk.open(join(folder, name), 'read');
      return await ask(file);
    } catch {
      return otherwise;
    } finally {
      await file?.close().catch(() => {});
    }
  }
}

/** 0 when it is not known of the newest: it must not be taken for as old as those before. */
const newest = (frames: readonly Frame[], before: number): number => frames.reduce((at, { kind, atMs }) => (kind === 'gap' ? at : atMs === 0 ? 0 : Math.max(at, atMs)), before);

/** The first that ends behind `offset`. */
function firstBehind(index: readonly PlacedFrame[], offset: number): number {
  let low = 0;
  let high = index.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (index[middle]!.to <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
