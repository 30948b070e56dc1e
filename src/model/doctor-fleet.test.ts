import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeContact, judgeFeeds, judgeWaiting, type TroubledEpoch } from './doctor-fleet.ts';

const now = 1_800_000_000_000;
const hourMs = 3_600_000;
const epoch = (more: Partial<TroubledEpoch>): TroubledEpoch => ({ epoch: '00000000000000aa', format: 'u32', next: 100, boundary: 80, unframed: false, claimed: null, lastAt: now, feed: { serial: 'SN1', name: 'cdr' }, ...more });

test('feeds: what the gateway lacks comes before what cannot be split', () => {
  assert.deepEqual(judgeFeeds([]), { status: 'ok', verdict: 'every feed stands where its device was told' });
  const behind = judgeFeeds([epoch({ unframed: true }), epoch({ claimed: 250, feed: { serial: 'SN2', name: 'log' } })]);
  assert.equal(behind.status, 'warning');
  assert.match(behind.verdict, /^1 feed is behind the device/);
  assert.deepEqual(behind.evidence, ['SN2/log (epoch 00000000000000aa): its device was told 250, 100 is here: 150 bytes are missing', 'SN1/cdr (epoch 00000000000000aa): from 80 on it is not what u32 should be']);
  assert.match(judgeFeeds([epoch({ unframed: true })]).verdict, /^the bytes of 1 feed cannot be split/);
  const many = judgeFeeds(Array.from({ length: 30 }, () => epoch({ claimed: 250 })));
  assert.deepEqual([many.evidence?.length, many.evidence?.at(-1)], [11, 'and 20 more']);
});

test('waiting devices: a full quarantine, or a day of waiting; not who gave up', () => {
  const one = (more: object = {}) => ({ customer: 'acme', serial: 'SN1', firstSeenAt: now - hourMs, lastSeenAt: now, bytes: 0, quarantineBytes: null, ...more });
  assert.equal(judgeWaiting([], now).status, 'ok');
  assert.deepEqual(judgeWaiting([one()], now), { status: 'ok', verdict: '1 device waits to be approved' });
  const long = judgeWaiting([one(), one({ serial: 'SN2', firstSeenAt: now - 50 * hourMs, lastSeenAt: now - 2 * hourMs })], now);
  assert.deepEqual([long.status, long.verdict, long.evidence], ['warning', '1 device has waited to be approved for more than a day', ['SN2 of acme: waits for 2 days, seen 2 h ago']]);
  assert.equal(judgeWaiting([one({ firstSeenAt: 0, lastSeenAt: now - 15 * 24 * hourMs })], now).status, 'ok');
  const full = judgeWaiting([one({ bytes: 950, quarantineBytes: 1_000 }), one({ bytes: 950 })], now);
  assert.deepEqual([full.status, full.evidence?.length], ['warning', 1]);
  assert.match(full.verdict, /^the quarantine of 1 waiting device is full/);
});

test('contact: more than two check-ins of silence, the latest heard first', () => {
  const device = (label: string, lastSeenAt: number | null, createdAt = now - 100 * hourMs) => ({ label, lastSeenAt, createdAt });
  const day = 24 * hourMs;
  assert.equal(judgeContact([], day, now).status, 'skipped');
  assert.equal(judgeContact([device('a', now - 47 * hourMs), device('new', null, now - hourMs)], day, now).status, 'ok');
  const missing = judgeContact([device('a', now - 47 * hourMs), device('never', null), device('b', now - 90 * hourMs), device('c', now - 49 * hourMs)], day, now);
  assert.deepEqual(missing.evidence?.map((line) => line.split(':')[0]), ['c', 'b', 'never']);
  assert.match(missing.verdict, /^3 of 4 devices were not heard of for more than two check-ins \(2 days\)$/);
});
