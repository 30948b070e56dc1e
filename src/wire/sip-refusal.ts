// A SIP request answered by us instead of by an upstream (RFC 3261 §8.2.6). Reads less strictly than `sip.ts`: a malformed request is answered as well
// as it can be, and one that cannot be answered is answered with silence.
import { createHash } from 'node:crypto';
import { latin1Of } from '#base/bytes.ts';
import { readSipHead, type SipField, type SipHead } from './sip.ts';
import { parseNameAddr } from './sip-uri.ts';

const COPIED = ['via', 'from', 'to', 'call-id', 'cseq'];
const STATUS: Readonly<Record<number, string>> = {
  400: 'Bad Request', 403: 'Forbidden', 404: 'Not Found', 413: 'Request Entity Too Large', 416: 'Unsupported URI Scheme', 420: 'Bad Extension', 480: 'Temporarily Unavailable', 483: 'Too Many Hops',
  500: 'Server Internal Error', 503: 'Service Unavailable', 505: 'Version Not Supported', 513: 'Message Too Large',
};

/** The usual words for a status. */
export function sipReasonOf(status: number): string {
  return STATUS[status] ?? 'Refused';
}

/**
 * The answer to the first request in `bytes` (its head whole; empty lines before and anything behind are passed over), or null when none may or can be
 * given: to ACK, to an answer, to a head without Via, From, To, Call-ID or CSeq. `reason` is for people and must not hold bytes of the peer.
 */
export function encodeSipRefusal(bytes: Buffer, status: number, reason: string = sipReasonOf(status)): Buffer | null {
  const whole = latin1Of(bytes);
  const text = whole.slice(/^(?:\r\n)*/.exec(whole)![0].length);
  const end = text.indexOf('\r\n\r\n');
  const head = end < 0 ? 'no end' : readSipHead(text.slice(0, end + 2));
  return typeof head === 'string' ? null : refuseSipHead(head, status, reason);
}

/** The same for a head that was read. `more` are fields of the answer's own. */
export function refuseSipHead({ start, fields }: SipHead, status: number, reason: string = sipReasonOf(status), more: readonly SipField[] = []): Buffer | null {
  if (!/^[^ /]+ .*SIP\/\d+\.\d+[ \t]*$/i.test(start) || start.startsWith('ACK ')) return null;
  // All of Via, the first of the others.
  const copied = COPIED.flatMap((name) => fields.filter((field) => field.name === name).slice(0, name === 'via' ? undefined : 1));
  if (new Set(copied.map((field) => field.name)).size < COPIED.length || copied.some((field) => field.value === '')) return null;
  const lines = [...copied.map((field) => `${field.shown}: ${field.name === 'to' ? withTag(field.value, copied) : field.value}`), ...more.map((field) => `${field.shown}: ${field.value}`)];
  return Buffer.from(`SIP/2.0 ${status} ${reason}\r\n${lines.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`, 'latin1');
}

/** RFC 3261 §8.2.7: who keeps no state gives the same request the same tag. */
function withTag(to: string, copied: readonly SipField[]): string {
  const address = parseNameAddr(to);
  if (address === null || address.params.has('tag')) return to;
  const tag = createHash('sha256').update(copied.map((field) => field.value).join('\n'), 'latin1').digest('hex').slice(0, 16);
  return `${to};tag=${tag}`;
}
