// A feed's bytes as records (docs/wire/device.md §3). A record's identity is the offset of its first byte; the same bytes give
// the same records however they were cut into batches, because nothing is decided before all that decides it is there.
// What has to be kept between two batches is one number, where the open record begins: its bytes are stored already.

export type RecordFormat = { readonly kind: 'raw' | 'lines' | 'u16' | 'u32' | 'stamped' } | { readonly kind: 'fixed'; readonly length: number };

export const recordBytesMax = 65_536;
const LF = 10;
const CR = 13;
const noBytes = Buffer.alloc(0);
const stampBytes = 8;

/** null when it is none of the page's. */
export function parseFormat(text: string): RecordFormat | null {
  if (text === 'raw' || text === 'lines' || text === 'u16' || text === 'u32' || text === 'stamped') return { kind: text };
  const fixed = /^fixed:([1-9]\d{0,4})$/.exec(text);
  if (fixed === null) return null;
  const length = Number(fixed[1]);
  return length <= recordBytesMax ? { kind: 'fixed', length } : null;
}

export const encodeFormat = (format: RecordFormat): string => (format.kind === 'fixed' ? `fixed:${format.length}` : format.kind);

export interface FeedRecord {
  /** Of its first byte, prefix included: its identity. */
  readonly off: number;
  /** Behind its last byte, terminator included. */
  readonly end: number;
  /** Without prefix, stamp and terminator. A view of what was pushed: copy what is to stay. */
  readonly bytes: Buffer;
  /** `stamped`: milliseconds since 1970 UTC, as the device says; else null. */
  readonly atMs: number | null;
  /** A gap came before its end. */
  readonly broken: boolean;
}

/** null: they are only counted, which costs a third. */
export type OnRecord = ((record: FeedRecord) => void) | null;

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Splits one epoch's bytes, given in order. */
export class RecordSplitter {
  readonly format: RecordFormat;
  /** Where the record that is open begins; where all is whole, the end. */
  boundary: number;
  /** A length could not be: from `boundary` on these are only bytes, until a gap. */
  unframed: boolean;
  /** How many there were. */
  records = 0;
  #carry: Buffer = noBytes;
  /** So much of the carry was looked at and holds no end. */
  #searched = 0;
  /** Unframed bytes are not carried, only counted. */
  #end: number;

  constructor(format: RecordFormat, boundary: number, unframed = false) {
    this.format = format;
    this.boundary = boundary;
    this.unframed = unframed;
    this.#end = boundary;
  }

  /** The offset behind all that was pushed. */
  get end(): number {
    return this.#end;
  }

  /** Of the record that is open: held in memory. */
  get heldBytes(): number {
    return this.#carry.length;
  }

  push(piece: Uint8Array, onRecord: OnRecord): void {
    this.#end += piece.length;
    if (this.format.kind === 'raw') {
      this.boundary = this.#end;
      return;
    }
    if (this.unframed) return;
    const bytes = this.#carry.length === 0 ? asBuffer(piece) : Buffer.concat([this.#carry, piece]);
    const used = this.format.kind === 'lines' ? this.#lines(bytes, onRecord) : this.format.kind === 'fixed' ? this.#fixed(bytes, this.format.length, onRecord) : this.#prefixed(bytes, onRecord);
    this.boundary += used;
    // A copy: a view of a large batch would keep all of it in memory for the few bytes at its end.
    this.#carry = this.unframed || used === bytes.length ? noBytes : Buffer.from(bytes.subarray(used));
    if (used > 0) this.#searched = 0;
    if (this.format.kind === 'lines') this.#searched = Math.min(this.#carry.length, recordBytesMax);
  }

  /** Bytes up to `to` are lost: what is open ends there as `broken`, and splitting begins anew. */
  gap(to: number, onRecord: OnRecord): void {
    if (this.#carry.length > 0) this.records += 1;
    if (this.#carry.length > 0 && onRecord !== null) {
      const skip = this.format.kind === 'lines' || this.format.kind === 'fixed' ? 0 : prefixBytes(this.format.kind);
      onRecord({ off: this.boundary, end: this.boundary + this.#carry.length, bytes: this.#carry.subarray(Math.min(skip, this.#carry.length)), atMs: null, broken: true });
    }
    this.#carry = noBytes;
    this.#searched = 0;
    this.unframed = false;
    this.boundary = to;
    this.#end = to;
  }

  #lines(bytes: Buffer, onRecord: OnRecord): number {
    let at = 0;
    let from = this.#searched;
    for (;;) {
      const found = bytes.indexOf(LF, from);
      const stop = found < 0 ? bytes.length : found;
      if (stop - at > recordBytesMax) {
        this.records += 1;
        onRecord?.({ off: this.boundary + at, end: this.boundary + at + recordBytesMax, bytes: bytes.subarray(at, at + recordBytesMax), atMs: null, broken: false });
        at += recordBytesMax;
        // What was searched holds no other end than `stop`.
        from = stop;
        continue;
      }
      if (found < 0) return at;
      this.records += 1;
      if (onRecord !== null) {
        const last = found > at && bytes[found - 1] === CR ? found - 1 : found;
        onRecord({ off: this.boundary + at, end: this.boundary + found + 1, bytes: bytes.subarray(at, last), atMs: null, broken: false });
      }
      at = found + 1;
      from = at;
    }
  }

  #fixed(bytes: Buffer, length: number, onRecord: OnRecord): number {
    let at = 0;
    for (; bytes.length - at >= length; at += length, this.records += 1) onRecord?.({ off: this.boundary + at, end: this.boundary + at + length, bytes: bytes.subarray(at, at + length), atMs: null, broken: false });
    return at;
  }

  #prefixed(bytes: Buffer, onRecord: OnRecord): number {
    const isStamped = this.format.kind === 'stamped';
    const isShort = this.format.kind === 'u16';
    const head = isShort ? 2 : 4;
    const least = isStamped ? stampBytes : 0;
    const most = isStamped ? recordBytesMax + stampBytes : recordBytesMax;
    let at = 0;
    while (bytes.length - at >= head) {
      const length = isShort ? bytes.readUInt16BE(at) : bytes.readUInt32BE(at);
      if (length < least || length > most) {
        this.unframed = true;
        return at;
      }
      const end = at + head + length;
      if (end > bytes.length) return at;
      this.records += 1;
      if (onRecord !== null) {
        const atMs = isStamped ? Number(bytes.readBigInt64BE(at + head)) : null;
        onRecord({ off: this.boundary + at, end: this.boundary + end, bytes: bytes.subarray(at + head + least, end), atMs, broken: false });
      }
      at = end;
    }
    return at;
  }
}

function prefixBytes(kind: 'raw' | 'u16' | 'u32' | 'stamped'): number {
  return kind === 'u16' ? 2 : kind === 'u32' ? 4 : kind === 'stamped' ? 4 + stampBytes : 0;
}

/** A record as a `stamped` feed carries it. `atMs` is a whole number of milliseconds. */
export function encodeStamped(record: Uint8Array, atMs: number): Buffer {
  const bytes = Buffer.allocUnsafe(4 + stampBytes + record.length);
  bytes.writeUInt32BE(stampBytes + record.length, 0);
  bytes.writeBigInt64BE(BigInt(atMs), 4);
  bytes.set(record, 4 + stampBytes);
  return bytes;
}
