// Which names a certificate is good for, and which certificate answers to a name.
import type { X509Certificate } from 'node:crypto';
import { canonicalAddress } from '#base/cidr.ts';
import type { Certificate, CertificateNames } from './rows.ts';

/** Names of type DNS and IP address, canonical; others (e-mail, URI) are nobody's here. */
export function namesOfCertificate(certificate: X509Certificate): CertificateNames {
  const dns = new Set<string>();
  const ip = new Set<string>();
  for (const [, kind, text] of alternativeNamesOf(certificate.subjectAltName ?? '')) {
    if (kind === 'DNS') dns.add(text.toLowerCase().replace(/\.$/, ''));
    else if (kind === 'IP Address') ip.add(canonicalAddress(text) ?? text);
  }
  return { dns: [...dns], ip: [...ip] };
}

/** Node writes `DNS:a, DNS:"b, c"`: what could be misread is a JSON string (CVE-2021-44532). */
function* alternativeNamesOf(text: string): Generator<readonly [string, string, string]> {
  for (const match of text.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g)) {
    const [whole, kind = '', value = ''] = match;
    if (!value.startsWith('"')) yield [whole, kind, value];
    else {
      try {
        yield [whole, kind, String(JSON.parse(value))];
      } catch {
        // A name that cannot be written down is no name of ours.
      }
    }
  }
}

/** RFC 9525 §6.3: a wildcard is the whole leftmost label and stands for exactly one. `name`: canonical, a host name or an address literal. */
export function coverageOf(names: CertificateNames, name: string): 'exact' | 'wildcard' | null {
  if (names.dns.includes(name) || names.ip.includes(name)) return 'exact';
  const dot = name.indexOf('.');
  return dot > 0 && !name.startsWith('*') && canonicalAddress(name) === null && names.dns.includes(`*${name.slice(dot)}`) ? 'wildcard' : null;
}

/**
 * The certificate that answers to a server name: enabled, ready, and naming it. Among several the exact name comes before the wildcard, then one that
 * is valid now, then the one that is valid longest, then the older row. None: the private CA answers.
 */
export function certificateFor(certificates: Iterable<Certificate>, name: string, now: number): Certificate | null {
  let best: Certificate | null = null;
  let bestRank: readonly number[] = [];
  for (const each of certificates) {
    if (!each.enabled || each.state !== 'ready' || each.notAfter === null) continue;
    const coverage = coverageOf(each.names, name);
    if (coverage === null) continue;
    const isValid = now >= (each.notBefore ?? 0) && now < each.notAfter;
    const rank = [coverage === 'exact' ? 1 : 0, isValid ? 1 : 0, each.notAfter, -each.createdAt];
    if (best === null || isAbove(rank, bestRank)) [best, bestRank] = [each, rank];
  }
  return best;
}

function isAbove(a: readonly number[], b: readonly number[]): boolean {
  for (const [index, value] of a.entries()) if (value !== b[index]) return value > b[index]!;
  return false;
}

/** Why nobody should be given a certificate for this name; null when it is (the gateway's own leaves are not asked for here) a host name, `*.` above one of two labels or more, or an address. */
export function nameRefusal(name: string): string | null {
  if (canonicalAddress(name) !== null) return null;
  const isWild = name.startsWith('*.');
  const labels = (isWild ? name.slice(2) : name).split('.');
  if (name.length > 253 || labels.some((label) => !/^(?!-)[a-z0-9_-]{1,63}(?<!-)$/.test(label))) return `"${name.slice(0, 253)}" is not a host name (letters, digits, hyphens and dots; other alphabets as xn--…)`;
  if (/^\d+$/.test(labels.at(-1)!)) return `"${name}" is neither a host name nor an address`;
  // By one of these agents know the gateway's own leaf (`gatewayMark`); and everybody's own machine is nobody's name.
  if (labels.at(-1) === 'localhost') return `"${name}" means every machine itself, and no certificate is given for it`;
  // Nobody takes it, and whoever did would take it for a whole top level domain.
  if (isWild && labels.length < 2) return `"${name}" stands for too much: a wildcard needs a domain of at least two labels`;
  return null;
}
