// TLS around an accepted connection whose ClientHello has been looked at: the context was chosen by what the hello says, the
// bytes are still in the stream. At most so many handshakes at once; the rest wait their turn.
import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket, type SecureContext } from 'node:tls';
import { Fault } from '#base/fault.ts';
import type { RawStream } from './conn.ts';

export interface UnwrapOptions {
  readonly context: SecureContext;
  readonly alpn: readonly string[];
  /** Ask for a client certificate; it is never required here and not judged. */
  readonly requestCertificate: boolean;
  readonly timeoutMs: number;
}

export interface Unwrapped {
  readonly socket: TLSSocket;
  readonly alpn: string | null;
  readonly peerCertificate: X509Certificate | null;
  /** Its chain leads to a CA of the context, now. False without a certificate. */
  readonly verified: boolean;
}

/** Faults: `timeout`, `protocol` (the handshake failed; the message says how), `closed`. The socket is destroyed then. */
export function unwrapTls(socket: RawStream, looked: Buffer, options: UnwrapOptions): Promise<Unwrapped> {
  return new Promise((resolve, reject) => {
    socket.pause();
    socket.unshift(looked);
    // Its types say Socket; any Duplex will do (Node: tls.TLSSocket, since 0.11.4), at the price of a stream in between.
    const tls = new TLSSocket(socket as Socket, {
      isServer: true,
      secureContext: options.context,
      ALPNProtocols: [...options.alpn],
      requestCert: options.requestCertificate,
      rejectUnauthorized: false,
    });
    const settle = () => {
      clearTimeout(timer);
      tls.off('secure', onSecure);
      tls.off('close', onClose);
      tls.off('end', onClose);
    };
    const fail = (fault: Fault) => {
      settle();
      tls.destroy();
      socket.destroy();
      reject(fault);
    };
    const timer = setTimeout(() => fail(new Fault('timeout', `the TLS handshake took longer than ${options.timeoutMs / 1000} s`)), options.timeoutMs);
    const onSecure = () => {
      settle();
      const peerCertificate = options.requestCertificate ? (tls.getPeerX509Certificate() ?? null) : null;
      resolve({ socket: tls, alpn: tls.alpnProtocol === false ? null : tls.alpnProtocol, peerCertificate, verified: peerCertificate !== null && isVerified(tls) });
    };
    const onClose = () => fail(new Fault('closed', 'the client left during the TLS handshake'));
    tls.on('secure', onSecure);
    tls.on('close', onClose);
    // Accepted sockets may be half open, so a client that hangs up now is not closed by itself, and would be kept until the deadline.
    tls.on('end', onClose);
    // Stays for the connection's life: an error without a listener would end the process, and `close` follows every error.
    tls.on('error', (error: NodeJS.ErrnoException) => {
      if (timer.hasRef()) fail(new Fault('protocol', `the TLS handshake failed: ${error.code ?? error.message}`, { cause: error }));
    });
    tls.on('_tlsError', (error: NodeJS.ErrnoException) => fail(new Fault('protocol', `the TLS handshake failed: ${error.code ?? error.message}`, { cause: error })));
  });
}

/**
 * What OpenSSL found about the client's chain. node:tls tells it only to its own servers (`authorized`); a TLSSocket around an accepted
 * connection has to ask the handle. Without that there is no verdict, and no verdict is no.
 */
function isVerified(tls: TLSSocket): boolean {
  const { ssl } = tls as unknown as { readonly ssl?: { verifyError?(): Error | null } };
  return typeof ssl?.verifyError === 'function' && !ssl.verifyError();
}

/** At most `atOnceMax` run, the rest wait in order; beyond `waitingMax` one more is refused. */
export function buildGate(atOnceMax: number, waitingMax: number): { enter(): Promise<() => void>; readonly waiting: number } {
  let running = 0;
  const queue: (() => void)[] = [];
  const leave = () => {
    const next = queue.shift();
    if (next) next();
    else running -= 1;
  };
  return {
    enter() {
      if (running < atOnceMax) {
        running += 1;
        return Promise.resolve(leave);
      }
      if (queue.length >= waitingMax) return Promise.reject(new Fault('busy', 'too many TLS handshakes are waiting'));
      return new Promise((resolve) => queue.push(() => resolve(leave)));
    },
    get waiting() {
      return queue.length;
    },
  };
}
