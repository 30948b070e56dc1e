// One-time codes that carry a sign-in from the console's host to a device's host: good once, for a minute, for one host, and for the
// one browser that asked at that host. Without the last, anybody could send a person an address that signs them in as somebody else.
import { digestOf, newSecret, sameText } from '#base/secret.ts';
import type { Random } from '#base/ids.ts';

export interface HandOver {
  readonly signInId: string;
  readonly path: string;
}

export interface HandOvers {
  /** A new code. `host`: lower case, without port; `asked`: the digest of what the browser holds as a cookie of that host. */
  issue(order: HandOver & { readonly host: string; readonly asked: string }): string;
  /** Uses it up, whatever comes of it. `nonce`: what the browser holds; '' when nothing. */
  redeem(code: string, host: string, nonce: string): HandOver | 'gone' | 'not-asked';
}

const CODES_MAX = 10_000;

export function buildHandOvers(monoMs: () => number, random: Random, lifeMs: number): HandOvers {
  // Passing state of the gateway, by digest: a dump of the memory of codes opens nothing. Insertion order is age.
  const codes = new Map<string, HandOver & { readonly host: string; readonly asked: string; readonly untilMs: number }>();
  return {
    issue(order) {
      for (const [key, entry] of codes) {
        if (entry.untilMs > monoMs() && codes.size < CODES_MAX) break;
        codes.delete(key);
      }
      const code = newSecret(random);
      codes.set(digestOf(code), { ...order, untilMs: monoMs() + lifeMs });
      return code;
    },
    redeem(code, host, nonce) {
      if (code.length > 100) return 'gone';
      const key = digestOf(code);
      const entry = codes.get(key);
      if (!entry) return 'gone';
      codes.delete(key);
      if (entry.host !== host || entry.untilMs <= monoMs()) return 'gone';
      // Everybody knows the digest of nothing.
      return nonce !== '' && sameText(digestOf(nonce), entry.asked) ? { signInId: entry.signInId, path: entry.path } : 'not-asked';
    },
  };
}
