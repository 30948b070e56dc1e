// The agent's way to a gateway: TLS whose far end is known by the fingerprint of its CA's key, and the requests over it.
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { X509Certificate } from 'node:crypto';
import { Fault, isFault } from '#base/fault.ts';
import type { FaultCode } from '#base/fault.ts';
import { gatewayMark, keyFingerprintOf } from '#model/fingerprint.ts';
import { linkAlpn } from '#wire/tls.ts';
import { parseGatewayAddress } from '#wire/join-token.ts';

export interface GatewayDialOptions {
  readonly caFingerprint: string;
  readonly key?: string;
  readonly certificate?: string;
  readonly timeoutMs: number;
  readonly nowMs: () => number;
  /** A clock that is before it judges no dates. */
  readonly builtAtMs: number;
  readonly signal?: AbortSignal | undefined;
}

const chainMax = 8;
const serverAuth = '1.3.6.1.5.5.7.3.1'; // RFC 5280 §4.2.1.12

/**
 * The leaf must be signed by a certificate of the chain whose key is the pinned one, and be the gateway's own. The name that was dialled is not
 * compared: the key is the identity. Fault `unauthenticated`.
 */
export function checkGatewayChain(leaf: X509Certificate, options: Pick<GatewayDialOptions, 'caFingerprint' | 'nowMs' | 'builtAtMs'>): void {
  let issuer: X509Certificate | undefined = leaf.issuerCertificate;
  for (let i = 0; i < chainMax && issuer !== undefined; i++, issuer = issuer.issuerCertificate) {
    if (keyFingerprintOf(issuer) === options.caFingerprint) break;
    if (issuer.issuerCertificate === issuer) issuer = undefined;
    if (issuer === undefined) break;
  }
  if (issuer === undefined || keyFingerprintOf(issuer) !== options.caFingerprint || !leaf.verify(issuer.publicKey)) {
    throw new Fault('unauthenticated', 'whoever answers there is not the gateway that this agent was joined to', {
      remedy: 'Something between may open TLS connections (a proxy that inspects them); let this address pass, or join again with a new token.',
    });
  }
  // The same CA signs agents, and servers of people: without this, any of them could pose as the gateway to the others.
  if (leaf.ca || !leaf.keyUsage?.includes(serverAuth) || leaf.checkHost(gatewayMark, { subject: 'never', wildcards: false }) === undefined) {
    throw new Fault('unauthenticated', 'what answers there has a certificate of the right CA, but not a gateway\'s', { remedy: 'Somebody with a certificate of this CA may be posing as the gateway; tell whoever runs it.' });
  }
  const now = options.nowMs();
  if (now < options.builtAtMs) return;
  if (now < leaf.validFromDate.getTime() || now > leaf.validToDate.getTime()) {
    throw new Fault('unauthenticated', `the gateway's certificate is valid from ${leaf.validFrom} to ${leaf.validTo}, and this machine's clock shows ${new Date(now).toISOString()}`, {
      remedy: 'Set the clock of this machine, or of the gateway.',
    });
  }
}

/** Faults `unreachable`, `timeout`, `unauthenticated` (another gateway), `closed` (aborted). */
export function dialGateway(address: string, options: GatewayDialOptions): Promise<TLSSocket> {
  const { host, port } = parseGatewayAddress(address);
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new Fault('closed', `dialling ${address} was given up`));
    const socket = connectTls({
      host,
      port,
      ...(isIP(host) === 0 ? { servername: `link.${host}` } : {}),
      ALPNProtocols: [linkAlpn],
      minVersion: 'TLSv1.2',
      rejectUnauthorized: false, // judged by checkGatewayChain, before a byte of ours is sent
      ...(options.key === undefined ? {} : { key: options.key }),
      ...(options.certificate === undefined ? {} : { cert: options.certificate }),
    });
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('error', onError);
      socket.off('close', onClose);
    };
    const fail = (fault: Fault) => {
      settle();
      socket.on('error', () => {});
      socket.destroy();
      reject(fault);
    };
    const timer = setTimeout(() => fail(new Fault('timeout', `${address} did not answer within ${options.timeoutMs / 1000} s`)), options.timeoutMs);
    const onAbort = () => fail(new Fault('closed', `dialling ${address} was given up`));
    const onError = (error: NodeJS.ErrnoException) => fail(new Fault('unreachable', `${address} cannot be reached: ${error.code ?? error.message}`, { cause: error }));
    const onClose = () => fail(new Fault('unreachable', `${address} closed the connection during the TLS handshake`));
    socket.on('error', onError);
    socket.on('close', onClose);
    signal?.addEventListener('abort', onAbort);
    socket.once('secureConnect', () => {
      try {
        const leaf = socket.getPeerX509Certificate();
        if (leaf === undefined) throw new Fault('unauthenticated', `${address} shows no certificate`);
        checkGatewayChain(leaf, options);
        settle();
        // Whoever takes it listens a moment later; what breaks until then must not end the process. `close` follows every error.
        socket.on('error', () => {});
        socket.setNoDelay(true);
        resolve(socket);
      } catch (thrown) {
        fail(isFault(thrown) ? thrown : new Fault('unauthenticated', `the certificate of ${address} cannot be read`, { cause: thrown }));
      }
    });
  });
}

export interface JsonAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const answerBytesMax = 256 * 1024;
const codes: Readonly<Record<number, FaultCode>> = { 400: 'bad-input', 401: 'unauthenticated', 403: 'forbidden', 404: 'not-found', 409: 'conflict', 410: 'gone', 429: 'too-many', 503: 'busy' };

/** The Fault that a refusing answer stands for. */
export function faultOfProblem(status: number, body: Readonly<Record<string, unknown>>): Fault {
  const detail = typeof body['detail'] === 'string' ? body['detail'] : `the gateway answered ${status}`;
  return new Fault(codes[status] ?? 'internal', detail, { detail: { status }, ...(typeof body['remedy'] === 'string' ? { remedy: body['remedy'] } : {}) });
}

/** One POST over a connection of its own, which is closed after it. Faults: the answer's, `protocol`, `timeout`, `closed`. */
export async function postJson(socket: Duplex, host: string, path: string, body: Readonly<Record<string, unknown>>, timeoutMs: number): Promise<JsonAnswer> {
  // Only joining and renewing need it; a running agent does not carry it around.
  const { request } = await import('node:http');
  const text = JSON.stringify(body);
  const answer = await new Promise<JsonAnswer>((resolve, reject) => {
    const asked = request({
      method: 'POST',
      path,
      createConnection: () => socket as TLSSocket,
      headers: { Host: host, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text), Connection: 'close' },
    });
    const timer = setTimeout(() => asked.destroy(new Fault('timeout', `${path} was not answered within ${timeoutMs / 1000} s`)), timeoutMs);
    asked.on('error', (error) => reject(isFault(error) ? error : new Fault('closed', `${path} broke off: ${error.message}`, { cause: error })));
    asked.on('close', () => clearTimeout(timer));
    asked.on('response', (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on('data', (part: Buffer) => {
        bytes += part.length;
        if (bytes > answerBytesMax) asked.destroy(new Fault('protocol', `the answer to ${path} is too long`));
        else parts.push(part);
      });
      response.on('end', () => {
        try {
          const value: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'));
          if (typeof value !== 'object' || value === null) throw new Error('not an object');
          resolve({ status: response.statusCode ?? 0, body: value as JsonAnswer['body'] });
        } catch (cause) {
          reject(new Fault('protocol', `the answer to ${path} (${response.statusCode}) is not JSON`, { cause }));
        }
      });
    });
    asked.end(text);
  });
  socket.destroy();
  if (answer.status !== 200) throw faultOfProblem(answer.status, answer.body);
  return answer;
}
