// Keys of devices that push: how they are made, kept and proved, and which of two counts. A signature cannot be checked with a digest, so the text is
// kept, too, sealed under a key that is a file of the data folder: the database alone opens nothing.
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import { Secret, digestOf, sameText } from '#base/secret.ts';
import { isRequestSignedBy, type RequestSignature, type SignedRequest } from '#wire/device-sign.ts';
import { keyFingerprintOf } from './fingerprint.ts';
import type { DeviceKey } from './rows.ts';
import type { ThrottleKey } from './throttle.ts';

/** The file of the data folder: 32 random bytes. */
export const sealingKeyFile = 'device-keys.key';
export const sealingKeyBytes = 32;
const prefix = 'pdk_';
const nonceBytes = 12;
const tagBytes = 16;
/** How exact "last used" is: each key costs a write so often at most. */
const usedNotedMs = 24 * 3_600_000;

/** `pdk_` and 256 random bits. */
export const makeKeyText = (random: Random): Secret => new Secret(prefix + random(32).toString('base64url'));

/** Why a text that a device brings is no key; null when it is one. Ours are; foreign ones may be whatever is long enough not to be guessed. */
export function keyTextRefusal(text: string): string | null {
  if (!/^[!-~]{20,200}$/.test(text)) return 'a key has 20 to 200 printable characters without spaces';
  return new Set(text).size < 8 ? 'a key has at least 8 different characters' : null;
}

/** AES-256-GCM, bound to the device's id: moved to another row it opens no more. Base64 of nonce, text, tag. */
export function sealKey(text: string, sealingKey: Uint8Array, deviceId: Id, random: Random): string {
  const nonce = random(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', sealingKey, nonce);
  cipher.setAAD(Buffer.from(`device-key ${deviceId}`));
  return Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64');
}

/** null: sealed under another key, for another device, or damaged. */
export function openKey(sealed: string, sealingKey: Uint8Array, deviceId: Id): string | null {
  const bytes = Buffer.from(sealed, 'base64');
  if (bytes.length < nonceBytes + tagBytes) return null;
  const end = bytes.length - tagBytes;
  const decipher = createDecipheriv('aes-256-gcm', sealingKey, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(`device-key ${deviceId}`));
  decipher.setAuthTag(bytes.subarray(end));
  try {
    return decipher.update(bytes.subarray(nonceBytes, end)).toString('utf8') + decipher.final('utf8');
  } catch {
    return null;
  }
}

/** What a request shows of a key. `request` is as it was sent; its body's digest too. */
export type KeyProof =
  | { readonly by: 'key'; readonly text: string }
  | { readonly by: 'sign'; readonly signature: RequestSignature; readonly request: Pick<SignedRequest, 'method' | 'target' | 'bodySha256' | 'fields'> }
  | { readonly by: 'certificate'; /** SHA-256 of the SPKI that the handshake proved, hex. */ readonly spki: string };

export interface Proved {
  readonly row: DeviceKey;
  /** To sign the answer with; null where the text is not known (certificates, a sealing key that was lost). */
  readonly text: string | null;
}

/** The key of this device that the request proves; null: none. */
export function findProved(rows: readonly DeviceKey[], proof: KeyProof, sealingKey: Uint8Array): Proved | null {
  if (proof.by === 'certificate') {
    const row = rows.find((each) => each.kind === 'certificate' && sameText(each.digest, proof.spki));
    return row ? { row, text: null } : null;
  }
  const keys = rows.filter((each) => each.kind === 'key');
  if (proof.by === 'key') {
    const digest = digestOf(proof.text);
    const row = keys.find((each) => sameText(each.digest, digest));
    return row ? { row, text: proof.text } : null;
  }
  const { unix, nonce, mac } = proof.signature;
  for (const row of keys) {
    const text = row.sealed === null ? null : openKey(row.sealed, sealingKey, row.deviceId);
    if (text !== null && isRequestSignedBy(text, { ...proof.request, unix, nonce }, mac)) return { row, text };
  }
  return null;
}

export interface KeyChange {
  readonly put: readonly DeviceKey[];
  readonly removed: readonly Id[];
}

/** A new one beside what a device has: it waits for its first use; another that waited and was never used goes. */
export function withNext(rows: readonly DeviceKey[], made: DeviceKey): KeyChange {
  return { put: [made], removed: rows.filter((each) => each.kind === made.kind && each.state === 'next').map((each) => each.id) };
}

/** After a use: the next key becomes the current one, and the one before goes. null: nothing is worth writing. */
export function afterUse(rows: readonly DeviceKey[], used: DeviceKey, now: number): KeyChange | null {
  if (used.state === 'current') return used.usedAt !== null && now - used.usedAt < usedNotedMs && now >= used.usedAt ? null : { put: [{ ...used, usedAt: now }], removed: [] };
  return {
    put: [{ ...used, state: 'current', usedAt: now }],
    removed: rows.filter((each) => each.kind === used.kind && each.state === 'current' && each.id !== used.id).map((each) => each.id),
  };
}

/** The SPKI's SHA-256, hex, of what somebody gives for a client certificate: PEM, or the fingerprint itself (64 hex digits, with or without colons, or `sha256//BASE64`). Fault `bad-input`. */
export function readCertificateDigest(given: string): string {
  const text = given.trim();
  if (text.includes('-----BEGIN')) return keyFingerprintOf(text);
  const base64 = /^sha256\/\/([A-Za-z0-9+/]{43}=)$/.exec(text);
  if (base64) return Buffer.from(base64[1]!, 'base64').toString('hex');
  const hex = text.replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  throw new Fault('bad-input', 'this is neither a certificate in PEM nor the SHA-256 of a public key', { remedy: 'openssl x509 -in FILE -pubkey -noout | openssl pkey -pubin -outform der | sha256sum' });
}

/** Who guesses a device's key waits longer and longer, for that serial from that address; the device itself elsewhere does not. */
export const guessKeys = (customerId: Id, serial: string, from: string): ThrottleKey[] => [{ key: `device-key ${customerId} ${serial} ${from}`, freeTries: 10, delayMaxMs: 60_000 }];
