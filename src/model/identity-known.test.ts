import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildKnown } from './identity-known.ts';
import type { DeviceProfile, SitePlace } from './place-rows.ts';
import type { Agent, AgentNote, Device, Site } from './rows.ts';
import { buildTable } from './table.ts';

const now = 1_800_000_000_000;
const device = (id: string, siteId: string, host: string): Device => ({ id, customerId: 'anna', siteId, agentId: 'a', serial: `SN-${id}`, label: id, name: id, host, ports: [], hostHeader: 'own', locked: false, createdAt: 0 });
const profileOf = (deviceId: string, address: string, readAt: number): DeviceProfile => ({
  deviceId, customerId: 'anna', readAt, address, agentId: 'a', trust: 'verified', mac: '02:00:5E:10:00:01', triedAt: readAt, failure: null,
  profile: {
    vendor: null, enterpriseId: null, model: null, serial: `SN-${deviceId}`, macs: [], addresses: [], firmware: null, hostNames: [], location: null, functions: { print: null, copy: null, scan: null, fax: null }, colour: null, duplex: null,
    languages: [], protocols: [], supplies: [], trays: [], counters: {}, status: null, errors: [], upSeconds: null, driver: null, confidence: 1, evidence: [{ question: 'snmp 1.3.6.1', value: `SN-${deviceId}`, at: readAt }],
  },
});

function room(devices: readonly Device[], sites: readonly string[] = ['north', 'south']) {
  const byId = <Row extends { readonly id: string }>(name: string, rows: readonly Row[]) => buildTable<Row>({ name, kind: 'kept', keyOf: (row) => row.id, rows });
  const tables = {
    devices: byId('devices', devices),
    sites: byId<Site>('sites', sites.map((id) => ({ id, customerId: 'anna', name: id, createdAt: 0 }))),
    agents: byId<Agent>('agents', [{ id: 'a', customerId: 'anna', siteId: 'north', name: 'a', state: 'active', createdAt: 0 }]),
    agentNotes: buildTable<AgentNote>({ name: 'agentNotes', kind: 'noted', keyOf: (row) => row.agentId }),
    sitePlaces: buildTable<SitePlace>({ name: 'sitePlaces', kind: 'kept', keyOf: (row) => row.siteId }),
    deviceProfiles: buildTable<DeviceProfile>({ name: 'deviceProfiles', kind: 'noted', keyOf: (row) => row.deviceId }),
    deviceBySerial: () => undefined,
  };
  const known = buildKnown({ tables, origins: { strongAt: () => [], shapesAt: () => [] }, nowMs: () => now, freshMs: () => 60_000, sameProgram: () => false });
  const at = (siteId: string | null, address: string) => known.devicesAt(siteId, address).map((row) => row.id).sort().join();
  return { tables, known, at };
}

test('devices are found by their rows, in their site or anywhere, and move with them', () => {
  const { tables, at } = room([device('one', 'north', '192.0.2.50'), device('two', 'south', '192.0.2.50'), device('own', 'north', '127.0.0.1'), device('named', 'north', 'printer.example.test'), device('six', 'north', '2001:DB8:0::1')]);
  assert.deepEqual([at('north', '192.0.2.50'), at('south', '192.0.2.50'), at(null, '192.0.2.50'), at('north', '192.0.2.51'), at('north', '2001:db8::1')], ['one', 'two', 'one,two', '', 'six']);
  assert.deepEqual([at('north', '127.0.0.1'), at(null, '127.0.0.1')], ['own', ''], 'each machine calls itself so');
  tables.devices.publish({ put: [device('one', 'north', '192.0.2.51')] });
  assert.deepEqual([at('north', '192.0.2.50'), at('north', '192.0.2.51')], ['', 'one']);
  tables.devices.publish({ removed: ['one'] });
  assert.equal(at('north', '192.0.2.51'), '');
});

test('devices are found where a fresh probe read their serial', () => {
  const { tables, known, at } = room([device('named', 'north', 'printer.example.test'), device('one', 'north', '192.0.2.50')]);
  tables.deviceProfiles.publish({ put: [profileOf('named', '192.0.2.50', now - 1_000), profileOf('one', '192.0.2.50', now - 1_000)] });
  assert.deepEqual([at('north', '192.0.2.50'), at('south', '192.0.2.50')], ['named,one', '']);
  assert.deepEqual(known.confirmationOf('named'), { serial: 'SN-named', mac: '02:00:5e:10:00:01', address: '192.0.2.50', at: now - 1_000, by: 'snmp' });
  tables.deviceProfiles.publish({ put: [profileOf('named', '192.0.2.50', now - 61_000)] });
  assert.equal(at('north', '192.0.2.50'), 'one', 'too long ago');
  assert.equal(known.confirmationOf('nobody'), null);
});

test('sites are found by their networks, by the addresses of their agents, and where there is but one', () => {
  const { tables, known } = room([]);
  assert.deepEqual(known.sitesOfAddress('192.168.1.5'), { egress: [], inside: [] });
  tables.sitePlaces.publish({ put: [{ siteId: 'north', customerId: 'anna', subnets: ['192.168.1.0/24'], egress: ['198.51.100.7/32'] }, { siteId: 'south', customerId: 'anna', subnets: ['192.168.1.0/24'], egress: [] }] });
  assert.deepEqual(known.sitesOfAddress('192.168.1.5'), { egress: [], inside: ['north', 'south'] });
  assert.deepEqual(known.sitesOfAddress('198.51.100.7'), { egress: ['north'], inside: [] });
  tables.agentNotes.publish({ put: [{ agentId: 'a', lastSeenAt: now, lastLeftWhy: null, version: null, from: '198.51.100.9', policy: null }] });
  assert.deepEqual(known.sitesOfAddress('198.51.100.9'), { egress: ['north'], inside: [] }, 'its link comes from there');
  tables.agentNotes.publish({ put: [{ agentId: 'a', lastSeenAt: now, lastLeftWhy: null, version: null, from: '192.168.1.9', policy: null }] });
  assert.deepEqual(known.sitesOfAddress('192.168.1.9').egress, [], 'a LAN is no egress');
  const single = room([], ['north']).known;
  assert.deepEqual([single.sitesOfAddress('192.168.1.5').inside, single.sitesOfAddress('203.0.113.8').inside], [['north'], []]);
});
