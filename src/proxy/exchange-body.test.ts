import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { holdBody, newBodyBudget } from './exchange-body.ts';

test('one place has its share, all together the whole, and what is released makes room', () => {
  const budget = newBodyBudget();
  const limits = { bodiesHeldBytesMax: 100, bodiesHeldPerPlaceBytesMax: 40 };
  const [one, same, other, third] = ['a', 'a', 'b', 'c'].map((place) => holdBody(budget, limits, place)) as [ReturnType<typeof holdBody>, ReturnType<typeof holdBody>, ReturnType<typeof holdBody>, ReturnType<typeof holdBody>];
  assert.equal(one.add(30), null);
  assert.equal(same.add(10), null);
  assert.ok(isFault(same.add(1), 'busy'), 'its place has no more');
  same.release();
  assert.equal(same.add(10), null);
  assert.equal(other.add(40), null);
  assert.equal(third.add(20), null);
  assert.ok(isFault(third.add(1), 'busy'), 'nobody has more');
  for (const hold of [one, same, other, third]) {
    hold.release();
    hold.release();
  }
  assert.deepEqual([budget.heldBytes, budget.byPlace.size], [0, 0]);
});
