// One-time codes that carry a sign-in from the console's host to a device's host: good once, for a minute, for one host.
import { digestOf, newSecret } from '#base/secret.ts';
import type { Random } from '#base/ids.ts';

export interface HandOvers {
  /** A new code. `host`: lower case, without port. */
  issue(signInId: string, host: string, path: string): string;
  /** Uses it up, whatever comes of it. */
  redeem(code: string, host: string): { readonly signInId: string; readonly path: string } | null;
}

const CODES_MAX = 10_000;

export function buildHandOvers(monoMs: () => number, random: Random, lifeMs: number): HandOvers {
  // Passing state of the gateway, by digest: a dump of the memory of codes opens nothing. Insertion order is age.
  const codes = new Map<string, { signInId: string; host: string; path: string; untilMs: number }>();
  return {
    issue(signInId, host, path) {
      for (const [key, entry] of codes) {
        if (entry.untilMs > monoMs() && codes.size < CODES_MAX) break;
        codes.delete(key);
      }
      const code = newSecret(random);
      codes.set(digestOf(code), { signInId, host, path, untilMs: monoMs() + lifeMs });
      return code;
    },
    redeem(code, host) {
      if (code.length > 100) return null;
      const key = digestOf(code);
      const entry = codes.get(key);
      if (!entry) return null;
      codes.delete(key);
      return entry.host === host && entry.untilMs > monoMs() ? { signInId: entry.signInId, path: entry.path } : null;
    },
  };
}
