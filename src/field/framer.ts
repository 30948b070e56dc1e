// Bytes without ends, cut into records. Every decision is made byte by byte, so that any split of a stream gives the same records, and a
// record's end with the few states beside it is enough to go on from there after a restart.
import { limits } from '#base/limits.ts';
import type { Framing } from './source-settings.ts';

/** Where to go on behind a record. */
export interface FramerPlace {
  /** Bytes of the stream up to here. */
  readonly at: number;
  /** `c`: behind a CR, an LF or NUL that follows at once belongs to it. `i`: inside STX … ETX. */
  readonly state: '' | 'c' | 'i';
}

export interface Framer {
  push(bytes: Uint8Array): void;
  /** The bytes that wait for their end are a record now: a pause, the end of a file, a peer that left. */
  cut(): void;
  /** Bytes that wait for their end. */
  openBytes(): number;
  /** Frames that had no end, or were shorter than they should be, and were left out. */
  broken(): number;
}

/** The record is a copy and the receiver's own. */
export type OnFramed = (record: Buffer, behind: FramerPlace) => void;

const lf = 10;
const cr = 13;
const stx = 2;
const etx = 3;

export function openFramer(framing: Framing, onRecord: OnFramed, from: FramerPlace = { at: 0, state: '' }, bytesMax: number = limits.feedRecordBytesMax): Framer {
  let hold: Buffer = Buffer.allocUnsafe(512);
  let length = 0;
  let { at, state } = from;
  let broken = 0;

  const keep = (byte: number) => {
    if (length === hold.length) {
      const grown = Buffer.allocUnsafe(Math.min(hold.length * 4, bytesMax + 1));
      hold.copy(grown);
      hold = grown;
    }
    hold[length++] = byte;
  };
  const give = (end: number, isEmptyToo: boolean) => {
    const record = Buffer.from(hold.subarray(0, length));
    length = 0;
    if (record.length > 0 || isEmptyToo) onRecord(record, { at: end, state });
  };

  /** `at` stands behind the byte while it is looked at. */
  const steps: Record<Framing['kind'], (byte: number) => void> = {
    none: keep,
    lines(byte) {
      const { end, keepEmpty } = framing as Extract<Framing, { kind: 'lines' }>;
      if (state === 'c') {
        state = '';
        if (byte === lf || byte === 0) return;
      }
      const ends = end === 'any' ? byte === lf || byte === cr || byte === 0 : end === 'cr' ? byte === cr : end === 'nul' ? byte === 0 : byte === lf;
      if (ends && end === 'crlf') {
        if (length > 0 && hold[length - 1] === cr) {
          length -= 1;
          return give(at, keepEmpty);
        }
      } else if (ends) {
        if (end === 'any' && byte === cr) state = 'c';
        return give(at, keepEmpty);
      }
      // Cut when the byte behind it comes: a line of exactly so many bytes is whole (docs/wire/device.md §3).
      if (length === bytesMax) give(at - 1, true);
      keep(byte);
    },
    idle(byte) {
      if (length === bytesMax) give(at - 1, true);
      keep(byte);
    },
    fixed(byte) {
      keep(byte);
      if (length === (framing as Extract<Framing, { kind: 'fixed' }>).bytes) give(at, true);
    },
    'stx-etx'(byte) {
      if (byte === stx) {
        // A second beginning: the first one's end was lost on the line.
        if (state === 'i') broken += 1;
        state = 'i';
        length = 0;
      } else if (state === 'i' && byte === etx) {
        state = '';
        give(at, true);
      } else if (state === 'i') {
        if (length === bytesMax) give(at - 1, true);
        keep(byte);
      }
      // What stands between ETX and STX is a check sum or a pause; it is no part of a record.
    },
  };
  const step = steps[framing.kind];

  return {
    push(bytes) {
      for (const byte of bytes) {
        at += 1;
        step(byte);
      }
    },
    cut() {
      if (framing.kind === 'fixed' || framing.kind === 'stx-etx') {
        if (length > 0 || state === 'i') broken += 1;
        length = 0;
        state = '';
        return;
      }
      if (length > 0) give(at, false);
      state = '';
    },
    openBytes: () => length,
    broken: () => broken,
  };
}
