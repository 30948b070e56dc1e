// What a person asks explain about: an address whose scheme names the protocol, and how TLS is come by.
import { canonicalAddress } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import { hostNameOf } from '#wire/http1.ts';
import type { Protocol } from './config.ts';
import type { PacketFacts } from './decide-connection.ts';

interface Scheme {
  readonly protocol: Protocol;
  /** `start`: by the protocol's own StartTLS. */
  readonly tls: 'none' | 'at-once' | 'start';
  /** Null: there is no usual one. */
  readonly port: number | null;
}

const schemes: Readonly<Record<string, Scheme>> = {
  http: { protocol: 'http', tls: 'none', port: 80 },
  https: { protocol: 'http', tls: 'at-once', port: 443 },
  tls: { protocol: 'tls', tls: 'at-once', port: 443 },
  ldap: { protocol: 'ldap', tls: 'none', port: 389 },
  ldaps: { protocol: 'ldap', tls: 'at-once', port: 636 },
  'ldap+starttls': { protocol: 'ldap', tls: 'start', port: 389 },
  sip: { protocol: 'sip', tls: 'none', port: 5060 },
  sips: { protocol: 'sip', tls: 'at-once', port: 5061 },
  h323: { protocol: 'h323', tls: 'none', port: 1720 },
  h323s: { protocol: 'h323', tls: 'at-once', port: 1300 },
  ssh: { protocol: 'ssh', tls: 'none', port: 22 },
  'ssh+tls': { protocol: 'ssh', tls: 'at-once', port: null },
  rdp: { protocol: 'rdp', tls: 'none', port: 3389 },
  'rdp+tls': { protocol: 'rdp', tls: 'at-once', port: null },
  tcp: { protocol: 'tcp', tls: 'none', port: null },
  'tcp+tls': { protocol: 'tcp', tls: 'at-once', port: null },
};

export const explainSchemes: readonly string[] = Object.keys(schemes);

export interface Way extends Scheme {
  /** As typed, without brackets. */
  readonly host: string;
  /** A name in canonical form; null for an address, which names nobody. */
  readonly name: string | null;
  readonly port: number;
  /** Said, not guessed from the scheme. */
  readonly portGiven: boolean;
  readonly userinfo: string | null;
  /** Host and port as a request would name them, and the target. http only. */
  readonly authority: string;
  readonly target: string;
}

/** Faults: `bad-input`, which says how addresses are given. */
export function parseWay(text: string): Way {
  const full = text.includes('://') ? text : `https://${text}`;
  const wrong = (why: string) => new Fault('bad-input', why, { remedy: `Give it like https://printer1.gw.example.test/path or ldap://pbx.example.test:389; known are ${explainSchemes.join(', ')}` });
  const word = full.slice(0, full.indexOf('://')).toLowerCase();
  const scheme = Object.hasOwn(schemes, word) ? schemes[word] : undefined;
  if (!scheme) throw wrong(`"${word}" is no protocol that is known here`);
  let url: URL;
  try {
    // As https, so that host names and addresses of every scheme are read by the same rules.
    url = new URL(`https${full.slice(word.length)}`);
  } catch {
    throw wrong(`"${text}" is not an address`);
  }
  const given = /^[a-z0-9+]+:\/\/(?:[^/?#]*@)?(?:\[[^\]]*\]|[^:/?#]*):(\d+)/i.exec(full)?.[1];
  const port = given === undefined ? scheme.port : Number(given);
  if (port === null) throw wrong(`${word} has no usual port: say which`);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  let userinfo: string | null = null;
  try {
    userinfo = url.username === '' ? null : decodeURIComponent(url.username);
  } catch {
    throw wrong('the user in the address is not percent-encoded rightly');
  }
  return {
    ...scheme, host, name: canonicalAddress(host) === null ? (hostNameOf(url.hostname) ?? null) : null, port, portGiven: given !== undefined, userinfo,
    authority: given === undefined ? url.hostname : `${url.hostname}:${given}`, target: `${url.pathname}${url.search}`,
  };
}

/** Who the first packet names: `domain\user` and `user@domain` name the domain, too, as LDAP binds and SIP addresses do. */
export function packetOf({ protocol, name }: Pick<Way, 'protocol' | 'name'>, user: string | null): PacketFacts {
  const named = protocol === 'ldap' || protocol === 'sip' || protocol === 'h323';
  if (user === null || protocol === 'ssh' || protocol === 'tcp') return { protocol, host: named ? name : null, users: [], claims: [] };
  const [, before, behind] = /^([^\\@]+)\\(.+)$/.exec(user) ?? [];
  const [, local, domain] = /^(.+)@([^@]+)$/.exec(user) ?? [];
  const host = named ? (hostNameOf(before ?? domain ?? '') ?? name) : null;
  const who = behind ?? local ?? user;
  return { protocol, host, users: [who], claims: protocol === 'rdp' ? [] : [who] };
}
