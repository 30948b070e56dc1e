// What a TLS client can do, by its hello: the legacy lane is for those who cannot do better, and for nobody else. A hello proves nothing about a
// client that lies, only about one that does not; who may use the lane at all is said by the list of sources.
import { helloCodes, type ClientHello } from './tls.ts';

export interface Capability {
  /** The version and a suite for it are offered. */
  readonly tls13: boolean;
  readonly tls12: boolean;
  /** At least one suite of TLS 1.3, or of TLS 1.2 with ECDHE and AEAD, that level intermediate takes. */
  readonly modernCiphers: boolean;
  /** The highest of SSL 3.0 (0x0300) to TLS 1.3 (0x0304); null when none of them is offered. */
  readonly bestVersion: number | null;
  /** It says that a better attempt of its own failed before (RFC 7507). */
  readonly isFallback: boolean;
  /** Level intermediate cannot serve it, and it does not say that it could do better: a case for the legacy lane. */
  readonly needsLegacy: boolean;
}

const tls13Suites: ReadonlySet<number> = new Set([0x1301, 0x1302, 0x1303]);
/** ECDHE with AES-GCM or ChaCha20-Poly1305, for ECDSA and RSA (Mozilla's intermediate, v6). */
const ecdheAeadSuites: ReadonlySet<number> = new Set([0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9]);
/** X25519MLKEM768, X25519, P-256, P-384. */
const groupsServed: ReadonlySet<number> = new Set([0x11ec, 0x001d, 0x0017, 0x0018]);
/** TLS_FALLBACK_SCSV. Who forces a client down must not be rewarded with the lane, too. */
const fallbackSuite = 0x5600;

export function capabilityOf(hello: ClientHello): Capability {
  const { suites, groups } = helloCodes(hello);
  const has = (set: ReadonlySet<number>) => suites.some((suite) => set.has(suite));
  const offersGroup = groups === null || groups.some((group) => groupsServed.has(group));
  const known = hello.versions.filter((version) => version >= 0x0300 && version <= 0x0304);
  const [has13Suite, hasAeadSuite] = [has(tls13Suites), has(ecdheAeadSuites)];
  const tls13 = known.includes(0x0304) && has13Suite;
  const tls12 = known.includes(0x0303) && suites.some((suite) => !tls13Suites.has(suite) && suite !== fallbackSuite && suite !== 0x00ff);
  const isFallback = suites.includes(fallbackSuite);
  return {
    tls13,
    tls12,
    modernCiphers: has13Suite || hasAeadSuite,
    bestVersion: known.length === 0 ? null : Math.max(...known),
    isFallback,
    needsLegacy: !isFallback && !(offersGroup && (tls13 || (tls12 && hasAeadSuite))),
  };
}
