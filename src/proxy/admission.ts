// How many connections may be open, in all and per address (of IPv6 per /64, which one client has for itself): counted before a byte is read.
import { isLoopback, networkOf } from '#base/cidr.ts';
import type { Limits } from '#base/limits.ts';

export interface Slot {
  /** A sender spoke for this address: it counts too. False: it has too many. */
  alsoFrom(address: string): boolean;
  leave(): void;
}

export interface Admission {
  /** The slot, or why there is none. `forOthers`: a proxy, whose clients are counted where they are known. `lan`: whose network the address is of; '': ours. */
  enter(address: string, forOthers: boolean, lan?: string): Slot | string;
}

export function buildAdmission(limits: Pick<Limits, 'connsMax' | 'connsPerAddressMax'>): Admission {
  const perNetwork = new Map<string, number>();
  let all = 0;
  const count = (network: string) => {
    perNetwork.set(network, (perNetwork.get(network) ?? 0) + 1);
  };
  const uncount = (network: string) => {
    const left = perNetwork.get(network)! - 1;
    if (left === 0) perNetwork.delete(network);
    else perNetwork.set(network, left);
  };
  const isFull = (network: string) => (perNetwork.get(network) ?? 0) >= limits.connsPerAddressMax;

  return {
    enter(address, forOthers, lan = '') {
      const network = lan + networkOf(address);
      if (!forOthers && isFull(network) && (lan !== '' || !isLoopback(address))) return 'too many connections from this address';
      if (all >= limits.connsMax) return 'too many connections';
      all += 1;
      count(network);
      let other: string | null = null;
      return {
        alsoFrom(client) {
          if (client === address) return true;
          if (isFull(networkOf(client)) && !isLoopback(client)) return false;
          other = networkOf(client);
          count(other);
          return true;
        },
        leave() {
          all -= 1;
          uncount(network);
          if (other !== null) uncount(other);
        },
      };
    },
  };
}
