// Builds and signs certificates: the private CA, the gateway's leaves, agents' certificates from their requests. Keys, time and
// randomness are arguments. The only file that loads @peculiar/x509; what needs no library is in fingerprint.ts.
import './reflect-metadata.ts';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  cryptoProvider,
} from '@peculiar/x509';
import type { webcrypto } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import { fingerprintOf, keyRefusal, spkiFingerprintOf } from './fingerprint.ts';

cryptoProvider.set(globalThis.crypto);

export type KeyPair = webcrypto.CryptoKeyPair;
export type PublicKey = webcrypto.CryptoKey;
export type PrivateKey = webcrypto.CryptoKey;

const dayMs = 24 * 3_600_000;
const caDays = 10 * 365;
/** Browsers take no more than 398 days, and Apple's clients not even from a private CA; the hour before `now` counts. */
const leafDays = 396;
export const agentCertificateDays = 90;
/** Clocks that are a little behind see a certificate that is valid already. */
const backdatedMs = 3_600_000;
const csrCharsMax = 16 * 1024;
/** A common name takes 64 characters (RFC 5280 appendix A, ub-common-name). */
const commonNameCharsMax = 64;

const ecdsaSha256 = { name: 'ECDSA', hash: 'SHA-256' } as const;

export interface Ca {
  readonly certificatePem: string;
  /** ECDSA P-256. */
  readonly signingKey: PrivateKey;
}

export interface IssuedCertificate {
  readonly pem: string;
  readonly fingerprint: string;
  readonly keyFingerprint: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** RFC 5280 §4.1.2.2: positive, at most 20 bytes, unguessable. */
function newSerial(random: Random): string {
  const bytes = random(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex');
}

/** X.509 times have no milliseconds; what is reported is what was signed. */
const wholeSeconds = (ms: number): number => Math.floor(ms / 1000) * 1000;

function issued(certificate: X509Certificate): IssuedCertificate {
  return {
    pem: `${certificate.toString('pem')}\n`,
    fingerprint: fingerprintOf(Buffer.from(certificate.rawData)),
    keyFingerprint: spkiFingerprintOf(Buffer.from(certificate.publicKey.rawData)),
    notBefore: certificate.notBefore.getTime(),
    notAfter: certificate.notAfter.getTime(),
  };
}

/** The private CA: ECDSA P-256, ten years, signs leaves only. */
export async function makeCa(options: { name: string; keys: KeyPair; now: number; random: Random }): Promise<IssuedCertificate> {
  const notBefore = wholeSeconds(options.now - backdatedMs);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [options.name.slice(0, commonNameCharsMax)] }, { O: ['Postern'] }],
    keys: options.keys,
    signingAlgorithm: ecdsaSha256,
    serialNumber: newSerial(options.random),
    notBefore: new Date(notBefore),
    notAfter: new Date(notBefore + caDays * dayMs),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(options.keys.publicKey),
    ],
  });
  return issued(certificate);
}

export interface LeafNames {
  /** Names and `*.name`. */
  readonly dns: readonly string[];
  /** Address literals. */
  readonly ip: readonly string[];
}

/** A server's certificate for names and addresses, at most 397 days and never longer than the CA. */
export async function issueServerLeaf(options: { ca: Ca; names: LeafNames; publicKey: PublicKey; now: number; random: Random }): Promise<IssuedCertificate> {
  const { ca, names } = options;
  const commonName = [...names.dns, ...names.ip].find((name) => name.length <= commonNameCharsMax);
  if (names.dns.length + names.ip.length === 0) throw new Fault('bad-input', 'a certificate needs at least one name or address');
  return issue({
    ...options,
    days: leafDays,
    subject: commonName === undefined ? [] : [{ CN: [commonName] }],
    extensions: [
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      // RFC 5280 §4.2.1.6: critical when there is no subject.
      new SubjectAlternativeNameExtension(
        [...names.dns.map((value) => ({ type: 'dns' as const, value })), ...names.ip.map((value) => ({ type: 'ip' as const, value }))],
        commonName === undefined,
      ),
    ],
    ca,
  });
}

/**
 * An agent's certificate for the key of its request. Of the request only the key counts: subject and extensions are ours.
 * Fault `bad-input`: not a request, its signature is wrong (the sender does not hold the key), or the key is too weak.
 */
export async function issueAgentCertificate(options: { ca: Ca; csrPem: string; agentId: Id; now: number; random: Random }): Promise<IssuedCertificate> {
  const request = await readRequest(options.csrPem);
  return issue({
    ca: options.ca,
    publicKey: request.publicKey,
    now: options.now,
    random: options.random,
    days: agentCertificateDays,
    subject: [{ CN: [options.agentId] }],
    extensions: [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])],
  });
}

/** Fingerprint of the request's key, to compare with that of the certificate it wants to renew. Faults as above. */
export async function requestKeyFingerprintOf(csrPem: string): Promise<string> {
  return spkiFingerprintOf(Buffer.from((await readRequest(csrPem)).publicKey.rawData));
}

async function readRequest(csrPem: string): Promise<Pkcs10CertificateRequest> {
  if (csrPem.length > csrCharsMax) throw new Fault('bad-input', `the certificate request is longer than ${csrCharsMax} characters`);
  let request: Pkcs10CertificateRequest;
  let refusal: string | null;
  try {
    request = new Pkcs10CertificateRequest(csrPem);
    refusal = keyRefusal(Buffer.from(request.publicKey.rawData));
  } catch (cause) {
    throw new Fault('bad-input', 'this is not a certificate request (PKCS#10) in PEM', { cause });
  }
  if (refusal) throw new Fault('bad-input', `the certificate request has ${refusal}`);
  // A signature of an algorithm that the library does not know throws instead of being wrong.
  if (!(await request.verify().catch(() => false))) throw new Fault('bad-input', "the certificate request's signature is wrong: its sender does not hold the key");
  return request;
}

interface Order {
  readonly ca: Ca;
  readonly publicKey: PublicKey | Pkcs10CertificateRequest['publicKey'];
  readonly now: number;
  readonly random: Random;
  readonly days: number;
  readonly subject: { CN: string[] }[];
  readonly extensions: (ExtendedKeyUsageExtension | SubjectAlternativeNameExtension)[];
}

async function issue(order: Order): Promise<IssuedCertificate> {
  const authority = new X509Certificate(order.ca.certificatePem);
  const notBefore = wholeSeconds(order.now - backdatedMs);
  const notAfter = Math.min(wholeSeconds(order.now) + order.days * dayMs, authority.notAfter.getTime());
  if (notAfter <= order.now) throw new Fault('internal', 'the private CA has expired', { remedy: 'Check the clock of this machine; a gateway older than ten years needs a new CA.' });
  const certificate = await X509CertificateGenerator.create({
    serialNumber: newSerial(order.random),
    subject: order.subject,
    issuer: authority.subjectName,
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    publicKey: order.publicKey,
    signingKey: order.ca.signingKey,
    signingAlgorithm: ecdsaSha256,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      ...order.extensions,
      await SubjectKeyIdentifierExtension.create(order.publicKey),
      await AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  return issued(certificate);
}
