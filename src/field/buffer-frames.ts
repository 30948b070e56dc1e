// Frames: what a segment of a feed's buffer consists of. A frame is a head with its own checksum, then wire bytes as they will be
// pushed (some whole records, about 4 KiB), or the reason of a gap. Pure bytes; docs/wire/device.md §3 has the record's form.
//
//   0 magic "PFB1"    4 kind, 3 zeros    8 from (u64)    16 to (u64)    24 milliseconds since 1970 when it was begun, 0 unknown
//  32 tag of the boot (8)    40 length of what follows    44 its CRC32C    48 CRC32C of the head so far
//
// Checksums begin with the segment's salt (from its name), so that a feed that carries a copy of such a file cannot fool the search for
// the next whole frame behind damage.
import { recordBytesMax } from '#wire/records.ts';
import { crc32c } from '#wire/crc32c.ts';

export const frameHeadBytes = 52;
/** A frame is closed when the next record would make it longer; damage costs whole frames. */
export const frameBytes = 4 * 1024;
export const stampedHeadBytes = 12;
export const framePayloadBytesMax = recordBytesMax + stampedHeadBytes;
const magic = 0x50464231;

/** `data`: wire bytes. `uptime`: the same, but the stamps are milliseconds since the boot. `gap`: no bytes, a reason. */
export type FrameKind = 'data' | 'uptime' | 'gap';
const kinds: readonly FrameKind[] = ['data', 'uptime', 'gap'];
export const noBoot = '0000000000000000';

export interface Frame {
  readonly kind: FrameKind;
  /** Of its bytes, as the buffer counts; a gap has none but its span. */
  readonly from: number;
  readonly to: number;
  readonly atMs: number;
  /** 16 hex digits; of `uptime` alone. */
  readonly boot: string;
  /** Of what follows the head. */
  readonly length: number;
}

/** Where it stands in its file. */
export interface PlacedFrame extends Frame {
  readonly position: number;
}

function putU64(bytes: Buffer, value: number, at: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  bytes.writeInt32BE(high, at);
  bytes.writeUInt32BE(value - high * 0x1_0000_0000, at + 4);
}

const takeI64 = (bytes: Buffer, at: number): number => bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);

/** Writes the head before what stands behind it already. `bytes` is the whole frame. */
export function sealFrame(bytes: Buffer, frame: Frame, salt: number): void {
  bytes.writeUInt32BE(magic, 0);
  bytes.writeUInt32BE((kinds.indexOf(frame.kind) + 1) * 0x100_0000, 4);
  putU64(bytes, frame.from, 8);
  putU64(bytes, frame.to, 16);
  putU64(bytes, frame.atMs, 24);
  bytes.write(frame.boot, 32, 8, 'hex');
  bytes.writeUInt32BE(frame.length, 40);
  bytes.writeUInt32BE(crc32c(bytes.subarray(frameHeadBytes, frameHeadBytes + frame.length), salt), 44);
  bytes.writeUInt32BE(crc32c(bytes.subarray(0, 48), salt), 48);
}

/** The frame whose head stands at `position`; null when none does. What follows it is not looked at. */
export function parseHead(bytes: Buffer, position: number, salt: number): PlacedFrame | null {
  if (bytes.length - position < frameHeadBytes || bytes.readUInt32BE(position) !== magic) return null;
  if (crc32c(bytes.subarray(position, position + 48), salt) !== bytes.readUInt32BE(position + 48)) return null;
  const kind = kinds[bytes[position + 4]! - 1];
  const from = takeI64(bytes, position + 8);
  const to = takeI64(bytes, position + 16);
  const length = bytes.readUInt32BE(position + 40);
  if (kind === undefined || from >= to || length > framePayloadBytesMax || (kind !== 'gap' && to - from !== length)) return null;
  return { kind, from, to, atMs: takeI64(bytes, position + 24), boot: bytes.toString('hex', position + 32, position + 40), length, position };
}

/** What follows the head at `position`; null when it is not all there or not what was written. */
export function payloadOf(bytes: Buffer, frame: Frame, position: number, salt: number): Buffer | null {
  const payload = bytes.subarray(position + frameHeadBytes, position + frameHeadBytes + frame.length);
  if (payload.length !== frame.length) return null;
  return crc32c(payload, salt) === bytes.readUInt32BE(position + 44) ? payload : null;
}

export interface Scan {
  readonly frames: PlacedFrame[];
  /**
   * Offsets up to here may have stood in the file. Equal to the last frame's end where the file ends in order, or in the way that a power
   * cut leaves what was never flushed: too short, or zeros. Beyond it where other bytes stand behind the last whole frame: nobody can
   * tell whether they were flushed before they were damaged, so no offset that they may have had is ever given again.
   */
  readonly end: number;
}

const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0);

/** All whole frames of a segment's file, of offsets from `from` up to `to`, in order. Never throws. */
export function scanFrames(bytes: Buffer, salt: number, from: number, to: number): Scan {
  const frames: PlacedFrame[] = [];
  let expected = from;
  let position = 0;
  const next = (start: number): PlacedFrame | null => {
    const frame = parseHead(bytes, start, salt);
    return frame !== null && frame.from >= expected && frame.to <= to ? frame : null;
  };
  while (position < bytes.length) {
    const frame = next(position);
    if (frame === null) {
      const found = nextHead(bytes, position + 1, next);
      if (found < 0) break;
      position = found;
      continue;
    }
    const after = position + frameHeadBytes + frame.length;
    // Its head was written and the file ends before it does: torn.
    if (after > bytes.length) return { frames, end: expected };
    if (payloadOf(bytes, frame, position, salt) !== null) frames.push(frame);
    expected = frame.to;
    position = after;
  }
  const rest = bytes.subarray(position);
  return { frames, end: rest.length < frameHeadBytes || isZero(rest) ? expected : Math.min(to, expected + rest.length) };
}

function nextHead(bytes: Buffer, start: number, accept: (position: number) => PlacedFrame | null): number {
  const mark = Buffer.from('PFB1');
  for (let at = bytes.indexOf(mark, start); at >= 0; at = bytes.indexOf(mark, at + 1)) if (accept(at) !== null) return at;
  return -1;
}

/** Writes a record as `stamped` has it; `atMs` is a whole number. Not by BigInt: this is done for every record. */
export function putStamped(bytes: Buffer, at: number, atMs: number, record: Uint8Array): void {
  bytes.writeUInt32BE(8 + record.length, at);
  putU64(bytes, atMs, at + 4);
  bytes.set(record, at + stampedHeadBytes);
}

/** The stamp of a record taken so long after a boot whose time was never learned: negative, which no time of a device is. */
export const unknownStamp = (uptimeMs: number): number => -1 - uptimeMs;

/** A copy in which every stamp, a time since the boot, is what `stampOf` makes of it. `payload` is whole records. */
export function restamp(payload: Buffer, stampOf: (uptimeMs: number) => number): Buffer {
  const bytes = Buffer.from(payload);
  for (let at = 0; bytes.length - at >= stampedHeadBytes; at += 4 + bytes.readUInt32BE(at)) putU64(bytes, stampOf(takeI64(bytes, at + 4)), at + 4);
  return bytes;
}

/** Where in a frame of records with prefixes the one begins that `at` lies in; `at` where that cannot be told. */
export function recordStart(format: string, payload: Buffer, at: number): number {
  const prefix = format === 'u16' ? 2 : format === 'u32' || format === 'stamped' ? 4 : 0;
  if (prefix === 0) return at;
  let begin = 0;
  while (payload.length - begin >= prefix) {
    const end = begin + prefix + (prefix === 2 ? payload.readUInt16BE(begin) : payload.readUInt32BE(begin));
    if (end > at) return end <= payload.length ? begin : at;
    begin = end;
  }
  return at;
}
