// Reads the aligned variant of the Packed Encoding Rules (ITU-T X.691), as far as H.225.0 uses it. Every read is checked against the end of
// what encloses it; what is wrong throws a Fault of code `protocol`, which the sniffer above catches. Bytes of the peer never are in its text.
import { Fault } from '#base/fault.ts';
import { latin1Of } from '#base/bytes.ts';

/** A place in one encoding, counted in bits. */
export interface PerReader {
  readonly bytes: Buffer;
  /** What is read, for the text of a Fault. */
  readonly what: string;
  atBit: number;
}

/** The header of a SEQUENCE: which optional parts of its root are there, and whether additions follow the root. */
export interface SequenceHead {
  readonly has: readonly boolean[];
  readonly isExtended: boolean;
}

/** More entries than anything sensible has; each costs at least a bit, so the bytes bound them as well. */
export const perListMax = 256;
const additionsMax = 64;

export const perReader = (bytes: Buffer, what: string): PerReader => ({ bytes, what, atBit: 0 });

/** Ends the reading from any depth. */
export function wrong(why: string): never {
  throw new Fault('protocol', why);
}

export function readBit(from: PerReader): boolean {
  const byte = from.bytes[from.atBit >> 3];
  if (byte === undefined) return wrong(`${from.what} is cut short`);
  const bit = (byte >> (7 - (from.atBit & 7))) & 1;
  from.atBit++;
  return bit === 1;
}

/** Up to 16 bits as a number. */
export function readBits(from: PerReader, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i++) value = (value << 1) | (readBit(from) ? 1 : 0);
  return value;
}

export function align(from: PerReader): void {
  from.atBit = (from.atBit + 7) & ~7;
}

/** Aligned octets, as a view. */
export function readOctets(from: PerReader, count: number): Buffer {
  align(from);
  const at = from.atBit >> 3;
  if (at + count > from.bytes.length) wrong(`${from.what} is cut short`);
  from.atBit += count * 8;
  return from.bytes.subarray(at, at + count);
}

/** A whole number of the range 0..range-1, range up to 65,536 (X.691 §11.5.7: bits, one octet for exactly 256, two above). */
export function readWithin(from: PerReader, range: number): number {
  if (range <= 255) {
    const value = readBits(from, range <= 1 ? 0 : 32 - Math.clz32(range - 1));
    if (value >= range) wrong(`a number in ${from.what} is beyond its range`);
    return value;
  }
  const value = range === 256 ? readOctets(from, 1)[0]! : readOctets(from, 2).readUInt16BE(0);
  if (value >= range) wrong(`a number in ${from.what} is beyond its range`);
  return value;
}

/** A length without an upper bound (X.691 §11.9.3.5 to §11.9.3.8). Fragments begin at 16,384: nothing we read is that long. */
export function readLength(from: PerReader): number {
  const first = readOctets(from, 1)[0]!;
  if (first < 0x80) return first;
  if (first >= 0xc0) return wrong(`${from.what} has a length in fragments`);
  return ((first & 0x3f) << 8) | readOctets(from, 1)[0]!;
}

/** OCTET STRING without a size, OBJECT IDENTIFIER, and the content of an open type. */
export const readOpen = (from: PerReader): Buffer => readOctets(from, readLength(from));

export function readOptionals(from: PerReader, count: number): boolean[] {
  const has: boolean[] = [];
  for (let i = 0; i < count; i++) has.push(readBit(from));
  return has;
}

/** Head of a SEQUENCE that can be extended. */
export function readHead(from: PerReader, optionals: number): SequenceHead {
  const isExtended = readBit(from);
  return { isExtended, has: readOptionals(from, optionals) };
}

/** A small number that nearly always fits six bits (X.691 §11.6); larger ones come with a length. */
function readSmall(from: PerReader): number {
  if (!readBit(from)) return readBits(from, 6);
  const octets = readOpen(from);
  if (octets.length === 0 || octets.length > 2) return wrong(`a small number in ${from.what} is not small`);
  return octets.readUIntBE(0, octets.length);
}

/** The additions behind a root, in their order; null for those that are absent. To be called where `isExtended` said so. */
export function readAdditions(from: PerReader): (Buffer | null)[] {
  const isMany = readBit(from);
  const count = isMany ? readLength(from) : readBits(from, 6) + 1;
  if (count === 0 || count > additionsMax) wrong(`${from.what} has ${count} additions`);
  return readOptionals(from, count).map((isThere) => (isThere ? readOpen(from) : null));
}

export function skipAdditions(from: PerReader, head: SequenceHead): void {
  if (head.isExtended) readAdditions(from);
}

/** A CHOICE that can be extended: an alternative of the root is read by the caller, one of the additions comes as an open type. */
export type Chosen = { readonly root: number } | { readonly addition: number; readonly open: Buffer };

export function readChoice(from: PerReader, roots: number): Chosen {
  if (!readBit(from)) return { root: readWithin(from, roots) };
  const addition = readSmall(from);
  return { addition, open: readOpen(from) };
}

/** A CHOICE of NULLs that can be extended. */
export function skipNullChoice(from: PerReader, roots: number): void {
  readChoice(from, roots);
}

/** SEQUENCE OF without a size. */
export function readList<T>(from: PerReader, readOne: (from: PerReader) => T): T[] {
  return readCounted(from, readLength(from), readOne);
}

/** SEQUENCE OF whose count was read. */
export function readCounted<T>(from: PerReader, count: number, readOne: (from: PerReader) => T): T[] {
  if (count > perListMax) wrong(`a list of ${count} entries in ${from.what}`);
  const list: T[] = [];
  for (let i = 0; i < count; i++) list.push(readOne(from));
  return list;
}

/** BMPString: two octets a character. A lone surrogate would not survive being written out again. */
export function readBmp(from: PerReader, chars: number): string {
  const text = Buffer.from(readOctets(from, chars * 2)).swap16().toString('utf16le');
  if (!text.isWellFormed()) wrong(`text in ${from.what} is not Unicode`);
  return text;
}

/** IA5String of known length: an octet a character in the aligned variant. */
export function readIa5(from: PerReader, chars: number): string {
  const octets = readOctets(from, chars);
  if (octets.some((octet) => octet > 0x7f)) wrong(`text in ${from.what} is not IA5`);
  return latin1Of(octets);
}

/** An IA5String of at most 16 different characters, in their order: four bits each, aligned (X.691 §30.5). */
export function readNibbles(from: PerReader, chars: number, alphabet: string): string {
  align(from);
  let text = '';
  for (let i = 0; i < chars; i++) {
    const char = alphabet[readBits(from, 4)];
    if (char === undefined) return wrong(`a digit in ${from.what} is beyond its alphabet`);
    text += char;
  }
  return text;
}
