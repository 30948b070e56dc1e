// TLS from the gateway to a device's https port, over whatever stream reaches it. Devices have self-signed certificates: the first one
// seen is accepted and remembered by fingerprint; another one later is refused until a person accepts it.
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import { isIP } from 'node:net';
import { Fault } from '#base/fault.ts';

export interface DeviceTlsOptions {
  /** The device's own host, for SNI. */
  readonly host: string;
  /** SHA-256 of the DER, hex; null: none was accepted before. */
  readonly fingerprint: string | null;
  /** None was accepted before and this one is shown. Returns the one that counts, which may be another's first by now. */
  readonly onFirst: (fingerprint: string) => string;
  readonly timeoutMs: number;
}

/** Faults: `timeout`, `protocol` (handshake), `forbidden` (another certificate than the accepted one). */
export function openDeviceTls(stream: Duplex, options: DeviceTlsOptions): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const tls = connect({
      socket: stream,
      ...(isIP(options.host) ? {} : { servername: options.host }),
      rejectUnauthorized: false,
      // What stands in the field speaks old TLS; the stretch from the agent to the device is a site's own wire.
      minVersion: 'TLSv1',
      ciphers: 'DEFAULT:@SECLEVEL=0',
      ALPNProtocols: ['http/1.1'],
    });
    const fail = (fault: Fault) => {
      clearTimeout(timer);
      tls.destroy();
      stream.destroy();
      reject(fault);
    };
    const timer = setTimeout(() => fail(new Fault('timeout', `the device did not finish the TLS handshake within ${options.timeoutMs / 1000} s`)), options.timeoutMs);
    const onError = (error: Error) => fail(new Fault('protocol', `the TLS handshake with the device failed: ${error.message}`, { remedy: 'Does the port speak https? Its kind is set on the device\'s page.', cause: error }));
    tls.once('error', onError);
    // Stays for the connection's life: what a device sends right behind its handshake is judged before anybody else listens, and an error
    // without a listener ends the process.
    tls.on('error', () => {});
    tls.once('secureConnect', () => {
      clearTimeout(timer);
      const seen = createHash('sha256').update(tls.getPeerX509Certificate()?.raw ?? Buffer.alloc(0)).digest('hex');
      const accepted = options.fingerprint ?? options.onFirst(seen);
      if (seen !== accepted) {
        return fail(new Fault('forbidden', `the device shows another certificate (${seen.slice(0, 16)}…) than the accepted one (${accepted.slice(0, 16)}…)`, { remedy: 'If the device was reset or renewed its certificate, forget the old one on the device\'s page; if not, somebody may stand between.' }));
      }
      // The bytes that came together with the end of the handshake are judged first: who takes a stream that is dead already is never told.
      setImmediate(() => {
        tls.off('error', onError);
        if (tls.destroyed) reject(new Fault('protocol', 'the device broke the TLS connection off right behind its handshake'));
        else resolve(tls);
      });
    });
  });
}
