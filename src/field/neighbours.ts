// What the kernel knows of the network around: neighbours, ways out, name servers. Read from /proc and /etc, where Linux has them; elsewhere nothing is known.
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { canonicalAddress, formatAddress, formatNetwork, parseAddress } from '#base/cidr.ts';
import type { AgentInfo, Neighbour } from '#model/probe/asking.ts';

/** /proc/net/arp (arp(7)): address, type, flags, MAC, mask, device. By address; without those that did not answer (flag 2, ATF_COM, is missing). */
export function parseArp(text: string): Map<string, Neighbour> {
  const found = new Map<string, Neighbour>();
  for (const line of text.split('\n').slice(1)) {
    const [address = '', , flags = '', mac = '', , device = ''] = line.trim().split(/\s+/);
    if ((Number(flags) & 0x2) === 0 || !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac) || /^00(:00){5}$/.test(mac)) continue;
    found.set(address, { mac: mac.toLowerCase(), interface: device });
  }
  return found;
}

/** Default gateways of /proc/net/route: columns in hex, addresses in the order of the machine's memory. */
export function parseRoutes(text: string): AgentInfo['gateways'] {
  return text.split('\n').slice(1).flatMap((line) => {
    const [name = '', destination, gateway = '', flags = ''] = line.trim().split(/\s+/);
    // RTF_GATEWAY
    if (destination !== '00000000' || (Number.parseInt(flags, 16) & 0x2) === 0 || !/^[0-9A-F]{8}$/i.test(gateway)) return [];
    return [{ interface: name, address: Buffer.from(gateway, 'hex').reverse().join('.') }];
  });
}

/** Default gateways of /proc/net/ipv6_route: destination, prefix, source, prefix, next hop, metric, counts, flags, device. */
export function parseRoutes6(text: string): AgentInfo['gateways'] {
  return text.split('\n').flatMap((line) => {
    const [destination = '', prefix, , , nextHop = '', , , , flags = '', name = ''] = line.trim().split(/\s+/);
    if (!/^0{32}$/.test(destination) || prefix !== '00' || (Number.parseInt(flags, 16) & 0x2) === 0 || !/^[0-9a-f]{32}$/i.test(nextHop)) return [];
    return [{ interface: name, address: formatAddress({ family: 6, value: BigInt(`0x${nextHop}`) }) }];
  });
}

/** resolv.conf(5). */
export function parseResolvers(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const address = /^\s*nameserver\s+([^\s#;]+)/.exec(line)?.[1];
    return address !== undefined && canonicalAddress(address.replace(/%.*$/, '')) !== null ? [address] : [];
  });
}

const readText = (path: string): Promise<string> => readFile(path, 'latin1').catch(() => '');

/** Both null: not in the table. */
export async function findNeighbour(address: string): Promise<Neighbour> {
  return parseArp(await readText('/proc/net/arp')).get(canonicalAddress(address) ?? address) ?? { mac: null, interface: null };
}

/** `192.0.2.9/24` is in 192.0.2.0/24. */
function networkAround(address: string, cidr: string | null): string {
  const parsed = parseAddress(address);
  const prefix = Number(cidr?.split('/')[1]);
  if (parsed === null || !Number.isInteger(prefix)) return address;
  const free = BigInt((parsed.family === 4 ? 32 : 128) - prefix);
  return formatNetwork({ family: parsed.family, value: (parsed.value >> free) << free, prefix });
}

export async function readSurroundings(): Promise<Pick<AgentInfo, 'addresses' | 'gateways' | 'resolvers'>> {
  const [routes, routes6, resolvers] = await Promise.all(['/proc/net/route', '/proc/net/ipv6_route', '/etc/resolv.conf'].map(readText));
  const addresses = Object.entries(networkInterfaces()).flatMap(([name, each = []]) =>
    each.flatMap(({ address, cidr, mac, internal }) => {
      return internal ? [] : [{ interface: name, address, network: networkAround(address, cidr), mac }];
    }),
  );
  return { addresses, gateways: [...parseRoutes(routes ?? ''), ...parseRoutes6(routes6 ?? '')], resolvers: parseResolvers(resolvers ?? '') };
}
