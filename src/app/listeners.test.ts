import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { silentLog } from '#base/log.ts';
import { parseConfig } from '#model/config.ts';
import { compile } from '#model/snapshot.ts';
import { newTrafficCounts } from '#proxy/meter.ts';
import { describeListeners, keepListeners } from './listeners.ts';

function snapshotOf(listeners: readonly object[]) {
  const parsed = parseConfig({ version: 1, domains: [{ name: 'gw.example.test' }], listeners });
  assert.ok('config' in parsed);
  const compiled = compile(parsed.config, 1);
  assert.ok('snapshot' in compiled);
  return compiled.snapshot;
}

test('one that cannot be opened says why until it is, and counts belong to names', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => holder.once('listening', done));
  const { port } = holder.address() as AddressInfo;
  const listeners = keepListeners(silentLog, (socket) => void socket.destroy());
  const counts = newTrafficCounts();
  counts.byListener.set('taken', { accepted: 5, open: 2, refused: 1 });
  const snapshot = snapshotOf([{ name: 'free', address: '127.0.0.1', port: 0, tls: false }, { name: 'taken', address: '127.0.0.1', port, tls: true }]);
  const first = await listeners.prepare(snapshot, null, true);
  first.commit();
  const [free, taken] = describeListeners(snapshot, listeners, counts);
  assert.deepEqual([free!.name, free!.bound?.address, free!.why, free!.open], ['free', '127.0.0.1', null, 0]);
  assert.ok(free!.bound!.port > 0);
  assert.deepEqual([taken!.bound, taken!.open, taken!.accepted, taken!.refused], [null, 2, 5, 1]);
  assert.match(taken!.why!, /port \d+ is in use by another program/);
  assert.equal(first.missing.length, 1);
  await new Promise((done) => holder.close(done));
  const second = await listeners.prepare(snapshot, snapshot, true);
  second.commit();
  assert.deepEqual(describeListeners(snapshot, listeners, counts).map(({ bound, why }) => [bound !== null, why]), [[true, null], [true, null]]);
  await listeners.close();
});
