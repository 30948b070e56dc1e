// A site's resolvers, asked by its agents for the names of applications as a device there would ask them; and the gateway's own resolver, for the view from outside.
import { canonicalAddress } from '#base/cidr.ts';
import { reasonOf, isFault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { RecordsSeen, ResolverSeen } from '#model/mis-route-dns.ts';
import type { Asking } from '#model/probe/asking.ts';
import type { Resolver } from '#net/dns-client.ts';
import { addressOf, dnsTypes, rcodeName } from '#wire/dns.ts';

type DnsAsking = Pick<Asking, 'dns' | 'info'>;

export interface AskedAgent {
  readonly name: string;
  readonly asking: DnsAsking;
}

const types = ['A', 'AAAA'] as const;
const timeoutMs = 3_000;

/** What a person reads: the line to add, where it is the local policy. */
const faultText = (thrown: unknown): string => {
  const line = isFault(thrown) ? /reach (?:tcp|udp) \S+ \d+/.exec(`${thrown.message} ${thrown.remedy ?? ''}`)?.[0] : undefined;
  return line === undefined ? reasonOf(thrown) : `not asked: the agent's policy does not allow it (${line})`;
};

/** One resolver, name after name; what could not be asked once is not asked again. */
async function askOne(asking: DnsAsking, resolver: string, names: readonly string[]): Promise<Map<string, Pick<ResolverSeen, 'a' | 'aaaa'>>> {
  const found = new Map<string, Pick<ResolverSeen, 'a' | 'aaaa'>>();
  let fault: { readonly fault: string } | null = null;
  for (const name of names) {
    const seen: RecordsSeen[] = [];
    for (const type of types) {
      if (fault === null) {
        try {
          const { rcode, answers } = await asking.dns({ resolver, name, type, timeoutMs });
          seen.push({ rcode, addresses: answers });
          continue;
        } catch (thrown) {
          fault = { fault: faultText(thrown) };
        }
      }
      seen.push(fault);
    }
    found.set(name, { a: seen[0]!, aaaa: seen[1]! });
  }
  return found;
}

/** By name. Resolvers: the agent's own, the routers of its LAN (most of them are what DHCP gives), and those given. */
export async function askResolvers(agents: readonly AskedAgent[], names: readonly string[], given: readonly string[], limits: Pick<Limits, 'doctorResolversMax'>): Promise<Map<string, ResolverSeen[]>> {
  const byName = new Map<string, ResolverSeen[]>(names.map((name) => [name, []]));
  await Promise.all(
    agents.map(async ({ name: askedBy, asking }) => {
      const { resolvers, gateways } = await asking.info();
      const all = [...given, ...[...resolvers, ...gateways.map(({ address }) => address)].slice(0, limits.doctorResolversMax)];
      const unique = [...new Set(all.flatMap((each) => canonicalAddress(each) ?? []))];
      await Promise.all(
        unique.map(async (resolver) => {
          for (const [name, seen] of await askOne(asking, resolver, names)) byName.get(name)!.push({ resolver, askedBy, ...seen });
        }),
      );
    }),
  );
  for (const list of byName.values()) list.sort((a, b) => (a.resolver < b.resolver ? -1 : 1));
  return byName;
}

export async function askOutside(resolver: Pick<Resolver, 'ask'>, name: string): Promise<Pick<ResolverSeen, 'a' | 'aaaa'>> {
  const [a, aaaa] = await Promise.all(
    types.map(async (type): Promise<RecordsSeen> => {
      try {
        const { message } = await resolver.ask({ name, type: dnsTypes[type] });
        return { rcode: rcodeName(message.rcode), addresses: message.answers.flatMap((record) => (record.type === dnsTypes[type] ? (canonicalAddress(addressOf(record) ?? '') ?? []) : [])) };
      } catch (thrown) {
        return { fault: reasonOf(thrown) };
      }
    }),
  );
  return { a: a!, aaaa: aaaa! };
}
