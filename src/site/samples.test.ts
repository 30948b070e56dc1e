import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SeriesEnd } from '#model/probe-operations.ts';
import { exampleProfile } from '../../test/contracts/probes.ts';
import { readingsOf, samplesOf } from './samples.ts';

const device = { deviceId: 'd', customerId: 'c' };
const hourMs = 3_600_000;

test('supplies, counters and trays are readings, as far as they are known and not too many', () => {
  const profile = exampleProfile();
  const tray = { ...profile.supplies[0]!, key: 'a', percent: 80 };
  const all = exampleProfile({ supplies: [...profile.supplies, { ...profile.supplies[0]!, key: '2', percent: null }], trays: [tray], counters: { pages: 7, odd: Number.NaN, ['x'.repeat(200)]: 1 } });
  assert.deepEqual([...readingsOf(all, 99)], [['supply 1', 40], ['counter pages', 7], ['tray a', 80]]);
  assert.deepEqual([...readingsOf(all, 2).keys()], ['supply 1', 'counter pages']);
});

test('a stretch of equal readings has a beginning and an end', () => {
  // A store in small: what is written is what is found the next time.
  const rows: { at: number; value: number }[] = [];
  const ends = (): SeriesEnd[] => (rows.length === 0 ? [] : [{ series: 's', last: [...rows].sort((a, b) => b.at - a.at).slice(0, 2) }]);
  const read = (at: number, value: number) => {
    const { samples, superseded } = samplesOf(device, new Map([['s', value]]), ends(), { nowMs: at, everyMs: hourMs, seriesMax: 9 });
    for (const gone of superseded) rows.splice(rows.findIndex((row) => row.at === gone.at), 1);
    rows.push(...samples.map(({ at: when, value: what }) => ({ at: when, value: what })));
  };
  for (let minute = 0; minute <= 600; minute += 15) read(minute * 60_000, 50);
  assert.deepEqual(rows, [{ at: 0, value: 50 }, { at: 600 * 60_000, value: 50 }]);
  read(615 * 60_000, 49);
  read(630 * 60_000, 49);
  assert.deepEqual(rows.slice(2), [{ at: 615 * 60_000, value: 49 }]);
  read(630 * 60_000, 50);
  read(800 * 60_000, 50);
  assert.deepEqual(rows.slice(3), [{ at: 630 * 60_000, value: 50 }, { at: 800 * 60_000, value: 50 }], 'the first of a stretch stays');
});

test('a device that names its supplies anew each time does not fill the store', () => {
  const kept = new Map<string, number>();
  for (let probe = 0; probe < 50; probe++) {
    const ends = Array.from(kept, ([series, at]): SeriesEnd => ({ series, last: [{ at, value: 1 }] }));
    const { samples } = samplesOf(device, new Map([['pages', probe], [`supply a${probe}`, 1], [`supply b${probe}`, 1]]), ends, { nowMs: probe, everyMs: hourMs, seriesMax: 5 });
    for (const { series, at } of samples) kept.set(series, at);
  }
  assert.deepEqual([...kept], [['pages', 49], ['supply a0', 0], ['supply b0', 0], ['supply a1', 1], ['supply b1', 1]]);
});
