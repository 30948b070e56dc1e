import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { buildIds } from '#base/ids.ts';
import { isDue, placeOf, restMs } from './probe-times.ts';

test('ids of one moment are spread evenly over the period', () => {
  const newId = buildIds(() => 1_800_000_000_000, randomBytes);
  const tenths = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 1_000; i += 1) tenths[Math.floor(placeOf(newId()) * 10)]! += 1;
  // 100 each; six standard deviations are 57.
  for (const count of tenths) assert.ok(count > 43 && count < 157, tenths.join(' '));
  assert.equal(placeOf('0190'), placeOf('0190'));
});

test('each device has one turn in each period, however the looks fall', () => {
  const periodMs = 900_000;
  for (const id of ['a', 'b', '01900000-0000-7000-8000-000000000001']) {
    for (const stepMs of [5_000, 7_001, 899_999, 900_000]) {
      const turns: number[] = [];
      for (let at = 1_800_000_000_000; at < 1_800_000_000_000 + 10 * periodMs; at += stepMs) if (isDue(id, periodMs, at, at + stepMs)) turns.push(at);
      assert.ok(turns.length >= 9 && turns.length <= 11, `${id} ${stepMs}: ${turns.length}`);
      for (const [i, at] of turns.entries()) if (i > 0) assert.ok(Math.abs(at - turns[i - 1]! - periodMs) <= stepMs, `${id} ${stepMs}`);
    }
  }
});

test('who fails rests longer and longer', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 100, 10_000].map((failures) => restMs(failures, 60_000, 400_000)), [0, 60_000, 120_000, 240_000, 400_000, 400_000, 400_000]);
});
