import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { judgeLevel, type DiskSeen } from './disk-level.ts';
import type { DiskLevel } from './keeping.ts';

const mib = 1024 ** 2;
const gib = 1024 ** 3;
const seen = (freeBytes: number, sizeBytes: number, more: Partial<DiskSeen> = {}): DiskSeen => ({ freeBytes, usedBytes: sizeBytes - freeBytes, reusableBytes: 0, storeBytes: 0, ...more });
const levelOf = (given: DiskSeen, before: DiskLevel = 'ok', storeBytesMax: number | null = null) => judgeLevel(given, limits, before, storeBytesMax).level;

test('a disk is warned of at nine tenths, and becomes low and full by what is left', () => {
  const cases: readonly (readonly [freeBytes: number, sizeBytes: number, level: DiskLevel])[] = [
    [11 * gib, 100 * gib, 'ok'],
    [10 * gib, 100 * gib, 'warn'],
    [2 * gib, 100 * gib, 'low'],
    // A large disk has much left when 97 % are used.
    [29 * gib, 1_000 * gib, 'warn'],
    [255 * mib, 1_000 * gib, 'low'],
    [63 * mib, 1_000 * gib, 'full'],
    [0, 100 * gib, 'full'],
    // A small one has small reserves.
    [40 * mib, 64 * mib, 'ok'],
    [7 * mib, 64 * mib, 'warn'],
    [5 * mib, 64 * mib, 'low'],
    [3 * mib, 64 * mib, 'full'],
  ];
  for (const [freeBytes, sizeBytes, level] of cases) {
    const judged = judgeLevel(seen(freeBytes, sizeBytes), limits, 'ok', null);
    assert.equal(judged.level, level, `${freeBytes} of ${sizeBytes}`);
    assert.equal(judged.why === null, level === 'ok');
  }
});

test('a level is left only with room to spare', () => {
  assert.equal(levelOf(seen(65 * mib, 100 * gib), 'low'), 'low');
  assert.equal(levelOf(seen(65 * mib, 100 * gib), 'full'), 'full');
  assert.equal(levelOf(seen(71 * mib, 100 * gib), 'full'), 'low');
  assert.equal(levelOf(seen(10.5 * gib, 100 * gib), 'warn'), 'warn');
  assert.equal(levelOf(seen(10.5 * gib, 100 * gib), 'ok'), 'ok');
  assert.equal(levelOf(seen(11.5 * gib, 100 * gib), 'warn'), 'ok');
});

test('room inside the store counts, while its log has room outside', () => {
  assert.equal(levelOf(seen(40 * mib, 100 * gib), 'full'), 'full');
  assert.equal(levelOf(seen(40 * mib, 100 * gib, { reusableBytes: 50 * gib }), 'full'), 'ok');
  assert.equal(levelOf(seen(10 * mib, 100 * gib, { reusableBytes: 50 * gib }), 'full'), 'full');
});

test('a store with a bound of its own is judged by that, too', () => {
  const roomy = (storeBytes: number, reusableBytes = 0) => seen(900 * gib, 1_000 * gib, { storeBytes, reusableBytes });
  for (const [storeBytes, level] of [[8.9, 'ok'], [9, 'warn'], [9.7, 'low'], [10, 'full'], [11, 'full']] as const) assert.equal(levelOf(roomy(storeBytes * gib), 'ok', 10 * gib), level, `${storeBytes}`);
  assert.equal(levelOf(roomy(11 * gib, 5 * gib), 'ok', 10 * gib), 'ok');
});
