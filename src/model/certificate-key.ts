// Keys of certificates: making them, naming their kind, and the file that holds one.
import { createPrivateKey, createPublicKey, generateKeyPair } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { spkiFingerprintOf } from './fingerprint.ts';

/** Kinds that we make; others are taken when somebody brings them. */
export const keyKinds = ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const;
export type KeyKind = (typeof keyKinds)[number];

export interface MadeKey {
  /** PKCS#8, not encrypted. */
  readonly pem: string;
  /** SPKI DER. */
  readonly spki: Buffer;
  readonly fingerprint: string;
}

const curveNames: Readonly<Record<string, string>> = { prime256v1: 'p256', secp384r1: 'p384', secp521r1: 'p521' };

/** Not on the main thread: an RSA key takes up to seconds. */
export function makeKey(kind: KeyKind): Promise<MadeKey> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, _: KeyObject, privateKey: KeyObject) => (error ? reject(error) : resolve(keyOf(privateKey)));
    if (kind === 'ec-p256' || kind === 'ec-p384') generateKeyPair('ec', { namedCurve: kind === 'ec-p256' ? 'prime256v1' : 'secp384r1' }, done);
    else generateKeyPair('rsa', { modulusLength: Number(kind.slice(4)) }, done);
  });
}

export function keyOf(privateKey: KeyObject): MadeKey {
  const spki = spkiOf(privateKey);
  return { pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), spki, fingerprint: spkiFingerprintOf(spki) };
}

/** Of a public key, or of the public half of a private one. */
export function spkiOf(key: KeyObject): Buffer {
  return (key.type === 'private' ? createPublicKey(key) : key).export({ type: 'spki', format: 'der' });
}

/** Fault `bad-input`: not a private key in PEM without a passphrase. The PEM never appears in it. */
export function readPrivateKey(pem: string): MadeKey {
  try {
    return keyOf(createPrivateKey(pem));
  } catch {
    throw new Fault('bad-input', 'this is not a private key in PEM');
  }
}

/** `rsa-2048`, `ec-p256`, `ed25519` … */
export function keyKindOf(key: KeyObject): string {
  const details = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
    case 'rsa-pss':
      return `rsa-${details.modulusLength}`;
    case 'ec':
      return `ec-${curveNames[details.namedCurve ?? ''] ?? details.namedCurve}`;
    default:
      return key.asymmetricKeyType ?? 'unknown';
  }
}

/**
 * The file of a certificate's key. It carries the key's fingerprint, so that a new key is written beside the old one and the row that names it decides: no crash can leave a
 * chain with the key of another.
 */
export const keyFileOf = (certificateId: Id, keyFingerprint: string): string => `certificate.${certificateId}.${keyFingerprint.slice(0, 16)}.key`;
