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

/** `node bench/keys.ts 2`: OpenSSL 3.5.8 of Node 26, one core of an AMD EPYC server; also in docs/operate/certificates.md. */
const signsPerSecond: Readonly<Record<KeyKind, number>> = { 'ec-p256': 41_000, 'ec-p384': 1_250, 'rsa-2048': 3_870, 'rsa-3072': 1_400, 'rsa-4096': 657 };

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
