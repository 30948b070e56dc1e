// The head of an LDAP message from a client (RFC 4511 §4.1.1): whom a bind or a search speaks of, read before the rest has arrived. What is read
// and refused is in docs/wire/ldap.md.
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { readBaseDomain, readBindName, wrong } from './ldap-name.ts';
import { malformed, more, no } from './sniff.ts';
import type { Unsettled } from './sniff.ts';

export interface LdapFacts {
  readonly kind: 'ldap';
  readonly op: 'bind' | 'search' | 'start-tls' | 'other';
  /** 1 to 2^31 - 1. */
  readonly messageId: number;
  /** Of a bind's name or a search's base. Lower case, without a dot at its end; null when it names none. */
  readonly domain: string | null;
  /** Of a bind: the user part as sent; of a DN, the value of its first attribute. */
  readonly user: string | null;
  /** Of a SASL bind: the mechanism. */
  readonly sasl: string | null;
  /** Of the whole message with its head; more may follow. */
  readonly pduBytes: number;
}

const tagOfMessage = 0x30;
const tagOfInteger = 0x02;
const tagOfString = 0x04;
/** RFC 4511 §4.2: the proof of a bind. */
const tagOfSimple = 0x80;
const tagOfSasl = 0xa3;
/** RFC 4511 §4.12. */
const tagOfRequestName = 0x80;

const tagOfEnumerated = 0x0a;

const opBind = 0x60;
const opBindResponse = 0x61;
const opSearch = 0x63;
const opExtended = 0x77;
/** unbind, modify, add, delete, rename, compare, abandon. */
const otherOps = new Set([0x42, 0x66, 0x68, 0x4a, 0x6c, 0x6e, 0x50]);

/** RFC 4511 §4.14.1. */
const startTlsName = '1.3.6.1.4.1.1466.20037';

/** RFC 4511 §5.1 forbids it. */
const indefinite = -1;

const messageIdMax = 0x7fffffff;

/** Looks at the first bytes of a connection, or of a message on it. What is missing is never waited for once the answer is clear. */
export function sniffLdap(bytes: Buffer): Unsettled | LdapFacts {
  try {
    return readHead(bytes);
  } catch (thrown) {
    if (thrown === missing) return more;
    if (thrown instanceof Fault) return malformed(thrown.message);
    throw thrown;
  }
}

/** What a server sends, as far as it matters here. */
export interface LdapAnswer {
  readonly kind: 'answer';
  readonly pduBytes: number;
  /** Of a BindResponse: which bind it answers, and its resultCode. */
  readonly bind: { readonly messageId: number; readonly result: number } | null;
}

/** Looks at the first bytes of a message from a server. `no` is anything that is not one; its length has no limit but four bytes. */
export function sniffLdapAnswer(bytes: Buffer): Unsettled | LdapAnswer {
  try {
    const message: Cursor = { bytes, at: 0, end: Infinity };
    if (takeByte(message) !== tagOfMessage) return no;
    enter(message);
    const pduBytes = message.end;
    expectTag(message, tagOfInteger, 'message id');
    const messageId = takeNumber(message);
    if (takeByte(message) !== opBindResponse) return { kind: 'answer', pduBytes, bind: null };
    enter(message);
    expectTag(message, tagOfEnumerated, 'result of a bind');
    return { kind: 'answer', pduBytes, bind: { messageId, result: takeNumber(message) } };
  } catch (thrown) {
    if (thrown === missing) return more;
    if (thrown instanceof Fault) return no;
    throw thrown;
  }
}

/** Thrown when bytes are missing that may still come; never leaves this file. */
const missing = Symbol('missing');

/** What comes next inside one structure; `end` is where that says it ends, which may lie beyond the bytes that are there. */
interface Cursor {
  readonly bytes: Buffer;
  at: number;
  end: number;
}

function takeByte(from: Cursor): number {
  if (from.at >= from.end) wrong('LDAP message with a part that is cut short');
  const byte = from.bytes[from.at];
  if (byte === undefined) throw missing;
  from.at++;
  return byte;
}

/** Null for a form that nobody sends: more than four bytes of length. */
function takeLength(from: Cursor): number | null {
  const first = takeByte(from);
  if (first < 0x80) return first;
  if (first === 0x80) return indefinite;
  if (first > 0x84) return null;
  let length = 0;
  for (let left = first - 0x80; left > 0; left--) length = length * 256 + takeByte(from);
  return length;
}

/** The length of something inside the message; it has to fit. */
function takeInnerLength(from: Cursor): number {
  const length = takeLength(from);
  if (length === indefinite) wrong('LDAP message with an indefinite length');
  if (length === null) wrong('LDAP message with a length of more than four bytes');
  if (from.at + length > from.end) wrong('LDAP message with a part that is longer than what holds it');
  return length;
}

/** Behind a tag: from here the inner structure's end counts. */
function enter(from: Cursor): void {
  const length = takeInnerLength(from);
  from.end = from.at + length;
}

function expectTag(from: Cursor, tag: number, what: string): void {
  const found = takeByte(from);
  if (found !== tag) wrong(`${what} has the tag 0x${found.toString(16).padStart(2, '0')}`);
}

/** Of one to four bytes, read without a sign. */
function takeNumber(from: Cursor): number {
  const size = takeInnerLength(from);
  if (size < 1 || size > 4) wrong('LDAP message with a number that is none of its own');
  let value = 0;
  for (let left = size; left > 0; left--) value = value * 256 + takeByte(from);
  return value;
}

function takeString(from: Cursor, tag: number, what: string, bytesMax: number = limits.ldapNameBytesMax): Buffer {
  expectTag(from, tag, what);
  const length = takeInnerLength(from);
  if (length > bytesMax) wrong(`${what} has ${length} bytes, more than ${bytesMax}`);
  if (from.at + length > from.bytes.length) throw missing;
  from.at += length;
  return from.bytes.subarray(from.at - length, from.at);
}

/** Until the operation is known, bytes that are missing are `more` and anything odd is `no`: SNMP and certificates begin alike. */
function readHead(bytes: Buffer): Unsettled | LdapFacts {
  const message: Cursor = { bytes, at: 0, end: Infinity };
  if (takeByte(message) !== tagOfMessage) return no;
  const length = takeLength(message);
  if (length === null) return no;
  const start = message.at;
  if (takeByte(message) !== tagOfInteger) return no;
  const idBytes = takeLength(message);
  if (idBytes === null || idBytes < 1 || idBytes > 4) return no;
  let messageId = 0;
  for (let left = idBytes; left > 0; left--) messageId = messageId * 256 + takeByte(message);
  const op = takeByte(message);
  if (op !== opBind && op !== opSearch && op !== opExtended && !otherOps.has(op)) return no;

  if (length === indefinite) wrong('LDAP message with an indefinite length');
  const pduBytes = start + length;
  if (pduBytes > limits.ldapMessageBytesMax) wrong(`LDAP message of ${pduBytes} bytes, more than ${limits.ldapMessageBytesMax}`);
  if (message.at > pduBytes) wrong('LDAP message that ends before its operation');
  // A negative number is one over messageIdMax when its bytes are four; with fewer its first bit says so.
  if (messageId === 0 || messageId > messageIdMax || messageId >= 2 ** (8 * idBytes - 1)) wrong('LDAP message with an id that no client may use');
  message.end = pduBytes;
  enter(message);
  return { kind: 'ldap', op: 'other', messageId, domain: null, user: null, sasl: null, pduBytes, ...readOperation(op, message, pduBytes) };
}

function readOperation(op: number, body: Cursor, pduBytes: number): Partial<LdapFacts> {
  if (op === opBind) return { op: 'bind', ...readBind(body) };
  if (op === opSearch) return { op: 'search', domain: readBaseDomain(takeString(body, tagOfString, 'search base')) };
  if (op !== opExtended || !readIsStartTls(body)) return {};
  // Whoever answers has to know where it ends: TLS begins there.
  if (pduBytes > limits.ldapNameBytesMax) wrong(`StartTLS of ${pduBytes} bytes, more than ${limits.ldapNameBytesMax}`);
  if (body.bytes.length < pduBytes) throw missing;
  return { op: 'start-tls' };
}

/** RFC 4511 §4.2. */
function readBind(body: Cursor): Partial<LdapFacts> {
  expectTag(body, tagOfInteger, 'version of a bind');
  if (takeInnerLength(body) !== 1) wrong('bind with a version of more than one byte');
  const version = takeByte(body);
  if (version !== 2 && version !== 3) wrong(`bind of LDAP version ${version}`);
  const name = readBindName(takeString(body, tagOfString, 'bind name'));
  const proof = takeByte(body);
  if (proof === tagOfSimple) return name;
  if (proof !== tagOfSasl) wrong(`bind with a proof of the tag 0x${proof.toString(16).padStart(2, '0')}, neither simple nor SASL`);
  enter(body);
  return { ...name, sasl: readMechanism(takeString(body, tagOfString, 'SASL mechanism', 20)) };
}

/** RFC 4422 §3.1, at most 20 characters; in upper case, since servers take either. Null for an empty one: the client gives up a bind that is under way (RFC 4511 §4.2.1). */
function readMechanism(bytes: Buffer): string | null {
  const name = bytes.toString('latin1').toUpperCase();
  if (!/^[A-Z0-9_-]*$/.test(name)) wrong('SASL mechanism with a name that is none');
  return name || null;
}

/** Only as much of the name is waited for as can still be StartTLS. */
function readIsStartTls(body: Cursor): boolean {
  expectTag(body, tagOfRequestName, 'name of an extended operation');
  if (takeInnerLength(body) !== startTlsName.length) return false;
  for (let i = 0; i < startTlsName.length; i++) if (takeByte(body) !== startTlsName.charCodeAt(i)) return false;
  return true;
}
