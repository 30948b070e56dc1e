import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildFeedMeter, newsOf, type FeedHappened } from './feed-meter.ts';

const about = (feed: string, ...news: FeedHappened['news']): FeedHappened => ({ customerId: 'c', deviceId: 'd', feed, news });

test('a rate is what came in the last five minutes', () => {
  let now = 1_800_000_000_000;
  const meter = buildFeedMeter(() => now);
  assert.deepEqual(meter.rateOf('d', 'cdr'), { batchesPerMinute: 0, bytesPerMinute: 0 });
  for (let i = 0; i < 6; i++) meter.note(about('cdr', 'data'), 500);
  // The gateway is young: a minute is the least that is counted by.
  assert.deepEqual(meter.rateOf('d', 'cdr'), { batchesPerMinute: 6, bytesPerMinute: 3_000 });
  now += 120_000;
  assert.deepEqual(meter.rateOf('d', 'cdr'), { batchesPerMinute: 3, bytesPerMinute: 1_500 });
  meter.note(about('cdr', 'data'), 500);
  now += 170_000;
  const { batchesPerMinute } = meter.rateOf('d', 'cdr');
  assert.ok(batchesPerMinute > 1.3 && batchesPerMinute < 1.6, String(batchesPerMinute));
  now += 60_000;
  assert.ok(meter.rateOf('d', 'cdr').batchesPerMinute < 0.3, 'the first ones are long ago');
  now += 600_000;
  assert.deepEqual(meter.rateOf('d', 'cdr'), { batchesPerMinute: 0, bytesPerMinute: 0 });
  assert.deepEqual(meter.rateOf('d', 'log'), { batchesPerMinute: 0, bytesPerMinute: 0 });
});

test('what came of late is told by the quarter of a minute, the oldest first', () => {
  let now = 1_800_000_000_000;
  const meter = buildFeedMeter(() => now);
  assert.deepEqual(meter.recentOf('d', 'cdr'), []);
  meter.note(about('cdr', 'data'), 500);
  now += 30_000;
  meter.note(about('cdr', 'data'), 7);
  meter.note(about('cdr', 'conflict'), 9);
  assert.deepEqual(meter.recentOf('d', 'cdr').slice(-4), [0, 500, 0, 7]);
  assert.equal(meter.recentOf('d', 'cdr').length, 20);
  now += 285_000;
  assert.deepEqual(meter.recentOf('d', 'cdr'), [7, ...Array.from({ length: 19 }, () => 0)]);
  now += 15_000;
  assert.deepEqual(meter.recentOf('d', 'cdr'), []);
});

test('a clock that is set back neither throws nor makes up batches', () => {
  let now = 1_800_000_000_000;
  const meter = buildFeedMeter(() => now);
  meter.note(about('cdr', 'data'), 10);
  now -= 3_600_000;
  meter.note(about('cdr', 'data'), 10);
  const { batchesPerMinute } = meter.rateOf('d', 'cdr');
  assert.ok(batchesPerMinute <= 2);
});

test('who watches is told what happened, and that it is the first', () => {
  const meter = buildFeedMeter(() => 1_000);
  const told: string[] = [];
  const stop = meter.watch(({ feed, news }) => told.push(`${feed} ${news.join('+')}`));
  meter.note(about('cdr', 'data'), 1);
  meter.note(about('cdr', 'data', 'gap'), 1);
  meter.note(about('cdr', 'conflict'), 0);
  stop();
  meter.note(about('cdr', 'data'), 1);
  assert.deepEqual(told, ['cdr first+data', 'cdr data+gap', 'cdr conflict']);
});

test('what is news of a batch', () => {
  const stored = { kind: 'stored', next: 9, repeat: false, epochNumber: 1, records: 1, alerts: 0, lost: 0, madeGood: false, unframed: false } as const;
  assert.deepEqual(newsOf(stored), ['data']);
  assert.deepEqual(newsOf({ ...stored, lost: 4 }), ['data', 'gap']);
  assert.deepEqual(newsOf({ ...stored, madeGood: true }), ['data', 'behind']);
  assert.deepEqual(newsOf({ kind: 'gap', next: 0, first: true, epochNumber: 1 }), ['behind']);
  assert.deepEqual(newsOf({ kind: 'gap', next: 0, first: false, epochNumber: 1 }), []);
  assert.deepEqual(newsOf({ kind: 'full', next: 0 }), []);
});
