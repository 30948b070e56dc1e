import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, isFault, type FaultCode } from '#base/fault.ts';
import { buildIds } from '#base/ids.ts';
import { buildInTurn } from '#base/in-turn.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { handClock } from '#kit/admin-room.ts';
import { randomBytes } from 'node:crypto';
import { certificateRow } from '../../test/kit/certificate-rows.ts';
import { makeKey } from './certificate-key.ts';
import type { InstallOrder, InstallOutcome } from './delivery.ts';
import { buildDeliveries, shownState, wantedDigest } from './deliveries.ts';
import type { Actor, Agent, AgentNote, AuditEntry, Certificate, Delivery } from './rows.ts';
import { buildTable } from './table.ts';

const anna: Actor = { kind: 'person', id: 'p1', name: 'anna', from: '192.0.2.7' };
const byId = (row: { readonly id: string }) => row.id;
const key = await makeKey('ec-p256');
const nextTurn = () => new Promise((done) => setImmediate(done));
const settled = async () => {
  for (let i = 0; i < 20; i++) await nextTurn();
};
const said = (state: 'failed' | 'refused' | 'unsupported', why: string, exitCode: number | null = null): InstallOutcome => ({ state, why, exitCode, output: null });

function setUp() {
  const clock = handClock();
  const certificates = buildTable<Certificate>({ name: 'certificates', kind: 'kept', keyOf: byId });
  const agents = buildTable<Agent>({ name: 'agents', kind: 'kept', keyOf: byId });
  const agentNotes = buildTable<AgentNote>({ name: 'agentNotes', kind: 'noted', keyOf: (row) => row.agentId });
  const deliveries = buildTable<Delivery>({ name: 'deliveries', kind: 'kept', keyOf: byId });
  const audit: AuditEntry[] = [];
  const committed = new Map<string, Delivery>();
  const links = new Map<string, string>();
  const state = { installs: [] as { agentId: string; order: InstallOrder }[], answers: [] as (InstallOutcome | Fault | Promise<InstallOutcome>)[], storeFails: false };
  const put = async (row: Delivery, entry: AuditEntry) => {
    if (state.storeFails) throw new Fault('busy', 'the disk is full');
    committed.set(row.id, row);
    audit.push(entry);
  };
  const built = buildDeliveries({
    tables: { certificates, agents, agentNotes, deliveries },
    operations: { addDelivery: put, changeDelivery: put, removeDelivery: async (id, entry) => void (committed.delete(id), audit.push(entry)) },
    inTurn: buildInTurn(100), clock, log: silentLog, journal: { note: () => {} }, limits, newId: buildIds(() => clock.nowMs(), randomBytes),
    keyPemOf: async () => key.pem,
    linkOf: (agentId) => links.get(agentId) ?? null,
    install: async (agentId, order) => {
      state.installs.push({ agentId, order });
      const answer = await (state.answers.shift() ?? { state: 'delivered', sent: true });
      if (answer instanceof Fault) throw answer;
      return answer;
    },
  });
  const agent = (id: string, more: Partial<Agent> = {}): Agent => {
    const row: Agent = { id, customerId: 'c1', siteId: 's1', name: `agent ${id}`, state: 'active', createdAt: 0, ...more };
    agents.publish({ put: [row] });
    return row;
  };
  const certificate = (more: Partial<Certificate> = {}) => {
    const row = certificateRow({ name: 'front', keyFingerprint: key.fingerprint, chainPem: 'chain one', ...more });
    certificates.publish({ put: [row] });
    return row;
  };
  const announce = (agentId: string, policy: string) => {
    agentNotes.publish({ put: [{ agentId, lastSeenAt: 0, lastLeftWhy: null, version: null, from: null, policy }] });
    built.look();
  };
  const pass = async (ms: number) => {
    clock.advance(ms);
    await settled();
  };
  return { clock, certificates, agents, deliveries, audit, committed, links, state, built, agent, certificate, announce, pass };
}

const rejects = (promise: Promise<unknown>, code: FaultCode, why: RegExp) => assert.rejects(promise, (thrown) => isFault(thrown, code) && why.test(thrown.message), String(why));

test('at once where the agent has a link, and again when the certificate changes', async () => {
  const { built, links, state, agent, certificate, certificates, deliveries, audit, pass, clock } = setUp();
  agent('a1');
  links.set('a1', 'l1');
  const front = certificate();
  const row = await built.add({ certificateId: front.id, agentId: 'a1', asName: 'web' }, anna);
  assert.equal(row.state, 'pending');
  await pass(limits.deliveryLookMs);
  assert.deepEqual(state.installs.map(({ agentId, order }) => [agentId, order.name, order.chainPem, order.digest]), [['a1', 'web', 'chain one', wantedDigest(front)]]);
  assert.equal(await state.installs[0]!.order.readKeyPem(), key.pem);
  assert.deepEqual([deliveries.get(row.id)?.state, deliveries.get(row.id)?.digest], ['delivered', wantedDigest(front)]);
  assert.deepEqual(audit.map(({ what, actor, detail }) => [what, actor.name, detail['certificate'], detail['agent'], detail['as']]), [['delivery.added', 'anna', 'front', 'agent a1', 'web'], ['delivery.delivered', 'postern', 'front', 'agent a1', 'web']]);
  await pass(24 * 3_600_000);
  assert.equal(state.installs.length, 1, 'nothing is asked again');
  const renewed = { ...front, chainPem: 'chain two' };
  certificates.publish({ put: [renewed] });
  assert.equal(shownState(deliveries.get(row.id)!, renewed), 'pending');
  await pass(limits.deliveryLookMs);
  assert.equal(state.installs.length, 2);
  assert.equal(shownState(deliveries.get(row.id)!, renewed), 'delivered');
  await built.close();
  assert.equal(clock.timers, 0);
});

test('an agent without a link gets it with the next one; each link is asked once', async () => {
  const { built, links, state, agent, certificate, deliveries, audit, announce, pass } = setUp();
  agent('a1');
  const { id } = await built.add({ certificateId: certificate().id, agentId: 'a1', asName: 'web' }, anna);
  await pass(3_600_000);
  assert.equal(state.installs.length, 0);
  links.set('a1', 'l1');
  built.look();
  announce('a1', '["install certificate web …"]');
  await pass(limits.deliveryLookMs);
  assert.equal(state.installs.length, 1, 'link and policy are one reason');
  links.set('a1', 'l2');
  built.look();
  state.answers.push({ state: 'delivered', sent: false });
  await pass(limits.deliveryLookMs);
  assert.equal(state.installs.length, 2);
  assert.equal(deliveries.get(id)?.state, 'delivered');
  assert.equal(audit.length, 2, 'that it was there is no news');
  await built.close();
});

test('a failure is told and tried again, less and less often, and not for each link', async () => {
  const { built, links, state, agent, certificate, deliveries, certificates, pass, clock } = setUp();
  agent('a1');
  links.set('a1', 'l1');
  const front = certificate();
  const { id } = await built.add({ certificateId: front.id, agentId: 'a1', asName: 'web' }, anna);
  for (let i = 0; i < 12; i++) state.answers.push({ state: 'failed', why: 'the command reload failed: exit code 1', exitCode: 1, output: 'bad key' });
  await pass(limits.deliveryLookMs);
  const { state: is, why, exitCode, output } = deliveries.get(id)!;
  assert.deepEqual([is, why, exitCode, output], ['failed', 'the command reload failed: exit code 1', 1, 'bad key']);
  assert.equal(built.nextTryAt(id), clock.nowMs() + limits.deliveryRetryFirstMs);
  links.set('a1', 'l2');
  built.look();
  await pass(limits.deliveryLookMs);
  assert.equal(state.installs.length, 1);
  await pass(limits.deliveryRetryFirstMs);
  assert.equal(state.installs.length, 2);
  await pass(limits.deliveryRetryFirstMs + 1_000);
  assert.equal(state.installs.length, 2);
  await pass(limits.deliveryRetryFirstMs);
  assert.equal(state.installs.length, 3);
  for (let i = 0; i < 40; i++) await pass(limits.deliveryRetryMaxMs / 4);
  assert.ok(state.installs.length >= 12, 'it never stops');
  // A new certificate does not wait for that.
  for (let i = 0; i < 20 && deliveries.get(id)?.state === 'failed'; i++) await pass(limits.deliveryRetryMaxMs);
  const before = state.installs.length;
  state.answers.push(said('failed', 'x'));
  certificates.publish({ put: [{ ...front, chainPem: 'chain two' }] });
  await pass(limits.deliveryLookMs);
  assert.equal(state.installs.length, before + 1);
  // By hand, too.
  await built.retry(id, anna);
  await pass(limits.deliveryLookMs);
  assert.equal(state.installs.length, before + 2);
  assert.equal(deliveries.get(id)?.why, null);
  await built.close();
  assert.equal(clock.timers, 0);
});

test('refused by the policy: the next policy is asked, and nobody before', async () => {
  const { built, links, state, agent, certificate, deliveries, announce, pass } = setUp();
  agent('a1');
  links.set('a1', 'l1');
  const { id } = await built.add({ certificateId: certificate().id, agentId: 'a1', asName: 'web' }, anna);
  state.answers.push(said('refused', 'add this line'));
  await pass(limits.deliveryLookMs);
  assert.deepEqual([deliveries.get(id)?.state, deliveries.get(id)?.why, built.nextTryAt(id)], ['refused', 'add this line', null]);
  await pass(30 * 24 * 3_600_000);
  assert.equal(state.installs.length, 1);
  announce('a1', '["install certificate web …"]');
  await pass(limits.deliveryLookMs);
  assert.equal(deliveries.get(id)?.state, 'delivered');
  await built.close();
});

test('an agent that does not know how is a state of its own', async () => {
  const { built, links, state, agent, certificate, deliveries, pass } = setUp();
  agent('a1');
  links.set('a1', 'l1');
  const { id } = await built.add({ certificateId: certificate().id, agentId: 'a1', asName: 'web' }, anna);
  state.answers.push(new Fault('unsupported', 'this agent offers no service "install"'));
  await pass(limits.deliveryLookMs);
  assert.equal(deliveries.get(id)?.state, 'unsupported');
  assert.match(deliveries.get(id)?.why ?? '', /puts no certificates in place: this agent offers no service "install"; install a newer agent there/);
  await pass(24 * 3_600_000);
  assert.equal(state.installs.length, 1);
  links.set('a1', 'l2');
  built.look();
  await pass(limits.deliveryLookMs);
  assert.equal(deliveries.get(id)?.state, 'delivered', 'a newer one came');
  await built.close();
});

test('a link that breaks says nothing about the agent: the next one brings it', async () => {
  const { built, links, state, agent, certificate, deliveries, audit, pass } = setUp();
  agent('a1');
  links.set('a1', 'l1');
  const { id } = await built.add({ certificateId: certificate().id, agentId: 'a1', asName: 'web' }, anna);
  state.answers.push(new Fault('closed', 'the link ended'), new Fault('timeout', 'it took too long'));
  await pass(limits.deliveryLookMs);
  assert.equal(deliveries.get(id)?.state, 'pending');
  assert.equal(audit.length, 1);
  links.set('a1', 'l2');
  built.look();
  await pass(limits.deliveryLookMs);
  assert.deepEqual([deliveries.get(id)?.state, deliveries.get(id)?.why], ['failed', 'it took too long']);
  links.set('a1', 'l3');
  built.look();
  await pass(limits.deliveryLookMs);
  assert.equal(deliveries.get(id)?.state, 'delivered');
  await built.close();
});

test('what is not committed is not shown, and comes later', async () => {
  const { built, links, state, agent, certificate, deliveries, pass } = setUp();
  agent('a1');
  links.set('a1', 'l1');
  const { id } = await built.add({ certificateId: certificate().id, agentId: 'a1', asName: 'web' }, anna);
  state.storeFails = true;
  await pass(limits.deliveryLookMs);
  assert.equal(deliveries.get(id)?.state, 'pending');
  state.storeFails = false;
  state.answers.push({ state: 'delivered', sent: false });
  await pass(limits.deliveryRetryFirstMs + limits.deliveryLookMs);
  assert.equal(deliveries.get(id)?.state, 'delivered');
  await built.close();
});

test('one at a time for an agent, and a bounded number at all', async () => {
  const { built, links, state, agent, certificate, deliveries, pass } = setUp();
  const front = certificate();
  const gates: (() => void)[] = [];
  const gate = () => new Promise<InstallOutcome>((done) => gates.push(() => done({ state: 'delivered', sent: true })));
  for (let i = 0; i < 12; i++) {
    agent(`a${i}`);
    links.set(`a${i}`, 'l');
    state.answers.push(gate(), gate());
    await built.add({ certificateId: front.id, agentId: `a${i}`, asName: 'web' }, anna);
    await built.add({ certificateId: front.id, agentId: `a${i}`, asName: 'mail' }, anna);
  }
  await pass(limits.deliveryLookMs);
  assert.equal(state.installs.length, limits.deliveriesAtOnceMax);
  assert.equal(new Set(state.installs.map(({ agentId }) => agentId)).size, limits.deliveriesAtOnceMax);
  for (let i = 0; i < 24; i++) {
    gates[i]!();
    await settled();
    await pass(limits.deliveryLookMs);
  }
  assert.equal(state.installs.length, 24);
  assert.ok(Array.from(deliveries.values()).every((row) => row.state === 'delivered'));
  await built.close();
});

test('a key that is not the chain’s is never handed over', async () => {
  const { built, links, state, agent, certificate, pass } = setUp();
  agent('a1');
  links.set('a1', 'l1');
  await built.add({ certificateId: certificate({ keyFingerprint: 'f'.repeat(64) }).id, agentId: 'a1', asName: 'web' }, anna);
  await pass(limits.deliveryLookMs);
  await rejects(state.installs[0]!.order.readKeyPem(), 'closed', /replaced meanwhile/);
  await built.close();
});

test('what cannot be set up, and what goes by itself', async () => {
  const { built, agent, agents, certificate, certificates, deliveries, audit, committed } = setUp();
  const [one, two] = [agent('a1'), agent('a2')];
  agent('a3', { state: 'revoked' });
  const [front, back] = [certificate(), certificate({ name: 'back' })];
  const add = (certificateId: string, agentId: string, asName: string) => built.add({ certificateId, agentId, asName }, anna);
  await add(front.id, 'a1', 'web');
  await add(back.id, 'a1', 'mail');
  await add(front.id, 'a2', 'web');
  await rejects(add(back.id, 'a1', 'web'), 'conflict', /gets front under the name web already/);
  await rejects(add(front.id, 'a3', 'web'), 'conflict', /revoked/);
  await rejects(add(front.id, 'a9', 'web'), 'not-found', /no such agent/);
  await rejects(add('nothing', 'a1', 'x'), 'not-found', /no such certificate/);
  for (const name of ['', '../x', 'a b', 'x'.repeat(101)]) await rejects(add(front.id, 'a1', name), 'bad-input', /no name for a policy/);
  const left = () => Array.from(deliveries.values(), (row) => `${row.agentId} ${row.asName}`);
  agents.publish({ put: [{ ...one, state: 'locked' }] });
  assert.deepEqual(left(), ['a1 web', 'a1 mail', 'a2 web']);
  agents.publish({ put: [{ ...one, state: 'revoked' }] });
  assert.deepEqual(left(), ['a2 web']);
  const last = [...deliveries.values()][0]!;
  await built.remove(last.id, anna);
  assert.equal(committed.has(last.id), false);
  assert.equal(audit.at(-1)?.what, 'delivery.removed');
  await rejects(built.remove(last.id, anna), 'not-found', /no such delivery/);
  await rejects(built.retry(last.id, anna), 'not-found', /no such delivery/);
  await add(front.id, 'a2', 'web');
  certificates.publish({ removed: [front.id] });
  assert.deepEqual(left(), []);
  await add(back.id, 'a2', 'web');
  agents.publish({ removed: [two.id] });
  assert.deepEqual(left(), []);
  await built.close();
});
