// What a resolver of this LAN answers (docs/wire/probe.md §3): one question at a time, as a device here would ask it.
import type { Clock } from '#base/clock.ts';
import { canonicalAddress } from '#base/cidr.ts';
import { isFault, reasonOf } from '#base/fault.ts';
import type { Fault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { DnsSeen } from '#model/probe/asking.ts';
import { faultOfProbe, probeFaultOf } from '#model/probe/faults.ts';
import { askServer } from '#net/dns-client.ts';
import { addressOf, dnsTypes, rcodeName } from '#wire/dns.ts';
import type { ProbePace } from './probe-pace.ts';
import { placeOf } from './probe-texts.ts';
import type { Place } from './probe-texts.ts';

export interface DnsBy {
  readonly clock: Clock;
  readonly random: Random;
  readonly pace: Pick<ProbePace, 'take'>;
  readonly signal: AbortSignal;
  /** Before TCP, where the answer does not fit into a datagram. Fault `policy`. */
  mayUseTcp(): void;
}

export interface DnsAsked extends Place {
  readonly name: string;
  readonly type: 'A' | 'AAAA';
}

const addressesMax = 32;

const texts = {
  silent: ['does not answer', 'see whether devices are to use it, and whether a firewall lets DNS (UDP 53) through to it'],
  off: ['is a machine on which no DNS server listens', 'take it out of what DHCP gives to devices, or start its DNS server'],
  unreachable: ['cannot be reached from here', 'see whether the agent\'s machine has a way to it'],
  damaged: ['answers what cannot be understood', 'look whether another program listens there'],
} as const;

function unanswered(code: keyof typeof texts, place: Place): Fault {
  const [what, remedy] = texts[code];
  return faultOfProbe({ code, message: `the resolver ${placeOf(place)} ${what}`, remedy, from: null, tried: [] });
}

/** Names, and names alone: what goes into the question is what was typed, and asks for no more than a device would. */
export const isDnsName = (name: unknown): name is string => typeof name === 'string' && name.length <= 253 && /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?$/.test(name);

/** What the resolver answers, errors of its own included. Faults `silent`, `off`, `damaged`, `policy`, `timeout`. */
export async function askDns(asked: DnsAsked, by: DnsBy): Promise<DnsSeen> {
  const { clock, random, pace, signal } = by;
  const startedMs = clock.monoMs();
  const before = async (transport: 'udp' | 'tcp') => {
    if (transport === 'tcp') by.mayUseTcp();
    await pace.take(signal);
  };
  try {
    const { message } = await askServer(asked, { name: asked.name, type: dnsTypes[asked.type] }, { recursive: true, random, signal, before });
    const answers = message.answers.flatMap((record) => (record.type === dnsTypes[asked.type] ? (canonicalAddress(addressOf(record) ?? '') ?? []) : []));
    return { resolver: asked.address, rcode: rcodeName(message.rcode), answers: [...new Set(answers)].slice(0, addressesMax), ms: Math.round(clock.monoMs() - startedMs) };
  } catch (thrown) {
    if (signal.aborted) throw probeFaultOf(signal.reason)?.code === 'timeout' ? unanswered('silent', asked) : signal.reason;
    if (!isFault(thrown) || thrown.detail['probe'] !== undefined) throw thrown;
    const code = thrown.code === 'timeout' ? 'silent' : /ECONNREFUSED/.test(reasonOf(thrown)) ? 'off' : thrown.code === 'unreachable' ? 'unreachable' : 'damaged';
    throw unanswered(code, asked);
  }
}
