import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { isFault } from '#base/fault.ts';
import { parsePolicy } from '#model/policy.ts';
import { buildSetClock, buildUptime, readBootId } from './machine.ts';
import { realClock } from './real.ts';

test('uptime is as fine as the clock that only grows, and counts the time asleep', () => {
  const time = { mono: 1_000, up: 50_000 };
  const clock: Clock = { nowMs: () => 0, monoMs: () => time.mono, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
  const uptime = buildUptime(clock, () => Math.round(time.up / 10) * 10);
  assert.equal(uptime(), 50_000);
  time.mono += 3.25;
  time.up += 3.25;
  assert.equal(uptime(), 50_003.25);
  time.mono += 2_000;
  time.up += 2_000 + 3_600_000;
  assert.equal(uptime(), 3_652_000);
  time.mono += 5_000;
  time.up += 5_000;
  assert.equal(uptime(), 3_657_000);
});

test('the system clock is set by the command that the policy names, with the time in place of {unix}', async () => {
  assert.equal(await buildSetClock(() => parsePolicy(''), realClock)(1_795_159_800_412), false);
  assert.equal(await buildSetClock(() => parsePolicy('run set-clock = /usr/bin/test @{unix} = @1795159800.412'), realClock)(1_795_159_800_412), true);
  const failed = await buildSetClock(() => parsePolicy('run set-clock = /usr/bin/test {unix} = never'), realClock)(1_795_159_800_412).catch((thrown: unknown) => thrown);
  assert.ok(isFault(failed, 'internal') && /exit code 1/.test(failed.message), String(failed));
});

test('a start of the machine has one id', async () => {
  const random = () => Buffer.alloc(16, 1);
  assert.match(await readBootId(random), /^[0-9a-f-]{32,36}$/);
  assert.equal(await readBootId(random), await readBootId(random));
});
