import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { buildFieldClock } from './clock.ts';

const year = 366 * 24 * 3_600_000;
const truth = Date.UTC(2026, 10, 20, 12);

/** `upMs` is what really passes; `wallMs` is what the system shows at uptime 0. */
function world(wallMs: number, builtAtMs = Date.UTC(2026, 0, 1)) {
  const time = { upMs: 5_000, wallMs };
  const clock: Clock = { nowMs: () => time.wallMs + time.upMs, monoMs: () => time.upMs, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
  return { time, fieldClock: buildFieldClock({ clock, uptimeMs: () => time.upMs, builtAtMs }) };
}

test('the error is at most half the round trip, whichever way took longer', () => {
  for (const [there, back] of [[10, 390], [390, 10], [200, 200], [0, 400]] as const) {
    const { time, fieldClock } = world(Date.UTC(2026, 10, 20, 9));
    const trueAtUp0 = truth - time.upMs;
    time.upMs += there;
    const server = trueAtUp0 + time.upMs;
    time.upMs += back;
    assert.equal(fieldClock.learn(server, there + back, time.upMs), 'taken');
    const off = Math.abs(fieldClock.nowMs() - (trueAtUp0 + time.upMs));
    assert.ok(off <= (there + back) / 2 + 1, `${there}+${back}: off by ${off}`);
    assert.ok(off <= fieldClock.errorMs()!);
  }
});

test('records from before the first answer are dated back by uptime, whatever the system clock showed', () => {
  const { time, fieldClock } = world(0); // 1970: no battery
  const before = fieldClock.stamp();
  assert.equal(before.clockTrusted, false);
  time.upMs += 60_000;
  const heard: number[] = [];
  fieldClock.onTrusted((nowMs, uptimeMs) => heard.push(nowMs - (uptimeMs - before.uptimeMs)));
  assert.equal(fieldClock.learn(truth, 0, time.upMs), 'taken');
  assert.deepEqual(heard, [truth - 60_000]);
  assert.equal(fieldClock.stamp().clockTrusted, true);
  time.wallMs += 7 * 3_600_000;
  time.upMs += 1_000;
  assert.equal(fieldClock.nowMs(), truth + 1_000, 'a system clock that somebody sets moves nothing');
  assert.equal(fieldClock.systemAheadMs(), time.wallMs + time.upMs - truth - 1_000);
});

test('a jump of more than a year is refused, unless the own clock is before the build date', () => {
  const good = world(truth);
  assert.equal(good.fieldClock.learn(truth + 2 * year, 0, good.time.upMs), 'refused');
  assert.equal(good.fieldClock.learn(truth + year / 2, 0, good.time.upMs), 'taken');
  const none = world(0);
  assert.equal(none.fieldClock.learn(truth, 0, none.time.upMs), 'taken');
  assert.equal(none.fieldClock.learn(truth + 2 * year, 0, none.time.upMs), 'refused', 'once it is right, it is held to it');
  assert.equal(world(0).fieldClock.learn(Date.UTC(2025, 0, 1), 0, 5_000), 'refused', 'no server that is right shows a time before this program');
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) assert.equal(world(0).fieldClock.learn(bad, 0, 0), 'refused');
});

test('a worse estimate does not replace a better one, until that has grown old or is contradicted', () => {
  const { time, fieldClock } = world(truth);
  const start = truth + time.upMs;
  assert.equal(fieldClock.learn(start, 20, time.upMs), 'taken');
  assert.equal(fieldClock.learn(start, 400, time.upMs), 'kept');
  assert.equal(fieldClock.learn(start, 10, time.upMs), 'taken');
  time.upMs += 24 * 3_600_000; // a day of drift may be 8.6 s
  assert.equal(fieldClock.learn(truth + time.upMs + 3_000, 400, time.upMs), 'taken');
  assert.equal(fieldClock.learn(truth + time.upMs + 600_000, 800, time.upMs), 'taken', 'the server\'s clock was set');
});
