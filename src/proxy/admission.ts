// How many connections may be open, in all and per address (of IPv6 per /64, which one client has for itself): counted before a byte is read.
import { isLoopback, networkOf } from '#base/cidr.ts';
import type { Limits } from '#base/limits.ts';

export interface Slot {
  /** A sender spoke for this address: it counts too. False: it has too many. */
  alsoFrom(address: string): boolean;
  leave(): void;
}

export interface Admission {
  /** The slot, or why there is none. `forOthers`: a proxy, whose clients are counted where they are known. */
  enter(address: string, forOthers: boolean): Slot | string;
}

export function buildAdmission(limits: Pick<Limits, 'connsMax' | 'connsPerAddressMax'>): Admission {
  const perNetwork = new Map<string, number>();
  let all = 0;
  const count = (address: string) => {
    const network = networkOf(address);
    perNetwork.set(network, (perNetwork.get(network) ?? 0) + 1);
  };
  const uncount = (address: string) => {
    const network = networkOf(address);
    const left = perNetwork.get(network)! - 1;
    if (left === 0) perNetwork.delete(network);
    else perNetwork.set(network, left);
  };
  const isFull = (address: string) => (perNetwork.get(networkOf(address)) ?? 0) >= limits.connsPerAddressMax && !isLoopback(address);

  return {
    enter(address, forOthers) {
      if (!forOthers && isFull(address)) return 'too many connections from this address';
      if (all >= limits.connsMax) return 'too many connections';
      all += 1;
      count(address);
      let other: string | null = null;
      return {
        alsoFrom(client) {
          if (client === address) return true;
          if (isFull(client)) return false;
          other = client;
          count(client);
          return true;
        },
        leave() {
          all -= 1;
          uncount(address);
          if (other !== null) uncount(other);
        },
      };
    },
  };
}
