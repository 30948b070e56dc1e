// The front door of the made-up gateway: what listeners, connections and old clients look like when there are all kinds of them.
import type { ConnView, LegacyClientView, ListenerView, RouteView } from '#api/shapes.ts';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface FakeAsked {
  readonly query: URLSearchParams;
}

const MINUTE = 60_000;
const example = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'examples', 'front-door.json'), 'utf8')) as { listeners: (Partial<ListenerView> & Pick<ListenerView, 'name' | 'address' | 'port' | 'tls'>)[]; routes: { name: string; protocol?: RouteView['protocol']; host?: string }[] };

const listeners: ListenerView[] = example.listeners.map((each, i) => ({
  protocols: ['http'], plain: [], proxyProtocolFrom: [], serverFirst: false, ...each,
  bound: each.name === 'mail' ? null : { address: each.address, port: each.port }, why: each.name === 'mail' ? ':: port 25 is in use by another program' : null, open: (i * 37) % 50, accepted: i * 12_345, refused: i % 3 === 0 ? i * 7 : 0,
}));

const kinds: readonly Pick<ConnView, 'protocol' | 'tls' | 'name' | 'route' | 'listener'>[] = [
  { protocol: 'h2', tls: 'modern', name: 'staff.example.test', route: null, listener: 'https' },
  { protocol: 'ldap', tls: 'intermediate', name: 'pbx.example.test', route: 'directory', listener: 'ldaps' },
  { protocol: 'http', tls: 'legacy', name: 'print.example.test', route: null, listener: 'https' },
  { protocol: 'tls', tls: null, name: 'a-very-long-name-for-a-host.imap.example.test', route: 'mailbox', listener: 'https' },
  { protocol: '', tls: null, name: null, route: null, listener: 'https' },
];

function conns(now: number): ConnView[] {
  return Array.from({ length: 40 }, (_, i) => ({ ...kinds[i % kinds.length]!, id: `c${(1_000 - i).toString(36)}`, from: i % 7 === 3 ? `2001:db8:85a3::8a2e:370:${7_334 + i}` : `203.0.113.${i + 1}`, since: now - i * i * 9_000, bytesIn: i * 977 + (now % 100_000), bytesOut: i * i * 40_961 + (now % 1_000_000), mine: i === 5 }));
}

const legacy = (now: number): LegacyClientView[] => Array.from({ length: 6 }, (_, i) => ({ from: `198.51.100.${i + 1}`, serverName: i === 4 ? null : 'print.example.test', policy: 'old-printers', bestVersion: i === 5 ? 'TLS 1.1' : 'TLS 1.0', ja4: 't10d180700_4b22cbed5bed_2dae41c691ec', firstAt: now - 90 * 24 * 60 * MINUTE, lastAt: now - i * i * 400 * MINUTE, count: 4_000 - i * 611 }));

function routesFor(query: URLSearchParams): RouteView[] {
  const host = query.get('host') ?? '';
  return example.routes
    .filter((route) => (route.protocol ?? 'http') === (query.get('protocol') ?? 'http') && (route.host === undefined || route.host === host))
    .map((route) => ({ name: route.name, protocol: route.protocol ?? 'http', tier: route.host === undefined ? ('any' as const) : ('exact' as const), host: route.host ?? null, path: '/', alias: null, certificate: false, listeners: null, classes: 0, target: '192.0.2.20:8080', builtIn: false }));
}

/** Method, path, and what is answered. */
export const frontDoorRoutes: readonly (readonly [method: string, path: RegExp, run: (asked: FakeAsked) => { readonly json: unknown }])[] = [
  ['GET', /^\/config$/, () => ({ json: { revision: 12, config: example } })],
  ['PUT', /^\/config$/, ({ query }) => ({ json: { revision: 13, dryRun: query.get('dryRun') === 'true', changed: false } })],
  ['GET', /^\/listeners$/, () => ({ json: { items: listeners } })],
  ['GET', /^\/routes$/, ({ query }) => ({ json: { items: routesFor(query), matching: routesFor(query).length } })],
  ['GET', /^\/conns$/, ({ query }) => {
    const all = conns(Date.now());
    const items = all.filter((each) => (!query.get('listener') || each.listener === query.get('listener')) && (!query.get('protocol') || each.protocol === query.get('protocol')) && `${each.from} ${each.name ?? ''} ${each.route ?? ''}`.includes(query.get('search') ?? ''));
    return { json: { items, matching: items.length === all.length ? 4_711 : items.length, open: 4_711, now: Date.now() } };
  }],
  ['DELETE', /^\/conns\/([^/]+)$/, () => ({ json: {} })],
  ['GET', /^\/legacy-clients$/, () => ({ json: { items: legacy(Date.now()), next: null } })],
];
