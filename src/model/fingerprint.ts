// What identifies a certificate and a key, and what an agent's certificate says. Needs node:crypto alone, so that agents and
// the command line do not load the library that builds certificates.
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import { isId } from '#base/ids.ts';
import type { Id } from '#base/ids.ts';

/** A certificate as PEM text, DER bytes, or read already. */
export type CertificateInput = string | Buffer | X509Certificate;

/** Fault `bad-input`. */
export function readCertificate(input: CertificateInput): X509Certificate {
  if (input instanceof X509Certificate) return input;
  try {
    return new X509Certificate(input);
  } catch (cause) {
    throw new Fault('bad-input', 'this is not an X.509 certificate in PEM or DER', { cause });
  }
}

/** SHA-256 of the certificate's DER, hex. */
export function fingerprintOf(certificate: CertificateInput): string {
  return createHash('sha256').update(readCertificate(certificate).raw).digest('hex');
}

/** SHA-256 of the certificate's public key (SPKI DER), hex: what join tokens carry and agents pin. */
export function keyFingerprintOf(certificate: CertificateInput): string {
  return spkiFingerprintOf(readCertificate(certificate).publicKey.export({ type: 'spki', format: 'der' }));
}

export function spkiFingerprintOf(spki: Buffer): string {
  return createHash('sha256').update(spki).digest('hex');
}

/** Why a public key (SPKI DER) is not good enough for a certificate of ours; null when it is. */
export function keyRefusal(spki: Buffer): string | null {
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const details = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return null;
    case 'ec':
      return details.namedCurve === 'prime256v1' || details.namedCurve === 'secp384r1' ? null : `the curve ${details.namedCurve} is not P-256 or P-384`;
    case 'rsa':
      // The upper bound keeps one handshake from costing what a thousand do.
      return (details.modulusLength ?? 0) >= 2048 && (details.modulusLength ?? 0) <= 8192 ? null : `an RSA key of ${details.modulusLength} bits; from 2048 to 8192 are accepted`;
    default:
      return `a key of type ${key.asymmetricKeyType}; EC P-256 or P-384, Ed25519 and RSA are accepted`;
  }
}

/**
 * A name in the leaf that the link endpoint shows, and in no other certificate that the private CA signs: agents pin the CA's key and compare no
 * address, so that without it every server whose request the CA signed could pose as the gateway.
 */
export const gatewayMark = 'link.localhost';

/** What a certificate that our CA made for an agent says. Whether the agent is locked or revoked is for the tables. */
export interface AgentProof {
  readonly agentId: Id;
  readonly fingerprint: string;
  readonly keyFingerprint: string;
  readonly notBefore: number;
  readonly notAfter: number;
  /** Too old to link with; still good for a renewal with its key (DESIGN §3.9). */
  readonly expired: boolean;
}

const clientAuth = '1.3.6.1.5.5.7.3.2';

/**
 * Judges a client certificate whose key the peer has proven to hold. `notBefore` is not compared: that our CA signed it is
 * proof enough that its time has come, and a gateway whose clock fell back must not shut every agent out.
 */
export function judgeAgentCertificate(certificate: X509Certificate, ca: X509Certificate, now: number): AgentProof | Fault {
  if (!certificate.checkIssued(ca) || !certificate.verify(ca.publicKey)) {
    return new Fault('unauthenticated', "the certificate was not issued by this gateway's CA", { remedy: 'Join the agent again with a new token.' });
  }
  // Node names the extended key usages `keyUsage`; undefined when the certificate has none.
  const usages: readonly string[] = certificate.keyUsage ?? [];
  const agentId = /^CN=([^\n]+)$/.exec(certificate.subject)?.[1] ?? '';
  if (certificate.ca || !usages.includes(clientAuth) || !isId(agentId)) return new Fault('unauthenticated', "the certificate is of this gateway's CA but not an agent's");
  const notAfter = certificate.validToDate.getTime();
  return {
    agentId,
    fingerprint: fingerprintOf(certificate),
    keyFingerprint: keyFingerprintOf(certificate),
    notBefore: certificate.validFromDate.getTime(),
    notAfter,
    expired: now > notAfter,
  };
}
