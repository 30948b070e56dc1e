import assert from 'node:assert/strict';
import { test } from 'node:test';
import { handClock } from '#kit/admin-room.ts';
import { buildSweep } from './sweep.ts';

test('a deadline is seen within a quarter of a second, again and again until it is moved, and 0 is none', () => {
  const clock = handClock();
  const sweep = buildSweep(clock);
  const late: string[] = [];
  const a = { deadlineMs: 1_000, onDeadline: () => void (late.push('a'), (a.deadlineMs = 0)) };
  const b = { deadlineMs: 0, onDeadline: () => void late.push('b') };
  const c = { deadlineMs: 1_500, onDeadline: () => void late.push('c') };
  for (const each of [a, b, c]) sweep.add(each);
  clock.advance(750);
  assert.deepEqual(late, []);
  assert.ok(clock.monoMs() - sweep.nowMs <= 250);
  clock.advance(250);
  assert.deepEqual(late, ['a']);
  sweep.remove(c);
  clock.advance(10_000);
  assert.deepEqual(late, ['a']);
  assert.equal(sweep.size, 2);
  sweep.stop();
  assert.equal(clock.timers, 0);
});

test('what a deadline adds or removes does not disturb the round', () => {
  const clock = handClock();
  const sweep = buildSweep(clock);
  const late: string[] = [];
  const second = { deadlineMs: 250, onDeadline: () => void late.push('second') };
  const added = { deadlineMs: 1, onDeadline: () => void (late.push('added'), sweep.remove(added)) };
  const first = { deadlineMs: 250, onDeadline: () => (late.push('first'), sweep.remove(second), sweep.remove(first), sweep.add(added)) };
  sweep.add(first);
  sweep.add(second);
  clock.advance(1_000);
  assert.deepEqual(late, ['first', 'added']);
  sweep.stop();
});
