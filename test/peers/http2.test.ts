// curl, nghttp and h2load over HTTP/2, with prior knowledge and over TLS, through a whole gateway to an origin that speaks HTTP/1.1.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { finishesCleanly, startGateway, startTcp, until } from '#kit/gateway.ts';
import { findPeers, startEcho, type Echoed } from '#kit/peers.ts';
import { openProcesses, randomFile } from '#kit/processes.ts';

const peers = findPeers(['curl', 'nghttp', 'h2load']);
const HOST = 'origin.example.test';

test('HTTP/2 clients', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using echo = await startEcho();
  await using half = await startTcp((socket) => {
    socket.on('end', () => socket.end());
    socket.once('data', (head: Buffer) => {
      socket.write(`HTTP/1.1 200 OK\r\n${head.includes('/length') ? 'Content-Length: 1000\r\n' : head.includes('/chunks') ? 'Transfer-Encoding: chunked\r\n' : ''}\r\n${head.includes('/chunks') ? '4\r\nhalf\r\n' : 'half'}`);
      setTimeout(() => socket.resetAndDestroy(), 50);
    });
  });
  const route = (name: string, host: string, target: unknown) => ({ name, host, path: '/', target, largeHeads: false, listeners: ['http', 'https'] });
  await using gateway = await startGateway({
    routes: [
      route('origin', HOST, { kind: 'tcp', host: '127.0.0.1', port: echo.port }),
      route('half', 'half.example.test', { kind: 'tcp', host: '127.0.0.1', port: half.port }),
      { ...route('moved', 'moved.example.test', { kind: 'redirect', to: '/there', status: 307 }), path: '/moved' },
      route('there', 'moved.example.test', { kind: 'tcp', host: '127.0.0.1', port: echo.port }),
    ],
  });
  const { http, https } = gateway.ports;
  const up = join(processes.folder, 'up.bin');
  const hash = await randomFile(up, 5_000_000);
  const run = (args: readonly string[], input?: string | Buffer) => processes.run(peers.path('curl'), ['-sS', '--max-time', '60', ...args], input === undefined ? {} : { input });

  const ways: readonly (readonly [string, (path: string, host?: string) => string[], string])[] = [
    ['with prior knowledge', (path, host = HOST) => ['--http2-prior-knowledge', '--connect-to', `::127.0.0.1:${http}`, `http://${host}${path}`], 'http'],
    // The name that the certificate is made for; the request names another.
    ['over TLS', (path, host = HOST) => ['--http2', '-k', '-H', `Host: ${host}`, '--resolve', `localhost:${https}:127.0.0.1`, `https://localhost:${https}${path}`], 'https'],
  ];
  for (const [way, at, proto] of ways) {
    const echoed = async (args: readonly string[], input?: string | Buffer): Promise<Echoed> => {
      const got = await run(args, input);
      assert.equal(got.code, 0, got.stderr);
      return JSON.parse(got.stdout) as Echoed;
    };

    await t.test(`curl ${way}: a request, a form, an upload, one of unknown length`, async () => {
      const got = await run(['-w', '\n%{http_version}', ...at('/a?b=c')]);
      assert.match(got.stdout, /\n2$/, got.stderr);
      const first = JSON.parse(got.stdout.split('\n', 1)[0]!) as Echoed;
      assert.deepEqual([first.method, first.url, first.headers['host'], first.headers['x-forwarded-proto']], ['GET', '/a?b=c', HOST, proto]);
      assert.equal((await echoed(['-d', 'a=1', ...at('/form')])).bodyBytes, 3);
      const put = await echoed(['-T', up, ...at('/put')]);
      assert.deepEqual([put.bodyBytes, put.bodyHash, put.headers['content-length']], [5_000_000, hash, '5000000']);
      const unknown = await echoed(['-T', '-', ...at('/unknown')], Buffer.alloc(300_001, 'x'));
      assert.deepEqual([unknown.bodyBytes, unknown.headers['transfer-encoding']], [300_001, 'chunked']);
    });

    await t.test(`curl ${way}: large answers, HEAD, a trailer, many at a time`, async () => {
      const large = await run(['-w', '%{size_download}', '-o', '/dev/null', ...at('/bytes/20000000')]);
      assert.equal(large.stdout, '20000000', large.stderr);
      assert.match((await run(['-I', ...at('/bytes/7')])).stdout, /^HTTP\/2 200[^]*\r\ncontent-length: 7\r\n/);
      const trailer = await run(['-i', ...at('/chunked')]);
      assert.match(trailer.stdout, /part 0\npart 1\npart 2\npart 3\npart 4\nrepr-digest: sha-256=:dGVzdA==:\r\n/, trailer.stderr);
      // curl 7.88 cannot share a connection that it has begun with prior knowledge, whoever answers.
      if (proto === 'http') return;
      const [options, address] = [at('').slice(0, -1), at('').at(-1)!];
      const many = await run(['-Z', '--parallel-max', '20', '-w', '%{http_version} %{http_code} %{size_download} %{num_connects}\n', ...options, ...Array.from({ length: 40 }, (_, i) => ['-o', '/dev/null', `${address}/bytes/${100_000 + i}`]).flat()]);
      const lines = many.stdout.trim().split('\n').sort();
      assert.deepEqual(lines.map((line) => line.split(' ').slice(0, 3).join(' ')), Array.from({ length: 40 }, (_, i) => `2 200 ${100_000 + i}`).sort());
      assert.ok(lines.filter((line) => line.endsWith(' 1')).length <= 3, `they shared connections: ${lines.join('; ')}`);
    });

    await t.test(`curl ${way}: an answer before the upload, a half answer`, async () => {
      const early = await run(['-w', '%{http_code}', '-o', '/dev/null', '-T', up, ...at('/early', 'nobody.example.test')]);
      assert.deepEqual([early.stdout, early.code], ['421', 0], early.stderr);
      for (const path of ['/length', '/chunks', '/until-close']) {
        const got = await run(at(path, 'half.example.test'));
        assert.notEqual(got.code, 0, `${path} was taken for whole`);
      }
    });
  }

  await t.test('curl is sent elsewhere with its upload, of known length and of none', async () => {
    const [, at] = ways[1]!;
    const medium = join(processes.folder, 'medium.bin');
    const mediumHash = await randomFile(medium, 900_000);
    for (const args of [['--data-binary', `@${medium}`], ['-X', 'POST', '-H', 'Content-Length:', '--data-binary', `@${medium}`]]) {
      const got = await run(['-L', ...args, '-w', '\n%{http_version} %{num_redirects}', ...at('/moved', 'moved.example.test')]);
      const [echoed, written] = got.stdout.split('\n');
      assert.equal(written, '2 1', got.stderr);
      const seen = JSON.parse(echoed!) as Echoed;
      assert.deepEqual([seen.url, seen.bodyBytes, seen.bodyHash], ['/there', 900_000, mediumHash]);
    }
  });

  await t.test('curl goes back to HTTP/1.1 for what takes a whole connection', async () => {
    const got = await run(['-k', '--http2', '-w', '%{http_version} %{http_code}', '-o', '/dev/null', '--resolve', `localhost:${https}:127.0.0.1`, `https://localhost:${https}/stream`]);
    assert.match(got.stdout, /^1\.1 4/, got.stderr);
  });

  await t.test('nghttp: uploads with trailers, several at a time', async () => {
    const small = join(processes.folder, 'small.txt');
    writeFileSync(small, 'a small file');
    const upload = await processes.run(peers.path('nghttp'), ['-v', '-H', `:authority: ${HOST}`, '-H', ':method: PUT', '-d', small, '--no-content-length', '--trailer', 'repr-digest: x', `http://127.0.0.1:${http}/up`]);
    assert.equal(upload.code, 0, upload.stderr);
    const seen = echo.seen.at(-1)!;
    assert.deepEqual([seen.url, seen.bodyBytes, seen.headers['transfer-encoding']], ['/up', 12, 'chunked']);
    const several = await processes.run(peers.path('nghttp'), ['-ns', '-m', '50', '-H', `:authority: ${HOST}`, `http://127.0.0.1:${http}/bytes/50000`]);
    assert.equal(several.code, 0, several.stderr);
    assert.equal([...several.stdout.matchAll(/ 200 +4[89]K /g)].length, 50, several.stdout);
    const trailer = await processes.run(peers.path('nghttp'), ['-nv', '-H', `:authority: ${HOST}`, `http://127.0.0.1:${http}/chunked`]);
    assert.match(trailer.stdout, /recv \(stream_id=\d+\) repr-digest: sha-256=:dGVzdA==:/);
  });

  await t.test('h2load: thousands of requests, none of them lost', async () => {
    for (const address of [`http://127.0.0.1:${http}/bytes/1000`, `https://127.0.0.1:${https}/bytes/1000`]) {
      const load = await processes.run(peers.path('h2load'), ['-n', '4000', '-c', '8', '-m', '100', '-H', `:authority: ${HOST}`, address]);
      assert.match(load.stdout, /4000 total, 4000 started, 4000 done, 4000 succeeded, 0 failed, 0 errored, 0 timeout/, load.stdout + load.stderr);
    }
    const uploads = await processes.run(peers.path('h2load'), ['-n', '40', '-c', '4', '-m', '10', '-d', up, '-H', `:authority: ${HOST}`, `http://127.0.0.1:${http}/up`], { timeoutMs: 120_000 });
    assert.match(uploads.stdout, /40 succeeded, 0 failed/, uploads.stdout);
    assert.ok(echo.seen.slice(-40).every((each) => each.bodyHash === hash));
  });
  await until('the origin to be let go', () => finishesCleanly(gateway).then(() => true));
});
