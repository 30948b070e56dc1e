// What an order to an ACME authority is made of: its settings read and judged, and when a certificate is due.
import { canonicalAddress } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import { tsigAlgorithms, type TsigAlgorithm } from '#wire/dns-tsig.ts';
import { encodeDnsName } from '#wire/dns.ts';
import { nameRefusal } from './certificate-names.ts';
import type { AcmeSettings, Certificate, CertificateNames } from './rows.ts';

export const challengeKinds = ['http-01', 'tls-alpn-01', 'dns-01'] as const;
export type ChallengeKind = (typeof challengeKinds)[number];

/** Authorities that people can name without looking up their address. */
export const knownDirectories: Readonly<Record<string, string>> = {
  'lets-encrypt': 'https://acme-v02.api.letsencrypt.org/directory',
  'lets-encrypt-staging': 'https://acme-staging-v02.api.letsencrypt.org/directory',
  zerossl: 'https://acme.zerossl.com/v2/DV90',
  google: 'https://dv.acme-v02.api.pki.goog/directory',
};

interface DnsWayCommon {
  /** Whom CNAMEs and name servers are asked of: `ADDRESS[:PORT]`. Null: this machine's own. */
  readonly resolver: string | null;
  /** Instead of the zone's name servers: who must show the record before the authority looks. `ADDRESS[:PORT]` each. */
  readonly check: readonly string[];
}

/** Updates by RFC 2136, signed with a TSIG key whose secret is in the data folder. */
export interface UpdateWay extends DnsWayCommon {
  readonly way: 'rfc2136';
  /** `ADDRESS[:PORT]` or a host name; null: the zone's primary server. */
  readonly server: string | null;
  /** Null: found by asking. */
  readonly zone: string | null;
  readonly keyName: string;
  readonly transport: 'udp' | 'tcp';
}

/** A program of the operator in the folder `hooks` of the data folder: whoever may only use the API cannot put one there. */
export interface CommandWay extends DnsWayCommon {
  readonly way: 'command';
  readonly command: string;
}

export type DnsWay = UpdateWay | CommandWay;

const wayFields: Readonly<Record<DnsWay['way'], readonly string[]>> = {
  rfc2136: ['way', 'server', 'zone', 'keyName', 'transport', 'resolver', 'check'],
  command: ['way', 'command', 'resolver', 'check'],
};

const refuse = (message: string, remedy?: string): never => {
  throw new Fault('bad-input', message, remedy === undefined ? {} : { remedy });
};

/** Fault `bad-input` says which field is wrong. */
export function parseDnsWay(settings: AcmeSettings['dns']): DnsWay {
  if (!settings) return refuse('dns-01 needs to know how records are made: "dns" is missing', 'Say {"way": "rfc2136", "server": …, "keyName": …} or {"way": "command", "command": …}.');
  const way = settings['way'];
  if (way !== 'rfc2136' && way !== 'command') return refuse(`dns: "way" is "rfc2136" or "command", not "${String(way).slice(0, 50)}"`);
  const unknown = Object.keys(settings).find((field) => !wayFields[way].includes(field));
  if (unknown !== undefined) refuse(`dns: "${unknown.slice(0, 50)}" means nothing for ${way}`, /secret/i.test(unknown) ? 'Secrets of TSIG keys are kept apart: set the key first and name it here.' : undefined);
  const text = (field: string): string | null => {
    const value = settings[field] ?? null;
    return value === null || value === '' ? null : typeof value === 'string' && value.length <= 300 ? value.trim() : refuse(`dns: "${field}" is not a text of up to 300 characters`);
  };
  const common = { resolver: text('resolver'), check: (text('check') ?? '').split(/[\s,]+/).filter((each) => each !== '') };
  if (way === 'command') {
    const command = text('command') ?? '';
    if (!/^[a-z0-9][a-z0-9._-]{0,63}$/i.test(command)) refuse('dns: "command" is the name of a file in the folder "hooks" of the data folder, without a path');
    return { way, command, ...common };
  }
  const transport = text('transport') ?? 'udp';
  if (transport !== 'udp' && transport !== 'tcp') return refuse('dns: "transport" is udp or tcp');
  const zone = text('zone')?.toLowerCase().replace(/\.$/, '') ?? null;
  if (zone !== null && !encodeDnsName(zone)) refuse(`dns: "${zone}" is no name of a zone`);
  return { way, server: text('server'), zone, keyName: canonicalKeyName(text('keyName') ?? ''), transport, ...common };
}

/** Fault `bad-input`: it could not be the name of a TSIG key. */
export function canonicalKeyName(name: string): string {
  const canonical = name.toLowerCase().replace(/\.$/, '');
  return canonical !== '' && encodeDnsName(canonical) ? canonical : refuse(`"${name.slice(0, 100)}" is no name of a TSIG key`, 'It is the name in the key clause of the DNS server.');
}

export interface DnsKey {
  readonly name: string;
  readonly algorithm: TsigAlgorithm;
  /** Base64, as key files of DNS servers have it. */
  readonly secret: string;
}

/** Fault `bad-input`; the secret is never in it. */
export function parseDnsKey(given: { readonly name: string; readonly algorithm: string; readonly secret: string }): DnsKey {
  const name = canonicalKeyName(given.name);
  const algorithm = tsigAlgorithms.find((each) => each === given.algorithm.toLowerCase());
  if (!algorithm) return refuse(`a TSIG key's algorithm is one of ${tsigAlgorithms.join(', ')}`);
  const secret = given.secret.trim();
  if (!/^[A-Za-z0-9+/]{4,700}={0,2}$/.test(secret) || Buffer.from(secret, 'base64').length < 16) refuse('the secret of a TSIG key is base64 of at least 16 bytes', 'Make one with: tsig-keygen -a hmac-sha256 NAME');
  return { name, algorithm, secret };
}

/** An address, or a name of `knownDirectories`. Fault `bad-input`: not an https address. */
export function parseDirectory(text: string): string {
  const known = knownDirectories[text];
  if (known) return known;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return refuse(`"${text.slice(0, 200)}" is not the address of an ACME directory`, `Give an https address, or one of ${Object.keys(knownDirectories).join(', ')}.`);
  }
  if (url.protocol !== 'https:' || url.username !== '' || url.password !== '' || text.length > 500) refuse('the address of an ACME directory begins with https:// and holds no password');
  return url.href;
}

/** The names as the authority is asked for them. Fault `bad-input`: none, not a name, or not to be had in this way. */
export function checkOrder({ names, challenge, dns }: Pick<AcmeSettings, 'names' | 'challenge' | 'dns'>): void {
  const all = [...names.dns, ...names.ip];
  if (all.length === 0) refuse('an order needs at least one name');
  const refusal = all.map(nameRefusal).find((each) => each !== null);
  if (refusal) refuse(refusal);
  const wild = names.dns.find((name) => name.startsWith('*.'));
  if (wild !== undefined && challenge !== 'dns-01') {
    refuse(`${wild} can only be had by dns-01: ${challenge} proves that one host answers, and a wildcard stands for all of them`, 'Choose dns-01, or order each name by itself.');
  }
  if (names.ip.length > 0 && challenge === 'dns-01') refuse(`${names.ip[0]} is an address, and dns-01 is for names`, 'Choose http-01 or tls-alpn-01.');
  const single = names.dns.find((name) => !name.includes('.'));
  if (single !== undefined) refuse(`no public authority gives a certificate for "${single}", a name without a dot`, "The gateway's private CA does.");
  if (challenge === 'dns-01') parseDnsWay(dns);
}

/** `Printer.Example.TEST` and `192.0.2.1` apart, canonical, each once. */
export function namesOf(given: readonly string[]): CertificateNames {
  const dns = new Set<string>();
  const ip = new Set<string>();
  for (const text of given.map((each) => each.trim().toLowerCase().replace(/\.$/, ''))) {
    const address = canonicalAddress(text);
    if (address === null) dns.add(text);
    else ip.add(address);
  }
  return { dns: [...dns], ip: [...ip] };
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** Shortly before two thirds of its life, at which the alarms begin; the sixtieth before that spreads what was ordered together. The same at each call for the same certificate. */
export function renewalAt({ notBefore, notAfter, certificateFingerprint }: Pick<Certificate, 'notBefore' | 'notAfter' | 'certificateFingerprint'>): number {
  if (notBefore === null || notAfter === null) return 0;
  const life = notAfter - notBefore;
  const spread = Number.parseInt((certificateFingerprint ?? '0').slice(0, 6), 16) / 0xffffff;
  return notBefore + life * (2 / 3) - (life / 60) * (1 + spread);
}

/** Another order asks for what the certificate in use does not have. Names that an authority adds of its own are no difference. */
export function differsFromOrder({ state, names, keyKind, acme }: Certificate): boolean {
  if (state !== 'ready' || !acme) return false;
  return keyKind !== acme.keyKind || acme.names.dns.some((name) => !names.dns.includes(name)) || acme.names.ip.some((address) => !names.ip.includes(address));
}

/** How long after the n-th failure in a row (from 1) the next try waits: an hour, doubling up to a day, a tenth more or less by `fraction` (0–1). */
export const backOffMs = (failures: number, fraction: number): number => Math.min(dayMs, hourMs * 2 ** Math.min(10, Math.max(0, failures - 1))) * (0.9 + 0.2 * fraction);

/** When the next try is due. `tries`: failures in a row that this process has seen, and until when the authority asked to wait. */
export function dueAt(row: Certificate, tries: { readonly failures: number; readonly notBefore: number; readonly fraction: number } | undefined): number {
  // What failed was wanted, by its date or by somebody.
  if (row.lastError !== null && row.lastTriedAt !== null) return Math.max(row.lastTriedAt + backOffMs(tries?.failures ?? 1, tries?.fraction ?? 0.5), tries?.notBefore ?? 0);
  return row.state === 'waiting' || differsFromOrder(row) ? row.createdAt : renewalAt(row);
}
