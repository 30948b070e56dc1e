// Check-ins and intake with a key as small programs send them: curl over TLS, plain http, HTTP/1.0 and with nothing but a query.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLines } from '#wire/device.ts';
import { findPeers } from '../kit/peers.ts';
import { openProcesses, startServe } from '../kit/processes.ts';

const peers = findPeers(['curl']);

test('check-ins and intake with curl', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const device = await gateway.ask<{ id: string }>('POST', '/devices', { name: 'Counter', serial: 'SN1' });
  const { secret } = await gateway.asPerson<{ secret: string }>('POST', `/devices/${device.id}/keys`, {});
  const secure = `https://localhost:${gateway.httpsPort}/v1/default`;
  const curl = async (...args: string[]) => {
    const ran = await processes.run(peers.path('curl'), ['-sS', '--max-time', '30', '--cacert', gateway.caFile, '-w', '\n%{http_code}', '-H', `X-Postern-Key: ${secret}`, ...args]);
    assert.equal(ran.code, 0, ran.stderr);
    const end = ran.stdout.lastIndexOf('\n');
    const body = ran.stdout.slice(0, end);
    return { status: Number(ran.stdout.slice(end + 1)), body, values: parseLines(body) };
  };

  await t.test('time, settings and zone, by POST, by GET, by HTTP/1.0, as JSON', async () => {
    const before = Date.now() / 1_000;
    const posted = await curl('--data-binary', 'why=boot fw=2.95 tz=Europe/London\nfeed.cdr=5b1e0c77a1d2e3f4:0:0:0\n', `${secure}/check-in/SN1`);
    const after = Date.now() / 1_000;
    assert.equal(posted.status, 200);
    const time = Number(posted.values.get('time'));
    assert.ok(time >= before - 0.001 && time <= after + 0.001, 'the error is at most what the request took');
    assert.equal([...posted.values.keys()][0], 'time');
    assert.deepEqual([posted.values.get('poll'), posted.values.get('jitter'), posted.values.get('push'), posted.values.get('next.cdr')], ['86400', '600', '300', '0']);
    assert.equal(posted.values.get('zone'), 'GMT0BST,M3.5.0/1,M10.5.0');
    assert.match(posted.values.get('zone-next')!, /^\d+:(3600|0)(,\d+:(3600|0)){3}$/);
    assert.match(posted.values.get('pins')!, /^sha256\/\/[A-Za-z0-9+/]{43}=/);
    for (const version of ['--http1.0', '--http1.1', '--http2']) assert.equal((await curl(version, `${secure}/check-in/SN1?why=daily&tz=Asia/Kathmandu`)).values.get('zone'), '<+0545>-5:45', version);
    const asJson = JSON.parse((await curl('-H', 'Accept: application/json', `${secure}/check-in/SN1`)).body) as Record<string, unknown>;
    assert.equal(typeof asJson['time'], 'number');
    assert.equal(asJson['poll'], 86_400);
  });

  await t.test('who proves nothing is told nothing, and strangers wait', async () => {
    const bare = await processes.run(peers.path('curl'), ['-sS', '-i', '--cacert', gateway.caFile, '-d', 'why=boot', `${secure}/check-in/SN1`]);
    assert.match(bare.stdout, / 401 [^]*error=unauthenticated/);
    const stranger = await processes.run(peers.path('curl'), ['-sS', '--cacert', gateway.caFile, '-d', 'why=boot', `${secure}/check-in/SN999`]);
    const values = parseLines(stranger.stdout);
    assert.deepEqual([values.get('waiting'), values.get('poll')], ['1', '600']);
  });

  await t.test('no action is known', async () => {
    const answer = await curl('-d', 'state=installed', `${secure}/action/SN1/42`);
    assert.deepEqual([answer.status, answer.values.get('error')], [410, 'gone']);
  });

  await t.test('a body is stored once for its key, also after the gateway was killed', async () => {
    const send = (key: string, body: string) => curl('--data-binary', body, '-H', `Idempotency-Key: ${key}`, `${secure}/in/SN1/app`);
    assert.deepEqual([(await send('k1', 'one')).values.get('stored'), (await send('k1', 'one')).values.get('repeat')], ['1', '1']);
    gateway.process.kill('SIGKILL');
    await gateway.process.ended;
    await gateway.restart();
    assert.equal((await send('"k1"', 'one')).values.get('repeat'), '1');
    assert.deepEqual([(await send('k1', 'two')).status, (await send('k2', 'two\n')).values.get('at')], [422, '4']);
    const byBody = () => curl('--data-binary', 'three\n', `${secure}/in/SN1/app?key=body`);
    assert.deepEqual([(await byBody()).values.get('at'), (await byBody()).values.get('repeat')], ['8', '1']);
  });
});
