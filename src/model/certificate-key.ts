// Keys of certificates: making them, naming their kind, and the file that holds one.
import type { Id } from '#base/ids.ts';

/** Kinds that we make; others are taken when somebody brings them. */
export const keyKinds = ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const;
export type KeyKind = (typeof keyKinds)[number];

/**
 * The file of a certificate's key. It carries the key's fingerprint, so that a new key is written beside the old one and the row that names it decides: no crash can leave a
 * chain with the key of another.
 */
export const keyFileOf = (certificateId: Id, keyFingerprint: string): string => `certificate.${certificateId}.${keyFingerprint.slice(0, 16)}.key`;
