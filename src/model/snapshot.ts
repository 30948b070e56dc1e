// A configuration compiled for deciding: frozen, no live handle in it, built whole or not at all.
import type { Config, ConfigProblem, ConfigTarget } from './config.ts';
import type { Target } from './target.ts';

/** Where a route leads, with the built-in ones: `devices` is looked up in a table by the name's first label. */
export type RouteTarget = Exclude<Target, { kind: 'device' }> | { readonly kind: 'named-device'; readonly device: string; readonly port: number } | { readonly kind: 'devices' };

export interface Route {
  readonly name: string;
  /** null: every TLS listener, and plain ones where the gateway is local. */
  readonly listeners: ReadonlySet<string> | null;
  /** As configured, `*.` included; null for any. */
  readonly host: string | null;
  readonly path: string;
  readonly target: RouteTarget;
  readonly largeHeads: boolean;
  readonly builtIn: boolean;
  /** Answered on plain listeners too, wherever the gateway stands: what must work before anyone can speak TLS to us. */
  readonly plainToo: boolean;
}

/** All routes of one host pattern, longest path first. */
export interface HostRoutes {
  readonly host: string | null;
  readonly routes: readonly Route[];
  /** Some route is chosen by its path, so dot segments matter. */
  readonly byPath: boolean;
}

export interface Snapshot {
  readonly revision: number;
  readonly config: Config;
  /** The first domain is `localhost`: plain HTTP listens on loopback and serves everything. */
  readonly local: boolean;
  readonly domains: ReadonlySet<string>;
  readonly primaryDomain: string;
  /** Suffixes under which a device's label stands, the preferred one first. */
  readonly deviceDomains: readonly string[];
  readonly exact: ReadonlyMap<string, HostRoutes>;
  /** By the suffix without `*.`. */
  readonly wildcards: ReadonlyMap<string, HostRoutes>;
  readonly any: HostRoutes | null;
}

/** SNI by which the link endpoint is recognised where ALPN does not get through. */
export function isLinkName(snapshot: Snapshot, serverName: string): boolean {
  return serverName.startsWith('link.') && snapshot.domains.has(serverName.slice('link.'.length));
}

function targetOf(target: ConfigTarget): RouteTarget {
  return target.kind === 'device' ? { kind: 'named-device', device: target.device, port: target.port } : target;
}

const samePlace = (a: Route, b: Route) => a.path === b.path && (a.listeners === null || b.listeners === null ? a.listeners === b.listeners : [...a.listeners].some((name) => b.listeners!.has(name)));

// RFC 3986 §2.3: letters, digits, "-", ".", "_", "~" mean the same whether they are percent-encoded or not.
const ENCODED_UNRESERVED = /%(?:2[de]|3\d|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])/gi;

/**
 * A target, or a route's path, as routes are chosen by it: unreserved characters decoded, empty segments gone, the query as it was. Servers
 * behind us take `/%61dmin` and `//admin` for `/admin`. Never for what is forwarded.
 */
export function comparablePath(target: string): string {
  if (!target.includes('%') && !target.includes('//')) return target;
  const end = target.indexOf('?');
  const path = end < 0 ? target : target.slice(0, end);
  return path.replace(ENCODED_UNRESERVED, (code) => String.fromCharCode(Number.parseInt(code.slice(1), 16))).replace(/\/{2,}/g, '/') + (end < 0 ? '' : target.slice(end));
}

/** Builds the snapshot, or names every problem. `revision` is the one it will be published as. */
export function compile(config: Config, revision: number): { snapshot: Snapshot } | { problems: ConfigProblem[] } {
  const problems: ConfigProblem[] = [];
  const listenerNames = new Set<string>();
  const places = new Set<string>();
  config.listeners.forEach((listener, i) => {
    if (listenerNames.has(listener.name)) problems.push({ path: `listeners[${i}].name`, message: `"${listener.name}" is the name of another listener` });
    listenerNames.add(listener.name);
    const place = `${listener.address} ${listener.port}`;
    if (listener.port !== 0 && places.has(place)) problems.push({ path: `listeners[${i}].port`, message: `port ${listener.port} of ${listener.address} is taken by another listener` });
    places.add(place);
  });
  const domains = config.domains.map((domain) => domain.name);
  config.domains.forEach((domain, i) => {
    if (domains.indexOf(domain.name) !== i) problems.push({ path: `domains[${i}].name`, message: `"${domain.name}" is there twice` });
  });
  if (config.deviceDomain !== null && domains.includes(config.deviceDomain)) problems.push({ path: 'deviceDomain', message: 'must differ from the domains, or be null' });
  const deviceDomains = config.deviceDomain === null ? domains : [config.deviceDomain];

  const lists = new Map<string | null, Route[]>();
  const names = new Map<string, number>();
  const add = (route: Route, path: string) => {
    const list = lists.get(route.host);
    if (list === undefined) lists.set(route.host, [route]);
    else {
      const twin = list.find((other) => samePlace(other, route));
      if (twin) problems.push({ path, message: `"${route.name}" and "${twin.name}" are equal: same host, same path, same listener; remove one or make one more specific` });
      list.push(route);
    }
  };
  for (const domain of domains) {
    add({ name: `console of ${domain}`, listeners: null, host: domain, path: '/', target: { kind: 'service', name: 'console' }, largeHeads: false, builtIn: true, plainToo: false }, 'domains');
    add({ name: `streams of ${domain}`, listeners: null, host: domain, path: '/stream', target: { kind: 'service', name: 'stream' }, largeHeads: false, builtIn: true, plainToo: false }, 'domains');
  }
  for (const domain of domains) {
    add({ name: `certificate authority of ${domain}`, listeners: null, host: domain, path: '/ca', target: { kind: 'service', name: 'console' }, largeHeads: false, builtIn: true, plainToo: true }, 'domains');
  }
  for (const domain of deviceDomains) {
    add({ name: `devices of ${domain}`, listeners: null, host: `*.${domain}`, path: '/', target: { kind: 'devices' }, largeHeads: true, builtIn: true, plainToo: false }, 'domains');
  }
  config.routes.forEach((route, i) => {
    const before = names.get(route.name);
    if (before !== undefined) problems.push({ path: `routes[${i}].name`, message: `"${route.name}" is also the name of routes[${before}]` });
    names.set(route.name, i);
    for (const name of route.listeners ?? []) if (!listenerNames.has(name)) problems.push({ path: `routes[${i}].listeners`, message: `there is no listener "${name}"` });
    add({ name: route.name, listeners: route.listeners ? new Set(route.listeners) : null, host: route.host ?? null, path: comparablePath(route.path), target: targetOf(route.target), largeHeads: route.largeHeads, builtIn: false, plainToo: false }, `routes[${i}]`);
  });
  if (problems.length > 0) return { problems };

  const exact = new Map<string, HostRoutes>();
  const wildcards = new Map<string, HostRoutes>();
  let any: HostRoutes | null = null;
  for (const [host, routes] of lists) {
    routes.sort((a, b) => b.path.length - a.path.length);
    const entry: HostRoutes = { host, routes, byPath: routes.some((route) => route.path !== '/') };
    if (host === null) any = entry;
    else if (host.startsWith('*.')) wildcards.set(host.slice(2), entry);
    else exact.set(host, entry);
  }
  return {
    snapshot: Object.freeze({ revision, config, local: domains[0] === 'localhost', domains: new Set(domains), primaryDomain: domains[0]!, deviceDomains, exact, wildcards, any }),
  };
}
