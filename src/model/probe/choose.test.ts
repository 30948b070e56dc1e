import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shippedDrivers } from '#kit/printer-answers.ts';
import { chooseDriver, driverOfClient, enterpriseOf, type DriverFacts } from './choose.ts';
import { gatherDrivers, type LoadedDriver } from './driver.ts';

const drivers = shippedDrivers();
const facts = (given: Partial<DriverFacts>): DriverFacts => ({ sysObjectId: null, descriptions: [], printer: false, ...given });
const choice = (list: readonly LoadedDriver[], given: Partial<DriverFacts>) => {
  const chosen = chooseDriver(list, facts(given));
  return chosen === null ? null : [chosen.driver.key, chosen.by, chosen.matched, chosen.own];
};
const own = (value: object, isOwn = true) => gatherDrivers([{ file: 'x.json', text: JSON.stringify({ vendor: 'X', ...value }), own: isOwn }]).drivers[0]!;

test('the longest prefix of sysObjectID, by whole arcs', () => {
  assert.deepEqual(choice(drivers, { sysObjectId: '1.3.6.1.4.1.11.2.3.9.1' }), ['hp', 'sysObjectID', '1.3.6.1.4.1.11.2.3.9', false]);
  const longer = own({ key: 'jetdirect', sysObjectIds: ['1.3.6.1.4.1.11.2.3.9.1'] });
  assert.deepEqual(choice([...drivers, longer], { sysObjectId: '1.3.6.1.4.1.11.2.3.9.1' }), ['jetdirect', 'sysObjectID', '1.3.6.1.4.1.11.2.3.9.1', true]);
  assert.deepEqual(choice([...drivers, longer], { sysObjectId: '1.3.6.1.4.1.11.2.3.9.12' }), ['hp', 'sysObjectID', '1.3.6.1.4.1.11.2.3.9', false]);
  // A shorter one of the owner does not win over a longer one that was shipped.
  const shorter = own({ key: 'all-hp', sysObjectIds: ['1.3.6.1.4.1.11'] });
  assert.equal(choice([shorter, ...drivers], { sysObjectId: '1.3.6.1.4.1.11.2.3.9.1' })![0], 'hp');
});

test('at equal length the owner\'s wins, wherever it stands', () => {
  const same = own({ key: 'mine', sysObjectIds: ['1.3.6.1.4.1.367.1.1'], enterpriseIds: [18334], descriptions: ['^Brother'] });
  for (const list of [[same, ...drivers], [...drivers, same]]) {
    assert.equal(choice(list, { sysObjectId: '1.3.6.1.4.1.367.1.1' })![0], 'mine');
    assert.equal(choice(list, { sysObjectId: '1.3.6.1.4.1.18334.9' })![0], 'mine');
    assert.equal(choice(list, { descriptions: ['Brother NC-8300w'] })![0], 'mine');
  }
});

test('then the vendor\'s number, then the description, then what takes the rest', () => {
  assert.deepEqual(choice(drivers, { sysObjectId: '1.3.6.1.4.1.1248.77.1', descriptions: ['KYOCERA'] }), ['epson', 'enterprise', '1248', false]);
  // A printer on a Linux board has Net-SNMP's sysObjectID and its own words.
  assert.equal(choice(drivers, { sysObjectId: '1.3.6.1.4.1.8072.3.2.10', descriptions: ['Linux ET0021B7 2.6', 'Lexmark MX611de'] })![0], 'lexmark');
  assert.deepEqual(choice(drivers, { sysObjectId: '1.3.6.1.4.1.8072.3.2.10', descriptions: ['Linux'], printer: true }), ['generic-printer', 'fallback', 'printer', false]);
  assert.deepEqual(choice(drivers, { sysObjectId: '1.3.6.1.4.1.9.1.1', descriptions: ['Cisco IOS'] }), ['generic-device', 'fallback', 'device', false]);
  assert.deepEqual(choice(drivers, {}), ['generic-device', 'fallback', 'device', false]);
  assert.equal(choice(drivers.filter(({ driver }) => driver.fallback !== 'printer'), { printer: true })![0], 'generic-device');
  assert.equal(choice([], { sysObjectId: '1.3.6.1.4.1.11.2.3.9.1' }), null);
});

test('every vendor is found by number and by its name', () => {
  const names: Record<string, string> = {
    hp: 'HP LaserJet 400', samsung: 'Samsung C48x Series; V3.00', xerox: 'Xerox WorkCentre 7845', 'fuji-xerox': 'FUJI XEROX DocuCentre-V', ricoh: 'NRG MP C2004 1.02 / NRG Network Printer C model', lexmark: 'Lexmark T650',
    dell: 'Dell 2335dn MFP', zebra: 'ZEBRA ZT410', toshiba: 'TOSHIBA e-STUDIO3015AC', epson: 'EPSON Built-in 11b/g/n Print Server', kyocera: 'KYOCERA Print I/F', canon: 'Canon MF420 Series /P', oki: 'OKI OkiLAN 8450e Rev.02.63',
    sharp: 'SHARP MX-3070N', brother: 'Brother NC-6800h', 'konica-minolta': 'KONICA MINOLTA bizhub 367', pantum: 'Pantum M7100DW',
  };
  for (const { driver } of drivers.filter((each) => each.driver.fallback === null)) {
    for (const number of driver.enterpriseIds) assert.equal(choice(drivers, { sysObjectId: `1.3.6.1.4.1.${number}.424242` })![0], driver.key);
    assert.deepEqual(choice(drivers, { descriptions: [names[driver.key]!] })?.slice(0, 2), [driver.key, 'description']);
  }
});

test('a pattern and a description that would hold up a backtracking engine do not', () => {
  const slow = own({ key: 'slow', descriptions: ['^(a+)+$'] });
  assert.equal(choice([slow, ...drivers], { descriptions: [`${'a'.repeat(900)}!${'a'.repeat(50_000)}`] })![0], 'generic-device');
});

test('enterprise numbers', () => {
  assert.equal(enterpriseOf('1.3.6.1.4.1.367.1.1'), 367);
  for (const none of [null, '1.3.6.1.4.1', '1.3.6.1.2.1.1', '1.3.6.1.4.10.5', '0.0']) assert.equal(enterpriseOf(none), null);
});

test('the driver of a device\'s own programs', () => {
  assert.equal(driverOfClient(drivers, 'OpenSystems/1.0; product-family="85"; product-version="100"')?.driver.key, 'sharp');
  assert.equal(driverOfClient(drivers, 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36'), null);
});
