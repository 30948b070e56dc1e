// HTTP/1 header fields (RFC 9110 §5, RFC 9112 §5): what their names mean to a proxy, reading their lines strictly, writing them anew.
// A head is handled as one latin1 string and searched with indexOf; nothing of it is ever forwarded without having been checked.
import { withoutBlanks } from '#base/blanks.ts';

/** What we know of a field name, looked up once per spelling. Flags say what the name means to a proxy. */
export interface FieldName {
  readonly lower: string;
  readonly flags: number;
}

/** Meanings of field names, as bits. */
export const is = {
  /** Ends at the next hop (RFC 9110 §7.6.1); always removed, written anew where needed. */
  hop: 1 << 0,
  /** Says where a request came from; only ours count. */
  forwarded: 1 << 1,
  /** Belongs to the gateway; never reaches an upstream. */
  ours: 1 << 2,
  host: 1 << 3,
  cookie: 1 << 4,
  origin: 1 << 5,
  referer: 1 << 6,
  setCookie: 1 << 7,
  location: 1 << 8,
  /** Alt-Svc, Clear-Site-Data …: an upstream speaks for the whole name with them. */
  siteWide: 1 << 9,
  contentLength: 1 << 10,
  transferEncoding: 1 << 11,
  connection: 1 << 12,
  expect: 1 << 13,
  upgrade: 1 << 14,
  authorization: 1 << 15,
  refresh: 1 << 16,
  acceptEncoding: 1 << 17,
} as const;

const KNOWN: Readonly<Record<string, number>> = {
  connection: is.hop | is.connection,
  'keep-alive': is.hop,
  'proxy-connection': is.hop,
  te: is.hop,
  'transfer-encoding': is.hop | is.transferEncoding,
  upgrade: is.hop | is.upgrade,
  'http2-settings': is.hop,
  'proxy-authorization': is.hop,
  'proxy-authenticate': is.hop,
  'content-length': is.contentLength,
  host: is.host,
  cookie: is.cookie,
  origin: is.origin,
  referer: is.referer,
  'set-cookie': is.setCookie,
  location: is.location,
  'content-location': is.location,
  refresh: is.refresh,
  'accept-encoding': is.acceptEncoding,
  'alt-svc': is.siteWide,
  'clear-site-data': is.siteWide,
  'strict-transport-security': is.siteWide,
  expect: is.expect,
  authorization: is.authorization,
  forwarded: is.forwarded,
  'x-real-ip': is.forwarded,
  'x-client-ip': is.forwarded,
  'true-client-ip': is.forwarded,
  'cf-connecting-ip': is.forwarded,
  'x-cluster-client-ip': is.forwarded,
  'x-original-forwarded-for': is.forwarded,
  'x-forwarded': is.forwarded,
  'forwarded-for': is.forwarded,
  'x-originating-ip': is.forwarded,
  'x-remote-ip': is.forwarded,
  'x-remote-addr': is.forwarded,
  'x-proxyuser-ip': is.forwarded,
  'client-ip': is.forwarded,
  'remote-addr': is.forwarded,
  'proxy-client-ip': is.forwarded,
  'wl-proxy-client-ip': is.forwarded,
  'fastly-client-ip': is.forwarded,
  'x-envoy-external-address': is.forwarded,
};

/** What proxies that check client certificates tell of them (RFC 9440 §4: nobody else's may reach the server). */
const ABOUT_CERTIFICATES = ['client-cert', 'x-client-cert', 'x-client-verify', 'x-client-dn', 'x-ssl-', 'ssl-client-'];

function flagsOf(lower: string): number {
  const known = KNOWN[lower];
  if (known !== undefined) return known;
  // Servers that map "-" and "_" to one variable would take X_Forwarded_For for ours.
  const dashed = lower.replaceAll('_', '-');
  if (dashed.startsWith('x-forwarded-') || KNOWN[dashed] === is.forwarded || ABOUT_CERTIFICATES.some((each) => dashed.startsWith(each))) return is.forwarded;
  if (dashed.startsWith('postern-') || dashed.startsWith('x-postern-')) return is.ours;
  return 0;
}

const NAMES_MAX = 4_096;

const names = new Map<string, FieldName>();

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The name's entry; undefined when it is not a token (RFC 9110 §5.1). A cache of pure values, so it may be shared. */
export function nameOf(raw: string): FieldName | undefined {
  const cached = names.get(raw);
  if (cached !== undefined) return cached;
  if (!TOKEN.test(raw) || raw.length > 256) return undefined;
  const lower = raw.toLowerCase();
  const entry = { lower, flags: flagsOf(lower) };
  // Full of made-up names: start over rather than grow or stop caching the real ones.
  if (names.size >= NAMES_MAX) names.clear();
  names.set(raw, entry);
  return entry;
}

/** Header fields in the order of arrival. */
export interface Fields {
  /** Lower-case. */
  readonly names: readonly string[];
  /** Optional white space removed; latin1. */
  readonly values: readonly string[];
}

/** The field lines of a head as checked. Immutable but for one slot: the last encoding of it, because heads repeat on a connection. */
export interface FieldBlock extends Fields {
  /** All lines with their CRLF, and the empty line; `starts[i]` … `starts[i + 1]` is the line of field i. */
  readonly text: string;
  readonly starts: readonly number[];
  readonly flags: readonly number[];
  /** All flags of all fields. */
  readonly allFlags: number;
  /** Names listed in Connection that are none of the usual three; they go too. */
  readonly connectionNames: readonly string[] | null;
  encodedEdit: object | null;
  encodedContext: unknown;
  encoded: string;
}

/** The field's value; several lines of it joined by ", ". `name` in lower case. */
export function fieldOf(fields: Fields, name: string): string | undefined {
  let value: string | undefined;
  for (let i = 0; i < fields.names.length; i++) {
    if (fields.names[i] === name) value = value === undefined ? fields.values[i] : `${value}, ${fields.values[i]}`;
  }
  return value;
}

export interface FieldsRead {
  text: string;
  names: string[];
  values: string[];
  starts: number[];
  flags: number[];
  allFlags: number;
  connectionNames: readonly string[] | null;
  encodedEdit: object | null;
  encodedContext: unknown;
  encoded: string;
}

export const FOLDED = 'a header line is folded (RFC 9112 §5.2)';

export const NOT_CRLF = 'a line does not end with CRLF (RFC 9112 §2.2)';

const CONTROL = 'the head has control characters';

export const SPACED = 'a header name has characters that are not allowed (white space before the colon included)';

/** Whether the line at `at` is, with its CRLF, the line `i` of the block before. */
function sameLine(text: string, at: number, before: FieldBlock, i: number): boolean {
  if (i >= before.names.length) return false;
  const from = before.starts[i]!;
  const to = before.starts[i + 1]!;
  return text.charCodeAt(at + to - from - 1) === 10 && text.slice(at, at + to - from) === before.text.slice(from, to);
}

/**
 * Reads field lines up to the empty line that ends `text`. A string is what is wrong. `before` is the block of the head before: a line that
 * stands there byte for byte at the same place has been checked already, and browsers change few lines from head to head.
 */
export function readFields(text: string, fieldsMax: number, before: FieldBlock | null): FieldsRead | string {
  const read: FieldsRead = { text, names: [], values: [], starts: [], flags: [], allFlags: 0, connectionNames: null, encodedEdit: null, encodedContext: null, encoded: '' };
  const last = text.length - 2; // where the empty line begins
  let at = 0;
  let next = 0;
  while (at < last) {
    if (before !== null) {
      // The next one there, or the one after it where a line has gone.
      if (!sameLine(text, at, before, next) && sameLine(text, at, before, next + 1)) next += 1;
      if (sameLine(text, at, before, next)) {
        if (read.names.length >= fieldsMax) return 'too many header lines';
        const name = before.names[next]!;
        const value = before.values[next]!;
        // Cut anew: the old value would keep the whole old head in memory.
        const valueAt = text.indexOf(value, at + name.length + 1);
        read.names.push(name);
        read.values.push(text.slice(valueAt, valueAt + value.length));
        read.starts.push(at);
        read.flags.push(before.flags[next]!);
        read.allFlags |= before.flags[next]!;
        at += before.starts[next + 1]! - before.starts[next]!;
        next += 1;
        continue;
      }
    }
    const end = text.indexOf('\r', at);
    if (text.charCodeAt(end + 1) !== 10) return NOT_CRLF;
    const colon = text.indexOf(':', at);
    if (colon < 0 || colon > end) return text.charCodeAt(at) === 32 || text.charCodeAt(at) === 9 ? FOLDED : 'a header line has no colon';
    const name = nameOf(text.slice(at, colon));
    if (name === undefined) {
      const first = text.charCodeAt(at);
      return colon === at ? 'a header line has no name' : first === 32 || first === 9 ? FOLDED : text.slice(at, colon).includes('\n') ? NOT_CRLF : SPACED;
    }
    let from = colon + 1;
    let to = end;
    while (from < to && (text.charCodeAt(from) === 32 || text.charCodeAt(from) === 9)) from += 1;
    while (to > from && (text.charCodeAt(to - 1) === 32 || text.charCodeAt(to - 1) === 9)) to -= 1;
    for (let i = from; i < to; i++) {
      const code = text.charCodeAt(i);
      if (code < 32 ? code !== 9 : code === 127) return code === 10 ? NOT_CRLF : CONTROL;
    }
    if (read.names.length >= fieldsMax) return 'too many header lines';
    read.names.push(name.lower);
    read.values.push(text.slice(from, to));
    read.starts.push(at);
    read.flags.push(name.flags);
    read.allFlags |= name.flags;
    if (before !== null && before.names[next] === name.lower) next += 1;
    at = end + 2;
  }
  read.starts.push(at);
  return read;
}

export function valuesFlagged(read: FieldsRead, flag: number): string[] {
  const found: string[] = [];
  for (let i = 0; i < read.flags.length; i++) if (read.flags[i]! & flag) found.push(read.values[i]!);
  return found;
}

const PROTECTED = new Set(['host', 'content-length', 'transfer-encoding', 'authorization', 'cookie', 'set-cookie', 'content-type', 'content-encoding', 'location', 'date', 'origin', 'sec-websocket-key', 'sec-websocket-accept']);

interface ConnectionRead {
  close: boolean;
  keepAlive: boolean;
  upgrade: boolean;
  names: string[] | null;
}

/** RFC 9110 §7.6.1. Fields that a Connection must not be able to take away stay (a known smuggling aid). */
export function readConnection(read: FieldsRead): ConnectionRead {
  const result: ConnectionRead = { close: false, keepAlive: false, upgrade: false, names: null };
  if (!(read.allFlags & is.connection)) return result;
  for (const value of valuesFlagged(read, is.connection)) {
    for (const part of value.split(',')) {
      const name = withoutBlanks(part).toLowerCase();
      if (name === 'close') result.close = true;
      else if (name === 'keep-alive') result.keepAlive = true;
      else if (name === 'upgrade') result.upgrade = true;
      else if (name !== '' && !PROTECTED.has(name)) (result.names ??= []).push(name);
    }
  }
  return result;
}

/** How a head is changed on its way. One per route or purpose, made once; `context` is the exchange's own. */
export interface HeadEdit<Context> {
  /** Fields with any of these flags go. */
  readonly drop: number;
  /** Fields with any of these flags are asked about: the new value, or null to drop it. */
  readonly ask: number;
  readonly value?: ((name: string, value: string, context: Context) => string | null) | undefined;
}

/**
 * The field lines of a head after an edit, each with its CRLF; without the empty line. Lines that arrived in the canonical form
 * `Name: value` and stay are copied in runs.
 */
export function encodeFields<Context>(block: FieldBlock, edit: HeadEdit<Context>, context: Context): string {
  if (block.encodedEdit === edit && block.encodedContext === context) return block.encoded;
  const encoded = encodeFieldsAnew(block, edit, context);
  block.encodedEdit = edit;
  block.encodedContext = context;
  block.encoded = encoded;
  return encoded;
}

function encodeFieldsAnew<Context>(block: FieldBlock, edit: HeadEdit<Context>, context: Context): string {
  const { text, starts, flags } = block;
  let out = '';
  let runFrom = 0;
  const count = flags.length;
  const named = block.connectionNames;
  for (let i = 0; i < count; i++) {
    const flag = flags[i]!;
    const lineAt = starts[i]!;
    let line: string | null | undefined;
    if (flag & edit.drop || (named !== null && named.includes(block.names[i]!))) line = null;
    else if (flag & edit.ask) {
      const before = block.values[i]!;
      const value = edit.value!(block.names[i]!, before, context);
      if (value === null) line = null;
      else if (value !== before) line = `${text.slice(lineAt, text.indexOf(':', lineAt))}: ${value}\r\n`;
    }
    if (line === undefined && !isCanonicalLine(block, i)) line = `${text.slice(lineAt, text.indexOf(':', lineAt))}: ${block.values[i]!}\r\n`;
    if (line === undefined) continue;
    if (runFrom < lineAt) out += text.slice(runFrom, lineAt);
    if (line !== null) out += line;
    runFrom = starts[i + 1]!;
  }
  return runFrom < starts[count]! ? out + text.slice(runFrom, starts[count]) : out;
}

function isCanonicalLine(block: FieldBlock, i: number): boolean {
  // name ": " value CRLF, nothing else
  const lineBytes = block.starts[i + 1]! - block.starts[i]!;
  return lineBytes === block.names[i]!.length + 2 + block.values[i]!.length + 2;
}
