import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPrograms } from './programs.ts';

test('strangers push off strangers, and no program of a device', () => {
  const programs = buildPrograms(4);
  programs.note('panel', 'Panel 1');
  programs.keep('panel');
  programs.note('sender', 'Sender 1');
  assert.deepEqual([programs.of('panel'), programs.of('sender')], ['Panel 1', 'Sender 1'], 'also before anybody is known by it');
  programs.keep('sender');
  for (let n = 0; n < 100; n++) programs.note(`stranger ${n}`, `${n}`);
  assert.deepEqual([programs.of('panel'), programs.of('sender'), programs.of('stranger 95'), programs.of('stranger 99')], ['Panel 1', 'Sender 1', undefined, '99']);
  for (let n = 96; n < 100; n++) programs.keep(`stranger ${n}`);
  assert.deepEqual([programs.of('panel'), programs.of('stranger 99')], [undefined, '99'], 'of devices the oldest makes room');
  programs.keep('never seen');
  programs.note('long', 'x'.repeat(9_000));
  assert.equal(programs.of('long')?.length, 512);
});
