// How servers hear of devices, through a real gateway: the published key, snippets, proofs, over the API and the command line.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import type { CommandIo } from '#bin/io.ts';
import { dispatch } from '#bin/postern.ts';
import { finishesCleanly, request, root, startGateway, startTcp, temporaryFolder, until, type TestGateway } from '../kit/gateway.ts';

/** As the papers show it to people who write servers. */
const { verifyIdentity } = (await import(join(root, 'examples', 'verify-identity', 'verify.mjs'))) as { verifyIdentity(header: string, known: { keys: unknown; issuer: string; route: string }): Record<string, unknown> };

interface Seen {
  readonly url: string;
  readonly from: string;
  readonly headers: IncomingHttpHeaders;
}

/** An application that believes X-Forwarded-For from everybody, says what it saw, and remembers it. */
async function startApplication(believes: boolean): Promise<{ port: number; seen: Seen[]; server: Server }> {
  const seen: Seen[] = [];
  const server = createServer((asked, answer) => {
    const from = asked.socket.remoteAddress ?? '';
    seen.push({ url: asked.url ?? '', from, headers: asked.headers });
    const said = believes ? String(asked.headers['x-forwarded-for']) : from;
    answer.writeHead(200, asked.url?.startsWith('/silent') ? {} : { 'X-Postern-Seen': said }).end('hello');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { port: (server.address() as AddressInfo).port, seen, server };
}

suite('telling servers of devices', { timeout: 60_000 }, () => {
  const folder = temporaryFolder();
  let good: Awaited<ReturnType<typeof startApplication>>;
  let deaf: Awaited<ReturnType<typeof startApplication>>;
  let port: Awaited<ReturnType<typeof startTcp>>;
  let gateway: TestGateway;

  before(async () => {
    good = await startApplication(true);
    deaf = await startApplication(false);
    port = await startTcp((socket) => socket.resume());
    const at = (app: { port: number }) => ({ kind: 'tcp', host: '127.0.0.1', port: app.port });
    gateway = await startGateway({
      config: { addressPool: { networks: ['127.72.0.0/24'] }, trustedProxies: [{ from: '127.0.0.9/32' }], listeners: [{ name: 'lines', tls: false, protocols: ['ssh'] }] },
      routes: [
        { name: 'scan', host: 'scan.example.test', listeners: ['http'], target: at(good), application: { tell: 'headers', assigned: false } },
        { name: 'signed', host: 'signed.example.test', target: at(good), application: { tell: 'headers', signed: 'scan-key' } },
        { name: 'deaf', host: '*.deaf.example.test', target: at(deaf), application: { tell: 'headers' } },
        { name: 'virtual', host: 'virtual.example.test', target: at(deaf), application: { tell: 'virtual' } },
        { name: 'lines', protocol: 'ssh', listeners: ['lines'], target: at(port), application: { tell: 'proxy-v1' } },
        { name: 'plain', host: 'plain.example.test', target: at(good) },
      ],
    });
    await gateway.addDevice({ name: 'Copier', host: '192.0.2.50', ports: [{ number: 80, kind: 'http' }] });
    const { token } = await gateway.owner();
    const named = await gateway.api('PATCH', '/devices/copier', { token, body: { serial: 'SN150' } });
    assert.equal(named.status, 200, named.text);
  });
  after(async () => {
    await gateway?.close();
    good?.server.close();
    deaf?.server.close();
    await port?.[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const text = { out: '', err: '' };
    const stream = (which: 'out' | 'err') => new PassThrough().on('data', (piece: Buffer) => void (text[which] += piece.toString()));
    const io: CommandIo = { stdin: new PassThrough().end(), stdout: stream('out'), stderr: stream('err'), env: { HOME: folder.path }, signal: new AbortController().signal, isTerminal: false, columns: 200 };
    const code = await dispatch([...args, '--data', gateway.dataDir], io);
    await new Promise((next) => setImmediate(next));
    return { code, ...text };
  }

  test('equal: what was told is what was seen, and the statement can be checked with the published key', async () => {
    const ran = await run('prove', 'scan', 'copier');
    assert.equal(ran.code, 0, ran.err + ran.out);
    assert.match(ran.out, /^=> equal: the server saw 192\.0\.2\.50/m);
    const { headers, url } = good.seen.at(-1)!;
    assert.match(url, /^\/\.postern-prove\?postern-prove=[\w-]{16}$/);
    assert.equal(headers['x-postern-prove'], /=([\w-]+)$/.exec(url)![1]);
    assert.equal(headers.host, 'scan.example.test');
    assert.equal(headers['x-real-ip'], '192.0.2.50');
    const published = await request(gateway.ports.http, { path: '/.well-known/postern-identity.json', headers: { host: `localhost:${gateway.ports.http}` } });
    assert.equal(published.status, 200);
    const statement = String(headers['x-postern-identity']);
    const claims = verifyIdentity(statement, { keys: JSON.parse(published.body.toString()), issuer: `http://localhost:${gateway.ports.http}`, route: 'scan' });
    assert.equal(claims['serial'], 'SN150');
    assert.equal(claims['address'], '192.0.2.50');
    assert.equal(claims['state'], 'unknown', 'nobody showed to be this device');
    assert.match(ran.out, /claims \{.*"serial":"SN150"/);
    assert.ok(!ran.out.includes(statement), 'the statement itself is not shown');
  });

  test('different, untold, refused; what would stop the device itself', async () => {
    const different = await run('prove', 'deaf', 'copier', '--json');
    assert.equal(different.code, 1, different.err);
    const proof = JSON.parse(different.out) as { verdict: string; cause: string; seen: string; sent: { local: string }; remarks: string[] };
    assert.deepEqual([proof.verdict, proof.cause, proof.seen], ['different', 'HP-3', '127.0.0.1']);
    assert.match(proof.remarks[0]!, /no job source of deaf/);
    assert.equal(deaf.seen.at(-1)!.headers.host, 'prove.deaf.example.test');
    const untold = await run('prove', 'scan', 'copier', '--path', '/silent?a=1');
    assert.equal(untold.code, 1);
    assert.match(untold.out, /=> untold: .*\n {3}look for [\w-]{16} in its log.*GET \/silent\?a=1&postern-prove=/);
    for (const [args, said] of [[['plain', 'copier'], /no application/], [['nothing', 'copier'], /no route/], [['scan', 'nobody'], /no device/], [['scan', 'copier', '--path', 'x y'], /path/]] as const) {
      const ran = await run('prove', ...args);
      assert.equal(ran.code, 1);
      assert.match(ran.err, said);
    }
  });

  test('virtual: the connection itself comes from the device\'s address', async () => {
    const ran = await run('prove', 'virtual', 'copier');
    assert.equal(ran.code, 0, ran.err + ran.out);
    assert.match(deaf.seen.at(-1)!.from, /^127\.72\.0\./);
    assert.equal(deaf.seen.at(-1)!.headers['x-postern-identity'], undefined, 'as in requests of the device, a statement is there where headers tell');
  });

  test('a port of another protocol takes the connection', async () => {
    const ran = await run('prove', 'lines', 'copier');
    assert.equal(ran.code, 0, ran.err + ran.out);
    assert.match(ran.out, /PROXY version 1: 192\.0\.2\.50:0 to 127\.0\.0\.1:\d+\n=> taken/);
  });

  test('a shared secret signs as soon as it is set', async () => {
    await run('prove', 'signed', 'copier');
    assert.equal(good.seen.at(-1)!.headers['x-postern-identity'], undefined, 'without its secret nothing is signed');
    const { token } = await gateway.owner();
    const listed = await gateway.api('GET', '/secrets', { token });
    assert.match(listed.text, /the secret scan-key that route signed names is not set/);
    assert.equal((await gateway.api('PUT', '/secrets/scan-key', { token, body: { value: '0123456789abcdef0123456789abcdef' } })).status, 200);
    const statement = await until('a signed statement', async () => {
      await run('prove', 'signed', 'copier');
      return good.seen.at(-1)!.headers['x-postern-identity'] as string | undefined;
    });
    const [head, claims, signature] = statement.split('.');
    assert.equal(createHmac('sha256', '0123456789abcdef0123456789abcdef').update(`${head}.${claims}`).digest('base64url'), signature);
  });

  test('snippets', async () => {
    const nginx = await run('snippet', 'scan', 'nginx');
    assert.equal(nginx.code, 0, nginx.err);
    assert.match(nginx.out, /^set_real_ip_from 127\.0\.0\.1;$/m);
    assert.match((await run('snippet', 'scan', 'iis', '--gateway', '192.0.2.1,192.0.2.2')).out, /\^\(\?:192\\\.0\\\.2\\\.1\|192\\\.0\\\.2\\\.2\)\$/);
    assert.match((await run('snippet', 'lines', 'haproxy')).out, /expect-proxy layer4 if \{ src 127\.0\.0\.1 \}/);
    assert.match((await run('snippet', 'lines', 'tomcat')).err, /does not read PROXY/);
    assert.equal((await run('snippet', 'scan', 'lighttpd')).code, 2);
    assert.match((await run('snippet', 'scan', 'nginx', '--gateway', 'evil; }')).err, /not an address/);
    assert.match((await run('snippet', 'virtual', 'nginx')).out, /no route is needed/);
  });

  test('behind a trusted proxy the list is walked from the right, and the server is told one address', async () => {
    const through = (localAddress: string, forwardedFor: string) =>
      new Promise<number>((done, failed) => {
        const sent = httpRequest({ host: '127.0.0.1', port: gateway.ports.http, localAddress, path: '/through', headers: { host: 'scan.example.test', 'x-forwarded-for': forwardedFor, 'x-real-ip': '203.0.113.66' }, agent: false }, (answer) => {
          answer.resume().on('end', () => done(answer.statusCode!));
        });
        sent.on('error', failed).end();
      });
    assert.equal(await through('127.0.0.9', '203.0.113.66, 192.0.2.50'), 200);
    const { headers, url } = good.seen.at(-1)!;
    assert.equal(url, '/through');
    assert.equal(headers['x-forwarded-for'], '192.0.2.50');
    assert.equal(headers['x-real-ip'], '192.0.2.50');
    assert.match(String(headers['forwarded']), /^for=192\.0\.2\.50;.*, for=127\.0\.0\.9$/);
    const before = good.seen.length;
    // Further to the left, or from somebody who is no trusted proxy, the same address is worth nothing.
    assert.equal(await through('127.0.0.9', '192.0.2.50, 203.0.113.66'), 403);
    assert.equal(await through('127.0.0.8', '192.0.2.50'), 403);
    assert.equal(good.seen.length, before);
  });

  test('only administrators of the gateway may', async () => {
    const refused = await gateway.api('POST', '/routes/scan/prove', { body: { deviceId: 'copier' } });
    assert.equal(refused.status, 401);
  });

  test('nothing is left behind', () => finishesCleanly(gateway));
});
