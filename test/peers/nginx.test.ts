// nginx as a device behind an agent, over http and https, and as the plain server behind a route.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AuditLineView, DeviceView } from '#api/shapes.ts';
import { exchangeRaw, root, until } from '#kit/gateway.ts';
import { findPeers, startEcho } from '#kit/peers.ts';
import { freePort, hashOf, openProcesses, postern, randomFile, startServe, type Page, type Processes, type Started } from '#kit/processes.ts';
import { encodeFrame, Opcode } from '#wire/websocket.ts';

const peers = findPeers(['nginx', 'curl', 'openssl']);

interface Nginx {
  readonly port: number;
  readonly tlsPort: number;
  readonly bigHash: string;
  /** Starts it, after `stop` anew. */
  start(): Promise<Started>;
  /** A new self-signed certificate; counts from the next start. Resolves its SHA-256. */
  makeCertificate(): Promise<string>;
}

const bigBytes = 50_000_000;

/** With a configuration, a site and temporary folders of its own; the user who runs the tests is its worker. */
async function prepareNginx(processes: Processes, echoPort: number, samplePort: number): Promise<Nginx> {
  const folder = join(processes.folder, 'nginx');
  const site = join(folder, 'site');
  mkdirSync(join(folder, 'temp'), { recursive: true });
  mkdirSync(site);
  const [port, tlsPort] = [await freePort(), await freePort()];
  const bigHash = await randomFile(join(site, 'big.bin'), bigBytes);
  writeFileSync(join(site, 'index.html'), '<!doctype html><title>Printer</title><p>Ready\n');
  writeFileSync(join(site, 'log.txt'), 'the same line again and again\n'.repeat(2_000));
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${join(folder, 'temp', name)};`).join('\n');
  const config = join(folder, 'nginx.conf');
  writeFileSync(
    config,
    `daemon off;
${process.getuid?.() === 0 ? 'user root;\n' : ''}worker_processes 1;
pid ${join(folder, 'pid')};
error_log stderr warn;
events { worker_connections 256; }
http {
${temp}
  access_log off;
  types { text/html html; text/plain txt; application/octet-stream bin; }
  gzip on; gzip_min_length 100; gzip_types text/plain;
  client_max_body_size 0;
  keepalive_timeout 60s;
  server {
    listen 127.0.0.1:${port};
    listen 127.0.0.1:${tlsPort} ssl;
    ssl_certificate ${join(folder, 'cert.pem')};
    ssl_certificate_key ${join(folder, 'key.pem')};
    root ${site};
    location /echo/ { proxy_pass http://127.0.0.1:${echoPort}; proxy_http_version 1.1; proxy_set_header X-Seen-Host $http_host; }
    location /device/ {
      proxy_pass http://127.0.0.1:${samplePort}/; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;
    }
    location /conn { return 200 "$connection $connection_requests\\n"; }
    location /old { return 302 http://$http_host/index.html; }
    location /slash-missing { return 301 /log.txt; }
  }
}
`,
  );
  return {
    port, tlsPort, bigHash,
    async start() {
      const nginx = processes.start(peers.path('nginx'), ['-p', folder, '-c', config, '-e', 'stderr']);
      await until('nginx to listen', async () => (await processes.run(peers.path('curl'), ['-sS', '-o', '/dev/null', `http://127.0.0.1:${port}/`])).code === 0);
      return nginx;
    },
    async makeCertificate() {
      const paths = { key: join(folder, 'key.pem'), cert: join(folder, 'cert.pem') };
      const made = await processes.run(peers.path('openssl'), ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=printer', '-keyout', paths.key, '-out', paths.cert]);
      assert.equal(made.code, 0, made.stderr);
      const told = await processes.run(peers.path('openssl'), ['x509', '-in', paths.cert, '-noout', '-fingerprint', '-sha256']);
      return told.stdout.trim().split('=')[1]!.replaceAll(':', '').toLowerCase();
    },
  };
}

test('nginx as a device and as a server behind a route', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using echo = await startEcho();
  const gateway = await startServe(processes);
  const sample = processes.start(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'examples', 'sample-device', 'device.ts'), '--port', '0'], { cwd: root });
  const samplePort = Number((await sample.says(/http:\/\/127\.0\.0\.1:(\d+)/))[1]);
  const nginx = await prepareNginx(processes, echo.port, samplePort);
  const firstPrint = await nginx.makeCertificate();
  let running = await nginx.start();
  const device = await gateway.addDevice({ name: 'press', ports: [{ number: nginx.port, kind: 'http', name: 'web' }, { number: nginx.tlsPort, kind: 'https', name: 'secure' }] });
  const base = `http://${device.host}`;
  const curl = (args: readonly string[], input?: string) =>
    processes.run(peers.path('curl'), ['-sS', '--max-time', '60', '--resolve', `*:${gateway.httpPort}:127.0.0.1`, '-H', `Postern-Token: ${gateway.token}`, ...args], input === undefined ? {} : { input });

  await t.test('its page', async () => {
    const got = await curl(['-i', `${base}/`]);
    assert.match(got.stdout, /^HTTP\/1\.1 200 OK\r\n/, got.stderr);
    assert.match(got.stdout, /<p>Ready\n$/);
  });

  await t.test('a download of 50 MB, the same bytes', async () => {
    const path = join(processes.folder, 'down.bin');
    const got = await curl(['-o', path, '-w', '%{http_code} %{size_download}', `${base}/big.bin`]);
    assert.equal(got.stdout, `200 ${bigBytes}`, got.stderr);
    assert.equal(await hashOf(path), nginx.bigHash);
  });

  await t.test('ranges, If-Range and what cannot be satisfied', async () => {
    const part = await curl(['-i', '--range', '100-199', '-o', join(processes.folder, 'part'), '-w', '%{http_code} %{size_download}', `${base}/big.bin`]);
    assert.match(part.stdout, /^206 /, part.stderr);
    const whole = await curl(['--range', `${bigBytes}-`, '-o', '/dev/null', '-w', '%{http_code}', `${base}/big.bin`]);
    assert.equal(whole.stdout, '416');
    // Interrupted and continued, as a browser's download does it.
    const resumed = join(processes.folder, 'resumed.bin');
    await curl(['--range', `0-${bigBytes / 2 - 1}`, '-o', resumed, `${base}/big.bin`]);
    const rest = await curl(['-C', '-', '-o', resumed, `${base}/big.bin`]);
    assert.equal(rest.code, 0, rest.stderr);
    assert.equal(await hashOf(resumed), nginx.bigHash);
  });

  await t.test('304 for what the client has', async () => {
    const head = await curl(['-I', `${base}/log.txt`]);
    const etag = /^etag: (.*)\r$/im.exec(head.stdout)?.[1];
    const since = /^last-modified: (.*)\r$/im.exec(head.stdout)?.[1];
    assert.ok(etag && since, head.stdout);
    for (const condition of [`If-None-Match: ${etag}`, `If-Modified-Since: ${since}`]) {
      const got = await curl(['-H', condition, '-o', '/dev/null', '-w', '%{http_code} %{size_download}', `${base}/log.txt`]);
      assert.equal(got.stdout, '304 0', condition);
    }
  });

  await t.test('gzip passes as it is', async () => {
    const got = await curl(['-H', 'Accept-Encoding: gzip', '-D', '-', '-o', join(processes.folder, 'log.gz'), `${base}/log.txt`]);
    assert.match(got.stdout, /content-encoding: gzip/i);
    const plain = await processes.run('gzip', ['-dc', join(processes.folder, 'log.gz')]);
    assert.equal(plain.stdout, 'the same line again and again\n'.repeat(2_000));
  });

  await t.test('uploads through nginx to what stands behind it', async () => {
    const path = join(processes.folder, 'up.bin');
    const hash = await randomFile(path, 20_000_000);
    const got = await curl(['--data-binary', `@${path}`, '-H', 'Content-Type: application/octet-stream', `${base}/echo/form?x=1`]);
    const echoed = JSON.parse(got.stdout) as (typeof echo.seen)[number];
    assert.equal(echoed.bodyHash, hash, got.stderr);
    assert.equal(echoed.method, 'POST');
    assert.equal(echoed.url, '/echo/form?x=1');
    assert.equal(echoed.headers['postern-token'], undefined, 'our token never reaches a device');
    assert.equal(echoed.headers['x-seen-host'], `127.0.0.1:${nginx.port}`, 'the device sees its own address');
  });

  await t.test('addresses that the device makes from its own lead back to the public name', async () => {
    const made = await curl(['-o', '/dev/null', '-w', '%{redirect_url}', `${base}/old`]);
    assert.equal(made.stdout, `${base}/index.html`);
    const relative = await curl(['-L', '-o', '/dev/null', '-w', '%{http_code} %{url_effective}', `${base}/slash-missing`]);
    assert.equal(relative.stdout, `200 ${base}/log.txt`);
  });

  await t.test('connections to the device are kept and used again', async () => {
    const counts: number[] = [];
    for (let i = 0; i < 3; i++) counts.push(Number((await curl([`${base}/conn`])).stdout.split(' ')[1]));
    assert.ok(counts[2]! > 1, `requests on nginx's connection: ${counts.join(', ')}`);
  });

  await t.test('live readings arrive as they are made, over http and over https', async () => {
    for (const host of [device.host, `${device.label}--${nginx.tlsPort}.localhost:${gateway.httpPort}`]) {
      const events = processes.start(peers.path('curl'), ['-sSN', '-H', `Postern-Token: ${gateway.token}`, `http://${host}/device/events`]);
      await events.says(/event: history[^]*event: reading[^]*event: reading/);
      await events.stop();
    }
  });

  await t.test('a WebSocket over the device\'s https', async () => {
    const text = 'through TLS and nginx';
    const host = `${device.label}--${nginx.tlsPort}.localhost:${gateway.httpPort}`;
    const got = await exchangeRaw(
      gateway.httpPort,
      [`GET /device/echo HTTP/1.1\r\nHost: ${host}\r\nPostern-Token: ${gateway.token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`, encodeFrame(Opcode.text, Buffer.from(text), 0)],
      { enough: (all) => all.includes(text) },
    );
    assert.match(got, /^HTTP\/1\.1 101 [^]*through TLS and nginx$/);
  });

  await t.test('https: the first certificate is accepted and remembered, another refused until a person accepts it', async () => {
    const secure = `http://${device.label}--${nginx.tlsPort}.localhost:${gateway.httpPort}/`;
    const first = await curl(['-w', '\n%{http_code}', secure]);
    assert.match(first.stdout, /Ready\n\n200$/, first.stdout);
    const kept = await until('the fingerprint to be kept', async () => (await device.view()).ports.find((port) => port.number === nginx.tlsPort)!.fingerprint);
    assert.equal(kept, firstPrint);
    const audit = await gateway.ask<Page<AuditLineView>>('GET', '/audit?what=device.certificate-accepted');
    assert.equal(audit.items[0]?.detail['after'], firstPrint);
    assert.equal(audit.items[0]?.detail['first'], true);

    await running.stop('SIGQUIT');
    const secondPrint = await nginx.makeCertificate();
    running = await nginx.start();
    const refused = await until('the old connection to be gone', async () => {
      const got = await curl(['-H', 'Accept: application/json', '-w', '\n%{http_code}', secure]);
      return got.stdout.endsWith('\n502') ? null : got;
    });
    assert.match(refused.stdout, /\n403$/, refused.stdout);
    assert.match(refused.stdout, new RegExp(`another certificate \\(${secondPrint.slice(0, 16)}`));
    const plain = await curl(['-o', '/dev/null', '-w', '%{http_code}', `${base}/`]);
    assert.equal(plain.stdout, '200', 'its other port goes on');

    const accepted = await gateway.ask<DeviceView>('PUT', `/devices/${device.id}/ports/${nginx.tlsPort}/fingerprint`, { fingerprint: secondPrint });
    assert.equal(accepted.ports.find((port) => port.number === nginx.tlsPort)!.fingerprint, secondPrint);
    const again = await curl(['-o', '/dev/null', '-w', '%{http_code}', secure]);
    assert.equal(again.stdout, '200');
  });

  await t.test('as a server behind a route that a file brought', async () => {
    const exported = await processes.run(postern, ['export'], { env: gateway.env });
    assert.equal(exported.code, 0, exported.stderr);
    const config = JSON.parse(exported.stdout) as { routes: unknown[] };
    config.routes = [{ name: 'site', listeners: ['http', 'https'], host: 'site.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: nginx.port } }];
    const file = join(processes.folder, 'config.json');
    writeFileSync(file, JSON.stringify(config));
    const applied = await processes.run(postern, ['apply', '-f', file], { env: gateway.env });
    assert.equal(applied.code, 0, applied.stderr);
    const site = `http://site.example.test:${gateway.httpPort}`;
    const got = await curl([`${site}/`, `${site}/conn`, `${site}/conn`]);
    assert.match(got.stdout, /<p>Ready\n\d+ \d+\n\d+ \d+\n$/, got.stderr);
    const path = join(processes.folder, 'route.bin');
    await curl(['-o', path, `${site}/big.bin`]);
    assert.equal(await hashOf(path), nginx.bigHash);
    const secure = await processes.run(peers.path('curl'), ['-sS', '--cacert', gateway.caFile, '--resolve', `site.example.test:${gateway.httpsPort}:127.0.0.1`, `https://site.example.test:${gateway.httpsPort}/`]);
    assert.match(secure.stdout, /Ready/, secure.stderr);
    const unknown = await curl(['-o', '/dev/null', '-w', '%{http_code}', `http://other.example.test:${gateway.httpPort}/`]);
    assert.equal(unknown.stdout, '421');
  });

  await t.test('gone and back: 502 says what to look at', async () => {
    await running.stop('SIGQUIT');
    const got = await curl(['-H', 'Accept: application/json', '-w', '\n%{http_code}', `${base}/`]);
    assert.match(got.stdout, /\n502$/);
    assert.match(got.stdout, /Check that the program on that port runs there/);
    running = await nginx.start();
    assert.equal((await curl(['-o', '/dev/null', '-w', '%{http_code}', `${base}/`])).stdout, '200');
  });
});
