// Connections that turned out to speak HTTP: who they are, so that they can be drained, and what a head that never became an exchange is told.
// Behind a trusted proxy each request says for whom it comes.
import type { Limits } from '#base/limits.ts';
import type { ConnFacts } from '#model/decide.ts';
import { claimOf } from '#model/forwarders.ts';
import type { Journal } from '#model/live.ts';
import type { Snapshot } from '#model/snapshot.ts';
import { clientBehind, isTrustedPeer } from '#model/trusted.ts';
import type { Conn, Forwarded } from '#net/conn.ts';
import type { Sweep } from '#net/sweep.ts';
import { fieldOf, type Fields } from '#wire/http1-fields.ts';
import type { Exchange } from './exchange.ts';
import { Http1Client } from './http1-client.ts';
import { openHttp2, type Http2Client } from './http2-client.ts';
import type { TrafficCounts } from './meter.ts';
import { encodePage } from './pages.ts';

export interface HttpClientsOptions {
  readonly limits: Limits;
  readonly sweep: Sweep;
  readonly journal: Pick<Journal, 'note'>;
  readonly counts: TrafficCounts;
  readonly snapshot: () => Snapshot;
  readonly newRequestId: () => string;
  readonly onExchange: (exchange: Exchange) => void;
  readonly onBroken: (thrown: unknown) => void;
  /** Somebody who is no trusted proxy says for whom they come; once for a connection. */
  readonly onForwarded?: ((from: string, claims: string) => void) | undefined;
  readonly mayGrow: (headSoFar: string, facts: ConnFacts) => boolean;
  readonly isOwnHost: (headSoFar: string, facts: ConnFacts) => boolean;
}

/**
 * Clearing cookies signs people out of every name beside this one, so it answers nothing but cookies, and only where a person sees it:
 * an image with a long address on a neighbour's page must not do it.
 */
function cookiesAreToBlame(headSoFar: string): boolean {
  const cookieChars = headSoFar.split('\r\n').reduce((sum, line) => (/^cookie:/i.test(line) ? sum + line.length : sum), 0);
  if (cookieChars < headSoFar.length / 2) return false;
  const site = /\r\nsec-fetch-site:[ \t]*([a-z-]+)/i.exec(headSoFar)?.[1];
  return site === undefined || site === 'same-origin' || site === 'none' || /\r\nsec-fetch-dest:[ \t]*document/i.test(headSoFar);
}

/** Every line of that name, joined as RFC 9110 §5.3 joins lists; null without one. */
function listOf(fields: Fields, name: string): string | null {
  let all: string | null = null;
  for (let i = 0; i < fields.names.length; i++) if (fields.names[i] === name) all = all === null ? fields.values[i]! : `${all},${fields.values[i]!}`;
  return all;
}

const last = (list: string | null): string | null => list?.split(',').at(-1)?.trim() ?? null;
const HOST = /^[A-Za-z0-9_.:[\]-]{1,260}$/;

/** The connection as this request's own client would have made it. */
function behindProxy(conn: Conn, fields: Fields, snapshot: Snapshot): Conn {
  const forwardedFor = listOf(fields, 'x-forwarded-for');
  const from = clientBehind(snapshot.trustedProxies, conn.from, forwardedFor);
  const proto = last(listOf(fields, 'x-forwarded-proto'))?.toLowerCase();
  const secure = proto === 'https' ? true : proto === 'http' ? false : conn.facts.secure;
  const host = last(listOf(fields, 'x-forwarded-host'));
  const forwardedBefore: Forwarded = { chain: forwardedFor === null ? conn.from : `${forwardedFor}, ${conn.from}`, proto: secure ? 'https' : 'http', host: host !== null && HOST.test(host) ? host : null };
  const { certificate } = conn.facts;
  // Whoever is behind a proxy is not on this machine, even where the proxy is, and did not show its certificate.
  const facts = { ...conn.facts, secure, loopback: false, certificate: certificate && { ...certificate, isProxys: true as const } };
  return { ...conn, from, facts, peerCertificate: null, tlsShape: null, forwardedBefore, forwardedHost: null, forwardedLines: '' };
}

export interface HttpClients {
  openHttp1(conn: Conn, leftover: Buffer): void;
  openHttp2(conn: Conn, leftover: Buffer): void;
  drain(): void;
  close(): void;
}

export function buildHttpClients(options: HttpClientsOptions): HttpClients {
  const { limits, sweep, journal, counts, newRequestId, onBroken } = options;
  const clients = new Set<Http1Client | Http2Client>();
  let draining = false;
  const isDraining = () => draining;

  const onBadHead = (conn: Conn) => (status: number, why: string, headSoFar: string) => {
    const requestId = newRequestId();
    counts.refusals += 1;
    journal.note('head.refused', { conn: conn.id, request: requestId, from: conn.from, status, why });
    const html = /\r\naccept:[^\r]*text\/html/i.test(headSoFar);
    const clears = status === 431 && options.isOwnHost(headSoFar, conn.facts) && cookiesAreToBlame(headSoFar);
    const page = encodePage({ status, code: status === 431 ? 'too-large' : status === 408 ? 'timeout' : 'bad-input', title: status === 431 ? 'The request head is too large' : status === 408 ? 'Too slow' : 'Bad request', text: `${why}.`, remedy: clears ? 'Too many cookies had been set for this name, perhaps by a page of a neighbour. They were cleared now: try again, and sign in anew.' : '', requestId }, html);
    return { lines: clears ? `${page.lines}Clear-Site-Data: "cookies"\r\n` : page.lines, body: page.body };
  };

  const lookOnce = (conn: Conn): ((exchange: Exchange) => void) => {
    const { onExchange, onForwarded } = options;
    if (onForwarded === undefined) return onExchange;
    let isFirst = true;
    return (exchange) => {
      if (isFirst) {
        isFirst = false;
        const { fields } = exchange.head;
        const claims = claimOf(fieldOf(fields, 'x-forwarded-for'), fieldOf(fields, 'forwarded'));
        if (claims !== null) onForwarded(conn.from, claims);
      }
      onExchange(exchange);
    };
  };

  /** Only who is listed may say for whom it comes; what others say of that is dropped further on. */
  const onExchangeOf = (conn: Conn): ((exchange: Exchange) => void) => {
    const { certificate, link } = conn.facts;
    const subject = certificate?.verified === true ? certificate.subject : null;
    // An address in a site's LAN is not the one of that name in ours.
    if (link || conn.accepted.via !== null) return options.onExchange;
    if (!isTrustedPeer(options.snapshot().trustedProxies, conn.from, subject)) return lookOnce(conn);
    return (exchange) => {
      // Asked again for each request: who is taken off the list is not believed any more on what stands.
      if (isTrustedPeer(options.snapshot().trustedProxies, conn.from, subject)) exchange.conn = behindProxy(conn, exchange.head.fields, options.snapshot());
      options.onExchange(exchange);
    };
  };

  return {
    openHttp1(conn, leftover) {
      const client: Http1Client = new Http1Client({
        conn, sweep, limits, leftover, onBroken, isDraining, newRequestId,
        mayGrow: (headSoFar) => options.mayGrow(headSoFar, conn.facts),
        onExchange: onExchangeOf(conn),
        onBadHead: onBadHead(conn),
        onClosed: () => clients.delete(client),
      });
      clients.add(client);
      client.open();
    },
    openHttp2(conn, leftover) {
      let isClosed = false;
      const client: Http2Client = openHttp2({
        conn, sweep, limits, leftover, onBroken, isDraining, newRequestId,
        mayGrow: (headSoFar) => options.mayGrow(headSoFar, conn.facts),
        onExchange: onExchangeOf(conn),
        onBadHead: onBadHead(conn),
        onClosed: () => {
          isClosed = true;
          clients.delete(client);
        },
        onAbuse: (why) => journal.note('http2.refused', { conn: conn.id, from: conn.from, why }),
      });
      if (!isClosed) clients.add(client);
    },
    drain() {
      draining = true;
      for (const client of clients) client.drain();
    },
    close() {
      draining = true;
      for (const client of clients) client.destroy();
    },
  };
}
