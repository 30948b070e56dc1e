// Which facts lead to which verdict: pure, synchronous, total. The one place where a route is chosen, used by the
// data plane for each exchange and by explain offline.
import { hostNameOf } from '#wire/http1.ts';
import { comparablePath } from './snapshot.ts';
import type { HostRoutes, Route, Snapshot } from './snapshot.ts';

/** What is known of the connection an exchange came on. */
export interface ConnFacts {
  readonly listener: string;
  readonly secure: boolean;
  /** Chosen by ALPN `postern-link/1` or SNI `link.<domain>`: the link endpoint. */
  readonly link: boolean;
  /** The peer's address is this machine's loopback. */
  readonly loopback: boolean;
  /** SNI, canonical; null without. */
  readonly serverName: string | null;
}

export type Verdict =
  | { readonly step: 'refuse'; readonly status: 400 | 404 | 421; readonly why: string; readonly rule: string }
  | { readonly step: 'secure'; readonly rule: string }
  | { readonly step: 'route'; readonly route: Route; readonly host: string }
  | { readonly step: 'device'; readonly route: Route; readonly host: string; readonly domain: string; readonly label: string }
  | { readonly step: 'link' };

const refuse = (status: 400 | 404 | 421, why: string, rule: string): Verdict => ({ step: 'refuse', status, why, rule });
const NO_ROUTE = refuse(404, 'no route leads anywhere for this path', 'default deny');
const LOOPBACK_NAMES = new Set(['localhost', '127.0.0.1', '[::1]']);
// A dot segment, also percent-encoded: a server behind us may resolve it and land elsewhere than we judged.
// Windows devices take "\\" for "/"; servlet containers cut ";…" off a segment before they resolve it.
const DOT_SEGMENT = /^[^?]*?(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\?;]|%2f|%5c|$)/i;

function pathMatches(prefix: string, target: string): boolean {
  if (prefix === '/') return true;
  if (!target.startsWith(prefix)) return false;
  if (prefix.endsWith('/') || target.length === prefix.length) return true;
  const next = target.charCodeAt(prefix.length);
  return next === 47 || next === 63;
}

function choose(entry: HostRoutes, facts: ConnFacts, target: string, local: boolean): Route | 'elsewhere' | undefined {
  let elsewhere = false;
  const comparable = entry.byPath ? comparablePath(target) : target;
  for (const route of entry.routes) {
    // Our own are compared as they came: "//ca/api" is no way to "/ca", behind which a URL parser would take "ca" for a host.
    if (!pathMatches(route.path, route.builtIn ? target : comparable)) continue;
    if (route.listeners === null ? facts.secure || local || route.plainToo || (facts.loopback && route.builtIn) : route.listeners.has(facts.listener)) return route;
    elsewhere ||= route.listeners === null;
  }
  return elsewhere ? 'elsewhere' : undefined;
}

/** The routes that may hold for a host name, most specific first. */
function candidates(snapshot: Snapshot, host: string, loopback: boolean): HostRoutes[] {
  const found: HostRoutes[] = [];
  const exact = snapshot.exact.get(host) ?? (loopback && LOOPBACK_NAMES.has(host) ? snapshot.exact.get(snapshot.primaryDomain) : undefined);
  if (exact) found.push(exact);
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
    const wildcard = snapshot.wildcards.get(host.slice(dot + 1));
    if (wildcard) found.push(wildcard);
  }
  if (snapshot.any) found.push(snapshot.any);
  return found;
}

interface HostLookup {
  readonly host: string;
  readonly entries: readonly HostRoutes[];
}
// What a Host line means in a snapshot never changes, and the same few come again and again. Keyed by the snapshot, so that a
// new one starts empty; bounded, because Host lines are the peer's.
const lookups = new WeakMap<Snapshot, readonly [far: Map<string, HostLookup>, loopback: Map<string, HostLookup>]>();
const LOOKUPS_MAX = 10_000;

function lookUp(snapshot: Snapshot, authority: string, loopback: boolean): HostLookup | undefined {
  let both = lookups.get(snapshot);
  if (!both) lookups.set(snapshot, (both = [new Map(), new Map()]));
  const cache = both[loopback ? 1 : 0];
  const cached = cache.get(authority);
  if (cached) return cached;
  const host = hostNameOf(authority);
  if (host === undefined) return undefined;
  const lookup = { host, entries: candidates(snapshot, host, loopback) };
  // Names that are nobody's are not worth a place.
  if (lookup.entries.length === 0) return lookup;
  if (cache.size >= LOOKUPS_MAX) cache.clear();
  cache.set(authority, lookup);
  return lookup;
}

/**
 * Judges one exchange by where it came in, what it calls itself for, and its path. `authority` is Host (or the
 * absolute-form's), '' when an HTTP/1.0 client sent none; `target` is in origin-form or `*`.
 */
export function decideExchange(snapshot: Snapshot, facts: ConnFacts, authority: string, target: string): Verdict {
  if (facts.link) return { step: 'link' };
  const lookup = lookUp(snapshot, authority === '' ? '-' : authority, facts.loopback);
  if (lookup === undefined) return refuse(400, 'Host is not a host name', 'host syntax');
  const { host, entries } = lookup;
  if (entries.length === 0) return refuse(421, `"${host}" is not a name of this gateway`, 'unknown host');
  let elsewhere = false;
  for (const entry of entries) {
    if (entry.byPath && DOT_SEGMENT.test(target)) return refuse(400, 'the path has dot segments', 'path syntax');
    const route = choose(entry, facts, target, snapshot.local);
    if (route === undefined) continue;
    if (route === 'elsewhere') {
      elsewhere = true;
      continue;
    }
    if (route.target.kind === 'devices') {
      const domain = entry.host!.slice(2);
      const label = host.slice(0, host.length - domain.length - 1);
      if (label.includes('.')) return refuse(421, `"${host}" is not a name of this gateway`, 'unknown host');
      return { step: 'device', route, host, domain, label };
    }
    return { step: 'route', route, host };
  }
  if (elsewhere) return facts.secure ? NO_ROUTE : { step: 'secure', rule: 'plain listener' };
  return NO_ROUTE;
}
