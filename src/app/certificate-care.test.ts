import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '#base/log.ts';
import type { Certificate } from '#model/rows.ts';
import { buildTable } from '#model/table.ts';
import { certificateRow } from '../../test/kit/certificate-rows.ts';
import { keepCertificateCare } from './certificate-care.ts';

const dayMs = 24 * 3_600_000;

test('the journal has each alarm once a day, the log once a step, and again when a successor ends', async () => {
  let now = Date.UTC(2026, 5, 1);
  let tick = () => {};
  let renewals = 0;
  const lines: unknown[] = [];
  let warnings = 0;
  const row = certificateRow({ name: 'front', notAfter: now + 31 * dayMs });
  const certificates = buildTable<Certificate>({ name: 'certificates', kind: 'kept', keyOf: (each) => each.id, rows: [row] });
  const care = await keepCertificateCare({
    certificates,
    changes: { renewPrivate: async () => (renewals += 1) },
    clock: { nowMs: () => now, monoMs: () => 0, after: () => ({ cancel() {} }), every: (_, run) => ((tick = run), { cancel: () => void (tick = () => {}) }) },
    log: { ...silentLog, warn: () => void (warnings += 1) },
    journal: { note: (event, fields) => void lines.push([event, fields['certificate']]) },
  });
  const after = async (days: number) => {
    now += days * dayMs;
    tick();
    await new Promise(setImmediate);
    const said = [lines.splice(0).length, warnings];
    warnings = 0;
    return said;
  };
  assert.deepEqual(lines, []);
  assert.deepEqual([await after(1), await after(0), await after(1), await after(15), await after(0), await after(8), await after(7)], [[1, 1], [0, 0], [1, 0], [1, 1], [0, 0], [1, 1], [1, 1]]);
  certificates.publish({ put: [{ ...row, notAfter: now + 5 * dayMs }] });
  assert.deepEqual(await after(0), [1, 1]);
  assert.equal(renewals, 9);
  care.close();
  assert.deepEqual(await after(1), [0, 0]);
});
