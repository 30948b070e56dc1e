// The MAC of an address in a network that this machine is in, as its kernel knows it. Evidence, no proof.
import { readFile } from 'node:fs/promises';
import type { Limits } from '#base/limits.ts';
import { parseArpTable } from '#wire/arp-table.ts';

/** `02:00:5e:10:00:01`; null: not known here (IPv6, behind a router, not Linux). Never rejects. */
export type MacOf = (address: string) => Promise<string | null>;

/**
 * A burst of connections reads the table once or twice, and each of them as it was after it came: two devices that change their addresses (DHCP) must
 * not have each other's MAC for as long as a copy is kept.
 */
export function buildNeighbours(limits: Pick<Limits, 'neighboursMax'>, read = () => readFile('/proc/net/arp', 'utf8')): MacOf {
  type Neighbours = ReadonlyMap<string, string>;
  let reading: Promise<Neighbours> | null = null;
  let next: Promise<Neighbours> | null = null;
  const fresh = (): Promise<Neighbours> => {
    if (reading !== null) {
      next ??= reading.then(() => {
        next = null;
        return fresh();
      });
      return next;
    }
    reading = read().then((text) => parseArpTable(text, limits.neighboursMax), () => new Map<string, string>()).finally(() => {
      reading = null;
    });
    return reading;
  };
  return async (address) => (address.includes(':') ? null : ((await fresh()).get(address) ?? null));
}
