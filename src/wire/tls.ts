// The TLS ClientHello as a stranger reads it: which name, which protocols, which versions are asked for, before a byte
// is consumed. A hello may be cut anywhere, by TCP segments and by TLS records (RFC 8446 §5.1); both are joined here,
// because a name that is missed would let a route with weaker policy answer (GHSA-wvvq-wgcr-9q48, CVE-2026-32305).
import { noBytes } from '#base/bytes.ts';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { more, no, type Unsettled } from './sniff.ts';

/** ALPN of the endpoint for links (docs/wire/tunnel.md §1). */
export const linkAlpn = 'postern-link/1';

export interface ClientHello {
  readonly kind: 'hello';
  /** Lower case, without a trailing dot; null when none was sent. */
  readonly serverName: string | null;
  /** As offered, GREASE left out; one char a byte (latin1). */
  readonly alpn: readonly string[];
  /** As offered in supported_versions, else the one legacy_version (0x0303 is TLS 1.2); GREASE left out. */
  readonly versions: readonly number[];
  /** Cipher suites as sent: pairs of bytes, GREASE included. Like `extensions` a view of the hello, read only by those who ask (`helloCodes`). */
  readonly suites: Buffer;
  /** Bodies by type, in the order sent, GREASE included. A hello has up to 16 KiB: take from it what is needed, keep it no longer than the decision. */
  readonly extensions: ReadonlyMap<number, Buffer>;
}

export type TlsSniff = Unsettled | ClientHello;

const helloRecordsMax = 20;

const contentHandshake = 0x16;
const typeClientHello = 1;
const extensionServerName = 0;
const extensionSupportedGroups = 10;
const extensionSignatureAlgorithms = 13;
const extensionAlpn = 16;
const extensionSupportedVersions = 43;

/** Ends the reading from any depth; never leaves this file. */
function wrong(why: string): never {
  throw new Fault('protocol', why);
}

/**
 * Looks at the first bytes of a connection. Never throws, keeps nothing, may be called again with more bytes; the cost
 * of a call that still needs more is the number of records so far, not of bytes.
 */
export function sniffClientHello(bytes: Buffer): TlsSniff {
  try {
    const start = sniffStart(bytes);
    if (start) return start;
    const body = joinRecords(bytes);
    return body ? parseClientHello(body) : more;
  } catch (thrown) {
    if (thrown instanceof Fault) return { kind: 'malformed', why: thrown.message };
    throw thrown;
  }
}

/** Null when a handshake record of TLS has begun. */
function sniffStart(bytes: Buffer): TlsSniff | null {
  const first = bytes[0];
  if (first === undefined) return more;
  if (first >= 0x80) return sniffSslv2(bytes);
  const isOtherRecord = first === 0x14 || first === 0x15 || first === 0x17;
  if (first !== contentHandshake && !isOtherRecord) return no;
  const major = bytes[1];
  if (major === undefined) return more;
  if (major !== 3) return no;
  // RFC 8446 §5.1: the minor version of the record must be ignored; it is looked at only to tell TLS from chance.
  const minor = bytes[2];
  if (minor === undefined) return more;
  if (minor > 4) return no;
  if (isOtherRecord) wrong(`TLS record of type ${first} before any ClientHello`);
  return null;
}

/** RFC 5246 appendix E.2: two bytes of length with the top bit set, type 1, then the version asked for. */
function sniffSslv2(bytes: Buffer): TlsSniff {
  const type = bytes[2];
  const major = bytes[3];
  if (type !== undefined && type !== typeClientHello) return no;
  if (major !== undefined && major !== 0 && major !== 3) return no;
  const minor = bytes[4];
  if (minor === undefined) return more;
  if (major === 0 ? minor !== 2 : minor > 4) return no;
  return wrong('SSLv2 hello; such clients cannot be served');
}

/** The body of the ClientHello, joined over its records; null while bytes are missing. */
function joinRecords(bytes: Buffer): Buffer | null {
  const parts: Buffer[] = [];
  let have = 0;
  let need = Infinity;
  let at = 0;
  for (let records = 1; ; records++) {
    if (bytes.length < at + 1) break;
    if (records > helloRecordsMax) wrong(`ClientHello is spread over more than ${helloRecordsMax} TLS records`);
    if (bytes[at] !== contentHandshake) wrong(`TLS record of type ${bytes[at]} inside the ClientHello`);
    if (bytes.length < at + 2) break;
    if (bytes[at + 1] !== 3) wrong(`TLS record of version ${bytes[at + 1]}.x inside the ClientHello`);
    if (bytes.length < at + 5) break;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0) wrong('empty TLS record inside the ClientHello'); // RFC 8446 §5.1
    if (at + 5 + length > limits.sniffBytesMax) wrong(`ClientHello does not end within ${limits.sniffBytesMax} bytes`);
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    have += part.length;
    need = helloLength(parts, have);
    // Nothing may follow in the same record: the server answers first.
    if (have - part.length + length > need) wrong('a second handshake message behind the ClientHello');
    if (have === need) return Buffer.concat(parts, have).subarray(4);
    if (part.length < length) break;
    at += 5 + length;
  }
  return null;
}

/** Length of the whole handshake message with its header; Infinity while the header is not whole. */
function helloLength(parts: readonly Buffer[], have: number): number {
  const type = parts[0]![0];
  if (type !== undefined && type !== typeClientHello) wrong(`handshake message of type ${type} instead of a ClientHello`);
  if (have < 4) return Infinity;
  const head = parts[0]!.length >= 4 ? parts[0]! : Buffer.concat(parts);
  const need = 4 + head.readUIntBE(1, 3);
  if (need > limits.sniffBytesMax) wrong(`ClientHello of ${need} bytes, more than ${limits.sniffBytesMax}`);
  return need;
}

/** A place in one structure; every length is checked against what encloses it. */
interface Cursor {
  readonly bytes: Buffer;
  readonly what: string;
  at: number;
}

const cursor = (bytes: Buffer, what: string): Cursor => ({ bytes, what, at: 0 });
const isAtEnd = (from: Cursor): boolean => from.at === from.bytes.length;

function take(from: Cursor, length: number): Buffer {
  const end = from.at + length;
  if (end > from.bytes.length) wrong(`${from.what} is cut short`);
  const taken = from.bytes.subarray(from.at, end);
  from.at = end;
  return taken;
}

function takeUint(from: Cursor, size: 1 | 2): number {
  return take(from, size).readUIntBE(0, size);
}

/** A vector whose length takes `size` bytes (RFC 8446 §3.4). */
function takeVector(from: Cursor, size: 1 | 2): Buffer {
  return take(from, takeUint(from, size));
}

/** The one vector that fills the whole structure. */
function onlyVector(bytes: Buffer, size: 1 | 2, what: string): Cursor {
  const outer = cursor(bytes, what);
  const list = cursor(takeVector(outer, size), what);
  endOf(outer);
  return list;
}

function endOf(from: Cursor): void {
  if (!isAtEnd(from)) wrong(`${from.what} has ${from.bytes.length - from.at} bytes too many`);
}

/** RFC 8446 §4.1.2. */
function parseClientHello(body: Buffer): ClientHello {
  const hello = cursor(body, 'ClientHello');
  const legacyVersion = takeUint(hello, 2);
  if (legacyVersion >> 8 !== 3) wrong(`ClientHello of version 0x${legacyVersion.toString(16).padStart(4, '0')}`);
  take(hello, 32); // random
  if (takeVector(hello, 1).length > 32) wrong('session id of more than 32 bytes');
  const suites = takeVector(hello, 2);
  if (suites.length === 0 || suites.length % 2 !== 0) wrong('cipher suites are not a list of pairs of bytes');
  if (takeVector(hello, 1).length === 0) wrong('no compression method, not even null');
  const extensions = isAtEnd(hello) ? new Map<number, Buffer>() : readExtensions(takeVector(hello, 2));
  endOf(hello);
  const names = extensions.get(extensionServerName);
  const protocols = extensions.get(extensionAlpn);
  const versions = extensions.get(extensionSupportedVersions);
  checkCodes(extensions.get(extensionSupportedGroups), 'the list of groups');
  checkCodes(extensions.get(extensionSignatureAlgorithms), 'the list of signature algorithms');
  return {
    kind: 'hello',
    serverName: names ? readServerName(names) : null,
    alpn: protocols ? readAlpn(protocols) : [],
    versions: versions ? readVersions(versions) : [legacyVersion],
    suites,
    extensions,
  };
}

/** RFC 8446 §4.2.3, §4.2.7: pairs of bytes, at least one. Only the lengths are looked at here. */
function checkCodes(bytes: Buffer | undefined, what: string): void {
  if (!bytes) return;
  const length = onlyVector(bytes, 2, what).bytes.length;
  if (length === 0 || length % 2 !== 0) wrong(`${what} is not a list of pairs of bytes`);
}

/** Numbers of the IANA registries, in the order sent, GREASE left out. */
export interface HelloCodes {
  readonly suites: readonly number[];
  readonly extensions: readonly number[];
  /** Empty without the extension. */
  readonly signatureAlgorithms: readonly number[];
  /** Null without the extension: then the server may take any (RFC 8422 §4). */
  readonly groups: readonly number[] | null;
}

/** What most connections never need, and so is not read while sniffing. */
export function helloCodes(hello: ClientHello): HelloCodes {
  const groups = hello.extensions.get(extensionSupportedGroups);
  return {
    suites: codesOf(hello.suites, 0),
    extensions: [...hello.extensions.keys()].filter((type) => !isGrease(type)),
    signatureAlgorithms: codesOf(hello.extensions.get(extensionSignatureAlgorithms) ?? noBytes, 2),
    groups: groups ? codesOf(groups, 2) : null,
  };
}

function codesOf(bytes: Buffer, from: number): number[] {
  const codes: number[] = [];
  for (let at = from; at < bytes.length; at += 2) {
    const code = bytes.readUInt16BE(at);
    if (!isGrease(code)) codes.push(code);
  }
  return codes;
}

function readExtensions(bytes: Buffer): Map<number, Buffer> {
  const fields = cursor(bytes, 'the list of extensions');
  const extensions = new Map<number, Buffer>();
  while (!isAtEnd(fields)) {
    const type = takeUint(fields, 2);
    // RFC 8446 §4.2; two server names would let two readers see two different ones.
    if (extensions.has(type)) wrong(`extension ${type} comes twice`);
    extensions.set(type, takeVector(fields, 2));
  }
  return extensions;
}

/** RFC 6066 §3. */
function readServerName(bytes: Buffer): string | null {
  const list = onlyVector(bytes, 2, 'the list of server names');
  const type = takeUint(list, 1);
  if (type !== 0) wrong(`server name of type ${type}`);
  const name = takeVector(list, 2);
  if (!isAtEnd(list)) wrong('more than one server name');
  return canonicalServerName(name.toString('latin1'));
}

/** Null for an address literal: RFC 6066 §3 forbids it, but wrk 4 and old device stacks send one. It names nobody, like no name at all. */
function canonicalServerName(text: string): string | null {
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
  if (name === '') wrong('empty server name');
  if (name.includes('\0')) wrong('server name with a NUL byte');
  if (/^\[?[0-9a-f:.]*:[0-9a-f:.]*\]?$/.test(name) || /^\d{1,3}(\.\d{1,3}){3}$/.test(name)) return null;
  if (/(^|\.)[0-9]+$/.test(name)) wrong('server name that ends in a number'); // WHATWG URL §3.5: some would read an address
  if (name.length > 253) wrong('server name of more than 253 characters');
  if (!/^[a-z0-9.-]+$/.test(name)) wrong('server name with other characters than letters, digits, hyphens and dots');
  for (const label of name.split('.')) {
    if (label === '' || label.length > 63) wrong('server name with an empty label or one of more than 63 characters');
    if (label.startsWith('-') || label.endsWith('-')) wrong('server name with a hyphen at the edge of a label');
  }
  return name;
}

/** RFC 7301 §3.1. */
function readAlpn(bytes: Buffer): string[] {
  const list = onlyVector(bytes, 2, 'the list of protocols');
  if (isAtEnd(list)) wrong('empty list of protocols');
  const protocols: string[] = [];
  while (!isAtEnd(list)) {
    const protocol = takeVector(list, 1);
    if (protocol.length === 0) wrong('protocol with an empty name');
    if (protocol.length !== 2 || !isGrease(protocol.readUInt16BE(0))) protocols.push(protocol.toString('latin1'));
  }
  return protocols;
}

/** RFC 8446 §4.2.1. */
function readVersions(bytes: Buffer): number[] {
  const list = onlyVector(bytes, 1, 'the list of versions');
  const versions: number[] = [];
  while (!isAtEnd(list)) {
    const version = takeUint(list, 2);
    if (!isGrease(version)) versions.push(version);
  }
  if (versions.length === 0) wrong('empty list of versions');
  return versions;
}

/** RFC 8701 §2: 0x0a0a, 0x1a1a … 0xfafa are noise that keeps readers honest. */
function isGrease(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff);
}
