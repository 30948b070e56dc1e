// A device whose clock is decades off: its records get the right time all the same, those too that were taken before the first answer.
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { startGateway, startTcp, until } from '../kit/gateway.ts';
import { findPeers } from '../kit/peers.ts';
import { openProcesses, postern } from '../kit/processes.ts';
import { knowDevice } from '../kit/raw-device.ts';
import { stampedRecords } from '../kit/stored-records.ts';

const peers = findPeers(['faketime']);
const key = 'pdk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG';

test('an agent that believes it is 2001', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using gateway = await startGateway({ config: { checkIn: { pollSeconds: 3_600, jitterSeconds: 0, pushSeconds: 1 } } });
  knowDevice(gateway, 'SN1', key);
  let isOpen = false;
  await using way = await startTcp((near) => {
    if (!isOpen) return void near.destroy();
    const far = connect(gateway.ports.http, '127.0.0.1');
    near.pipe(far).pipe(near);
    far.on('error', () => near.destroy());
    near.on('close', () => far.destroy());
  });
  const stateDir = join(processes.folder, 'agent');
  mkdirSync(stateDir);
  const log = join(processes.folder, 'calls.log');
  const taken = new Map<string, number>();
  const append = (text: string) => {
    taken.set(text, Date.now());
    appendFileSync(log, `${text}\n`);
  };
  writeFileSync(log, '');
  writeFileSync(join(stateDir, 'key'), key);
  writeFileSync(join(stateDir, 'set-clock'), `#!/bin/sh\necho "$1" >> ${join(processes.folder, 'set')}\n`, { mode: 0o755 });
  writeFileSync(join(stateDir, 'policy'), `run set-clock = ${join(stateDir, 'set-clock')} {unix}\n`);
  writeFileSync(join(stateDir, 'feeds.json'), JSON.stringify({
    serial: 'SN1',
    destinations: [{ name: 'main', base: `http://127.0.0.1:${way.port}`, keyFile: 'key' }],
    feeds: [{ name: 'cdr', source: { kind: 'file', path: log }, destinations: ['main'] }],
  }));
  // Without its wrapper, which would stay between us and the agent.
  const library = await processes.run(peers.path('faketime'), ['-f', '@2001-02-03 04:05:06', '/bin/sh', '-c', 'echo "$LD_PRELOAD"']);
  const agent = processes.start(postern, ['agent', '--push-only', '--state', stateDir, '--verbose'], { env: { LD_PRELOAD: library.stdout.trim(), FAKETIME: '@2001-02-03 04:05:06', FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1' } });
  await agent.says(/^2001-02-0[234]T\S+ info\s+feeds\.running/m);
  append('before the first answer');
  await agent.says(/delivery\.failed/);
  await new Promise((next) => setTimeout(next, 1_500));
  append('still before it');
  await new Promise((next) => setTimeout(next, 500));
  isOpen = true;
  await agent.says(/clock\.trusted/, 60_000);
  append('after it');
  const records = await until('three records', () => {
    const stored = stampedRecords(gateway.dataDir, 'cdr');
    return stored.length === 3 && stored;
  }, 60_000);
  assert.deepEqual(records.map(({ text }) => text), [...taken.keys()]);
  // A file is looked at a few times a second; all else is milliseconds.
  for (const { text, atMs } of records) assert.ok(Math.abs(atMs - taken.get(text)!) < 5_000, `${text}: ${new Date(atMs).toISOString()}, and it was ${new Date(taken.get(text)!).toISOString()}`);
  await agent.says(/clock\.set/);
  await agent.stop('SIGTERM');
});
