// One accepted byte stream and what we know of it. Ours: nothing is ever hung on a Node socket.
import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { ConnFacts } from '#model/decide.ts';

export interface Conn {
  readonly id: string;
  /** The plain socket, or the TLS one after unwrapping. allowHalfOpen. */
  readonly socket: Duplex;
  /** The peer's address, IPv4-mapped forms folded to IPv4. */
  readonly from: string;
  readonly facts: ConnFacts;
  /** Shown and proved in the TLS handshake, not judged; null without. */
  readonly peerCertificate: X509Certificate | null;
  /** The forwarding header lines for `forwardedHost`, made once for the usual case of one host per connection. */
  forwardedLines: string;
  forwardedHost: string | null;
}

/** `::ffff:192.0.2.1` is 192.0.2.1 to everyone who reads a log or writes a rule. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
