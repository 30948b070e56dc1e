// HTTP/1.1 message heads (RFC 9112): reading them strictly, deciding how the body is framed, writing them anew.
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
  'alt-svc': is.siteWide,
  'clear-site-data': is.siteWide,
  'strict-transport-security': is.siteWide,
  expect: is.expect,
  authorization: is.authorization,
  forwarded: is.forwarded,
  'x-real-ip': is.forwarded,
  'x-client-ip': is.forwarded,
  'true-client-ip': is.forwarded,
};

function flagsOf(lower: string): number {
  const known = KNOWN[lower];
  if (known !== undefined) return known;
  // Servers that map "-" and "_" to one variable would take X_Forwarded_For for ours.
  const dashed = lower.replaceAll('_', '-');
  if (dashed.startsWith('x-forwarded-') || dashed === 'forwarded' || dashed === 'x-real-ip' || dashed === 'x-client-ip' || dashed === 'true-client-ip') return is.forwarded;
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

/** How long a body is (RFC 9112 §6.3). `close`: until the connection ends; only answers. */
export type Framing = 'none' | 'length' | 'chunked' | 'close';

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

interface Head {
  readonly minorVersion: 0 | 1;
  readonly fields: FieldBlock;
  readonly framing: Framing;
  /** For framing `length`. */
  readonly bodyBytes: number;
  /** The connection may carry another message after this one, as far as this head says. */
  readonly keepAlive: boolean;
}

export interface RequestHead extends Head {
  readonly method: string;
  /** origin-form, or `*`; an absolute-form has been reduced to it. */
  readonly target: string;
  /** As the client sent it in Host or in an absolute-form; '' when an HTTP/1.0 client sent none. */
  readonly host: string;
  /** False when the target came as absolute-form or `*`. */
  readonly isOriginForm: boolean;
  /** Lower-case protocol of an Upgrade that Connection names; '' otherwise. */
  readonly upgrade: string;
  readonly expectsContinue: boolean;
}

export interface ResponseHead extends Head {
  /** The status line as received. */
  readonly line: string;
  /** It answers HEAD, so it has no body whatever its fields say. */
  readonly isForHead: boolean;
  readonly status: number;
  readonly reason: string;
  readonly upgrade: string;
}

/** A refused head: the status to answer, and why in words that a developer understands. */
export interface BadHead {
  readonly bad: string;
  readonly status: 400 | 405 | 417 | 431 | 501 | 505;
}

export function isBad(head: object): head is BadHead {
  return 'bad' in head;
}

/** The field's value; several lines of it joined by ", ". `name` in lower case. */
export function fieldOf(fields: Fields, name: string): string | undefined {
  let value: string | undefined;
  for (let i = 0; i < fields.names.length; i++) {
    if (fields.names[i] === name) value = value === undefined ? fields.values[i] : `${value}, ${fields.values[i]}`;
  }
  return value;
}

/** Not there yet. */
export const MORE = -1;
/** A line feed without its carriage return, or the other way round. */
export const BARE = -2;

/**
 * Finds the end of a head: the index after its empty line, MORE, or BARE. `from` is where the last look stopped
 * (at most three bytes before the new ones), so that a head that comes a byte at a time costs linear time.
 */
export function findHeadEnd(bytes: Buffer, start: number, from: number): number {
  const end = bytes.indexOf('\r\n\r\n', Math.max(start, from - 3), 'latin1');
  if (end >= 0) return end + 4;
  // A head that is not whole yet is checked for bare line feeds at once: "\n\n" would otherwise wait for its deadline.
  for (let at = bytes.indexOf(10, Math.max(start, from - 1)); at >= 0; at = bytes.indexOf(10, at + 1)) {
    if (at === start || bytes[at - 1] !== 13) return BARE;
  }
  return MORE;
}

const DIGITS = /^[0-9]{1,15}$/;
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$/;
// RFC 3986 characters; also the few that browsers send unescaped in queries.
const TARGET = /^[!-"$-~]+$/;
const AUTHORITY = /^(?:[0-9A-Za-z._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;

interface FieldsRead {
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

const FOLDED = 'a header line is folded (RFC 9112 §5.2)';
const NOT_CRLF = 'a line does not end with CRLF (RFC 9112 §2.2)';
const CONTROL = 'the head has control characters';
const SPACED = 'a header name has characters that are not allowed (white space before the colon included)';

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
function readFields(text: string, fieldsMax: number, before: FieldBlock | null): FieldsRead | string {
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

function valuesFlagged(read: FieldsRead, flag: number): string[] {
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
function readConnection(read: FieldsRead): ConnectionRead {
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

function bad(why: string, status: BadHead['status'] = 400): BadHead {
  return { bad: why, status };
}

/** The host part of an authority, lower case, without port and one trailing dot; undefined when it is not one. */
export function hostNameOf(authority: string): string | undefined {
  if (!AUTHORITY.test(authority)) return undefined;
  const bracket = authority.lastIndexOf(']');
  const colon = authority.indexOf(':', bracket + 1);
  let name = colon < 0 ? authority : authority.slice(0, colon);
  if (name.endsWith('.') && name.length > 1) name = name.slice(0, -1);
  return name.toLowerCase();
}

/** The port of an authority; undefined when it names none. */
export function portOf(authority: string): number | undefined {
  const bracket = authority.lastIndexOf(']');
  const colon = authority.indexOf(':', bracket + 1);
  return colon < 0 ? undefined : Number(authority.slice(colon + 1));
}

/**
 * Reads one request head: `text` is the head in latin1 with its empty line, `last` the head before it on the same connection. Everything that two readers could understand
 * differently is refused (RFC 9112 §3, §5, §6; request smuggling).
 */
export function parseRequestHead(text: string, fieldsMax = 200, last: RequestHead | null = null): RequestHead | BadHead {
  const lineEnd = text.indexOf('\r\n');
  const firstSpace = text.indexOf(' ');
  const secondSpace = text.indexOf(' ', firstSpace + 1);
  if (firstSpace <= 0 || secondSpace < 0 || secondSpace > lineEnd) return bad('the request line is not "METHOD target HTTP/1.1"');
  const method = text.slice(0, firstSpace);
  const version = text.slice(secondSpace + 1, lineEnd);
  if (version !== 'HTTP/1.1' && version !== 'HTTP/1.0') {
    return /^HTTP\/[0-9](\.[0-9])?$/.test(version) ? bad(`${version} is not spoken here`, 505) : bad('the request line is not "METHOD target HTTP/1.1"');
  }
  const minorVersion = version === 'HTTP/1.1' ? 1 : 0;
  let target = text.slice(firstSpace + 1, secondSpace);
  if (!TARGET.test(target)) return bad('the request target has characters that must be percent-encoded, or a fragment');
  const block = text.slice(lineEnd + 2);
  // Heads repeat on a connection; what was checked for the same bytes holds for these.
  if (last !== null && last.method === method && last.minorVersion === minorVersion && target.charCodeAt(0) === 47 && last.isOriginForm && last.fields.text === block) {
    return { method, target, minorVersion, host: last.host, isOriginForm: true, fields: last.fields, framing: last.framing, bodyBytes: last.bodyBytes, keepAlive: last.keepAlive, upgrade: last.upgrade, expectsContinue: last.expectsContinue };
  }
  if (!METHOD.test(method)) return bad('the method is not a token');
  if (method === 'CONNECT') return bad('CONNECT is not offered here', 405);

  const read = readFields(block, fieldsMax, last === null ? null : last.fields);
  if (typeof read === 'string') return read === 'too many header lines' ? bad(read, 431) : bad(read);

  let host = '';
  if (read.allFlags & is.host) {
    const hosts = valuesFlagged(read, is.host);
    if (hosts.length > 1) return bad('there are two Host lines (RFC 9112 §3.2)');
    host = hosts[0]!;
    if (!AUTHORITY.test(host)) return bad('Host is not a host name with an optional port');
  } else if (minorVersion === 1) {
    return bad('Host is missing (RFC 9112 §3.2)');
  }

  const isOriginForm = target.charCodeAt(0) === 47;
  if (!isOriginForm) {
    if (target === '*') {
      if (method !== 'OPTIONS') return bad('the target * is only for OPTIONS (RFC 9112 §3.2.4)');
    } else {
      // absolute-form, which every server must accept (RFC 9112 §3.2.2)
      const match = /^https?:\/\/([^/?]+)(.*)$/i.exec(target);
      if (!match) return bad('the request target is neither a path nor an http address');
      if (!AUTHORITY.test(match[1]!)) return bad('the authority in the request target is not a host name with an optional port');
      if (host !== '' && host.toLowerCase() !== match[1]!.toLowerCase()) return bad('Host and the authority in the request target differ');
      target = match[2]!.startsWith('/') ? match[2]! : `/${match[2]!}`;
      if (host === '') {
        // HTTP/1.0: what goes on as 1.1 must say Host, and it is the target's (RFC 9112 §3.2.2).
        const named = parseRequestHead(`${method} ${target} ${version}\r\nHost: ${match[1]!}\r\n${block}`, fieldsMax);
        return isBad(named) ? named : { ...named, isOriginForm: false };
      }
    }
  }

  let framing: Framing = 'none';
  let bodyBytes = 0;
  if (read.allFlags & is.transferEncoding) {
    const codings = valuesFlagged(read, is.transferEncoding);
    if (minorVersion === 0) return bad('Transfer-Encoding in an HTTP/1.0 request (RFC 9112 §6.1)');
    if (read.allFlags & is.contentLength) return bad('both Transfer-Encoding and Content-Length (RFC 9112 §6.1)');
    if (codings.length > 1 || codings[0]!.toLowerCase() !== 'chunked') {
      return /^[A-Za-z0-9,\s-]+$/.test(codings.join(',')) && codings.length === 1 && !/chunked/i.test(codings[0]!) ? bad('the only transfer coding taken is chunked (RFC 9112 §6.1)', 501) : bad('the only Transfer-Encoding taken is exactly "chunked"');
    }
    framing = 'chunked';
  } else if (read.allFlags & is.contentLength) {
    const lengths = valuesFlagged(read, is.contentLength);
    if (lengths.length > 1) return bad('there are two Content-Length lines (RFC 9112 §6.3)');
    if (!DIGITS.test(lengths[0]!)) return bad('Content-Length is not a number');
    bodyBytes = Number(lengths[0]);
    framing = bodyBytes === 0 ? 'none' : 'length';
  }

  const connection = readConnection(read);
  let upgrade = '';
  if (read.allFlags & is.upgrade && connection.upgrade && minorVersion === 1 && method === 'GET' && framing === 'none') {
    const protocols = valuesFlagged(read, is.upgrade);
    // h2c is obsolete (RFC 9113 §3.1) and a way around a proxy; a list is not something a relay can follow.
    if (protocols.length === 1 && /^[!#$%&'*+\-.^_`|~0-9A-Za-z/]+$/.test(protocols[0]!) && protocols[0]!.toLowerCase() !== 'h2c') upgrade = protocols[0]!.toLowerCase();
  }
  let expectsContinue = false;
  if (read.allFlags & is.expect) {
    for (const value of valuesFlagged(read, is.expect)) {
      if (value.toLowerCase() !== '100-continue') return bad('the only expectation known is 100-continue (RFC 9110 §10.1.1)', 417);
      expectsContinue = minorVersion === 1 && framing !== 'none';
    }
  }
  read.connectionNames = connection.names;
  return {
    method,
    target,
    minorVersion,
    host,
    isOriginForm,
    fields: read,
    framing,
    bodyBytes,
    keepAlive: minorVersion === 1 ? !connection.close : connection.keepAlive && !connection.close,
    upgrade,
    expectsContinue,
  };
}

/**
 * Reads one response head. Devices are sloppy, so where the RFC lets a proxy mend a response it is mended: folded lines, white space
 * before a colon (RFC 9112 §5.1, §5.2), equal Content-Length lines (RFC 9110 §8.6). What could hide a second answer is refused.
 */
export function parseResponseHead(text: string, method: string, fieldsMax = 200, last: ResponseHead | null = null): ResponseHead | BadHead {
  const lineEnd = text.indexOf('\n') + 1;
  const line = text.slice(0, lineEnd);
  let block = text.slice(lineEnd);
  if (last !== null && last.line === line && last.fields.text === block && last.isForHead === (method === 'HEAD')) return last;
  // eslint-disable-next-line no-control-regex
  const start = /^HTTP\/1\.([01]) ([1-9][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?\r?\n$/.exec(line);
  if (!start) return bad('the first line is not an HTTP/1 status line');
  const minorVersion = start[1] === '1' ? 1 : 0;
  const status = Number(start[2]);
  let read = readFields(block, fieldsMax, last === null ? null : last.fields);
  if (read === NOT_CRLF || read === FOLDED || read === SPACED || (typeof read !== 'string' && !block.endsWith('\r\n'))) {
    block = mendResponse(block);
    read = readFields(block, fieldsMax, null);
  }
  if (typeof read === 'string') return bad(read);
  let length: number | null = null;
  if (read.allFlags & is.contentLength) {
    const lengths = valuesFlagged(read, is.contentLength);
    if (!lengths.every((each) => each === lengths[0])) return bad('two different Content-Length lines');
    if (!DIGITS.test(lengths[0]!)) return bad('Content-Length is not a number');
    length = Number(lengths[0]);
    // RFC 9110 §8.6: of equal ones one goes on; with 1xx and 204 none does, because some client would wait for the bytes.
    const kept = status < 200 || status === 204 ? 0 : 1;
    if (lengths.length > kept) read = readFields(withLengths(read, kept), fieldsMax, null) as FieldsRead;
  }
  const connection = readConnection(read);
  let framing: Framing;
  let bodyBytes = 0;
  if (status < 200 || status === 204 || status === 304 || method === 'HEAD') {
    framing = 'none';
  } else if (read.allFlags & is.transferEncoding) {
    const codings = valuesFlagged(read, is.transferEncoding);
    if (codings.length > 1 || codings[0]!.toLowerCase() !== 'chunked') return bad('a transfer coding other than chunked');
    if (minorVersion === 0) return bad('Transfer-Encoding in an HTTP/1.0 answer');
    if (length !== null) return bad('both Transfer-Encoding and Content-Length');
    framing = 'chunked';
  } else if (length !== null) {
    bodyBytes = length;
    framing = bodyBytes === 0 ? 'none' : 'length';
  } else {
    framing = 'close';
  }
  read.connectionNames = connection.names;
  const protocols = read.allFlags & is.upgrade ? valuesFlagged(read, is.upgrade) : [];
  return {
    status,
    reason: start[3] ?? '',
    line,
    isForHead: method === 'HEAD',
    minorVersion,
    fields: read,
    framing,
    bodyBytes,
    keepAlive: framing !== 'close' && (minorVersion === 1 ? !connection.close : connection.keepAlive && !connection.close),
    upgrade: protocols.length === 1 ? protocols[0]!.toLowerCase() : '',
  };
}

/** The field lines with only the first `kept` Content-Length lines. */
function withLengths(read: FieldsRead, kept: number): string {
  let seen = 0;
  let text = '';
  for (let i = 0; i < read.flags.length; i++) {
    if (read.flags[i]! & is.contentLength && ++seen > kept) continue;
    text += read.text.slice(read.starts[i], read.starts[i + 1]);
  }
  return `${text}\r\n`;
}

/** Bare line feeds, folded lines and space before a colon in an answer's head, mended as RFC 9112 §2.2, §5.1 and §5.2 allow. */
function mendResponse(block: string): string {
  return block.replaceAll(/\r?\n/g, '\r\n').replaceAll(/\r\n[ \t]+/g, ' ').replaceAll(/(^|\n)([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+:/g, '$1$2:');
}

/** The end of an answer's head, for which a bare line feed ends a line too (RFC 9112 §2.2: MAY). */
export function findResponseHeadEnd(bytes: Buffer, start: number, from: number): number {
  const first = Math.max(start, from - 3);
  const strict = bytes.indexOf('\r\n\r\n', first, 'latin1');
  // An empty line that a bare line feed begins would end the head before: "\n\n" or "\n\r\n", whichever comes first.
  const before = strict < 0 ? bytes : bytes.subarray(0, strict + 2);
  const bare = before.indexOf('\n\n', first, 'latin1');
  const mixed = before.indexOf('\n\r\n', first, 'latin1');
  if (bare >= 0 && (mixed < 0 || bare < mixed)) return bare + 2;
  if (mixed >= 0) return mixed + 3;
  return strict < 0 ? MORE : strict + 4;
}

/** How a head is changed on its way. One per route or purpose, made once; `context` is the exchange's own. */
export interface HeadEdit<Context> {
  /** Fields with any of these flags go. */
  readonly drop: number;
  /** Fields with any of these flags are asked about: the new value, or null to drop it. */
  readonly ask: number;
  readonly value?: (name: string, value: string, context: Context) => string | null;
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
