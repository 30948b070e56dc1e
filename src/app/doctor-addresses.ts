// What doctor looks at of virtual addresses: the system is asked by opening sockets, as the gateway itself would.
import { readFile } from 'node:fs/promises';
import { judgeAddressPool, judgeCallbacks, type CallbackPortSeen, type PoolNetworkSeen } from '#model/doctor-addresses.ts';
import type { Judgement } from '#model/doctor.ts';
import { isLoopback } from '#base/cidr.ts';
import { tryBind } from '#net/try-bind.ts';
import { whyNotOpen } from '#net/virtual-addresses.ts';
import { reachableAddresses } from './addresses.ts';
import type { Virtual } from './virtual.ts';

type Check = readonly [id: string, title: string, look: () => Promise<Judgement> | Judgement];
type Looked = Pick<Virtual, 'book' | 'doors' | 'callbackPorts' | 'callers' | 'without'>;

/** Bit of CAP_NET_BIND_SERVICE (capabilities(7)). */
const bindServiceBit = 10n;
const portsTriedMax = 64;
const placesTriedMax = 16;

/** Of a network, one that no device has. */
function freeAddress({ book }: Looked, isTaken: (address: string) => boolean, network: string): string | null {
  const pool = book.pool();
  const found = pool.networks.find((each) => each.text === network);
  if (!found || found.capacity === 0) return null;
  const last = Array.from({ length: Math.min(found.capacity, placesTriedMax) }, (_, back) => pool.addressAt(found, found.capacity - 1 - back));
  return last.find((address) => !isTaken(address)) ?? last[0]!;
}

async function lookAtNetworks(virtual: Looked, isTaken: (address: string) => boolean): Promise<PoolNetworkSeen[]> {
  return Promise.all(
    virtual.book.pool().networks.map(async ({ text }) => {
      const address = freeAddress(virtual, isTaken, text);
      return { network: text, code: address === null ? 'no address in it may be given' : await tryBind('udp', address, 0) };
    }),
  );
}

/** Both null where the system does not say. */
async function readPrivileges(): Promise<{ mayBind: boolean | null; unprivilegedFrom: number | null }> {
  const read = (path: string) => readFile(path, 'utf8').catch(() => '');
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(await read('/proc/self/status'))?.[1];
  const from = (await read('/proc/sys/net/ipv4/ip_unprivileged_port_start')).trim();
  return { mayBind: effective === undefined ? null : ((BigInt(`0x${effective}`) >> bindServiceBit) & 1n) === 1n, unprivilegedFrom: /^\d+$/.test(from) ? Number(from) : null };
}

export function addressChecks(virtual: Looked, tables: { virtualAddressAt(address: string): unknown }): readonly Check[] {
  const isTaken = (address: string) => tables.virtualAddressAt(address) !== undefined;
  const lookAtPool = async (): Promise<Judgement> => {
    const pool = virtual.book.pool();
    if (pool.networks.length === 0) return judgeAddressPool(null);
    const { networks: servers, unresolved, machine } = virtual.callers();
    const networks = await lookAtNetworks(virtual, isTaken);
    // Whoever has just made the route looks here whether it works.
    if (networks.every((each) => each.code === null) && virtual.doors.failed().length > 0) virtual.doors.retry();
    const here = new Set(reachableAddresses());
    return judgeAddressPool({
      networks,
      capacity: pool.capacity,
      used: virtual.book.counts.used,
      outside: virtual.book.counts.outside,
      without: virtual.without().size,
      // Where callers are listed as networks nobody knows which of them are servers.
      serversElsewhere: machine ? servers.filter((each) => !each.includes('/') && !isLoopback(each) && !here.has(each)) : [],
      serversUnresolved: unresolved,
      gateway: reachableAddresses()[0] ?? null,
    });
  };
  const lookAtPorts = async (): Promise<Judgement> => {
    const pool = virtual.book.pool();
    const ports = pool.networks.length === 0 ? [] : virtual.callbackPorts().slice(0, portsTriedMax);
    const routed = (await lookAtNetworks(virtual, isTaken)).find((each) => each.code === null);
    // In use there by somebody else is as good an answer as any: it may be opened.
    const address = (routed && freeAddress(virtual, isTaken, routed.network)) ?? '127.0.0.1';
    const seen: CallbackPortSeen[] = await Promise.all(ports.map(async (each) => ({ ...each, code: await tryBind(each.transport, address, each.port) })));
    const { open, beyond } = virtual.doors.counts;
    return judgeCallbacks({ ports: seen, ...(await readPrivileges()), failed: virtual.doors.failed().map((each) => ({ ...each, why: whyNotOpen(each) })), open, beyond });
  };
  return [
    ['address-pool', 'Virtual addresses', lookAtPool],
    ['callback-ports', 'Ports of call-backs', lookAtPorts],
  ];
}
