import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renewalAt } from './acme.ts';
import { alarmsOf } from './certificate-alarms.ts';
import { certificateRow } from '../../test/kit/certificate-rows.ts';

const now = Date.UTC(2026, 5, 1);
const day = 24 * 3_600_000;

test('alarms come at 30, 14 and 7 days and at the end, the most urgent first', () => {
  const rows = [31, 30, 15, 14, 8, 7, 1, 0.5, 0, -3].map((days) => certificateRow({ name: `d${days}`, notAfter: now + days * day }));
  const alarms = alarmsOf(rows, now);
  assert.deepEqual(
    alarms.map(({ name, step, severity, daysLeft }) => [name, step, severity, daysLeft]),
    [
      ['d-3', 0, 'error', -3],
      ['d0', 0, 'error', 0],
      ['d0.5', 7, 'error', 0],
      ['d1', 7, 'error', 1],
      ['d7', 7, 'error', 7],
      ['d8', 14, 'warning', 8],
      ['d14', 14, 'warning', 14],
      ['d15', 30, 'notice', 15],
      ['d30', 30, 'notice', 30],
    ],
  );
  assert.match(alarms[2]!.text, /less than a day/);
  assert.match(alarms[3]!.text, /in 1 day$/);
  assert.match(alarms[0]!.text, /has expired/);
});

test('an alarm says why the renewal failed and what helps', () => {
  const failed = certificateRow({ source: 'acme', lastError: 'the name does not lead here', notAfter: now + day });
  const [alarm] = alarmsOf([failed], now);
  assert.match(alarm!.text, /its last renewal failed: the name does not lead here/);
  assert.match(alarm!.remedy, /renews itself/);
  assert.match(alarmsOf([certificateRow({ csrPem: 'x', notAfter: now })], now)[0]!.remedy, /request is waiting/);
  assert.deepEqual(alarmsOf([certificateRow({ state: 'waiting', notAfter: null })], now), []);
});

test('by ACME: none before its renewal was due, however short it lives', () => {
  for (const days of [6, 47, 90, 398]) {
    const row = certificateRow({ source: 'acme', notBefore: 0, notAfter: days * day, certificateFingerprint: '0'.repeat(64) });
    const stepAt = (part: number) => alarmsOf([row], days * day * part)[0]?.step ?? null;
    assert.equal(alarmsOf([row], renewalAt(row)).length, 0, `${days} days`);
    if (days <= 90) assert.deepEqual([0.66, 0.67, 0.85, 0.93, 1].map(stepAt), [null, 30, 14, 7, 0], `${days} days`);
  }
});
