// The front door: accepted sockets are bounded, looked at, unwrapped where they speak TLS, and given to HTTP.
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { isFault, reasonOf } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Journal } from '#model/live.ts';
import { noBytes } from '#base/bytes.ts';
import { isLoopback } from '#base/cidr.ts';
import type { Conn } from '#net/conn.ts';
import type { Sweep, Swept } from '#net/sweep.ts';
import { buildGate, unwrapTls } from '#net/unwrap.ts';
import { linkAlpn, sniffClientHello } from '#wire/tls.ts';
import type { Exchange } from './exchange.ts';
import { Http1Client } from './http1-client.ts';
import type { TrafficCounts } from './meter.ts';
import { encodePage } from './pages.ts';

export interface FrontDoorOptions {
  readonly limits: Limits;
  readonly sweep: Sweep;
  readonly journal: Pick<Journal, 'note'>;
  readonly counts: TrafficCounts;
  readonly newConnId: () => string;
  readonly newRequestId: () => string;
  readonly onExchange: (exchange: Exchange) => void;
  /** A mistake of ours in one connection; it has ended. */
  readonly onBroken: (thrown: unknown) => void;
  /** May the head of a request to this host grow beyond 16 KiB? */
  readonly mayGrow: (headSoFar: string) => boolean;
  /** An over-large head for one of our own names: cookies that a neighbour planted are to be dropped. */
  readonly isOwnHost: (headSoFar: string) => boolean;
  /** The link endpoint: by ALPN, or by this SNI. */
  readonly isLinkName: (serverName: string) => boolean;
  readonly linkContext: () => SecureContext;
  readonly contextFor: (serverName: string | null) => SecureContext | Promise<SecureContext>;
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

export interface FrontDoor {
  accept(socket: Socket, from: string, listener: { readonly name: string; readonly tls: boolean }): void;
  readonly open: number;
  /** No further requests; idle connections end now. */
  drain(): void;
  close(): void;
}

export function buildFrontDoor(options: FrontDoorOptions): FrontDoor {
  const { limits, sweep, journal, counts } = options;
  const clients = new Set<Http1Client>();
  const raw = new Set<Socket>();
  const perAddress = new Map<string, number>();
  const gate = buildGate(limits.tlsHandshakesMax, limits.tlsHandshakesWaitingMax);
  let draining = false;

  const onBadHead = (conn: Conn) => (status: number, why: string, headSoFar: string) => {
    const requestId = options.newRequestId();
    counts.refusals += 1;
    journal.note('head.refused', { conn: conn.id, request: requestId, from: conn.from, status, why });
    const html = /\r\naccept:[^\r]*text\/html/i.test(headSoFar);
    const clears = status === 431 && options.isOwnHost(headSoFar) && cookiesAreToBlame(headSoFar);
    const page = encodePage({ status, code: status === 431 ? 'too-large' : status === 408 ? 'timeout' : 'bad-input', title: status === 431 ? 'The request head is too large' : status === 408 ? 'Too slow' : 'Bad request', text: `${why}.`, remedy: clears ? 'Too many cookies had been set for this name, perhaps by a page of a neighbour. They were cleared now: try again, and sign in anew.' : '', requestId }, html);
    return { lines: clears ? `${page.lines}Clear-Site-Data: "cookies"\r\n` : page.lines, body: page.body };
  };

  const http = (conn: Conn, leftover: Buffer) => {
    const client: Http1Client = new Http1Client({
      conn,
      sweep,
      limits,
      leftover,
      onExchange: options.onExchange,
      mayGrow: options.mayGrow,
      onBadHead: onBadHead(conn),
      onClosed: () => clients.delete(client),
      onBroken: options.onBroken,
      isDraining: () => draining,
      newRequestId: options.newRequestId,
    });
    clients.add(client);
    client.open();
  };

  const refused = (id: string, from: string, listener: string, why: string, rule: string) => {
    counts.connsRefused += 1;
    journal.note('conn.refused', { conn: id, from, listener, why, rule });
  };

  /** Collects first bytes until `enough` says so; looking never consumes: what was seen is handed on. */
  const peek = (socket: Socket, id: string, from: string, listener: string, enough: (bytes: Buffer) => boolean, then: (bytes: Buffer) => void) => {
    let bytes = noBytes;
    const swept: Swept = {
      deadlineMs: sweep.nowMs + limits.sniffTimeoutMs,
      onDeadline: () => {
        refused(id, from, listener, bytes.length === 0 ? 'nothing was sent' : 'the first bytes did not come in time', 'first bytes');
        socket.destroy();
      },
    };
    const leave = () => {
      sweep.remove(swept);
      socket.off('data', onData);
      socket.off('end', onEnd);
      socket.off('close', leave);
    };
    const onEnd = () => socket.destroy();
    const onData = (chunk: Buffer) => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      if (!enough(bytes)) return;
      socket.pause();
      leave();
      then(bytes);
    };
    sweep.add(swept);
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('close', leave);
  };

  const acceptTls = (socket: Socket, id: string, from: string, listener: string) => {
    let sniffed: ReturnType<typeof sniffClientHello> = { kind: 'more' };
    const enough = (bytes: Buffer) => {
      sniffed = sniffClientHello(bytes);
      return sniffed.kind !== 'more';
    };
    peek(socket, id, from, listener, enough, (bytes) => {
      if (sniffed.kind === 'no') {
        refused(id, from, listener, 'not TLS', 'TLS listener');
        if (/^[A-Z]{3,10} /.test(bytes.toString('latin1', 0, 11))) socket.end('HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 44\r\nConnection: close\r\n\r\nThis port speaks TLS: use https:// with it.\n');
        socket.destroySoon();
        return;
      }
      if (sniffed.kind !== 'hello') {
        refused(id, from, listener, `malformed ClientHello: ${sniffed.kind === 'malformed' ? sniffed.why : ''}`, 'TLS listener');
        // RFC 8446 §6: alert, fatal, decode_error
        socket.end(Buffer.from([21, 3, 1, 0, 2, 2, 50]));
        socket.destroySoon();
        return;
      }
      void handshake(socket, bytes, id, from, listener, sniffed.serverName, sniffed.alpn);
    });
  };

  const handshake = async (socket: Socket, looked: Buffer, id: string, from: string, listener: string, serverName: string | null, alpn: readonly string[]) => {
    const asLink = alpn.includes(linkAlpn) || (serverName !== null && options.isLinkName(serverName));
    let leave: (() => void) | null = null;
    // What costs is done once our flight has left; who then says nothing must not keep the slot that the others wait for.
    const slot: Swept = { deadlineMs: 0, onDeadline: () => giveBack() };
    const giveBack = () => {
      sweep.remove(slot);
      leave?.();
      leave = null;
    };
    try {
      leave = await gate.enter();
      slot.deadlineMs = sweep.nowMs + limits.tlsHandshakeSlotMs;
      sweep.add(slot);
      const context = asLink ? options.linkContext() : await options.contextFor(serverName);
      const unwrapped = await unwrapTls(socket, looked, { context, alpn: asLink ? [linkAlpn, 'http/1.1'] : ['http/1.1'], requestCertificate: asLink, timeoutMs: limits.tlsHandshakeTimeoutMs });
      counts.handshakesDone += 1;
      http(
        {
          id, socket: unwrapped.socket, from, peerCertificate: unwrapped.peerCertificate, forwardedHost: null, forwardedLines: '',
          facts: { listener, secure: true, link: asLink, loopback: isLoopback(from), serverName },
        },
        noBytes,
      );
    } catch (thrown) {
      counts.handshakesFailed += 1;
      socket.destroy();
      if (isFault(thrown, 'closed')) return;
      journal.note('tls.failed', { conn: id, from, listener, name: printable(serverName ?? '', 100), why: reasonOf(thrown) });
    } finally {
      giveBack();
    }
  };

  return {
    accept(socket, from, listener) {
      const id = options.newConnId();
      const here = perAddress.get(from) ?? 0;
      if (raw.size >= limits.connsMax || (here >= limits.connsPerAddressMax && !isLoopback(from))) {
        refused(id, from, listener.name, here >= limits.connsPerAddressMax ? 'too many connections from this address' : 'too many connections', 'connection limit');
        return void socket.destroy();
      }
      counts.connsAccepted += 1;
      counts.connsOpen += 1;
      raw.add(socket);
      perAddress.set(from, here + 1);
      socket.on('error', () => {}); // `close` follows, and whoever owns the connection hears that
      socket.on('close', () => {
        raw.delete(socket);
        counts.connsOpen -= 1;
        const left = perAddress.get(from)! - 1;
        if (left === 0) perAddress.delete(from);
        else perAddress.set(from, left);
      });
      if (listener.tls) return acceptTls(socket, id, from, listener.name);
      const conn: Conn = { id, socket, from, peerCertificate: null, forwardedHost: null, forwardedLines: '', facts: { listener: listener.name, secure: false, link: false, loopback: isLoopback(from), serverName: null } };
      peek(
        socket, id, from, listener.name,
        () => true,
        (bytes) => {
          if (bytes[0] === 0x16) {
            refused(id, from, listener.name, 'TLS on a plain port', 'plain listener');
            socket.end(Buffer.from([21, 3, 1, 0, 2, 2, 40]));
            return void socket.destroySoon();
          }
          http(conn, bytes);
        },
      );
    },
    get open() {
      return raw.size;
    },
    drain() {
      draining = true;
      for (const client of clients) client.drain();
    },
    close() {
      draining = true;
      for (const client of clients) client.destroy();
      for (const socket of raw) socket.destroy();
    },
  };
}
