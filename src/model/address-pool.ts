// Virtual addresses of devices: which addresses of the configured networks may be given, and which one a device gets. Pure.
import { createHash } from 'node:crypto';
import { formatAddress, formatNetwork, networkContains, parseAddress, parseNetwork, type Address, type Network } from '#base/cidr.ts';
import type { Id } from '#base/ids.ts';

/** Servers keep what they know of an address (drivers, jobs, sessions) about so long. */
export const addressRestMs = 30 * 24 * 3_600_000;
/** Of a network more addresses are not counted: an IPv6 network has more than devices could ever use. */
const countedMax = 2n ** 48n;
/** Of a /24, without the two that look like a network's own and a broadcast. */
const perBlock = 254n;

export interface PoolNetwork {
  /** `100.72.0.0/16` */
  readonly text: string;
  readonly network: Network;
  /** Addresses that may be given, before what is reserved or taken. */
  readonly capacity: number;
}

export interface AddressPool {
  /** As configured; one that lies in another is left out. Devices get addresses of the first that has one. */
  readonly networks: readonly PoolNetwork[];
  readonly capacity: number;
  /** The network that it lies in, given or not; null: in none, or it is no address. */
  networkOf(address: string): string | null;
  /** The spelling under which it is kept; null: it is no address that a device may have. */
  usable(address: string): string | null;
  /** The address at this place of a network; places are 0 … capacity - 1. */
  addressAt(network: PoolNetwork, place: number): string;
}

/**
 * How many addresses may be given. Left out are the network's own and its broadcast address, the first one (gateways sit there), and in
 * larger IPv4 networks whatever ends in 0 or 255: old programs take those for networks and broadcasts, whatever the mask says.
 */
function capacityOf({ family, prefix }: Network): bigint {
  const behind = BigInt((family === 4 ? 32 : 128) - prefix);
  const all = 1n << behind;
  if (behind <= 1n) return all;
  if (family === 6) return (all < countedMax ? all : countedMax) - 2n;
  return behind <= 8n ? all - 3n : (all / 256n) * perBlock - 1n;
}

function offsetAt({ family, prefix }: Network, place: bigint): bigint {
  const behind = (family === 4 ? 32 : 128) - prefix;
  if (behind <= 1) return place;
  if (family === 6 || behind <= 8) return place + 2n;
  const nth = place + 1n;
  return (nth / perBlock) * 256n + (nth % perBlock) + 1n;
}

function isUsable(network: Network, { value }: Address): boolean {
  const behind = (network.family === 4 ? 32 : 128) - network.prefix;
  const offset = value - network.value;
  if (behind <= 1) return true;
  if (offset < 2n) return false;
  if (network.family === 6) return offset < countedMax;
  const all = 1n << BigInt(behind);
  return behind <= 8 ? offset < all - 1n : offset % 256n !== 0n && offset % 256n !== 255n;
}

/** What is not a network is left out: the configuration has checked them. */
export function buildAddressPool(texts: readonly string[]): AddressPool {
  const parsed = texts.map(parseNetwork).filter((each) => each !== null);
  const isInside = (inner: Network, outer: Network) => outer.prefix < inner.prefix && networkContains(outer, inner);
  const isRepeated = (each: Network, i: number) => parsed.some((other, j) => j < i && other.prefix === each.prefix && networkContains(other, each));
  const networks = parsed
    .filter((each, i) => !parsed.some((other) => isInside(each, other)) && !isRepeated(each, i))
    .map((network) => ({ text: formatNetwork(network), network, capacity: Number(capacityOf(network)) }));
  const findNetwork = (address: Address) => networks.find((each) => networkContains(each.network, address));
  return {
    networks,
    capacity: networks.reduce((sum, each) => sum + each.capacity, 0),
    networkOf(text) {
      const address = parseAddress(text);
      return (address && findNetwork(address)?.text) ?? null;
    },
    usable(text) {
      const address = parseAddress(text);
      const within = address && findNetwork(address);
      return address && within && isUsable(within.network, address) ? formatAddress(address) : null;
    },
    addressAt: ({ network }, place) => formatAddress({ family: network.family, value: network.value + offsetAt(network, BigInt(place)) }),
  };
}

/** Whom an address is for. */
export interface AddressFor {
  readonly customerId: Id;
  readonly siteId: Id;
  readonly deviceId: Id;
}

/** What is known of addresses, by their one spelling. */
export interface AddressesKnown {
  /** Somebody has it, or nobody may have it: this machine's own ones. */
  isTaken(address: string): boolean;
  /** When it was taken back from its last device, and from which; null: nobody had it lately. */
  releaseOf(address: string): { readonly deviceId: Id; readonly releasedAt: number } | null;
  /** What the device had last, released or not; null: nothing that is remembered. */
  formerOf(deviceId: Id): string | null;
  /** Those that were released, in any order: what is chosen from when nothing else is left. */
  released(): Iterable<{ readonly address: string; readonly releasedAt: number }>;
}

/** Where the search begins: spread over the network, and the same for the same device wherever it is asked. */
function startIn({ text, capacity }: PoolNetwork, { customerId, siteId, deviceId }: AddressFor): number {
  const digest = createHash('sha256').update(`${text}\0${customerId}\0${siteId}\0${deviceId}`).digest();
  return Number((digest.readBigUInt64BE(0) >> 11n) % BigInt(capacity));
}

/**
 * The address for a device: the one that it had, when that rests still; then one that nobody had for 30 days; then the one that was released
 * longest ago. Null: every address is taken. Looks at no more addresses than are taken or resting, and one.
 */
export function chooseAddress(pool: AddressPool, whom: AddressFor, known: AddressesKnown, nowMs: number): string | null {
  const isFree = (address: string) => pool.usable(address) === address && !known.isTaken(address);
  const former = known.formerOf(whom.deviceId);
  if (former !== null && isFree(former)) return former;
  for (const network of pool.networks) {
    const start = startIn(network, whom);
    for (let step = 0; step < network.capacity; step++) {
      const address = pool.addressAt(network, (start + step) % network.capacity);
      if (known.isTaken(address)) continue;
      const release = known.releaseOf(address);
      if (release === null || nowMs - release.releasedAt >= addressRestMs) return address;
    }
  }
  let resting: { readonly address: string; readonly releasedAt: number } | null = null;
  for (const each of known.released()) if ((resting === null || each.releasedAt < resting.releasedAt) && isFree(each.address)) resting = each;
  return resting?.address ?? null;
}
