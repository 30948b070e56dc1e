// Visits with a store that answers when the test says so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import type { Device } from '#model/rows.ts';
import type { Visitor } from '#model/visitor.ts';
import { buildVisits, type VisitOrder } from './visits.ts';

const device: Device = { id: 'd1', customerId: 'c1', siteId: 's1', agentId: 'a1', serial: null, label: 'printer1', name: 'Printer', host: '127.0.0.1', ports: [], hostHeader: 'own', locked: false, createdAt: 0 };
const visitor: Visitor = { person: { id: 'p1', customerId: 'c1', login: 'ada', name: 'Ada', passwordHash: '', locked: false, createdAt: 0 }, signIn: null, token: { id: 't1', customerId: 'c1', personId: 'p1', name: 'ci', secretDigest: 'x', createdAt: 0, lastUsedAt: null, expiresAt: 60_000 } };
const order = (kind: VisitOrder['kind']): VisitOrder => ({ visitor, device, port: 22, kind, from: '192.0.2.1' });

function build() {
  let nowMs = 0;
  let tick = () => {};
  const clock: Clock = { nowMs: () => nowMs, monoMs: () => nowMs, after: () => ({ cancel() {} }), every: (_, run) => ((tick = run), { cancel() {} }) };
  let ids = 0;
  let refusal: string | null = null;
  let stored: (() => void)[] = [];
  const visits = buildVisits({
    clock, limits, log: silentLog,
    newId: () => `v${++ids}`,
    operations: { openVisit: () => new Promise((resolve) => stored.push(resolve)), closeVisits: () => Promise.resolve() },
    whyNot: () => refusal,
    onClosed: () => {},
  });
  return {
    visits,
    store() {
      for (const done of stored) done();
      stored = [];
    },
    refuse: (why: string) => void (refusal = why),
    pass(ms: number) {
      nowMs += ms;
      tick();
    },
  };
}

for (const kind of ['http', 'tcp'] as const) {
  test(`a lock that comes while the opening of a ${kind} visit is stored ends it`, async () => {
    const { visits, store, refuse } = build();
    const opening = visits.open(order(kind));
    // Whoever locks cuts what is open; this visit is not yet.
    assert.equal(visits.closeWhere(() => true, 'the device was locked'), 0);
    refuse('Printer is locked');
    store();
    await assert.rejects(opening, (thrown) => isFault(thrown, 'forbidden'));
    assert.equal(visits.count, 0);
    assert.equal(visits.find(order(kind)), undefined);
  });
}

test('what runs is cut when its token runs out, which changes no table', async () => {
  const { visits, store, refuse, pass } = build();
  const opening = visits.open(order('tcp'));
  store();
  const cuts: string[] = [];
  (await opening).running.add({ cut: (why) => void cuts.push(why) });
  pass(5_000);
  assert.deepEqual(cuts, []);
  refuse('the token has ended');
  pass(5_000);
  assert.deepEqual(cuts, ['the token has ended']);
  assert.equal(visits.count, 0);
});
