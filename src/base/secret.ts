// A secret that cannot be printed by accident, and how secrets are kept: as a digest.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Random } from './ids.ts';

/** Holds a secret text. Every way of printing it shows only that it is one. */
export class Secret {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  /** The text itself, for the one place that needs it. */
  reveal(): string {
    return this.#text;
  }
  toString(): string {
    return '[secret]';
  }
  toJSON(): string {
    return '[secret]';
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }
}

/** SHA-256 in hex: how random secrets (tokens, codes; at least 128 bits) are stored and looked up. Not for passwords. */
export function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export function sameText(a: string, b: string): boolean {
  const x = Buffer.from(a);
  const y = Buffer.from(b);
  return x.length === y.length && timingSafeEqual(x, y);
}

/** A new secret of 160 bits, as 32 characters that survive being read aloud, URLs and shells. */
export function newSecret(random: Random): string {
  const alphabet = 'abcdefghijkmnopqrstuvwxyz23456789';
  // 33 letters: 231 = 7 × 33, so bytes below 231 map evenly.
  let text = '';
  while (text.length < 32) {
    for (const byte of random(48)) {
      if (byte < 231 && text.length < 32) text += alphabet[byte % 33];
    }
  }
  return text;
}
