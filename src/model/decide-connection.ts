// Where a connection goes that is not HTTP: judged once, by the port it came to, the name and certificate of its TLS, and what its first packet
// says. Pure and total; what no route takes is refused.
import type { Protocol } from './config.ts';
import { holdsCertificate, type ConnFacts } from './decide.ts';
import { isLinkName, type HostRoutes, type HostTable, type Route, type RouteTarget, type Snapshot } from './snapshot.ts';
import { isMisdirected, tlsPolicyOf } from './tls-policy.ts';

/** What a first packet says, whatever the protocol. */
export interface PacketFacts {
  readonly protocol: Protocol;
  /** Domain or host that it names, canonical; null: none, then the name in TLS stands in. */
  readonly host: string | null;
  /** Users, aliases and numbers that it names, for routes by alias. */
  readonly users: readonly string[];
  /** Who the client says that it is itself: "check certificate" compares each of them. */
  readonly claims: readonly string[];
}

export type ConnVerdict =
  | { readonly step: 'refuse'; readonly why: string; readonly rule: string }
  /** `proved`: the client certificate's subject is the user named in the protocol. */
  | { readonly step: 'relay'; readonly route: Route; readonly target: Extract<RouteTarget, { kind: 'tcp' | 'tls' | 'named-device' }>; readonly host: string | null; readonly proved: boolean };

const refuse = (why: string, rule: string): ConnVerdict => ({ step: 'refuse', why, rule });

/** The routes that may hold for a name, most specific first. */
export function entriesFor(table: HostTable, name: string | null): HostRoutes[] {
  const found: HostRoutes[] = [];
  if (name !== null) {
    const exact = table.exact.get(name);
    if (exact) found.push(exact);
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const wildcard = table.wildcards.get(name.slice(dot + 1));
      if (wildcard) found.push(wildcard);
    }
  }
  if (table.any) found.push(table.any);
  return found;
}

function aliasMatches(alias: string, users: readonly string[]): boolean {
  const stem = alias.endsWith('*') ? alias.slice(0, -1) : null;
  return users.some((user) => (stem === null ? user.toLowerCase() === alias : user.toLowerCase().startsWith(stem)));
}

const isHere = (route: Route, facts: ConnFacts): boolean => (route.listeners === null ? facts.secure : route.listeners.has(facts.listener));

/** What stands between the route chosen and its target: the user named must be the one that the certificate names. */
function relayTo(route: Route, facts: ConnFacts, packet: PacketFacts): ConnVerdict {
  const { target } = route;
  if (target.kind !== 'tcp' && target.kind !== 'tls' && target.kind !== 'named-device') return refuse('this route leads to no server', route.name);
  const subject = facts.certificate?.verified === true ? (facts.certificate.subject?.toLowerCase() ?? null) : null;
  const proved = subject !== null && packet.claims.length > 0 && packet.claims.every((claim) => claim.toLowerCase() === subject);
  if (target.kind !== 'tls' || target.checkCertificate === undefined || proved) return { step: 'relay', route, target, host: packet.host, proved };
  const { otherwise } = target.checkCertificate;
  const why = subject === null ? 'no client certificate proves who the user is' : `the client certificate is not the user's: ${facts.certificate!.subject}`;
  if (otherwise === 'refuse') return refuse(why, `${route.name}: check certificate`);
  return { step: 'relay', route, target: { kind: 'tcp', host: target.host, port: otherwise, proxyProtocol: target.proxyProtocol }, host: packet.host, proved };
}

/** Judges a connection by its first packet. For HTTP see decideExchange. */
export function decideConnection(snapshot: Snapshot, facts: ConnFacts, packet: PacketFacts): ConnVerdict {
  const doorway = snapshot.doorways.get(facts.listener);
  if (!doorway) return refuse('the listener is gone', 'default deny');
  const takes = doorway.tls && !facts.secure && packet.protocol !== 'tls' ? doorway.plain : doorway.protocols;
  if (!takes.has(packet.protocol)) return refuse(`${packet.protocol} is not what this listener takes`, `listener ${facts.listener}`);
  // The name inside must ask of clients what the name in TLS asked for (research: 421 for HTTP, here a refusal).
  if (facts.policy !== null && packet.host !== null && isMisdirected(snapshot.tlsPolicies, facts.listener, packet.host, facts.policy, facts.serverName)) {
    return refuse('the domain asked for has another TLS policy than the name in TLS', 'TLS policy');
  }
  if (facts.policy?.certificateRequired === true && facts.certificate?.verified !== true) return refuse('the TLS policy asks for a client certificate, and none was shown that its CA signed', `TLS policy ${facts.policy.name}`);
  // Where TLS may be left out, a policy that asks for certificates holds all the same: leaving it out is no way around them.
  if (facts.policy === null && !facts.secure && doorway.tls && packet.protocol !== 'tls' && !snapshot.tlsPolicies.isEmpty) {
    const left = tlsPolicyOf(snapshot.tlsPolicies, facts.listener, packet.host);
    if (left.certificateRequired) return refuse('the TLS policy asks for a client certificate, and without TLS none can be shown', `TLS policy ${left.name}`);
  }
  const table = snapshot.byProtocol.get(packet.protocol);
  if (!table) return refuse(`no route takes ${packet.protocol}`, 'default deny');
  const name = packet.host ?? facts.serverName;
  for (const entry of entriesFor(table, name)) {
    let wantsCertificate: Route | null = null;
    let here = false;
    for (const route of entry.routes) {
      if (!isHere(route, facts)) continue;
      here = true;
      if (route.alias !== null && !aliasMatches(route.alias, packet.users)) continue;
      if (!holdsCertificate(route, facts)) {
        wantsCertificate = route;
        continue;
      }
      // A route without certificate beside one that asks for it is a choice of who wrote both; a broader name is none.
      return relayTo(route, facts, packet);
    }
    if (wantsCertificate) return refuse('a client certificate is needed that was not shown, or names somebody else', `${wantsCertificate.name}: client certificate`);
    if (here && entry.host !== null) return refuse('the user or number named is none of this route\'s', 'alias');
  }
  return refuse(name === null ? `the first packet names no domain, and no route takes ${packet.protocol} without one` : 'no route leads anywhere for the domain asked for', 'unknown host');
}

const EXACT = 1_000;

/** How specific the best entry is that has a route on this listener; -1 without one. */
function rankOf(table: HostTable | undefined, name: string | null, facts: Pick<ConnFacts, 'listener'>, isTls: boolean): { rank: number; route: Route | null } {
  if (!table) return { rank: -1, route: null };
  for (const entry of entriesFor(table, name)) {
    const route = entry.routes.find((each) => (each.listeners === null ? isTls : each.listeners.has(facts.listener)));
    if (route) return { rank: entry.host === null ? 0 : entry.host.startsWith('*.') ? entry.host.length : EXACT, route };
  }
  return { rank: -1, route: null };
}

/**
 * Is TLS for this name passed through? Before anything is decrypted; null: it is terminated here, if the listener does that. Of a route that
 * passes through and routes that answer here the more specific name wins.
 */
export function passThrough(snapshot: Snapshot, listener: string, serverName: string | null): ConnVerdict | null {
  const doorway = snapshot.doorways.get(listener);
  if (!doorway?.protocols.has('tls')) return null;
  if (serverName !== null && isLinkName(snapshot, serverName)) return null;
  const through = rankOf(snapshot.byProtocol.get('tls'), serverName, { listener }, doorway.tls);
  if (doorway.tls) {
    let answered = rankOf(snapshot, serverName, { listener }, true).rank;
    for (const [protocol, table] of snapshot.byProtocol) if (protocol !== 'tls' && doorway.protocols.has(protocol)) answered = Math.max(answered, rankOf(table, serverName, { listener }, true).rank);
    if (answered > through.rank) return null;
  }
  if (through.route === null) return doorway.tls ? null : refuse(serverName === null ? 'the ClientHello names no host, and no route takes TLS without one' : 'no route passes TLS for this name through', 'unknown host');
  const { route } = through;
  const { target } = route;
  if (target.kind !== 'tcp' && target.kind !== 'named-device') return refuse('this route leads to no server', route.name);
  return { step: 'relay', route, target, host: serverName, proved: false };
}
