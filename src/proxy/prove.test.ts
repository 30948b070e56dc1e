// Proofs against servers that tell the truth, a lie, nothing, or hang up.
import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { buildAssertions, makeAssertionKey, readAssertionKey } from '#model/device-assertion.ts';
import { dialTcp } from '#net/dial.ts';
import { proveRoute, type ProofDeps, type ProofOrder } from './prove.ts';

const assertion = buildAssertions(() => 'https://gw.example.test').assertionFor(readAssertionKey(makeAssertionKey()), { route: 'scan', state: 'unknown', by: 'proof', device: { id: 'd1', name: 'Copier', serial: 'ABC' }, customer: null, site: null, address: '192.0.2.50', virtualAddress: null }, Date.UTC(2026, 10, 20));
const order: ProofOrder = { tell: 'headers', isHttp: true, host: 'scan.example.test', path: null, told: { client: '192.0.2.50', local: null }, other: null, assertion, reached: { address: '203.0.113.1', port: 443 }, nonce: 'abc123' };
const short = { ...limits, proofTimeoutMs: 300, proofQuietMs: 100 };
const depsFor = (port: number): ProofDeps => ({
  limits: short,
  async dial(by, header): Promise<Duplex> {
    const stream = await dialTcp({ kind: 'tcp', host: '127.0.0.1', port }, by);
    if (header) stream.write(header);
    return stream;
  },
});

async function startTcp(onSocket: (socket: Socket) => void): Promise<{ port: number; sockets: Set<Socket>; [Symbol.asyncDispose](): Promise<void> }> {
  const sockets = new Set<Socket>();
  const listening = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    onSocket(socket);
  });
  await new Promise<void>((done) => listening.listen(0, '127.0.0.1', () => done()));
  return {
    port: (listening.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => listening.close(done));
    },
  };
}

/** Answers the first bytes of each connection; `answer` gets them as text. */
const server = (answer: (asked: string, from: string) => string | null) =>
  startTcp((socket) => {
    let text = '';
    socket.on('data', (piece) => {
      text += piece.toString('latin1');
      if (!text.endsWith('\r\n\r\n')) return;
      const said = answer(text, socket.remoteAddress ?? '');
      if (said === null) socket.destroy();
      else socket.end(said, 'latin1');
    });
  });

test('a server that says what it was told', async () => {
  let asked = '';
  await using app = await server((text) => {
    asked = text;
    return `HTTP/1.1 404 Not Found\r\nX-Postern-Seen: ${/^X-Real-IP: (.*)\r$/m.exec(text)![1]}\r\nContent-Length: 4\r\n\r\nnope`;
  });
  const proof = await proveRoute(order, depsFor(app.port));
  assert.equal(proof.verdict, 'equal');
  assert.equal(proof.seen, '192.0.2.50');
  assert.equal(proof.answer?.status, 404);
  assert.equal(proof.answer?.body, 'nope');
  assert.match(asked, /^GET \/\.postern-prove\?postern-prove=abc123 HTTP\/1\.1\r\nHost: scan\.example\.test\r\n/);
  assert.match(asked, /\r\nX-Postern-Prove: abc123\r\n/);
  assert.ok(asked.includes(`\r\nX-Postern-Identity: ${assertion}\r\n`));
  // What is shown has all of it but the signature.
  assert.ok(!JSON.stringify(proof).includes(assertion.split('.')[2]!));
  assert.equal(proof.sent.claims?.['serial'], 'ABC');
  assert.ok(proof.sent.head.includes('X-Forwarded-For: 192.0.2.50'));
  assert.match(proof.sent.local ?? '', /^127\.0\.0\.1:\d+$/);
  assert.equal(proof.sent.remote, `127.0.0.1:${app.port}`);
  for (let i = 0; i < 100 && app.sockets.size > 0; i++) await new Promise((done) => setTimeout(done, 5));
  assert.equal(app.sockets.size, 0, 'the connection is closed');
});

test('what lets others in is not shown', async () => {
  await using app = await server((text) => `HTTP/1.1 200 OK\r\nSet-Cookie: session=s3cret\r\nX-Echo: ${/^X-Postern-Identity: (.*)\r$/m.exec(text)![1]}\r\n\r\n${text}`);
  const shown = JSON.stringify((await proveRoute(order, depsFor(app.port))).answer);
  assert.doesNotMatch(shown, /s3cret/);
  assert.ok(!shown.includes(assertion.split('.')[2]!), shown);
  assert.match(shown, /X-Postern-Prove: abc123/);
});

test('a server that sees the gateway alone', async () => {
  await using app = await server((_, from) => `HTTP/1.1 204 No Content\r\nX-Postern-Seen: ${from}\r\n\r\n`);
  const proof = await proveRoute(order, depsFor(app.port));
  assert.equal(proof.verdict, 'different');
  assert.equal(proof.cause, 'HP-3');
  assert.match(proof.text, /saw 127\.0\.0\.1 instead of 192\.0\.2\.50/);
});

test('from a virtual address', async () => {
  await using app = await server((_, from) => `HTTP/1.1 204 No Content\r\nX-Postern-Seen: ${from}\r\n\r\n`);
  const proof = await proveRoute({ ...order, tell: 'virtual', told: { client: '127.72.0.9', local: '127.72.0.9' } }, depsFor(app.port));
  assert.equal(proof.verdict, 'equal');
  assert.match(proof.sent.local ?? '', /^127\.72\.0\.9:/);
  assert.equal(proof.sent.proxyHeader, null);
});

test('with PROXY headers', async () => {
  for (const [tell, first] of [['proxy-v1', /^PROXY TCP4 192\.0\.2\.50 203\.0\.113\.1 0 443\r\nGET /], ['proxy-v2', /^\r\n\r\n\0\r\nQUIT\n/]] as const) {
    let asked = '';
    await using app = await server((text) => {
      asked = text;
      return 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
    });
    const proof = await proveRoute({ ...order, tell, path: '/login?x=1' }, depsFor(app.port));
    assert.match(asked, first);
    assert.ok(asked.includes('GET /login?x=1&postern-prove=abc123 HTTP/1.1'));
    assert.deepEqual(proof.sent.proxyHeader, { version: tell === 'proxy-v1' ? 1 : 2, source: '192.0.2.50:0', destination: '203.0.113.1:443' });
    assert.equal(proof.verdict, 'untold');
  }
});

test('servers that hang up, are silent, or say no end of things', async () => {
  await using rude = await server(() => null);
  assert.equal((await proveRoute(order, depsFor(rude.port))).verdict, 'refused');
  await using silent = await startTcp(() => {});
  const late = await proveRoute(order, depsFor(silent.port));
  assert.equal(late.verdict, 'refused');
  assert.match(late.text, /in time/);
  await using large = await server(() => `HTTP/1.1 200 OK\r\nX-Postern-Seen: 192.0.2.50\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(200_000)}`);
  const proof = await proveRoute(order, depsFor(large.port));
  assert.equal(proof.verdict, 'equal');
  assert.equal(proof.answer?.body.length, limits.proofBodyBytesMax);
  await using nonsense = await server(() => 'SSH-2.0-nothing\r\n\r\n');
  assert.equal((await proveRoute(order, depsFor(nonsense.port))).verdict, 'refused');
});

test('ports of other protocols', async () => {
  let heard = '';
  await using banner = await startTcp((socket) => void socket.on('data', (piece) => (heard += piece.toString())).write('+OK ready\r\n'));
  const proof = await proveRoute({ ...order, isHttp: false, tell: 'proxy-v1' }, depsFor(banner.port));
  assert.equal(proof.verdict, 'taken');
  assert.deepEqual(proof.sent.head, []);
  assert.equal(proof.sent.claims, null);
  assert.equal(heard, 'PROXY TCP4 192.0.2.50 203.0.113.1 0 443\r\n');
  await using rude = await startTcp((socket) => socket.end());
  assert.equal((await proveRoute({ ...order, isHttp: false, tell: 'proxy-v2' }, depsFor(rude.port))).verdict, 'refused');
});

test('what cannot be asked or reached', async () => {
  for (const path of ['x', '', '/a b', '/a#b', '/a\r\nX: 1', `/${'a'.repeat(2_000)}`, '/ä']) await assert.rejects(proveRoute({ ...order, path }, depsFor(1)), { code: 'bad-input' }, path);
  const gone = await startTcp(() => {});
  await gone[Symbol.asyncDispose]();
  await assert.rejects(proveRoute(order, depsFor(gone.port)), { code: 'unreachable' });
});
