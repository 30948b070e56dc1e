import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startAdminRoom, type Caller } from '../../test/kit/admin-room.ts';

const room = await startAdminRoom();
after(() => room.close());
const owner = await room.owner();
const device = await room.device('Lobby', { serial: 'SN 1/ü' });

async function configure(sections: object): Promise<void> {
  const { revision, config } = await owner.call('getConfig');
  await owner.call('putConfig', { headers: { 'if-match': `"${revision}"` }, body: { ...(config as object), ...sections } as never });
}
const base = (name: string) => `https://${name}.example.test/v1`;
const wanted = { servers: [{ name: 'a', base: base('a'), pins: [`sha256//${'A'.repeat(43)}=`] }, { name: 'b', base: base('b'), weight: 3 }], redirects: [{ name: 'beta', tag: 'beta', servers: ['a'] }, { name: 'rest', suspended: false, strategy: 'weights', servers: ['a', 'b'], ttlSeconds: 60 }] };
const lastAudit = async () => (await room.operations.listAudit({ limit: 1 }))[0]!;

test('rules and servers are shown as they count', async () => {
  assert.deepEqual(await owner.call('listRedirects'), { rules: [], servers: [] });
  await configure(wanted);
  const { rules, servers } = await owner.call('listRedirects');
  assert.deepEqual(rules.map(({ name, conditions, strategy, servers: to, ttlSeconds }) => [name, conditions.map(({ field }) => field), strategy, to, ttlSeconds]), [['beta', ['tag'], 'first', ['a'], 3_600], ['rest', ['suspended'], 'weights', ['a', 'b'], 60]]);
  assert.deepEqual(servers.map(({ name, drain, weight, leases, failed, rules: by }) => [name, drain, weight, leases, failed, by]), [['a', 'no', 1, 0, 0, ['beta', 'rest']], ['b', 'no', 3, 0, 0, ['rest']]]);
});

test('a preview says where and why, also for a serial that nobody knows', async () => {
  const seen = await owner.call('previewRedirect', { body: { serial: 'SN 1/ü', from: '192.0.2.7' } });
  assert.deepEqual([seen.known, seen.device?.id, seen.decision.kind, seen.decision.server, seen.decision.base, seen.decision.ttlSeconds], [true, device.id, 'send', 'b', `${base('b')}/default`, 60]);
  assert.deepEqual(seen.rules.map(({ rule, state }) => [rule, state]), [['beta', 'not'], ['rest', 'taken']]);
  assert.deepEqual([seen.lease, seen.failed, seen.epochs], [null, [], []]);
  assert.deepEqual(await owner.call('previewRedirect', { body: { serial: 'SN 1/ü', from: '192.0.2.7' } }), seen, 'nothing has moved');
  const stranger = await owner.call('previewRedirect', { body: { serial: 'X', customer: 'default', hops: 5 } });
  assert.deepEqual([stranger.known, stranger.device, stranger.decision.kind, stranger.decision.why, stranger.decision.base], [false, null, 'stay', 'hops', null]);
  assert.equal((await owner.call('previewRedirect', { body: { serial: 'X', secure: false, by: 'nothing' } })).decision.why, 'disbelief');
  assert.equal((await owner.refused('previewRedirect', { body: { serial: 'X', customer: 'nobody' } })).status, 404);
});

test('tags are words that rules go by', async () => {
  assert.deepEqual(await owner.call('getDeviceTags', { params: { device: device.id } }), { deviceId: device.id, tags: [] });
  assert.deepEqual((await owner.call('setDeviceTags', { params: { device: 'lobby' }, body: { tags: [' beta ', 'alpha', 'beta'] } })).tags, ['alpha', 'beta']);
  const line = await lastAudit();
  assert.deepEqual([line.what, line.subjectId, line.detail], ['device.tagged', device.id, { before: '', after: 'alpha, beta' }]);
  const seen = await owner.call('previewRedirect', { body: { serial: 'SN 1/ü' } });
  assert.deepEqual([seen.decision.rule, seen.decision.server, seen.device?.tags], ['beta', 'a', ['alpha', 'beta']]);
  await owner.call('setDeviceTags', { params: { device: 'lobby' }, body: { tags: ['beta', 'alpha'] } });
  assert.equal((await lastAudit()).seq, line.seq, 'what changes nothing is no news');
  assert.deepEqual((await room.operations.loadEverything()).deviceTags, [{ deviceId: device.id, customerId: device.customerId, tags: ['alpha', 'beta'] }]);
  assert.deepEqual((await owner.call('setDeviceTags', { params: { device: 'lobby' }, body: { tags: [] } })).tags, []);
  for (const tags of [[''], ['a\nb'], Array.from({ length: 33 }, (_, i) => `t${i}`), ['x'.repeat(65)]]) assert.equal((await owner.refused('setDeviceTags', { params: { device: 'lobby' }, body: { tags } })).status, 400);
});

test("a customer's account is suspended and resumed; rules see it, the audit has it", async () => {
  const customer = { params: { customer: 'default' } };
  assert.equal((await owner.refused('resumeCustomer', customer)).status, 409);
  const suspended = await owner.call('suspendCustomer', { ...customer, body: { why: 'unpaid since May' } });
  assert.deepEqual(suspended.suspended, { since: room.clock.nowMs(), why: 'unpaid since May' });
  assert.deepEqual([(await lastAudit()).what, (await lastAudit()).detail['why']], ['customer.suspended', 'unpaid since May']);
  assert.equal((await owner.refused('suspendCustomer', { ...customer, body: {} })).status, 409);
  assert.equal((await owner.call('listCustomers')).items[0]?.suspended?.why, 'unpaid since May');
  assert.equal((await owner.call('previewRedirect', { body: { serial: 'SN 1/ü' } })).decision.why, 'no-rule');
  assert.equal((await owner.call('resumeCustomer', { params: { customer: suspended.id } })).suspended, null);
  assert.equal((await lastAudit()).what, 'customer.resumed');
  assert.equal((await owner.refused('suspendCustomer', { params: { customer: 'nobody' }, body: {} })).status, 404);
});

test('a server is drained by a change of the configuration', async () => {
  const { revision } = await owner.call('getConfig');
  assert.equal((await owner.call('drainServer', { params: { server: 'a' }, body: { drain: 'now' } })).drain, 'now');
  const after = await owner.call('getConfig');
  assert.equal(after.revision, revision + 1);
  assert.equal((after.config as { servers: { drain?: string }[] }).servers[0]?.drain, 'now');
  assert.equal((await lastAudit()).what, 'config.changed');
  assert.equal((await owner.call('drainServer', { params: { server: 'a' }, body: { drain: 'no' } })).drain, 'no');
  assert.equal((await owner.refused('drainServer', { params: { server: 'nobody' }, body: { drain: 'no' } })).status, 404);
  assert.equal((await owner.refused('drainServer', { params: { server: 'a' }, body: { drain: 'maybe' } })).status, 400);
});

test('leases are listed while they stand, by server, in pages', async () => {
  const now = room.clock.nowMs();
  const lease = (serial: string, server: string, until = now + 1_000) => ({ customerId: device.customerId, serial, server, rule: 'rest', givenAt: now, until });
  room.tables.leases.publish({ put: [lease('S1', 'a'), lease('S2', 'b'), lease('S3', 'a'), lease('S4', 'a', now)] });
  const serials = async (query: object) => (await owner.call('listLeases', { query })).items.map(({ serial, customer }) => `${customer} ${serial}`);
  assert.deepEqual(await serials({}), ['default S1', 'default S2', 'default S3']);
  assert.deepEqual(await serials({ server: 'a' }), ['default S1', 'default S3']);
  const first = await owner.call('listLeases', { query: { limit: 1, server: 'a' } });
  assert.deepEqual(await serials({ server: 'a', cursor: first.next! }), ['default S3']);
  assert.equal((await owner.call('listRedirects')).servers.find(({ name }) => name === 'b')?.leases, 1);
});

test('who may see devices of one place may neither see nor change any of it', async () => {
  const guest: Caller = await room.person(owner, 'bob', [{ action: 'administer', scopeKind: 'customer', scopeId: device.customerId }]);
  for (const [name, options] of [
    ['listRedirects', {}], ['listLeases', {}], ['previewRedirect', { body: { serial: 'SN 1/ü' } }], ['drainServer', { params: { server: 'a' }, body: { drain: 'now' } }],
    ['suspendCustomer', { params: { customer: 'default' }, body: {} }], ['resumeCustomer', { params: { customer: 'default' } }],
  ] as const) assert.equal((await guest.refused(name, options as never)).status, 403, name);
  assert.deepEqual((await guest.call('setDeviceTags', { params: { device: 'lobby' }, body: { tags: ['theirs'] } })).tags, ['theirs']);
  const looker: Caller = await room.person(owner, 'eve', [{ action: 'see', scopeKind: 'device', scopeId: device.id }]);
  assert.deepEqual((await looker.call('getDeviceTags', { params: { device: 'lobby' } })).tags, ['theirs']);
  assert.equal((await looker.refused('setDeviceTags', { params: { device: 'lobby' }, body: { tags: [] } })).status, 403);
});

test('with a device its tags go', async () => {
  assert.equal(room.tables.deviceTags.size, 1);
  await owner.call('removeDevice', { params: { device: device.id } });
  assert.equal(room.tables.deviceTags.size, 0);
});
