import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { judgeTurn, readGreeting } from './greeting.ts';
import type { Greeting, SlotMemory } from './greeting.ts';

const fieldsOf = (pairs: Record<string, string>) => ({ names: Object.keys(pairs), values: Object.values(pairs) });
const good = {
  upgrade: 'websocket',
  connection: 'Upgrade',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-protocol': 'postern-link.1',
  'postern-slot': '0',
  'postern-turn': '17',
  'postern-instance': '0123456789abcdef',
  'postern-agent': 'postern/0.1.0 linux-x64',
  'postern-can': 'tcp, udp, service, WRONG!',
};
const read = (change: Partial<typeof good>) => readGreeting({ method: 'GET', minorVersion: 1, fields: fieldsOf({ ...good, ...change }) });

test('a handshake is read', () => {
  assert.deepEqual(read({}), { key: good['sec-websocket-key'], slot: 0, turn: 17, instance: '0123456789abcdef', version: 'postern/0.1.0 linux-x64', can: ['tcp', 'udp', 'service'] });
});

test('what cannot be understood is refused', () => {
  for (const change of [{ 'postern-slot': '16' }, { 'postern-slot': '-1' }, { 'postern-turn': '' }, { 'postern-turn': '1e3' }, { 'postern-turn': '9007199254740992' }, { 'postern-instance': 'short' }, { 'postern-instance': 'XYZ0123456789abcdef' }]) {
    assert.throws(() => read(change), (e) => e instanceof Fault && e.code === 'bad-input');
  }
  assert.throws(() => read({ 'sec-websocket-protocol': 'postern-link.2' }), (e) => e instanceof Fault && e.code === 'unsupported');
});

const greeting = (turn: number, instance: string): Greeting => ({ key: '', slot: 0, turn, instance, version: '', can: [] });
const fresh = (): SlotMemory => ({ turn: -1, instance: '', changes: [] });

test('a higher turn is taken, an equal or lower one is told what was seen', () => {
  const memory = fresh();
  assert.equal(judgeTurn(memory, greeting(5, 'a'), false, 0, 3).take, true);
  for (const turn of [5, 4]) {
    const verdict = judgeTurn(memory, greeting(turn, 'a'), true, 0, 3);
    assert.deepEqual(verdict.take || verdict.extra, [['Postern-Turn', '5']]);
  }
  assert.equal(judgeTurn(memory, greeting(6, 'a'), true, 0, 3).take, true);
});

test('two machines with one identity: after three changes within a minute the standing link stays', () => {
  const memory = fresh();
  let turn = 0;
  const dial = (instance: string, at: number) => judgeTurn(memory, greeting(++turn, instance), true, at, 3);
  assert.equal(judgeTurn(memory, greeting(++turn, 'a'), false, 0, 3).take, true);
  assert.deepEqual(['b', 'a', 'b'].map((instance, i) => dial(instance, i * 1_000).take), [true, true, true]);
  const twin = dial('a', 4_000);
  assert.deepEqual(twin.take || twin.extra, [['Postern-Twin', 'yes']]);
  assert.equal(dial('b', 5_000).take, true, 'the standing one may dial again');
  assert.equal(dial('a', 62_500).take, true, 'a minute later it counts anew');
});

test('an agent that crashes and starts again and again is no twin', () => {
  const memory = fresh();
  for (let i = 0; i < 20; i++) assert.equal(judgeTurn(memory, greeting(i, `instance${i}`), false, i * 100, 3).take, true);
});
