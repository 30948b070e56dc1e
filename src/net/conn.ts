// One accepted byte stream and what we know of it. Ours: nothing is ever hung on a Node socket.
import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { isLoopback } from '#base/cidr.ts';
import type { Id } from '#base/ids.ts';
import type { ConnFacts } from '#model/decide.ts';
import type { Endpoint, ProxiedTls, ProxyHeader } from '#wire/proxy-protocol.ts';

/** The accepted bytes: a net.Socket, or what carries the bytes of one that a site's agent accepted (tunnel/door-stream). allowHalfOpen. */
export interface RawStream extends Duplex {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  /** As of net.Socket: FIN once all is written, then destroyed. */
  destroySoon(): void;
}

/** What a connection was before anything was unwrapped from it. */
export interface Accepted {
  readonly id: string;
  readonly raw: RawStream;
  /** The client's address: the peer's, or the one that a listed sender named in a PROXY header. IPv4-mapped forms folded to IPv4. */
  readonly from: string;
  readonly listener: string;
  /** The header that a listed sender began with. */
  readonly proxied: ProxyHeader | null;
  /** It was accepted at a door in a site's LAN; null: here. */
  readonly via: Via | null;
}

/** The agent that accepted a connection in its LAN, and the client's MAC there, `02:00:5e:10:00:01`; null where it cannot be known. */
export interface Via {
  readonly agentId: Id;
  readonly siteId: Id;
  readonly mac: string | null;
}

export interface Conn {
  readonly id: string;
  /** The plain socket, or the TLS one after unwrapping. allowHalfOpen. */
  readonly socket: Duplex;
  /** The client's address, IPv4-mapped forms folded to IPv4. */
  readonly from: string;
  readonly facts: ConnFacts;
  readonly accepted: Accepted;
  /** Shown and proved in the TLS handshake, not judged; null without. */
  readonly peerCertificate: X509Certificate | null;
  /** Of the ClientHello, where a route wants devices told apart (model/identity-marks); null without TLS. */
  readonly tlsShape: string | null;
  /** Behind a trusted proxy: what it said of the client, to be passed on in front of what we say. */
  readonly forwardedBefore: Forwarded | null;
  /** The forwarding header lines for `forwardedHost`, made once for the usual case of one host per connection. */
  forwardedLines: string;
  forwardedHost: string | null;
}

/** Forwarding headers of a trusted proxy, as they are passed on. */
export interface Forwarded {
  /** X-Forwarded-For with the proxy itself at its end. */
  readonly chain: string;
  readonly proto: 'http' | 'https';
  /** X-Forwarded-Host; null when it said none. */
  readonly host: string | null;
}

/** `::ffff:192.0.2.1` is 192.0.2.1 to everyone who reads a log or writes a rule. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

/** It comes from this machine itself. A loopback address in a site's LAN, or behind somebody who speaks for others, is none of ours. */
export function isFromHere({ from, proxied, via }: Pick<Accepted, 'from' | 'proxied' | 'via'>): boolean {
  return proxied === null && via === null && isLoopback(from);
}

/**
 * As servers are told the client. An agent's own machine is 127.0.0.1 in its LAN, and an agent that lies says so of anybody: servers give that
 * address rights that nobody far away may have. They hear addresses that no client has (RFC 7600 §4.8, RFC 6666).
 */
export function toldFrom({ accepted, from }: Pick<Conn, 'accepted' | 'from'>): string {
  return accepted.via === null ? from : from === '127.0.0.1' ? '192.0.0.8' : from === '::1' ? '100::1' : from;
}

/**
 * As whom tries are counted. Of a door the agent alone is proved, and it names the addresses: a lying one must neither escape a count nor fill another's.
 */
export function countedAs({ accepted, from }: Pick<Conn, 'accepted' | 'from'>): string {
  return accepted.via === null ? from : `agent ${accepted.via.agentId}`;
}

/** From where to where, for a PROXY header of ours and for SIP. Asked rarely: each part is a system call. */
export function placesOf(accepted: Accepted): { readonly source: Endpoint; readonly destination: Endpoint; readonly tls: ProxiedTls | null } {
  const { raw, proxied } = accepted;
  const local = { address: plainAddress(raw.localAddress), port: raw.localPort ?? 0 };
  if (proxied !== null && !proxied.local && proxied.source !== null) return { source: proxied.source, destination: proxied.destination ?? local, tls: proxied.tls };
  return { source: { address: plainAddress(raw.remoteAddress), port: raw.remotePort ?? 0 }, destination: local, tls: null };
}
