import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from './fault.ts';
import { buildInTurn } from './in-turn.ts';

test('one after the other, in order, and a failure stays with its caller', async () => {
  const inTurn = buildInTurn(10);
  const seen: string[] = [];
  const step = (name: string, ticks: number) => inTurn(async () => {
    seen.push(`${name} starts`);
    for (let i = 0; i < ticks; i++) await Promise.resolve();
    seen.push(`${name} ends`);
    if (name === 'b') throw new Error('b failed');
    return name;
  });
  const results = await Promise.allSettled([step('a', 9), step('b', 3), step('c', 0)]);
  assert.deepEqual(seen, ['a starts', 'a ends', 'b starts', 'b ends', 'c starts', 'c ends']);
  assert.deepEqual(results.map((result) => result.status), ['fulfilled', 'rejected', 'fulfilled']);
});

test('the queue is bounded and empties again', async () => {
  const inTurn = buildInTurn(2);
  const gate = Promise.withResolvers<void>();
  const held = [inTurn(() => gate.promise), inTurn(() => gate.promise)];
  await assert.rejects(inTurn(async () => {}), (thrown) => isFault(thrown, 'busy'));
  gate.resolve();
  await Promise.all(held);
  assert.equal(await inTurn(async () => 1), 1);
});
