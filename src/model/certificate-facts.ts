// What a chain says of itself, as the row of a certificate keeps it.
import { X509Certificate } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import { keyKindOf } from './certificate-key.ts';
import { namesOfCertificate } from './certificate-names.ts';
import { fingerprintOf, keyFingerprintOf } from './fingerprint.ts';
import type { Certificate, CertificateNames } from './rows.ts';

export type CertificateFacts = Pick<Certificate, 'names' | 'keyKind' | 'subject'> & {
  readonly keyFingerprint: string;
  readonly certificateFingerprint: string;
  readonly issuer: string;
  readonly notBefore: number;
  readonly notAfter: number;
};

const serverAuth = '1.3.6.1.5.5.7.3.1';
const clientAuth = '1.3.6.1.5.5.7.3.2';
const anyPurpose = '2.5.29.37.0';

/** RFC 5280 §4.2.1.12: without the extension it is good for everything. Node calls the extended key usages `keyUsage`. */
export const isForServers = ({ keyUsage }: X509Certificate): boolean => keyUsage === undefined || keyUsage.includes(serverAuth) || keyUsage.includes(anyPurpose);
export const isForClients = ({ keyUsage }: X509Certificate): boolean => keyUsage === undefined || keyUsage.includes(clientAuth) || keyUsage.includes(anyPurpose);

/** On one line. Node separates the parts by line feeds and writes nothing for an empty name. */
export const lineOf = (distinguishedName: string | undefined): string => (distinguishedName ?? '').replaceAll('\n', ', ');

/** How people call it: by its common name, or what else there is. */
export function titleOf(certificate: X509Certificate): string {
  return titleOfName(certificate.subject) || certificate.subjectAltName || 'a certificate without a name';
}

export const titleOfName = (distinguishedName: string | undefined): string => /^CN=(.*)$/m.exec(distinguishedName ?? '')?.[1] ?? lineOf(distinguishedName);

export function factsOf(leaf: X509Certificate): CertificateFacts {
  const noNames: CertificateNames = { dns: [], ip: [] };
  return {
    // One that is not for servers is never shown for a name, whatever it names.
    names: isForServers(leaf) ? namesOfCertificate(leaf) : noNames,
    keyKind: keyKindOf(leaf.publicKey),
    subject: lineOf(leaf.subject),
    issuer: lineOf(leaf.issuer),
    notBefore: leaf.validFromDate.getTime(),
    notAfter: leaf.validToDate.getTime(),
    keyFingerprint: keyFingerprintOf(leaf),
    certificateFingerprint: fingerprintOf(leaf),
  };
}

const blocks = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g;

/** The certificates in PEM, in order. Fault `bad-input`: one cannot be read, or there is none. */
export function readChain(pem: string): X509Certificate[] {
  const found = pem.match(blocks) ?? [];
  if (found.length === 0) throw new Fault('bad-input', 'there is no certificate in PEM in it');
  return found.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new Fault('bad-input', 'a certificate in it cannot be read', { cause });
    }
  });
}

/** In PEM as everybody writes it, one after the other. */
export const pemOf = (chain: readonly X509Certificate[]): string => chain.map((each) => each.toString().trimEnd() + '\n').join('');
