// What a printer is asked and says over IPP: Get-Printer-Attributes (RFC 8011 §4.2.5) in the encoding of RFC 8010. Only what a probe needs: a request
// is written, an answer is read. Devices are sloppy, so a value of the wrong size is passed over; lengths that lead out of the message are not.
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';

export interface IppQuestion {
  readonly requestId: number;
  /** printer-uri, `ipp://192.0.2.50/ipp/print`. */
  readonly uri: string;
  /** requested-attributes; none asks for all. */
  readonly attributes: readonly string[];
  /** 1.1, which every printer knows, unless another is asked for. */
  readonly version?: readonly [major: number, minor: number];
}

export type IppValue =
  | { readonly kind: 'integer' | 'enum'; readonly value: number }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'range'; readonly low: number; readonly high: number }
  | { readonly kind: 'resolution'; readonly across: number; readonly down: number; readonly unit: 'dpi' | 'dpcm' }
  | { readonly kind: 'text'; readonly tag: number; readonly value: string; readonly language: string | null }
  | { readonly kind: 'octets'; readonly value: Buffer }
  | { readonly kind: 'time'; readonly value: string }
  /** unknown, no-value, unsupported and the like (RFC 8010 §3.5.2). */
  | { readonly kind: 'none'; readonly tag: number }
  /** Read to its end and not kept. */
  | { readonly kind: 'collection' }
  /** A tag that we do not know, or a value whose size is not its tag's. */
  | { readonly kind: 'unread'; readonly tag: number };

export interface IppGroup {
  /** 1 operation, 2 job, 4 printer, 5 unsupported. */
  readonly tag: number;
  readonly attributes: ReadonlyMap<string, readonly IppValue[]>;
}

export interface IppAnswer {
  readonly version: readonly [major: number, minor: number];
  /** Below 0x100: it went well (RFC 8011 §B.1). */
  readonly status: number;
  readonly requestId: number;
  readonly groups: readonly IppGroup[];
}

/** Printer attributes as plain JSON: what travels from an agent to the gateway. */
export type IppAttributes = Readonly<Record<string, readonly (string | number | boolean)[]>>;

export const ippStatus = { versionNotSupported: 0x0503, notFound: 0x0406 } as const;
export const ippMediaType = 'application/ipp';

const operationGetPrinterAttributes = 0x000b;
const tags = {
  operation: 0x01, end: 0x03, printer: 0x04, firstValue: 0x10,
  integer: 0x21, boolean: 0x22, enum: 0x23, octets: 0x30, time: 0x31, resolution: 0x32, range: 0x33,
  collection: 0x34, textWithLanguage: 0x35, nameWithLanguage: 0x36, endCollection: 0x37,
  text: 0x41, keyword: 0x44, uri: 0x45, charset: 0x47, language: 0x48, memberName: 0x4a, extension: 0x7f,
} as const;
const headBytes = 8;
const collectionDepthMax = 8;

/** The body of an HTTP request with content type `application/ipp`. */
export function encodeGetPrinterAttributes(question: IppQuestion): Buffer {
  const [major, minor] = question.version ?? [1, 1];
  const head = Buffer.alloc(headBytes);
  head.writeUInt8(major, 0);
  head.writeUInt8(minor, 1);
  head.writeUInt16BE(operationGetPrinterAttributes, 2);
  head.writeUInt32BE(question.requestId, 4);
  const parts = [
    head,
    Buffer.of(tags.operation),
    // In this order (RFC 8011 §4.1.4); some printers refuse any other.
    encodeText(tags.charset, 'attributes-charset', 'utf-8'),
    encodeText(tags.language, 'attributes-natural-language', 'en'),
    encodeText(tags.uri, 'printer-uri', question.uri),
    ...question.attributes.map((name, index) => encodeText(tags.keyword, index === 0 ? 'requested-attributes' : '', name)),
    Buffer.of(tags.end),
  ];
  return Buffer.concat(parts);
}

function encodeText(tag: number, name: string, value: string): Buffer {
  const nameBytes = Buffer.from(name, 'latin1');
  const valueBytes = Buffer.from(value, 'utf8');
  if (valueBytes.length > 1023) throw new Fault('bad-input', `"${value.slice(0, 40)}…" is too long for an attribute of IPP`);
  const out = Buffer.alloc(5 + nameBytes.length + valueBytes.length);
  out.writeUInt8(tag, 0);
  out.writeUInt16BE(nameBytes.length, 1);
  nameBytes.copy(out, 3);
  out.writeUInt16BE(valueBytes.length, 3 + nameBytes.length);
  valueBytes.copy(out, 5 + nameBytes.length);
  return out;
}

/**
 * A whole answer. Fault `protocol` where the bytes are no IPP or end before the tag that ends the attributes; `too-large` above the limits.
 * What stands behind that tag (a document) is not looked at.
 */
export function parseIpp(bytes: Buffer): IppAnswer {
  if (bytes.length > limits.ippAnswerBytesMax) throw new Fault('too-large', `an answer of more than ${limits.ippAnswerBytesMax} bytes over IPP`);
  const reader = new Reader(bytes);
  const version = [reader.byte('the version'), reader.byte('the version')] as const;
  if (version[0] === 0 || version[0] > 9) throw new Fault('protocol', `what came is no IPP: its version would be ${version.join('.')}`);
  const status = reader.word('the status');
  const requestId = reader.long('the request id');
  const groups: { tag: number; attributes: Map<string, IppValue[]> }[] = [];
  let values: IppValue[] | null = null;
  for (;;) {
    const tag = reader.byte('a tag');
    if (tag === tags.end) return { version, status, requestId, groups };
    if (tag < tags.firstValue) {
      if (groups.length >= limits.ippGroupsMax) throw new Fault('too-large', `more than ${limits.ippGroupsMax} groups of attributes over IPP`);
      groups.push({ tag, attributes: new Map() });
      values = null;
      continue;
    }
    const group = groups.at(-1);
    if (group === undefined) throw new Fault('protocol', 'an attribute before the first group of an IPP answer');
    const name = reader.sized('a name').toString('latin1');
    const value = reader.value(tag);
    if (name !== '') {
      values = [];
      // Twice in one group is not allowed (RFC 8010 §3.3); the first counts.
      if (!group.attributes.has(name)) group.attributes.set(name, values);
    } else if (values === null) throw new Fault('protocol', 'a further value without an attribute in an IPP answer');
    values.push(value);
  }
}

/** Reads forwards and never beyond the end; counts values, because a few bytes make one. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  #values = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #take(count: number, what: string): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) throw new Fault('protocol', `an IPP answer ends within ${what}, at byte ${this.#bytes.length}`);
    this.#at += count;
    return at;
  }

  byte(what: string): number {
    return this.#bytes.readUInt8(this.#take(1, what));
  }

  word(what: string): number {
    return this.#bytes.readUInt16BE(this.#take(2, what));
  }

  long(what: string): number {
    return this.#bytes.readUInt32BE(this.#take(4, what));
  }

  /** A length and as many bytes. */
  sized(what: string): Buffer {
    const length = this.word(what);
    const at = this.#take(length, what);
    return this.#bytes.subarray(at, at + length);
  }

  /** The value behind a tag and a name. */
  value(tag: number): IppValue {
    if (++this.#values > limits.ippValuesMax) throw new Fault('too-large', `more than ${limits.ippValuesMax} values over IPP`);
    const bytes = this.sized('a value');
    if (tag !== tags.collection) return readValue(tag, bytes);
    this.#skipCollection();
    return { kind: 'collection' };
  }

  /** Behind begCollection (RFC 8010 §3.1.6); collections stand in collections, and an end without a beginning is the outermost's. */
  #skipCollection(): void {
    for (let depth = 1; depth > 0; ) {
      const tag = this.byte('a collection');
      if (tag < tags.firstValue) throw new Fault('protocol', 'a collection of an IPP answer does not end');
      if (++this.#values > limits.ippValuesMax) throw new Fault('too-large', `more than ${limits.ippValuesMax} values over IPP`);
      this.sized('a collection');
      this.sized('a collection');
      if (tag === tags.endCollection) depth -= 1;
      else if (tag === tags.collection && ++depth > collectionDepthMax) throw new Fault('too-large', `more than ${collectionDepthMax} collections within each other over IPP`);
    }
  }
}

function readValue(tag: number, bytes: Buffer): IppValue {
  if (tag < 0x20) return { kind: 'none', tag };
  if (tag === tags.integer || tag === tags.enum) return bytes.length === 4 ? { kind: tag === tags.enum ? 'enum' : 'integer', value: bytes.readInt32BE(0) } : { kind: 'unread', tag };
  if (tag === tags.boolean) return bytes.length === 1 ? { kind: 'boolean', value: bytes[0] !== 0 } : { kind: 'unread', tag };
  if (tag === tags.range) return bytes.length === 8 ? { kind: 'range', low: bytes.readInt32BE(0), high: bytes.readInt32BE(4) } : { kind: 'unread', tag };
  if (tag === tags.resolution) return bytes.length === 9 ? { kind: 'resolution', across: bytes.readInt32BE(0), down: bytes.readInt32BE(4), unit: bytes[8] === 4 ? 'dpcm' : 'dpi' } : { kind: 'unread', tag };
  if (tag === tags.time) return readTime(bytes);
  if (tag === tags.octets) return { kind: 'octets', value: bytes };
  if (tag === tags.textWithLanguage || tag === tags.nameWithLanguage) return readWithLanguage(tag, bytes);
  if (tag >= 0x40 && tag < 0x60 && tag !== tags.memberName) return { kind: 'text', tag, value: bytes.toString('utf8'), language: null };
  return { kind: 'unread', tag };
}

/** Two texts, each with its length (RFC 8010 §3.9). */
function readWithLanguage(tag: number, bytes: Buffer): IppValue {
  if (bytes.length < 4) return { kind: 'unread', tag };
  const languageEnd = 2 + bytes.readUInt16BE(0);
  if (languageEnd + 2 > bytes.length) return { kind: 'unread', tag };
  const end = languageEnd + 2 + bytes.readUInt16BE(languageEnd);
  if (end !== bytes.length) return { kind: 'unread', tag };
  return { kind: 'text', tag, value: bytes.toString('utf8', languageEnd + 2, end), language: bytes.toString('latin1', 2, languageEnd) };
}

/** DateAndTime of RFC 2579; as ISO 8601 with the device's own offset. */
function readTime(bytes: Buffer): IppValue {
  if (bytes.length !== 11) return { kind: 'unread', tag: tags.time };
  const two = (at: number) => String(bytes[at]).padStart(2, '0');
  const sign = bytes[8] === 0x2d ? '-' : '+';
  return { kind: 'time', value: `${String(bytes.readUInt16BE(0)).padStart(4, '0')}-${two(2)}-${two(3)}T${two(4)}:${two(5)}:${two(6)}${sign}${two(9)}:${two(10)}` };
}

/** Of the printer groups, without what has no value; ranges as `1-10`, octets as text where they are (device ids, supplies), else in base64. */
export function printerAttributesOf(answer: IppAnswer): IppAttributes {
  const out: [string, (string | number | boolean)[]][] = [];
  const seen = new Set<string>();
  for (const group of answer.groups) {
    if (group.tag !== tags.printer) continue;
    for (const [name, values] of group.attributes) {
      const plain = values.map(plainOf).filter((value) => value !== null);
      if (plain.length === 0 || seen.has(name)) continue;
      seen.add(name);
      out.push([name, plain]);
    }
  }
  // Names come from the device: an attribute `__proto__` becomes a field like any other.
  return Object.fromEntries(out);
}

function plainOf(value: IppValue): string | number | boolean | null {
  if (value.kind === 'range') return `${value.low}-${value.high}`;
  if (value.kind === 'resolution') return `${value.across}x${value.down}${value.unit}`;
  if (value.kind === 'octets') return octetsText(value.value);
  return 'value' in value ? value.value : null;
}

function octetsText(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  // Ends of lines and tabs are found in supplies and device ids of real printers.
  return /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffd]/.test(text) ? bytes.toString('base64') : text;
}
