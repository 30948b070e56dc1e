import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import type { Config } from '#model/config.ts';
import { handClock } from '../../test/kit/hand-clock.ts';
import { keepCallers } from './virtual.ts';

const route = (name: string, host: string) => ({ name, target: { kind: 'tcp', host, port: 80 }, application: { tell: 'virtual', address: 'virtual', callbacks: [] } });

test('the server of one application is no way to the devices of another; who is listed may call all', async () => {
  const clock = handClock();
  const pool: { networks: string[]; callers?: string[] } = { networks: ['198.18.0.0/16'] };
  const config = { routes: [route('scan', '192.0.2.10'), route('print', 'print.example.test')], addressPool: pool } as unknown as Config;
  const callers = keepCallers({ config: () => config, clock, limits, resolve: (host) => Promise.resolve(host === 'print.example.test' ? ['192.0.2.20'] : []) });
  await callers.refresh();
  const device = '198.18.0.5';
  const may = (from: string, ...servers: string[]) => callers.judge(from, device, () => servers) === null;
  assert.deepEqual([may('192.0.2.10', '192.0.2.10'), may('192.0.2.20', 'print.example.test')], [true, true]);
  assert.deepEqual([may('192.0.2.10', 'print.example.test'), may('192.0.2.20', '192.0.2.10'), may('192.0.2.10')], [false, false, false], 'another application\'s');
  assert.deepEqual([may('192.0.2.30', '192.0.2.10'), may('127.0.0.1', '192.0.2.10'), may(device)], [false, true, true]);
  pool.callers = ['192.0.2.20'];
  await callers.refresh();
  assert.deepEqual([may('192.0.2.20', '192.0.2.10'), may('192.0.2.10', '192.0.2.10'), may('127.0.0.1', '192.0.2.10')], [true, false, false]);
  callers.close();
  assert.equal(clock.timers, 0);
});
