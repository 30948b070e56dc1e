import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildBudget } from './budget.ts';
import type { Budget, Holder } from './budget.ts';

function holder(budget: Budget, name: string, given: string[]) {
  const self: Holder & { heldBytes: number; movedAtMs: number; hold(bytes: number): void } = {
    heldBytes: 0,
    movedAtMs: 0,
    hold(bytes) {
      self.heldBytes += bytes;
      budget.changed(bytes);
    },
    giveUp() {
      given.push(name);
      budget.leave(self);
      const bytes = self.heldBytes;
      self.heldBytes = 0;
      budget.changed(-bytes);
    },
  };
  budget.join(self);
  return self;
}

test('half: windows stop growing; nine tenths: no new streams', () => {
  const budget = buildBudget(1_000, () => {});
  const one = holder(budget, 'one', []);
  assert.deepEqual([budget.mayGrow, budget.mayOpen], [true, true]);
  one.hold(500);
  assert.deepEqual([budget.mayGrow, budget.mayOpen], [false, true]);
  one.hold(400);
  assert.deepEqual([budget.mayGrow, budget.mayOpen], [false, false]);
  one.hold(-500);
  assert.deepEqual([budget.mayGrow, budget.mayOpen], [true, true]);
});

test('full: of the largest the one that stood still longest goes', () => {
  const given: string[] = [];
  const reported: number[] = [];
  const budget = buildBudget(1_000, (bytes) => reported.push(bytes));
  const [large, stuck, small] = ['large', 'stuck', 'small'].map((name) => holder(budget, name, given)) as [ReturnType<typeof holder>, ReturnType<typeof holder>, ReturnType<typeof holder>];
  large.movedAtMs = 9;
  stuck.movedAtMs = 5;
  small.movedAtMs = 1;
  large.hold(500);
  stuck.hold(400);
  small.hold(100);
  assert.deepEqual(given, []);
  small.hold(1);
  assert.deepEqual(given, ['stuck']);
  assert.deepEqual(reported, [400]);
  assert.equal(budget.heldBytes, 601);
});

test('one holder alone over the limit is given up itself', () => {
  const given: string[] = [];
  const budget = buildBudget(10, () => {});
  holder(budget, 'only', given).hold(11);
  assert.deepEqual(given, ['only']);
  assert.equal(budget.heldBytes, 0);
});
