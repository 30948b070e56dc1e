// What one agent may take of the hub, and what the hub keeps of it: links opened by hand, so that they can misbehave.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { buildEnd, testClock, until } from '../../test/sim/ends.ts';
import { buildTestCa, newId, openLinkEnd } from '../../test/sim/link-end.ts';
import type { LinkEnd, TestCa } from '../../test/sim/link-end.ts';
import { buildBudget } from './budget.ts';
import type { Budget } from './budget.ts';
import { dialGateway } from './gateway-dial.ts';
import { upgrade } from './upgrade.ts';

let ca: TestCa;
before(async () => {
  ca = await buildTestCa();
});

async function openRawLink(end: LinkEnd, identity: Awaited<ReturnType<TestCa['issue']>>, turn: number, slot = 0) {
  const socket = await dialGateway(end.address, { ...identity.state, timeoutMs: 5_000, nowMs: Date.now, builtAtMs: 0 });
  const fields = [['Postern-Slot', String(slot)], ['Postern-Turn', String(turn)], ['Postern-Instance', '0123456789abcdef']] as const;
  const upgraded = await upgrade(socket, { host: 'x', path: '/link', protocol: 'postern-link.1', fields, random: randomBytes, clock: testClock, timeoutMs: 5_000 });
  return { upgraded, session: upgraded.ok ? buildEnd('client', socket, { isSecure: true }) : undefined };
}

test('links left with GoAway count: one agent cannot gather them', async () => {
  await using end = await openLinkEnd(ca, { limits: { linksPerAgentMax: 2 } });
  const identity = await ca.issue(newId());
  const { agentId } = identity.state;
  end.agents.set(identity.fingerprint, agentId);
  const sessions = [];
  for (const turn of [1, 2]) {
    const { session } = await openRawLink(end, identity, turn);
    assert.ok(session);
    sessions.push(session);
    session.goAway();
    await until(() => end.hub.linkOf(agentId) === undefined, 'the hub has heard it');
  }
  const third = await openRawLink(end, identity, 3);
  assert.equal(third.upgraded.head.status, 429);
  assert.ok(!third.upgraded.ok && third.upgraded.problem['code'] === 'too-many');
  assert.ok(end.journal.some(({ event, fields }) => event === 'link.refused' && fields['why'] === 'too-many' && fields['agent'] === agentId));
  assert.equal(end.hub.links().length, 2);
  sessions[0]!.close('done');
  await until(() => end.hub.links().length === 1, 'the first is gone');
  const fourth = await openRawLink(end, identity, 4);
  assert.ok(fourth.upgraded.ok, 'room again');
  // A link that takes its own slot's place is no further link.
  const fifth = await openRawLink(end, identity, 5);
  assert.ok(fifth.upgraded.ok);
  for (const { session } of [fourth, fifth]) session?.close('done');
  sessions[1]!.close('done');
  await until(() => end.hub.links().length === 0, 'all are gone');
});

test('of a removed agent nothing is kept, not even by the end of its link', async () => {
  await using end = await openLinkEnd(ca);
  const identity = await ca.issue(newId());
  const { agentId } = identity.state;
  end.agents.set(identity.fingerprint, agentId);
  const first = await openRawLink(end, identity, 7, 3);
  assert.ok(first.session);
  await until(() => end.notes.length > 0, 'the note of its coming');
  const notes = end.notes.length;
  end.hub.forget(agentId);
  assert.match((await first.session.closed).why, /removed/);
  await until(() => end.hub.links().length === 0, 'the link is gone');
  assert.equal(end.notes.length, notes, 'no note at its end');
  assert.deepEqual(end.hub.locate(agentId), { at: 'nowhere', since: null, why: null });
  // The turn is forgotten too: the same number is news.
  const again = await openRawLink(end, identity, 7, 3);
  assert.ok(again.upgraded.ok);
  again.session?.close('done');
});

test('a link whose share is full gets no new stream, another gets one', async () => {
  const whole = buildBudget(1_000_000, () => {});
  const shares: Budget[] = [];
  const budget: Budget = { ...whole, share: () => shares[shares.push(whole.share()) - 1]! };
  await using end = await openLinkEnd(ca, { budget });
  const dials = [];
  for (let i = 0; i < 2; i++) {
    const identity = await ca.issue(newId());
    end.agents.set(identity.fingerprint, identity.state.agentId);
    const { session } = await openRawLink(end, identity, 1);
    assert.ok(session);
    dials.push(() => end.hub.dialDevice(identity.state.agentId, '127.0.0.1', 80, { client: '203.0.113.5', timeoutMs: 50 }));
  }
  shares[0]!.changed(240_000);
  const faults = await Promise.all(dials.map((dial) => dial().then(() => undefined, (thrown: unknown) => thrown)));
  assert.ok(isFault(faults[0], 'busy') && /one link/.test(faults[0].message));
  // Echoed instead of answered: it was opened, and that is the point.
  assert.ok(!isFault(faults[1], 'busy'));
});
