// While the store is copied something comes all the same, so that nobody takes the connection for dead; and one backup at a time.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { silentLog } from '#base/log.ts';
import { lookOnly, openBackupStream, readBackup } from '#store/backup-read.ts';
import { openStore } from '#store/open.ts';
import { rejectsWith, rowsFor } from '../../test/contracts/store.ts';
import { eventually, handClock } from '../../test/kit/admin-room.ts';
import { keepBackups } from './backups.ts';

const dataDir = await mkdtemp(join(tmpdir(), 'postern-backups-'));
const clock = handClock();
const store = await openStore({ dataDir, clock, random: randomBytes, log: silentLog });
after(async () => {
  await store.close();
  await rm(dataDir, { recursive: true });
});
const { customerId, audit } = await rowsFor(store);
const { actor } = audit('x');

function held() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const noted: unknown[] = [];
  const backups = keepBackups({
    dataDir, location: { kind: 'sqlite', file: join(dataDir, 'postern.db') }, operations: store, clock, log: silentLog, version: '0.0.0-test', last: null,
    noteLast: (last) => noted.push(last),
    // As if somebody's change took long.
    inTurn: (run) => promise.then(run),
  });
  return { backups, release: resolve, noted };
}

const signal = new AbortController().signal;
const beat = gzipSync('');

test('an archive that takes long begins at once, and beats until it comes', async () => {
  const { backups, release, noted } = held();
  const { stream, name } = await backups.make(actor, customerId, signal);
  assert.match(name, /^postern-20270115T0800Z\.tgz$/);
  const reader = stream.getReader();
  const read: Buffer[] = [];
  const next = async () => {
    const { value } = await reader.read();
    if (value) read.push(Buffer.from(value));
    return value !== undefined;
  };
  await next();
  for (let beats = 1; beats <= 3; beats += 1) {
    const coming = next();
    await eventually(() => clock.timers > 1, 'it waits');
    clock.advance(5_000);
    await coming;
  }
  assert.ok(read.every((piece) => piece.equals(beat)), 'nothing else came yet');
  await rejectsWith(backups.make(actor, customerId, signal), 'conflict', /being made already/);
  assert.equal(backups.state().running?.phase, 'copying');
  release();
  while (await next());
  const manifest = await readBackup(openBackupStream(Readable.from(read)), lookOnly);
  assert.equal(manifest.audit.seq, 1, 'the line that says who made it is in it');
  await eventually(() => backups.state().running === null, 'its end');
  const bytes = read.reduce((sum, piece) => sum + piece.length, 0);
  assert.deepEqual([backups.state().last?.bytes, noted.length], [bytes, 1]);
  await backups.close();
});

test('who goes away while it is copied, and a gateway that ends, leave nothing behind', async () => {
  for (const end of ['reader', 'gateway', 'asker'] as const) {
    const { backups, release, noted } = held();
    const gone = new AbortController();
    const { stream } = await backups.make(actor, customerId, gone.signal);
    const reader = stream.getReader();
    await reader.read();
    // The thread that copies holds the snapshot; nobody reads.
    if (end === 'reader') void reader.cancel();
    if (end === 'asker') gone.abort();
    release();
    if (end === 'gateway') await backups.close();
    await eventually(() => backups.state().running === null, `the end by the ${end}`);
    assert.deepEqual([noted, (await readdir(dataDir)).filter((name) => name.startsWith('.'))], [[], []], end);
    assert.ok(backups.state().failed, end);
    await backups.close();
  }
});
