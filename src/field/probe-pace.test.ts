import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { handClock } from '#kit/hand-clock.ts';
import { buildProbePace } from './probe-pace.ts';

const never = new AbortController().signal;
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

test('questions a second: a second\'s worth at once, then evenly, in order', async () => {
  const clock = handClock();
  const pace = buildProbePace({ clock, limits });
  pace.set(5, 8);
  const sent: { n: number; at: number }[] = [];
  for (let n = 0; n < 25; n++) void pace.take(never).then(() => sent.push({ n, at: clock.monoMs() }));
  await settle();
  assert.equal(sent.length, 5);
  for (let ms = 0; ms < 10_000; ms += 10) {
    clock.advance(10);
    await settle();
  }
  assert.deepEqual(sent.map(({ n }) => n), Array.from({ length: 25 }, (_, i) => i));
  // In any second at most two seconds' worth less one passes: the bucket and what flows in.
  for (const { at } of sent) assert.ok(sent.filter((each) => each.at > at && each.at <= at + 1_000).length <= 6, `burst after ${at}`);
  assert.ok(sent.at(-1)!.at >= 3_990 && sent.at(-1)!.at <= 4_200, `${sent.at(-1)!.at}`);
  assert.equal(clock.timers, 0);
});

test('an idle bucket holds one second\'s worth, no more; a lower rate counts at once', async () => {
  const clock = handClock();
  const pace = buildProbePace({ clock, limits });
  assert.deepEqual([pace.perSecond, pace.atOnce], [20, 8]);
  clock.advance(3_600_000);
  let sent = 0;
  for (let n = 0; n < 100; n++) void pace.take(never).then(() => (sent += 1));
  await settle();
  assert.equal(sent, 20);
  pace.set(1, 1);
  clock.advance(1_000);
  await settle();
  assert.equal(sent, 21);
  assert.deepEqual(pace.set(1e9, 1e9), { perSecond: limits.probePerSecondMax, atOnce: limits.probeAtOnceMax });
  assert.deepEqual(pace.set(-3, 0), { perSecond: 1, atOnce: 1 });
});

test('so many devices at once, one question after the other for each, and no device keeps its place', async () => {
  const clock = handClock();
  const pace = buildProbePace({ clock, limits });
  pace.set(20, 2);
  const open = new Map<string, () => void>();
  const order: string[] = [];
  let most = 0;
  const ask = (address: string, name: string) =>
    pace.at(address, never, async () => {
      order.push(name);
      await new Promise<void>((resolve) => open.set(name, resolve));
      open.delete(name);
    });
  const all = [ask('a', 'a1'), ask('a', 'a2'), ask('a', 'a3'), ask('b', 'b1'), ask('c', 'c1'), ask('d', 'd1')];
  for (let step = 0; step < 20; step++) {
    await settle();
    most = Math.max(most, open.size);
    assert.ok(new Set([...open.keys()].map((name) => name[0])).size === open.size, 'two questions to one device at once');
    open.values().next().value?.();
  }
  await Promise.all(all);
  assert.equal(most, 2);
  assert.deepEqual(order, ['a1', 'b1', 'c1', 'd1', 'a2', 'a3']);
});

test('whoever gives up leaves the line; a failure frees the place', async () => {
  const clock = handClock();
  const pace = buildProbePace({ clock, limits });
  pace.set(1, 1);
  await pace.take(never);
  const given = new AbortController();
  const taking = pace.take(given.signal);
  let free = () => {};
  const first = pace.at('a', never, () => new Promise<void>((resolve) => (free = resolve)));
  const waiting = [pace.at('a', given.signal, async () => assert.fail()), pace.at('b', given.signal, async () => assert.fail())];
  given.abort(new Error('gone'));
  for (const each of [taking, ...waiting]) await assert.rejects(each, { message: 'gone' });
  await assert.rejects(pace.take(given.signal), { message: 'gone' });
  await assert.rejects(pace.at('c', given.signal, async () => assert.fail()), { message: 'gone' });
  clock.advance(2_000);
  await pace.take(never);
  free();
  await first;
  await assert.rejects(pace.at('a', never, () => Promise.reject(new Error('failed'))), { message: 'failed' });
  assert.equal(await pace.at('b', never, async () => 7), 7);
});
