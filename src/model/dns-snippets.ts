// What to write into a site's resolver so that a name leads to the gateway's address inside (split DNS), and what lets a resolver pass on an address inside
// that public DNS gives. Pure text; the lines for dnsmasq and BIND are run in tests with the programs.
import { isPrivate } from '#base/cidr.ts';
import { ownAddressOf } from './own-address.ts';

export type ResolverKind = 'dnsmasq' | 'unbound' | 'bind' | 'windows' | 'pihole' | 'adguard' | 'opnsense' | 'mikrotik' | 'openwrt' | 'fritzbox';

export interface DnsSnippet {
  readonly kind: ResolverKind;
  /** What it is, and where the lines go. */
  readonly title: string;
  /** Empty: it cannot be done there; `note` says what can. */
  readonly lines: readonly string[];
  /** '' without. */
  readonly note: string;
}

export interface SplitOrder {
  /** The application's host name, lower case. */
  readonly name: string;
  /** Where it is to lead inside; one of them at least. */
  readonly v4: string | null;
  readonly v6: string | null;
}

/** Only names of hosts get into the lines: they end up in shells and configuration files. */
const isHostName = (name: string): boolean => name.length <= 253 && /^[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*$/.test(name);

const noQuadA = 'AAAA is answered with nothing, so that devices with IPv6 do not go out past it';

const both = ({ v4, v6 }: SplitOrder): readonly (readonly [type: 'A' | 'AAAA', address: string])[] => [...(v4 === null ? [] : [['A', v4] as const]), ...(v6 === null ? [] : [['AAAA', v6] as const])];

function forServers(order: SplitOrder): DnsSnippet[] {
  const { name, v4, v6 } = order;
  const addresses = both(order);
  const note = v6 === null ? noQuadA : '';
  return [
    {
      kind: 'dnsmasq', title: 'dnsmasq: /etc/dnsmasq.d/postern.conf, then restart it',
      // Without "local" whatever type is not written here would be asked of the servers above.
      lines: [`local=/${name}/`, `host-record=${[name, v4, v6].filter((each) => each !== null).join(',')}`], note,
    },
    {
      kind: 'unbound', title: 'Unbound: /etc/unbound/unbound.conf.d/postern.conf, then unbound-control reload',
      lines: ['server:', `  local-zone: "${name}." redirect`, ...addresses.map(([type, address]) => `  local-data: "${name}. 300 IN ${type} ${address}"`)], note,
    },
    {
      kind: 'bind', title: 'BIND: a response policy zone. The first two lines go into named.conf (the first of them into options), the others into /etc/bind/postern.rpz',
      lines: [
        'response-policy { zone "postern.rpz"; };',
        'zone "postern.rpz" { type primary; file "/etc/bind/postern.rpz"; allow-query { none; }; };',
        '$TTL 300', '@ IN SOA localhost. root.localhost. 1 3600 600 86400 300', '@ IN NS localhost.',
        ...addresses.map(([type, address]) => `${name} IN ${type} ${address}`),
      ],
      note: `${note === '' ? '' : `${note}; `}where views are in use, a zone of this one name in the view of the LAN does the same`,
    },
    {
      kind: 'windows', title: 'Windows DNS Server, in PowerShell: a zone of this one name, which hides nothing else of the public zone',
      lines: [
        `Add-DnsServerPrimaryZone -Name "${name}" -ReplicationScope "Domain" -DynamicUpdate None`,
        ...addresses.map(([type, address]) => `Add-DnsServerResourceRecord${type} -ZoneName "${name}" -Name "@" ${type === 'A' ? '-IPv4Address' : '-IPv6Address'} "${address}" -TimeToLive 00:05:00`),
      ],
      note: `${note === '' ? '' : `${note}; `}on a server that is no domain controller write -ZoneFile "${name}.dns" instead of -ReplicationScope. The zone answers for every name below, too: what looks up _acme-challenge.${name} inside finds nothing`,
    },
  ];
}

function forRouters(order: SplitOrder): DnsSnippet[] {
  const { name, v4, v6 } = order;
  const addresses = both(order);
  const passesOn = v6 === null ? 'AAAA may still be asked of the servers above: see that the public name has none, or add one that leads inside' : '';
  return [
    { kind: 'pihole', title: 'Pi-hole: Settings, Local DNS Records', lines: addresses.map(([, address]) => `${name}  ${address}`), note: passesOn },
    { kind: 'adguard', title: 'AdGuard Home: Filters, DNS rewrites', lines: addresses.map(([, address]) => `${name}  ${address}`), note: passesOn },
    {
      kind: 'opnsense', title: 'pfSense: Services, DNS Resolver, Host Overrides. OPNsense: Services, Unbound DNS, Overrides',
      lines: addresses.map(([type, address]) => `host ${name.split('.')[0]!}, domain ${name.split('.').slice(1).join('.')}, type ${type}, address ${address}`), note: '',
    },
    { kind: 'mikrotik', title: 'MikroTik RouterOS, in its terminal', lines: addresses.map(([type, address]) => `/ip dns static add name=${name} type=${type} address=${address} ttl=5m`), note: passesOn },
    {
      kind: 'openwrt', title: 'OpenWrt, in its shell',
      lines: [
        `uci add_list dhcp.@dnsmasq[0].server='/${name}/'`,
        ...(v4 === null ? [] : ['uci add dhcp domain', `uci set dhcp.@domain[-1].name='${name}'`, `uci set dhcp.@domain[-1].ip='${v4}'`]),
        ...(v6 === null ? [] : ['uci add dhcp domain', `uci set dhcp.@domain[-1].name='${name}'`, `uci set dhcp.@domain[-1].ip='${v6}'`]),
        'uci commit dhcp', '/etc/init.d/dnsmasq restart',
      ],
      note: v6 === null ? noQuadA : '',
    },
    { kind: 'fritzbox', title: 'FRITZ!Box', lines: [], note: 'it takes no records of its own: let its DHCP name another resolver to the devices, write the address inside into the devices instead of the name, or give each device a URL of its own' },
  ];
}

/** Records that lead a name to the gateway's address inside. Empty for what is no host name, and without an address. */
export function splitSnippets(order: SplitOrder): readonly DnsSnippet[] {
  if (!isHostName(order.name) || (order.v4 === null && order.v6 === null)) return [];
  return [...forServers(order), ...forRouters(order)];
}

/** What lets a resolver with rebind protection pass on that this name has an address inside. */
export function rebindSnippets(name: string): readonly DnsSnippet[] {
  if (!isHostName(name)) return [];
  return [
    { kind: 'dnsmasq', title: 'dnsmasq: /etc/dnsmasq.d/postern.conf, then restart it', lines: [`rebind-domain-ok=/${name}/`], note: '' },
    { kind: 'unbound', title: 'Unbound: /etc/unbound/unbound.conf.d/postern.conf, then unbound-control reload', lines: ['server:', `  private-domain: "${name}"`], note: '' },
    { kind: 'openwrt', title: 'OpenWrt, in its shell', lines: [`uci add_list dhcp.@dnsmasq[0].rebind_domain='${name}'`, 'uci commit dhcp', '/etc/init.d/dnsmasq restart'], note: '' },
    { kind: 'opnsense', title: 'pfSense, OPNsense: the custom options of the DNS Resolver (Unbound)', lines: ['server:', `private-domain: "${name}"`], note: '' },
    { kind: 'fritzbox', title: 'FRITZ!Box: Home Network, Network, Network Settings, DNS Rebind Protection', lines: [name], note: '' },
    { kind: 'adguard', title: 'AdGuard Home: Filters, Custom filtering rules', lines: [`@@||${name}^`], note: 'only where a rule of its own removes private answers; by itself it does not' },
  ];
}

/** Of addresses inside, what goes into the lines: the first of each family that others in the LAN can reach. */
export function insideOf(name: string, addresses: readonly string[]): SplitOrder {
  const usable = addresses.filter((address) => ownAddressOf(address) !== null);
  const first = (isFamily: (address: string) => boolean) => usable.find((each) => isFamily(each) && isPrivate(each)) ?? usable.find(isFamily) ?? null;
  return { name, v4: first((each) => !each.includes(':')), v6: first((each) => each.includes(':') && !/^fe[89ab]/i.test(each)) };
}
