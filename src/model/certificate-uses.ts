// What each certificate is for right now: the names it answers to, by which routes, listeners and TLS policies, and the servers it is shown to.
import { certificateFor } from './certificate-names.ts';
import type { Certificate, CertificateNames } from './rows.ts';
import type { HostTable, Route, Snapshot } from './snapshot.ts';
import { defaultTlsPolicy, tlsPolicyOf } from './tls-policy.ts';

export interface CertificateUse {
  /** host: a name it answers to · route, listener, tls-policy: where · upstream: a route that shows it to its server · agent: one that is handed it. */
  readonly kind: 'host' | 'route' | 'listener' | 'tls-policy' | 'upstream' | 'agent';
  readonly name: string;
  /** upstream: the server, `192.0.2.1:636` · agent: the name under which it is put in place there. */
  readonly detail: string | null;
}

/** A name of the gateway where TLS ends here. `*.name` stands for every name one label below. */
export interface ServedName {
  readonly host: string;
  readonly routes: readonly string[];
  readonly listeners: readonly string[];
  readonly policies: readonly string[];
  /** null: the private CA answers. */
  readonly certificate: Certificate | null;
}

export interface Uses {
  readonly served: readonly ServedName[];
  of(certificate: Certificate): CertificateUse[];
  /** Of a leaf that the private CA made by itself. */
  ofLeaf(names: CertificateNames): CertificateUse[];
}

interface Found {
  readonly routes: Set<string>;
  readonly listeners: Set<string>;
}

/** Names with a route of a protocol that TLS of ours can carry, by listener. Those that are passed through are the server's own business. */
function namesServed(snapshot: Snapshot): Map<string, Found> {
  const found = new Map<string, Found>();
  const tls = [...snapshot.doorways.values()].filter((doorway) => doorway.tls);
  const add = (host: string, route: Route) => {
    const listeners = tls.filter((doorway) => doorway.protocols.has(route.protocol) && (route.listeners === null || route.listeners.has(doorway.name)));
    if (listeners.length === 0) return;
    let entry = found.get(host);
    if (!entry) found.set(host, (entry = { routes: new Set(), listeners: new Set() }));
    if (!route.builtIn) entry.routes.add(route.name);
    for (const each of listeners) entry.listeners.add(each.name);
  };
  const tables: HostTable[] = [snapshot, ...[...snapshot.byProtocol].filter(([protocol]) => protocol !== 'tls').map(([, table]) => table)];
  for (const table of tables) {
    for (const [host, { routes }] of table.exact) for (const route of routes) add(host, route);
    for (const [suffix, { routes }] of table.wildcards) for (const route of routes) add(`*.${suffix}`, route);
  }
  return found;
}

/** Rows by each name in them, so that a name is not compared with every row. */
function byNames(certificates: readonly Certificate[]): (host: string) => readonly Certificate[] {
  const rows = new Map<string, Certificate[]>();
  for (const certificate of certificates) {
    for (const name of new Set([...certificate.names.dns, ...certificate.names.ip])) {
      const others = rows.get(name);
      if (others) others.push(certificate);
      else rows.set(name, [certificate]);
    }
  }
  return (host) => [...(rows.get(host) ?? []), ...(host.startsWith('*.') ? [] : (rows.get(`*${host.slice(Math.max(0, host.indexOf('.')))}`) ?? []))];
}

const authorityOf = (host: string, port: number) => `${host.includes(':') ? `[${host}]` : host}:${port}`;

export function usesOf(snapshot: Snapshot, certificates: Iterable<Certificate>, now: number): Uses {
  const candidatesFor = byNames([...certificates]);
  const served: ServedName[] = [];
  for (const [host, { routes, listeners }] of namesServed(snapshot)) {
    const name = host.startsWith('*.') ? `any${host.slice(1)}` : host;
    const policies = new Set([...listeners].map((listener) => tlsPolicyOf(snapshot.tlsPolicies, listener, name).name));
    policies.delete(defaultTlsPolicy.name);
    served.push({ host, routes: [...routes], listeners: [...listeners], policies: [...policies], certificate: certificateFor(candidatesFor(host), host, now) });
  }
  const mine = groupBy(served, (each) => each.certificate?.id ?? '');
  const unclaimed = mine.get('') ?? [];
  const byHost = groupBy(unclaimed, (each) => each.host);
  const byParent = groupBy(unclaimed, (each) => (each.host.startsWith('*.') ? '' : each.host.slice(each.host.indexOf('.') + 1)));
  const shownTo = groupBy(snapshot.config.routes, ({ target }) => (target.kind === 'tls' ? (target.certificate ?? '') : ''));
  return {
    served,
    of: ({ id, name }) => [
      ...listed(mine.get(id) ?? []),
      ...(shownTo.get(name) ?? []).flatMap((route): CertificateUse[] => (route.target.kind === 'tls' ? [{ kind: 'upstream', name: route.name, detail: authorityOf(route.target.host, route.target.port) }] : [])),
    ],
    ofLeaf: ({ dns, ip }) => listed([...new Set([...dns, ...ip].flatMap((name) => [...(byHost.get(name) ?? []), ...(name.startsWith('*.') ? (byParent.get(name.slice(2)) ?? []) : [])]))]),
  };
}

function listed(names: readonly ServedName[]): CertificateUse[] {
  const of = (kind: CertificateUse['kind'], all: readonly string[]) => [...new Set(all)].map((name) => ({ kind, name, detail: null }));
  return [...of('host', names.map((each) => each.host)), ...of('route', names.flatMap((each) => each.routes)), ...of('listener', names.flatMap((each) => each.listeners)), ...of('tls-policy', names.flatMap((each) => each.policies))];
}

/** The list is asked for while traffic runs: nothing here may go through every route for each certificate. */
function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
