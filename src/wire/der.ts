// DER (X.690), as much of it as writing requests and PKCS#12 files takes, and a bounded look at what a file is.

/** One element: tag, then length, then what the parts say. At most 16 MiB. */
export function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  const value = Buffer.concat(parts);
  const { length } = value;
  const head =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : length < 0x10000 ? [tag, 0x82, length >> 8, length & 0xff] : [tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff];
  return Buffer.concat([Buffer.from(head), value]);
}

export const sequence = (...parts: readonly Buffer[]): Buffer => tlv(0x30, ...parts);
export const setOf = (...parts: readonly Buffer[]): Buffer => tlv(0x31, ...parts);
export const octets = (...parts: readonly Buffer[]): Buffer => tlv(0x04, ...parts);
/** Without unused bits. */
export const bits = (...parts: readonly Buffer[]): Buffer => tlv(0x03, Buffer.from([0]), ...parts);
/** `[n]`, constructed. */
export const tagged = (number: number, ...parts: readonly Buffer[]): Buffer => tlv(0xa0 | number, ...parts);
export const derNull: Buffer = Buffer.from([0x05, 0]);

/** Not negative. */
export function integer(value: number): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex');
  return tlv(0x02, ...(bytes[0]! & 0x80 ? [Buffer.from([0])] : []), bytes);
}

/** `1.2.840.113549.1.9.14` */
export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((part) => {
    const groups = [part % 128];
    for (let left = Math.floor(part / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left % 128) | 0x80);
    return groups;
  });
  return tlv(0x06, Buffer.from(bytes));
}

export interface DerElement {
  readonly tag: number;
  readonly value: Buffer;
  /** Where the next one begins. */
  readonly end: number;
}

/** The element at `at`, whole, with a definite length; null otherwise. Never throws. */
export function derAt(bytes: Buffer, at = 0): DerElement | null {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return null;
  let length = first;
  let start = at + 2;
  if (first & 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 4 || start + count > bytes.length) return null;
    length = bytes.readUIntBE(start, count);
    start += count;
  }
  const end = start + length;
  return end > bytes.length ? null : { tag, value: bytes.subarray(start, end), end };
}

/** The elements in `bytes`, at most `countMax`; null when they do not end where `bytes` does. */
export function derParts(bytes: Buffer, countMax = 1_000): DerElement[] | null {
  const parts: DerElement[] = [];
  for (let at = 0; at < bytes.length; ) {
    const part = derAt(bytes, at);
    if (!part || parts.length >= countMax) return null;
    parts.push(part);
    at = part.end;
  }
  return parts;
}
