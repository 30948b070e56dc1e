// IP addresses and networks as text means them: parsed once, compared by value. IPv4-mapped IPv6 (::ffff:192.0.2.1) is the IPv4
// address everywhere, because one client may show up as either (RFC 4291 §2.5.5.2).

export interface Address {
  readonly family: 4 | 6;
  /** Network order. */
  readonly value: bigint;
}

export interface Network {
  readonly family: 4 | 6;
  /** The first address; bits behind the prefix are 0. */
  readonly value: bigint;
  readonly prefix: number;
}

const bitsOf = (family: 4 | 6): number => (family === 4 ? 32 : 128);
const mappedPrefix = 0xffffn << 32n;

/** Four decimal parts without leading zeros (which some read as octal); null otherwise. */
function parseIpv4(text: string): bigint | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

/** RFC 4291 §2.2, without a zone. */
function parseIpv6(text: string): bigint | null {
  let groups = text;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted) {
    const tail = parseIpv4(dotted[2]!);
    if (tail === null) return null;
    groups = `${dotted[1]}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  }
  const halves = groups.split('::');
  if (halves.length > 2) return null;
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head.length - tail.length;
  // `::` stands for at least one group.
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  let value = 0n;
  for (const group of [...head, ...Array.from({ length: halves.length === 2 ? missing : 0 }, () => '0'), ...tail]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return null;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return value;
}

/** Null when it is not an address literal. Brackets, zones and ports are not part of one. */
export function parseAddress(text: string): Address | null {
  if (text.length > 45) return null;
  if (!text.includes(':')) {
    const value = parseIpv4(text);
    return value === null ? null : { family: 4, value };
  }
  const value = parseIpv6(text);
  if (value === null) return null;
  return value >> 32n === mappedPrefix >> 32n ? { family: 4, value: value & 0xffffffffn } : { family: 6, value };
}

/** `192.0.2.0/24`, or one address. Null when it is neither, or when bits behind the prefix are set: a typing error, most likely. */
export function parseNetwork(text: string): Network | null {
  const slash = text.indexOf('/');
  const literal = slash < 0 ? text : text.slice(0, slash);
  const address = parseAddress(literal);
  if (!address) return null;
  const bits = bitsOf(address.family);
  if (slash < 0) return { ...address, prefix: bits };
  const prefixText = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(prefixText)) return null;
  // A mapped network is written with an IPv6 prefix: ::ffff:192.0.2.0/120.
  const prefix = Number(prefixText) - (address.family === 4 && literal.includes(':') ? 96 : 0);
  if (prefix < 0 || prefix > bits) return null;
  const behind = BigInt(bits - prefix);
  return (address.value >> behind) << behind === address.value ? { ...address, prefix } : null;
}

export function networkContains(network: Network, address: Address): boolean {
  if (network.family !== address.family) return false;
  const behind = BigInt(bitsOf(network.family) - network.prefix);
  return network.value >> behind === address.value >> behind;
}

/** RFC 5952: lower case, the longest run of zero groups as `::`. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  let run = { start: 0, length: 0 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (groups[start + length] === '0') length++;
    if (length > run.length) run = { start, length };
  }
  if (run.length < 2) return groups.join(':');
  return `${groups.slice(0, run.start).join(':')}::${groups.slice(run.start + run.length).join(':')}`;
}

export function formatNetwork(network: Network): string {
  return `${formatAddress(network)}/${network.prefix}`;
}

/** The one spelling of an address, mapped ones folded; null when it is not an address literal. */
export function canonicalAddress(text: string): string | null {
  const address = parseAddress(text);
  return address && formatAddress(address);
}

const networks = (...list: string[]): readonly Network[] => list.map((text) => parseNetwork(text)!);
const loopbackNetworks = networks('127.0.0.0/8', '::1/128');
/** RFC 1918, 6598 (carriers' NAT), 3927 and 4193, 4291 (link-local). */
const privateNetworks = networks('10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16', 'fc00::/7', 'fe80::/10');

export function isLoopback(text: string): boolean {
  // Asked for each connection, and most come from elsewhere.
  if (!text.includes(':') && !text.startsWith('127.')) return false;
  const address = parseAddress(text);
  return address !== null && loopbackNetworks.some((network) => networkContains(network, address));
}

/** Not reachable from the internet: private, carrier's, link-local or loopback. */
export function isPrivate(text: string): boolean {
  const address = parseAddress(text);
  return address !== null && [...loopbackNetworks, ...privateNetworks].some((network) => networkContains(network, address));
}

/** All of it. */
export function isPrivateNetwork(network: Network): boolean {
  return [...loopbackNetworks, ...privateNetworks].some((each) => each.prefix <= network.prefix && networkContains(each, network));
}

/** What counts as one place: an IPv4 address, or an IPv6 /64, which one customer of a provider holds whole. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1]!;
  const [head = '', tail] = address.split('%')[0]!.split('::');
  const before = head ? head.split(':') : [];
  const after = tail ? tail.split(':') : [];
  const groups = tail === undefined ? before : [...before, ...Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0'), ...after];
  return `${groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}
