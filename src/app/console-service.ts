// The service `console`: node:http at the far end of in-process pairs. Four small things are answered here, the rest is the API's.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { assertionKeysPath } from '#model/device-assertion.ts';
import { askerOf, openServicePair } from '#net/service-pair.ts';
import { buildCaPages } from './ca-page.ts';
import type { Metrics } from './metrics.ts';

export interface ServiceServer {
  /** Our end of a new pair. */
  dial(): Duplex;
  readonly open: number;
  close(): Promise<void>;
}

/** A node:http server without a port. The proxy in front has its own deadlines; these are a second fence. */
export function openServiceServer(onRequest: (request: IncomingMessage, response: ServerResponse) => void): ServiceServer {
  const server: Server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0, connectionsCheckingInterval: 60_000, maxHeaderSize: 64 * 1024 }, onRequest);
  const ends = new Set<Duplex>();
  return {
    dial() {
      const { near, far } = openServicePair();
      ends.add(near);
      near.once('close', () => {
        ends.delete(near);
        far.destroy();
      });
      far.on('error', () => {});
      server.emit('connection', far);
      return near;
    },
    get open() {
      return ends.size;
    },
    close: () =>
      new Promise((resolve) => {
        for (const end of ends) end.destroy();
        // Never listened: closing only ends its timer.
        server.close(() => resolve());
      }),
  };
}

export interface ConsoleOptions {
  readonly admin: (request: IncomingMessage, response: ServerResponse) => void;
  readonly metrics: Metrics;
  readonly caPem: string;
  /** What servers check statements of devices' identities with, as JSON. */
  readonly identityKeys: string;
  /** A token good for reading metrics, from `Authorization`. */
  mayReadMetrics(authorization: string | undefined): boolean;
}

const LOOPBACK_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i;

export function buildConsoleListener(options: ConsoleOptions): (request: IncomingMessage, response: ServerResponse) => void {
  const caPages = buildCaPages(options.caPem);
  const answer = (response: ServerResponse, status: number, type: string, body: string, method: string | undefined) => {
    response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body), 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' });
    response.end(method === 'HEAD' ? undefined : body);
  };
  return (request, response) => {
    const path = (request.url ?? '/').split('?', 1)[0]!;
    const asker = askerOf(request.socket);
    // Everything below /ca is answered here and nowhere else: it is open without TLS.
    const ca = caPages({ method: request.method ?? 'GET', path, accept: request.headers.accept, secure: asker?.secure === true });
    if (ca) {
      response.writeHead(ca.status, { ...ca.headers, 'Content-Length': ca.body.length, 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' });
      response.end(request.method === 'HEAD' ? undefined : ca.body);
      return;
    }
    if (path === assertionKeysPath && (request.method === 'GET' || request.method === 'HEAD')) return answer(response, 200, 'application/jwk-set+json', options.identityKeys, request.method);
    if (path !== '/metrics') return options.admin(request, response);
    // Behind another proxy on this machine the peer is loopback, too; such a request carries the name people use, or says it was forwarded.
    const local = asker?.loopback === true && LOOPBACK_HOST.test(request.headers.host ?? '') && request.headers['x-forwarded-for'] === undefined && request.headers.forwarded === undefined;
    if (!local && !options.mayReadMetrics(request.headers.authorization)) {
      return answer(response, 401, 'application/problem+json', `${JSON.stringify({ type: 'about:blank', title: 'A token is needed', status: 401, code: 'unauthenticated', remedy: 'Authorization: Bearer <token of somebody who may see the gateway>' })}\n`, request.method);
    }
    options.metrics.text().then(
      (text) => answer(response, 200, options.metrics.contentType, text, request.method),
      () => answer(response, 500, 'text/plain', 'the metrics cannot be read\n', request.method),
    );
  };
}
