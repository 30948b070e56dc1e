// The shell client of examples/push.sh, which lets curl follow redirects and knows nothing of them itself, sent away in the middle of its file.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { root, startGateway, temporaryFolder, type TestGateway } from '../kit/gateway.ts';
import { findPeers } from '../kit/peers.ts';
import { assertOnce, knowDevice, RawDevice, storedRanges } from '../kit/raw-device.ts';

const peers = findPeers(['curl']);
const key = 'pdk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG';
const secure = (gateway: TestGateway) => `https://127.0.0.1:${gateway.ports.https}/v1`;
const run = promisify(execFile);

async function configure(gateway: TestGateway, sections: object): Promise<void> {
  const { token } = await gateway.owner();
  const { json } = await gateway.api('GET', '/config', { token });
  const done = await gateway.api('PUT', '/config', { token, headers: { 'if-match': `"${json['revision'] as number}"` }, body: { ...(json['config'] as object), ...sections } });
  assert.equal(done.status, 200, done.text);
}

test('a file that grows, brought by curl: home, then to one server, then to another; each byte once', { skip: peers.skip, timeout: 120_000 }, async () => {
  using folder = temporaryFolder();
  await using a = await startGateway();
  await using b = await startGateway();
  await using c = await startGateway();
  for (const each of [a, b, c]) knowDevice(each, 'SN1', key);
  const servers = [b, c].map((each, i) => ({ name: ['b', 'c'][i]!, base: secure(each), pins: [], weight: 1, drain: 'no' }));
  const rule = (server: string) => ({ servers, redirects: [{ name: 'all', strategy: 'first', servers: [server], ttlSeconds: 600, status: 307 }] });
  const file = join(folder.path, 'calls.log');
  const bytes = randomBytes(150_000);
  const bring = async (from: number, to: number) => {
    (from === 0 ? writeFileSync : appendFileSync)(file, bytes.subarray(from, to));
    await run('sh', [join(root, 'examples', 'push.sh'), file, `${secure(a)}/default`, 'SN1', 'cdr'], { env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', MAX: '4000', CURL: `-k -L -H X-Postern-Key:${key}` } });
    assert.equal(readFileSync(`${file}.ack`, 'utf8').trim(), String(to));
  };
  await bring(0, 30_000);
  await configure(a, rule('b'));
  await bring(30_000, 60_001);
  // At b there is another rule: the second redirect carries the later start.
  await configure(b, { servers: [servers[1]!], redirects: rule('c').redirects });
  await bring(60_001, 150_000);
  const device = new RawDevice({ serial: 'SN1', key, home: '', bytes });
  device.epoch = readFileSync(`${file}.epoch`, 'utf8').trim();
  assertOnce([a, b, c], device);
  assert.deepEqual([a, b, c].map((each) => storedRanges(each, 'SN1', device.epoch).ranges[0]?.from), [0, 30_000, 60_001]);
});
