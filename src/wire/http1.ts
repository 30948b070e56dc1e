// HTTP/1.1 message heads (RFC 9112): reading them strictly, deciding how the body is framed, writing them anew.
// A head is handled as one latin1 string and searched with indexOf; nothing of it is ever forwarded without having been checked.
import { FOLDED, NOT_CRLF, SPACED, is, readConnection, readFields, valuesFlagged, type FieldBlock, type FieldsRead } from './http1-fields.ts';

/** How long a body is (RFC 9112 §6.3). `close`: until the connection ends; only answers. */
export type Framing = 'none' | 'length' | 'chunked' | 'close';

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

export const DIGITS = /^[0-9]{1,15}$/;
export const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$/;
// RFC 3986 characters; also the few that browsers send unescaped in queries.
export const TARGET = /^[!-"$-~]+$/;
// Without empty labels: "name.." is "name." to one reader and "name" to the next.
export const AUTHORITY = /^(?:[0-9A-Za-z_~-]+(?:\.[0-9A-Za-z_~-]+)*\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;

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

