// Why would this go there? The same decisions as on the data plane, told in lines. Offline with a document, or with the running snapshot and
// what the tables know.
import { canonicalAddress, isLoopback } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import { isInNetworks } from '#base/networks.ts';
import { parseConfig, type ConfigListener, type ConfigProblem } from './config.ts';
import { decideConnection, passThrough, type ConnVerdict } from './decide-connection.ts';
import { decideExchange, type ConnFacts } from './decide.ts';
import { packetOf, parseWay, type Way } from './explain-address.ts';
import { applicationLines, type ApplicationQuestion, type ApplicationTold } from './explain-application.ts';
import type { DeviceQuestion, DeviceTold } from './explain-device.ts';
import { namelessPacket } from './packet.ts';
import { describeTarget } from './precedence.ts';
import { parsePrefix, pathShown } from './secret-path.ts';
import { compile, isLinkName, type Doorway, type Route, type Snapshot } from './snapshot.ts';
import { levelFor, tlsPolicyOf, type TlsCapability } from './tls-policy.ts';
import { isTrustedPeer } from './trusted.ts';

export const tlsVersions = ['1.0', '1.1', '1.2', '1.3'] as const;
export type TlsVersion = (typeof tlsVersions)[number];

export interface ExplainQuery {
  /** `https://name/path`, `ldap://domain:port` …: the scheme names the protocol (explain-address.ts), the port the listener. */
  readonly url: string;
  /** Where it would come from; a loopback address when absent. */
  readonly from?: string | undefined;
  /** http only; GET when absent. */
  readonly method?: string | undefined;
  /** Common name of the client certificate that it would show, signed by the CA that the TLS policy names. */
  readonly certificate?: string | undefined;
  /** User, alias or number that the first packet names; `domain\user` and `user@domain` name the domain, too. */
  readonly user?: string | undefined;
  /** The best TLS that the client can do; 1.3 when absent. */
  readonly tls?: TlsVersion | undefined;
  /** The name in TLS, where it is not the host of the address. */
  readonly serverName?: string | undefined;
  /** When: the legacy lane has an end. */
  readonly nowMs: number;
}

export interface Explanation {
  /** `forward`, `device`, `console`, `redirect`, `respond`, `link`, `stream`, `join`, `terminate` (TLS ends here, what is inside decides), `refuse` */
  readonly verdict: string;
  /** The rule that wins. */
  readonly rule: string;
  readonly lines: string[];
  readonly listener: string | null;
  /** The sender is listed: it must begin with a PROXY protocol header. */
  readonly proxyHeader: boolean;
  /** Null: no TLS, or it was not come to. */
  readonly tls: { readonly policy: string | null; readonly level: string | null; readonly passedThrough: boolean } | null;
  readonly route: string | null;
  /** The class of the route that the request is in. */
  readonly cls: string | null;
  readonly target: string | null;
}

type Told = { -readonly [Key in keyof Explanation]: Explanation[Key] };

export class ConfigRefused extends Fault {
  readonly problems: readonly ConfigProblem[];
  constructor(problems: readonly ConfigProblem[]) {
    super('bad-input', `the configuration does not compile: ${problems.map((problem) => `${problem.path}: ${problem.message}`).join('; ')}`, { remedy: 'Mend the places named and try again.' });
    this.problems = problems;
  }
}

/** With a configuration document, no gateway needed. Fault `bad-input` (ConfigRefused) names every problem. */
export function explain(document: unknown, query: ExplainQuery): Explanation {
  const parsed = parseConfig(document);
  if ('problems' in parsed) throw new ConfigRefused(parsed.problems);
  const compiled = compile(parsed.config, 0);
  if ('problems' in compiled) throw new ConfigRefused(compiled.problems);
  return explainWith(compiled.snapshot, query);
}

const able: Readonly<Record<TlsVersion, TlsCapability>> = {
  '1.0': { tls13: false, needsLegacy: true }, '1.1': { tls13: false, needsLegacy: true }, '1.2': { tls13: false, needsLegacy: false }, '1.3': { tls13: true, needsLegacy: false },
};

/** What the running gateway's tables say. */
export interface ExplainKnowledge {
  /** Of a label. */
  readonly describeDevice?: (label: string) => string[];
  /** Of a request of the device protocol. */
  readonly describeRequest?: (question: DeviceQuestion) => DeviceTold;
  /** Of a request at an application. */
  readonly describeApplication?: (question: ApplicationQuestion) => ApplicationTold;
}

interface Asking {
  readonly snapshot: Snapshot;
  readonly query: ExplainQuery;
  readonly way: Way;
  readonly from: string;
  readonly doorway: Doorway;
  readonly told: Told;
  readonly knows: ExplainKnowledge;
}

function end(told: Told, verdict: string, rule: string, line: string): Explanation {
  told.lines.push(line);
  return { ...told, verdict, rule };
}

const placeOf = (each: ConfigListener) => `${each.name} (${each.address} ${each.port}${each.tls ? ', TLS' : ''})`;

/** The listener of that port, one that speaks as the address does before another; without a port one of that kind. */
function chooseListener({ config }: Snapshot, way: Way, from: string): ConfigListener | undefined {
  const speaksTls = way.tls === 'at-once';
  const reached = (each: ConfigListener) => !each.address.startsWith('127.') || isLoopback(from);
  const takes = (each: ConfigListener) => each.protocols.includes(way.protocol) || each.plain.includes(way.protocol);
  const score = (each: ConfigListener) => Number(reached(each)) * 4 + Number(each.tls === speaksTls) * 2 + Number(takes(each));
  const best = (list: readonly ConfigListener[]) => list.toSorted((a, b) => score(b) - score(a))[0];
  const ofPort = best(config.listeners.filter((each) => each.port === way.port));
  // A plain address on a TLS port is a mistake for HTTP, and a wish where the listener takes it without TLS.
  if (ofPort && (way.portGiven || ofPort.tls === speaksTls)) return ofPort;
  return way.portGiven ? undefined : best(config.listeners.filter((each) => each.tls === speaksTls && (way.protocol === 'http' || takes(each))));
}

function routeLine(route: Route): string {
  const words = [route.protocol, route.host === null ? 'any host' : `host ${route.host}`];
  if (route.protocol === 'http') words.push(`path ${route.path}`);
  if (route.alias !== null) words.push(`alias ${route.alias}`);
  if (route.certificate !== null) words.push(route.certificate.subject === null ? 'with a client certificate' : `with the client certificate of ${route.certificate.subject}`);
  if (route.listeners) words.push(`listeners ${[...route.listeners].join(', ')}`);
  return `route "${route.name}" wins: ${words.join(', ')}${route.builtIn ? ' (built in)' : ''}`;
}

/** What a TLS or PROXY-speaking target asks for. */
function upstreamLines({ target }: Pick<Route, 'target'>): string[] {
  if (target.kind !== 'tcp' && target.kind !== 'tls') return [];
  const lines: string[] = [];
  if (target.kind === 'tls') {
    const { verify } = target;
    const how = verify.by === 'name' ? `its name (${verify.name ?? target.host}) and ${verify.ca === undefined ? "the system's CAs" : 'the CA given'}` : verify.by === 'ca' ? 'the CA given, whatever its name' : `its fingerprint ${verify.sha256}`;
    lines.push(`TLS to the server: its certificate is judged by ${how}${target.certificate === undefined ? '' : `; ours, "${target.certificate}", is shown`}`);
  }
  if (target.proxyProtocol !== undefined) lines.push(`the server is told who the client is by a PROXY header, ${target.proxyProtocol}`);
  return lines;
}

function tellRelay({ told, query }: Asking, verdict: ConnVerdict): Explanation {
  if (verdict.step === 'refuse') return end(told, 'refuse', verdict.rule, `refused: ${verdict.why}`);
  const { route, target, proved } = verdict;
  told.route = route.name;
  told.target = describeTarget(target);
  told.lines.push(routeLine(route));
  if (route.target.kind === 'tls' && route.target.checkCertificate) {
    told.lines.push(proved ? `check certificate: ${query.certificate} is the user named` : `check certificate: not proved, so it is led to port ${target.port} without TLS`);
  }
  told.lines.push(...upstreamLines({ target }));
  return end(told, 'forward', route.name, `forwarded to ${told.target}${target.kind === 'named-device' ? ', through its agent' : ''}`);
}

function tellExchange(asking: Asking, facts: ConnFacts): Explanation {
  const { snapshot, query, way, told, from } = asking;
  if (isTrustedPeer(snapshot.trustedProxies, from, facts.certificate?.verified ? facts.certificate.subject : null)) told.lines.push(`${from} is a trusted proxy: its forwarding headers are kept, and say who the client is`);
  // A device's own address, or a session's, on an application's name: judged as what stands behind it.
  const prefix = parsePrefix(way.target);
  const inside = prefix === null ? null : decideExchange(snapshot, facts, way.authority, prefix.rest, query.method);
  const isInside = inside?.step === 'route' && inside.route.application !== null && (inside.route.target.kind === 'tcp' || inside.route.target.kind === 'tls');
  const verdict = isInside ? inside : decideExchange(snapshot, facts, way.authority, way.target, query.method);
  switch (verdict.step) {
    case 'refuse':
      return end(told, 'refuse', verdict.rule, `refused with ${verdict.status}: ${verdict.why}`);
    case 'secure':
      return end(told, 'redirect', verdict.rule, `a plain listener answers only routes that name it; redirected with 308 to https://${way.host}${pathShown(way.target)}`);
    case 'link':
      return end(told, 'link', 'link endpoint', 'the link endpoint: agents with a certificate, and joins with a one-time token');
    case 'device':
      told.route = verdict.route.name;
      told.target = describeTarget(verdict.route.target);
      told.lines.push(`route "${verdict.route.name}" wins: host ${verdict.route.host}; the device is the one with label "${verdict.label}"`);
      told.lines.push(...(asking.knows.describeDevice?.(verdict.label) ?? ['which device that is, and who may open it, is known to the running gateway only']));
      return { ...told, verdict: 'device', rule: verdict.route.name };
    case 'route': {
      const { route, cls } = verdict;
      const { target } = route;
      told.route = route.name;
      told.cls = cls;
      told.target = describeTarget(target);
      told.lines.push(routeLine(route));
      if (route.classes.length > 0) told.lines.push(cls === null ? 'it is in no class of the route' : `it is in class "${cls}"`);
      if (target.kind === 'redirect') return end(told, 'redirect', route.name, `redirected with ${target.status} to ${target.to}`);
      if (target.kind === 'respond') return end(told, 'respond', route.name, `answered with ${target.status} and ${Buffer.byteLength(target.body)} bytes`);
      if (target.kind === 'service' && target.name === 'device' && asking.knows.describeRequest) {
        const { lines, refusedBy } = asking.knows.describeRequest({ target: way.target, method: query.method ?? 'GET', from, secure: facts.secure, host: way.host.toLowerCase() });
        told.lines.push(...lines);
        return { ...told, verdict: refusedBy === null ? 'device' : 'refuse', rule: refusedBy ?? route.name };
      }
      if (target.kind === 'service') return end(told, target.name, route.name, `answered by the gateway's own ${target.name}`);
      told.lines.push(...upstreamLines(route));
      if (route.application !== null && (target.kind === 'tcp' || target.kind === 'tls')) {
        const { describeApplication } = asking.knows;
        if (describeApplication === undefined) told.lines.push(...applicationLines(route.application), 'who that would be is known to the running gateway only');
        else {
          const { lines, verdict: led, refusedBy } = describeApplication({ route, from, prefix: isInside ? prefix : null, path: isInside ? prefix!.rest : way.target });
          told.lines.push(...lines);
          if (led !== 'forward') return { ...told, verdict: led, rule: refusedBy ?? route.name };
        }
      }
      return end(told, 'forward', route.name, `forwarded to ${told.target}${target.kind === 'named-device' ? ', through its agent' : ''}`);
    }
  }
}

/** Inside TLS, or without it: what the first bytes would say. */
function lookInside(asking: Asking, facts: ConnFacts, takes: Doorway['protocols']): Explanation {
  const { snapshot, way, told, doorway, query } = asking;
  if (doorway.serverFirst && (facts.secure || !doorway.tls)) {
    told.lines.push('the server speaks first here: nothing is looked at, the port alone decides');
    return tellRelay(asking, decideConnection(snapshot, facts, namelessPacket('tcp')));
  }
  if (way.protocol === 'http') {
    if (!takes.has('http')) return end(told, 'refuse', `listener ${doorway.name}`, `refused: http is not what this listener takes ${facts.secure ? 'inside TLS' : 'without TLS'}`);
    return tellExchange(asking, facts);
  }
  if (way.protocol === 'tls') return end(told, 'terminate', `listener ${doorway.name}`, `TLS ends here; what comes inside decides. Taken are ${[...takes].filter((each) => each !== 'tls').join(', ') || 'none'}`);
  const packet = packetOf(way, query.user ?? way.userinfo);
  told.lines.push(`the first packet is ${packet.protocol}, names ${packet.host === null ? 'no domain' : packet.host}${packet.users.length > 0 ? ` and ${packet.users.join(', ')}` : ''}${packet.host === null && facts.serverName !== null ? `; the name in TLS, ${facts.serverName}, stands in` : ''}`);
  return tellRelay(asking, decideConnection(snapshot, facts, packet));
}

/** The handshake: link endpoint, policy, level, certificate. */
function shake(asking: Asking, serverName: string | null, loopback: boolean, takes: Doorway['protocols']): Explanation {
  const { snapshot, query, from, told, doorway } = asking;
  const common = { listener: doorway.name, secure: true, loopback, serverName };
  if (takes.has('http') && serverName !== null && isLinkName(snapshot, serverName)) {
    told.tls = { policy: null, level: 'link', passedThrough: false };
    return tellExchange(asking, { ...common, link: true, policy: null, certificate: null });
  }
  const policy = tlsPolicyOf(snapshot.tlsPolicies, doorway.name, serverName);
  const version = query.tls ?? '1.3';
  told.tls = { policy: policy.name, level: null, passedThrough: false };
  const chosen = levelFor(policy, from, able[version], query.nowMs);
  if ('why' in chosen) return end(told, 'refuse', `TLS policy ${policy.name}`, `TLS policy "${policy.name}" (level ${policy.level}) refuses a client of TLS ${version}: ${chosen.why}`);
  told.tls = { ...told.tls, level: chosen.level };
  const lane = chosen.level === 'legacy' ? `, through the legacy lane, open until ${policy.lane!.until}` : '';
  told.lines.push(`TLS policy "${policy.name}" serves a client of TLS ${version} with level ${chosen.level}${lane}`);
  if (policy.clientCa !== null) {
    const whose = policy.clientCa === 'private' ? 'the private CA' : "the policy's CA";
    told.lines.push(`a client certificate of ${whose} is ${policy.certificateRequired ? 'needed' : 'asked for'}; ${query.certificate === undefined ? 'none is shown' : `that of ${query.certificate} is shown`}`);
  } else if (query.certificate !== undefined) told.lines.push('nobody is asked for a client certificate here, so none is shown');
  const certificate = query.certificate === undefined || policy.clientCa === null ? null : { subject: query.certificate, verified: true };
  return lookInside(asking, { ...common, link: false, policy, certificate }, takes);
}

/** With a snapshot, and what the tables know. */
export function explainWith(snapshot: Snapshot, query: ExplainQuery, knows: ExplainKnowledge = {}): Explanation {
  const way = parseWay(query.url);
  const from = canonicalAddress(query.from ?? '127.0.0.1');
  if (from === null) throw new Fault('bad-input', `"${query.from}" is not an IP address`);
  const kind = way.tls === 'at-once' ? 'TLS' : 'plain';
  const told: Told = { verdict: '', rule: '', lines: [`from ${from} to ${kind} port ${way.port}, host ${way.host}${way.protocol === 'http' ? `, path ${pathShown(way.target)}` : ''}`], listener: null, proxyHeader: false, tls: null, route: null, cls: null, target: null };
  const listener = chooseListener(snapshot, way, from);
  const doorway = listener && snapshot.doorways.get(listener.name);
  if (!listener || !doorway) return end(told, 'refuse', 'no listener', `no ${kind} listener has port ${way.port}; there are ${snapshot.config.listeners.map(placeOf).join(', ')}`);
  told.listener = listener.name;
  if (listener.address.startsWith('127.') && !isLoopback(from)) return end(told, 'refuse', `listener ${listener.name}`, `listener ${listener.name} listens on ${listener.address} only; ${from} does not get there`);
  told.lines.push(`listener ${placeOf(listener)} takes it`);
  told.proxyHeader = isInNetworks(doorway.proxyProtocolFrom, from);
  if (told.proxyHeader) told.lines.push(`${from} is a listed sender: it must begin with a PROXY protocol header, and from there on the address in it counts`);
  else if (listener.proxyProtocolFrom.length > 0) told.lines.push(`${from} is no listed sender: a PROXY protocol header from it would be no part of the protocol`);
  const loopback = isLoopback(from) && !told.proxyHeader;
  const asking: Asking = { snapshot, query, way, from, doorway, told, knows };
  const serverName = query.serverName === undefined ? way.name : parseWay(`tls://${query.serverName}`).name;
  const plain: ConnFacts = { listener: doorway.name, secure: false, link: false, loopback, serverName: null, policy: null, certificate: null };
  if (way.tls === 'at-once') {
    if (!doorway.tls && doorway.serverFirst) return lookInside(asking, plain, doorway.protocols);
    const through = doorway.tls || doorway.protocols.has('tls') ? passThrough(snapshot, doorway.name, serverName) : null;
    if (through !== null) {
      told.tls = { policy: null, level: null, passedThrough: true };
      told.lines.push(`TLS for ${serverName ?? 'a client that names no host'} is passed through as it comes`);
      return tellRelay(asking, through);
    }
    if (!doorway.tls) return end(told, 'refuse', 'plain listener', 'refused: TLS on a plain port');
    return shake(asking, serverName, loopback, doorway.protocols);
  }
  if (doorway.tls && doorway.plain.size === 0) return end(told, 'refuse', 'TLS listener', 'refused: this listener takes nothing without TLS');
  const takes = doorway.tls ? doorway.plain : doorway.protocols;
  if (way.tls === 'start') {
    if (!takes.has('ldap')) return end(told, 'refuse', `listener ${doorway.name}`, 'refused: ldap is not what this listener takes');
    told.lines.push('StartTLS is answered by the gateway, and nothing that came before TLS survives');
    return shake(asking, serverName, loopback, new Set(['ldap']));
  }
  return lookInside(asking, plain, takes);
}
