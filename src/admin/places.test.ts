import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Customer } from '#model/rows.ts';
import { goodPassword, startAdminRoom } from '../../test/kit/admin-room.ts';

const room = await startAdminRoom({
  lanOf: (agentId) => (agentId === silent ? Promise.reject(new Error('no answer')) : Promise.resolve({ subnets: ['192.0.2.0/24'], gateways: ['192.0.2.1'], resolvers: ['192.0.2.53'], addresses: ['192.0.2.7'] })),
});
let silent = '';
after(() => room.close());
const owner = await room.owner();
const main = [...room.tables.sites.values()][0]!;
const device = await room.device('Lobby');
const lastAudit = async () => (await room.operations.listAudit({ limit: 1 }))[0]!;
const addDoor = { agentId: device.agentId, address: '192.0.2.7', port: 443, listener: 'https' };

test('a site is added with its networks, changed whole, and removed when it is empty', async () => {
  const site = await owner.call('addSite', { body: { name: 'Hamburg', subnets: ['192.168.1.0/24', '192.168.1.0/24', '2001:DB8::/64'], egress: ['203.0.113.7'] } });
  assert.deepEqual([site.name, site.subnets, site.egress, site.agents, site.devices, site.doors, site.overlaps], ['Hamburg', ['192.168.1.0/24', '2001:db8::/64'], ['203.0.113.7/32'], [], 0, [], []]);
  assert.deepEqual([(await lastAudit()).what, (await lastAudit()).subjectName], ['site.added', 'Hamburg']);
  assert.deepEqual(site.may, ['see', 'open', 'administer']);
  assert.deepEqual((await owner.call('listSites')).items.map(({ name, place }) => [name, place]), [
    ['Hamburg', { subnets: site.subnets, egress: site.egress, overlaps: { egress: 0, subnets: 0 }, agents: 0, agentsOnline: 0, devices: 0, doors: 0, doorsOpen: 0 }],
    [main.name, { subnets: [], egress: [], overlaps: { egress: 0, subnets: 0 }, agents: 1, agentsOnline: 0, devices: 1, doors: 0, doorsOpen: 0 }],
  ]);
  assert.deepEqual(await owner.call('getSite', { params: { site: 'hamburg' } }), site);
  assert.deepEqual(await owner.call('getSite', { params: { site: 'default/Hamburg' } }), site);
  assert.equal((await owner.refused('addSite', { body: { name: 'hamburg' } })).status, 409);
  const { seq } = await lastAudit();
  await owner.call('changeSite', { params: { site: site.id }, body: { name: 'Hamburg', egress: ['203.0.113.7/32'] } });
  assert.equal((await lastAudit()).seq, seq, 'what changes nothing is no news');
  const changed = await owner.call('changeSite', { params: { site: site.id }, body: { name: 'Bremen', egress: [] } });
  assert.deepEqual([changed.name, changed.subnets, changed.egress], ['Bremen', site.subnets, []]);
  assert.deepEqual((await lastAudit()).detail, { 'name before': 'Hamburg', 'name after': 'Bremen', 'egress before': '203.0.113.7/32', 'egress after': '' });
  for (const body of [{ subnets: ['192.0.2.1/24'] }, { subnets: ['0.0.0.0/0'] }, { egress: ['198.0.0.0/8'] }, { egress: ['2001::/16'] }, { egress: ['printer'] }, { name: '' }]) assert.equal((await owner.refused('changeSite', { params: { site: site.id }, body })).status, 400, JSON.stringify(body));
  await owner.call('removeSite', { params: { site: 'Bremen' } });
  assert.deepEqual([room.tables.sites.size, room.tables.sitePlaces.size], [1, 0]);
  assert.equal((await owner.refused('removeSite', { params: { site: main.id } })).status, 409, 'the last one of its customer');
  assert.equal((await owner.refused('getSite', { params: { site: site.id } })).status, 404);
});

test('where its links come from is offered, and what it shares is told', async () => {
  const other = await owner.call('addSite', { body: { name: 'Kiel', subnets: ['192.168.0.0/16'], egress: ['198.51.100.7/32'] } });
  room.tables.agentNotes.publish({ put: [{ agentId: device.agentId, lastSeenAt: 5, lastLeftWhy: null, version: 'x', from: '198.51.100.7', policy: null }] });
  await owner.call('changeSite', { params: { site: main.id }, body: { subnets: ['192.168.7.0/24'] } });
  const shown = await owner.call('getSite', { params: { site: main.id } });
  assert.deepEqual(shown.observed, [{ address: '198.51.100.7', agentId: device.agentId, agentName: 'agent of Lobby', at: 5, isListed: false, isPublic: true }]);
  assert.deepEqual(shown.overlaps, [{ kind: 'subnet', siteId: other.id, siteName: 'Kiel', network: '192.168.0.0/16' }]);
  await owner.call('changeSite', { params: { site: main.id }, body: { egress: ['198.51.100.0/28'] } });
  const listed = await owner.call('getSite', { params: { site: main.id } });
  assert.equal(listed.observed[0]?.isListed, true);
  assert.deepEqual(listed.overlaps.map((each) => each.kind), ['egress', 'subnet']);
  assert.deepEqual((await owner.call('listSites')).items.map((each) => each.place?.overlaps), [{ egress: 1, subnets: 1 }, { egress: 1, subnets: 1 }]);
  await owner.call('removeSite', { params: { site: other.id } });
});

test('a customer does not claim the egress of another; who administers the gateway says when it is shared', async () => {
  const customer: Customer = { id: room.newId(), key: 'acme', name: 'Acme', createdAt: 1 };
  const site = { id: room.newId(), customerId: customer.id, name: 'acme-main', createdAt: 1 };
  room.tables.customers.publish({ put: [customer] });
  room.tables.sites.publish({ put: [site] });
  room.tables.sitePlaces.publish({ put: [{ siteId: site.id, customerId: customer.id, subnets: [], egress: ['203.0.113.8/29'] }] });
  const sam = await room.person(owner, 'sam', [{ action: 'administer', scopeKind: 'customer', scopeId: main.customerId }]);
  const refused = await sam.refused('addSite', { body: { name: 'Lübeck', egress: ['203.0.113.9/32'] } });
  assert.deepEqual([refused.status, refused.problems?.[0]?.path], [403, 'egress']);
  assert.doesNotMatch(JSON.stringify(refused), /acme/i);
  const printer = { ...device, id: room.newId(), customerId: customer.id, siteId: site.id, label: 'acme-printer', host: '198.51.100.20' };
  room.tables.devices.publish({ put: [printer] });
  room.tables.sitePlaces.publish({ put: [{ siteId: site.id, customerId: customer.id, subnets: ['10.20.30.0/24'], egress: ['203.0.113.8/29'] }] });
  for (const body of [{ subnets: ['203.0.113.0/24'] }, { subnets: ['198.51.100.0/24'] }, { subnets: ['192.0.0.0/8', '198.0.0.0/8'] }, { egress: ['198.51.100.16/28'] }, { egress: ['10.20.0.0/16'] }]) {
    const told = await sam.refused('addSite', { body: { name: 'Lübeck', ...body } });
    assert.deepEqual([told.status, told.problems?.[0]?.path], [403, Object.keys(body)[0]], JSON.stringify(body));
    assert.doesNotMatch(JSON.stringify(told), /acme/i);
  }
  room.tables.devices.publish({ removed: [printer.id] });
  const private_ = await sam.call('addSite', { body: { name: 'Wismar', subnets: ['10.0.0.0/8', '198.51.100.0/24'] } });
  await owner.call('removeSite', { params: { site: private_.id } });
  const made = await owner.call('addSite', { body: { name: 'Lübeck', egress: ['203.0.113.9/32'] } });
  await sam.call('changeSite', { params: { site: made.id }, body: { egress: ['203.0.113.9/32', '203.0.113.32/32'] } });
  assert.deepEqual((await sam.call('getSite', { params: { site: made.id } })).overlaps, [{ kind: 'egress', siteId: site.id, siteName: '', network: '203.0.113.8/29' }], 'that it is shared, not by whom');
  assert.equal((await sam.refused('getSite', { params: { site: site.id } })).status, 404);
  assert.equal((await sam.refused('addSite', { body: { name: 'x', customerId: customer.id } })).status, 400);
  await owner.call('removeSite', { params: { site: made.id } });
  room.tables.sitePlaces.publish({ removed: [site.id] });
  room.tables.sites.publish({ removed: [site.id] });
});

test('a door belongs to an agent and leads to a listener; who administers the site opens it', async () => {
  const viewer = await room.person(owner, 'vera', [{ action: 'open', scopeKind: 'site', scopeId: main.id }]);
  const admin = await room.person(owner, 'adam', [{ action: 'administer', scopeKind: 'site', scopeId: main.id }]);
  assert.equal((await viewer.refused('addDoor', { body: addDoor })).status, 403);
  const door = await admin.call('addDoor', { body: { ...addDoor, address: '::ffff:192.0.2.7' } });
  assert.deepEqual([door.address, door.siteName, door.agentName, door.bound, door.why, door.open], ['192.0.2.7', main.name, 'agent of Lobby', false, null, 0]);
  assert.deepEqual([(await lastAudit()).what, (await lastAudit()).subjectName], ['door.added', `${main.name} 192.0.2.7:443`]);
  assert.deepEqual((await viewer.call('listDoors')).items, [door]);
  assert.deepEqual((await viewer.call('listDoors', { query: { agentId: room.newId() } })).items, []);
  assert.equal((await admin.refused('addDoor', { body: addDoor })).status, 409);
  for (const body of [{ ...addDoor, port: 0 }, { ...addDoor, address: 'printer.example.test' }, { ...addDoor, listener: 'nothing' }, { ...addDoor, agentId: room.newId() }]) assert.equal((await admin.refused('addDoor', { body })).status, 400, JSON.stringify(body));
  const { revision, config } = await owner.call('getConfig');
  const listeners = (config as { listeners: object[] }).listeners;
  await owner.call('putConfig', { headers: { 'if-match': `"${revision}"` }, body: { ...(config as object), listeners: [...listeners, { name: 'inside', address: '127.0.0.1', port: 9_000, tls: false }] } as never });
  assert.equal((await admin.refused('addDoor', { body: { ...addDoor, port: 80, listener: 'inside' } })).status, 403, 'what listens on this machine alone is not for a LAN');
  const inside = await owner.call('addDoor', { body: { ...addDoor, port: 80, listener: 'inside' } });
  await owner.call('putConfig', { headers: { 'if-match': `"${revision + 1}"` }, body: config as never });
  assert.match((await admin.call('getDoor', { params: { id: inside.id } })).why!, /no listener "inside"/);
  assert.equal((await viewer.refused('changeDoor', { params: { id: door.id }, body: { port: 8443 } })).status, 403);
  assert.equal((await admin.refused('changeDoor', { params: { id: door.id }, body: { port: 80 } })).status, 409, 'there is one');
  for (const body of [{ port: 0 }, { address: 'printer.example.test' }, { listener: 'nothing' }]) assert.equal((await admin.refused('changeDoor', { params: { id: door.id }, body })).status, 400, JSON.stringify(body));
  const changed = await admin.call('changeDoor', { params: { id: door.id }, body: { port: 8443, listener: 'http' } });
  assert.deepEqual([changed.id, changed.address, changed.port, changed.listener], [door.id, '192.0.2.7', 8443, 'http']);
  assert.deepEqual([(await lastAudit()).what, (await lastAudit()).detail], ['door.changed', { 'port before': 443, 'port after': 8443, 'listener before': 'https', 'listener after': 'http' }]);
  assert.deepEqual([room.tables.siteDoors.get(door.id)?.port, (await room.operations.loadEverything()).siteDoors.find((row) => row.id === door.id)?.listener], [8443, 'http']);
  await admin.call('changeDoor', { params: { id: door.id }, body: { port: 443, listener: 'https' } });
  assert.equal((await viewer.refused('removeDoor', { params: { id: door.id } })).status, 403);
  await admin.call('removeDoor', { params: { id: inside.id } });
  assert.equal((await admin.refused('getDoor', { params: { id: inside.id } })).status, 404);
});

test('an agent moves with its devices and doors; a device without one by itself', async () => {
  const site = await owner.call('addSite', { body: { name: 'Rostock' } });
  assert.equal((await owner.refused('moveDevice', { params: { device: device.id }, body: { siteId: site.id } })).status, 409);
  const moved = await owner.call('moveAgent', { params: { id: device.agentId }, body: { siteId: site.id } });
  assert.equal(moved.siteName, 'Rostock');
  assert.equal(room.tables.devices.get(device.id)?.siteId, site.id);
  assert.deepEqual((await owner.call('listDoors', { query: { siteId: site.id } })).items.map((door) => door.siteName), ['Rostock']);
  assert.deepEqual([(await lastAudit()).what, (await lastAudit()).detail], ['agent.moved', { before: main.name, after: 'Rostock', devices: 1, doors: 1 }]);
  assert.equal((await owner.refused('removeSite', { params: { site: site.id } })).status, 409);
  const pushing = await owner.call('addDevice', { body: { name: 'Meter', serial: 'M1', siteId: main.id } });
  const there = await owner.call('moveDevice', { params: { device: pushing.id }, body: { siteId: site.id } });
  assert.equal(there.siteName, 'Rostock');
  assert.equal((await owner.refused('moveDevice', { params: { device: pushing.id }, body: { siteId: room.newId() } })).status, 400);
  const [row] = (await room.operations.loadEverything()).siteDoors;
  assert.equal(row?.siteId, site.id);
});

test("agents are asked about their LAN only when somebody wants it, and who does not answer is left out", async () => {
  const lan = async (query: { lan?: 'true' } = { lan: 'true' }) => (await owner.call('getSite', { params: { site: 'Rostock' }, query })).lan;
  assert.deepEqual(await lan(), [], 'no link stands');
  room.live.putLink({ id: room.newId(), agentId: device.agentId, slot: 0, from: '198.51.100.7', version: 'x', since: 1, rttMs: null, streams: 0, bytesIn: 0, bytesOut: 0, can: ['service'] });
  assert.deepEqual(await lan({}), []);
  assert.deepEqual(await lan(), [{ agentId: device.agentId, agentName: 'agent of Lobby', subnets: ['192.0.2.0/24'], gateways: ['192.0.2.1'], resolvers: ['192.0.2.53'], addresses: ['192.0.2.7'] }]);
  silent = device.agentId;
  assert.deepEqual(await lan(), []);
  const vera = room.browser();
  const owners = owner.call('getSite', { params: { site: 'Rostock' } });
  await vera.call('signIn', { body: { login: 'vera', password: goodPassword } });
  assert.equal((await vera.refused('getSite', { params: { site: 'Rostock' }, query: { lan: 'true' } })).status, 404, 'a site that she does not see');
  assert.equal((await owners).lan.length, 0);
});

test('with the last device its agent goes, and its doors', async () => {
  await owner.call('removeDevice', { params: { device: device.id } });
  assert.equal(room.tables.siteDoors.size, 0);
  assert.deepEqual((await owner.call('listDoors')).items, []);
});
