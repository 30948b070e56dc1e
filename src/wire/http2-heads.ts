// HTTP/2 field lists (RFC 9113 §8) and the HTTP/1.1 heads that the rest of the house works with: a request's list becomes a head as if it
// had come over HTTP/1.1, an answer's lines become a list. The frames' reader has looked at the lists before; nothing here relies on it,
// because the way from HTTP/2 back to HTTP/1.1 is where requests are smuggled.
import { withoutBlanks } from '#base/blanks.ts';
import { encodeTrailers } from './http1-body.ts';
import { is, nameOf, type FieldBlock, type FieldName, type FieldsRead } from './http1-fields.ts';
import { AUTHORITY, DIGITS, METHOD, TARGET, type BadHead, type Framing, type RequestHead } from './http1.ts';

/** Name, value, name, value …; latin1, in the order of arrival. */
export type FieldList = readonly string[];

/** A head and the list that it was made from: browsers change little from one to the next. */
export interface Http2Request {
  readonly list: FieldList;
  /** Nothing follows the head (END_STREAM). */
  readonly ended: boolean;
  readonly head: RequestHead;
}

interface SentName {
  readonly known: FieldName;
  /** As HTTP/1.1 programs are used to see it. */
  readonly cased: string;
}

const SENT_NAMES_MAX = 4_096;
const sentNames = new Map<string, SentName>();

/** A cache of pure values, so it may be shared. Undefined: not a lower-case token (RFC 9113 §8.2.1). */
function sentNameOf(raw: string): SentName | undefined {
  const cached = sentNames.get(raw);
  if (cached !== undefined) return cached;
  const known = nameOf(raw);
  if (known === undefined || known.lower !== raw) return undefined;
  // Names mean the same in any case (RFC 9110 §5.1), but small devices compare them byte by byte with what HTTP/1.1 clients send.
  const entry = { known, cased: raw.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase()) };
  if (sentNames.size >= SENT_NAMES_MAX) sentNames.clear();
  sentNames.set(raw, entry);
  return entry;
}

// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/;
const PADDED = /^[ \t]|[ \t]$/;

function bad(why: string, status: BadHead['status'] = 400): BadHead {
  return { bad: why, status };
}

interface PseudoFields {
  method: string;
  scheme: string;
  authority: string | null;
  path: string;
  /** Where the ordinary fields begin. */
  readonly end: number;
}

/** RFC 9113 §8.3: each once, before all others, none unknown. */
function readPseudoFields(list: FieldList): PseudoFields | string {
  const found = new Map<string, string>();
  let at = 0;
  for (; at + 1 < list.length && list[at]!.startsWith(':'); at += 2) {
    const name = list[at]!;
    if (found.has(name)) return `there are two ${name} (RFC 9113 §8.3)`;
    found.set(name, list[at + 1]!);
  }
  for (const name of found.keys()) {
    if (name !== ':method' && name !== ':scheme' && name !== ':authority' && name !== ':path') return 'a pseudo-field is unknown here (RFC 9113 §8.3)';
  }
  const method = found.get(':method');
  if (method === undefined) return ':method is missing (RFC 9113 §8.3.1)';
  // CONNECT has neither scheme nor path (§8.5); it is refused for what it is.
  if (method !== 'CONNECT' && (!found.has(':scheme') || !found.has(':path'))) return ':scheme or :path is missing (RFC 9113 §8.3.1)';
  return { method, scheme: found.get(':scheme') ?? '', authority: found.get(':authority') ?? null, path: found.get(':path') ?? '', end: at };
}

function targetFault(method: string, target: string): string | null {
  if (!TARGET.test(target)) return 'the request target has characters that must be percent-encoded, or a fragment';
  if (target === '*') return method === 'OPTIONS' ? null : 'the target * is only for OPTIONS (RFC 9113 §8.3.1)';
  // An absolute-form would be taken for an authority by whoever reads the HTTP/1.1 request.
  return target.startsWith('/') ? null : ':path does not begin with a slash (RFC 9113 §8.3.1)';
}

/** The same list as before but for :path, as browsers send for all that a page is made of. */
function repeats(list: FieldList, ended: boolean, last: Http2Request): string | null {
  const before = last.list;
  if (before.length !== list.length || last.ended !== ended) return null;
  let path = '';
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!;
    if (name !== before[i]) return null;
    if (name === ':path') path = list[i + 1]!;
    else if (list[i + 1] !== before[i + 1]) return null;
  }
  return path.startsWith('/') && last.head.isOriginForm && TARGET.test(path) ? path : null;
}

interface Collected {
  readonly read: FieldsRead;
  readonly host: string;
}

function push(read: FieldsRead, name: SentName, value: string): void {
  read.names.push(name.known.lower);
  read.values.push(value);
  read.flags.push(name.known.flags);
  read.allFlags |= name.known.flags;
  read.starts.push(read.text.length);
  read.text += `${name.cased}: ${value}\r\n`;
}

/** The ordinary fields as HTTP/1.1 lines, Host first. */
function collectFields(list: FieldList, pseudo: PseudoFields, fieldsMax: number): Collected | BadHead {
  const read: FieldsRead = { text: '', names: [], values: [], starts: [], flags: [], allFlags: 0, connectionNames: null, encodedEdit: null, encodedContext: null, encoded: '' };
  let host: string | null = null;
  let cookie: string | null = null;
  for (let i = pseudo.end; i + 1 < list.length; i += 2) {
    const value = list[i + 1]!;
    if (list[i] === 'host') {
      if (host !== null) return bad('there are two Host fields (RFC 9110 §7.2)');
      host = value;
    } else if (list[i] === 'cookie') cookie = cookie === null ? value : `${cookie}; ${value}`;
  }
  const { authority } = pseudo;
  // RFC 9113 §8.3.1: they must not differ, and what goes on names one.
  if (authority !== null && host !== null && authority.toLowerCase() !== host.toLowerCase()) return bad(':authority and Host differ (RFC 9113 §8.3.1)');
  const named = authority ?? host;
  if (named === null) return bad(':authority is missing (RFC 9113 §8.3.1)');
  if (!AUTHORITY.test(named)) return bad(':authority is not a host name with an optional port');
  push(read, sentNameOf('host')!, named);
  let cookieSent = false;
  for (let i = pseudo.end; i + 1 < list.length; i += 2) {
    const raw = list[i]!;
    let value = list[i + 1]!;
    const name = sentNameOf(raw);
    if (name === undefined) return bad(raw.startsWith(':') ? 'a pseudo-field stands behind other fields (RFC 9113 §8.3)' : 'a field name is not a token in lower case (RFC 9113 §8.2.1)');
    if (CONTROL.test(value)) return bad('a field value has control characters (RFC 9113 §8.2.1)');
    if (PADDED.test(value)) return bad('a field value has blanks around it (RFC 9113 §8.2.1)');
    if (raw === 'host') continue;
    if (raw === 'connection' || raw === 'keep-alive' || raw === 'proxy-connection' || raw === 'transfer-encoding' || raw === 'upgrade') return bad('a field belongs to HTTP/1.1 connections alone (RFC 9113 §8.2.2)');
    if (raw === 'te' && value.toLowerCase() !== 'trailers') return bad('TE is something other than "trailers" (RFC 9113 §8.2.2)');
    if (raw === 'cookie') {
      if (cookieSent) continue;
      cookieSent = true;
      value = cookie!;
    }
    if (read.names.length >= fieldsMax) return bad('too many header lines', 431);
    push(read, name, value);
  }
  read.starts.push(read.text.length);
  read.text += '\r\n';
  return { read, host: named };
}

interface BodyFacts {
  readonly framing: Framing;
  readonly bodyBytes: number;
  readonly expectsContinue: boolean;
}

function readBodyFacts(block: FieldBlock, ended: boolean): BodyFacts | BadHead {
  let framing: Framing = ended ? 'none' : 'chunked';
  let bodyBytes = 0;
  let expectsContinue = false;
  let lengths = 0;
  for (let i = 0; i < block.names.length; i++) {
    const value = block.values[i]!;
    if (block.flags[i]! & is.contentLength) {
      lengths += 1;
      if (lengths > 1) return bad('there are two Content-Length fields (RFC 9110 §8.6)');
      if (!DIGITS.test(value)) return bad('Content-Length is not a number');
      bodyBytes = Number(value);
      if (ended && bodyBytes > 0) return bad('Content-Length announces a body, and there is none (RFC 9113 §8.1.1)');
      framing = bodyBytes === 0 ? 'none' : 'length';
    } else if (block.flags[i]! & is.expect) {
      if (value.toLowerCase() !== '100-continue') return bad('the only expectation known is 100-continue (RFC 9110 §10.1.1)', 417);
      expectsContinue = true;
    }
  }
  return { framing, bodyBytes, expectsContinue: expectsContinue && framing !== 'none' };
}

/**
 * A request's list as the head that HTTP/1.1 would have brought. `ended`: the head was the last of it (END_STREAM). `last`: the request before it on
 * the same connection.
 */
export function readHttp2Request(list: FieldList, ended: boolean, fieldsMax: number, last: Http2Request | null): RequestHead | BadHead {
  if (last !== null) {
    const target = repeats(list, ended, last);
    const { head } = last;
    if (target !== null) {
      return { method: head.method, target, minorVersion: 1, host: head.host, isOriginForm: true, fields: head.fields, framing: head.framing, bodyBytes: head.bodyBytes, keepAlive: true, upgrade: '', expectsContinue: head.expectsContinue };
    }
  }
  const pseudo = readPseudoFields(list);
  if (typeof pseudo === 'string') return bad(pseudo);
  const { method, scheme, path } = pseudo;
  if (!METHOD.test(method)) return bad('the method is not a token');
  if (method === 'CONNECT') return bad('CONNECT is not offered here', 405);
  if (scheme !== 'http' && scheme !== 'https') return bad(':scheme is neither http nor https');
  const fault = targetFault(method, path);
  if (fault !== null) return bad(fault);
  const collected = collectFields(list, pseudo, fieldsMax);
  if ('bad' in collected) return collected;
  const body = readBodyFacts(collected.read, ended);
  if ('bad' in body) return body;
  return { method, target: path, minorVersion: 1, host: collected.host, isOriginForm: path !== '*', fields: collected.read, framing: body.framing, bodyBytes: body.bodyBytes, keepAlive: true, upgrade: '', expectsContinue: body.expectsContinue };
}

/** What the head would weigh in HTTP/1.1. */
export function headBytesOf(head: RequestHead): number {
  return head.method.length + head.target.length + 12 + head.fields.text.length;
}

/** A head in HTTP/1.1's form, of at most so many characters, for those who look at it before it is an exchange; it goes to no upstream. */
export function headTextOf(head: RequestHead, charsMax: number): string {
  return `${head.method} ${head.target} HTTP/1.1\r\n${head.fields.text}`.slice(0, charsMax);
}

/** The same of a list that is no head: what can be shown of it as lines. */
export function listTextOf(list: FieldList, charsMax: number): string {
  let text = 'GET / HTTP/1.1\r\n';
  for (let i = 0; i + 1 < list.length && text.length < charsMax; i += 2) {
    const name = list[i] === ':authority' ? 'host' : list[i]!;
    if (sentNameOf(name) !== undefined && !CONTROL.test(list[i + 1]!)) text += `${name}: ${list[i + 1]!}\r\n`;
  }
  return `${text}\r\n`.slice(0, charsMax);
}

/** A request's trailers as checked lines, each with its CRLF, less those that may not go on. */
export function readHttp2Trailers(list: FieldList, bytesMax: number): string | BadHead {
  let lines = '';
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = sentNameOf(list[i]!);
    const value = list[i + 1]!;
    if (name === undefined) return bad('a trailer\'s name is not a token in lower case (RFC 9113 §8.1)');
    if (CONTROL.test(value)) return bad('a trailer has control characters (RFC 9113 §8.2.1)');
    lines += `${name.cased}: ${value}\r\n`;
    if (lines.length > bytesMax) return bad('the trailers are too long', 431);
  }
  return encodeTrailers(lines);
}

/**
 * Checked header lines, each with its CRLF, as a list behind `before`: names in lower case, fields of HTTP/1.1 connections left out (RFC 9113 §8.2.2).
 */
export function listOfLines(lines: string, before: readonly string[] = []): string[] {
  const list = [...before];
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf('\r\n', at);
    const to = end < 0 ? lines.length : end;
    const colon = lines.indexOf(':', at);
    const name = colon < 0 || colon > to ? undefined : nameOf(lines.slice(at, colon));
    if (name !== undefined && !(name.flags & is.hop)) list.push(name.lower, withoutBlanks(lines.slice(colon + 1, to)));
    at = to + 2;
  }
  return list;
}
