// Which facts lead to which verdict: pure, synchronous, total. The one place where a route is chosen, used by the
// data plane for each exchange and by explain offline.
import { hostNameOf } from '#wire/http1.ts';
import { comparablePath, generousPath } from './snapshot.ts';
import type { HostRoutes, Route, Snapshot } from './snapshot.ts';
import { isMisdirected, tlsPolicyOf, type TlsPolicy } from './tls-policy.ts';

/** A client certificate as the TLS policy judged it. */
export interface ClientCertificate {
  /** Common name; null without. */
  readonly subject: string | null;
  /** Its chain leads to the CA that the policy names. */
  readonly verified: boolean;
  /** Shown by a trusted proxy for itself: it satisfies the TLS policy of the connection, and proves nothing of the clients behind it. */
  readonly isProxys?: true;
}

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
  /** What the handshake was done under; null without TLS, and on the link endpoint. */
  readonly policy: TlsPolicy | null;
  /** Null when none was asked for or shown. */
  readonly certificate: ClientCertificate | null;
}

export type Verdict =
  | { readonly step: 'refuse'; readonly status: 400 | 403 | 404 | 421; readonly why: string; readonly rule: string }
  | { readonly step: 'secure'; readonly rule: string }
  /** `cls`: the class of the route that the request is in. */
  | { readonly step: 'route'; readonly route: Route; readonly host: string; readonly cls: string | null }
  | { readonly step: 'device'; readonly route: Route; readonly host: string; readonly domain: string; readonly label: string }
  | { readonly step: 'link' };

const refuse = (status: 400 | 403 | 404 | 421, why: string, rule: string): Verdict => ({ step: 'refuse', status, why, rule });
const NO_ROUTE = refuse(404, 'no route leads anywhere for this path', 'default deny');
const LOOPBACK_NAMES = new Set(['localhost', '127.0.0.1', '[::1]']);
/** An address literal, or what stands for no Host. */
const NAMELESS = /^(?:-|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\])$/;
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

/** Does the client's certificate satisfy what the route asks for? */
export function holdsCertificate(route: Route, facts: ConnFacts): boolean {
  const { certificate } = route;
  if (certificate === null) return true;
  return facts.certificate !== null && facts.certificate.verified && facts.certificate.isProxys !== true && (certificate.subject === null || facts.certificate.subject?.toLowerCase() === certificate.subject);
}

function choose(entry: HostRoutes, facts: ConnFacts, target: string, local: boolean): Route | 'elsewhere' | 'certificate' | undefined {
  let elsewhere = false;
  /** A route that asks for a certificate: one with a shorter path, or of a broader name, is no way around it. */
  let wanting: Route | null = null;
  const comparable = entry.byPath ? comparablePath(target) : target;
  for (const route of entry.routes) {
    if (wanting !== null && route.path.length < wanting.path.length) break;
    // Our own are compared as they came: "//ca/api" is no way to "/ca", behind which a URL parser would take "ca" for a host.
    if (!pathMatches(route.path, route.builtIn ? target : route.ignoreCase ? comparable.toLowerCase() : comparable)) continue;
    if (route.listeners === null ? facts.secure || local || route.plainToo || (facts.loopback && route.builtIn) : route.listeners.has(facts.listener)) {
      if (route.certificate === null || holdsCertificate(route, facts)) return route;
      wanting = route;
      continue;
    }
    elsewhere ||= route.listeners === null;
  }
  return wanting !== null ? 'certificate' : elsewhere ? 'elsewhere' : undefined;
}

/** Would a server that reads the path more generously than we do take it for one of a route with a longer path? Then it would be a way around that. */
function hasTwoReadings(entry: HostRoutes, facts: ConnFacts, target: string, chosen: Route | undefined): boolean {
  const generous = generousPath(target);
  if (generous === null) return false;
  return entry.routes.some((route) => !route.builtIn && route.path.length > (chosen?.path.length ?? 0) && (route.listeners === null || route.listeners.has(facts.listener)) && pathMatches(route.path, route.ignoreCase ? generous.toLowerCase() : generous));
}

/** The class of the route that a request is in: the one with the longest path of those that match. */
function classOf(route: Route, method: string, target: string): string | null {
  const comparable = route.ignoreCase ? comparablePath(target).toLowerCase() : comparablePath(target);
  let best: string | null = null;
  let length = 0;
  for (const each of route.classes) {
    if (each.methods !== null && !each.methods.has(method)) continue;
    for (const path of each.paths) {
      if (path.length <= length || !pathMatches(path, comparable)) continue;
      best = each.name;
      length = path.length;
    }
  }
  return best;
}

/** The routes that may hold for a host name, most specific first. */
export function candidates(snapshot: Snapshot, host: string, loopback: boolean): HostRoutes[] {
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
export function decideExchange(snapshot: Snapshot, facts: ConnFacts, authority: string, target: string, method = 'GET'): Verdict {
  if (facts.link) return { step: 'link' };
  const lookup = lookUp(snapshot, authority === '' ? '-' : authority, facts.loopback);
  if (lookup === undefined) return refuse(400, 'Host is not a host name', 'host syntax');
  const { host, entries } = lookup;
  // Small devices are programmed with an address, and those of HTTP/1.0 send no Host at all.
  const device = entries.length === 0 && NAMELESS.test(host) && pathMatches(snapshot.deviceRoute.path, target) ? snapshot.deviceRoute : null;
  if (entries.length === 0 && device === null) return refuse(421, `"${host}" is not a name of this gateway`, 'unknown host');
  // A name that asks other things of clients than the one in TLS did is a way around it (domain fronting, coalesced connections).
  if (facts.policy !== null && isMisdirected(snapshot.tlsPolicies, facts.listener, host, facts.policy, facts.serverName)) {
    return refuse(421, `"${host}" has another TLS policy than the name this connection was made for`, 'TLS policy');
  }
  if (facts.policy !== null && facts.policy.certificateRequired && facts.certificate?.verified !== true) {
    return refuse(403, 'a client certificate is needed, and none was shown that the CA of this name signed', `TLS policy ${facts.policy.name}`);
  }
  if (device !== null) return { step: 'route', route: device, host, cls: null };
  // Without TLS of ours nobody shows a certificate: a gateway that serves on plain loopback and a proxy that says "https" are no way around it.
  // Where a route names a plain listener, that is what somebody wanted.
  const wanting = facts.policy === null && !snapshot.tlsPolicies.isEmpty ? tlsPolicyOf(snapshot.tlsPolicies, facts.listener, host) : null;
  let elsewhere = false;
  for (const entry of entries) {
    if (entry.byPath && DOT_SEGMENT.test(target)) return refuse(400, 'the path has dot segments', 'path syntax');
    const route = choose(entry, facts, target, snapshot.local);
    if (entry.byPath && typeof route !== 'string' && hasTwoReadings(entry, facts, target, route)) return refuse(400, 'the path can be read in two ways, which lead to two routes', 'path syntax');
    if (route === undefined) continue;
    if (route === 'elsewhere') {
      elsewhere = true;
      continue;
    }
    if (route === 'certificate') return refuse(403, 'a client certificate is needed that was not shown, or names somebody else', 'client certificate');
    if (wanting?.certificateRequired === true && route.listeners === null && !route.plainToo && !(facts.loopback && route.builtIn)) {
      const rule = `TLS policy ${wanting.name}`;
      return facts.secure ? refuse(403, 'a client certificate is needed, and without TLS none can be shown here', rule) : { step: 'secure', rule };
    }
    if (route.target.kind === 'devices') {
      const domain = entry.host!.slice(2);
      const label = host.slice(0, host.length - domain.length - 1);
      if (label.includes('.')) return refuse(421, `"${host}" is not a name of this gateway`, 'unknown host');
      return { step: 'device', route, host, domain, label };
    }
    if (route.classes.length === 0) return { step: 'route', route, host, cls: null };
    const cls = classOf(route, method, target);
    if (cls === null && route.onlyClasses) return refuse(403, 'this address, or this method for it, is not on the list of allowed ones', `${route.name}: allowed addresses`);
    return { step: 'route', route, host, cls };
  }
  if (elsewhere) return facts.secure ? NO_ROUTE : { step: 'secure', rule: 'plain listener' };
  return NO_ROUTE;
}
