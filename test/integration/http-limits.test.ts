// Deadlines and bounds of the data plane, with limits short enough to wait for; and a gateway with a domain of its own.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { after, afterEach, before, test } from 'node:test';
import { exchangeRaw, finishesCleanly, request, startGateway, startTcp, until, type TestGateway } from '../kit/gateway.ts';
import { answer, startOrigin, type Origin } from '../kit/origin.ts';

const HOST = 'origin.example.test';
const DOMAIN = 'gw.example.test';
let origin: Origin;
let silent: Awaited<ReturnType<typeof startTcp>>;
let gateway: TestGateway;

before(async () => {
  origin = await startOrigin();
  silent = await startTcp((socket) => void socket.pause());
  const tcp = (port: number) => ({ kind: 'tcp', host: '127.0.0.1', port });
  gateway = await startGateway({
    domain: DOMAIN,
    limits: { headTimeoutMs: 600, keepAliveIdleMs: 600, bodyIdleMs: 600, answerHeadTimeoutMs: 900, sniffTimeoutMs: 600, tlsHandshakeTimeoutMs: 600, connsMax: 40 },
    routes: [
      { name: 'origin', host: HOST, listeners: ['http', 'https'], path: '/', target: tcp(origin.port), largeHeads: false },
      { name: 'silent', host: 'silent.example.test', listeners: ['http'], path: '/', target: tcp(silent.port), largeHeads: false },
      { name: 'admin-area', host: HOST, listeners: ['http'], path: '/admin', target: { kind: 'respond', status: 403, body: 'no', contentType: 'text/plain' }, largeHeads: false },
      { name: 'tls-only', host: 'tls.example.test', path: '/', target: tcp(origin.port), largeHeads: false },
    ],
  });
});
after(async () => {
  await gateway.close();
  await origin[Symbol.asyncDispose]();
  await silent[Symbol.asyncDispose]();
});
const opened = new Set<Socket>();
afterEach(() => {
  for (const socket of opened) socket.destroy();
  opened.clear();
});
const clean = () => finishesCleanly(gateway);

async function dial(port = gateway.ports.http): Promise<{ socket: Socket; text(): string; ended(): boolean }> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  let text = '';
  let ended = false;
  socket.on('data', (piece) => void (text += piece.toString('latin1'))).on('end', () => void (ended = true)).on('close', () => void (ended = true)).on('error', () => {});
  opened.add(socket);
  await new Promise<void>((done) => socket.on('connect', () => done()));
  return { socket, text: () => text, ended: () => ended };
}

test('a head that drips is answered with 408 when its time is over, however steadily it drips', async () => {
  const client = await dial();
  client.socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n`);
  const drip = setInterval(() => client.socket.writable && client.socket.write('X: y\r\n'), 50);
  try {
    await until('the end', () => client.ended());
  } finally {
    clearInterval(drip);
  }
  assert.match(client.text(), /^HTTP\/1\.1 408 Request Timeout\r\n.*Connection: close\r\n/s);
  await clean();
});

test('who sends nothing at all is left without a word: before the first byte, between requests, after empty lines', async () => {
  const nothing = await dial();
  const idle = await dial();
  idle.socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  const blank = await dial();
  blank.socket.write('\r\n');
  await until('all ends', () => nothing.ended() && idle.ended() && blank.ended());
  assert.equal(nothing.text(), '');
  assert.equal(idle.text().match(/HTTP\/1\.1 /g)!.length, 1);
  assert.equal(blank.text(), '');
  await clean();
});

test('a large answer that drains late does not keep an idle connection', async () => {
  origin.on('/large', answer('x'.repeat(8 * 1024 * 1024)));
  const client = await dial();
  client.socket.pause();
  client.socket.write(`GET /large HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  await new Promise((done) => setTimeout(done, 200));
  client.socket.resume();
  await until('the idle connection to be ended', () => client.ended());
  assert.ok(client.socket.bytesRead > 8 * 1024 * 1024);
  await clean();
});

test('a client that takes nothing of its answer is left', async () => {
  origin.on('/unread', answer('x'.repeat(16 * 1024 * 1024)));
  const client = await dial();
  client.socket.pause();
  client.socket.write(`GET /unread HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  await until('the connection to be counted', () => gateway.leftovers().conns > 0);
  await until('the gateway to give up', () => gateway.leftovers().conns === 0);
  client.socket.destroy();
  await clean();
});

test('an upstream that does not answer is 504 and named; a request body that stops is 408; an upstream that takes no body is 504', async () => {
  const late = await request(gateway.ports.http, { headers: { host: 'silent.example.test', accept: 'text/html' } });
  assert.equal(late.status, 504);
  assert.match(late.body.toString(), new RegExp(`127\\.0\\.0\\.1:${silent.port} did not answer within 1 s`));
  origin.on('/stops', answer('never'));
  const stops = await exchangeRaw(gateway.ports.http, `POST /stops HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 10\r\n\r\nhalf`);
  assert.match(stops, /^HTTP\/1\.1 408 .*the request body stopped/s);
  const stuck = await dial();
  stuck.socket.write(`POST / HTTP/1.1\r\nHost: silent.example.test\r\nContent-Length: 100000000\r\n\r\n`);
  for (let i = 0; i < 32; i++) stuck.socket.write(Buffer.alloc(1024 * 1024));
  await until('an answer', () => stuck.text().includes('\r\n\r\n'));
  assert.match(stuck.text(), /^HTTP\/1\.1 504 .*took nothing of the request body/s);
  stuck.socket.destroy();
  // An interim answer is no answer.
  origin.on('/interim', 'HTTP/1.1 103 Early Hints\r\n\r\n');
  const interim = await exchangeRaw(gateway.ports.http, `GET /interim HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
  assert.match(interim, /^HTTP\/1\.1 103 .*HTTP\/1\.1 504 /s);
  await clean();
});

test('an expectation that the upstream leaves unanswered is the upstream\'s fault', async () => {
  const text = await exchangeRaw(gateway.ports.http, 'POST / HTTP/1.1\r\nHost: silent.example.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
  assert.match(text, /^HTTP\/1\.1 504 .*did not answer/s);
  await clean();
});

test('more connections than allowed are closed at once, and room comes back', async () => {
  const many = await Promise.all(Array.from({ length: 40 }, () => dial()));
  await until('all to be counted', () => gateway.leftovers().conns === 40);
  const over = await dial();
  await until('one more to be closed', () => over.ended());
  for (const client of many) client.socket.destroy();
  await clean();
  assert.equal((await request(gateway.ports.http, { headers: { host: HOST } })).status, 200);
  await clean();
});

test('plain HTTP for a route of TLS leads to https, with the path; what must work before is answered', async () => {
  const { http, https } = gateway.ports;
  const at = (host: string, path = '/a?b=c') => request(http, { path, headers: { host } });
  const sent = await at(`tls.example.test:${http}`);
  assert.equal(sent.status, 308);
  assert.equal(sent.headers['location'], `https://tls.example.test:${https}/a?b=c`);
  assert.match(await exchangeRaw(http, 'OPTIONS * HTTP/1.1\r\nHost: tls.example.test\r\nConnection: close\r\n\r\n'), new RegExp(`308 .*Location: https://tls.example.test:${https}/\r\n`, 's'));
  assert.equal((await at(DOMAIN, '/ca')).status, 200);
  assert.equal((await at('evil.example.test')).status, 421);
  assert.equal((await at(`a.b.${DOMAIN}`)).status, 421);
  assert.equal((await at(`a.b.${DOMAIN}`, '/ca')).status, 421);
  // Whoever dials from this machine reaches the gateway's own names without TLS; for others see model/decide.
  assert.equal((await at('localhost', '/api/v1/setup')).status, 200);
  await clean();
});

test('the more specific path wins, and no spelling of dots gets past it', async () => {
  const status = async (path: string) => /^HTTP\/1\.1 (\d+)/.exec(await exchangeRaw(gateway.ports.http, `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`))![1];
  assert.equal(await status('/admin'), '403');
  assert.equal(await status('/admin/x?y'), '403');
  assert.equal(await status('/administrator'), '200');
  for (const path of ['/a/../admin', '/a/%2e%2e/admin', '/a/.%2E/admin', '/./admin', '/a/..%2fadmin', '/a\\..\\admin', '/a/..%5cadmin', '/a/..;/admin', '/..', '/%2e']) assert.equal(await status(path), '400', path);
  assert.equal(await status('/find?next=/../x'), '200', 'a query is no path');
  assert.equal(await status('/a..b/.c'), '200');
  await clean();
});

test('a console head over the limit is 431 and clears planted cookies', async () => {
  const over = await exchangeRaw(gateway.ports.http, `GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nCookie: a=${'x'.repeat(17_000)}\r\n\r\n`);
  assert.match(over, /^HTTP\/1\.1 431 /);
  assert.match(over, /\r\nClear-Site-Data: "cookies"\r\n/);
  assert.match(over, /\r\nContent-Type: text\/html/);
  // A device's host may be larger, and clears its own when it is too large at last.
  const device = await exchangeRaw(gateway.ports.http, `GET / HTTP/1.1\r\nHost: printer.${DOMAIN}\r\nConnection: close\r\nCookie: a=${'x'.repeat(40_000)}\r\n\r\n`);
  assert.match(device, /^HTTP\/1\.1 401 /);
  const larger = await exchangeRaw(gateway.ports.http, `GET / HTTP/1.1\r\nHost: printer.${DOMAIN}\r\nCookie: a=${'x'.repeat(66_000)}\r\n\r\n`);
  assert.match(larger, /^HTTP\/1\.1 431 .*Clear-Site-Data: "cookies"/s);
  await clean();
});

/** Over TLS, with this name and these protocols. */
function overTls(text: string, options: { servername?: string; alpn?: string[] } = {}): Promise<{ text: string; alpn: string | false | null }> {
  return new Promise((done, failed) => {
    const socket = connectTls({ host: '127.0.0.1', port: gateway.ports.https, rejectUnauthorized: false, ...(options.servername ? { servername: options.servername } : {}), ALPNProtocols: options.alpn ?? ['http/1.1'] });
    let got = '';
    socket.on('data', (piece: Buffer) => void (got += piece.toString('latin1')));
    socket.on('end', () => {
      socket.destroy();
      done({ text: got, alpn: socket.alpnProtocol });
    });
    socket.on('error', failed);
    socket.on('secureConnect', () => socket.write(text));
  });
}

test('over TLS: the same rules, X-Forwarded-Proto https', async () => {
  const got = await overTls(`GET /tls HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`, { servername: HOST, alpn: ['http/1.1'] });
  assert.equal(got.alpn, 'http/1.1');
  assert.match(got.text, /^HTTP\/1\.1 200 OK/);
  assert.match(origin.last('/tls').head, /X-Forwarded-Proto: https\r\n.*proto=https$/s);
  const smuggle = await overTls(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n`);
  assert.match(smuggle.text, /^HTTP\/1\.1 400 /);
  await clean();
});

test('the link endpoint is chosen by the hello; Host leads nowhere from there, and nobody gets there by Host', async () => {
  for (const options of [{ alpn: ['postern-link/1'] }, { servername: `link.${DOMAIN}` }]) {
    const got = await overTls(`GET /api/v1/setup HTTP/1.1\r\nHost: ${DOMAIN}\r\nConnection: close\r\n\r\n`, options);
    assert.match(got.text, /^HTTP\/1\.1 404 .*endpoint for links/s, JSON.stringify(options));
    const routed = await overTls(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`, options);
    assert.match(routed.text, /^HTTP\/1\.1 404 /);
  }
  const before = origin.seen.length;
  const join = await overTls(`POST /link/join HTTP/1.1\r\nHost: ${DOMAIN}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`);
  assert.match(join.text, /^HTTP\/1\.1 (404|405) /, 'not by Host');
  const link = await overTls(`GET /link HTTP/1.1\r\nHost: link.${DOMAIN}\r\nConnection: close\r\n\r\n`);
  assert.doesNotMatch(link.text, /^HTTP\/1\.1 101/);
  assert.equal(origin.seen.length, before);
  await clean();
});

test('a handshake that does not come to its end is given up', async () => {
  const client = await dial(gateway.ports.https);
  client.socket.write(Buffer.from('1603010200010001fc0303', 'hex'));
  await until('the end', () => client.ended());
  await clean();
});
