// Which TLS a name gets: level, lane for old clients, client certificates. One lookup for the name in the hello, in Host and in the protocol
// inside, because two lookups that differ are how mutual TLS is bypassed (GHSA-5r4w-85f3-pw66, GHSA-9cr8-q42q-g8m7).
import { buildNetworkSet, isInNetworks, type NetworkSet } from '#base/networks.ts';
import type { Config, ConfigProblem } from './config.ts';

export type TlsLevel = 'modern' | 'intermediate' | 'legacy';

export interface TlsPolicy {
  readonly name: string;
  /** Equal for policies that ask the same of a client, across snapshots: a connection made under another one is misdirected. */
  readonly key: string;
  /** The part of it that holds for standing connections, too. */
  readonly certificateKey: string;
  readonly level: Exclude<TlsLevel, 'legacy'>;
  /** Whose client certificates are asked for: `private` is the gateway's CA, else PEM; null: nobody is asked. */
  readonly clientCa: string | null;
  readonly certificateRequired: boolean;
  readonly lane: { readonly from: NetworkSet; readonly untilMs: number; readonly until: string } | null;
}

// With the lane: who came in by it for one name must not ask for another that has none.
const keysOf = (level: TlsPolicy['level'], clientCa: string | null, certificateRequired: boolean, lane: unknown) => {
  const certificateKey = JSON.stringify([clientCa, certificateRequired]);
  return { key: JSON.stringify([level, certificateKey, lane]), certificateKey };
};

export const defaultTlsPolicy: TlsPolicy = { name: 'default', ...keysOf('intermediate', null, false, null), level: 'intermediate', clientCa: null, certificateRequired: false, lane: null };

interface Entry {
  readonly listeners: ReadonlySet<string> | null;
  readonly policy: TlsPolicy;
}

export interface TlsPolicies {
  readonly exact: ReadonlyMap<string, readonly Entry[]>;
  readonly wildcards: ReadonlyMap<string, readonly Entry[]>;
  readonly any: readonly Entry[];
  readonly isEmpty: boolean;
}

/** Adds to `problems`; the result is of use only when there are none. */
export function compileTlsPolicies(config: Config, listenerNames: ReadonlySet<string>, problems: ConfigProblem[]): TlsPolicies {
  const exact = new Map<string, Entry[]>();
  const wildcards = new Map<string, Entry[]>();
  const any: Entry[] = [];
  const names = new Set<string>();
  config.tlsPolicies.forEach((given, i) => {
    const path = `tlsPolicies[${i}]`;
    if (names.has(given.name) || given.name === defaultTlsPolicy.name) problems.push({ path: `${path}.name`, message: `"${given.name}" is the name of another policy` });
    names.add(given.name);
    for (const name of given.listeners ?? []) if (!listenerNames.has(name)) problems.push({ path: `${path}.listeners`, message: `there is no listener "${name}"` });
    // The end of that day: whoever writes the 30th means that it still works on the 30th.
    const lane = given.legacyLane ? { from: buildNetworkSet(given.legacyLane.from), until: given.legacyLane.until, untilMs: Date.parse(`${given.legacyLane.until}T00:00:00Z`) + 86_400_000 } : null;
    const clientCa = given.clientCertificates?.ca ?? null;
    const certificateRequired = given.clientCertificates?.required ?? false;
    const policy: TlsPolicy = { name: given.name, ...keysOf(given.level, clientCa, certificateRequired, given.legacyLane ?? null), level: given.level, clientCa, certificateRequired, lane };
    const entry: Entry = { listeners: given.listeners ? new Set(given.listeners) : null, policy };
    const put = (list: Entry[], host: string) => {
      const twin = list.find((other) => (other.listeners === null || entry.listeners === null ? other.listeners === entry.listeners : [...entry.listeners].some((name) => other.listeners!.has(name))));
      if (twin) problems.push({ path, message: `"${given.name}" and "${twin.policy.name}" both say what TLS ${host} gets on the same listener` });
      list.push(entry);
      // One that names its listeners is more specific than one that holds for all.
      list.sort((a, b) => Number(a.listeners === null) - Number(b.listeners === null));
    };
    const listFor = (map: Map<string, Entry[]>, key: string) => map.get(key) ?? map.set(key, []).get(key)!;
    for (const host of given.hosts ?? []) put(host.startsWith('*.') ? listFor(wildcards, host.slice(2)) : listFor(exact, host), host);
    if (!given.hosts) put(any, 'any name');
  });
  return { exact, wildcards, any, isEmpty: config.tlsPolicies.length === 0 };
}

const first = (entries: readonly Entry[] | undefined, listener: string): TlsPolicy | undefined => entries?.find((entry) => entry.listeners === null || entry.listeners.has(listener))?.policy;

/** The most specific name wins, then the one that names the listener. `name` is canonical; null: none was given. */
export function tlsPolicyOf(policies: TlsPolicies, listener: string, name: string | null): TlsPolicy {
  if (policies.isEmpty) return defaultTlsPolicy;
  if (name !== null) {
    const exact = first(policies.exact.get(name), listener);
    if (exact) return exact;
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const wildcard = first(policies.wildcards.get(name.slice(dot + 1)), listener);
      if (wildcard) return wildcard;
    }
  }
  return first(policies.any, listener) ?? defaultTlsPolicy;
}

/**
 * Does `name` ask other things of clients than the policy that a connection was made under? For the very name that it was made for, a level that
 * has changed since counts from the next handshake: nobody's connection breaks for it. Client certificates count at once.
 */
export function isMisdirected(policies: TlsPolicies, listener: string, name: string, made: TlsPolicy, serverName: string | null): boolean {
  if (policies.isEmpty) return false;
  const now = tlsPolicyOf(policies, listener, name);
  if (now.key === made.key) return false;
  return name !== serverName || now.certificateKey !== made.certificateKey;
}

/** What a client can do that says this in its hello (wire/tls-capability.ts). */
export interface TlsCapability {
  readonly tls13: boolean;
  /** Nothing that level intermediate has is among what it offers, and it was not forced down (RFC 7507). */
  readonly needsLegacy: boolean;
}

/**
 * The level a hello is answered with, or why it is not answered. The lane is for listed sources that cannot do better: who can, gets the
 * policy's level wherever he comes from.
 */
export function levelFor(policy: TlsPolicy, from: string, can: TlsCapability, nowMs: number): { readonly level: TlsLevel } | { readonly why: string } {
  const isAble = policy.level === 'modern' ? can.tls13 : !can.needsLegacy;
  if (isAble) return { level: policy.level };
  const what = policy.level === 'modern' ? 'the client cannot do TLS 1.3, which level modern asks for' : 'the client cannot do TLS 1.2 with an ECDHE cipher, which level intermediate asks for';
  const { lane } = policy;
  if (lane === null || !can.needsLegacy) return { why: what };
  if (!isInNetworks(lane.from, from)) return { why: `${what}; its address is not in the legacy lane` };
  if (nowMs >= lane.untilMs) return { why: `${what}; the legacy lane ended on ${lane.until}` };
  return { level: 'legacy' };
}
