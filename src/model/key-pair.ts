// Key pairs as the web's crypto holds them and as PEM files keep them. Everything of ours is ECDSA P-256.
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import type { KeyPair } from './certificate.ts';

const p256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;

export async function makeKeyPair(): Promise<KeyPair> {
  return await crypto.subtle.generateKey(p256, true, ['sign', 'verify']);
}

/** PKCS#8 in PEM, not encrypted: whoever keeps it keeps it readable by its owner alone. */
export async function privateKeyPemOf(keys: KeyPair): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** Fault `bad-input`: not an EC P-256 private key in PEM. The PEM never appears in it. */
export async function readKeyPair(pem: string): Promise<KeyPair> {
  try {
    const key = createPrivateKey(pem);
    const privateKey = await crypto.subtle.importKey('pkcs8', key.export({ type: 'pkcs8', format: 'der' }), p256, true, ['sign']);
    const publicKey = await crypto.subtle.importKey('spki', createPublicKey(key).export({ type: 'spki', format: 'der' }), p256, true, ['verify']);
    return { privateKey, publicKey };
  } catch {
    throw new Fault('bad-input', 'this is not a private key of the kind EC P-256 in PEM');
  }
}
