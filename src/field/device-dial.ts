// One outbound connection to a server of the device protocol: straight or through an HTTP proxy (RFC 9110 §9.3.6), with the server's key
// compared before a byte of a request is written.
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { Fault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import { keyFingerprintOf } from '#model/fingerprint.ts';
import { dialTcp } from '#net/dial.ts';
import { pinOfFingerprint } from '#wire/device.ts';
import { mayConnect } from './trust.ts';

export interface Proxy {
  readonly host: string;
  readonly port: number;
  /** `user:password` for Basic; null: none is asked for. Asked again for each connection. */
  credentials(): Promise<string | null>;
}

export interface DialServer {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  readonly pins: readonly string[];
  /** PEM: instead of the system's roots, while the list of pins is empty. */
  readonly ca: string | null;
  /** PEM: shown when the server asks for one. */
  readonly certificate: { readonly cert: string; readonly key: string } | null;
  readonly proxy: Proxy | null;
  readonly signal: AbortSignal;
}

export interface Dialled {
  readonly stream: Duplex;
  readonly over: 'link' | 'tls' | 'plain';
  readonly pin: string | null;
  readonly chainGood: boolean;
  /** Requests name the whole address in their first line (RFC 9112 §3.2.2), with these credentials. */
  readonly absolute: { readonly authorization: string | null } | null;
}

const authority = (host: string, port: number) => `${host.includes(':') ? `[${host}]` : host}:${port}`;
const basic = (credentials: string) => `Basic ${Buffer.from(credentials).toString('base64')}`;

/** Faults `unreachable`, `timeout`, `closed` (aborted), `forbidden` (its key or certificate; the proxy refuses), `protocol`. */
export async function dialServer(server: DialServer): Promise<Dialled> {
  const { proxy, secure } = server;
  const { host, port } = proxy ?? server;
  const socket = await dialTcp({ kind: 'tcp', host, port }, { client: '', timeoutMs: limits.pushDialTimeoutMs, signal: server.signal });
  // Whoever takes it listens a moment later; an error without a listener ends the process.
  socket.on('error', () => {});
  const credentials = proxy === null ? null : await proxy.credentials();
  const authorization = credentials === null ? null : basic(credentials);
  if (!secure) return { stream: socket, over: 'plain', pin: null, chainGood: false, absolute: proxy === null ? null : { authorization } };
  if (proxy !== null) await passProxy(socket, server, authorization);
  return { ...(await shakeHands(socket, server)), absolute: null };
}

/** Bounded in time; on failure the socket is gone. */
async function within<Value>(socket: Duplex, server: DialServer, what: string, run: (settle: { done(value: Value): void; fail(fault: Fault): void }) => () => void): Promise<Value> {
  const where = authority(server.host, server.port);
  return await new Promise<Value>((resolve, reject) => {
    let stop: (() => void) | null = null;
    const settle = () => {
      clearTimeout(timer);
      server.signal.removeEventListener('abort', onAbort);
      socket.off('close', onClose);
      stop?.();
    };
    const fail = (fault: Fault) => {
      settle();
      socket.destroy();
      reject(fault);
    };
    const onAbort = () => fail(new Fault('closed', `dialling ${where} was given up`));
    const onClose = () => fail(new Fault('unreachable', `${where} closed the connection during ${what}`));
    const timer = setTimeout(() => fail(new Fault('timeout', `${where} did not finish ${what} within ${limits.pushDialTimeoutMs / 1000} s`)), limits.pushDialTimeoutMs);
    server.signal.addEventListener('abort', onAbort);
    socket.on('close', onClose);
    stop = run({
      done(value) {
        settle();
        resolve(value);
      },
      fail,
    });
    if (server.signal.aborted) onAbort();
  });
}

/** `CONNECT`; when it resolves, the socket leads to the server. */
async function passProxy(socket: Duplex, server: DialServer, authorization: string | null): Promise<void> {
  const target = authority(server.host, server.port);
  await within<undefined>(socket, server, 'the way through the proxy', ({ done, fail }) => {
    let head = Buffer.alloc(0);
    const onReadable = () => {
      for (;;) {
        // One byte at a time: what follows the head belongs to TLS.
        const byte = socket.read(1) as Buffer | null;
        if (byte === null) return;
        head = Buffer.concat([head, byte]);
        if (head.length > limits.pushProxyHeadBytesMax) return fail(new Fault('protocol', 'the proxy\'s answer to CONNECT is too long'));
        if (!head.subarray(-4).equals(headEnd)) continue;
        const status = /^HTTP\/1\.[01] (\d{3})/.exec(head.toString('latin1'))?.[1];
        if (status?.startsWith('2')) return done(undefined);
        const said = printable(head.toString('latin1').split('\r\n', 1)[0]!, 100);
        return fail(new Fault('forbidden', `the proxy does not let us through to ${target}: ${said}`, status === '407' ? { remedy: 'Name a file with "user:password" in the destination\'s proxy.credentialsFile.' } : {}));
      }
    };
    socket.on('readable', onReadable);
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${authorization === null ? '' : `Proxy-Authorization: ${authorization}\r\n`}\r\n`);
    return () => socket.off('readable', onReadable);
  });
}

const headEnd = Buffer.from('\r\n\r\n');

function shakeHands(socket: Duplex, server: DialServer): Promise<Omit<Dialled, 'absolute'>> {
  const where = authority(server.host, server.port);
  const tls = connectTls({
    socket,
    ...(isIP(server.host) === 0 ? { servername: server.host } : { host: server.host }),
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2',
    // Judged below, by list or by trust store; until then nothing is written but the handshake.
    rejectUnauthorized: false,
    ...(server.ca === null ? {} : { ca: server.ca }),
    ...server.certificate,
  });
  tls.on('error', () => {});
  return within<Omit<Dialled, 'absolute'>>(tls, server, 'the TLS handshake', ({ done, fail }) => {
    const onError = (error: Error) => fail(new Fault('unreachable', `the TLS handshake with ${where} failed: ${reasonOf(error)}`, { cause: error }));
    const onSecure = () => {
      const leaf = tls.getPeerX509Certificate();
      if (leaf === undefined) return fail(new Fault('forbidden', `${where} shows no certificate`));
      let pin: string;
      try {
        pin = pinOfFingerprint(keyFingerprintOf(leaf));
      } catch (thrown) {
        return fail(new Fault('forbidden', `the certificate of ${where} cannot be read`, { cause: thrown }));
      }
      const chainGood = tls.authorized;
      if (!mayConnect(server.pins, pin, chainGood)) return fail(refusal(where, server.pins, pin, String(tls.authorizationError)));
      done({ stream: tls, over: 'tls', pin, chainGood });
    };
    tls.once('error', onError);
    tls.once('secureConnect', onSecure);
    return () => {
      tls.off('error', onError);
      tls.off('secureConnect', onSecure);
    };
  });
}

function refusal(where: string, pins: readonly string[], pin: string, why: string): Fault {
  if (pins.length > 0) {
    return new Fault('forbidden', `${where} shows a key (${pin}) that is not on the list of fingerprints; nothing was sent`, {
      remedy: 'Something between may open TLS connections. If the server has a new key, put its fingerprint into the destination\'s pins.',
    });
  }
  return new Fault('forbidden', `the certificate of ${where} is not trusted (${why}); nothing was sent`, { remedy: 'Put the server\'s fingerprint into the destination\'s pins, or its CA\'s certificate into caFile.' });
}
