// HTTP/2 without the rest of the front door: accepted connections go straight to openHttp2, over TLS where a context is given. What is done
// with an exchange is the test's.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContext } from 'node:tls';
import { realClock } from '#app/real.ts';
import { noBytes } from '#base/bytes.ts';
import { limits as defaults, type Limits } from '#base/limits.ts';
import { plainAddress, type Conn } from '#net/conn.ts';
import { buildSweep, type Sweep } from '#net/sweep.ts';
import { unwrapTls } from '#net/unwrap.ts';
import type { Exchange } from '#proxy/exchange.ts';
import { openHttp2, type Http2Client } from '#proxy/http2-client.ts';
import { startTcp, until } from './gateway.ts';

export interface Http2Door {
  readonly port: number;
  readonly sweep: Sweep;
  readonly clients: ReadonlySet<Http2Client>;
  /** Mistakes of ours. */
  readonly broken: readonly unknown[];
  /** Why connections were ended for what they did. */
  readonly abuse: readonly string[];
  /** Heads that were refused, as `431 why`. */
  readonly refused: readonly string[];
  drain(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Http2DoorOptions {
  readonly limits?: Partial<Limits>;
  readonly context?: SecureContext;
  readonly mayGrow?: (headSoFar: string) => boolean;
}

/** Disposing checks that nothing is left: no client, nothing watched. Mistakes of ours fail the test, too. */
export async function startHttp2Door(onExchange: (exchange: Exchange, door: Http2Door) => void, options: Http2DoorOptions = {}): Promise<Http2Door> {
  const sweep = buildSweep(realClock);
  const limits = { ...defaults, ...options.limits };
  const clients = new Set<Http2Client>();
  const broken: unknown[] = [];
  const abuse: string[] = [];
  const refused: string[] = [];
  let draining = false;
  let conns = 0;
  let requests = 0;
  const open = (raw: Socket, socket: Duplex, leftover: Buffer, secure: boolean) => {
    const id = `c${++conns}`;
    const from = plainAddress(raw.remoteAddress);
    const listener = secure ? 'https' : 'http';
    const conn: Conn = {
      id, socket, from, peerCertificate: null, tlsShape: null, forwardedHost: null, forwardedLines: '', forwardedBefore: null,
      accepted: { id, raw, from, listener, proxied: null, via: null },
      facts: { listener, secure, link: false, loopback: true, serverName: null, policy: null, certificate: null },
    };
    let isClosed = false;
    const client: Http2Client = openHttp2({
      conn, sweep, limits, leftover,
      onExchange: (exchange) => onExchange(exchange, door),
      mayGrow: options.mayGrow ?? (() => false),
      onBadHead: (status, why) => {
        refused.push(`${status} ${why}`);
        return { lines: 'Content-Type: text/plain\r\n', body: `${why}\n` };
      },
      onClosed: () => {
        isClosed = true;
        clients.delete(client);
      },
      onBroken: (thrown) => void broken.push(thrown),
      isDraining: () => draining,
      newRequestId: () => `r${++requests}`,
      onAbuse: (why) => void abuse.push(why),
    });
    if (!isClosed) clients.add(client);
  };
  const server = await startTcp((socket) => {
    socket.once('data', (looked: Buffer) => {
      socket.pause();
      if (options.context === undefined) return open(socket, socket, looked, false);
      unwrapTls(socket, looked, { context: options.context, alpn: ['h2', 'http/1.1'], requestCertificate: false, timeoutMs: 5_000 }).then(
        (unwrapped) => open(socket, unwrapped.socket, noBytes, true),
        () => socket.destroy(),
      );
    });
  });
  const door: Http2Door = {
    port: server.port, sweep, clients, broken, abuse, refused,
    drain() {
      draining = true;
      for (const client of Array.from(clients)) client.drain();
    },
    async [Symbol.asyncDispose]() {
      for (const client of Array.from(clients)) client.destroy();
      await server[Symbol.asyncDispose]();
      await until('all to be closed', () => clients.size === 0 && sweep.size === 0);
      sweep.stop();
      assert.deepEqual(broken, [], 'no mistake of ours');
    },
  };
  return door;
}
