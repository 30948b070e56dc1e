// What a server behind us is told of the client: X-Forwarded-For and its kin, Forwarded (RFC 7239), X-Real-IP. Text in, header lines out.

/** An address as X-Forwarded-For has it: a zone means nothing to another machine, and ends where it began. */
function plain(address: string): string {
  const zone = address.indexOf('%');
  return zone < 0 ? address : address.slice(0, zone);
}

/** RFC 7239 §6: IPv6 stands in brackets and, because of them, in quotes. `"unknown"` where there is none. */
export function forwardedNode(address: string): string {
  const text = plain(address);
  if (text.includes(':')) return `"[${text}]"`;
  return text === '' ? 'unknown' : text;
}

/** RFC 9110 §5.6.4; control characters can stand in none. */
function quoted(text: string): string {
  if (!/["\\\0-\x1f\x7f]/.test(text)) return `"${text}"`;
  return `"${text.replace(/[\0-\x1f\x7f]/g, '').replace(/["\\]/g, '\\$&')}"`;
}

/** As a field's value: nothing that could end the line. */
const bare = (text: string): string => (/[\0-\x1f\x7f]/.test(text) ? text.replace(/[\0-\x1f\x7f]/g, '') : text);

/** What a trusted proxy in front of us said. */
export interface ForwardedBefore {
  /** X-Forwarded-For with the proxy itself at its end. */
  readonly chain: string;
  readonly proto: 'http' | 'https';
  /** Null when it said none. */
  readonly host: string | null;
}

export interface ForwardedFacts {
  /** An address literal: the client as the server is to know it. */
  readonly client: string;
  /** Null: the client came to us itself. */
  readonly before: ForwardedBefore | null;
  /** The peer of the connection: with `before`, that proxy. */
  readonly via: string;
  /** As the request named it. */
  readonly host: string;
  readonly proto: 'http' | 'https';
  /** Our address that was reached; left out where it is not known. */
  readonly by?: string | undefined;
}

function encodeStandard({ client, before, via, host, proto, by }: ForwardedFacts): string {
  const reached = by === undefined ? '' : `by=${forwardedNode(by)};`;
  const proxy = before === null ? '' : `, for=${forwardedNode(via)}`;
  return `Forwarded: for=${forwardedNode(client)};${reached}host=${quoted(before?.host ?? host)};proto=${before?.proto ?? proto}${proxy}\r\n`;
}

/** For an ordinary server: what the trusted proxy said stands in front of what we say. Each line with its CRLF. */
export function encodeForwardedChain(facts: ForwardedFacts): string {
  const { client, before, host, proto } = facts;
  return `X-Forwarded-For: ${before?.chain ?? plain(client)}\r\nX-Forwarded-Proto: ${before?.proto ?? proto}\r\nX-Forwarded-Host: ${bare(before?.host ?? host)}\r\n${encodeStandard(facts)}`;
}

/**
 * For an application that knows devices by their address: one address and no list. Some servers take the first entry, some the last, and what
 * stands to the left of the client was written by whoever liked to; with one entry all of them come to the same. Each line with its CRLF.
 */
export function encodeForwarded(facts: ForwardedFacts): string {
  const { client, before, host, proto } = facts;
  const told = plain(client);
  return `X-Forwarded-For: ${told}\r\nX-Real-IP: ${told}\r\nX-Forwarded-Proto: ${before?.proto ?? proto}\r\nX-Forwarded-Host: ${bare(before?.host ?? host)}\r\n${encodeStandard(facts)}`;
}
