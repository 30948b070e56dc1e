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

test('a share is full: its own worst stream goes, and its own next one is refused; others notice nothing', () => {
  const given: string[] = [];
  const reported: number[] = [];
  const whole = buildBudget(1_000, (bytes) => reported.push(bytes));
  const [share, other] = [whole.share(), whole.share()];
  const stranger = holder(other, 'stranger', given);
  stranger.hold(200);
  const [stuck, lively] = [holder(share, 'stuck', given), holder(share, 'lively', given)];
  lively.movedAtMs = 9;
  stuck.movedAtMs = 5;
  stuck.hold(120);
  lively.hold(110);
  assert.deepEqual([share.mayGrow, share.mayOpen], [false, false]);
  assert.deepEqual([whole.mayGrow, whole.mayOpen, other.mayOpen], [true, true, true]);
  lively.hold(30);
  assert.deepEqual(given, ['stuck']);
  assert.deepEqual(reported, [120]);
  assert.deepEqual([whole.heldBytes, share.heldBytes, other.heldBytes], [340, 140, 200]);
});

test('what is held in shares fills the whole: then each of them is refused', () => {
  const whole = buildBudget(1_000, () => {});
  const shares = [1, 2, 3, 4].map(() => whole.share());
  for (const share of shares) holder(share, 'one', []).hold(230);
  const fifth = whole.share();
  assert.deepEqual([whole.mayOpen, fifth.mayOpen, fifth.heldBytes], [false, false, 0]);
  const given: string[] = [];
  holder(fifth, 'fifth', given).hold(100);
  assert.deepEqual(given, []);
  assert.equal(whole.heldBytes, 790, 'one of the large ones went');
});
