// The roots that Node trusts, read once when somebody asks: for saying how far a chain goes.
import { X509Certificate } from 'node:crypto';
import { getCACertificates } from 'node:tls';

let read: readonly X509Certificate[] | null = null;

/** Node's own list and what the environment adds (NODE_EXTRA_CA_CERTS). One that cannot be read is left out. */
export function publicRoots(): readonly X509Certificate[] {
  read ??= getCACertificates('default').flatMap((pem) => {
    try {
      return [new X509Certificate(pem)];
    } catch {
      return [];
    }
  });
  return read;
}
