import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, test } from 'node:test';
import { startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';

let room: AdminRoom;
let owner: Caller;
let agentId: string;
let certificateId: string;
beforeEach(async () => {
  room = await startAdminRoom();
  owner = await room.owner();
  agentId = (await room.device('Server')).agentId;
  const certificate = await owner.call('issueCertificate', { body: { name: 'front', names: ['web.example.test'] } });
  certificateId = certificate.id;
});
afterEach(() => room.close());

const onGateway = (action: 'see' | 'administer') => [{ action, scopeKind: 'gateway', scopeId: null } as const];
const add = (caller: Caller, body: { agentId: string; as?: string }, certificate = 'front') => caller.call('addDelivery', { params: { certificate }, body });

test('set up, listed, tried again, taken back; each with its line in the audit', async () => {
  const made = await add(owner, { agentId });
  assert.deepEqual([made.certificate, made.certificateId, made.agent, made.as, made.state, made.waitsFor], ['front', certificateId, 'agent of Server', 'front', 'pending', 'the agent, which is offline']);
  const other = await add(owner, { agentId, as: 'mail' }, certificateId);
  assert.deepEqual((await owner.call('listDeliveries', {})).items.map((each) => each.as), ['front', 'mail']);
  assert.deepEqual((await owner.call('listDeliveries', { query: { agentId: room.newId() } })).items, []);
  assert.deepEqual((await owner.call('listCertificateDeliveries', { params: { certificate: 'front' }, query: { limit: 1 } })).items.map((each) => each.as), ['front']);
  assert.equal((await owner.call('retryDelivery', { params: { certificate: 'front', id: other.id } })).state, 'pending');
  await owner.call('removeDelivery', { params: { certificate: 'front', id: made.id } });
  assert.equal((await owner.refused('removeDelivery', { params: { certificate: 'front', id: made.id } })).status, 404);
  assert.deepEqual((await owner.call('listDeliveries', {})).items.map((each) => each.as), ['mail']);
  const lines = (await owner.call('listAudit', { query: {} })).items.filter((line) => line.what.startsWith('delivery.')).reverse();
  assert.deepEqual(lines.map(({ what, actor, subjectName, detail }) => [what, actor.name, subjectName, detail['as']]), [
    ['delivery.added', 'ada', 'front to agent of Server', 'front'],
    ['delivery.added', 'ada', 'front to agent of Server', 'mail'],
    ['delivery.retried', 'ada', 'front to agent of Server', 'mail'],
    ['delivery.removed', 'ada', 'front to agent of Server', 'front'],
  ]);
});

test('for who administers the gateway alone; who sees it sees them', async () => {
  const { id } = await add(owner, { agentId });
  const seer = await room.person(owner, 'bob', onGateway('see'));
  assert.equal((await seer.call('listDeliveries', {})).items.length, 1);
  for (const refused of [
    await seer.refused('addDelivery', { params: { certificate: 'front' }, body: { agentId, as: 'x' } }),
    await seer.refused('removeDelivery', { params: { certificate: 'front', id } }),
    await seer.refused('retryDelivery', { params: { certificate: 'front', id } }),
  ]) assert.equal(refused.code, 'forbidden');
  const ofCustomer = await room.person(owner, 'carol', [{ action: 'administer', scopeKind: 'customer', scopeId: [...room.tables.customers.values()][0]!.id }]);
  assert.equal((await ofCustomer.refused('listDeliveries', {})).code, 'forbidden');
  assert.equal((await ofCustomer.refused('addDelivery', { params: { certificate: 'front' }, body: { agentId, as: 'x' } })).code, 'forbidden');
});

test('what cannot be set up', async () => {
  await add(owner, { agentId });
  const refused = async (body: object, certificate = 'front') => (await owner.refused('addDelivery', { params: { certificate }, body: body as { agentId: string } })).status;
  assert.equal(await refused({ agentId }), 409);
  assert.equal(await refused({ agentId: room.newId(), as: 'x' }), 404);
  assert.equal(await refused({ agentId, as: '../x' }), 400);
  assert.equal(await refused({ agentId, as: 'x' }, 'nothing'), 404);
  assert.equal(await refused({ agentId, as: 'x' }, 'ca'), 409);
  await owner.call('issueCertificate', { body: { name: 'back', names: ['mail.example.test'] } });
  const { id } = await add(owner, { agentId, as: 'mail' }, 'back');
  assert.equal((await owner.refused('removeDelivery', { params: { certificate: 'front', id } })).status, 404, 'it is of another certificate');
});

test('a certificate that is only asked for waits for itself; both ends take deliveries with them', async () => {
  await owner.call('requestCertificate', { body: { name: 'asked', names: ['web.example.test'], subject: { commonName: 'web.example.test' } } });
  const waiting = await add(owner, { agentId, as: 'asked' }, 'asked');
  assert.equal(waiting.waitsFor, 'the certificate itself, which is not there yet');
  await add(owner, { agentId });
  await owner.call('removeCertificate', { params: { certificate: 'asked' } });
  assert.deepEqual((await owner.call('listDeliveries', {})).items.map((each) => each.as), ['front']);
  await owner.call('revokeAgent', { params: { id: agentId } });
  assert.deepEqual((await owner.call('listDeliveries', {})).items, []);
  assert.deepEqual((await room.operations.loadEverything()).deliveries, [], 'the store says the same');
  assert.equal((await owner.refused('addDelivery', { params: { certificate: 'front' }, body: { agentId, as: randomBytes(4).toString('hex') } })).status, 409);
});
