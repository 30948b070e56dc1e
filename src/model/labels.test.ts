import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { checkCustomerKey, checkLabel, findDevice, labelTaken, mainPort, makeLabel, parseDeviceHost } from './labels.ts';
import type { Device } from './rows.ts';
import { buildTables } from './tables.ts';

const free = () => false;

test('a label is made from a name', () => {
  const made: Record<string, string> = {
    'Printer 1, 2nd floor': 'printer-1-2nd-floor',
    'Drucker Büro Süd': 'drucker-buero-sued',
    'Café — naïve': 'cafe-naive',
    '--x--y--': 'x-y',
    'プリンター': 'device',
    '': 'device',
    link: 'link-2',
    GATEWAY: 'gateway-2',
    'RNP002673A1B2C3': 'rnp002673a1b2c3',
  };
  for (const [name, label] of Object.entries(made)) assert.equal(makeLabel(name, free), label, name);
});

test('a taken label counts on, and stays within 50 characters', () => {
  const taken = new Set(['printer1', 'printer1-2']);
  assert.equal(makeLabel('printer1', (label) => taken.has(label)), 'printer1-3');
  const long = 'a'.repeat(49) + ' b' + 'c'.repeat(20);
  assert.equal(makeLabel(long, free), 'a'.repeat(49), 'no hyphen at the cut');
  const second = makeLabel('x'.repeat(60), (label) => !label.includes('-'));
  assert.equal(second, 'x'.repeat(48) + '-2');
});

test('whatever the name, the label is one', () => {
  let seed = 7;
  const next = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) % below;
  for (let i = 0; i < 2_000; i++) {
    const name = Array.from({ length: next(80) }, () => String.fromCodePoint(next(4) ? 0x20 + next(0x60) : next(0xd800))).join('');
    const label = makeLabel(name, free);
    assert.equal(checkLabel(label), null, JSON.stringify(name));
    assert.deepEqual(parseDeviceHost(label), { label, port: null }, JSON.stringify(name));
    assert.deepEqual(parseDeviceHost(`${label}--${1 + (i % 65_535)}`), { label, port: 1 + (i % 65_535) });
  }
});

test('what is no label', () => {
  for (const bad of ['', '-a', 'a-', 'a--b', 'A', 'a.b', 'a_b', 'ä', 'a b', 'a\n', 'link', 'www', 'api', 'console', 'gateway', 'x'.repeat(51)]) assert.ok(checkLabel(bad), JSON.stringify(bad));
  for (const good of ['a', '1', 'a-b-c', 'x'.repeat(50), 'links']) assert.equal(checkLabel(good), null, good);
});

test("a customer's key is none of the gateway's own paths", () => {
  for (const bad of ['', 'A', 'a--b', 'x'.repeat(33), 'api', 'link', 'v1', 'metrics', 'setup', 'ca', 'stream']) assert.ok(checkCustomerKey(bad), bad);
  assert.equal(checkCustomerKey('default'), null);
});

test('a device host names label and port', () => {
  assert.deepEqual(parseDeviceHost('printer1'), { label: 'printer1', port: null });
  assert.deepEqual(parseDeviceHost('Printer-1--8080'), { label: 'printer-1', port: 8080 });
  assert.deepEqual(parseDeviceHost('a--65535'), { label: 'a', port: 65_535 });
  for (const bad of ['', 'a--0', 'a--080', 'a--65536', 'a--', 'a--b', 'a---80', '--80', 'a--80--81', 'link', 'link--80', 'a.b', 'a--123456', 'a\n', 'x'.repeat(51)]) assert.equal(parseDeviceHost(bad), undefined, JSON.stringify(bad));
});

const id = (n: number) => `0190b2c4-0000-7000-8000-00000000000${n}`;
const device = (n: number, customerId: string, label: string, name: string): Device => ({ id: id(n), customerId, siteId: 's', agentId: 'a', serial: null, label, name, host: '127.0.0.1', ports: [{ number: 22, name: '', kind: 'tcp', fingerprint: null }, { number: 443, name: '', kind: 'https', fingerprint: null }], hostHeader: 'own', locked: false, createdAt: 0 });

function twoCustomers() {
  return buildTables({
    customers: [{ id: 'c1', key: 'default', name: '', createdAt: 0 }, { id: 'c2', key: 'acme', name: '', createdAt: 0 }], sites: [], agents: [], agentCertificates: [], agentNotes: [],
    devices: [device(1, 'c1', 'printer1', 'Hall/Printer'), device(2, 'c2', 'printer2', 'Hall/Printer'), device(3, 'c2', 'twin-a', 'Twin'), device(4, 'c2', 'twin-b', 'twin')],
    oldLabels: [{ label: 'former', customerId: 'c1', deviceId: id(1), until: 1_000 }], people: [], rights: [], signIns: [], tokens: [], joinTokens: [], invites: [], certificates: [], deliveries: [], deviceKeys: [], waitingDevices: [], deviceNotes: [], leases: [], deviceTags: [], suspensions: [], sitePlaces: [], siteDoors: [], virtualAddresses: [], releasedAddresses: [], deviceProfiles: [], deviceTokens: [], evidence: [], jobSources: [],
  });
}

test('a device is found by id, label, former label or customer/name', () => {
  const tables = twoCustomers();
  assert.equal(findDevice(tables, id(2))?.label, 'printer2');
  assert.equal(findDevice(tables, 'Printer1')?.id, id(1));
  assert.equal(findDevice(tables, 'acme/hall/printer')?.id, id(2), 'a name may hold a slash');
  assert.equal(findDevice(tables, 'default/Hall/Printer')?.id, id(1));
  assert.equal(findDevice(tables, 'default/twin'), undefined);
  assert.equal(findDevice(tables, 'former', 999)?.id, id(1));
  assert.equal(findDevice(tables, 'former', 1_000), undefined);
  assert.equal(findDevice(tables, id(9)), undefined);
  assert.throws(() => findDevice(tables, 'acme/TWIN'), (thrown) => isFault(thrown, 'conflict') && !/twin-/.test(thrown.remedy ?? ''));
});

test('of several devices with a name, only those that the asker may see are told, or count', () => {
  const tables = twoCustomers();
  assert.throws(() => findDevice(tables, 'acme/TWIN', 0, () => true), (thrown) => isFault(thrown, 'conflict') && /twin-a, twin-b/.test(thrown.remedy ?? ''));
  assert.equal(findDevice(tables, 'acme/twin', 0, (each) => each.label === 'twin-b')?.label, 'twin-b');
  assert.equal(findDevice(tables, 'acme/twin', 0, () => false)?.label, 'twin-a', 'hidden: the caller says that there is none');
});

test('a former label is taken for others until it ends', () => {
  const tables = twoCustomers();
  assert.equal(labelTaken(tables, 'former', 999), true);
  assert.equal(labelTaken(tables, 'former', 999, id(1)), false, 'its own');
  assert.equal(labelTaken(tables, 'former', 1_000), false);
  assert.equal(labelTaken(tables, 'printer2', 0, id(1)), true);
  assert.equal(labelTaken(tables, 'printer2', 0, id(2)), false);
});

test('the main port is the first that a browser opens', () => {
  assert.equal(mainPort(device(1, 'c', 'a', 'a')), 443);
  assert.equal(mainPort({ ports: [] }), null);
});
