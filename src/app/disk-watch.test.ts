import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { handClock } from '../../test/kit/admin-room.ts';
import { keepDiskWatch } from './disk-watch.ts';

const gib = 1024 ** 3;

function watched() {
  const clock = handClock();
  const disk = { freeBytes: 50 * gib, broken: false };
  const noted: unknown[] = [];
  const looked: string[] = [];
  const watch = keepDiskWatch({
    clock, limits, log: silentLog,
    disk: async () => {
      if (disk.broken) throw new Error('stale file handle');
      return { freeBytes: disk.freeBytes, usedBytes: 100 * gib - disk.freeBytes };
    },
    storeRoom: async () => ({ bytes: gib, reusableBytes: 0 }),
    storeBytesMax: () => null,
    journal: { note: (event, { level, before }) => void noted.push([event, before, level]) },
    onLook: (level, before) => void looked.push(`${before} ${level}`),
  });
  return { clock, disk, noted, looked, watch };
}

test('each level is said once, and only the last refuses', async () => {
  const { disk, noted, watch } = watched();
  for (const freeBytes of [50 * gib, 9 * gib, 9 * gib, gib, 0.05 * gib, 0.05 * gib]) {
    disk.freeBytes = freeBytes;
    await watch.look();
    assert.equal(watch.mayStore() === null, freeBytes > 0.05 * gib);
  }
  assert.deepEqual(noted, [['disk.level', 'ok', 'warn'], ['disk.level', 'warn', 'low'], ['disk.level', 'low', 'full']]);
  const refusal = watch.mayStore()!;
  assert.equal(refusal.code, 'busy');
  assert.match(refusal.message, /54 MB of 107 GB are left/);
  assert.equal(refusal.detail['retryAfterS'], 30);
  disk.freeBytes = 50 * gib;
  await watch.look();
  assert.equal(watch.mayStore(), null);
  assert.equal(watch.state().level, 'ok');
});

test('it looks by itself until it is closed', async () => {
  const { clock, looked, watch } = watched();
  clock.advance(10_000);
  await watch.look();
  assert.deepEqual(looked, ['ok ok']);
  watch.close();
  assert.equal(clock.timers, 0);
});

test('a store that says it is full is believed for a while, whatever the disk looks like', async () => {
  const { clock, watch } = watched();
  watch.notice(new Fault('busy', 'the store is locked by another program', { detail: { sqlite: 5 } }));
  watch.notice(new Error('disk is full'));
  assert.equal(watch.mayStore(), null);
  for (const detail of [{ sqlite: 13 }, { postgres: '53100' }]) {
    watch.notice(new Fault('busy', 'the store cannot write: the disk is full', { detail }));
    assert.match(watch.mayStore()!.message, /the disk is full/);
    await watch.look();
    assert.equal(watch.state().level, 'full');
    clock.advance(limits.diskRefusedMs + 1);
    await watch.look();
    assert.equal(watch.mayStore(), null);
  }
});

test('a disk that cannot be asked refuses nobody', async () => {
  const { disk, watch } = watched();
  disk.freeBytes = 0;
  await watch.look();
  assert.ok(watch.mayStore());
  disk.broken = true;
  await watch.look();
  assert.equal(watch.mayStore(), null);
});
