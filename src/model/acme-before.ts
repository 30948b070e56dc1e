// Would an order work? Judgements in plain words over what was seen; pure. Who looks is app/acme-before.ts.
import { isPrivate as isInside } from '#base/cidr.ts';
import type { CaaRecord } from '#wire/dns.ts';
import type { ChallengeKind } from './acme.ts';
import type { Judgement } from './doctor.ts';

const minuteMs = 60_000;

export interface AuthoritySeen {
  readonly authority: string;
  /** Its clock less ours; null: it does not say. */
  readonly aheadMs: number | null;
  readonly error: string | null;
}

export function judgeAuthority({ authority, aheadMs, error }: AuthoritySeen): Judgement {
  if (error !== null) return { status: 'failure', verdict: error, remedy: 'Without it nothing can be ordered or renewed: let this machine connect out to its port 443.' };
  if (aheadMs === null) return { status: 'ok', verdict: `${authority} answers` };
  const minutes = Math.round(Math.abs(aheadMs) / minuteMs);
  const evidence = [`clock of ${authority}: ${minutes === 0 ? 'as ours' : `${minutes} min ${aheadMs > 0 ? 'ahead of' : 'behind'} ours`}`];
  if (minutes >= 60) return { status: 'failure', evidence, verdict: `the clock of this machine is wrong by ${minutes} minutes`, remedy: 'Let it keep time by NTP: a new certificate would not be valid yet, or seem expired.' };
  if (minutes >= 5) return { status: 'warning', evidence, verdict: `the clock of this machine is wrong by ${minutes} minutes: signed DNS updates allow five`, remedy: 'Let it keep time by NTP.' };
  return { status: 'ok', evidence, verdict: `${authority} answers, and the clocks agree` };
}

export interface AddressesSeen {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly error: string | null;
}

/** `isPrivate`: the authority is one of the site's own, which may see names and addresses that are only inside. */
export function judgeAddresses(seen: readonly AddressesSeen[], challenge: ChallengeKind, isPrivate: boolean): Judgement {
  const evidence = seen.map(({ name, addresses, error }) => `${name}: ${error ?? (addresses.join(', ') || 'no address')}`);
  if (challenge === 'dns-01') return { status: 'ok', evidence, verdict: 'for dns-01 the names need no address' };
  for (const { name, addresses, error } of seen) {
    if (error !== null) return { status: 'failure', evidence, verdict: `${name} cannot be looked up: ${error}`, remedy: 'Does this machine reach a DNS server that knows the name?' };
    if (addresses.length === 0) return { status: 'failure', evidence, verdict: `${name} has no address`, remedy: `Add an A (and AAAA) record for ${name} that leads to this gateway, or choose dns-01.` };
    if (!isPrivate && addresses.every(isInside)) return { status: 'failure', evidence, verdict: `${name} leads to addresses that nobody outside gets to`, remedy: 'A public authority looks from outside: give the name a public address there, or choose dns-01.' };
    if (!isPrivate && addresses.some(isInside)) return { status: 'warning', evidence, verdict: `${name} also leads to an address that nobody outside gets to`, remedy: 'Authorities look at each address, IPv6 first: remove what does not answer.' };
  }
  return { status: 'ok', evidence, verdict: seen.length === 1 ? 'the name has an address' : 'all names have addresses' };
}

export interface AnswerSeen {
  readonly name: string;
  readonly address: string;
  /** ours: what an order would show came back · other: something else answered · silent: nobody did. */
  readonly found: 'ours' | 'other' | 'silent';
  readonly detail: string;
}

export function judgeAnswers(seen: readonly AnswerSeen[], challenge: ChallengeKind, port: number): Judgement {
  const evidence = seen.map(({ name, address, found, detail }) => `${name} at ${address}, port ${port}: ${found === 'ours' ? 'our own answer' : detail}`);
  const other = seen.find(({ found }) => found === 'other');
  const silent = seen.find(({ found }) => found === 'silent');
  if (seen.length === 0) return { status: 'skipped', evidence, verdict: 'there is no address to look at' };
  if (other) {
    const remedy = challenge === 'http-01' ? `Something else answers on port ${port} of ${other.address}, or a proxy before this gateway keeps /.well-known/acme-challenge/ to itself.` : `Something else ends TLS on port ${port} of ${other.address}: it has to pass ALPN acme-tls/1 through to this gateway.`;
    return { status: 'failure', evidence, verdict: `not this gateway answers for ${other.name} at ${other.address}`, remedy };
  }
  if (silent) return { status: 'warning', evidence, verdict: `nobody answers for ${silent.name} at ${silent.address}, port ${port}, when asked from here`, remedy: `Let router and firewall lead port ${port} to this gateway. Some routers do not let a machine reach its own public address; then only the order itself can tell.` };
  return { status: 'ok', evidence, verdict: `this gateway itself answers on port ${port}` };
}

export interface CaaSeen {
  readonly name: string;
  /** Of the closest name that has any (RFC 8659 §3); empty: none up to the root. */
  readonly records: readonly CaaRecord[];
  readonly at: string;
  readonly error: string | null;
}

const issuerOf = (value: string): string => value.split(';', 1)[0]!.trim().toLowerCase();

/** `identities`: domains by which the authority is named in CAA records; null: it does not say. */
export function judgeCaa(seen: readonly CaaSeen[], identities: readonly string[] | null): Judgement {
  const evidence = seen.flatMap(({ name, records, at, error }) => (error !== null ? [`${name}: ${error}`] : records.map(({ tag, value }) => `${at}: ${tag} "${value}"`)));
  for (const { name, records, at, error } of seen) {
    if (error !== null) return { status: 'failure', evidence, verdict: `the CAA records of ${name} cannot be looked up: ${error}`, remedy: 'An authority that meets this refuses: repair the name servers of the domain.' };
    const wild = records.filter(({ tag }) => tag === 'issuewild');
    // RFC 8659 §4.3: for a wildcard, issuewild counts alone where there is any.
    const counting = name.startsWith('*.') && wild.length > 0 ? wild : records.filter(({ tag }) => tag === 'issue');
    const unknown = records.find(({ critical, tag }) => critical && tag !== 'issue' && tag !== 'issuewild' && tag !== 'iodef');
    if (unknown) return { status: 'failure', evidence, verdict: `${at} has a critical CAA record "${unknown.tag}" that nobody knows`, remedy: 'Remove it.' };
    if (counting.length === 0 || identities === null) continue;
    if (!counting.some(({ value }) => identities.includes(issuerOf(value)))) return { status: 'failure', evidence, verdict: `the CAA records of ${at} forbid this authority to give a certificate for ${name}`, remedy: `Add: ${at} CAA 0 ${name.startsWith('*.') && wild.length > 0 ? 'issuewild' : 'issue'} "${identities[0] ?? ''}"` };
  }
  if (evidence.length > 0 && identities === null) return { status: 'warning', evidence, verdict: 'there are CAA records, and the authority does not say by which name it is called in them', remedy: 'Compare them with its documentation.' };
  return { status: 'ok', evidence, verdict: evidence.length === 0 ? 'no CAA record forbids anything' : 'the CAA records allow this authority' };
}
