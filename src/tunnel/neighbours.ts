// The MAC of an address in a network that this machine is in, as its kernel knows it. Evidence, no proof.
import { readFile } from 'node:fs/promises';
import type { Clock } from '#base/clock.ts';
import type { Limits } from '#base/limits.ts';
import { parseArpTable } from '#wire/arp-table.ts';

/** `02:00:5e:10:00:01`; null: not known here (IPv6, behind a router, not Linux). Never rejects. */
export type MacOf = (address: string) => Promise<string | null>;

/** A burst of connections reads the table once. */
export function buildNeighbours(clock: Clock, limits: Pick<Limits, 'neighboursCacheMs' | 'neighboursMax'>, read = () => readFile('/proc/net/arp', 'utf8')): MacOf {
  let table: Promise<ReadonlyMap<string, string>> = Promise.resolve(new Map());
  let readAtMs = Number.NEGATIVE_INFINITY;
  const fresh = () => {
    readAtMs = clock.monoMs();
    table = read().then((text) => parseArpTable(text, limits.neighboursMax), () => new Map());
    return table;
  };
  return async (address) => {
    if (address.includes(':')) return null;
    const cached = clock.monoMs() - readAtMs < limits.neighboursCacheMs;
    const known = (await (cached ? table : fresh())).get(address);
    if (known !== undefined || !cached) return known ?? null;
    // Who has just come for the first time is in the kernel's table and not yet in ours; asked again at most once in a tenth of the time.
    if (clock.monoMs() - readAtMs < limits.neighboursCacheMs / 10) return null;
    return (await fresh()).get(address) ?? null;
  };
}
