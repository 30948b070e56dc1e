import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { digestOf } from '#base/secret.ts';
import type { Asked, Identity } from '#model/identity.ts';
import type { DeviceProfile } from '#model/place-rows.ts';
import type { Device } from '#model/rows.ts';
import { startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';

let room: AdminRoom;
let owner: Caller;
let press: Device & { readonly agentId: string };
let second: Device & { readonly agentId: string };
let siteId: string;

const application = { tell: 'headers' };
const target = { kind: 'tcp', host: '192.0.2.200', port: 80 };
const routes = [
  { name: 'scans', host: 'scans.example.test', application, target },
  { name: 'faxes', host: '*.fax.example.test', path: '/app', application: { tell: 'virtual' }, target },
  { name: 'plain', host: 'plain.example.test', target },
];

beforeEach(async () => {
  room = await startAdminRoom();
  owner = await room.owner();
  press = await room.device('Press', { host: '192.0.2.50', serial: 'SN-1' });
  second = await room.device('Second', { host: '192.0.2.51', serial: 'SN-2' });
  siteId = press.siteId;
  const { revision, config } = await owner.call('getConfig', {});
  await owner.call('putConfig', { body: { ...(config as object), routes, addressPool: { networks: ['203.0.113.0/24'] } }, headers: { 'if-match': `"${revision}"` } });
});
afterEach(() => room.close());

const administers = (scopeKind: 'device' | 'site' | 'customer', scopeId: string, login: string) => room.person(owner, login, [{ action: 'administer', scopeKind, scopeId }]);
const sourcesNow = async (caller: Caller) => (await caller.call('listJobSources', { query: {} })).items;
const auditOf = async (what: string) => (await owner.call('listAudit', { query: { what } })).items;

suite('URLs of devices', () => {
  test('made, shown once, listed without their secret, withdrawn', async () => {
    const { url, address } = await owner.call('makeDeviceUrl', { params: { device: 'press' }, body: { application: 'scans' } });
    const secret = /^https:\/\/scans\.example\.test:8443\/d\/([A-Za-z0-9_-]{24})\/$/.exec(address)?.[1];
    assert.ok(secret, address);
    assert.equal(room.tables.deviceTokenByDigest(digestOf(secret))?.deviceId, press.id);
    const other = await owner.call('makeDeviceUrl', { params: { device: 'press' }, body: { application: 'faxes', host: 'a.fax.example.test', note: 'upstairs' } });
    assert.match(other.address, /^https:\/\/a\.fax\.example\.test:8443\/d\/[A-Za-z0-9_-]{24}\/app\/$/);
    const list = await owner.call('listDeviceUrls', { params: { device: 'press' } });
    assert.deepEqual(list.items.map((each) => [each.id, each.note, each.usedAt]), [[url.id, 'scans', null], [other.url.id, 'upstairs', null]]);
    const everything = JSON.stringify([list, await room.operations.loadEverything(), await room.operations.listAudit({ limit: 100 }), await owner.call('getDeviceIdentity', { params: { device: 'press' } }), room.journal.lines({ limit: 100 })]);
    assert.ok(!everything.includes(secret), 'the secret is nowhere');
    await owner.call('removeDeviceUrl', { params: { device: 'press', id: url.id } });
    assert.equal(room.tables.deviceTokenByDigest(digestOf(secret)), undefined);
    assert.equal((await owner.refused('removeDeviceUrl', { params: { device: 'press', id: url.id } })).status, 404);
    assert.equal((await owner.refused('removeDeviceUrl', { params: { device: 'second', id: other.url.id } })).status, 404, "not another device's");
    assert.deepEqual((await auditOf('device.url-made')).map((line) => line.subjectName), ['Press', 'Press']);
  });

  test('what has no URL gets none', async () => {
    const refused = async (body: { application: string; host?: string }) => (await owner.refused('makeDeviceUrl', { params: { device: 'press' }, body })).detail;
    assert.match(await refused({ application: 'plain' }), /no application "plain"/);
    assert.match(await refused({ application: 'faxes' }), /several names/);
    assert.match(await refused({ application: 'faxes', host: 'evil.example.test' }), /is reached as \*\.fax/);
    for (let i = 0; i < 16; i++) await owner.call('makeDeviceUrl', { params: { device: 'press' }, body: { application: 'scans' } });
    assert.match(await refused({ application: 'scans' }), /at most 16/);
  });
});

suite('job sources', () => {
  test('which applications there are, for who administers something', async () => {
    const { items } = await owner.call('listApplications');
    assert.deepEqual(items, [
      { name: 'scans', host: 'scans.example.test', protocol: 'http', tell: 'headers', address: 'own', require: 'address', assigned: true },
      { name: 'faxes', host: '*.fax.example.test', protocol: 'http', tell: 'virtual', address: 'virtual', require: 'address', assigned: true },
    ]);
    assert.equal((await (await administers('device', press.id, 'bob')).call('listApplications')).items.length, 2);
    const seer = await room.person(owner, 'carol', [{ action: 'open', scopeKind: 'device', scopeId: press.id }]);
    assert.equal((await seer.refused('listApplications')).code, 'forbidden');
  });

  test('the event stream tells of them, once a second', async () => {
    const response = await room.admin.fetch(new Request(`http://${room.host}/api/v1/events`, { headers: { cookie: `__Host-postern=${owner.cookie}`, origin: `http://${room.host}`, host: room.host } }), { asker: { from: '192.0.2.10', secure: false, conn: 'c0' } });
    const reader = response.body!.getReader();
    let text = '';
    const reading = (async () => {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        text += Buffer.from(value).toString();
      }
    })();
    const told = () => text.split('event: applications').length - 1;
    const passes = async (news: number) => {
      // Two steps: it is gathered, and then told with what else there is.
      for (const ms of [1_100, 300]) room.clock.advance(ms);
      for (let turns = 0; turns < 1_000 && told() < news; turns++) await new Promise((next) => setImmediate(next));
      assert.equal(told(), news);
    };
    const { source } = await owner.call('addJobSource', { body: { application: 'scans', device: 'press' } });
    await owner.call('removeJobSource', { params: { id: source.id } });
    await passes(1);
    await owner.call('makeDeviceUrl', { params: { device: 'press' }, body: { application: 'scans' } });
    await passes(2);
    await reader.cancel();
    await reading;
  });

  test('a device is let in by name, by serial, by address; once each', async () => {
    const one = await owner.call('addJobSource', { body: { application: 'scans', device: 'press', note: ' left ' } });
    assert.deepEqual([one.source.deviceId, one.source.device?.name, one.source.note, one.source.appears, one.conflicts], [press.id, 'Press', 'left', '192.0.2.50', []]);
    const two = await owner.call('addJobSource', { body: { application: 'scans', siteId, address: '192.0.2.51' } });
    assert.equal(two.source.device?.id, second.id);
    assert.equal((await owner.refused('addJobSource', { body: { application: 'scans', device: 'press' } })).status, 409);
    for (const body of [{ application: 'scans' }, { application: 'scans', device: 'press', serial: 'SN-1' }, { application: 'plain', device: 'press' }, { application: 'scans', siteId, address: 'here' }, { application: 'scans', address: '192.0.2.51' }]) {
      assert.equal((await owner.refused('addJobSource', { body })).status, 400, JSON.stringify(body));
    }
    assert.deepEqual((await sourcesNow(owner)).map((row) => row.id), [one.source.id, two.source.id]);
    assert.equal((await owner.call('listJobSources', { query: { search: 'left' } })).items.length, 1);
    const changed = await owner.call('changeJobSource', { params: { id: two.source.id }, body: { as: null, note: 'changed' } });
    assert.equal(changed.source.note, 'changed');
    await owner.call('removeJobSource', { params: { id: one.source.id } });
    assert.deepEqual((await room.operations.loadEverything()).jobSources.map((row) => row.note), ['changed']);
    assert.deepEqual((await auditOf('job-source.removed')).map((line) => line.subjectName), ['scans: press']);
  });

  test('what contradicts is said with the change, and in the list', async () => {
    await owner.call('addJobSource', { body: { application: 'scans', device: 'press' } });
    const { conflicts } = await owner.call('addJobSource', { body: { application: 'scans', serial: 'SN-1' } });
    assert.deepEqual(conflicts.map((each) => [each.kind, each.sourceIds.length]), [['twice', 2]]);
    await owner.call('addJobSource', { body: { application: 'scans', serial: 'SN-77' } });
    assert.deepEqual((await owner.call('listJobSourceConflicts', {})).items.map((each) => each.kind).sort(), ['no-device', 'twice']);
  });

  test('who administers a device speaks for it alone, and not about addresses of others', async () => {
    const bob = await administers('device', press.id, 'bob');
    await bob.call('addJobSource', { body: { application: 'scans', device: 'press' } });
    const others = await owner.call('addJobSource', { body: { application: 'scans', device: 'second' } });
    assert.deepEqual((await sourcesNow(bob)).map((row) => row.deviceId), [press.id]);
    assert.equal((await bob.refused('addJobSource', { body: { application: 'faxes', device: 'second' } })).status, 404);
    assert.equal((await bob.refused('addJobSource', { body: { application: 'faxes', serial: 'SN-2' } })).status, 403);
    assert.equal((await bob.refused('addJobSource', { body: { application: 'faxes', serial: 'SN-99' } })).status, 403);
    assert.equal((await bob.refused('addJobSource', { body: { application: 'faxes', siteId, address: '192.0.2.50' } })).status, 400);
    for (const call of ['changeJobSource', 'removeJobSource'] as const) assert.equal((await bob.refused(call, { params: { id: others.source.id }, ...(call === 'changeJobSource' ? { body: {} } : {}) })).status, 404);
    assert.equal((await bob.refused('addJobSource', { body: { application: 'faxes', device: 'press', as: '198.51.100.9' } })).status, 403);
    room.tables.virtualAddresses.publish({ put: [{ deviceId: press.id, customerId: press.customerId, address: '203.0.113.1', pinned: false, createdAt: 0 }, { deviceId: second.id, customerId: second.customerId, address: '203.0.113.2', pinned: false, createdAt: 0 }] });
    assert.match((await bob.refused('addJobSource', { body: { application: 'faxes', device: 'press', as: '203.0.113.2' } })).detail, /another device's virtual address/);
    assert.match((await owner.refused('addJobSource', { body: { application: 'faxes', device: 'press', as: '203.0.113.2' } })).detail, /another device's virtual address/, 'nor may the owner');
    await bob.call('addJobSource', { body: { application: 'faxes', device: 'press', as: '203.0.113.1' } });
    assert.equal((await bob.refused('exportJobSources', { query: {} })).status, 404);
    assert.equal((await bob.refused('importJobSources', { body: { text: 'application,device\nscans,second' } })).status, 404);
  });

  test('CSV: what would change, whole or not at all, and out again', async () => {
    const text = 'application,serial,device,site,address,as,note\r\nscans,SN-1,,,,,"first, left"\r\nscans,,second,,,198.51.100.9,\r\n';
    const tried = await owner.call('importJobSources', { body: { text, dryRun: true } });
    assert.deepEqual([tried.done, tried.added.map((each) => each.who), tried.same], [false, ['serial SN-1', 'second'], 0]);
    assert.equal(room.tables.jobSources.size, 0);
    const bad = await owner.call('importJobSources', { body: { text: `${text}scans,,nobody,,,,\r\n` } });
    assert.deepEqual([bad.done, bad.problems], [false, [{ line: 4, message: 'no device "nobody"' }]]);
    assert.equal(room.tables.jobSources.size, 0);
    const done = await owner.call('importJobSources', { body: { text } });
    assert.deepEqual([done.done, done.added.length, done.conflicts], [true, 2, []]);
    const exported = await owner.call('exportJobSources', { query: {} });
    assert.deepEqual([exported.sources, exported.text], [2, text]);
    const again = await owner.call('importJobSources', { body: { text: exported.text, replace: true } });
    assert.deepEqual([again.same, again.added, again.changed, again.removed], [2, [], [], []]);
    const replaced = await owner.call('importJobSources', { body: { text: 'application,serial,note\nscans,SN-1,=1+1', replace: true } });
    assert.deepEqual([replaced.changed.length, replaced.removed.map((each) => each.who)], [1, ['second']]);
    assert.match((await owner.call('exportJobSources', { query: {} })).text, /,'=1\+1\r\n$/);
    assert.deepEqual((await room.operations.loadEverything()).jobSources.map((row) => row.note), ['=1+1']);
    assert.deepEqual((await auditOf('job-sources.imported')).map((line) => [line.detail['added'], line.detail['removed']]), [[0, 1], [2, 0]]);
  });
});

const asking = (change: Partial<Asked['origin']> = {}): Asked => ({ origin: { siteId, customerId: press.customerId, address: '192.0.2.77', viaAgentId: press.agentId, mac: null, ...change }, marks: { certificateDeviceId: null, tokenDeviceId: null, sessionDeviceId: null, sessionVerified: false, claimedSerial: 'SN-1', shape: 'abcd' } });
const unknown: Identity = { state: 'unknown', device: null, by: null, why: 'no device is known there', conflict: [] };
const refuse = (asked = asking(), identity = unknown) => room.origins.refuse({ asked, identity, application: 'scans', customerId: null, userAgent: 'Panel/1', why: null }, room.clock.nowMs());

suite('devices that wait to be assigned', () => {
  test('the code on the panel names the entry; assigning moves the device here and lets it in', async () => {
    const code = refuse();
    const { items } = await owner.call('listUnassigned', { query: {} });
    assert.deepEqual(items.map((each) => [each.code, each.application, each.address, each.claimedSerial, each.userAgent, each.state]), [[code, 'scans', '192.0.2.77', 'SN-1', 'Panel/1', 'unknown']]);
    const done = await owner.call('assignDevice', { params: { code }, body: { device: 'press' } });
    assert.deepEqual([done.moved, done.device.host, done.source.deviceId, done.identity.state], [true, '192.0.2.77', press.id, 'address-only']);
    assert.deepEqual((await owner.call('listUnassigned', { query: {} })).items, []);
    assert.equal((await owner.refused('assignDevice', { params: { code }, body: { device: 'press' } })).status, 404);
    assert.deepEqual((await room.operations.loadEverything()).devices.find((row) => row.id === press.id)?.host, '192.0.2.77');
    const again = await owner.call('assignDevice', { params: { code: refuse() }, body: { device: 'press' } });
    assert.deepEqual([again.moved, again.source.id], [false, done.source.id], 'the row that stands is enough');
  });

  test('a device that nobody knew is added behind the door that it came through', async () => {
    const done = await owner.call('assignDevice', { params: { code: refuse() }, body: { newDevice: { name: 'Fresh', serial: 'SN-9' } } });
    const device = room.tables.devices.get(done.device.id)!;
    assert.deepEqual([device.agentId, device.siteId, device.host, device.serial, done.source.deviceId], [press.agentId, siteId, '192.0.2.77', 'SN-9', device.id]);
    assert.equal((await owner.refused('assignDevice', { params: { code: refuse() }, body: {} })).status, 400);
    assert.equal((await owner.refused('assignDevice', { params: { code: refuse(asking({ siteId: null, viaAgentId: null, customerId: null })) }, body: { newDevice: { name: 'X' } } })).status, 400);
  });

  test('a code is worth nothing to whom the place is not', async () => {
    const code = refuse();
    const bob = await administers('device', press.id, 'bob');
    assert.deepEqual((await bob.call('listUnassigned', { query: {} })).items, []);
    assert.equal((await bob.refused('assignDevice', { params: { code }, body: { device: 'press' } })).status, 404);
    const sue = await administers('site', siteId, 'sue');
    assert.equal((await sue.call('listUnassigned', { query: {} })).items.length, 1);
    const nowhere = refuse(asking({ siteId: null, customerId: null, viaAgentId: null, address: '198.51.100.7' }));
    assert.equal((await sue.call('listUnassigned', { query: {} })).items.length, 1, 'from nowhere in particular: for who administers the gateway');
    assert.equal((await sue.refused('assignDevice', { params: { code: nowhere }, body: { device: 'press' } })).status, 404);
    const other = await room.device('Elsewhere', { siteId: press.siteId, customerId: press.customerId });
    const foreign = refuse(asking({ siteId: null, customerId: '01890000-0000-7000-8000-000000000001', viaAgentId: null }));
    assert.equal((await owner.refused('assignDevice', { params: { code: foreign }, body: { device: other.label } })).status, 409, 'a device of another customer than the place');
    await sue.call('assignDevice', { params: { code }, body: { device: 'press' } });
  });
});

test('who a device is: state, why, confirmation, evidence', async () => {
  const identity = () => owner.call('getDeviceIdentity', { params: { device: 'press' } });
  assert.deepEqual((await identity()).now, { state: 'address-only', by: 'address', why: '192.0.2.50 is the address of Press (SN-1), and nothing else says so: no probe has read its serial there; probe it', address: '192.0.2.50', conflict: [] });
  const at = room.clock.nowMs();
  const profile: DeviceProfile = {
    deviceId: press.id, customerId: press.customerId, readAt: at, address: '192.0.2.50', agentId: press.agentId, trust: 'verified', mac: '02:00:5e:10:00:01', triedAt: at, failure: null,
    profile: { vendor: null, enterpriseId: null, model: null, serial: 'SN-1', macs: [], addresses: [], firmware: null, hostNames: [], location: null, functions: { print: null, copy: null, scan: null, fax: null }, colour: null, duplex: null, languages: [], protocols: [], supplies: [], trays: [], counters: {}, status: null, errors: [], upSeconds: null, driver: null, confidence: 1, evidence: [] },
  };
  room.tables.deviceProfiles.publish({ put: [profile] });
  room.tables.evidence.publish({ put: [{ deviceId: press.id, customerId: press.customerId, kind: 'serial-snmp', value: 'SN-1', how: 'a probe read it', firstAt: 1, lastAt: 2, count: 3 }] });
  await owner.call('addJobSource', { body: { application: 'scans', serial: 'SN-1' } });
  room.origins.observe(asking({ address: '192.0.2.50' }), { state: 'verified', device: press, by: 'mac', why: 'it is', conflict: [] }, 'scans', at);
  const view = await identity();
  assert.deepEqual([view.now.state, view.now.by, view.last?.by, view.last?.application, view.confirmation?.fresh, view.confirmation?.agent, view.sources.map((each) => each.application), view.evidence.map((each) => each.count)], ['verified', 'serial', 'mac', 'scans', true, 'agent of Press', ['scans'], [3]]);
  const bob = await administers('device', second.id, 'bob');
  assert.equal((await bob.refused('getDeviceIdentity', { params: { device: 'press' } })).status, 404);
});
