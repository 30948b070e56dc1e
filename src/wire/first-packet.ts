// What a connection begins with, whatever it is: the readers of all protocols asked in one fixed order, so that no order of configuration
// decides what bytes mean (docs/wire/first-packet.md). The PROXY protocol is not among them: it is read where it is required, never guessed.
import { latin1Of } from '#base/bytes.ts';
import { sniffH323, type H323Facts } from './h323.ts';
import { sniffLdap, type LdapFacts } from './ldap.ts';
import { sniffRdp, type RdpFacts } from './rdp.ts';
import { sniffSip, type SipFacts } from './sip.ts';
import { malformed, more, no, type Unsettled } from './sniff.ts';
import { sniffSsh, type SshFacts } from './ssh.ts';
import { sniffClientHello, type ClientHello } from './tls.ts';

/** Kind only: which host and path, the strict parser says for each request. */
export interface HttpStart {
  readonly kind: 'http';
  /** The connection preface of HTTP/2 (RFC 9113 §3.4) instead of a request line. */
  readonly h2: boolean;
}

export type FirstPacket = ClientHello | HttpStart | SipFacts | H323Facts | RdpFacts | SshFacts | LdapFacts;

/** `protocol`: what it claims to be. `unknown`: none of them, whatever follows. */
export type FirstLook = FirstPacket | { readonly kind: 'more' } | { readonly kind: 'unknown' } | { readonly kind: 'malformed'; readonly protocol: string; readonly why: string };

export const http2Preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const lineBytesMax = 8 * 1024;
/**
 * RFC 9112 §3.1, §2.2: tchar, one SP; two empty lines before it are let pass. No method of the registry begins with anything but a letter, and
 * an LDAP message of 32 bytes begins with "0 ".
 */
const METHOD = /^(?:\r\n){0,2}[A-Za-z][!#$%&'*+.^_`|~0-9A-Za-z-]{0,31} /;
const MAYBE_METHOD = /^(?:\r\n){0,2}\r?(?:[A-Za-z][!#$%&'*+.^_`|~0-9A-Za-z-]{0,31})?$/;

/** HTTP by its first line: the version at its end tells it from SIP and RTSP, whose lines look the same. */
export function sniffHttp(bytes: Buffer): Unsettled | HttpStart {
  const least = Math.min(bytes.length, http2Preface.length);
  if (least >= 4 && bytes.subarray(0, least).equals(http2Preface.subarray(0, least))) return least === http2Preface.length ? { kind: 'http', h2: true } : more;
  const start = latin1Of(bytes, 0, Math.min(bytes.length, 40));
  if (!METHOD.test(start)) return MAYBE_METHOD.test(start) ? more : no;
  const from = bytes[0] === 13 ? (bytes[2] === 13 ? 4 : 2) : 0;
  const end = bytes.indexOf(10, from);
  if (end < 0) return bytes.length - from > lineBytesMax ? malformed('the first line is longer than 8 KiB') : more;
  const line = latin1Of(bytes, from, end);
  const version = /[ \t]([A-Za-z]+)\/[^ /]*\r?$/.exec(line)?.[1];
  return version === 'HTTP' ? { kind: 'http', h2: false } : no;
}

const readers: readonly (readonly [name: string, sniff: (bytes: Buffer) => Unsettled | FirstPacket])[] = [
  ['tls', sniffClientHello],
  // Before HTTP: "SSH-2.0-OpenSSH_9.2 Debian" begins like a method and its target.
  ['ssh', sniffSsh],
  ['http', sniffHttp],
  ['sip', sniffSip],
  ['h323', sniffH323],
  ['rdp', sniffRdp],
  ['ldap', sniffLdap],
];

/** Never throws, keeps nothing; may be called again with more bytes, and then never contradicts itself. */
export function lookAtFirst(bytes: Buffer): FirstLook {
  for (const [protocol, sniff] of readers) {
    const says = sniff(bytes);
    if (says.kind === 'no') continue;
    if (says.kind === 'malformed') return { kind: 'malformed', protocol, why: says.why };
    return says.kind === 'more' ? { kind: 'more' } : says;
  }
  return { kind: 'unknown' };
}
