// SIP heads (RFC 3261 §7, §25): what a first packet says, and what one message of a stream says. Reading is in two steps, because where a message
// ends must be known even of one that is refused: `readSipHead` (lines and fields), then `parseSipMessage` (what they mean).
import { withoutBlanks } from '#base/blanks.ts';
import { latin1Of } from '#base/bytes.ts';
import { limits } from '#base/limits.ts';
import { canonicalSipHost, parseNameAddr, parseSipUri, splitOutside, tokenChars, type SipUri } from './sip-uri.ts';
import { malformed, more, no, type Unsettled } from './sniff.ts';

export interface SipField {
  /** Long form, lower case. */
  readonly name: string;
  /** As it came. */
  readonly shown: string;
  /** Unfolded, without blanks around it; one char a byte (latin1). */
  readonly value: string;
}

export interface SipHead {
  readonly start: string;
  readonly fields: readonly SipField[];
}

export interface SipRequest {
  readonly kind: 'request';
  readonly method: string;
  /** The Request-URI as written. */
  readonly uri: string;
  readonly target: SipUri;
  readonly fields: readonly SipField[];
}

export interface SipResponse {
  readonly kind: 'response';
  readonly status: number;
  readonly reason: string;
  readonly fields: readonly SipField[];
}

/** What is wrong, and the status a sender can be told. */
export interface BadSip {
  readonly kind: 'bad';
  readonly why: string;
  readonly status: number;
}

/** Whom a request is for and who asks. */
export interface SipAsked {
  /** Canonical host; null when the request names none. */
  readonly domain: string | null;
  readonly user: string | null;
  readonly fromUser: string | null;
}

export interface SipFacts extends SipAsked {
  readonly kind: 'sip';
  readonly method: string;
  /** From the first byte, empty lines included, to the end of the head. */
  readonly headBytes: number;
}

/** RFC 3261 §7.3.3 and the IANA registry of header fields. */
const COMPACT: Readonly<Record<string, string>> = {
  a: 'accept-contact', b: 'referred-by', c: 'content-type', d: 'request-disposition', e: 'content-encoding', f: 'from', i: 'call-id', j: 'reject-contact', k: 'supported',
  l: 'content-length', m: 'contact', n: 'identity-info', o: 'event', r: 'refer-to', s: 'subject', t: 'to', u: 'allow-events', v: 'via', x: 'session-expires', y: 'identity',
};
/** Two of these would let two readers see two different requests. */
const ONCE = ['to', 'from', 'call-id', 'cseq', 'max-forwards'];
const NEEDED = ['via', 'to', 'from', 'call-id', 'cseq'];

const METHOD = `[${tokenChars}]{1,64}`;
const TOKEN_CHAR = new RegExp(`^[${tokenChars}]$`);
const NAME = new RegExp(`^([${tokenChars}]+)[ \\t]*:`);
const REQUEST_LINE = new RegExp(`^(${METHOD}) ([^ ]+) SIP/2\\.0$`, 'i');
const VERSION_AT_END = /(?:^|[ \t])SIP\/\d+\.\d+[ \t]*$/i;

const bad = (why: string, status = 400): BadSip => ({ kind: 'bad', why, status });

/** Looks at the first bytes of a connection. Never throws; a verdict on a beginning stays, whatever follows. */
export function sniffSip(bytes: Buffer): Unsettled | SipFacts {
  let start = 0;
  while (bytes[start] === 0x0d) {
    if (start >= limits.sipLeadingBytesMax) return no;
    if (bytes.length === start + 1) return more;
    if (bytes[start + 1] !== 0x0a) return no;
    start += 2;
  }
  const line = sniffFirstLine(bytes, start);
  if (typeof line !== 'string') return line;
  const wrong = whyNoFirstLine(line);
  if (wrong) return malformed(wrong);
  const end = bytes.indexOf('\r\n\r\n', start, 'latin1');
  if (end < 0 ? bytes.length >= limits.sipHeadBytesMax : end + 4 > limits.sipHeadBytesMax) return malformed(`SIP head of more than ${limits.sipHeadBytesMax} bytes`);
  if (end < 0) return more;
  const head = readSipHead(latin1Of(bytes, start, end + 2));
  if (typeof head === 'string') return malformed(head);
  const length = sipContentLength(head.fields);
  if (typeof length !== 'number') return malformed(length.why);
  const message = parseSipMessage(head);
  if (message.kind === 'bad') return malformed(message.why);
  if (message.kind === 'response') return malformed('a SIP answer to no request');
  return { kind: 'sip', method: message.method, ...sipAskedOf(message, dialogDomainOf(message)), headBytes: end + 4 };
}

/** The first line once it is there and claims to be SIP. */
function sniffFirstLine(bytes: Buffer, start: number): Unsettled | string {
  let blank = -1;
  for (let at = start; at < bytes.length; at++) {
    if (at - start >= limits.sipHeadBytesMax) return no;
    const byte = bytes[at]!;
    if (byte === 0x0d) {
      if (bytes.length === at + 1) return more;
      if (bytes[at + 1] !== 0x0a) return no;
      const line = latin1Of(bytes, start, at);
      return VERSION_AT_END.test(line) || /^SIP\//i.test(line) ? line : no;
    }
    if (byte === 0x0a) return VERSION_AT_END.test(latin1Of(bytes, start, at)) ? malformed('a line does not end with CRLF') : no;
    if (byte < 0x20 || byte === 0x7f) return no;
    if (blank >= 0) continue;
    // An answer's version has a slash where a method has none.
    if (byte === 0x20) blank = at;
    else if (at - start >= 64 || !(TOKEN_CHAR.test(String.fromCharCode(byte)) || (byte === 0x2f && /^sip$/i.test(latin1Of(bytes, start, at)) && at === start + 3))) return no;
    if (blank === start) return no;
  }
  return more;
}

function whyNoFirstLine(line: string): string | null {
  if (/^SIP\//i.test(line)) return 'a SIP answer to no request';
  if (!/ SIP\/2\.0$/i.test(line)) return 'another SIP version than 2.0, or blanks behind it';
  return REQUEST_LINE.test(line) ? null : 'blanks in the Request-URI, or more than one beside it';
}

/** Lines and fields of a head without the empty line at its end (each line with its CRLF); or why not. */
export function readSipHead(text: string): SipHead | string {
  if (/[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(text)) return 'a control byte in the head';
  if (/\r(?!\n)|(?<!\r)\n/.test(text)) return 'a line does not end with CRLF';
  const startEnd = text.indexOf('\r\n');
  if (startEnd < 0) return 'no first line';
  const rest = text.slice(startEnd + 2);
  if (/^[ \t]/.test(rest)) return 'a folded first line';
  // RFC 3261 §7.3.1: folding stands for one blank.
  const lines = rest.replace(/\r\n[ \t]+/g, ' ').split('\r\n');
  lines.pop();
  if (lines.length > limits.sipHeadFieldsMax) return `more than ${limits.sipHeadFieldsMax} header fields`;
  const fields: SipField[] = [];
  for (const line of lines) {
    const match = NAME.exec(line);
    if (!match) return 'a header line without a name';
    const lower = match[1]!.toLowerCase();
    fields.push({ name: (lower.length === 1 && COMPACT[lower]) || lower, shown: match[1]!, value: withoutBlanks(line.slice(match[0].length)) });
  }
  return { start: text.slice(0, startEnd), fields };
}

/** The first of that name; undefined without one. */
export function sipField(fields: readonly SipField[], name: string): string | undefined {
  return fields.find((field) => field.name === name)?.value;
}

/** Bytes of the body. BadSip means that nobody knows where the next message begins (RFC 3261 §18.3). */
export function sipContentLength(fields: readonly SipField[]): number | BadSip {
  const values = fields.filter((field) => field.name === 'content-length').map((field) => field.value);
  if (values.some((value) => !/^\d{1,9}$/.test(value) || Number(value) !== Number(values[0]))) return bad('no readable Content-Length');
  if (values.length > 0) {
    const length = Number(values[0]);
    return length <= limits.sipBodyBytesMax ? length : bad(`a body of more than ${limits.sipBodyBytesMax} bytes`, 413);
  }
  return sipField(fields, 'content-type') === undefined ? 0 : bad('a body without Content-Length');
}

/** What a head means, or why it is refused. */
export function parseSipMessage({ start, fields }: SipHead): SipRequest | SipResponse | BadSip {
  for (const name of NEEDED) if (!sipField(fields, name)) return bad(`no ${name}`);
  for (const name of ONCE) if (fields.filter((field) => field.name === name).length > 1) return bad(`${name} comes twice`);
  for (const name of ['to', 'from']) if (parseNameAddr(sipField(fields, name)!) === null) return bad(`an unreadable ${name}`);
  const cseq = new RegExp(`^(\\d{1,10})[ \\t]+([${tokenChars}]+)$`).exec(sipField(fields, 'cseq')!);
  if (!cseq || Number(cseq[1]) >= 2 ** 31) return bad('an unreadable cseq');
  const status = /^SIP\/2\.0 ([1-6]\d\d)(?: (.*))?$/i.exec(start);
  if (status) return { kind: 'response', status: Number(status[1]), reason: status[2] ?? '', fields };
  const line = REQUEST_LINE.exec(start);
  if (!line) return VERSION_AT_END.test(start) && !/ SIP\/2\.0[ \t]*$/i.test(start) ? bad('another SIP version', 505) : bad('an unreadable first line');
  const [, method = '', uri = ''] = line;
  if (cseq[2] !== method) return bad('cseq of another method');
  const target = parseSipUri(uri);
  if (!target || target.hasFields) return bad('an unreadable Request-URI');
  if (!['sip', 'sips', 'tel', 'urn'].includes(target.scheme)) return bad('an unknown scheme in the Request-URI', 416);
  const hops = sipField(fields, 'max-forwards');
  if (hops !== undefined && (!/^\d{1,9}$/.test(hops) || Number(hops) > 255)) return bad('an unreadable max-forwards');
  return { kind: 'request', method, uri, target, fields };
}

/** The first value of the first Route; null without one or with one that cannot be read. */
export function topRoute(fields: readonly SipField[]): SipUri | null {
  const first = splitOutside(sipField(fields, 'route') ?? '', ',')?.[0];
  return (first && parseNameAddr(first)?.uri) || null;
}

/** Parameter of our Record-Route: the domain a dialog was admitted for, and the proof of it. */
export const dialogParam = 'postern';

/** The domain that a request within a dialog claims by our own Route. A claim: the relay checks its proof. */
export function dialogDomainOf(request: SipRequest): string | null {
  const claim = topRoute(request.fields)?.params.get(dialogParam);
  const isInDialog = parseNameAddr(sipField(request.fields, 'to')!)?.params.has('tag');
  const domain = isInDialog ? claim?.split('~', 1)[0] : undefined;
  return domain !== undefined && canonicalSipHost(domain) === domain ? domain : null;
}

/** `dialogDomain` takes the place of what the Request-URI says (docs/wire/sip.md: requests within a dialog). */
export function sipAskedOf({ method, target, fields }: SipRequest, dialogDomain: string | null): SipAsked {
  const to = parseNameAddr(sipField(fields, 'to')!)?.uri;
  const from = parseNameAddr(sipField(fields, 'from')!)?.uri;
  return {
    domain: dialogDomain ?? target.host ?? to?.host ?? from?.host ?? null,
    user: (method === 'REGISTER' ? to?.user : target.user) ?? null,
    fromUser: from?.user ?? null,
  };
}
