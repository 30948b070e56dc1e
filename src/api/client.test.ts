import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttp, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { after, suite, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { Fault, isFault } from '#base/fault.ts';
import { issueAgentCertificate, issueServerLeaf, makeCa } from '#model/certificate.ts';
import { makeKeyPair, privateKeyPemOf } from '#model/key-pair.ts';
import { encodeCertificateRequest } from '#wire/pkcs10.ts';
import { openClient, type ClientOptions } from './client.ts';
import { faultOfAnswer, problemOf, problemType } from './problem.ts';

const now = Date.now();
const yearMs = 365 * 86_400_000;

async function buildCa(name: string) {
  const keys = await makeKeyPair();
  const made = await makeCa({ name, keys, now: now - 3 * yearMs, random: randomBytes });
  return { ...made, ca: { certificatePem: made.pem, signingKey: keys.privateKey } };
}
type TestCa = Awaited<ReturnType<typeof buildCa>>;

async function buildLeaf({ ca, pem }: TestCa, name = 'gw.example.test', from = now): Promise<{ key: string; cert: string }> {
  const keys = await makeKeyPair();
  const leaf = await issueServerLeaf({ ca, names: { dns: [name], ip: [] }, publicKey: keys.publicKey, now: from, random: randomBytes });
  return { key: await privateKeyPemOf(keys), cert: `${leaf.pem}${pem}` };
}

async function buildAgentLeaf({ ca, pem }: TestCa): Promise<{ key: string; cert: string }> {
  const key = await privateKeyPemOf(await makeKeyPair());
  const leaf = await issueAgentCertificate({ ca, csrPem: encodeCertificateRequest(key, 'x'), agentId: '019a2b3c-4d5e-7f60-8123-456789abcdef', now, random: randomBytes });
  return { key, cert: `${leaf.pem}${pem}` };
}

const [ca, otherCa] = [await buildCa('Postern test CA'), await buildCa('another CA')];
const servers: { server: Server; end(): void }[] = [];
after(() => servers.forEach(({ end }) => end()));

async function listen(listener: RequestListener, tls?: { key: string; cert: string }): Promise<{ port: number; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const onRequest: RequestListener = (request, response) => {
    seen.push(request);
    listener(request, response);
  };
  const server = tls ? createServer(tls, onRequest) : createHttp(onRequest);
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push({ server, end: () => (server.closeAllConnections(), server.close()) });
  return { port: (server.address() as AddressInfo).port, seen };
}

const fine: RequestListener = (_, response) => response.end('{"needed":true}');
const at = (port: number, more: Partial<ClientOptions> = {}): ClientOptions => ({ address: `https://gw.example.test:${port}`, dial: { host: '127.0.0.1', port }, token: 'postern_x_secret', ...more });

async function faultOf(run: Promise<unknown>): Promise<Fault> {
  const result = await run.then(() => undefined, (thrown: unknown) => thrown);
  assert.ok(isFault(result), String(result));
  return result;
}

suite('whom the client trusts', () => {
  test('the pinned CA, or the one given; the token goes along', async () => {
    const { port, seen } = await listen(fine, await buildLeaf(ca));
    for (const trust of [{ caFingerprint: ca.keyFingerprint }, { ca: ca.pem }]) {
      using client = openClient(at(port, trust));
      assert.deepEqual(await client.call('getSetup'), { needed: true });
      await client.call('getSetup');
    }
    assert.deepEqual(seen.map((request) => [request.headers.host, request.headers.authorization]), Array.from({ length: 4 }, () => [`gw.example.test:${port}`, 'Bearer postern_x_secret']));
    assert.equal(new Set(seen.map((request) => request.socket)).size, 2, 'connections are kept');
  });

  test('a gateway that was given a public certificate since', async () => {
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, otherCa.pem]);
    try {
      const { port } = await listen(fine, await buildLeaf(otherCa));
      for (const trust of [{ caFingerprint: ca.keyFingerprint }, { ca: ca.pem }]) {
        using client = openClient(at(port, trust));
        assert.deepEqual(await client.call('getSetup'), { needed: true });
      }
      const wrong = await listen(fine, await buildLeaf(otherCa, 'other.example.test'));
      using client = openClient(at(wrong.port, { ca: ca.pem }));
      assert.equal((await faultOf(client.call('getSetup'))).code, 'forbidden');
      assert.equal(wrong.seen.length, 0);
    } finally {
      setDefaultCACertificates(before);
    }
  });

  test('nobody else: not one byte of the token is sent', async () => {
    const pinned = { caFingerprint: ca.keyFingerprint };
    const stranger = await buildLeaf(otherCa);
    const cases: [string, { key: string; cert: string }, Partial<ClientOptions>, RegExp][] = [
      ['another CA', stranger, pinned, /does not come from the CA/],
      ['the pinned CA shown beside a leaf that it did not sign', { key: stranger.key, cert: stranger.cert.replace(otherCa.pem, ca.pem) }, pinned, /does not come from the CA/],
      ['an agent of the same CA', await buildAgentLeaf(ca), pinned, /not one of a server/],
      ['another name', await buildLeaf(ca, 'other.example.test'), pinned, /not for gw\.example\.test/],
      ['expired', await buildLeaf(ca, 'gw.example.test', now - 2 * yearMs), pinned, /not valid at this time/],
      ['the system does not know our CA', await buildLeaf(ca), {}, /not trusted/],
      ['another CA given', await buildLeaf(ca), { ca: otherCa.pem }, /not trusted/],
    ];
    for (const [name, tls, trust, why] of cases) {
      const server = await listen(fine, tls);
      using client = openClient(at(server.port, trust));
      const fault = await faultOf(client.call('getSetup'));
      assert.equal(fault.code, 'forbidden', `${name}: ${fault.message}`);
      assert.match(fault.message, why, name);
      assert.equal(server.seen.length, 0, name);
    }
  });
});

suite('what the client says of refusals', () => {
  test('a problem document becomes the Fault that it was', async () => {
    const given = new Fault('too-many', 'too many tries', { remedy: 'wait', detail: { retryAfterS: 7, problems: [{ path: 'a', message: 'b' }], hidden: 1 }, cause: new Fault('busy', 'behind it') });
    const { port } = await listen((_, response) => {
      const problem = problemOf(given, 'id-1');
      response.writeHead(problem.status, { 'content-type': problemType }).end(JSON.stringify(problem));
    });
    using client = openClient({ address: `http://127.0.0.1:${port}` });
    const fault = await faultOf(client.call('getMe'));
    assert.deepEqual([fault.code, fault.message, fault.remedy, fault.detail, (fault.cause as Error).message], ['too-many', 'too many tries', 'wait', { status: 429, requestId: 'id-1', retryAfterS: 7, problems: [{ path: 'a', message: 'b' }] }, 'behind it']);
  });

  test('answers of something else, silence, and nobody there', async () => {
    let how: RequestListener = (_, response) => response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>');
    const { port } = await listen((request, response) => how(request, response));
    using client = openClient({ address: `http://localhost:${port}/`, timeoutMs: 200 });
    assert.deepEqual([client.address, (await faultOf(client.call('getMe'))).code], [`http://localhost:${port}`, 'unreachable']);
    how = (_, response) => response.end('<h1>A printer</h1>');
    assert.equal((await faultOf(client.call('getMe'))).code, 'protocol');
    how = (request) => request.socket.destroy();
    assert.equal((await faultOf(client.call('getMe'))).code, 'unreachable');
    how = () => {};
    assert.equal((await faultOf(client.call('getMe'))).code, 'timeout');
    const gone = new AbortController();
    const waiting = faultOf(client.call('getMe', { signal: gone.signal }));
    gone.abort();
    assert.equal((await waiting).code, 'closed');
    using nobody = openClient({ address: 'http://127.0.0.1:1' });
    assert.match((await faultOf(nobody.call('getMe'))).message, /refused the connection/);
    assert.throws(() => openClient({ address: 'gw.example.test' }), (thrown) => isFault(thrown, 'bad-input'));
  });

  test('codes from outside are not believed blindly', () => {
    assert.equal(faultOfAnswer(418, '{"code":"toString","detail":7}').code, 'bad-input');
    assert.equal(faultOfAnswer(500, 'null').code, 'internal');
    assert.equal(faultOfAnswer(401, '[]').code, 'unauthenticated');
  });
});

test('events arrive whatever the cuts, until aborted or ended', async () => {
  const { port } = await listen((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const text = 'retry: 2000\n\nevent: hello\ndata: {"now":1,"version":"\u00e4"}\n\n: still here\n\nevent: bye\ndata: {"why":"x"}\n\n';
    let sent = Promise.resolve();
    for (const byte of Buffer.from(text)) sent = sent.then(() => new Promise((resolve) => response.write(Buffer.of(byte), () => resolve())));
    void sent.then(() => response.end());
  });
  using client = openClient({ address: `http://127.0.0.1:${port}` });
  const seen: unknown[] = [];
  await client.events((name, data) => seen.push([name, data]), new AbortController().signal);
  assert.deepEqual(seen, [['hello', { now: 1, version: 'ä' }], ['bye', { why: 'x' }]]);
  const gone = new AbortController();
  await client.events(() => gone.abort(), gone.signal);
});
