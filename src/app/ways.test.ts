import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Confirmation, Known } from '#model/identity.ts';
import type { CameFrom } from '#model/mis-route.ts';
import type { SiteDoor, SitePlace } from '#model/place-rows.ts';
import type { Device } from '#model/rows.ts';
import { firstConfig, parseConfig } from '#model/config.ts';
import { compile } from '#model/snapshot.ts';
import { buildTable } from '#model/table.ts';
import { buildWays } from './ways.ts';

const nowMs = 1_000_000;
const device = { id: 'd1', customerId: 'c', siteId: 'main', serial: 'SN-1', host: '192.168.7.50' } as Device;

interface Facts {
  confirmation?: Confirmation;
  egress?: readonly string[];
  inside?: readonly string[];
  strong?: number;
  routers?: readonly string[];
  claims?: string;
  own?: readonly string[];
  proxies?: readonly string[];
}

function waysOf(facts: Facts) {
  const first = firstConfig({ domain: 'gw.example.test', httpPort: 80, httpsPort: 443, deviceDomain: null });
  const target = { kind: 'tcp', host: '192.0.2.20', port: 8080 } as const;
  const route = (name: string, host: string, listeners: string[]) => ({ name, host, listeners, target, application: { tell: 'headers' } });
  const trustedProxies = (facts.proxies ?? []).map((from) => ({ from }));
  const parsed = parseConfig({ ...first, trustedProxies, routes: [route('scan', 'Scan.example.test', ['http']), route('print', 'print.example.test', ['https']), route('any', '*.example.test', ['https'])] });
  assert.ok('config' in parsed, JSON.stringify(parsed));
  const compiled = compile(parsed.config, 1);
  assert.ok('snapshot' in compiled, JSON.stringify(compiled));
  const sitePlaces = buildTable<SitePlace>({ name: 'sitePlaces', kind: 'kept', keyOf: (row) => row.siteId });
  const siteDoors = buildTable<SiteDoor>({ name: 'siteDoors', kind: 'kept', keyOf: (row) => row.id });
  sitePlaces.publish({ put: [{ siteId: 'main', customerId: 'c', subnets: ['192.168.7.0/24'], egress: [] }] });
  siteDoors.publish({ put: [{ id: 'o1', customerId: 'c', siteId: 'main', agentId: 'a1', address: '192.168.7.9', port: 80, listener: 'http', createdAt: 0 }] });
  const known = {
    sitesOfAddress: () => ({ egress: facts.egress ?? [], inside: facts.inside ?? ['main'] }),
    devicesAt: () => [device], deviceById: (id: string) => (id === device.id ? device : undefined), confirmationOf: () => facts.confirmation ?? null,
    strongAt: () => Array.from({ length: facts.strong ?? 0 }, (_, i) => ({ deviceId: `s${i}`, shapes: [`shape ${i}`] })), shapesAt: () => [], freshMs: 1_000,
  } as unknown as Known;
  return buildWays({
    tables: { siteDoors, sitePlaces }, snapshot: () => compiled.snapshot, known, nowMs: () => nowMs,
    forwarders: { claimsOf: () => facts.claims ?? null }, lan: { routersOf: () => facts.routers ?? [] }, ownAddresses: () => facts.own ?? [],
  });
}

const came: CameFrom = { address: '192.168.7.50', siteId: null, deviceId: null, application: 'scan' };
const read = (serial: string, at = nowMs): Confirmation => ({ serial, mac: null, address: '192.168.7.50', at, by: 'snmp' });
const cases: readonly (readonly [what: string, code: string | null, facts: Facts, came?: Partial<CameFrom>])[] = [
  ['nothing known', null, {}],
  ['the router of that LAN', 'HP-2', { routers: ['192.168.7.50'] }],
  ['the router of a LAN, through a door', null, { routers: ['192.168.7.50'] }, { siteId: 'main' }],
  ['egress', 'HP-1', { egress: ['main'], inside: [] }, { address: '203.0.113.7' }],
  ['a listed proxy', 'HP-3', { proxies: ['192.168.7.50'] }],
  ['another', 'HP-4', { claims: '192.0.2.1' }],
  ['docker, this machine stands in it', 'HP-5', { inside: [], own: ['172.17.0.1'] }, { address: '172.17.0.9' }],
  ['docker\'s network somewhere else', null, { inside: [], own: ['192.0.2.2'] }, { address: '172.17.0.9' }],
  ['confirmed', 'HP-10', { confirmation: read('SN-1') }],
  ['confirmed long ago', null, { confirmation: read('SN-1', nowMs - 2_000) }],
  ['confirmed at another address', null, { confirmation: { ...read('SN-1'), address: '192.168.7.51' } }],
  ['another serial', 'HP-11', { confirmation: read('SN-2') }],
  ['another serial, nobody knows whose LAN', null, { confirmation: read('SN-2'), inside: ['main', 'other'] }],
  ['two proved themselves', 'HP-12', { strong: 2 }],
];
for (const [what, code, facts, change] of cases) test(`${code ?? 'none'}: ${what}`, () => assert.equal(waysOf(facts).judge({ ...came, ...change })?.code ?? null, code));

test('names of applications, and where they lead inside', () => {
  const ways = waysOf({ own: ['192.168.7.2', '127.0.0.1', '198.51.100.3'] });
  assert.deepEqual(ways.insideOf('main', null), { names: ['scan.example.test', 'print.example.test'], addresses: ['192.168.7.9', '192.168.7.2'] });
  assert.deepEqual(ways.insideOf('main', 'print'), { names: ['print.example.test'], addresses: ['192.168.7.2'] }, 'the door leads to another listener');
  assert.deepEqual(ways.insideOf(null, 'scan'), { names: ['scan.example.test'], addresses: [] });
  assert.equal(ways.siteOf(came), 'main');
  assert.equal(waysOf({ inside: ['main', 'other'] }).siteOf(came), null);
});
