// TLS from the gateway to a server: whom we trust is said per route (name, CA or fingerprint), and what we show is a certificate of ours
// where the route names one.
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { checkServerIdentity, connect, createSecureContext, type SecureContext } from 'node:tls';
import { Fault } from '#base/fault.ts';
import type { TlsTarget } from '#model/target.ts';
import { dialTcp, type DialBy } from './dial.ts';

/** A certificate that we show, with its key. */
export interface Identity {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface TlsDialOptions {
  readonly target: TlsTarget;
  /** By the name that the target gives; null: there is none, or it is not ready. */
  identityOf(name: string): Identity | null;
}

const hexOf = (fingerprint: string) => fingerprint.replaceAll(':', '').toLowerCase();

/** To whoever asked, it is the gateway that failed: nothing is forbidden to him. */
const detail = { status: 502 } as const;

/** What a refused handshake most likely means. */
function whyOf(error: NodeJS.ErrnoException, where: string, host: string): Fault {
  const code = error.code ?? '';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return new Fault('forbidden', `${where} shows a certificate for another name than ${host}`, { detail, remedy: 'Name the one it shows in "verify.name", or verify by CA or fingerprint.', cause: error });
  if (/SELF_SIGNED|UNABLE_TO|CERT_UNTRUSTED/.test(code)) return new Fault('forbidden', `the certificate of ${where} comes from a CA that is not trusted (${code})`, { detail, remedy: 'Give its CA in "verify.ca", or verify by fingerprint.', cause: error });
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') return new Fault('forbidden', `the certificate of ${where} ${code === 'CERT_HAS_EXPIRED' ? 'has expired' : 'is not valid yet'}`, { detail, remedy: 'Renew it on the server, or check this machine\'s clock.', cause: error });
  if (code.startsWith('CERT_')) return new Fault('forbidden', `the certificate of ${where} is refused (${code})`, { detail, cause: error });
  return new Fault('protocol', `the TLS handshake with ${where} failed (${code || error.message})`, { remedy: 'Does the port speak TLS, and does the server take our certificate?', cause: error });
}

/** Dials the target, again and again; what it needs is prepared once. Faults: those of dialling, `forbidden` (its certificate), `protocol`. */
export function buildTlsDial(options: TlsDialOptions): (by: DialBy, before?: Buffer) => Promise<Duplex> {
  const { target } = options;
  const { verify } = target;
  const where = `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
  const expected = verify.by === 'name' ? (verify.name ?? target.serverName ?? target.host) : (target.serverName ?? target.host);
  const serverName = target.serverName ?? (isIP(expected) ? undefined : expected);
  let context: { readonly identity: Identity | null; readonly context: SecureContext } | null = null;

  const contextNow = (): SecureContext => {
    const identity = target.certificate === undefined ? null : options.identityOf(target.certificate);
    if (target.certificate !== undefined && identity === null) throw new Fault('not-found', `there is no certificate "${target.certificate}" to show to ${where}`, { detail, remedy: 'Add one of that name, or take "certificate" from the route.' });
    if (context === null || context.identity !== identity) {
      const ca = verify.by === 'fingerprint' ? undefined : verify.ca;
      context = { identity, context: createSecureContext({ minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }), ...(identity ? { cert: identity.certPem, key: identity.keyPem } : {}) }) };
    }
    return context.context;
  };

  return async (by, before) => {
    const secureContext = contextNow();
    const socket = await dialTcp({ kind: 'tcp', host: target.host, port: target.port }, by);
    // A PROXY header stands before everything, TLS included.
    if (before !== undefined) socket.write(before);
    return new Promise((resolve, reject) => {
      const tls = connect({
        socket,
        secureContext,
        ...(serverName === undefined ? {} : { servername: serverName }),
        rejectUnauthorized: verify.by !== 'fingerprint',
        ...(verify.by === 'ca' ? { checkServerIdentity: () => undefined } : verify.by === 'name' && expected !== serverName ? { checkServerIdentity: (_: string, certificate: Parameters<typeof checkServerIdentity>[1]) => checkServerIdentity(expected, certificate) } : {}),
      });
      const settle = () => {
        clearTimeout(timer);
        by.signal?.removeEventListener('abort', onAbort);
      };
      const fail = (fault: Fault) => {
        settle();
        tls.destroy();
        socket.destroy();
        reject(fault);
      };
      const onAbort = () => fail(new Fault('closed', `dialling ${where} was given up`));
      const timer = setTimeout(() => fail(new Fault('timeout', `${where} did not finish the TLS handshake within ${by.timeoutMs / 1000} s`)), by.timeoutMs);
      by.signal?.addEventListener('abort', onAbort);
      const onError = (error: NodeJS.ErrnoException) => fail(whyOf(error, where, expected));
      tls.once('error', onError);
      // Stays for the connection's life: an error without a listener ends the process.
      tls.on('error', () => {});
      tls.once('secureConnect', () => {
        settle();
        if (verify.by === 'fingerprint') {
          const seen = hexOf(tls.getPeerX509Certificate()?.fingerprint256 ?? '');
          if (seen !== hexOf(verify.sha256)) return fail(new Fault('forbidden', `${where} shows another certificate (SHA-256 ${seen.slice(0, 16)}…) than the route names`, { detail, remedy: 'If it was renewed, put the new fingerprint into the route.' }));
        }
        // What came with the end of the handshake is judged first: who takes a stream that is dead already is never told.
        setImmediate(() => {
          tls.off('error', onError);
          if (tls.destroyed) reject(new Fault('protocol', `${where} broke off right behind the TLS handshake`));
          else resolve(tls);
        });
      });
    });
  };
}
