// curl as programs use it: every way it has of sending a body, over plain HTTP and over TLS, with a token and without.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { StatusView } from '#api/shapes.ts';
import { until } from '#kit/gateway.ts';
import { findPeers, startEcho, type Echoed } from '#kit/peers.ts';
import { hashOf, openProcesses, postern, randomFile, startServe } from '#kit/processes.ts';

const peers = findPeers(['curl']);

test('curl through a device\'s host', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using echo = await startEcho();
  const gateway = await startServe(processes);
  const device = await gateway.addDevice({ name: 'counter', ports: [{ number: echo.port, kind: 'http' }] });
  const base = `http://${device.host}`;
  const run = (args: readonly string[], input?: string | Buffer) => processes.run(peers.path('curl'), ['-sS', '--max-time', '60', ...args], input === undefined ? {} : { input });
  const auth = ['-H', `Postern-Token: ${gateway.token}`];
  const curl = (args: readonly string[], input?: string | Buffer) => run([...auth, ...args], input);
  const echoed = async (args: readonly string[], input?: string | Buffer): Promise<Echoed> => {
    const got = await curl(args, input);
    assert.equal(got.code, 0, got.stderr);
    return JSON.parse(got.stdout) as Echoed;
  };

  await t.test('HTTP/1.0 is answered without chunks and closed', async () => {
    const got = await curl(['--http1.0', '-i', '--raw', `${base}/chunked`]);
    assert.equal(got.code, 0, got.stderr);
    const [head = '', body = ''] = got.stdout.split('\r\n\r\n', 2);
    assert.match(head, /^HTTP\/1\.[01] 200 OK/);
    assert.doesNotMatch(head, /transfer-encoding/i);
    assert.equal(body, 'part 0\npart 1\npart 2\npart 3\npart 4\n');
    assert.equal((await echoed(['--http1.0', '-d', 'a=1', `${base}/ten`])).bodyBytes, 3);
  });

  await t.test('HTTP/1.1 with chunks and a trailer', async () => {
    const got = await curl(['--http1.1', '-i', '--raw', `${base}/chunked`]);
    assert.match(got.stdout, /\r\ntransfer-encoding: chunked\r\n/i, got.stderr);
    assert.match(got.stdout, /\r\n0\r\nrepr-digest: sha-256=:dGVzdA==:\r\n\r\n$/i);
  });

  await t.test('-T of 20 MB asks with Expect: 100-continue and is let', async () => {
    const path = join(processes.folder, 'up.bin');
    const hash = await randomFile(path, 20_000_000);
    const got = await curl(['-v', '--expect100-timeout', '30', '-H', 'Expect: 100-continue', '-T', path, `${base}/put/up.bin`]);
    assert.match(got.stderr, /< HTTP\/1\.1 100 Continue/);
    const answer = JSON.parse(got.stdout) as Echoed;
    assert.deepEqual([answer.method, answer.bodyBytes, answer.bodyHash], ['PUT', 20_000_000, hash]);
  });

  await t.test('a refused upload with Expect is refused before its body', async () => {
    const path = join(processes.folder, 'up.bin');
    const got = await run(['-v', '--expect100-timeout', '30', '-H', 'Expect: 100-continue', '-H', 'Postern-Token: postern_wrong_one', '-T', path, '-w', '%{http_code} %{size_upload}', '-o', '/dev/null', `${base}/put/up.bin`]);
    assert.equal(got.stdout, '401 0', got.stderr);
  });

  await t.test('a chunked upload from standard input', async () => {
    const body = Buffer.alloc(3_000_001, 'chunk ');
    const answer = await echoed(['-H', 'Transfer-Encoding: chunked', '-T', '-', `${base}/chunked-up`], body);
    assert.equal(answer.bodyBytes, body.length);
  });

  await t.test('a form with files', async () => {
    const path = join(processes.folder, 'small.txt');
    writeFileSync(path, 'a file');
    const answer = await echoed(['-F', 'name=value', '-F', `file=@${path}`, `${base}/form`]);
    assert.match(answer.headers['content-type']!, /^multipart\/form-data; boundary=/);
    assert.ok(answer.bodyBytes > 200);
  });

  await t.test('HEAD, --range, --compressed', async () => {
    const head = await curl(['-I', `${base}/bytes/12345`]);
    assert.match(head.stdout, /\r\ncontent-length: 12345\r\n/i, head.stderr);
    assert.equal((await echoed(['--range', '5-9', `${base}/range`])).headers['range'], 'bytes=5-9');
    const text = await curl(['--compressed', `${base}/text`]);
    assert.equal(text.stdout, 'the same line again and again\n'.repeat(1_000));
  });

  await t.test('several addresses over one connection', async () => {
    const paths = ['/a', '/b', '/bytes/100000', '/c'];
    const got = await curl(['-w', '%{http_code} %{num_connects}\n', '-o', '/dev/null', ...paths.flatMap((path, i) => [...(i > 0 ? ['-o', '/dev/null'] : []), `${base}${path}`])]);
    assert.deepEqual(got.stdout.trim().split('\n'), ['200 1', '200 0', '200 0', '200 0'], got.stderr);
    const both = await curl([`${base}/one`, `${base}/two`]);
    const conns = both.stdout.split('}{').length;
    assert.equal(conns, 2);
  });

  await t.test('a reader that is slow holds nothing back but itself', async () => {
    const bytes = 300_000_000;
    const slow = processes.start(peers.path('curl'), ['-sS', ...auth, '--limit-rate', '2M', '-o', '/dev/null', `${base}/bytes/${bytes}`]);
    const heldMax = 32 * 1024 * 1024;
    for (let i = 0; i < 20; i++) {
      assert.equal((await echoed([`${base}/beside/${i}`])).url, `/beside/${i}`);
      const { memory } = await gateway.ask<StatusView>('GET', '/status');
      assert.ok(memory.heldBytes < heldMax, `${memory.heldBytes} bytes held`);
    }
    const { rssBytes } = (await gateway.ask<StatusView>('GET', '/status')).memory;
    assert.ok(rssBytes < 400 * 1024 * 1024, `the gateway's memory: ${rssBytes}`);
    await slow.stop();
    await until('the rest to be let go', async () => (await gateway.ask<StatusView>('GET', '/status')).memory.heldBytes === 0);
  });

  await t.test('what the device sees, and what it does not', async () => {
    const { headers } = await echoed(['-H', 'Authorization: Basic ZGV2aWNl', '-H', 'X-Forwarded-For: 203.0.113.9', '-H', 'Forwarded: for=203.0.113.9', '-H', 'Connection: x-private', '-H', 'X-Private: 1', '-H', 'Cookie: mine=1', `${base}/seen`]);
    assert.equal(headers['host'], `127.0.0.1:${echo.port}`);
    assert.equal(headers['authorization'], 'Basic ZGV2aWNl');
    assert.equal(headers['x-forwarded-for'], '127.0.0.1', 'a client cannot say where it comes from');
    assert.doesNotMatch(headers['forwarded'] ?? '', /203\.0\.113\.9/);
    assert.equal(headers['x-forwarded-host'], device.host);
    assert.equal(headers['postern-token'], undefined);
    assert.equal(headers['x-private'], undefined);
    assert.equal(headers['cookie'], 'mine=1');
  });

  await t.test('TLS to the gateway, trusted by the certificate from /ca', async () => {
    const caFile = join(processes.folder, 'ca.pem');
    const got = await run(['-o', caFile, '-w', '%{http_code}', `http://localhost:${gateway.httpPort}/ca`]);
    assert.equal(got.stdout, '200', got.stderr);
    const name = `${device.label}.localhost`;
    const resolve = ['--resolve', `${name}:${gateway.httpsPort}:127.0.0.1`];
    const answer = await echoed([...resolve, '--cacert', caFile, `https://${name}:${gateway.httpsPort}/over-tls`]);
    assert.equal(answer.url, '/over-tls');
    assert.equal(answer.headers['x-forwarded-proto'], 'https');
    const api = await run(['--cacert', caFile, '-o', '/dev/null', '-w', '%{http_code}', `https://localhost:${gateway.httpsPort}/api/v1/setup`]);
    assert.equal(api.stdout, '200', api.stderr);
    const distrust = await curl([...resolve, `https://${name}:${gateway.httpsPort}/`]);
    assert.equal(distrust.code, 60, 'without the CA curl refuses');
    const big = join(processes.folder, 'tls.bin');
    const path = join(processes.folder, 'up.bin');
    const up = await echoed([...resolve, '--cacert', caFile, '--data-binary', `@${path}`, `https://${name}:${gateway.httpsPort}/post`]);
    assert.equal(up.bodyHash, await hashOf(path));
    await curl([...resolve, '--cacert', caFile, '-o', big, `https://${name}:${gateway.httpsPort}/bytes/30000000`]);
    assert.equal(await hashOf(big), createHash('sha256').update(Buffer.alloc(30_000_000)).digest('hex'));
  });

  await t.test('refusals are JSON for programs, never a page to sign in', async () => {
    const before = echo.seen.length;
    const cases: [string[], number][] = [
      [[], 401],
      [['-H', 'Postern-Token: postern_wrong_one'], 401],
      [['-H', 'Postern-Token: '], 401],
    ];
    for (const [args, status] of cases) {
      const got = await run([...args, '-w', '\n%{http_code} %{content_type}', `${base}/secret`]);
      const [body = '', last] = got.stdout.split(/\n(?=\d{3} )/);
      assert.equal(last, `${status} application/problem+json`, got.stdout);
      const problem = JSON.parse(body) as { status: number; requestId: string; code: string };
      assert.equal(problem.status, status);
      assert.ok(problem.requestId && problem.code);
    }
    // A token that is good, but for another device.
    const other = await gateway.addDevice({ name: 'other', ports: [{ number: echo.port, kind: 'http' }] });
    const { secret } = await gateway.asPerson<{ secret: string }>('POST', '/tokens', { name: 'narrow', rights: [{ action: 'open', scopeKind: 'device', scopeId: other.id }] });
    const refused = await run(['-H', `Postern-Token: ${secret}`, '-w', '\n%{http_code} %{content_type}', `${base}/secret`]);
    assert.match(refused.stdout, /\n403 application\/problem\+json$/);
    await gateway.ask('POST', `/devices/${device.id}/lock`);
    const locked = await curl(['-w', '\n%{http_code} %{content_type}', `${base}/secret`]);
    assert.match(locked.stdout, /locked[^]*\n403 application\/problem\+json$/);
    await gateway.ask('POST', `/devices/${device.id}/unlock`);
    const mine = await run(['-H', `Postern-Token: ${secret}`, `http://${other.host}/mine`]);
    assert.equal((JSON.parse(mine.stdout) as Echoed).url, '/mine');
    assert.equal(echo.seen.length, before + 1, 'nothing of what was refused reached a device');
  });
});

test('curl on a gateway with a domain of its own, its devices under another', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using echo = await startEcho();
  const gateway = await startServe(processes, { args: ['--domain', 'gw.example.test', '--device-domain', 'devices.example.test'] });
  const device = await gateway.addDevice({ name: 'meter', ports: [{ number: echo.port, kind: 'http' }] });
  const { httpPort, httpsPort } = gateway;
  const curl = (args: readonly string[]) => processes.run(peers.path('curl'), ['-sS', '--max-time', '30', '--resolve', `*:${httpPort}:127.0.0.1`, '--resolve', `*:${httpsPort}:127.0.0.1`, ...args]);
  const caFile = join(processes.folder, 'ca.pem');

  await t.test('plain HTTP hands out the CA and sends everything else to HTTPS', async () => {
    const got = await curl(['-o', caFile, '-w', '%{http_code}', `http://gw.example.test:${httpPort}/ca`]);
    assert.equal(got.stdout, '200');
    // Over loopback, where tests may come from, plain HTTP is served; what others get is told by explain.
    for (const name of ['gw.example.test', 'meter.devices.example.test']) {
      const told = await processes.run(postern, ['explain', `http://${name}:${httpPort}/a/b?c=d`, '--from', '198.51.100.7'], { env: gateway.env });
      assert.match(told.stdout, /redirect[^]*308|308[^]*redirect/i, told.stdout + told.stderr);
    }
  });

  await t.test('over TLS every name has a certificate that the CA vouches for', async () => {
    const listed = await curl(['--cacert', caFile, '-H', `Authorization: Bearer ${gateway.token}`, `https://gw.example.test:${httpsPort}/api/v1/devices`]);
    assert.equal((JSON.parse(listed.stdout) as { items: { url: string }[] }).items[0]?.url, `https://meter.devices.example.test:${httpsPort}/`, listed.stderr);
    const got = await curl(['--cacert', caFile, '-H', `Postern-Token: ${gateway.token}`, `https://meter.devices.example.test:${httpsPort}/x`, `https://${device.label}--${echo.port}.devices.example.test:${httpsPort}/y`]);
    assert.equal(got.code, 0, got.stderr);
    assert.deepEqual(echo.seen.map(({ url }) => url), ['/x', '/y']);
    assert.equal(echo.seen[0]!.headers['x-forwarded-proto'], 'https');
  });

  await t.test('names that mean nothing here', async () => {
    for (const [name, status] of [['meter.gw.example.test', '421'], ['other.example.test', '421'], ['devices.example.test', '421']] as const) {
      const got = await curl(['-k', '-H', `Postern-Token: ${gateway.token}`, '-o', '/dev/null', '-w', '%{http_code}', `https://${name}:${httpsPort}/`]);
      assert.equal(got.stdout, status, name);
    }
    assert.equal(echo.seen.length, 2);
  });
});
