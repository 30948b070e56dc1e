// A feed's buffer in memory, for tests of what reads one.
import { randomBytes } from 'node:crypto';
import type { DeliveredBuffer } from '#field/delivery-work.ts';

export interface MemoryBuffer extends DeliveredBuffer {
  append(bytes: Buffer | string, urgent?: boolean): void;
  /** What is before is gone, delivered or not. */
  drop(before: number, reason: string): void;
  /** The end is gone, as after a disk that lied. */
  shrink(to: number): void;
  stats(): { bytes: number; pending: Record<string, number>; lost: number };
  readonly restarts: string[];
}

export function memoryBuffer(feed: string, destinations: readonly string[], format = 'lines'): MemoryBuffer {
  let epoch = randomBytes(8).toString('hex');
  let bytes = Buffer.alloc(0);
  let first = 0;
  let gone = 'wrap';
  let positions = new Map<string, number>();
  let starts = new Map<string, number>();
  const listeners = new Set<(urgent: boolean) => void>();
  const restarts: string[] = [];
  const next = () => first + bytes.length;
  return {
    feed,
    format,
    restarts,
    get epoch() {
      return epoch;
    },
    get next() {
      return next();
    },
    get first() {
      return first;
    },
    append(more, urgent = false) {
      bytes = Buffer.concat([bytes, Buffer.from(more as string)]);
      for (const listener of listeners) listener(urgent);
    },
    drop(before, reason) {
      gone = reason;
      bytes = bytes.subarray(before - first);
      first = before;
    },
    shrink(to) {
      bytes = bytes.subarray(0, to - first);
    },
    flush: () => Promise.resolve(),
    read: (offset, max) =>
      Promise.resolve(offset < first ? { bytes: null, gap: { from: offset, to: first, reason: gone } } : { bytes: Buffer.from(bytes.subarray(offset - first, offset - first + max)), gap: null }),
    position: (destination) => positions.get(destination) ?? 0,
    setPosition(destination, at) {
      positions.set(destination, at);
      return Promise.resolve();
    },
    startOf: (destination) => starts.get(destination) ?? 0,
    onAppended(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stats: () => ({ bytes: bytes.length, pending: {}, lost: 0 }),
    restart(reason) {
      restarts.push(reason);
      const base = Math.min(...destinations.map((each) => Math.max(first, Math.min(positions.get(each) ?? 0, next()))));
      positions = new Map(destinations.map((each) => [each, Math.max(0, (positions.get(each) ?? 0) - base)]));
      starts = new Map(positions);
      bytes = bytes.subarray(base - first);
      first = 0;
      epoch = randomBytes(8).toString('hex');
      return Promise.resolve();
    },
  };
}
