// A configuration compiled for deciding: frozen, no live handle in it, built whole or not at all.
import { checkFeedRules, checkSinks } from './feed-rules.ts';
import { reasonOf } from '#base/fault.ts';
import { buildNetworkSet, type NetworkSet } from '#base/networks.ts';
import { parseDirectory, parseDnsWay } from './acme.ts';
import type { Config, ConfigApplication, ConfigListener, ConfigProblem, ConfigRoute, ConfigTarget, Protocol } from './config.ts';
import type { Target } from './target.ts';
import { compileRedirects, type Redirects } from './redirect.ts';
import { compileTlsPolicies, tlsPolicyOf, type TlsPolicies } from './tls-policy.ts';

/** Where a route leads, with the built-in ones: `devices` is looked up in a table by the name's first label. */
export type RouteTarget = Exclude<Target, { kind: 'device' }> | { readonly kind: 'named-device'; readonly device: string; readonly port: number } | { readonly kind: 'devices' };

/** A named set of paths and methods. */
export interface UrlClass {
  readonly name: string;
  /** As compared: unreserved characters decoded, lower case where the route ignores case. */
  readonly paths: readonly string[];
  readonly methods: ReadonlySet<string> | null;
}

export interface Route {
  readonly name: string;
  readonly protocol: Protocol;
  /** null: every TLS listener, and plain ones where the gateway is local. */
  readonly listeners: ReadonlySet<string> | null;
  /** As configured, `*.` included; null for any. */
  readonly host: string | null;
  readonly path: string;
  readonly ignoreCase: boolean;
  /** The user, alias or number named in the protocol, lower case; a `*` at its end stands for anything. */
  readonly alias: string | null;
  /** Only with a verified client certificate, and this common name unless it is null. */
  readonly certificate: { readonly subject: string | null } | null;
  readonly classes: readonly UrlClass[];
  /** What is in no class is refused. */
  readonly onlyClasses: boolean;
  readonly target: RouteTarget;
  readonly largeHeads: boolean;
  /** It knows devices by their address; null: it does not care. */
  readonly application: ConfigApplication | null;
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

/** The routes of one protocol by host. */
export interface HostTable {
  readonly exact: ReadonlyMap<string, HostRoutes>;
  /** By the suffix without `*.`. */
  readonly wildcards: ReadonlyMap<string, HostRoutes>;
  readonly any: HostRoutes | null;
}

/** A listener as the data plane asks it. */
export interface Doorway {
  readonly name: string;
  readonly tls: boolean;
  /** Inside TLS where the listener speaks it, else as it comes. */
  readonly protocols: ReadonlySet<Protocol>;
  /** Without TLS on a TLS listener. */
  readonly plain: ReadonlySet<Protocol>;
  readonly proxyProtocolFrom: NetworkSet;
  readonly serverFirst: boolean;
  readonly silentMs: number | null;
  readonly sniffTimeoutMs: number | null;
  /** Nothing but HTTP is taken: no look at the first line is needed. */
  readonly httpOnly: boolean;
}

/** Whose forwarding headers are kept. */
export interface TrustedProxies {
  readonly all: NetworkSet;
  /** In order of the configuration; null subject: the address is enough. */
  readonly entries: readonly { readonly from: NetworkSet; readonly subject: string | null }[];
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
  /** The device protocol for whoever names an address, or nothing, as Host. */
  readonly deviceRoute: Route;
  /** Every protocol but http, which stands in `exact`, `wildcards` and `any` itself. */
  readonly byProtocol: ReadonlyMap<Protocol, HostTable>;
  readonly doorways: ReadonlyMap<string, Doorway>;
  readonly tlsPolicies: TlsPolicies;
  readonly trustedProxies: TrustedProxies;
  /** Some route's server knows devices by their address. */
  readonly hasApplications: boolean;
  /** Which server a device's data belongs to. */
  readonly redirects: Redirects;
}

/** SNI by which the link endpoint is recognised where ALPN does not get through. */
export function isLinkName(snapshot: Snapshot, serverName: string): boolean {
  return serverName.startsWith('link.') && snapshot.domains.has(serverName.slice('link.'.length));
}

function targetOf(target: ConfigTarget): RouteTarget {
  return target.kind === 'device' ? { kind: 'named-device', device: target.device, port: target.port } : target;
}

const samePlace = (a: Route, b: Route) =>
  a.path === b.path && a.alias === b.alias && a.certificate?.subject === b.certificate?.subject && (a.certificate === null) === (b.certificate === null) &&
  (a.listeners === null || b.listeners === null ? a.listeners === b.listeners : [...a.listeners].some((name) => b.listeners!.has(name)));

/** Longest path first; then who asks for a certificate, for an alias (the longer one first), names its listeners. */
const moreSpecific = (a: Route, b: Route) =>
  b.path.length - a.path.length || Number(a.certificate === null) - Number(b.certificate === null) || Number(a.certificate?.subject === null) - Number(b.certificate?.subject === null) ||
  (b.alias?.length ?? 0) - (a.alias?.length ?? 0) || Number(a.alias?.endsWith('*') ?? false) - Number(b.alias?.endsWith('*') ?? false) || Number(a.listeners === null) - Number(b.listeners === null);

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

const TWO_READINGS = /^[^?]*?(?:[;\\]|%(?:00|23|2f|3b|3f|5c))/i;

/**
 * The same as the most generous server takes it: encoded slashes and backslashes separate segments, `;…` is no part of a name, and an encoded
 * end ends it. Null where nothing of this is there.
 */
export function generousPath(target: string): string | null {
  if (!TWO_READINGS.test(target)) return null;
  const path = target.split('?', 1)[0]!;
  return comparablePath(path.replace(/%(?:00|23|3f).*$/i, '').replace(/%2f|%5c|\\/gi, '/').replace(/(?:;|%3b)[^/]*/gi, ''));
}

const builtIn = { protocol: 'http', listeners: null, path: '/', ignoreCase: false, alias: null, certificate: null, classes: [], onlyClasses: false, largeHeads: false, application: null, builtIn: true, plainToo: false } as const;

function compileDoorways(config: Config, problems: ConfigProblem[]): Map<string, Doorway> {
  const doorways = new Map<string, Doorway>();
  const places = new Set<string>();
  config.listeners.forEach((listener: ConfigListener, i) => {
    const at = `listeners[${i}]`;
    if (doorways.has(listener.name)) problems.push({ path: `${at}.name`, message: `"${listener.name}" is the name of another listener` });
    const place = `${listener.address} ${listener.port}`;
    if (listener.port !== 0 && places.has(place)) problems.push({ path: `${at}.port`, message: `port ${listener.port} of ${listener.address} is taken by another listener` });
    places.add(place);
    if (!listener.tls && listener.plain.length > 0) problems.push({ path: `${at}.plain`, message: 'is for TLS listeners; on a plain one "protocols" says what may come' });
    if (listener.plain.includes('tls')) problems.push({ path: `${at}.plain`, message: 'tls is passed through where "protocols" has it' });
    if (listener.serverFirst && listener.protocols.some((each) => each !== 'tcp')) problems.push({ path: `${at}.serverFirst`, message: 'nothing is looked at where the server speaks first: "protocols" can only be ["tcp"]' });
    const protocols = new Set(listener.protocols);
    const plain = new Set(listener.plain);
    doorways.set(listener.name, {
      name: listener.name, tls: listener.tls, protocols, plain, proxyProtocolFrom: buildNetworkSet(listener.proxyProtocolFrom), serverFirst: listener.serverFirst,
      silentMs: listener.silentMs ?? null, sniffTimeoutMs: listener.sniffTimeoutMs ?? null, httpOnly: protocols.size === 1 && protocols.has('http') && plain.size === 0,
    });
  });
  return doorways;
}

const HTTP_ONLY_FIELDS = ['ignoreCase', 'onlyClasses', 'largeHeads'] as const;

/** What a route says that cannot hold together. */
function checkRoute(route: ConfigRoute, at: string, doorways: ReadonlyMap<string, Doorway>, policies: TlsPolicies, problems: ConfigProblem[]): void {
  const say = (field: string, message: string) => void problems.push({ path: `${at}.${field}`, message });
  const isHttp = route.protocol === 'http';
  for (const name of route.listeners ?? []) {
    const doorway = doorways.get(name);
    if (!doorway) say('listeners', `there is no listener "${name}"`);
    else if (!doorway.protocols.has(route.protocol) && !doorway.plain.has(route.protocol)) say('listeners', `listener "${name}" does not take ${route.protocol}; add it to its "protocols"`);
  }
  if (!isHttp && !route.listeners && ![...doorways.values()].some((each) => each.tls && each.protocols.has(route.protocol))) say('protocol', `no TLS listener takes ${route.protocol}; name listeners that do`);
  if (!isHttp) {
    if (route.path !== '/') say('path', `${route.protocol} has no paths`);
    if (route.classes.length > 0) say('classes', `${route.protocol} has no paths`);
    for (const field of HTTP_ONLY_FIELDS) if (route[field]) say(field, `means nothing for ${route.protocol}`);
    if (route.target.kind === 'redirect' || route.target.kind === 'respond') say('target', `${route.protocol} can lead to tcp, tls or device`);
  } else if (route.alias !== undefined) say('alias', 'means nothing for http');
  if (route.onlyClasses && route.classes.length === 0) say('onlyClasses', 'there are no classes, so everything would be refused');
  if (route.protocol === 'tls') {
    if (route.clientCertificate) say('clientCertificate', 'TLS that is passed through shows its certificate to the server only');
    if (route.target.kind === 'tls') say('target', 'TLS is passed through as it is: the target is tcp or device');
    if (route.alias !== undefined) say('alias', 'TLS names no user');
  }
  if (route.target.kind === 'tls' && route.target.checkCertificate && !['ldap', 'sip', 'h323'].includes(route.protocol)) say('target.checkCertificate', `${route.protocol} names no user that a certificate could be compared with`);
  if (route.clientCertificate || (route.target.kind === 'tls' && route.target.checkCertificate)) {
    const where = route.listeners ?? [...doorways.values()].filter((each) => each.tls && each.protocols.has(route.protocol)).map((each) => each.name);
    const name = route.host === undefined ? null : route.host.startsWith('*.') ? `any.${route.host.slice(2)}` : route.host;
    if (!where.some((listener) => tlsPolicyOf(policies, listener, name).clientCa !== null || (!isHttp && tlsPolicyOf(policies, listener, null).clientCa !== null))) {
      say(route.clientCertificate ? 'clientCertificate' : 'target.checkCertificate', 'no TLS policy asks clients of this host for a certificate; add "clientCertificates" to one');
    }
  }
}

/** An application that is told of devices' addresses. */
function checkApplication(route: ConfigRoute, at: string, config: Config, problems: ConfigProblem[]): void {
  const { application, target } = route;
  if (!application) return;
  const say = (field: string, message: string) => void problems.push({ path: `${at}.${field}`, message });
  const isVirtual = application.tell === 'virtual' || application.address === 'virtual';
  if (target.kind !== 'tcp' && target.kind !== 'tls') return say('application', 'the target of an application is tcp or tls');
  if (target.proxyProtocol !== undefined) say('target.proxyProtocol', 'the application says in "tell" how it hears addresses; take this away');
  if (isVirtual && !config.addressPool) say('application', 'virtual addresses need an "addressPool"');
  if (application.callbacks.length > 0 && !isVirtual) say('application.callbacks', 'a device is called back at its virtual address: "tell" or "address" has to be virtual');
  for (const [i, each] of application.callbacks.entries()) {
    if (application.callbacks.findIndex((other) => other.transport === each.transport && other.port === each.port) < i) say(`application.callbacks[${i}]`, `port ${each.port}/${each.transport} is there twice`);
  }
  if (route.protocol === 'http') return;
  if (application.tell === 'headers') say('application.tell', `${route.protocol} has no headers; choose proxy-v1, proxy-v2 or virtual`);
  if (application.session.jar || application.session.urlPrefix) say('application.session', `${route.protocol} has neither cookies nor links`);
}

function checkAcme({ directory, challenge, dns, onDemand, termsAgreed }: NonNullable<Config['acme']>, problems: ConfigProblem[]): void {
  const say = (field: string, run: () => unknown) => {
    try {
      run();
    } catch (thrown) {
      problems.push({ path: `acme.${field}`, message: reasonOf(thrown) });
    }
  };
  say('directory', () => parseDirectory(directory));
  if (challenge === 'dns-01' || dns) say('dns', () => parseDnsWay(dns ?? null));
  if (onDemand && !termsAgreed) problems.push({ path: 'acme.termsAgreed', message: 'read the terms of the authority and set it to true: without, nothing can be ordered' });
}

/** One route of the configuration; several paths make several. */
function routesOf(route: ConfigRoute): Route[] {
  const comparable = (path: string) => (route.ignoreCase ? comparablePath(path).toLowerCase() : comparablePath(path));
  const paths = typeof route.path === 'string' ? [route.path] : [...new Set(route.path)];
  return paths.map((path) => ({
    name: route.name, protocol: route.protocol, listeners: route.listeners ? new Set(route.listeners) : null, host: route.host ?? null, path: comparable(path), ignoreCase: route.ignoreCase,
    alias: route.alias?.toLowerCase() ?? null, certificate: route.clientCertificate ? { subject: route.clientCertificate.subject?.toLowerCase() ?? null } : null,
    classes: route.classes.map((each) => ({ name: each.name, paths: each.paths.map(comparable), methods: each.methods ? new Set(each.methods) : null })),
    onlyClasses: route.onlyClasses, target: targetOf(route.target), largeHeads: route.largeHeads, application: route.application ?? null, builtIn: false, plainToo: false,
  }));
}

function tableOf(lists: ReadonlyMap<string | null, Route[]>): HostTable {
  const exact = new Map<string, HostRoutes>();
  const wildcards = new Map<string, HostRoutes>();
  let any: HostRoutes | null = null;
  for (const [host, routes] of lists) {
    routes.sort(moreSpecific);
    const entry: HostRoutes = { host, routes, byPath: routes.some((route) => route.path !== '/' || route.classes.length > 0) };
    if (host === null) any = entry;
    else if (host.startsWith('*.')) wildcards.set(host.slice(2), entry);
    else exact.set(host, entry);
  }
  return { exact, wildcards, any };
}

/** Builds the snapshot, or names every problem. `revision` is the one it will be published as. */
export function compile(config: Config, revision: number): { snapshot: Snapshot } | { problems: ConfigProblem[] } {
  const problems: ConfigProblem[] = [];
  const doorways = compileDoorways(config, problems);
  const tlsPolicies = compileTlsPolicies(config, new Set(doorways.keys()), problems);
  const domains = config.domains.map((domain) => domain.name);
  config.domains.forEach((domain, i) => {
    if (domains.indexOf(domain.name) !== i) problems.push({ path: `domains[${i}].name`, message: `"${domain.name}" is there twice` });
  });
  if (config.deviceDomain !== null && domains.includes(config.deviceDomain)) problems.push({ path: 'deviceDomain', message: 'must differ from the domains, or be null' });
  const deviceDomains = config.deviceDomain === null ? domains : [config.deviceDomain];

  const lists = new Map<Protocol, Map<string | null, Route[]>>([['http', new Map()]]);
  const names = new Map<string, number>();
  const add = (route: Route, path: string) => {
    let ofProtocol = lists.get(route.protocol);
    if (!ofProtocol) lists.set(route.protocol, (ofProtocol = new Map()));
    const list = ofProtocol.get(route.host);
    if (list === undefined) ofProtocol.set(route.host, [route]);
    else {
      const twin = list.find((other) => samePlace(other, other.builtIn ? { ...route, certificate: null } : route));
      if (twin) problems.push({ path, message: `"${route.name}" and "${twin.name}" are equal: same host, same path, same listener; remove one or make one more specific` });
      list.push(route);
    }
  };
  for (const domain of domains) {
    add({ ...builtIn, name: `console of ${domain}`, host: domain, target: { kind: 'service', name: 'console' } }, 'domains');
    add({ ...builtIn, name: `streams of ${domain}`, host: domain, path: '/stream', target: { kind: 'service', name: 'stream' } }, 'domains');
  }
  for (const domain of domains) add({ ...builtIn, name: `certificate authority of ${domain}`, host: domain, path: '/ca', target: { kind: 'service', name: 'console' }, plainToo: true }, 'domains');
  const devices = (domain: string): Route => ({ ...builtIn, name: `device protocol of ${domain}`, host: domain, path: '/v1', target: { kind: 'service', name: 'device' }, plainToo: true });
  for (const domain of domains) add(devices(domain), 'domains');
  for (const domain of deviceDomains) add({ ...builtIn, name: `devices of ${domain}`, host: `*.${domain}`, target: { kind: 'devices' }, largeHeads: true }, 'domains');
  config.routes.forEach((route, i) => {
    const before = names.get(route.name);
    if (before !== undefined) problems.push({ path: `routes[${i}].name`, message: `"${route.name}" is also the name of routes[${before}]` });
    names.set(route.name, i);
    checkRoute(route, `routes[${i}]`, doorways, tlsPolicies, problems);
    checkApplication(route, `routes[${i}]`, config, problems);
    for (const each of routesOf(route)) add(each, `routes[${i}]`);
  });
  if (config.acme) checkAcme(config.acme, problems);
  checkFeedRules(config, problems);
  checkSinks(config, problems);
  const redirects = compileRedirects(config, problems);
  const passedThrough = lists.get('tls');
  for (const [host, routes] of passedThrough ?? []) {
    const here = lists.get('http')!.get(host)?.find((other) => other.listeners === null || routes.some((route) => route.listeners === null || [...route.listeners].some((name) => other.listeners!.has(name))));
    if (here && host !== null) problems.push({ path: 'routes', message: `TLS for ${host} cannot be both passed through ("${routes[0]!.name}") and answered here ("${here.name}")` });
  }
  if (problems.length > 0) return { problems };

  const http = tableOf(lists.get('http')!);
  const byProtocol = new Map([...lists].filter(([protocol]) => protocol !== 'http').map(([protocol, list]) => [protocol, tableOf(list)]));
  const trustedProxies: TrustedProxies = {
    all: buildNetworkSet(config.trustedProxies.map((each) => each.from)),
    entries: config.trustedProxies.map((each) => ({ from: buildNetworkSet([each.from]), subject: each.subject?.toLowerCase() ?? null })),
  };
  return {
    snapshot: Object.freeze({
      revision, config, local: domains[0] === 'localhost', domains: new Set(domains), primaryDomain: domains[0]!, deviceDomains, exact: http.exact, wildcards: http.wildcards, any: http.any, deviceRoute: devices(domains[0]!),
      byProtocol, doorways, tlsPolicies, trustedProxies, hasApplications: config.routes.some((route) => route.application !== undefined), redirects,
    }),
  };
}
