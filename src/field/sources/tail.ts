// One file that is followed. What it gives is exact: each record goes on together with the place behind it, and bytes count only when the
// file was still the same one after they were read (it may be truncated, and grow again, between any two steps).
import { stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { Fault } from '#base/fault.ts';
import { openFramer } from '../framer.ts';
import type { FramerPlace } from '../framer.ts';
import type { Intake, KeptMark, Mark } from '../intake.ts';
import type { Framing } from '../source-settings.ts';
import { backBytes, fingerprintOf, hasFingerprint, headBytes, readAt } from './folder.ts';
import type { Fingerprint } from './folder.ts';
import type { Tally } from './source.ts';

export interface TailOptions {
  readonly handle: FileHandle;
  readonly key: string;
  readonly path: string;
  readonly bornMs: number;
  readonly framing: Framing;
  readonly intake: Intake;
  readonly tally: Tally;
  nowMs(): number;
}

export interface Tail {
  readonly key: string;
  readonly bornMs: number;
  /** Its name as the pattern finds it; a rotated one keeps the name that it had. */
  path: string;
  /** Its name leads to another file now. */
  isRotated: boolean;
  /** When it last grew, by the caller's clock. */
  grewMs: number;
  /** Bytes that were looked at; the last of them may wait for their record's end. */
  readBytes(): number;
  /** Reads what is new, at most one piece. */
  readOn(): Promise<'some' | 'end' | 'truncated'>;
  /** Behind the last record. */
  lastMark(): Mark;
  /** No bytes wait for their record's end. */
  isAtRest(): boolean;
  /** What waits for its end is a record. */
  cut(): void;
  /** From the beginning, as another turn. */
  beginAgain(): void;
  /** Goes on at its end, as if all before had been taken. */
  skipToEnd(): Promise<void>;
  /** All feeds have what there is up to here; with `always` also when nothing is new since the last time. */
  mark(always?: boolean): void;
  /** As `mark`, and: it was read to its end. */
  rest(): void;
  /** The same of a file by another key, whose bytes these were; `turn` is behind whatever that key had. */
  restAs(key: string, turn: number): void;
  /** Of all bytes that were looked at; `lastMark` has that of the records. */
  readPrint(): Fingerprint;
  facts(): Promise<{ readonly bytes: number; readonly changedMs: number }>;
  /** Whether a file of so many bytes is a copy of this turn, whole or not; it may be one that is truncated in a moment, or just was. */
  isCopied(to: FileHandle, bytes: number): Promise<boolean>;
  /** Something was written to it, or cut from it, since it was opened or last found at its end. */
  hasChanged(): Promise<boolean>;
  /** Whether its path still leads to it. */
  isAtItsName(): Promise<boolean>;
  close(): Promise<void>;
}

const stateIn = (from: KeptMark['from'] | null): FramerPlace['state'] => (from?.more['state'] ?? '') as FramerPlace['state'];

const pieceBytes = 64 * 1024;
/** As long as `at` may stand behind what was read last, by a record that is cut one byte back. */
const windowBytes = backBytes * 2;

/** The fingerprint that a mark carries. */
export function fingerprintIn({ at, more }: Mark): Fingerprint {
  return { at, head: String(more['head']), back: String(more['back']) };
}

/** `mark`: its fingerprint is the file's; null: from its beginning. `turn`: the first one, without a mark. Fault `conflict`: it has changed just now. */
export async function openTail(options: TailOptions, mark: KeptMark | null, turn = 1): Promise<Tail> {
  const { handle, key, framing, intake, tally } = options;
  const from = mark?.from ?? null;
  let turnNow = mark?.turn ?? turn;
  let read = from?.at ?? 0;
  let head: Buffer = Buffer.alloc(0);
  /** The last bytes before `read`, and while a piece is taken also that piece. */
  let window: Buffer = Buffer.alloc(0);
  let windowEnd = 0;
  let seenMs = -1;
  const { mtimeMs: openedMs } = await handle.stat();
  const load = async () => {
    head = await readAt(handle, 0, Math.min(read, headBytes));
    window = await readAt(handle, Math.max(0, read - windowBytes), Math.min(read, windowBytes));
    windowEnd = read;
  };
  await load();
  let marked = mark === null || mark.at !== read ? '' : `${turnNow}:${read}`;

  const printAt = (at: number): Fingerprint => {
    const end = window.length - (windowEnd - at);
    return fingerprintOf(at, head.subarray(0, Math.min(at, headBytes)), window.subarray(Math.max(0, end - backBytes), end));
  };
  // Between the look that found it and this one somebody truncated it. The next look will see.
  if (mark !== null && !(await hasFingerprint(handle, fingerprintIn(mark)))) throw new Fault('conflict', `${options.path} changed while it was opened`);
  const markAt = ({ at, state }: FramerPlace): Mark => {
    const { head: first, back } = printAt(at);
    return { key, turn: turnNow, at, more: { path: tail.path, born: options.bornMs, ms: options.nowMs(), state, head: first, back } };
  };
  const give = (record: Buffer, behind: FramerPlace) => {
    last = markAt(behind);
    tally.tookRecord();
    intake.record(record, last);
  };
  let framer = openFramer(framing, give, { at: read, state: stateIn(from) });
  const take = (bytes: Buffer) => {
    tally.bytes += bytes.length;
    if (head.length < headBytes) head = Buffer.concat([head, bytes.subarray(0, headBytes - head.length)]);
    window = Buffer.concat([window, bytes]);
    read += bytes.length;
    windowEnd = read;
    if (framing.kind === 'none') {
      last = markAt({ at: read, state: '' });
      intake.bytes(bytes, last);
    } else framer.push(bytes);
    window = Buffer.from(window.subarray(-windowBytes));
  };
  const pause = async () => {
    if (!(await intake.ready())) throw new Fault('closed', 'the source is being closed');
  };

  const tail: Tail = {
    key,
    bornMs: options.bornMs,
    path: options.path,
    isRotated: false,
    grewMs: 0,
    readBytes: () => read,
    async readOn() {
      const before = await handle.stat();
      if (before.size === read && before.mtimeMs === seenMs) return 'end';
      const bytes = await readAt(handle, read, pieceBytes);
      // Asked after reading: if it is the same file now, it was the same when the bytes were read.
      const { size } = await handle.stat();
      if (size < read || !(await hasFingerprint(handle, printAt(read)))) return 'truncated';
      if (bytes.length === 0) {
        seenMs = before.mtimeMs;
        return 'end';
      }
      take(bytes);
      await pause();
      return 'some';
    },
    cut: () => framer.cut(),
    beginAgain() {
      tally.dropped += framer.broken();
      turnNow += 1;
      read = 0;
      head = Buffer.alloc(0);
      window = Buffer.alloc(0);
      windowEnd = 0;
      framer = openFramer(framing, give);
      last = markAt({ at: 0, state: '' });
      tail.mark(true);
    },
    mark(always = false) {
      const place = `${last.turn}:${last.at}`;
      if (marked === place && !always) return;
      marked = place;
      intake.markAll(last);
    },
    async skipToEnd() {
      read = (await handle.stat()).size;
      await load();
      framer = openFramer(framing, give, { at: read, state: '' });
      last = markAt({ at: read, state: '' });
    },
    rest() {
      last = { ...last, more: { ...last.more, rest: 1 } };
      intake.markAll(last);
    },
    restAs(other, otherTurn) {
      const mine = markAt({ at: read, state: '' });
      intake.markAll({ ...mine, key: other, turn: otherTurn, more: { ...mine.more, rest: 1 } });
    },
    async facts() {
      const { size, mtimeMs } = await handle.stat();
      return { bytes: size, changedMs: Math.trunc(mtimeMs) };
    },
    async isCopied(to, bytes) {
      if (read === 0 || bytes === 0) return false;
      if (bytes >= read) return hasFingerprint(to, printAt(read));
      // We have read on since it was made: its end is nowhere any more, perhaps.
      const length = Math.min(bytes, head.length);
      return (await readAt(to, 0, length)).equals(head.subarray(0, length));
    },
    async hasChanged() {
      return (await handle.stat()).mtimeMs !== (seenMs < 0 ? openedMs : seenMs);
    },
    async isAtItsName() {
      const [mine, named] = await Promise.all([handle.stat({ bigint: true }), stat(tail.path, { bigint: true }).catch(() => null)]);
      return named !== null && named.ino === mine.ino && named.dev === mine.dev;
    },
    lastMark: () => last,
    readPrint: () => printAt(read),
    isAtRest: () => framer.openBytes() === 0,
    async close() {
      tally.dropped += framer.broken();
      await handle.close();
    },
  };
  let last = markAt({ at: read, state: stateIn(from) });
  return tail;
}
