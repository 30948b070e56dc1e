// curl as programs use it: every way it has of sending a body, over plain HTTP and over TLS, with a token and without.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findPeers, startEcho, type Echoed } from '#kit/peers.ts';
import { hashOf, openProcesses, randomFile, startServe } from '#kit/processes.ts';

const peers = findPeers(['curl']);

test('curl through a device\'s host', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses();
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
