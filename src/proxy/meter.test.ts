import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countRefused, listenerCounts, newTrafficCounts } from './meter.ts';

test('refusals are counted in all and by listener', () => {
  const counts = newTrafficCounts();
  countRefused(counts, 'http');
  countRefused(counts, 'http');
  countRefused(counts, 'ldap');
  assert.deepEqual([counts.connsRefused, listenerCounts(counts, 'http').refused, listenerCounts(counts, 'ldap').refused], [3, 2, 1]);
});

test('names of listeners that are long gone do not pile up; those with connections stay', () => {
  const counts = newTrafficCounts();
  listenerCounts(counts, 'standing').open = 1;
  for (let i = 0; i < 5_000; i++) listenerCounts(counts, `l${i}`);
  assert.ok(counts.byListener.size <= 257, String(counts.byListener.size));
  assert.equal(listenerCounts(counts, 'standing').open, 1);
});
