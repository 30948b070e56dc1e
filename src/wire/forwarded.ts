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
  /** An address literal. */
  readonly client: string;
  /** Null: the client came to us itself. */
  readonly before: ForwardedBefore | null;
  /** As the request named it. */
  readonly host: string;
  readonly proto: 'http' | 'https';
}

/**
 * For an ordinary server: what the trusted proxy said stands in front of what we say, and the proxy (`peer`) in Forwarded behind the client.
 * Each line with its CRLF.
 */
export function chainLinesFor({ client, before, host, proto }: ForwardedFacts, peer: string): string {
  const scheme = before?.proto ?? proto;
  const asked = before?.host ?? host;
  const via = before === null ? '' : `, for=${forwardedNode(peer)}`;
  return `X-Forwarded-For: ${before?.chain ?? plain(client)}\r\nX-Forwarded-Proto: ${scheme}\r\nX-Forwarded-Host: ${bare(asked)}\r\nForwarded: for=${forwardedNode(client)};host=${quoted(asked)};proto=${scheme}${via}\r\n`;
}

/**
 * For an application that knows devices by their address: one address and no list. Some servers take the first entry, some the last, and what
 * stands to the left of the client was written by whoever liked to; with one entry all of them come to the same. `by`: our own address that the
 * device reached, left out where it is null. Each line with its CRLF.
 */
export function forwardedLinesFor({ client, before, host, proto }: Omit<ForwardedFacts, 'before'> & { readonly before: Omit<ForwardedBefore, 'chain'> | null }, by: string | null = null): string {
  const scheme = before?.proto ?? proto;
  const asked = before?.host ?? host;
  const told = plain(client);
  const reached = by === null ? '' : `by=${forwardedNode(by)};`;
  return `X-Forwarded-For: ${told}\r\nX-Real-IP: ${told}\r\nX-Forwarded-Proto: ${scheme}\r\nX-Forwarded-Host: ${bare(asked)}\r\nForwarded: for=${forwardedNode(client)};${reached}host=${quoted(asked)};proto=${scheme}\r\n`;
}
