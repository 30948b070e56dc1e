// What tests of certificates in handshakes share: secrets in memory, a clock that is moved by hand, and one handshake.
import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { connect, TLSSocket } from 'node:tls';
import type { ConnectionOptions, SecureContext } from 'node:tls';
import type { Clock } from '#base/clock.ts';
import type { SecretFiles } from '#base/secret-files.ts';

/** Time that a test moves, starting now: TLS clients compare with the real clock. */
export function handClock(): Clock & { move(ms: number): void } {
  let now = Date.now();
  return { nowMs: () => now, monoMs: () => now, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }), move: (ms) => void (now += ms) };
}

export function memoryFiles(): SecretFiles & { kept: Map<string, Buffer>; isFull: boolean } {
  const kept = new Map<string, Buffer>();
  return {
    kept,
    isFull: false,
    async read(name) {
      return kept.get(name) ?? null;
    },
    async write(name, bytes) {
      if (this.isFull) throw new Error('no space left');
      kept.set(name, bytes);
    },
    async remove(name) {
      kept.delete(name);
    },
  };
}

/** One connection to a server of ours with this context; what both ends saw. */
export async function handshake(context: SecureContext, client: ConnectionOptions, asksForCertificate = false) {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const accepted = once(server, 'connection');
  const { port } = server.address() as AddressInfo;
  const there = connect({ ...client, socket: connectTcp(port, '127.0.0.1') });
  const failed = new Promise<never>((_, reject) => there.once('error', reject));
  const [socket] = await accepted;
  const here = new TLSSocket(socket, { isServer: true, secureContext: context, requestCert: asksForCertificate, rejectUnauthorized: false });
  here.on('error', () => {});
  try {
    let session = Buffer.alloc(0);
    there.on('session', (latest) => (session = latest));
    await Promise.race([Promise.all([once(there, 'secureConnect'), once(here, 'secure')]), failed]);
    here.end('x');
    there.resume();
    await Promise.race([once(there, 'end'), failed]);
    return {
      resumed: there.isSessionReused(),
      authorized: there.authorized,
      // node:tls sets `authorized` on sockets of its own servers alone.
      clientAuthorized: here.getPeerX509Certificate() !== undefined && (here as unknown as { ssl: { verifyError(): Error | null } }).ssl.verifyError() === null,
      shown: there.getPeerX509Certificate()!,
      seen: here.getPeerX509Certificate() ?? null,
      protocol: there.getProtocol(),
      cipher: there.getCipher().name,
      session,
    };
  } finally {
    there.destroy();
    here.destroy();
    server.close();
  }
}
