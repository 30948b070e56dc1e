// What was appended to a feed's buffer and is not durable yet: frames that are being filled, in memory. They stay here until an fsync has
// said that they are on the disk, because after one that failed the system may have thrown away what it was given.
import { frameBytes, frameHeadBytes, noBoot } from './buffer-frames.ts';
import type { Frame, FrameKind } from './buffer-frames.ts';
import type { FrameBytes } from './buffer-segments.ts';

interface Filling {
  kind: FrameKind;
  from: number;
  to: number;
  atMs: number;
  boot: string;
  length: number;
  bytes: Buffer;
}

export class Unwritten {
  /** Where the next byte goes. */
  next: number;
  /** Memory that is held. */
  bytes = 0;
  #frames: Filling[] = [];
  /** So many at the front are being written and do not change. */
  #taken = 0;
  /** Whether the last may still grow. */
  #isFilling = false;

  constructor(next: number) {
    this.next = next;
  }

  /** A place of so many bytes to write to, in a frame of this kind. */
  place(kind: 'data' | 'uptime', boot: string, nowMs: () => number, length: number): { readonly bytes: Buffer; readonly at: number } {
    let frame = this.#frames.at(-1);
    if (!this.#isFilling || frame === undefined || frame.kind !== kind || frameHeadBytes + frame.length + length > frame.bytes.length) {
      frame = { kind, from: this.next, to: this.next, atMs: nowMs(), boot, length: 0, bytes: Buffer.allocUnsafe(frameHeadBytes + Math.max(frameBytes, length)) };
      this.#frames.push(frame);
      this.#isFilling = true;
      this.bytes += frame.bytes.length;
    }
    const at = frameHeadBytes + frame.length;
    frame.length += length;
    frame.to += length;
    this.next += length;
    return { bytes: frame.bytes, at };
  }

  /** So many bytes will never be there. */
  gap(length: number, reason: string): void {
    this.#isFilling = false;
    const last = this.#frames.at(-1);
    if (last?.kind === 'gap' && this.#frames.length > this.#taken) last.to += length;
    else {
      const text = Buffer.from(reason, 'latin1');
      const bytes = Buffer.concat([Buffer.alloc(frameHeadBytes), text]);
      this.#frames.push({ kind: 'gap', from: this.next, to: this.next + length, atMs: 0, boot: noBoot, length: text.length, bytes });
      this.bytes += bytes.length;
    }
    this.next += length;
  }

  /** The oldest frames, at least one if there is any, about so many bytes. Until `done` or `failed` they stay as they are. */
  take(bytesMax: number): FrameBytes[] {
    this.#isFilling = false;
    let bytes = 0;
    this.#taken = 0;
    for (const frame of this.#frames) {
      bytes += frameHeadBytes + frame.length;
      if (this.#taken > 0 && bytes > bytesMax) break;
      this.#taken += 1;
    }
    return this.#frames.slice(0, this.#taken).map((frame) => ({ frame: frame satisfies Frame, bytes: frame.bytes }));
  }

  /** What was taken is durable. */
  done(): void {
    for (const { bytes } of this.#frames.splice(0, this.#taken)) this.bytes -= bytes.length;
    this.#taken = 0;
  }

  failed(): void {
    this.#taken = 0;
  }
}
