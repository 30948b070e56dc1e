// What doctor says of virtual addresses: do they lead here, may their ports be opened. Pure; who observes is app/doctor-addresses.ts.
import { formatAddress, isLoopback, parseNetwork } from '#base/cidr.ts';
import type { Judgement } from './doctor.ts';

export interface PoolNetworkSeen {
  /** `100.72.0.0/16` */
  readonly network: string;
  /** Why one of its addresses cannot be used here, as the system says it; null: it can. */
  readonly code: string | null;
}

export interface PoolSeen {
  readonly networks: readonly PoolNetworkSeen[];
  readonly capacity: number;
  readonly used: number;
  /** Devices that should have an address and have none. */
  readonly without: number;
  /** Devices whose address the pool does not have any more. */
  readonly outside: number;
  /** Servers of applications that hear virtual addresses, as far as they are on other machines. */
  readonly serversElsewhere: readonly string[];
  readonly serversUnresolved: readonly string[];
  /** By which another machine reaches this one. */
  readonly gateway: string | null;
}

const isOfLoopback = (network: string): boolean => isLoopback(network.split('/')[0]!);
const isSix = (network: string): boolean => network.includes(':');

/** The one command that makes every address of a network one of this machine; null for those that are it already. */
export function routeCommand(network: string): string | null {
  if (isOfLoopback(network)) return null;
  // Linux binds IPv6 addresses of such a route only where nonlocal ones may be bound; IPv4 needs no more than the route.
  return isSix(network) ? `ip -6 route add local ${network} dev lo && sysctl -w net.ipv6.ip_nonlocal_bind=1` : `ip route add local ${network} dev lo`;
}

/** The same, for good: lines of the two usual ways. */
function lastingLines(network: string): string[] {
  const up = `up ip ${isSix(network) ? '-6 ' : ''}route add local ${network} dev lo`;
  return [
    `for good with systemd-networkd, in /etc/systemd/network/50-postern.network: [Match] Name=lo / [Route] Destination=${network} / Type=local`,
    `for good with ifupdown, in /etc/network/interfaces below "iface lo inet${isSix(network) ? '6' : ''} loopback": ${up}`,
    ...(isSix(network) ? ['for good, in /etc/sysctl.d/50-postern.conf: net.ipv6.ip_nonlocal_bind=1'] : []),
  ];
}

function dottedMask(prefix: number): string {
  const all = 0xffffffffn;
  return formatAddress({ family: 4, value: (all << BigInt(32 - prefix)) & all });
}

/** How a server on another machine finds the addresses. */
function routeElsewhere(network: string, gateway: string | null): string {
  const parsed = parseNetwork(network);
  const to = gateway ?? 'THIS-MACHINE';
  if (!parsed || isSix(network)) return `a server on another machine needs the route: ip -6 route add ${network} via ${to}`;
  return `a server on another machine needs the route: ip route add ${network} via ${to} (Windows: route -p add ${formatAddress(parsed)} mask ${dottedMask(parsed.prefix)} ${to})`;
}

const nearlyFullPart = 0.9;

export function judgeAddressPool(seen: PoolSeen | null): Judgement {
  if (seen === null) return { status: 'skipped', verdict: 'no virtual addresses are configured' };
  const { networks, capacity, used, without, outside, serversElsewhere, serversUnresolved, gateway } = seen;
  const state = networks.map(({ network, code }) => (code === null ? `${network}: leads to this machine${isOfLoopback(network) ? '; it needs no route, and is good for servers on this machine alone' : ''}` : `${network}: ${code === 'EADDRNOTAVAIL' ? 'does not lead to this machine' : `cannot be used (${code})`}`));
  const evidence = [`${used} of ${capacity} addresses are given`, ...state];
  const missing = networks.filter(({ code }) => code !== null);
  const commands = missing.flatMap(({ network }) => routeCommand(network) ?? []);
  if (missing.length > 0) {
    return {
      status: 'failure', evidence: [...evidence, ...missing.filter(({ network }) => !isOfLoopback(network)).flatMap(({ network }) => lastingLines(network))],
      verdict: `${missing.map((each) => each.network).join(' and ')} ${missing.length === 1 ? 'does' : 'do'} not lead to this machine: nothing can be sent from there, and nobody is heard there`,
      remedy: commands.length > 0 ? `Run as root: ${commands.join(' && ')}` : 'Loopback is not as usual on this machine: is the interface lo up?',
    };
  }
  const routed = networks.filter(({ network }) => !isOfLoopback(network)).map(({ network }) => routeElsewhere(network, gateway));
  if (serversElsewhere.length > 0 && networks.every(({ network }) => isOfLoopback(network))) {
    return { status: 'failure', evidence, verdict: `${serversElsewhere.slice(0, 3).join(', ')} ${serversElsewhere.length === 1 ? 'is' : 'are'} on another machine, and addresses of 127.0.0.0/8 are good on this one alone`, remedy: 'Take a network that nobody else uses, like 100.72.0.0/16, and run as root: ip route add local 100.72.0.0/16 dev lo' };
  }
  if (without > 0) return { status: 'warning', evidence, verdict: `${without} ${without === 1 ? 'device has' : 'devices have'} no virtual address: none was left`, remedy: 'Add a network to "addressPool", or release addresses: postern addresses lists them.' };
  if (outside > 0) return { status: 'warning', evidence, verdict: `${outside} ${outside === 1 ? 'device has an address' : 'devices have addresses'} that the pool does not have any more`, remedy: 'Release them (postern address DEVICE release), or bring the network back.' };
  if (capacity > 0 && used >= capacity * nearlyFullPart) return { status: 'warning', evidence, verdict: `the address pool is nearly full: ${capacity - used} are left`, remedy: 'Add a network to "addressPool".' };
  if (serversUnresolved.length > 0) return { status: 'warning', evidence, verdict: `${serversUnresolved.slice(0, 3).join(', ')} cannot be resolved: calls from there are refused`, remedy: 'Correct the name, or list who may call in addressPool.callers.' };
  return { status: 'ok', evidence: [...evidence, ...routed], verdict: 'every network of the address pool leads to this machine' };
}

export interface CallbackPortSeen {
  readonly transport: 'tcp' | 'udp';
  readonly port: number;
  /** What the system says about opening it at an address that nobody has; null: it may be opened. */
  readonly code: string | null;
}

export interface CallbacksSeen {
  readonly ports: readonly CallbackPortSeen[];
  /** Whether the process has CAP_NET_BIND_SERVICE; null: it cannot be known here. */
  readonly mayBind: boolean | null;
  /** From this port on nobody needs a privilege; null: not known. */
  readonly unprivilegedFrom: number | null;
  /** What is not open, and why, in words. */
  readonly failed: readonly { readonly transport: string; readonly port: number; readonly code: string; readonly count: number; readonly address: string; readonly why: string }[];
  readonly open: number;
  readonly beyond: number;
}

const usualUnprivilegedFrom = 1_024;

export function judgeCallbacks({ ports, mayBind, unprivilegedFrom, failed, open, beyond }: CallbacksSeen): Judgement {
  if (ports.length === 0) return { status: 'skipped', verdict: 'no application calls devices back' };
  const from = unprivilegedFrom ?? usualUnprivilegedFrom;
  const low = ports.filter((each) => each.port < from);
  const shut = ports.filter((each) => each.code === 'EACCES');
  const evidence = [
    `${open} ports of virtual addresses are open`,
    ...(low.length === 0 ? [] : [`ports below ${from} need a privilege: ${low.map((each) => `${each.port}/${each.transport}`).join(', ')}`, ...(mayBind === null ? [] : [`this process ${mayBind ? 'has' : 'does not have'} CAP_NET_BIND_SERVICE`])]),
    ...failed.slice(0, 10).map((each) => `${each.count} not open, ${each.address} for example: ${each.why}`),
  ];
  if (shut.length > 0) {
    const least = Math.min(...shut.map((each) => each.port));
    return {
      status: 'failure', evidence, verdict: `${shut.map((each) => `${each.port}/${each.transport}`).join(', ')} may not be opened by this process: devices cannot be called back there`,
      remedy: `Run it by systemd with CAP_NET_BIND_SERVICE: postern serve --print-unit prints the unit. Or let every program open such ports, as root: sysctl -w net.ipv4.ip_unprivileged_port_start=${least}`,
    };
  }
  const others = failed.filter((each) => each.code !== 'EADDRNOTAVAIL');
  if (others.length > 0) return { status: 'warning', evidence, verdict: `${others.reduce((sum, each) => sum + each.count, 0)} ports of virtual addresses are not open: ${others[0]!.why}`, remedy: others[0]!.code === 'EADDRINUSE' ? `See who has it: ss -lntup 'sport = :${others[0]!.port}'. A program that listens at every address (0.0.0.0) also has those of the pool.` : 'They are tried again every half minute.' };
  if (beyond > 0) return { status: 'warning', evidence, verdict: `${beyond} ports of virtual addresses are not open: there are too many for one gateway`, remedy: 'Let applications call back at fewer ports, or fewer devices be job sources.' };
  return { status: 'ok', evidence, verdict: 'every port at which devices are called back may be opened' };
}
