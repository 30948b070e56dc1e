import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conflictsOf, indexSources, sourceFor, sourceProblem, type SourceWorld } from './job-sources.ts';
import type { JobSource } from './place-rows.ts';
import type { Device } from './rows.ts';
import { buildTable } from './table.ts';

const device = (id: string, serial: string | null, host: string, siteId = 'north'): Device => ({ id, customerId: siteId === 'xeast' ? 'xena' : 'anna', siteId, agentId: null, serial, label: id, name: id, host, ports: [], hostHeader: 'own', locked: false, createdAt: 0 });
const press = device('press', 'SN-1', '192.0.2.50');
const second = device('second', 'SN-2', '192.0.2.51');
const bare = device('bare', null, '192.0.2.52');
const southern = device('southern', 'SN-4', '192.0.2.50', 'south');
const foreign = device('foreign', 'SN-1', '192.0.2.50', 'xeast');
const devices = [press, second, bare, southern, foreign];

let made = 0;
const row = (change: Partial<JobSource>): JobSource => ({ id: `row-${++made}`, customerId: 'anna', application: 'scans', deviceId: null, serial: null, siteId: null, address: null, as: null, note: '', createdAt: 0, ...change });
const tableOf = (rows: readonly JobSource[]) => buildTable<JobSource>({ name: 'jobSources', kind: 'kept', keyOf: (each) => each.id, rows });
const door = { siteId: 'north', address: '192.0.2.50' };

test('a device is found by itself, then by its serial, then by where it is', () => {
  const byDevice = row({ deviceId: 'press' });
  const bySerial = row({ serial: 'SN-1' });
  const byAddress = row({ siteId: 'north', address: '192.0.2.50' });
  const table = tableOf([byAddress, bySerial, byDevice, row({ application: 'faxes', serial: 'SN-2' })]);
  const sources = indexSources(table);
  assert.equal(sourceFor(sources, 'scans', press, door), byDevice);
  table.publish({ removed: [byDevice.id] });
  assert.equal(sourceFor(sources, 'scans', press, door), bySerial);
  table.publish({ removed: [bySerial.id] });
  assert.equal(sourceFor(sources, 'scans', press, door), byAddress);
  assert.equal(sourceFor(sources, 'scans', press, { siteId: null, address: '192.0.2.50' }), byAddress);
  assert.equal(sourceFor(sources, 'scans', second, door), byAddress, 'whoever is identified there');
  assert.equal(sourceFor(sources, 'scans', press, { siteId: 'north', address: '192.0.2.99' }), null);
  assert.equal(sourceFor(sources, 'faxes', press, door), null);
  table.publish({ put: [{ ...byAddress, address: '192.0.2.99' }] });
  assert.equal(sourceFor(sources, 'scans', press, door), null);
});

test('no row of another site or customer speaks for a device', () => {
  const sources = indexSources(tableOf([row({ serial: 'SN-1' }), row({ siteId: 'north', address: '192.0.2.50' }), row({ deviceId: 'foreign' })]));
  assert.equal(sourceFor(sources, 'scans', foreign, { siteId: 'xeast', address: '192.0.2.50' }), null, "also not where another customer's row names it");
  assert.equal(sourceFor(sources, 'scans', southern, { siteId: 'south', address: '192.0.2.50' }), null);
  assert.equal(sourceFor(sources, 'scans', southern, { siteId: 'north', address: '192.0.2.50' }), null);
});

test('a row names one device, in one way', () => {
  const problem = (change: Partial<JobSource>) => sourceProblem(row(change));
  for (const good of [{ deviceId: 'press' }, { serial: 'SN-1', as: '203.0.113.5', note: 'ground floor' }, { siteId: 'north', address: '2001:db8::1' }]) assert.equal(problem(good), null);
  for (const [bad, why] of [
    [{}, /one device/],
    [{ deviceId: 'press', serial: 'SN-1' }, /one device/],
    [{ serial: 'SN-1', address: '192.0.2.1' }, /one device/],
    [{ address: '192.0.2.1' }, /belong together/],
    [{ siteId: 'north' }, /belong together/],
    [{ siteId: 'north', address: '192.0.2.01' }, /not an address/],
    [{ siteId: 'north', address: '2001:DB8::1' }, /usually written/],
    [{ serial: 'SN-1', as: '192.0.2.0/24' }, /"as"/],
    [{ serial: ' SN-1' }, /blanks/],
    [{ serial: '' }, /serial/],
    [{ serial: 'S\nN' }, /serial/],
    [{ serial: 'SN-1', note: 'a\nb' }, /one line/],
    [{ serial: 'SN-1', note: 'x'.repeat(301) }, /300/],
    [{ serial: 'SN-1', application: '' }, /route/],
  ] as const) assert.match(problem(bad) ?? '', why, JSON.stringify(bad));
});

const world = (change: Partial<SourceWorld> = {}): SourceWorld => ({
  deviceById: (id) => devices.find((each) => each.id === id),
  devicesBySerial: (customerId, serial) => devices.filter((each) => each.customerId === customerId && each.serial === serial),
  devicesAt: (siteId, address) => devices.filter((each) => each.siteId === siteId && each.host === address),
  confirmationOf: () => null,
  virtualAddressOf: (id) => (id === 'press' ? '203.0.113.1' : id === 'second' ? '203.0.113.2' : null),
  virtualOwner: (address) => (address === '203.0.113.1' ? 'press' : address === '203.0.113.2' ? 'second' : null),
  hears: (application) => (application === 'scans' ? { address: 'own', connects: false } : application === 'virtual' ? { address: 'virtual', connects: true } : null),
  isInPool: (address) => address.startsWith('203.0.113.'),
  ...change,
});

const told = (rows: readonly JobSource[], change?: Partial<SourceWorld>) => conflictsOf(rows, world(change)).map(({ kind, sourceIds, deviceIds }) => [kind, sourceIds.map((id) => rows.findIndex((each) => each.id === id)).join(), deviceIds.join()]);

test('rows that agree have no conflicts', () => {
  assert.deepEqual(told([row({ deviceId: 'press' }), row({ serial: 'SN-2' }), row({ siteId: 'north', address: '192.0.2.52' }), row({ application: 'virtual', deviceId: 'press' }), row({ application: 'virtual', serial: 'SN-2', as: '203.0.113.9' }), row({ application: 'virtual', deviceId: 'bare' })]), []);
});

test('what leads nowhere, or to two, is said', () => {
  assert.deepEqual(told([row({ serial: 'SN-9' }), row({ siteId: 'south', address: '192.0.2.51' }), row({ deviceId: 'gone' }), row({ application: 'nowhere', deviceId: 'press' })]), [['no-device', '0', ''], ['no-device', '1', ''], ['no-device', '2', ''], ['no-application', '3', 'press']]);
  const two = [press, { ...second, serial: 'SN-1' }];
  assert.deepEqual(told([row({ serial: 'SN-1' })], { devicesBySerial: () => two }), [['many-devices', '0', 'press,second']]);
});

test('one device by two rows is said once', () => {
  assert.deepEqual(told([row({ deviceId: 'press' }), row({ serial: 'SN-1' }), row({ siteId: 'north', address: '192.0.2.50' })]), [['twice', '0,1,2', 'press']]);
  assert.deepEqual(told([row({ deviceId: 'press' }), row({ application: 'virtual', serial: 'SN-1' })]), [], 'two applications');
});

test('two devices that appear alike are said: by "as", and because networks overlap', () => {
  assert.deepEqual(told([row({ deviceId: 'press', as: '198.51.100.1' }), row({ serial: 'SN-2', as: '198.51.100.1' })]), [['same-address', '0,1', 'press,second']]);
  assert.deepEqual(told([row({ deviceId: 'press' }), row({ serial: 'SN-4' })]), [['same-address', '0,1', 'press,southern']]);
  assert.deepEqual(told([row({ deviceId: 'press' }), row({ serial: 'SN-2', as: '192.0.2.50' })]), [['same-address', '0,1', 'press,second']]);
  assert.deepEqual(told([row({ application: 'virtual', deviceId: 'press' }), row({ application: 'virtual', serial: 'SN-4' })]), [], 'each has a virtual address of its own');
});

test('"as" must be possible, and nobody else\'s', () => {
  assert.deepEqual(told([row({ application: 'virtual', deviceId: 'press', as: '198.51.100.1' })]), [['as-outside-pool', '0', 'press']]);
  assert.deepEqual(told([row({ deviceId: 'press', as: '198.51.100.1' })]), [], 'headers can name anything');
  assert.deepEqual(told([row({ application: 'virtual', deviceId: 'press', as: '203.0.113.2' })]), [['as-taken', '0', 'press']]);
  assert.deepEqual(told([row({ application: 'virtual', deviceId: 'press', as: '203.0.113.1' })]), []);
});

test('an address that belongs to another device now', () => {
  const confirmationOf = (id: string) => (id === 'press' ? { serial: 'SN-2', mac: null, address: '192.0.2.50', at: 0, by: 'snmp' as const } : null);
  assert.deepEqual(told([row({ siteId: 'north', address: '192.0.2.50' })], { confirmationOf }), [['moved', '0', 'press,second']]);
  assert.deepEqual(told([row({ deviceId: 'press' })], { confirmationOf }), [], 'a row that names the device goes with it');
});
