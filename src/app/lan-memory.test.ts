import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { handClock } from '#kit/hand-clock.ts';
import type { Agent } from '#model/rows.ts';
import { buildTable } from '#model/table.ts';
import type { LanFacts } from './doors.ts';
import { keepLanMemory, type LanMemoryOptions } from './lan-memory.ts';

const agentOf = (id: string, siteId: string): Agent => ({ id, customerId: 'c', siteId, name: id, state: 'active', createdAt: 0 }) as Agent;
const factsOf = (gateway: string): LanFacts => ({ subnets: [], gateways: [gateway], resolvers: [], addresses: [] });
const settled = () => new Promise((next) => setImmediate(next));

function roomOf(answer: (agentId: string) => Promise<LanFacts>, agentCount = 1) {
  const clock = handClock();
  const agents = buildTable<Agent>({ name: 'agents', kind: 'kept', keyOf: (row) => row.id });
  for (let i = 1; i <= agentCount; i++) agents.publish({ put: [agentOf(`a${i}`, 'main')] });
  const asked: string[] = [];
  const offline = new Set<string>();
  const options = {
    tables: { agents }, clock, limits: { lanAsksMax: 2, lanFactsFreshMs: 1_000 },
    hub: { linkOf: (id: string | null) => (id === null || offline.has(id) ? undefined : {}) },
    lanOf: (agentId: string) => (asked.push(agentId), answer(agentId)),
  } as unknown as LanMemoryOptions;
  return { clock, agents, asked, offline, lan: keepLanMemory(options) };
}

test('asked once in a while, and known from then on', async () => {
  const { clock, asked, lan } = roomOf(async () => factsOf('192.0.2.1'));
  assert.deepEqual(lan.routersOf('main'), []);
  lan.want('main');
  lan.want('main');
  await settled();
  assert.deepEqual(asked, ['a1']);
  assert.deepEqual(lan.routersOf('main'), ['192.0.2.1']);
  assert.deepEqual(lan.routersOf('other'), []);
  lan.want('main');
  assert.equal(asked.length, 1);
  clock.advance(1_001);
  lan.want('main');
  await settled();
  assert.equal(asked.length, 2);
});

test('what failed is not asked again soon, and what was known stays', async () => {
  let fails = false;
  const { clock, asked, lan } = roomOf(async () => {
    if (fails) throw new Fault('offline', 'gone');
    return factsOf('192.0.2.1');
  });
  lan.want('main');
  await settled();
  fails = true;
  clock.advance(1_001);
  lan.want('main');
  await settled();
  lan.want('main');
  assert.equal(asked.length, 2);
  assert.deepEqual(lan.routersOf('main'), ['192.0.2.1']);
  await assert.rejects(lan.lanOf('a1', new AbortController().signal), /gone/);
});

test('not too many at once, none without a link, none after the end, and none that is gone', async () => {
  const { agents, asked, offline, lan } = roomOf(async (id) => factsOf(id === 'a2' ? '192.0.2.2' : '192.0.2.3'), 5);
  offline.add('a1');
  lan.want('main');
  assert.deepEqual(asked, ['a2', 'a3']);
  await settled();
  assert.deepEqual(lan.routersOf('main'), ['192.0.2.2', '192.0.2.3']);
  agents.publish({ removed: ['a2'] });
  assert.deepEqual(lan.routersOf('main'), ['192.0.2.3']);
  lan.close();
  lan.want('main');
  assert.equal(asked.length, 2);
});
