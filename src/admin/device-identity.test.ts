import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, suite, test } from 'node:test';
import type { Answer, Body } from '#api/contract.ts';
import { digestOf } from '#base/secret.ts';
import { openKey, sealKey } from '#model/device-keys.ts';
import type { Device, WaitingDevice } from '#model/rows.ts';
import { startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';
import { makeCertificate } from '#kit/authority.ts';

const sealingKey = randomBytes(32);
let room: AdminRoom;
let owner: Caller;
beforeEach(async () => {
  room = await startAdminRoom({ sealingKey });
  owner = await room.owner();
});
afterEach(() => room.close());

const everything = () => room.operations.loadEverything();
const customerId = () => [...room.tables.customers.values()][0]!.id;
const siteId = () => [...room.tables.sites.values()][0]!.id;
const audited = async (prefix: string) => (await owner.call('listAudit', { query: {} })).items.filter((line) => line.what.startsWith(prefix)).reverse();
const pushing = (serial: string, more: Partial<Body<'addDevice'>> = {}) => owner.call('addDevice', { body: { name: serial, serial, ...more } });

async function knock(serial: string, more: Partial<WaitingDevice> & { keyText?: string } = {}): Promise<WaitingDevice> {
  const { keyText, ...rest } = more;
  const id = room.newId();
  const row: WaitingDevice = {
    id, customerId: customerId(), serial, name: '', from: '192.0.2.77', product: 'logger/2', firstSeenAt: room.clock.nowMs(), lastSeenAt: room.clock.nowMs(),
    keyDigest: keyText === undefined ? null : digestOf(keyText), keySealed: keyText === undefined ? null : sealKey(keyText, sealingKey, id, randomBytes), bytes: 0, ...rest,
  };
  await room.operations.addWaitingDevice(row, null);
  room.tables.waitingDevices.publish({ put: [row] });
  return row;
}

/** So many bytes in a feed of the waiting device, as its pushes would bring them. */
async function quarantine(row: WaitingDevice, text: string): Promise<void> {
  const [outcome] = await room.operations.intake([
    { customerId: row.customerId, deviceId: row.id, serial: row.serial, feed: 'cdr', epoch: '0123456789abcdef', offset: 0, bytes: Buffer.from(text), format: 'lines', gap: null, start: null, at: room.clock.nowMs(), alerts: [], quarantineMax: 1_000 },
  ]);
  assert.equal(outcome?.kind, 'stored');
  room.tables.waitingDevices.publish({ put: [{ ...row, bytes: text.length }] });
}

suite('devices without an agent', () => {
  test('known by their serial, shown as what they are, changed and removed like others', async () => {
    const device = await pushing('SN 1/ä');
    assert.deepEqual([device.agentId, device.agentState, device.online, device.serial, device.ports, device.url, device.contact, device.label], [null, 'none', false, 'SN 1/ä', [], null, null, 'sn-1-ae']);
    assert.deepEqual((await everything()).devices.map((row) => [row.id, row.agentId]), [[device.id, null]]);
    room.tables.deviceNotes.publish({ put: [{ deviceId: device.id, customerId: device.customerId, lastSeenAt: 9, lastPushAt: 8, lastCheckInAt: 9, from: '192.0.2.7', fw: '2.95', hw: 'ip4', up: 37, clockSkewMs: -1_500, zone: 'Europe/Berlin', pins: ['sha256//x'], facts: { name: 'Lobby' } }] });
    const seen = await owner.call('getDevice', { params: { device: device.id } });
    assert.deepEqual([seen.lastSeenAt, seen.contact], [9, { lastPushAt: 8, lastCheckInAt: 9, from: '192.0.2.7', firmware: '2.95', hardware: 'ip4', pins: true, fingerprints: ['sha256//x'], clockSkewMs: -1_500, zone: 'Europe/Berlin', upSeconds: 37, facts: { name: 'Lobby' } }]);
    assert.equal((await owner.call('changeDevice', { params: { device: device.id }, body: { serial: 'SN2' } })).serial, 'SN2');
    assert.equal((await owner.refused('changeDevice', { params: { device: device.id }, body: { serial: null } })).status, 409);
    await owner.call('makeDeviceKey', { params: { device: device.id }, body: {} });
    await owner.call('removeDevice', { params: { device: device.id } });
    assert.deepEqual([(await everything()).deviceKeys, room.tables.deviceKeys.size, room.tables.deviceNotes.size, room.tables.deviceBySerial(device.customerId, 'SN2')], [[], 0, 0, undefined]);
  });

  test('a serial is one device, with an agent or without, or one that waits', async () => {
    await room.device('Printer', { serial: 'SN1' });
    assert.equal((await owner.refused('addDevice', { body: { name: 'x', serial: 'SN1' } })).status, 409);
    assert.equal((await owner.refused('addDevice', { body: { name: 'x' } })).problems?.[0]?.path, 'serial');
    const other = await pushing('SN2');
    assert.equal((await owner.refused('changeDevice', { params: { device: other.id }, body: { serial: 'SN1' } })).status, 409);
    await knock('SN3');
    assert.equal((await owner.refused('addDevice', { body: { name: 'x', serial: 'SN3' } })).status, 409);
    const agent = [...room.tables.agents.values()][0]!;
    assert.equal((await owner.refused('addDevice', { body: { name: 'x', agentId: agent.id } })).problems?.[0]?.path, 'ports');
    assert.equal((await owner.refused('addDevice', { body: { name: 'x', serial: 'SN4', siteId: room.newId() } })).problems?.[0]?.path, 'siteId');
  });
});

suite('keys of devices', () => {
  let device: Answer<'addDevice'>;
  beforeEach(async () => {
    device = await pushing('SN1');
  });
  const list = async () => (await owner.call('listDeviceKeys', { params: { device: 'SN1'.toLowerCase() } })).items;

  test('shown once, kept sealed, in no list, no audit, no store in the clear', async () => {
    const { key, secret } = await owner.call('makeDeviceKey', { params: { device: device.id }, body: {} });
    assert.match(secret!, /^pdk_/);
    assert.deepEqual([key.kind, key.state, key.usedAt, key.digest], ['key', 'next', null, digestOf(secret!).slice(0, 12)]);
    assert.deepEqual(await list(), [key]);
    const [row] = (await everything()).deviceKeys;
    assert.equal(openKey(row!.sealed!, sealingKey, device.id), secret);
    const texts = JSON.stringify([await list(), (await owner.call('listAudit', { query: {} })).items, row]);
    assert.ok(!texts.includes(secret!) && !texts.includes(secret!.slice(4)));
    assert.deepEqual((await audited('device.key')).map(({ what, subjectName, detail }) => [what, subjectName, detail['state']]), [['device.key-added', 'SN1', 'next']]);
  });

  test('a second one waits for its use; a third takes its place; certificates are a kind of their own', async () => {
    await owner.call('makeDeviceKey', { params: { device: device.id }, body: {} });
    const used = room.tables.keysOfDevice(device.id)[0]!;
    room.tables.deviceKeys.publish({ put: [{ ...used, state: 'current', usedAt: 1 }] });
    const second = await owner.call('makeDeviceKey', { params: { device: device.id }, body: {} });
    const third = await owner.call('makeDeviceKey', { params: { device: device.id }, body: {} });
    const made = await makeCertificate({ name: 'SN1', now: room.clock.nowMs() });
    const certificate = await owner.call('makeDeviceKey', { params: { device: device.id }, body: { certificate: made.pem } });
    assert.deepEqual([certificate.secret, certificate.key.digest, certificate.key.kind], [null, made.keyFingerprint, 'certificate']);
    assert.deepEqual((await list()).map(({ id, state }) => [id, state]), [[used.id, 'current'], [third.key.id, 'next'], [certificate.key.id, 'next']]);
    assert.ok(!(await everything()).deviceKeys.some((row) => row.id === second.key.id));
    const other = await pushing('SN2');
    assert.equal((await owner.refused('makeDeviceKey', { params: { device: other.id }, body: { certificate: made.keyFingerprint } })).status, 409, 'a certificate is one device');
    assert.equal((await owner.refused('makeDeviceKey', { params: { device: other.id }, body: { certificate: 'nonsense' } })).status, 400);
    await owner.call('removeDeviceKey', { params: { device: device.id, id: third.key.id } });
    assert.equal((await owner.refused('removeDeviceKey', { params: { device: device.id, id: third.key.id } })).status, 404);
    assert.equal((await owner.refused('removeDeviceKey', { params: { device: other.id, id: used.id } })).status, 404, "another device's");
    assert.equal((await everything()).deviceKeys.length, 2);
  });

  test('a key that is displaced while it is used for the first time stays', async () => {
    await owner.call('makeDeviceKey', { params: { device: device.id }, body: {} });
    const waiting = room.tables.keysOfDevice(device.id)[0]!;
    const making = owner.call('makeDeviceKey', { params: { device: device.id }, body: {} });
    // As if the device's request came while the store wrote.
    const changeDeviceKeys = room.operations.changeDeviceKeys;
    let first = true;
    (room.operations as { changeDeviceKeys: typeof changeDeviceKeys }).changeDeviceKeys = async (change, audit) => {
      await changeDeviceKeys(change, audit);
      if (first) room.tables.deviceKeys.publish({ put: [{ ...waiting, state: 'current', usedAt: 5 }] });
      first = false;
    };
    const { key } = await making;
    const expected = [[waiting.id, 'current'], [key.id, 'next']];
    assert.deepEqual((await list()).map(({ id, state }) => [id, state]), expected);
    assert.deepEqual((await everything()).deviceKeys.map(({ id, state }) => [id, state]).sort(), expected.sort());
  });

  test('for who administers the device alone', async () => {
    const seer = await room.person(owner, 'bob', [{ action: 'open', scopeKind: 'device', scopeId: device.id }]);
    assert.equal((await seer.refused('listDeviceKeys', { params: { device: device.id } })).status, 403);
    assert.equal((await seer.refused('makeDeviceKey', { params: { device: device.id }, body: {} })).status, 403);
    const stranger = await room.person(owner, 'eve', [{ action: 'administer', scopeKind: 'device', scopeId: (await pushing('SN9')).id }]);
    assert.equal((await stranger.refused('makeDeviceKey', { params: { device: device.id }, body: {} })).status, 404);
    const admin = await room.person(owner, 'ann', [{ action: 'administer', scopeKind: 'device', scopeId: device.id }]);
    assert.match((await admin.call('makeDeviceKey', { params: { device: device.id }, body: {} })).secret!, /^pdk_/);
  });
});

suite('devices that wait', () => {
  test('approved: the same id, its data with its offsets, the key that it brought, and one that it is given', async () => {
    const keyText = 'the-key-that-it-brought-itself';
    const row = await knock('SN1', { keyText, name: 'Lobby' });
    await quarantine(row, 'one\ntwo\n');
    const [shown] = (await owner.call('listWaitingDevices', {})).items;
    assert.deepEqual([shown!.serial, shown!.hasKey, shown!.bytes, shown!.from, shown!.product, shown!.mayDecide], ['SN1', true, 8, '192.0.2.77', 'logger/2', true]);
    assert.doesNotMatch(JSON.stringify(shown), /digest|sealed/i);
    const { device, key } = await owner.call('approveWaitingDevice', { params: { id: row.id }, body: {} });
    assert.deepEqual([device.id, device.name, device.serial, device.agentId, key], [row.id, 'Lobby', 'SN1', null, null]);
    assert.deepEqual(room.tables.keysOfDevice(row.id).map(({ kind, state, digest }) => [kind, state, digest]), [['key', 'current', digestOf(keyText)]]);
    assert.equal(openKey(room.tables.keysOfDevice(row.id)[0]!.sealed!, sealingKey, row.id), keyText);
    assert.equal((await room.operations.findEpoch(row.id, 'cdr', '0123456789abcdef'))?.next, 8);
    const after = await everything();
    assert.deepEqual([after.waitingDevices, after.devices.length, after.deviceKeys.length], [[], 1, 1]);
    const [line] = await audited('waiting.');
    assert.deepEqual([line!.what, line!.actor.name, line!.detail['serial'], line!.detail['quarantineBytes'], line!.detail['broughtKey']], ['waiting.approved', 'ada', 'SN1', 8, true]);
    assert.equal((await owner.refused('approveWaitingDevice', { params: { id: row.id }, body: {} })).status, 404);
    const given = await owner.call('approveWaitingDevice', { params: { id: (await knock('SN2', { keyText })).id }, body: { newKey: true, name: 'Two' } });
    assert.deepEqual(room.tables.keysOfDevice(given.device.id).map((each) => each.state), ['current', 'next']);
    assert.equal(given.device.name, 'Two');
    assert.match(given.key!, /^pdk_/);
  });

  test('one that brought no key is given one, unless its customer wants none', async () => {
    const given = await owner.call('approveWaitingDevice', { params: { id: (await knock('SN1')).id }, body: {} });
    assert.match(given.key!, /^pdk_/);
    const { revision, config } = await owner.call('getConfig', {});
    await owner.call('putConfig', { body: { ...(config as object), strangers: [{ policy: 'wait', keyless: true }] }, headers: { 'if-match': `"${revision}"` } });
    const keyless = await owner.call('approveWaitingDevice', { params: { id: (await knock('SN2')).id }, body: {} });
    assert.equal(keyless.key, null);
    assert.deepEqual(room.tables.keysOfDevice(keyless.device.id), []);
    assert.match((await owner.call('approveWaitingDevice', { params: { id: (await knock('SN3')).id }, body: { newKey: true } })).key!, /^pdk_/);
  });

  test('refused: gone with its data; it may ask again', async () => {
    const row = await knock('SN1');
    await quarantine(row, 'secret data\n');
    await owner.call('refuseWaitingDevice', { params: { id: row.id } });
    assert.deepEqual([(await everything()).waitingDevices, room.tables.waitingDevices.size], [[], 0]);
    assert.equal(await room.operations.findEpoch(row.id, 'cdr', '0123456789abcdef'), null);
    assert.deepEqual(await room.operations.listFeeds({ limit: 10 }), []);
    const again = await knock('SN1');
    await quarantine(again, 'x\n');
    assert.equal((await room.operations.findEpoch(again.id, 'cdr', '0123456789abcdef'))?.next, 2, 'nothing is remembered of the one before');
    assert.deepEqual((await audited('waiting.')).map(({ what, detail }) => [what, detail['serial'], detail['quarantineBytes']]), [['waiting.refused', 'SN1', 12]]);
  });

  test('several at once; one that cannot be stops no other', async () => {
    const rows = [await knock('SN1'), await knock('SN2'), await knock('SN3')];
    const taken: Device = { ...(await room.device('Old')), serial: null };
    room.tables.devices.publish({ put: [{ ...taken, serial: 'SN2' }] });
    const gone = room.newId();
    const { items } = await owner.call('approveWaitingDevices', { body: { ids: [...rows.map((row) => row.id), gone, rows[0]!.id] } });
    assert.deepEqual(items.map(({ serial, device, key, why }) => [serial, device !== null, key !== null, why !== null]), [['SN1', true, true, false], ['SN2', false, false, true], ['SN3', true, true, false], ['', false, false, true]]);
    assert.equal((await owner.call('refuseWaitingDevices', { body: { ids: [rows[1]!.id] } })).refused, 1);
    assert.equal((await owner.refused('refuseWaitingDevices', { body: { ids: [rows[1]!.id] } })).status, 404);
    assert.equal(room.tables.waitingDevices.size, 0);
  });

  test('for who administers the customer: a site is not enough, and others do not even see them', async () => {
    const row = await knock('SN1');
    const site = await room.person(owner, 'sam', [{ action: 'administer', scopeKind: 'site', scopeId: siteId() }]);
    assert.deepEqual((await site.call('listWaitingDevices', {})).items, []);
    assert.equal((await site.refused('approveWaitingDevice', { params: { id: row.id }, body: {} })).status, 404);
    const seer = await room.person(owner, 'sue', [{ action: 'see', scopeKind: 'customer', scopeId: customerId() }]);
    assert.deepEqual((await seer.call('listWaitingDevices', {})).items.map((each) => [each.serial, each.mayDecide]), [['SN1', false]]);
    assert.equal((await seer.refused('approveWaitingDevice', { params: { id: row.id }, body: {} })).status, 403);
    assert.equal((await seer.refused('refuseWaitingDevice', { params: { id: row.id } })).status, 403);
    assert.equal((await seer.call('approveWaitingDevices', { body: { ids: [row.id] } })).items[0]?.why, 'you may not approve devices of this customer');
    const admin = await room.person(owner, 'cat', [{ action: 'administer', scopeKind: 'customer', scopeId: customerId() }]);
    assert.equal((await admin.call('approveWaitingDevice', { params: { id: row.id }, body: {} })).device.serial, 'SN1');
  });

  test('in pages, searched', async () => {
    for (const serial of ['SN1', 'SN2', 'XY3']) await knock(serial, { from: serial === 'XY3' ? '198.51.100.9' : '192.0.2.77' });
    const first = await owner.call('listWaitingDevices', { query: { limit: 2 } });
    assert.deepEqual([first.items.map((each) => each.serial), (await owner.call('listWaitingDevices', { query: { limit: 2, cursor: first.next! } })).items.map((each) => each.serial)], [['SN1', 'SN2'], ['XY3']]);
    assert.deepEqual((await owner.call('listWaitingDevices', { query: { search: 'xy' } })).items.map((each) => each.serial), ['XY3']);
    assert.deepEqual((await owner.call('listWaitingDevices', { query: { search: '198.51.100' } })).items.map((each) => each.serial), ['XY3']);
    assert.deepEqual((await owner.call('listWaitingDevices', { query: { customerId: room.newId() } })).items, []);
  });
});

suite('devices from one gateway to another', () => {
  const passphrase = 'a long passphrase';
  let other: AdminRoom;
  let there: Caller;
  const otherKey = randomBytes(32);
  beforeEach(async () => {
    other = await startAdminRoom({ sealingKey: otherKey });
    there = await other.owner();
  });
  afterEach(() => other.close());

  test('the other one knows the same devices by the same keys, and the file says nothing without its passphrase', async () => {
    const device = await pushing('SN1', { name: 'Lobby' });
    const { secret } = await owner.call('makeDeviceKey', { params: { device: device.id }, body: {} });
    const made = await makeCertificate({ name: 'SN1', now: room.clock.nowMs() });
    await owner.call('makeDeviceKey', { params: { device: device.id }, body: { certificate: made.pem } });
    await pushing('SN2');
    await room.device('No serial');
    const pages = [await owner.call('exportDevices', { query: { limit: 1 }, body: { passphrase } })];
    while (pages.at(-1)!.next !== null) pages.push(await owner.call('exportDevices', { query: { limit: 1, cursor: pages.at(-1)!.next! }, body: { passphrase } }));
    assert.deepEqual(pages.map((each) => each.devices), [1, 1]);
    for (const { sealed } of pages) for (const word of [secret!, 'SN1', 'SN2', 'Lobby', digestOf(secret!)]) assert.ok(!Buffer.from(sealed, 'base64').includes(word) && !sealed.includes(word));
    assert.deepEqual((await audited('devices.exported')).map(({ detail }) => [detail['devices'], detail['keys']]), [[1, 2], [1, 0]]);

    for (const page of pages) assert.deepEqual(await there.call('importDevices', { body: { passphrase, sealed: page.sealed } }), { added: 1, changed: 0, same: 0, refused: [] });
    const known = other.tables.deviceBySerial([...other.tables.customers.values()][0]!.id, 'SN1')!;
    assert.deepEqual([known.name, known.label, known.agentId], ['Lobby', 'lobby', null]);
    assert.deepEqual(other.tables.keysOfDevice(known.id).map(({ kind, digest, state }) => [kind, digest, state]), [['key', digestOf(secret!), 'next'], ['certificate', made.keyFingerprint, 'next']]);
    assert.equal(openKey((await other.operations.loadEverything()).deviceKeys.find((row) => row.kind === 'key')!.sealed!, otherKey, known.id), secret);
    assert.deepEqual(await there.call('importDevices', { body: { passphrase, sealed: pages[0]!.sealed } }), { added: 0, changed: 0, same: 1, refused: [] }, 'again: nothing');

    room.clock.advance(1_000);
    const next = await owner.call('makeDeviceKey', { params: { device: device.id }, body: {} });
    const again = await owner.call('exportDevices', { query: { limit: 1 }, body: { passphrase } });
    assert.equal((await there.call('importDevices', { body: { passphrase, sealed: again.sealed } })).changed, 1);
    assert.ok(other.tables.keysOfDevice(known.id).some((row) => row.digest === digestOf(next.secret!)));
    assert.equal((await there.call('importDevices', { body: { passphrase, sealed: pages[0]!.sealed } })).same, 1, 'an older file brings nothing back');
    assert.deepEqual((await there.call('listAudit', { query: {} })).items.map((line) => line.what).filter((what) => what.includes('import')).reverse(), ['device.imported', 'device.imported', 'device.key-imported']);
  });

  test('what is wrong with a file, and with one device of it', async () => {
    await pushing('SN1');
    await pushing('SN2');
    const { sealed } = await owner.call('exportDevices', { body: { passphrase } });
    assert.equal((await there.refused('importDevices', { body: { passphrase: 'another passphrase', sealed } })).status, 403);
    const cut = Buffer.from(sealed, 'base64');
    for (const bytes of [cut.subarray(0, cut.length - 1), cut.subarray(0, 20), Buffer.concat([cut, cut]), Buffer.from('{}')]) assert.equal((await there.refused('importDevices', { body: { passphrase, sealed: bytes.toString('base64') } })).status, 400);
    assert.equal((await there.refused('importDevices', { body: { passphrase: 'short', sealed } })).status, 400);
    const row: WaitingDevice = { id: other.newId(), customerId: [...other.tables.customers.values()][0]!.id, serial: 'SN1', name: '', from: '', product: '', firstSeenAt: 1, lastSeenAt: 1, keyDigest: null, keySealed: null, bytes: 0 };
    await other.operations.addWaitingDevice(row, null);
    other.tables.waitingDevices.publish({ put: [row] });
    assert.deepEqual(await there.call('importDevices', { body: { passphrase, sealed } }), { added: 1, changed: 0, same: 0, refused: [{ serial: 'SN1', why: 'a device with this serial waits to be approved' }] });
  });

  test('for who administers the customer', async () => {
    await pushing('SN1');
    const seer = await room.person(owner, 'bob', [{ action: 'see', scopeKind: 'gateway', scopeId: null }]);
    assert.equal((await seer.refused('exportDevices', { body: { passphrase } })).status, 403);
    const { sealed } = await owner.call('exportDevices', { body: { passphrase } });
    const otherSeer = await other.person(there, 'eve', [{ action: 'see', scopeKind: 'gateway', scopeId: null }]);
    assert.equal((await otherSeer.refused('importDevices', { body: { passphrase, sealed } })).status, 403);
    const ofDevice = await other.person(there, 'dan', [{ action: 'administer', scopeKind: 'device', scopeId: (await other.device('Printer')).id }]);
    assert.deepEqual((await ofDevice.call('importDevices', { body: { passphrase, sealed } })).refused.map((each) => each.serial), ['SN1']);
    assert.equal(other.tables.devices.size, 1);
    const dear = Buffer.from(sealed, 'base64');
    dear[17] = 20;
    assert.match((await there.refused('importDevices', { body: { passphrase, sealed: dear.toString('base64') } })).detail, /more work/);
  });
});
