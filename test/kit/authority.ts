// Authorities and certificates as tests need them, also such as no authority would make.
import '#model/reflect-metadata.ts';
import { createPrivateKey } from 'node:crypto';
import type { KeyObject, webcrypto } from 'node:crypto';
import {
  AuthorityInfoAccessExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsageExtension,
  type Extension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type JsonGeneralNames,
} from '@peculiar/x509';
import { keyOf } from '#model/certificate-key.ts';

cryptoProvider.set(globalThis.crypto);

export const dayMs = 24 * 3_600_000;
type Keys = webcrypto.CryptoKeyPair;

export interface Made {
  readonly name: string;
  readonly pem: string;
  readonly keys: Keys;
  readonly keyPem: string;
  readonly der: Buffer;
  readonly keyFingerprint: string;
}

export interface Wanted {
  readonly name: string;
  readonly issuer?: Made;
  readonly now: number;
  /** Default: 90 days. */
  readonly days?: number;
  readonly from?: number;
  readonly ca?: boolean;
  readonly keys?: Keys;
  readonly hash?: 'SHA-1' | 'SHA-256';
  readonly usages?: string[];
  readonly names?: JsonGeneralNames;
  readonly issuersAt?: string;
}

export const ecKeys = (curve: 'P-256' | 'P-384' = 'P-256'): Promise<Keys> => crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: curve }, true, ['sign', 'verify']);
/** The hash belongs to the key and signs whatever it signs. */
export const rsaKeys = (bits: number, hash = 'SHA-256'): Promise<Keys> =>
  crypto.subtle.generateKey({ name: 'RSASSA-PKCS1-v1_5', hash, modulusLength: bits, publicExponent: new Uint8Array([1, 0, 1]) }, true, ['sign', 'verify']);

export async function keyObjectOf(keys: Keys): Promise<KeyObject> {
  return createPrivateKey({ key: Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)), format: 'der', type: 'pkcs8' });
}

let serial = 1_000;

export async function makeCertificate(wanted: Wanted): Promise<Made> {
  const keys = wanted.keys ?? (await ecKeys());
  const signer = wanted.issuer?.keys ?? keys;
  const from = wanted.from ?? wanted.now - dayMs;
  const extensions: Extension[] = [new BasicConstraintsExtension(wanted.ca ?? false, undefined, true)];
  if (wanted.usages) extensions.push(new ExtendedKeyUsageExtension(wanted.usages));
  if (wanted.names) extensions.push(new SubjectAlternativeNameExtension(wanted.names));
  if (wanted.issuersAt) extensions.push(new AuthorityInfoAccessExtension({ caIssuers: wanted.issuersAt }));
  const certificate = await X509CertificateGenerator.create({
    serialNumber: (serial += 1).toString(16).padStart(4, '0'),
    subject: `CN=${wanted.name}`,
    issuer: `CN=${wanted.issuer?.name ?? wanted.name}`,
    notBefore: new Date(from),
    notAfter: new Date((wanted.days ?? 90) * dayMs + wanted.now),
    publicKey: keys.publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: signer.privateKey.algorithm.name === 'ECDSA' ? { name: 'ECDSA', hash: wanted.hash ?? 'SHA-256' } : { name: 'RSASSA-PKCS1-v1_5', hash: wanted.hash ?? 'SHA-256' },
    extensions,
  });
  const key = keyOf(await keyObjectOf(keys));
  return { name: wanted.name, pem: `${certificate.toString('pem')}\n`, keys, keyPem: key.pem, der: Buffer.from(certificate.rawData), keyFingerprint: key.fingerprint };
}
