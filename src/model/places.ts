// Which sites an address may belong to: by the public addresses that a site's traffic comes from, and by its networks inside. Several sites may have the same networks.
import { parseAddress, parseNetwork } from '#base/cidr.ts';
import type { Id } from '#base/ids.ts';
import type { SiteDoor, SitePlace } from './place-rows.ts';
import type { Site } from './rows.ts';
import type { Table } from './table.ts';

export interface SitesOfAddress {
  /** Sites whose traffic comes from there: more than one share a connection to the internet. */
  readonly egress: readonly Id[];
  /** Sites with a network inside that has the address: where the gateway stands in their LAN, or is routed to. */
  readonly inside: readonly Id[];
}

/** Two sites that an address alone does not tell apart. */
export interface Overlap {
  readonly kind: 'egress' | 'subnet';
  readonly siteId: Id;
  readonly network: string;
}

export interface Places {
  sitesOfAddress(address: string): SitesOfAddress;
  /** For people: what a site shares with others; at most 100. */
  overlapsOf(siteId: Id): readonly Overlap[];
}

interface Span {
  readonly first: bigint;
  readonly last: bigint;
  readonly siteId: Id;
  readonly network: string;
}

/** Spans of one family by their first address, with the furthest end of all before: the search ends where none reaches. */
interface Spans {
  readonly spans: readonly Span[];
  readonly furthest: readonly bigint[];
}

interface Index {
  readonly egress: { readonly 4: Spans; readonly 6: Spans };
  readonly subnet: { readonly 4: Spans; readonly 6: Spans };
}

const overlapsMax = 100;

function spanOf(network: string, siteId: Id): { readonly family: 4 | 6; readonly span: Span } | null {
  const parsed = parseNetwork(network);
  if (parsed === null) return null;
  const size = 1n << BigInt((parsed.family === 4 ? 32 : 128) - parsed.prefix);
  return { family: parsed.family, span: { first: parsed.value, last: parsed.value + size - 1n, siteId, network } };
}

function spansOf(places: readonly SitePlace[], kind: 'egress' | 'subnets'): { readonly 4: Spans; readonly 6: Spans } {
  const found: Record<4 | 6, Span[]> = { 4: [], 6: [] };
  for (const place of places) {
    for (const network of place[kind]) {
      const spanned = spanOf(network, place.siteId);
      if (spanned) found[spanned.family].push(spanned.span);
    }
  }
  const ordered = (spans: Span[]): Spans => {
    spans.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
    let end = -1n;
    return { spans, furthest: spans.map(({ last }) => (end = last > end ? last : end)) };
  };
  return { 4: ordered(found[4]), 6: ordered(found[6]) };
}

/** Those that have anything of `first` … `last`. */
function* touching({ spans, furthest }: Spans, first: bigint, last: bigint): Generator<Span> {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle]!.first <= last) low = middle + 1;
    else high = middle;
  }
  for (let i = low - 1; i >= 0 && furthest[i]! >= first; i--) if (spans[i]!.last >= first) yield spans[i]!;
}

const nowhere: SitesOfAddress = { egress: [], inside: [] };

export function buildPlaces(tables: { readonly sitePlaces: Pick<Table<SitePlace>, 'version' | 'values' | 'get'> }): Places {
  let builtAt = -1;
  let index: Index;
  const current = (): Index => {
    if (builtAt !== tables.sitePlaces.version) {
      const rows = [...tables.sitePlaces.values()];
      index = { egress: spansOf(rows, 'egress'), subnet: spansOf(rows, 'subnets') };
      builtAt = tables.sitePlaces.version;
    }
    return index;
  };
  const sitesIn = (spans: Spans, value: bigint): Id[] => [...new Set(Array.from(touching(spans, value, value), ({ siteId }) => siteId))].sort();
  return {
    sitesOfAddress(text) {
      const { egress, subnet } = current();
      const address = parseAddress(text);
      if (address === null) return nowhere;
      return { egress: sitesIn(egress[address.family], address.value), inside: sitesIn(subnet[address.family], address.value) };
    },
    overlapsOf(siteId) {
      const place = tables.sitePlaces.get(siteId);
      if (!place) return [];
      const { egress, subnet } = current();
      const found = new Map<string, Overlap>();
      for (const [kind, networks, spans] of [['egress', place.egress, egress], ['subnet', place.subnets, subnet]] as const) {
        for (const network of networks) {
          const mine = spanOf(network, siteId);
          if (!mine) continue;
          for (const other of touching(spans[mine.family], mine.span.first, mine.span.last)) {
            if (other.siteId === siteId) continue;
            found.set(`${kind} ${other.siteId} ${other.network}`, { kind, siteId: other.siteId, network: other.network });
            if (found.size >= overlapsMax) return [...found.values()];
          }
        }
      }
      return [...found.values()];
    },
  };
}

/** Their rows go when the agent goes or is revoked. */
export function doorsOfAgent({ siteDoors }: { readonly siteDoors: Pick<Table<SiteDoor>, 'values'> }, agentId: Id): Id[] {
  return Array.from(siteDoors.values()).filter((door) => door.agentId === agentId).map((door) => door.id);
}

/** The address that stands for one host in a list of networks. */
export const networkOfOne = (address: string): string => (address.includes(':') ? `${address}/128` : `${address}/32`);

/** Doors with what people call the place they are in. */
export function doorName(door: Pick<SiteDoor, 'address' | 'port'>, site: Pick<Site, 'name'> | undefined): string {
  const place = door.address.includes(':') ? `[${door.address}]:${door.port}` : `${door.address}:${door.port}`;
  return site === undefined ? place : `${site.name} ${place}`;
}
