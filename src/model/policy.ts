// An agent's local policy: what the device's owner lets the gateway ask for. The gateway cannot widen it.
// Text, one rule a line, `#` begins a comment:
//   reach  tcp|udp HOST|CIDR PORTS      to dial there         reach tcp 192.0.2.0/24 80,443,8000-8100
//   listen tcp|udp ADDRESS PORTS        to accept there       listen udp 192.0.2.1 514
//   read   PATH                         a file or serial port read /var/log/messages
//   run    NAME = /PROGRAM ARGUMENT …   a command by its name run restart = /usr/bin/systemctl restart printer
//   install certificate NAME …          policy-install.ts
//   install KIND KEY                    an artifact signed so install firmware SHA256:…
import { Fault } from '#base/fault.ts';
import { lineToInstall, parseCertificateRule, parseCommand, ruleRefusal } from './policy-install.ts';
import type { CertificateRule } from './policy-install.ts';

export type Transport = 'tcp' | 'udp';

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** A network, or a name that was asked for by exactly this name. */
export type Place = { readonly kind: 'network'; readonly network: Network } | { readonly kind: 'name'; readonly name: string };

export interface Network {
  readonly bits: 32 | 128;
  readonly prefix: number;
  readonly base: bigint;
}

export interface ReachRule {
  readonly transport: Transport;
  readonly place: Place;
  readonly ports: readonly PortRange[];
}

export interface Policy {
  readonly reach: readonly ReachRule[];
  readonly listen: readonly ReachRule[];
  readonly read: readonly string[];
  /** Program (an absolute path) and arguments, by name. */
  readonly run: ReadonlyMap<string, readonly string[]>;
  readonly install: readonly { readonly kind: string; readonly key: string }[];
  /** By the name that the gateway calls them; each runs a command of `run`. */
  readonly certificates: ReadonlyMap<string, CertificateRule>;
  /** The rules as they were written, without comments. */
  readonly lines: readonly string[];
}

export const defaultPolicyText = 'reach tcp 127.0.0.1 80,443,22\nreach tcp ::1 80,443,22\n';
const rulesMax = 1_000;

function parseIpv4(text: string): bigint | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!match) return undefined;
  let value = 0n;
  for (const part of match.slice(1)) {
    if (Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function parseIpv6(text: string): bigint | undefined {
  let plain = text.replace(/%.*$/, '');
  const lastColon = plain.lastIndexOf(':');
  if (lastColon < 0) return undefined;
  if (plain.includes('.')) {
    const tail = parseIpv4(plain.slice(lastColon + 1));
    if (tail === undefined) return undefined;
    plain = `${plain.slice(0, lastColon + 1)}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  }
  const halves = plain.split('::');
  if (halves.length > 2) return undefined;
  const groupsOf = (half: string | undefined) => (half === undefined || half === '' ? [] : half.split(':'));
  const front = groupsOf(halves[0]);
  const back = groupsOf(halves[1]);
  const missing = 8 - front.length - back.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...front, ...Array.from({ length: halves.length === 2 ? missing : 0 }, () => '0'), ...back];
  let value = 0n;
  for (const group of groups) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return value;
}

const mappedPrefix = 0xffffn << 32n;

/** An address as a network of one; IPv4 inside IPv6 (RFC 4291 §2.5.5.2) is the IPv4 address. Undefined: not an address. */
export function parseAddress(text: string): Network | undefined {
  const four = parseIpv4(text);
  if (four !== undefined) return { bits: 32, prefix: 32, base: four };
  const six = parseIpv6(text);
  if (six === undefined) return undefined;
  if (six >> 32n === mappedPrefix >> 32n) return { bits: 32, prefix: 32, base: six & 0xffff_ffffn };
  return { bits: 128, prefix: 128, base: six };
}

function parseNetwork(text: string): Network | undefined {
  const [address = '', prefixText, ...rest] = text.split('/');
  const one = parseAddress(address);
  if (one === undefined || rest.length > 0) return undefined;
  if (prefixText === undefined) return one;
  if (!/^\d{1,3}$/.test(prefixText) || Number(prefixText) > one.bits) return undefined;
  const host = BigInt(one.bits - Number(prefixText));
  return { bits: one.bits, prefix: Number(prefixText), base: (one.base >> host) << host };
}

function contains(network: Network, address: Network): boolean {
  const host = BigInt(network.bits - network.prefix);
  return network.bits === address.bits && network.base >> host === address.base >> host;
}

/** This host itself, links, groups and nowhere: where a name must never lead. */
const special = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/127', 'fe80::/10', 'ff00::/8'].map((text) => parseNetwork(text)!);

function parsePorts(text: string): readonly PortRange[] | undefined {
  if (text === '*') return [{ first: 1, last: 65_535 }];
  const ranges: PortRange[] = [];
  for (const part of text.split(',')) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (!match || first < 1 || last > 65_535 || last < first) return undefined;
    ranges.push({ first, last });
  }
  return ranges;
}

function parsePlaceRule(words: readonly string[], namesAllowed: boolean): ReachRule | string {
  const [transport, place = '', portsText = '', ...rest] = words;
  if (transport !== 'tcp' && transport !== 'udp') return 'says neither tcp nor udp';
  if (rest.length > 0) return 'has too many words; ports are written without spaces';
  const ports = parsePorts(portsText);
  if (ports === undefined) return `"${portsText}" are not ports; write 80,443 or 8000-8100 or *`;
  const network = parseNetwork(place);
  if (network !== undefined) return { transport, place: { kind: 'network', network }, ports };
  if (namesAllowed && /^(?=.*[a-z])[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(place) && !/^[0-9.]+$/.test(place)) {
    return { transport, place: { kind: 'name', name: place.toLowerCase() }, ports };
  }
  return `"${place}" is not an address, a network${namesAllowed ? ' or a name' : ''}`;
}

/** Fault `bad-input` that names the line. */
export function parsePolicy(text: string): Policy {
  const reach: ReachRule[] = [];
  const listen: ReachRule[] = [];
  const read: string[] = [];
  const run = new Map<string, readonly string[]>();
  const install: { kind: string; key: string }[] = [];
  const certificateRules: { rule: CertificateRule; bad: (why: string) => Fault }[] = [];
  const lines: string[] = [];
  for (const [i, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.replace(/(^|\s)#.*$/, '').trim();
    if (line === '') continue;
    const bad = (why: string) => new Fault('bad-input', `line ${i + 1} of the policy ("${line.slice(0, 80)}") ${why}`);
    if (lines.length >= rulesMax) throw bad(`is one too many; ${rulesMax} are allowed`);
    const [list, ...words] = line.split(/\s+/);
    if (list === 'reach' || list === 'listen') {
      const rule = parsePlaceRule(words, list === 'reach');
      if (typeof rule === 'string') throw bad(rule);
      (list === 'reach' ? reach : listen).push(rule);
    } else if (list === 'read') {
      if (words.length !== 1 || !words[0]!.startsWith('/')) throw bad('names no absolute path');
      read.push(words[0]!);
    } else if (list === 'run') {
      const parsed = parseCommand(words);
      if (typeof parsed === 'string') throw bad(parsed);
      if (run.has(parsed.name)) throw bad(`names the command "${parsed.name}" a second time`);
      run.set(parsed.name, parsed.command);
    } else if (list === 'install' && words[0] === 'certificate') {
      const rule = parseCertificateRule(words.slice(1));
      if (typeof rule === 'string') throw bad(rule);
      certificateRules.push({ rule, bad });
    } else if (list === 'install') {
      const [kind, key, ...rest] = words;
      if (kind === undefined || key === undefined || rest.length > 0) throw bad('needs a kind and a key');
      install.push({ kind, key });
    } else throw bad('begins with none of reach, listen, read, run, install');
    lines.push(line);
  }
  // Last, because the command may stand below the line that names it.
  const certificates = new Map<string, CertificateRule>();
  for (const { rule, bad } of certificateRules) {
    const refusal = ruleRefusal(rule, certificates.values(), run);
    if (refusal !== null) throw bad(refusal);
    certificates.set(rule.name, rule);
  }
  return { reach, listen, read, run, install, certificates, lines };
}

/** What the gateway may put in place under that name, and the command to run then. Fault `forbidden`, with the line to add. */
export function ruleToInstall(policy: Policy, name: string): { readonly rule: CertificateRule; readonly command: readonly string[] } {
  const rule = policy.certificates.get(name);
  const command = rule && policy.run.get(rule.run);
  if (rule && command) return { rule, command };
  throw new Fault('forbidden', `the agent's local policy does not allow to install a certificate "${name}"`, { remedy: `to allow it, add this line to the agent's policy file: ${lineToInstall(name)}` });
}

/**
 * May the agent dial `address`, to which `asked` (a name or the address itself) was resolved? Judged on the address, so
 * that whoever answers for a name cannot widen the policy; a rule by name never leads to this host or a special network.
 */
export function mayReach(policy: Policy, transport: Transport, asked: string, address: string, port: number): boolean {
  const one = parseAddress(address);
  if (one === undefined) return false;
  const name = asked.toLowerCase().replace(/\.$/, '');
  return policy.reach.some(({ transport: over, place, ports }) => {
    if (over !== transport || !ports.some(({ first, last }) => port >= first && port <= last)) return false;
    if (place.kind === 'network') return contains(place.network, one);
    return place.name === name && !special.some((network) => contains(network, one));
  });
}

/** May the agent accept connections there? `0.0.0.0` is an address like any other: a line for a network does not allow to listen in all of them. */
export function mayListen(policy: Policy, transport: Transport, address: string, port: number): boolean {
  const one = parseAddress(address);
  if (one === undefined) return false;
  return policy.listen.some(({ transport: over, place, ports }) => over === transport && ports.some(({ first, last }) => port >= first && port <= last) && place.kind === 'network' && contains(place.network, one));
}

/** The line that would allow it. */
export function lineToListen(transport: Transport, address: string, port: number): string {
  return `listen ${transport} ${address} ${port}`;
}

/** The line that would allow it, for the refusal's text. */
export function lineToReach(transport: Transport, address: string, port: number): string {
  return `reach ${transport} ${address} ${port}`;
}
