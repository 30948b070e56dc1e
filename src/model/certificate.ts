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
  PublicKey as SpkiKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  cryptoProvider,
} from '@peculiar/x509';
import type { webcrypto } from 'node:crypto';
import { canonicalAddress } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import { isId } from '#base/ids.ts';
import type { Id, Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import { nameRefusal } from './certificate-names.ts';
import { fingerprintOf, keyRefusal, spkiFingerprintOf } from './fingerprint.ts';
import type { CertificateNames } from './rows.ts';

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

export type LeafNames = CertificateNames;

/** A server's certificate for names and addresses, at most 397 days and never longer than the CA. `publicKey`: as SPKI DER when it is bytes. */
export async function issueServerLeaf(options: { ca: Ca; names: LeafNames; publicKey: PublicKey | Buffer; now: number; random: Random }): Promise<IssuedCertificate> {
  const { ca, names } = options;
  const commonName = [...names.dns, ...names.ip].find((name) => name.length <= commonNameCharsMax);
  if (names.dns.length + names.ip.length === 0) throw new Fault('bad-input', 'a certificate needs at least one name or address');
  return issue({
    ...options,
    days: leafDays,
    subject: commonName === undefined ? [] : [{ CN: [commonName] }],
    extensions: [
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      alternativeNames(names, commonName === undefined),
    ],
    ca,
    publicKey: Buffer.isBuffer(options.publicKey) ? new SpkiKey(options.publicKey) : options.publicKey,
  });
}

/** RFC 5280 §4.2.1.6: critical when there is no subject. */
function alternativeNames(names: LeafNames, isCritical: boolean): SubjectAlternativeNameExtension {
  return new SubjectAlternativeNameExtension([...names.dns.map((value) => ({ type: 'dns' as const, value })), ...names.ip.map((value) => ({ type: 'ip' as const, value }))], isCritical);
}

export interface RequestToSign {
  readonly ca: Ca;
  /** PKCS#10 in PEM. */
  readonly csrPem: string;
  readonly kind: 'server' | 'client';
  /** Instead of those that the request names. */
  readonly names?: CertificateNames;
  /** At most 396, which is the default: with the hour before `now` that stays below 397. */
  readonly days?: number;
  readonly now: number;
  readonly random: Random;
}

/**
 * Signs a request that somebody brings. Of the request count the key, the subject's usual fields and the names; everything else is ours. A server's
 * certificate needs a name, and its common name has to be one of them. A client's may not be called like an agent: that is what agents are known by.
 * Fault `bad-input`: as for agents' requests, and a name that is none.
 */
export async function signRequest(order: RequestToSign): Promise<IssuedCertificate> {
  const request = await readRequest(order.csrPem);
  const commonName = request.subjectName.getField('CN')[0]?.trim() ?? '';
  const names = order.names ?? namesAskedIn(request, order.kind === 'server' ? commonName : '');
  const all = [...names.dns, ...names.ip];
  if (all.length > limits.certificateNamesMax) throw new Fault('bad-input', `the request names ${all.length} names; at most ${limits.certificateNamesMax} fit into a certificate of ours`);
  const refusal = all.map(nameRefusal).find((each) => each !== null);
  if (refusal) throw new Fault('bad-input', refusal);
  const isClient = order.kind === 'client';
  if (!isClient && all.length === 0) throw new Fault('bad-input', 'the request names no host and no address', { remedy: 'Make it with subject alternative names, or say the names here.' });
  if (isClient && commonName === '') throw new Fault('bad-input', 'the request has no common name', { remedy: "A client's certificate is recognised by it: make the request with one." });
  if (isId(commonName)) throw new Fault('bad-input', 'the common name has the form by which agents are known', { remedy: 'Make the request with another common name.' });
  const shown = isClient ? commonName : all.includes(commonName.toLowerCase()) ? commonName : all.find((name) => name.length <= commonNameCharsMax);
  const subject = [...organizationIn(request), ...(shown === undefined ? [] : [{ CN: [shown.slice(0, commonNameCharsMax)] }])];
  return issue({
    ca: order.ca,
    publicKey: request.publicKey,
    now: order.now,
    random: order.random,
    days: Math.max(1, Math.min(order.days ?? leafDays, leafDays)),
    subject,
    extensions: [new ExtendedKeyUsageExtension([isClient ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth]), ...(all.length > 0 ? [alternativeNames(names, subject.length === 0)] : [])],
  });
}

const organizationFields = ['C', 'ST', 'L', 'O', 'OU'] as const;

function organizationIn(request: Pkcs10CertificateRequest): Record<string, string[]>[] {
  return organizationFields.flatMap((field) => {
    const text = request.subjectName.getField(field)[0]?.trim();
    return text ? [{ [field]: [text.slice(0, field === 'C' ? 2 : 64)] }] : [];
  });
}

/** Without any: the common name, as requests were made before 2000 and still are. */
function namesAskedIn(request: Pkcs10CertificateRequest, commonName: string): CertificateNames {
  const asked = request.extensions.find((extension) => extension instanceof SubjectAlternativeNameExtension)?.names.items ?? [];
  const dns = asked.filter((each) => each.type === 'dns').map((each) => each.value.toLowerCase());
  const ip = asked.filter((each) => each.type === 'ip').map((each) => canonicalAddress(each.value) ?? each.value);
  if (dns.length + ip.length > 0 || commonName === '') return { dns: [...new Set(dns)], ip: [...new Set(ip)] };
  const literal = canonicalAddress(commonName);
  return literal === null ? { dns: [commonName.toLowerCase()], ip: [] } : { dns: [], ip: [literal] };
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
  readonly publicKey: PublicKey | SpkiKey;
  readonly now: number;
  readonly random: Random;
  readonly days: number;
  readonly subject: Record<string, string[]>[];
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
      // RSA is also used to encrypt the secret, by clients that know no ephemeral keys.
      new KeyUsagesExtension(order.publicKey.algorithm.name.startsWith('RSA') ? KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment : KeyUsageFlags.digitalSignature, true),
      ...order.extensions,
      await SubjectKeyIdentifierExtension.create(order.publicKey),
      await AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  return issued(certificate);
}
