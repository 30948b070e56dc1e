// What gateway and agent must agree on about a certificate that is put in place elsewhere.
import { createHash, X509Certificate } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import { readChain } from './certificate-facts.ts';
import { readPrivateKey } from './certificate-key.ts';

/** SHA-256 (hex) of the chain in PEM as it is sent, and the SHA-256 (hex) of the key's SPKI. It tells nothing of the key, and needs none to be computed. */
export function digestOfPair(chainPem: string, keyFingerprint: string): string {
  return createHash('sha256').update(chainPem).update('\n').update(keyFingerprint).digest('hex');
}

/** What came or what lies there, as one thing. Fault `bad-input`: unreadable, or key and certificate do not belong together. */
export function readPair(chainPem: string, keyPem: string): { readonly digest: string; readonly chain: readonly X509Certificate[]; readonly keyFingerprint: string } {
  const chain = readChain(chainPem);
  const key = readPrivateKey(keyPem);
  if (!chain[0]!.publicKey.export({ type: 'spki', format: 'der' }).equals(key.spki)) throw new Fault('bad-input', 'key and certificate do not belong together');
  return { digest: digestOfPair(chainPem, key.fingerprint), chain, keyFingerprint: key.fingerprint };
}

/** What the gateway hands over. */
export interface InstallOrder {
  /** As the agent's policy calls it. */
  readonly name: string;
  readonly chainPem: string;
  readonly digest: string;
  /** Read when it is sent, and not before. */
  readKeyPem(): Promise<string>;
}

/** What the agent made of it. */
export type InstallOutcome =
  | { readonly state: 'delivered'; /** false: it was there already. */ readonly sent: boolean }
  | {
      /** The command failed, files cannot be written … · the local policy does not allow it · the agent does not know how. */
      readonly state: 'failed' | 'refused' | 'unsupported';
      /** For people; with the line to add, where there is one. */
      readonly why: string;
      readonly exitCode: number | null;
      /** The last lines that the command said. */
      readonly output: string | null;
    };
