// A peer that speaks docs/wire/device.md from the server's side, by its tables and with none of our rooms' code but the byte formats: what
// our agent is held against. Everything is in memory, and tests look into it and spoil it.
import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

export interface StoredEpoch {
  bytes: Buffer;
  /** Offset of the first byte of `bytes`. */
  first: number;
  sealed: boolean;
  /** Where it went on. */
  sealedTo: string | null;
  readonly gaps: { from: number; to: number; reason: string }[];
  starts: string[];
  format: string;
}

export interface Seen {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingMessage['headers'];
  bodyBytes: number;
}

export interface Spoiled {
  readonly status?: number;
  readonly fields?: Readonly<Record<string, string>>;
  readonly lines?: Readonly<Record<string, string | number>>;
  /** The request is carried out, and its answer never arrives; or half of it does. */
  readonly loseAnswer?: 'all' | 'half';
  /** Sent as if by somebody on the way: without our signature. */
  readonly isUnsigned?: boolean;
}

export interface PushServerOptions {
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca?: string };
  /** Signs answers to signed requests, and checks them. */
  readonly key?: string;
  readonly nowMs?: () => number;
  readonly customer?: string;
}

export interface PushServer {
  readonly port: number;
  readonly base: string;
  readonly epochs: Map<string, StoredEpoch>;
  readonly seen: Seen[];
  readonly counts: { repeats: number; conflicts: number; badSignatures: number; connections: number };
  /** What happens to the next requests, one each; `null` passes. */
  readonly spoil: (Spoiled | null)[];
  batchMax: number;
  /** All pushes are sent there. */
  redirectTo: string | null;
  ttl: number;
  checkIn: Record<string, string | number>;
  readonly checkIns: string[];
  epochOf(feed: string): StoredEpoch | undefined;
  [Symbol.asyncDispose](): Promise<void>;
}

const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');
const nextOf = (epoch: StoredEpoch) => epoch.first + epoch.bytes.length;

async function readBody(request: IncomingMessage, seen: Seen): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) {
    seen.bodyBytes += piece.length;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

type Result = { status: number; lines: Record<string, string | number>; location?: string };

function store(server: PushServer, name: string, offset: number, bytes: Buffer, headers: IncomingMessage['headers']): Result {
  let epoch = server.epochs.get(name);
  const start = /^(\d+);from=(.*)$/.exec(String(headers['x-postern-start'] ?? ''));
  if (epoch === undefined) {
    epoch = { bytes: Buffer.alloc(0), first: start === null ? 0 : Number(start[1]), sealed: false, sealedTo: null, gaps: [], starts: [], format: String(headers['x-postern-format'] ?? 'lines') };
    server.epochs.set(name, epoch);
  }
  if (start !== null) epoch.starts.push(start[0]);
  if (start !== null && Number(start[1]) >= nextOf(epoch) && start[2] !== '') {
    const to = Number(start[1]);
    if (to > nextOf(epoch)) {
      epoch.gaps.push({ from: nextOf(epoch), to, reason: 'moved' });
      epoch.bytes = Buffer.concat([epoch.bytes, Buffer.alloc(to - nextOf(epoch))]);
    }
    epoch.sealed = false;
  }
  if (epoch.sealed) return { status: 410, lines: { error: 'sealed', next: nextOf(epoch), ...(epoch.sealedTo === null ? { new: 1 } : { base: epoch.sealedTo, ttl: server.ttl }) } };
  const gap = /^(\d+)-(\d+);reason=([a-z-]+)$/.exec(String(headers['x-postern-gap'] ?? ''));
  if (gap !== null) {
    const [from, to] = [Number(gap[1]), Number(gap[2])];
    if (from > nextOf(epoch)) return { status: 409, lines: { error: 'gap', next: nextOf(epoch) } };
    if (to > nextOf(epoch)) {
      epoch.gaps.push({ from: nextOf(epoch), to, reason: gap[3]! });
      epoch.bytes = Buffer.concat([epoch.bytes, Buffer.alloc(to - nextOf(epoch))]);
    }
  }
  const next = nextOf(epoch);
  if (offset > next) return { status: 409, lines: { error: 'gap', next } };
  const known = Math.min(bytes.length, next - offset);
  if (known > 0 && !epoch.bytes.subarray(offset - epoch.first, offset - epoch.first + known).equals(bytes.subarray(0, known))) {
    server.counts.conflicts += 1;
    return { status: 409, lines: { error: 'conflict', next, new: 1 } };
  }
  epoch.bytes = Buffer.concat([epoch.bytes, bytes.subarray(known)]);
  if (known > 0) server.counts.repeats += 1;
  return { status: 200, lines: { next: nextOf(epoch), ...(known > 0 ? { repeat: 1 } : {}) } };
}

export async function startPushServer(options: PushServerOptions = {}): Promise<PushServer> {
  const { tls, key, nowMs = Date.now, customer = 'default' } = options;
  const root = `/v1/${customer}`;

  const judge = async (request: IncomingMessage, seen: Seen): Promise<Result> => {
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const [act, , feed, epoch] = path.startsWith(`${root}/`) ? path.slice(root.length + 1).split('/') : [];
    const raw = await readBody(request, seen);
    const sign = /^v1,(\d+),([A-Za-z0-9_-]{16,64}),([0-9a-f]{64})$/.exec(String(request.headers['x-postern-sign'] ?? ''));
    if (key !== undefined && sign !== null) {
      const fields = ['content-encoding', 'idempotency-key', 'upload-complete', 'upload-length', 'upload-offset', 'x-postern-failed', 'x-postern-format', 'x-postern-gap', 'x-postern-start'];
      const said = fields.filter((name) => request.headers[name] !== undefined).map((name) => `\n${name}:${String(request.headers[name])}`);
      const text = `v1\n${request.method}\n${request.url}\n${sign[1]}\n${sign[2]}\n${sha256(raw)}${said.join('')}`;
      if (createHmac('sha256', key).update(text).digest('hex') !== sign[3]) {
        server.counts.badSignatures += 1;
        return { status: 401, lines: { error: 'unauthenticated' } };
      }
    } else if (key !== undefined && request.headers['x-postern-key'] !== key) return { status: 401, lines: { error: 'unauthenticated' } };
    if (act === 'check-in') {
      server.checkIns.push(raw.toString('utf8'));
      return { status: 200, lines: server.checkIn };
    }
    if (act !== 'push') return { status: 404, lines: { error: 'not-found' } };
    const offset = Number(new URLSearchParams(query).get('o'));
    const name = `${feed}/${epoch}`;
    const bytes = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
    if (bytes.length > server.batchMax) return { status: 413, lines: { error: 'too-large', max: server.batchMax } };
    if (request.headers['x-postern-sha256'] !== sha256(bytes)) return { status: 422, lines: { error: 'digest' } };
    return store(server, name, offset, bytes, request.headers);
  };

  const serve = async (request: IncomingMessage, response: ServerResponse, expects: boolean) => {
    const seen: Seen = { method: request.method!, target: request.url!, headers: request.headers, bodyBytes: 0 };
    server.seen.push(seen);
    const spoiled = server.spoil.shift() ?? null;
    let result: Result;
    if (spoiled?.status !== undefined || (spoiled !== null && spoiled.loseAnswer === undefined)) {
      if (!expects) await readBody(request, seen);
      result = { status: spoiled.status ?? 200, lines: { ...spoiled.lines } };
    } else if (server.redirectTo !== null && request.url!.startsWith(`${root}/push/`)) {
      const [feed, epoch] = request.url!.slice(`${root}/push/`.length).split('?')[0]!.split('/').slice(1);
      const known = server.epochs.get(`${feed}/${epoch}`);
      if (known) Object.assign(known, { sealed: true, sealedTo: server.redirectTo });
      if (!expects) await readBody(request, seen);
      result = { status: 307, lines: { base: server.redirectTo, ttl: server.ttl, ...(known ? { next: nextOf(known) } : {}) }, location: `${server.redirectTo}${request.url!.slice(root.length)}` };
    } else {
      if (expects) response.writeContinue();
      result = await judge(request, seen);
    }
    const body = Object.entries({ time: (nowMs() / 1000).toFixed(3), ...result.lines }).map(([name, value]) => `${name}=${value}\n`).join('');
    const location = spoiled?.fields?.['Location'] ?? result.location ?? '';
    const nonce = /^v1,\d+,([^,]+),/.exec(String(request.headers['x-postern-sign'] ?? ''))?.[1];
    const isSigned = key !== undefined && nonce !== undefined && result.status !== 401 && !spoiled?.isUnsigned;
    const mac = isSigned ? createHmac('sha256', key).update(`answer\n${nonce}\n${result.status}\n${location}\n${sha256(body)}`).digest('hex') : '';
    if (spoiled?.loseAnswer === 'all') return void request.socket.destroy();
    response.writeHead(result.status, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body), ...(location === '' ? {} : { Location: location }), ...(isSigned ? { 'X-Postern-Answer': `v1,${mac}` } : {}), ...spoiled?.fields });
    if (spoiled?.loseAnswer === 'half') {
      response.write(body.slice(0, Math.ceil(body.length / 2)));
      return void setImmediate(() => request.socket.destroy());
    }
    response.end(body);
  };

  const listener = tls === undefined ? createServer() : createTlsServer({ key: tls.key, cert: tls.cert });
  const sockets = new Set<{ destroy(): void }>();
  const failed = (response: ServerResponse) => (thrown: unknown) => {
    if (!response.headersSent) response.writeHead(500, { 'Content-Type': 'text/plain' });
    response.end(String(thrown));
  };
  listener.on('request', (request: IncomingMessage, response: ServerResponse) => void serve(request, response, false).catch(failed(response)));
  listener.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => void serve(request, response, true).catch(failed(response)));
  listener.on('connection', (socket) => {
    server.counts.connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  listener.on('tlsClientError', () => {});
  await new Promise<void>((done) => listener.listen(0, '127.0.0.1', () => done()));
  const { port } = listener.address() as AddressInfo;
  const server: PushServer = {
    port,
    base: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}${root}`,
    epochs: new Map(),
    seen: [],
    counts: { repeats: 0, conflicts: 0, badSignatures: 0, connections: 0 },
    spoil: [],
    batchMax: 1024 * 1024,
    redirectTo: null,
    ttl: 3_600,
    checkIn: {},
    checkIns: [],
    epochOf(feed) {
      const names = [...server.epochs.keys()].filter((name) => name.startsWith(`${feed}/`));
      return server.epochs.get(names.at(-1) ?? '');
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => listener.close(done));
    },
  };
  return server;
}
