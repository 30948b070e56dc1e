// The PROXY header in front of a connection to a server that asks for one: whom we serve, and what its TLS proved (docs/wire/proxy-protocol.md).
import { TLSSocket } from 'node:tls';
import { isFault } from '#base/fault.ts';
import { placesOf, toldFrom, type Conn } from '#net/conn.ts';
import { encodeProxyHeader, type ProxyHeaderToSend } from '#wire/proxy-protocol.ts';

type ToldTls = NonNullable<ProxyHeaderToSend['tls']>;

/** What the client's TLS proved: to us, or to the listed sender in front of us. */
function tlsOf(conn: Conn, told: ReturnType<typeof placesOf>['tls']): ToldTls | null {
  const { policy } = conn.facts;
  const certificate = conn.facts.certificate?.isProxys === true ? null : conn.facts.certificate;
  if (policy !== null && conn.socket instanceof TLSSocket) {
    return {
      version: conn.socket.getProtocol() ?? '', cipher: conn.socket.getCipher().name,
      commonName: certificate?.subject ?? null, verified: certificate?.verified === true, resumed: conn.socket.isSessionReused(),
      ...(conn.peerCertificate ? { certificate: conn.peerCertificate.raw } : {}),
    };
  }
  if (told === null) return null;
  return { version: told.version ?? '', cipher: told.cipher ?? '', commonName: told.commonName, verified: told.verified, ...(told.clientCertificate ? { certificate: told.clientCertificate } : {}) };
}

/** `clientAddress`: the client's address as the server is to hear it, where that is not the one it came from. */
export function proxyHeaderFor(conn: Conn, version: 'v1' | 'v2', clientAddress: string = toldFrom(conn)): Buffer {
  const { source, destination, tls: told } = placesOf(conn.accepted);
  // Behind a trusted proxy a request has a client of its own, whose port nobody told.
  const client = clientAddress === source.address ? source : { address: clientAddress, port: 0 };
  if (version === 'v1') return encodeProxyHeader({ version: 1, source: client, destination });
  const tls = tlsOf(conn, told);
  const { serverName } = conn.facts;
  const header: ProxyHeaderToSend = { version: 2, source: client, destination, uniqueId: Buffer.from(conn.id), ...(serverName === null ? {} : { authority: serverName }), ...(tls === null ? {} : { tls }) };
  try {
    return encodeProxyHeader(header);
  } catch (thrown) {
    if (tls?.certificate === undefined || !isFault(thrown)) throw thrown;
    // The one part that may be too large for a header: subject and verdict still go with it.
    const { certificate: _, ...rest } = tls;
    return encodeProxyHeader({ ...header, tls: rest });
  }
}
