// The HTTP/1.1 data plane end to end: what a client sends, what an origin sees, what comes back; and everything that is refused on the way.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { exchangeRaw, finishesCleanly, request, startGateway, startTcp, until, type TestGateway } from '../kit/gateway.ts';
import { answer, startOrigin, type Origin } from '../kit/origin.ts';

const HOST = 'origin.example.test';
let gateway: TestGateway;
let origin: Origin;
let port: number;

before(async () => {
  origin = await startOrigin();
  const tcp = (to: number) => ({ kind: 'tcp', host: '127.0.0.1', port: to });
  gateway = await startGateway({
    routes: [
      { name: 'origin', host: HOST, path: '/', target: tcp(origin.port), largeHeads: false },
      { name: 'large', host: 'large.example.test', path: '/', target: tcp(origin.port), largeHeads: true },
      { name: 'nobody', host: 'nobody.example.test', path: '/', target: tcp(1), largeHeads: false },
      { name: 'moved', host: 'moved.example.test', path: '/', target: { kind: 'redirect', to: 'https://new.example.test/', status: 307 }, largeHeads: false },
      { name: 'empty', host: 'empty.example.test', path: '/', target: { kind: 'respond', status: 204, body: 'never sent', contentType: 'text/plain' }, largeHeads: false },
      { name: 'text', host: 'text.example.test', path: '/', target: { kind: 'respond', status: 200, body: 'hello', contentType: 'text/plain' }, largeHeads: false },
    ],
  });
  port = gateway.ports.http;
});
after(async () => {
  await gateway.close();
  await origin[Symbol.asyncDispose]();
});

const get = (path: string, lines = '') => `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n${lines}\r\n`;
const closing = (path: string, lines = '') => get(path, `Connection: close\r\n${lines}`);
const raw = (bytes: string | readonly string[], options: Parameters<typeof exchangeRaw>[2] = {}) => exchangeRaw(port, bytes, options);
const clean = () => finishesCleanly(gateway);

const dialled = new Set<Socket>();
afterEach(() => {
  for (const socket of dialled) socket.destroy();
  dialled.clear();
});

/** A connection that a test talks over by hand. */
async function dial(to = port): Promise<{ socket: Socket; text(): string; ended(): boolean; closed(): boolean; error(): string | null }> {
  const socket = connect({ host: '127.0.0.1', port: to, noDelay: true, allowHalfOpen: true });
  let text = '';
  let ended = false;
  let closed = false;
  let error: string | null = null;
  dialled.add(socket);
  socket.on('data', (piece) => void (text += piece.toString('latin1')));
  socket.on('end', () => void (ended = true));
  socket.on('close', () => void (closed = true));
  socket.on('error', (thrown: NodeJS.ErrnoException) => void (error = thrown.code ?? thrown.message));
  await new Promise<void>((done) => socket.on('connect', () => done()));
  return { socket, text: () => text, ended: () => ended, closed: () => closed, error: () => error };
}

test('every malformed head of the corpus is refused, its connection ended, and nothing of it reaches an upstream', async () => {
  const corpus = readFileSync(new URL('../corpus/http1.md', import.meta.url), 'utf8');
  const refused = [...corpus.matchAll(/^## (.*)\n[^#]*?```request\n([\s\S]*?)```\n\n```json\n(.*)\n```/gm)].filter((match) => match[3]!.startsWith('{"refuse"'));
  assert.ok(refused.length > 60);
  const seenBefore = origin.seen.length;
  for (const [, title = '', block = '', verdict = ''] of refused) {
    // To the HTTP/1 parser it is a request of a version that it does not speak; the front door knows it for what it is.
    if (title === 'the HTTP/2 connection preface') continue;
    const plain = block.replace(/\\\n/g, '\u0001').replace(/\n/g, '\r\n').replace(/\u0001/g, '').replaceAll('a.example.test', HOST);
    const bytes = plain.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
    // A request that a confused proxy would let through hides behind it.
    const text = await raw(`${bytes}GET /smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    assert.match(text, new RegExp(`^HTTP/1[.]1 ${String((JSON.parse(verdict) as { refuse: number }).refuse)} `), `${title}: ${text.slice(0, 200)}`);
    assert.match(text, /\r\nConnection: close\r\n/, title);
    assert.equal(text.match(/HTTP\/1\.1 \d/g)!.length, 1, `${title}: one answer`);
  }
  assert.equal(origin.seen.length, seenBefore);
  await clean();
});

test('two empty lines before a request are passed over, three are not', async () => {
  assert.match(await raw(`\r\n\r\n${closing('/blank')}`), /^HTTP\/1\.1 200 OK/);
  assert.match(await raw(`\r\n\r\n\r\n${closing('/blank')}`), /^HTTP\/1\.1 400 /);
  // Behind a body, as some clients send them.
  const text = await raw(`POST /form HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 3\r\n\r\na=b\r\n${closing('/blank')}`);
  assert.equal(text.match(/HTTP\/1\.1 200 OK/g)?.length, 2);
  await clean();
});

test('a request that comes a byte at a time is the same request', async () => {
  const bytes = `POST /slow-bytes HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-T: u\r\n\r\n`;
  assert.match(await raw(Array.from(bytes)), /^HTTP\/1\.1 200 OK/);
  assert.equal(origin.last('/slow-bytes').body, '1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\nX-T: u\r\n\r\n');
  await clean();
});

test('the head goes on anew: hop-by-hop fields gone, what Connection lists gone, protected ones kept, forwarding set by us alone', async () => {
  await raw(
    `GET /head?q=1 HTTP/1.1\r\nHost: ${HOST}:8080\r\nX-Kept:1\r\nConnection: close, X-Listed, Host, Cookie, Authorization\r\nX-Listed: 1\r\nCookie: a=b\r\nAuthorization: Basic eA==\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nTrailer: X\r\nProxy-Connection: close\r\nProxy-Authorization: Basic eA==\r\nUpgrade: foo\r\n` +
      'X-Forwarded-For: 203.0.113.9\r\nX_Forwarded_For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nx-forwarded-host: evil.example.test\r\nX-Forwarded-Port: 1\r\nForwarded: for=203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\nX_Real_IP: 203.0.113.9\r\nTrue-Client-IP: 203.0.113.9\r\nX-Client-IP: 203.0.113.9\r\nPostern-Token: postern_x\r\nPostern_Token: postern_x\r\n\r\n',
  );
  assert.deepEqual(origin.last('/head?q=1').head.split('\r\n'), [
    'GET /head?q=1 HTTP/1.1',
    `Host: ${HOST}:8080`,
    'X-Kept: 1',
    'Cookie: a=b',
    'Authorization: Basic eA==',
    'Trailer: X',
    'X-Forwarded-For: 127.0.0.1',
    'X-Forwarded-Proto: http',
    `X-Forwarded-Host: ${HOST}:8080`,
    `Forwarded: for=127.0.0.1;host="${HOST}:8080";proto=http`,
  ]);
  await clean();
});

test('bodies go through: length, chunks (their extensions gone), trailers that are allowed', async () => {
  const post = (path: string, lines: string, body: string) => raw(`POST ${path} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n${lines}\r\n${body}`);
  await post('/length', 'Content-Length: 5\r\n', 'hello');
  assert.equal(origin.last('/length').body, 'hello');
  assert.match(origin.last('/length').head, /\r\nContent-Length: 5\r\n/);
  await post('/chunks', 'Transfer-Encoding: chunked\r\n', '5;secret=1\r\nhello\r\n6 \r\n world\r\n0;x\r\nX-Checksum: 1\r\nContent-Length: 1\r\nX-Forwarded-For: 1\r\nHost: b\r\n\r\n');
  assert.equal(origin.last('/chunks').body, '5\r\nhello\r\n6\r\n world\r\n0\r\nX-Checksum: 1\r\n\r\n');
  assert.equal(origin.last('/chunks').head.match(/transfer-encoding/gi)!.length, 1);
  // HTTP/1.0 without Host, without any route for it
  assert.match(await raw('GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 421 /);
  await clean();
});

test('a broken chunk ends the request and its upstream; nothing behind it is read as a request', async () => {
  const before = origin.seen.length;
  for (const body of ['5\nhello\r\n0\r\n\r\n', 'zz\r\n', '2\r\nhello\r\n0\r\n\r\n', 'fffffffffffff\r\n', '0\r\nX: a\nb\r\n\r\n']) {
    const text = await raw(`POST /broken HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n${body}${get('/smuggled')}`);
    assert.match(text, /^HTTP\/1\.1 400 .*chunked body is broken/s, body);
    assert.equal(text.match(/HTTP\/1\.1 /g)!.length, 1);
  }
  assert.equal(origin.seen.length, before);
  await until('the upstreams to be gone', () => Array.from(origin.sockets).every((socket) => socket.destroyed || socket.bytesRead === 0 || gateway.leftovers().upstreams >= 0));
  await clean();
});

const strictAnswers: readonly (readonly [string, string, string, string])[] = [
  // title, what the origin sends, request lines, what the client gets
  ['bare line feeds, folds and blanks are mended', 'HTTP/1.0 200 Fine\nX-A : b\n c\nContent-Length: 2\n\nhi', '', 'HTTP/1.1 200 Fine\r\nX-A: b c\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi'],
  ['equal lengths go on as one', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi', '', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi'],
  ['hop-by-hop fields stay here', 'HTTP/1.1 200 OK\r\nConnection: X-Gone\r\nX-Gone: 1\r\nKeep-Alive: timeout=1\r\nProxy-Authenticate: x\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi', '', 'HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi'],
  ['204 ends with its head', 'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\nX-A: b\r\n\r\nhi', '', 'HTTP/1.1 204 No Content\r\nX-A: b\r\nConnection: close\r\n\r\n'],
  ['304 ends with its head', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n', '', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\nConnection: close\r\n\r\n'],
  ['chunks stay chunks, extensions go, trailers stay', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n0\r\nX-T: u\r\nSet-Cookie: a=b\r\n\r\n', '', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\nX-T: u\r\n\r\n'],
  ['an interim answer goes through', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi', '', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi'],
];
for (const [title, sent, lines, expected] of strictAnswers) {
  test(`answers: ${title}`, async () => {
    const path = `/answer-${title.replace(/\W+/g, '-')}`;
    origin.on(path, sent);
    assert.equal(await raw(closing(path, lines)), expected);
    await clean();
  });
}

test('answers to HEAD have no body, whatever their fields say', async () => {
  origin.on('/head', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');
  const text = await raw(`HEAD /head HTTP/1.1\r\nHost: ${HOST}\r\n\r\n${closing('/after-head')}`);
  assert.match(text, /^HTTP\/1\.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
  await clean();
});

test('a body that the connection ends is chunked for HTTP/1.1 and ended by the connection for HTTP/1.0; chunks are opened for 1.0', async () => {
  origin.on('/until-close', ({ socket }) => (setTimeout(() => socket.end(), 20), 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello'));
  assert.equal(await raw(get('/until-close'), { enough: (text) => text.endsWith('0\r\n\r\n') }), 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n');
  assert.equal(await raw(`GET /until-close HTTP/1.0\r\nHost: ${HOST}\r\nConnection: keep-alive\r\n\r\n`), 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello');
  origin.on('/chunked-to-1.0', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n');
  assert.equal(await raw(`GET /chunked-to-1.0 HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`), 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello');
  // HTTP/1.0 keeps its connection when the length is known and it asked for it.
  const twice = await raw(`GET /a HTTP/1.0\r\nHost: ${HOST}\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`);
  assert.match(twice, /Connection: keep-alive\r\n\r\nokHTTP\/1\.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok$/);
  await clean();
});

test('answers that could hide another are refused with 502 and their connection is not used again', async () => {
  const wrong = [
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi', 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi', 'HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n', 'SSH-2.0-x\r\n\r\n', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(20)}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi`, `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(70_000)}\r\n\r\n`, `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(70_000)}`,
  ];
  for (const [i, sent] of wrong.entries()) {
    const sockets: Socket[] = [];
    origin.on(`/wrong-${i}`, ({ socket }) => (sockets.push(socket), sent));
    const text = await raw(closing(`/wrong-${i}`), { timeoutMs: 5_000 });
    assert.match(text.replaceAll('HTTP/1.1 100 Continue\r\n\r\n', ''), /^HTTP\/1\.1 502 Bad Gateway\r\n/, `${i}: ${text.slice(0, 200)}`);
    await until('the upstream to be closed', () => sockets.every((socket) => socket.destroyed));
  }
  await clean();
});

test('bytes behind an answer are nobody\'s answer', async () => {
  origin.on('/poison', answer('mine') + answer('POISON'));
  origin.on('/poison-late', ({ socket }) => (setTimeout(() => socket.write(answer('POISON')), 15), answer('mine')));
  for (const path of ['/poison', '/poison-late']) {
    const client = await dial();
    client.socket.write(get(path));
    await until('the answer', () => client.text().endsWith('mine'));
    await new Promise((done) => setTimeout(done, 40));
    client.socket.write(get('/mine'));
    await until('the second answer', () => client.text().endsWith('ok'));
    assert.ok(!client.text().includes('POISON'));
    client.socket.destroy();
    assert.match(await raw(closing('/other')), /ok$/);
  }
  await clean();
});

test('pipelined requests are answered in order, one upstream at a time', async () => {
  origin.on('/first', ({ socket }) => (setTimeout(() => socket.write(answer('first')), 30), null));
  origin.on('/second', answer('second'));
  const text = await raw(`${get('/first')}${get('/second')}POST /third HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 2\r\n\r\nhi${closing('/fourth')}`);
  assert.deepEqual([...text.matchAll(/\r\n\r\n(first|second|ok)/g)].map((match) => match[1]), ['first', 'second', 'ok', 'ok']);
  assert.equal(origin.last('/third').body, 'hi');
  await clean();
});

test('a bad request behind good ones is refused after their answers', async () => {
  const text = await raw(`${get('/a')}${get('/b')}GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n`);
  assert.deepEqual([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1]), ['200', '200', '400']);
  await clean();
});

test('a pipelined flood is read no faster than it is answered', async () => {
  const waiting: Socket[] = [];
  origin.on('/hold', ({ socket }) => (waiting.push(socket), null));
  const client = await dial();
  client.socket.write(get('/hold'));
  await until('the first request', () => waiting.length === 1);
  const flood = Buffer.from(get('/flood').repeat(2_000));
  let sent = 0;
  // 64 MB would go into memory if nobody stopped the client; the kernel's buffers take a few.
  while (sent < 64 && client.socket.write(flood)) sent += 1;
  await new Promise((done) => setTimeout(done, 200));
  assert.ok(client.socket.writableLength > 0, 'the client has to wait');
  assert.equal(origin.seen.filter((each) => each.path === '/flood').length, 0);
  client.socket.destroy();
  // A connection that is not read tells nothing; what ends it is its upstream, or the deadline.
  origin.on('/hold', answer('ok'));
  waiting[0]!.destroy();
  await clean();
});

test('100-continue: the origin\'s word goes to the client, and its refusal instead of it', async () => {
  origin.on('/continue', ({ socket }) => (setTimeout(() => socket.once('data', () => socket.write(answer('done', 'Connection: close\r\n'))), 0), 'HTTP/1.1 100 Continue\r\n\r\n'), { early: true });
  const client = await dial();
  client.socket.write(`POST /continue HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`);
  await until('100', () => client.text() === 'HTTP/1.1 100 Continue\r\n\r\n');
  client.socket.write('hello');
  await until('the answer', () => client.text().endsWith('done'));
  assert.match(origin.last('/continue').head, /\r\nExpect: 100-continue/);
  client.socket.destroy();

  origin.on('/no', answer('no', '', '417 Expectation Failed'), { early: true });
  const refused = await dial();
  refused.socket.write(`POST /no HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`);
  await until('the refusal', () => refused.text().endsWith('no'));
  // The body was not sent and is not waited for: the connection must say that it ends.
  assert.match(refused.text(), /^HTTP\/1\.1 417 .*Connection: close\r\n/s);
  await until('the end', () => refused.ended());
  refused.socket.destroy();
  // HTTP/1.0 knows neither.
  origin.on('/interim-1.0', `HTTP/1.1 100 Continue\r\n\r\n${answer('x')}`);
  assert.match(await raw(`POST /interim-1.0 HTTP/1.0\r\nHost: ${HOST}\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\na`), /^HTTP\/1\.1 200 /);
  await clean();
});

test('an answer during an upload reaches the client, which then sees the connection end', async () => {
  origin.on('/too-large', ({ socket }) => (setTimeout(() => socket.end(), 10), answer('too large', 'Connection: close\r\n', '413 Content Too Large')), { early: true });
  const client = await dial();
  client.socket.write(`POST /too-large HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 100000000\r\n\r\n`);
  client.socket.write(Buffer.alloc(100_000));
  await until('the answer', () => client.text().includes('too large'));
  assert.match(client.text(), /^HTTP\/1\.1 413 .*\r\nConnection: close\r\n/s);
  await until('the end', () => client.ended());
  client.socket.destroy();
  await clean();
});

test('an upgrade becomes a relay of bytes, each direction ending by itself', async () => {
  let upstream: Socket | null = null;
  let got = '';
  origin.on(
    '/ws',
    ({ socket }) => {
      upstream = socket;
      socket.on('data', (piece) => void (got += piece.toString('latin1')));
      return 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: abc\r\n\r\nhello from behind';
    },
    { early: true },
  );
  const client = await dial();
  client.socket.write(get('/ws', 'Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\nX-Forwarded-For: 1\r\n') + 'sent too early');
  await until('the switch', () => client.text().endsWith('hello from behind'));
  assert.equal(client.text(), 'HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: abc\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\nhello from behind');
  assert.match(origin.last('/ws').head, /\r\nConnection: Upgrade\r\nUpgrade: websocket$/);
  await until('what was sent before the switch', () => got === 'sent too early');
  client.socket.end('last words');
  await until('the last words', () => got.endsWith('last words'));
  await until('the client\'s end', () => upstream!.readableEnded);
  // The other direction is still open, unless the origin ended it itself.
  await until('the relay to be over', () => client.ended());
  client.socket.destroy();
  await clean();
});

test('an upgrade that the origin does not take is an ordinary exchange; h2c is never offered to it', async () => {
  const text = await raw(`${get('/no-ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n')}${closing('/after')}`);
  assert.equal(text.match(/HTTP\/1\.1 200 OK/g)!.length, 2);
  await raw(closing('/h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'));
  assert.doesNotMatch(origin.last('/h2c').head, /upgrade|http2-settings/i);
  await clean();
});

test('a connection that the origin closed while it waited is tried once more for GET, never for POST', async () => {
  let conns = 0;
  let posts = 0;
  await using server = await startTcp((socket) => {
    const nth = ++conns;
    let requests = 0;
    socket.on('data', (piece) => {
      if (piece.toString('latin1').startsWith('POST')) posts += 1;
      requests += 1;
      // The first request of a connection is answered, the second ends it without a word.
      if (requests === 1) socket.write(answer(`conn ${nth}`));
      else socket.destroy();
    });
  });
  await using other = await startGateway({ routes: [{ name: 'flaky', host: HOST, path: '/', target: { kind: 'tcp', host: '127.0.0.1', port: server.port }, largeHeads: false }] });
  const to = other.ports.http;
  assert.match(await exchangeRaw(to, closing('/1')), /conn 1$/);
  assert.match(await exchangeRaw(to, closing('/2')), /conn 2$/, 'the second try is a new connection');
  assert.match(await exchangeRaw(to, `PUT /3 HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi`), /conn 3$/, 'with a body we still hold');
  const post = await exchangeRaw(to, `POST /4 HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi`);
  assert.match(post, /^HTTP\/1\.1 502 /);
  assert.equal(posts, 1, 'a deed is never done twice');
  await finishesCleanly(other);
});

test('an origin that breaks off before or within its answer', async () => {
  origin.on('/silent', ({ socket }) => (socket.destroy(), null));
  assert.match(await raw(closing('/silent')), /^HTTP\/1\.1 502 /);
  origin.on('/half-head', ({ socket }) => (setTimeout(() => socket.end(), 10), 'HTTP/1.1 200 OK\r\nContent-Le'));
  assert.match(await raw(closing('/half-head')), /^HTTP\/1\.1 502 /);
  // Within the body: what was promised does not come, and the connection ends.
  origin.on('/half-length', ({ socket }) => (setTimeout(() => socket.destroy(), 10), 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'));
  const half = await raw(get('/half-length'));
  assert.ok(half.endsWith('\r\n\r\nhalf'));
  origin.on('/half-chunked', ({ socket }) => (setTimeout(() => socket.end(), 10), 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'));
  assert.ok((await raw(get('/half-chunked'))).endsWith('4\r\nhalf\r\n'), 'no last chunk');
  // To HTTP/1.0 an orderly end would say that the body is whole.
  const client = await dial();
  client.socket.write(`GET /half-chunked HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`);
  await until('a reset', () => client.error() === 'ECONNRESET');
  await clean();
});

test('a client that leaves takes its upstream with it', async () => {
  let closed = false;
  origin.on('/long', ({ socket }) => (socket.on('close', () => void (closed = true)), 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'));
  const client = await dial();
  client.socket.write(get('/long'));
  await until('the beginning', () => client.text().endsWith('half\r\n'));
  client.socket.resetAndDestroy();
  await until('the upstream to be closed', () => closed);
  await clean();
});

test('a client that reads nothing stops the origin, not the gateway\'s memory', async () => {
  const piece = Buffer.alloc(1024 * 1024, 120);
  let upstream: Socket | null = null;
  let written = 0;
  origin.on('/huge', ({ socket }) => {
    upstream = socket;
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${200 * piece.length}\r\n\r\n`);
    const more = () => {
      while (written < 200 && !socket.destroyed) {
        written += 1;
        if (!socket.write(piece)) return void socket.once('drain', more);
      }
    };
    more();
    return null;
  });
  const client = await dial();
  client.socket.pause();
  const before = process.memoryUsage.rss();
  client.socket.write(get('/huge'));
  await until('the origin to begin', () => upstream !== null && written > 1);
  let last = -1;
  await until('the origin to stand still', async () => {
    const now = upstream!.bytesWritten - upstream!.writableLength;
    await new Promise((done) => setTimeout(done, 150));
    const still = now === last;
    last = now;
    return still;
  });
  assert.ok(last < 40 * piece.length, `${last} bytes went into buffers`);
  assert.ok(process.memoryUsage.rss() - before < 48 * 1024 * 1024, `${process.memoryUsage.rss() - before} bytes more`);
  // It goes on as soon as the client reads again.
  client.socket.resume();
  await until('the whole body', () => client.socket.bytesRead > 200 * piece.length, 30_000);
  client.socket.destroy();
  await clean();
});

test('an origin that takes nothing stops the client, not the gateway\'s memory', async () => {
  await using stuck = await startTcp((socket) => void socket.pause());
  await using other = await startGateway({ routes: [{ name: 'stuck', host: HOST, path: '/', target: { kind: 'tcp', host: '127.0.0.1', port: stuck.port }, largeHeads: false }] });
  const client = await dial(other.ports.http);
  const piece = Buffer.alloc(1024 * 1024);
  const before = process.memoryUsage.rss();
  client.socket.write(`POST /upload HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: ${100 * piece.length}\r\n\r\n`);
  for (let i = 0; i < 100; i++) client.socket.write(piece);
  let last = -1;
  await until('the client to stand still', async () => {
    const now = client.socket.writableLength;
    await new Promise((done) => setTimeout(done, 150));
    const still = now === last;
    last = now;
    return still;
  });
  assert.ok(last > 60 * piece.length, `${last} bytes still with the client`);
  assert.ok(process.memoryUsage.rss() - before < 48 * 1024 * 1024);
  client.socket.destroy();
  for (const socket of stuck.sockets) socket.destroy();
  await finishesCleanly(other);
});

test('an upstream that refuses is 502 with a page that says so; markup in the request comes back as text at most', async () => {
  const html = await request(port, { path: '/<script>alert(1)</script>?"><svg/onload=x>', headers: { host: 'nobody.example.test', accept: 'text/html' } });
  assert.equal(html.status, 502);
  assert.match(String(html.headers['content-type']), /^text\/html/);
  assert.match(String(html.headers['content-security-policy']), /default-src 'none'/);
  const page = html.body.toString();
  assert.match(page, /127\.0\.0\.1:1 refused the connection/);
  assert.ok(page.includes(String(html.headers['postern-request'])), 'the request id is on the page');
  assert.doesNotMatch(page, /<script>alert|<svg/);
  const json = await request(port, { path: '/x', headers: { host: 'nobody.example.test', accept: 'application/json' } });
  assert.equal(json.headers['content-type'], 'application/problem+json');
  const problem = JSON.parse(json.body.toString()) as Record<string, unknown>;
  assert.equal(problem['status'], 502);
  assert.equal(problem['code'], 'unreachable');
  assert.equal(problem['requestId'], json.headers['postern-request']);
  assert.notEqual(json.headers['postern-request'], html.headers['postern-request']);
  const head = await raw(`HEAD / HTTP/1.1\r\nHost: nobody.example.test\r\nConnection: close\r\n\r\n`);
  assert.ok(head.endsWith('\r\n\r\n'), 'no body to HEAD');
  await clean();
});

test('a name that is nobody\'s is 421; redirects and fixed answers answer themselves', async () => {
  const unknown = await request(port, { headers: { host: 'evil.example.test', accept: 'text/html' } });
  assert.equal(unknown.status, 421);
  assert.match(unknown.body.toString(), /evil\.example\.test&#34; is not a name of this gateway/);
  const moved = await request(port, { path: '/deep?x', headers: { host: 'moved.example.test' } });
  assert.equal(moved.status, 307);
  assert.equal(moved.headers['location'], 'https://new.example.test/');
  // 204 has neither length nor body: bytes behind it would be the next answer.
  const text = await raw('GET / HTTP/1.1\r\nHost: empty.example.test\r\n\r\nGET / HTTP/1.1\r\nHost: text.example.test\r\nConnection: close\r\n\r\n');
  assert.equal(text, 'HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello');
  // A body that a fixed answer does not want ends the connection; what is in it is no request.
  const posted = await raw(`POST / HTTP/1.1\r\nHost: text.example.test\r\nContent-Length: 200\r\n\r\n${get('/smuggled')}`);
  assert.equal(posted.match(/HTTP\/1\.1 /g)!.length, 1);
  assert.match(posted, /Connection: close/);
  assert.ok(origin.seen.every((each) => each.path !== '/smuggled'));
  await clean();
});

test('each request of a connection is judged by its own Host', async () => {
  const text = await raw(`${get('/judged')}GET / HTTP/1.1\r\nHost: text.example.test\r\n\r\nGET / HTTP/1.1\r\nHost: evil.example.test\r\n\r\nGET http://${HOST}/absolute?x HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
  assert.deepEqual([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1]), ['200', '200', '421', '200']);
  assert.match(origin.last('/absolute?x').head, new RegExp(`^GET /absolute\\?x HTTP/1\\.1\\r\\nHost: ${HOST}\\r\\n`));
  await clean();
});

test('heads of 16 KiB go through, larger ones where the route allows it, none above 64 KiB', async () => {
  const filled = (host: string, bytes: number) => {
    const head = `GET /big HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nX: `;
    return `${head}${'y'.repeat(bytes - head.length - 4)}\r\n\r\n`;
  };
  assert.match(await raw(filled(HOST, 16 * 1024)), /^HTTP\/1\.1 200 /);
  const over = await raw(filled(HOST, 16 * 1024 + 1));
  assert.match(over, /^HTTP\/1\.1 431 /);
  assert.doesNotMatch(over, /Clear-Site-Data/, 'not our name, not our cookies');
  assert.match(await raw(filled('large.example.test', 64 * 1024)), /^HTTP\/1\.1 200 /);
  assert.match(await raw(filled('large.example.test', 64 * 1024 + 1)), /^HTTP\/1\.1 431 /);
  // Endless, without a line's end.
  assert.match(await raw([`GET /${'a'.repeat(10_000)}`, 'a'.repeat(10_000)]), /^HTTP\/1\.1 431 /);
  assert.match(await raw(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n${'X: y\r\n'.repeat(250)}\r\n`), /^HTTP\/1\.1 431 /);
  await clean();
});

test('TLS on the plain port and HTTP on the TLS port are told so', async () => {
  const alert = await exchangeRaw(port, Buffer.from('16030100050100000100', 'hex'));
  assert.equal(Buffer.from(alert, 'latin1').toString('hex'), '15030100020228');
  assert.match(await exchangeRaw(gateway.ports.https, get('/')), /^HTTP\/1\.1 400 .*speaks TLS: use https:\/\//s);
  const noise = await exchangeRaw(gateway.ports.https, Buffer.from('00112233445566778899', 'hex'));
  assert.doesNotMatch(noise, /HTTP/);
  await clean();
});
