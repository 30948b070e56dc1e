// What a key costs in each full TLS handshake: the signature that the server makes. For the form where people choose a kind.
import type { KeyKind } from './certificate-key.ts';

export interface KeyCost {
  readonly kind: KeyKind;
  /** Signatures a second on one core. */
  readonly signsPerSecond: number;
  /** Time of a signature, P-256 being 1. */
  readonly relative: number;
  readonly text: string;
}

/** `openssl speed -seconds 1`, OpenSSL 3.0.19, one core of an AMD EPYC server; docs/operate/certificates.md. */
const signsPerSecond: Readonly<Record<KeyKind, number>> = { 'ec-p256': 50_100, 'ec-p384': 1_280, 'rsa-2048': 4_090, 'rsa-3072': 573, 'rsa-4096': 233 };

const texts: Readonly<Record<KeyKind, string>> = {
  'ec-p256': 'the cheapest, and what everything since 2013 takes',
  'ec-p384': 'where a rule asks for it',
  'rsa-2048': 'for devices that know RSA alone',
  'rsa-3072': 'RSA where a rule asks for more than 2048 bits',
  'rsa-4096': 'dear: a burst of connections is felt',
};

export const keyCosts: readonly KeyCost[] = (Object.keys(signsPerSecond) as KeyKind[]).map((kind) => ({
  kind,
  signsPerSecond: signsPerSecond[kind],
  relative: Math.round((signsPerSecond['ec-p256'] / signsPerSecond[kind]) * 10) / 10,
  text: texts[kind],
}));
