// The REST client of the CLI and of tests: Node's own http(s), typed by the contract, without zod at run time.
import type { X509Certificate } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect as connectTcp, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { getCACertificates, connect as connectTls, type TLSSocket } from 'node:tls';
import { Fault, isFault, toFault } from '#base/fault.ts';
import { keyFingerprintOf } from '#model/fingerprint.ts';
import type { Answer, Body, Params, Query } from './contract.ts';
import { pathTo, paths, type RouteName } from './paths.ts';
import { faultOfAnswer } from './problem.ts';

export interface ClientOptions {
  /** `https://gw.example.test:8443`; a path behind it is left out. */
  readonly address: string;
  /** A token or the CLI's sign-in. */
  readonly token?: string;
  /** PEM; instead of the system's. */
  readonly ca?: string;
  /** SHA-256 (hex) of the public key of the CA that must stand in the chain shown: what join tokens carry. Instead of `ca`. */
  readonly caFingerprint?: string;
  /** Where to dial instead of what the address names; the names in request and certificate stay. */
  readonly dial?: { readonly host: string; readonly port: number };
  readonly timeoutMs?: number;
  readonly userAgent?: string;
}

export interface CallOptions<Name extends RouteName> {
  readonly params?: Params<Name>;
  readonly query?: Query<Name>;
  readonly body?: Body<Name>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Client {
  readonly address: string;
  /**
   * Faults: what the gateway's problem document says (`detail` has status, problems, retryAfterS), `unreachable`, `timeout`,
   * `protocol` (no JSON came), `closed` (aborted), `forbidden` (the certificate is not the pinned one).
   */
  call<Name extends RouteName>(name: Name, options?: CallOptions<Name>): Promise<Answer<Name>>;
  /** The answer as it comes, for what is no JSON. Faults as those of `call`; one that breaks off is `closed`. */
  download<Name extends RouteName>(name: Name, signal: AbortSignal, params?: Readonly<Record<string, string>>): Promise<AsyncIterable<Buffer>>;
  /** The whole answer with its fields, for what is no JSON and bounded. Faults as those of `call`. */
  fetchBytes<Name extends RouteName>(name: Name, options?: CallOptions<Name>): Promise<{ readonly bytes: Buffer; readonly headers: IncomingHttpHeaders }>;
  /** Server-sent events until the signal aborts or the gateway ends them. */
  events(onEvent: (name: string, data: unknown) => void, signal: AbortSignal): Promise<void>;
  close(): void;
  [Symbol.dispose](): void;
}

const answerBytesMax = 64 * 1024 * 1024;
const serverAuth = '1.3.6.1.5.5.7.3.1'; // RFC 5280 §4.2.1.12

/** Why a pinned chain is not good; null when it is. Agents' certificates come from the same CA, hence name and use. */
export function checkPinned(leaf: X509Certificate | undefined, caFingerprint: string, host: string): string | null {
  if (!leaf) return 'it shows no certificate';
  if (!leaf.keyUsage?.includes(serverAuth)) return 'its certificate is not one of a server';
  if (!(isIP(host) ? leaf.checkIP(host) : leaf.checkHost(host))) return `its certificate is not for ${host}`;
  const now = Date.now();
  if (now < leaf.validFromDate.getTime() || now > leaf.validToDate.getTime()) return 'its certificate is not valid at this time: compare the clocks';
  let certificate: X509Certificate = leaf;
  for (let depth = 0; depth < 5; depth++) {
    const issuer: X509Certificate | undefined = certificate.issuerCertificate;
    if (!issuer || issuer === certificate) break;
    if (!certificate.verify(issuer.publicKey) || !issuer.ca) break;
    if (keyFingerprintOf(issuer) === caFingerprint) return null;
    certificate = issuer;
  }
  return 'its certificate does not come from the CA that was pinned';
}

interface Way {
  readonly url: URL;
  readonly host: string;
  readonly dialHost: string;
  readonly dialPort: number;
}

function parseAddress({ address, dial }: ClientOptions): Way {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw new Fault('bad-input', `"${address}" is not an address`, { remedy: 'write it like https://gw.example.test:8443' });
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new Fault('bad-input', `"${address}" is neither https nor http`);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  // Node asks the resolver for names under localhost, which seldom knows them (RFC 6761 §6.3 says loopback).
  const dialHost = dial?.host ?? (host === 'localhost' || host.endsWith('.localhost') ? '127.0.0.1' : host);
  return { url, host, dialHost, dialPort: dial?.port ?? (url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port)) };
}

/**
 * A gateway that was known by its private CA may have been given a public certificate since: that is as good as for one that had it at once. The
 * public roots are read for that case alone; they take longer than the handshake.
 */
async function openSocket(way: Way, options: ClientOptions, timeoutMs: number): Promise<Duplex> {
  try {
    return await dialGateway(way, options, timeoutMs, false);
  } catch (thrown) {
    if (options.ca === undefined || !isFault(thrown, 'forbidden')) throw thrown;
    return dialGateway(way, options, timeoutMs, true).catch(() => Promise.reject(thrown));
  }
}

/** Nothing is sent before the chain was judged: the token must not reach a stranger. */
function dialGateway(way: Way, options: ClientOptions, timeoutMs: number, withPublic: boolean): Promise<Duplex> {
  const where = `${way.dialHost}:${way.dialPort}`;
  return new Promise((resolve, reject) => {
    const secure = way.url.protocol === 'https:';
    const pinned = options.caFingerprint;
    const base = { host: way.dialHost, port: way.dialPort };
    const socket = secure
      ? connectTls({ ...base, ...(isIP(way.host) ? {} : { servername: way.host }), ALPNProtocols: ['http/1.1'], rejectUnauthorized: pinned === undefined, ...(options.ca === undefined ? {} : { ca: withPublic ? getCACertificates('default') : options.ca }) })
      : connectTcp(base);
    socket.setNoDelay(true);
    const settle = (fault?: Fault) => {
      clearTimeout(timer);
      if (!fault) return resolve(socket);
      socket.destroy();
      reject(fault);
    };
    const timer = setTimeout(() => settle(new Fault('timeout', `${where} did not answer within ${timeoutMs / 1000} s`)), timeoutMs);
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const untrusted = /CERT|SIGNATURE|ALTNAME|ISSUER/.test(error.code ?? '');
      if (untrusted) return settle(new Fault('forbidden', `the certificate of ${where} is not trusted: ${error.message}`, { remedy: 'give the CA with --ca FILE, or sign in anew with: postern login', cause: error }));
      settle(new Fault('unreachable', `${where} cannot be reached: ${error.code === 'ECONNREFUSED' ? 'it refused the connection' : error.message}`, { remedy: 'is the gateway running, and is the address right?', cause: error }));
    });
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      const tls = secure ? (socket as TLSSocket) : null;
      const why = pinned === undefined || tls === null || tls.authorized ? null : checkPinned(tls.getPeerX509Certificate(), pinned, way.host);
      settle(why === null ? undefined : new Fault('forbidden', `${where} is not the gateway that was pinned: ${why}`, { remedy: 'if its CA was made anew, sign in anew with: postern login' }));
    });
  });
}

async function readBytes(incoming: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of incoming as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > answerBytesMax) throw new Fault('too-large', `the answer has more than ${answerBytesMax} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

const readText = async (incoming: IncomingMessage): Promise<string> => (await readBytes(incoming)).toString();

function parseAnswer(incoming: IncomingMessage, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw new Fault('protocol', `what answers there is not the API of a gateway (${incoming.statusCode} ${incoming.headers['content-type'] ?? 'without a type'})`, { cause: thrown, remedy: 'is the address the one of the console?' });
  }
}

/** Events out of a text stream (HTML, server-sent events §9.2.6), as far as our gateway writes them. */
async function readEvents(incoming: IncomingMessage, onEvent: (name: string, data: unknown) => void): Promise<void> {
  let rest = '';
  incoming.setEncoding('utf8');
  for await (const text of incoming as AsyncIterable<string>) {
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (name !== undefined && data !== undefined) onEvent(name, JSON.parse(data));
    }
  }
}

async function* piecesOf(incoming: IncomingMessage, host: string): AsyncGenerator<Buffer> {
  try {
    for await (const piece of incoming as AsyncIterable<Buffer>) yield piece;
  } catch (thrown) {
    throw toFault(thrown, 'closed', `${host} broke off in the middle of its answer`);
  }
}

export function openClient(options: ClientOptions): Client {
  const way = parseAddress(options);
  const timeoutMs = options.timeoutMs ?? 30_000;
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  agent.createConnection = (_, onSocket) => {
    openSocket(way, options, timeoutMs).then(
      (socket) => onSocket?.(null, socket),
      (fault: Error) => onSocket?.(fault, undefined as unknown as Duplex),
    );
    return undefined;
  };
  const ask = (method: string, path: string, headers: Readonly<Record<string, string>>, body: string | undefined, signal: AbortSignal | undefined, waitMs: number): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const request = httpRequest({
        agent, method, path, host: way.dialHost, port: way.dialPort, setHost: false,
        headers: {
          host: way.url.host,
          accept: 'application/json',
          'user-agent': options.userAgent ?? 'postern',
          ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
          ...headers,
        },
        ...(signal ? { signal } : {}),
      });
      if (waitMs > 0) request.setTimeout(waitMs, () => request.destroy(new Fault('timeout', `${way.url.host} did not answer within ${waitMs / 1000} s`)));
      request.once('response', resolve);
      request.on('error', (error) => reject(signal?.aborted ? new Fault('closed', 'given up') : toFault(error, 'unreachable', `${way.url.host} broke off: ${error.message}`)));
      request.end(body);
    });
  return {
    address: way.url.origin,
    async call(name, { params, query, body, headers = {}, signal } = {}) {
      const path = pathTo(name, params as Record<string, string | number> | undefined, query as Record<string, string | number | boolean | undefined> | undefined);
      const incoming = await ask(paths[name].method, path, headers, body === undefined ? undefined : JSON.stringify(body), signal, timeoutMs);
      const text = await readText(incoming);
      const status = incoming.statusCode ?? 0;
      if (status < 200 || status > 299) throw faultOfAnswer(status, text);
      // The gateway answers by the same contract; the CLI does not load zod to check it once more.
      return parseAnswer(incoming, text) as never;
    },
    async download(name, signal, params) {
      const incoming = await ask(paths[name].method, pathTo(name, params), { accept: '*/*' }, undefined, signal, timeoutMs);
      if (incoming.statusCode !== 200) throw faultOfAnswer(incoming.statusCode ?? 0, await readText(incoming));
      return piecesOf(incoming, way.url.host);
    },
    async fetchBytes(name, { params, query, signal } = {}) {
      const incoming = await ask(paths[name].method, pathTo(name, params as Record<string, string | number> | undefined, query as Record<string, string | number | boolean | undefined> | undefined), { accept: '*/*' }, undefined, signal, timeoutMs);
      if (incoming.statusCode !== 200) throw faultOfAnswer(incoming.statusCode ?? 0, await readText(incoming));
      return { bytes: await readBytes(incoming), headers: incoming.headers };
    },
    async events(onEvent, signal) {
      const incoming = await ask('GET', pathTo('getEvents'), { accept: 'text/event-stream' }, undefined, signal, 0);
      if (incoming.statusCode !== 200) throw faultOfAnswer(incoming.statusCode ?? 0, await readText(incoming));
      try {
        await readEvents(incoming, onEvent);
      } catch (thrown) {
        if (!signal.aborted) throw toFault(thrown, 'closed', 'the event stream broke off');
      }
    },
    close: () => agent.destroy(),
    [Symbol.dispose]: () => agent.destroy(),
  };
}
