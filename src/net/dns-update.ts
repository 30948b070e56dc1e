// TXT records in somebody's zone: finding the zone, changing it by signed updates (RFC 2136, RFC 8945), and waiting until everybody who is asked would see it.
import { canonicalAddress } from '#base/cidr.ts';
import { sleep, type Clock } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import { dnsTypes, encodeDnsUpdate, rcodeName, targetOf, textOf, type TxtChange } from '#wire/dns.ts';
import { signDnsMessage, tsigOf, tsigRefusal, type TsigKey } from '#wire/dns-tsig.ts';
import { askServer, buildResolver, exchangeDns, nameOfServer, parseDnsServer, systemResolvers, type DnsServer, type Resolver, type Transport } from './dns-client.ts';

export interface DnsWork {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly resolver: Resolver;
}

/** `resolver`: `ADDRESS[:PORT]`; null: this machine's. Fault `bad-input`. */
export function openDnsWork(options: { readonly clock: Clock; readonly random: Random; readonly signal: AbortSignal; readonly resolver: string | null }): DnsWork {
  const named = options.resolver === null ? null : serverOf(options.resolver);
  return { ...options, resolver: buildResolver({ ...options, servers: () => (named ? [named] : systemResolvers()) }) };
}

function serverOf(text: string): DnsServer {
  const server = parseDnsServer(text);
  if (!server) throw new Fault('bad-input', `"${text}" is not an address of a DNS server`, { remedy: 'Write 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53.' });
  return server;
}

/** `ADDRESS[:PORT]` or a host name with or without a port. */
export async function findServer(text: string, { resolver }: DnsWork): Promise<DnsServer> {
  const literal = parseDnsServer(text);
  if (literal) return literal;
  const [, name = '', port = '53'] = /^([a-z0-9_.-]+?)(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const address = name === '' ? undefined : (await resolver.addressesOf(name))[0];
  if (address === undefined) throw new Fault('bad-input', `"${text}" is neither an address nor a name that has one`);
  return { address, port: Number(port) };
}

export interface Place {
  /** Where the record belongs, at the end of all CNAMEs. */
  readonly name: string;
  readonly zone: string;
  readonly primary: string;
}

/** Where the TXT record for a name belongs: CNAMEs followed, then the zone by its SOA (RFC 2136 §4.3 leaves finding it to us). */
export async function findPlace(asked: string, zone: string | null, work: DnsWork, from: DnsServer | null): Promise<Place> {
  const name = await work.resolver.follow(asked).catch((thrown: unknown) => {
    // A name that only the zone's own server knows is looked for there.
    if (!from || !(thrown instanceof Fault) || thrown.code === 'bad-input') throw thrown;
    return asked;
  });
  if (zone !== null) {
    if (name !== zone && !name.endsWith(`.${zone}`)) throw new Fault('bad-input', `${name} is not in the zone ${zone}`, { remedy: name === asked ? 'Correct "zone", or leave it out.' : `${asked} is a CNAME to ${name}: "zone" has to be the one of that name.` });
    if (from) return { name, zone, primary: zone };
    const { message, bytes } = await work.resolver.ask({ name: zone, type: dnsTypes.SOA });
    const soa = message.answers.find((record) => record.type === dnsTypes.SOA);
    return { name, zone, primary: (soa && targetOf(bytes, soa)) ?? zone };
  }
  // From the name itself upwards: some servers answer for a name that does not exist without saying in which zone.
  for (let part = name; part.includes('.'); part = part.slice(part.indexOf('.') + 1)) {
    const { message, bytes } = from ? await askServer(from, { name: part, type: dnsTypes.SOA }, { ...work, recursive: false }) : await work.resolver.ask({ name: part, type: dnsTypes.SOA });
    if (from && message.rcode !== 0 && message.rcode !== 3) throw new Fault('protocol', `the DNS server ${nameOfServer(from)} answers ${rcodeName(message.rcode)} for ${part}`, { remedy: 'Is it responsible for this zone, and does it answer this machine? Otherwise say "zone".' });
    const soa = [...message.answers, ...message.authority].find((record) => record.type === dnsTypes.SOA && (part === record.name || part.endsWith(`.${record.name}`)));
    if (soa && soa.name !== '') return { name, zone: soa.name, primary: targetOf(bytes, soa) ?? soa.name };
  }
  throw new Fault('not-found', `no zone was found in which ${name} lies`, { remedy: 'Say "zone" in the DNS settings.' });
}

export interface Update {
  readonly server: DnsServer;
  readonly zone: string;
  readonly change: TxtChange;
  readonly key: TsigKey;
  readonly transport: Transport;
}

const remedies: Readonly<Record<number, string>> = {
  1: 'The server does not understand the update; is it the right one?',
  4: 'The server does not take updates.',
  5: 'The server does not let this key change this name: look at update-policy or allow-update of the zone.',
  9: 'The server is not responsible for the zone, or does not know the key.',
  10: 'The name is not in that zone.',
};

/** Signed, and the answer's signature checked. Faults: `forbidden` (refused, or not signed by whom we know), and those of asking. */
export async function sendUpdate({ server, zone, change, key, transport }: Update, { clock, random, signal }: Pick<DnsWork, 'clock' | 'random' | 'signal'>): Promise<void> {
  const update = encodeDnsUpdate(random(2).readUInt16BE(0), zone, [change]);
  const signed = update && signDnsMessage(update, key, clock.nowMs());
  if (!signed) throw new Fault('bad-input', `${change.name} does not fit into DNS`);
  const { message, bytes } = await exchangeDns(server, signed.message, transport, signal);
  const where = `the DNS server ${nameOfServer(server)}`;
  const refusal = tsigRefusal(bytes, key, signed.mac, clock.nowMs());
  if (refusal !== null && (message.rcode === 0 || tsigOf(bytes) !== null)) throw new Fault('forbidden', `${where} did not take the update of ${zone}: ${refusal}`, { remedy: 'Compare name, algorithm and secret of the TSIG key with those of the server, and both clocks.' });
  // Unsigned, a refusal may be anybody's, but it is nothing to be misled by: the record is not there in any case.
  if (message.rcode !== 0) throw new Fault('forbidden', `${where} refused to change ${change.name} in ${zone}: ${rcodeName(message.rcode)}`, { remedy: remedies[message.rcode] ?? 'Its own log says why.' });
}

const lookEveryMs = [500, 1_000, 2_000, 4_000, 5_000];

/** The name servers of a zone, each with one address of ours to reach it. */
async function nameServersOf(zone: string, { resolver }: DnsWork): Promise<DnsServer[]> {
  const { message, bytes } = await resolver.ask({ name: zone, type: dnsTypes.NS });
  const names = message.answers.flatMap((record) => (record.type === dnsTypes.NS ? (targetOf(bytes, record) ?? []) : []));
  const found = await Promise.all(names.slice(0, limits.dnsServersMax).map((name) => resolver.addressesOf(name).catch(() => [])));
  return found.flat().flatMap((address) => (canonicalAddress(address) === null ? [] : [{ address, port: 53 }])).slice(0, limits.dnsServersMax);
}

/**
 * Resolves when every server that answers shows the text; `check` names them, else they are the zone's name servers. Servers that cannot be reached are left out,
 * as the authority will leave them out, but one has to answer. Fault `timeout` says who does not show it.
 */
export async function waitUntilShown(order: { readonly name: string; readonly zone: string; readonly text: string; readonly check: readonly string[]; readonly also: readonly DnsServer[] }, work: DnsWork): Promise<void> {
  const { clock, signal } = work;
  const endMs = clock.monoMs() + limits.acmeDnsShownTimeoutMs;
  const listed = order.check.length > 0 ? order.check.map(serverOf) : [...(await nameServersOf(order.zone, work).catch(() => [])), ...order.also];
  const servers = [...new Map(listed.map((each) => [nameOfServer(each), each])).values()];
  if (servers.length === 0) throw new Fault('not-found', `the name servers of ${order.zone} are not known here`, { remedy: 'Name them as "check" in the DNS settings.' });
  for (let round = 0; ; round++) {
    const seen = await Promise.all(servers.map((server) => look(server, order.name, order.text, work)));
    const missing = servers.filter((_, i) => seen[i] === 'missing');
    if (missing.length === 0 && seen.includes('shown')) return;
    if (signal.aborted) throw new Fault('closed', 'it was called off');
    if (clock.monoMs() >= endMs) {
      const who = missing.length > 0 ? `${missing.map(nameOfServer).join(', ')} did not show the record` : `none of ${servers.map(nameOfServer).join(', ')} answered`;
      throw new Fault('timeout', `${who} ${order.name} within ${limits.acmeDnsShownTimeoutMs / 60_000} minutes`, { remedy: 'Do secondaries get the change at once (NOTIFY)? If they are not asked by anybody outside, name those that are as "check".' });
    }
    await sleep(clock, lookEveryMs[Math.min(round, lookEveryMs.length - 1)]!, signal);
  }
}

async function look(server: DnsServer, name: string, text: string, work: DnsWork): Promise<'shown' | 'missing' | 'silent'> {
  try {
    const { message } = await askServer(server, { name, type: dnsTypes.TXT }, { ...work, recursive: false });
    return message.answers.some((record) => record.type === dnsTypes.TXT && textOf(record.data) === text) ? 'shown' : 'missing';
  } catch (thrown) {
    if (work.signal.aborted) throw new Fault('closed', `it was called off: ${reasonOf(thrown)}`);
    return 'silent';
  }
}
