import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browserOf, bytes, duration, fingerprint, relative, rtt, version } from './format.ts';

test('bytes keep three digits and never show a thousand of a unit', () => {
  const cases: readonly (readonly [number, string])[] = [[0, '0 B'], [999, '999 B'], [1_000, '1.00 kB'], [9_949, '9.95 kB'], [9_999, '10.0 kB'], [99_950, '100 kB'], [999_499, '999 kB'], [999_500, '1.00 MB'], [1_234_567, '1.23 MB'], [5e15, '5.00 PB'], [5e18, '5000 PB']];
  for (const [count, shown] of cases) assert.equal(bytes(count), shown, String(count));
});

test('lengths of time show their two largest units', () => {
  const cases: readonly (readonly [number, string])[] = [[0, '0 ms'], [380.4, '380 ms'], [1_000, '1 s'], [61_000, '1 min 1 s'], [3_600_000, '1 h'], [3_601_000, '1 h'], [7_500_000, '2 h 5 min'], [90_000_000, '1 d 1 h'], [-5, '0 ms']];
  for (const [ms, shown] of cases) assert.equal(duration(ms), shown, String(ms));
});

test('relative times point both ways', () => {
  const now = 1_800_000_000_000;
  assert.equal(relative(now - 4_999, now), 'just now');
  assert.equal(relative(now - 61_000, now), '1 min ago');
  assert.equal(relative(now + 3 * 86_400_000, now), 'in 3 d');
});

test('round trips, fingerprints and browsers are named as people name them', () => {
  assert.deepEqual([rtt(null), rtt(0.4), rtt(4.26), rtt(41.6)], ['–', '< 1 ms', '4.3 ms', '42 ms']);
  assert.equal(fingerprint('0aff'), '0A:FF');
  assert.deepEqual([version('postern/0.1.0 linux-x64'), version('other 3')], ['0.1.0', 'other 3']);
  assert.equal(browserOf('Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 Edg/156.0'), 'Edge on Windows');
  assert.equal(browserOf('Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1'), 'Safari on iOS');
  assert.equal(browserOf(''), 'Unknown program');
});
