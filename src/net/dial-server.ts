// A route's server, by TCP or TLS, with what has to stand before everything else.
import type { Duplex } from 'node:stream';
import type { TcpTarget, TlsTarget } from '#model/target.ts';
import { dialTappedTcp, type DialBy } from './dial.ts';
import { buildTlsDial, type TlsDialOptions } from './dial-tls.ts';

/** Opens the server, again and again; what TLS needs is prepared once. `header` (a PROXY header) goes before everything, TLS included. */
export function buildServerDial(target: TcpTarget | TlsTarget, identityOf: TlsDialOptions['identityOf']): (by: DialBy, header?: Buffer) => Promise<Duplex> {
  if (target.kind === 'tls') return buildTlsDial({ target, identityOf });
  return async (by, header) => {
    const stream = await dialTappedTcp(target, by);
    if (header !== undefined) stream.write(header);
    return stream;
  };
}
