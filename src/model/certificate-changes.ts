// What people, ACME and the clock do to certificates: key file first, then row and audit line in one transaction, then the table.
import type { Id } from '#base/ids.ts';
import type { KeyKind } from './certificate-key.ts';
import type { AcmeSettings, Actor, Certificate, CertificateNames } from './rows.ts';

/** What a request asks to be named. */
export interface SubjectFields {
  readonly commonName: string | null;
  readonly organization?: string;
  readonly organizationalUnit?: string;
  readonly locality?: string;
  readonly state?: string;
  /** Two letters. */
  readonly country?: string;
}

/** A chain and, unless we hold it, its key: both as PEM, read and judged before (`judgeUpload`). */
export interface CertificateMaterial {
  /** Leaf first, in order. */
  readonly chainPem: string;
  /** Not encrypted. Null: the certificate's pending key, or the one in use. */
  readonly keyPem: string | null;
}

/**
 * Every change: Fault `not-found` (no such certificate), `conflict` (the name is taken; a key that fits is missing), `bad-input` (an error of
 * `judgeUpload`), `busy`. Resolves when the change is durable and new handshakes show it; standing connections stay.
 */
export interface CertificateChanges {
  /** An own one, put in place. */
  upload(order: { readonly name: string; readonly material: CertificateMaterial; readonly customerId: Id }, actor: Actor): Promise<Certificate>;
  /** Makes a key and a request (`csrPem` of the row). State waiting, until `replace` brings the answer. */
  request(order: { readonly name: string; readonly keyKind: KeyKind; readonly subject: SubjectFields; readonly names: CertificateNames; readonly customerId: Id }, actor: Actor): Promise<Certificate>;
  /** A new key and request for one that there is; what is in use stays until the answer comes. */
  requestAgain(id: Id, order: { readonly keyKind: KeyKind; readonly subject: SubjectFields; readonly names: CertificateNames }, actor: Actor): Promise<Certificate>;
  /** Issued by the private CA at once; renewed by `renewPrivate`. */
  issue(order: { readonly name: string; readonly keyKind: KeyKind; readonly names: CertificateNames; readonly customerId: Id }, actor: Actor): Promise<Certificate>;
  /** One that ACME will bring: waiting, until `replace`. */
  order(order: { readonly name: string; readonly keyKind: KeyKind; readonly names: CertificateNames; readonly acme: AcmeSettings; readonly customerId: Id }, actor: Actor): Promise<Certificate>;
  /** The answer to a request, a renewal, or another chain: takes effect at once, and what was in use is kept once as the previous. Clears `lastError`. */
  replace(id: Id, material: CertificateMaterial, actor: Actor): Promise<Certificate>;
  /** Swaps what is in use with the previous. Fault `conflict`: there is none. */
  goBack(id: Id, actor: Actor): Promise<Certificate>;
  /** `names`, `keyKind` and `acme` of a certificate that ACME brings count from its next renewal on. */
  change(id: Id, change: { readonly name?: string; readonly enabled?: boolean; readonly names?: CertificateNames; readonly keyKind?: KeyKind; readonly acme?: AcmeSettings }, actor: Actor): Promise<Certificate>;
  /** With its keys. */
  remove(id: Id, actor: Actor): Promise<void>;
  /** A renewal was tried and failed. `why` is for people and never holds a secret. */
  failed(id: Id, why: string): Promise<void>;
  /** For those who may export it, and for whoever builds a request with the key in use. PKCS#8; null: there is none. */
  keyPemOf(id: Id): Promise<string | null>;
  /** Those of the private CA that end soon, anew; resolves how many. */
  renewPrivate(): Promise<number>;
}
