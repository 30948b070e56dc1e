// HTTP/2 through a whole gateway, over TLS and with prior knowledge: what an upstream that speaks HTTP/1.1 sees, what comes back, and
// that a connection shared by several names opens none of them to another.
import assert from 'node:assert/strict';
import { constants } from 'node:http2';
import { after, before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { exchangeRaw, finishesCleanly, startGateway, until, type TestGateway } from '../kit/gateway.ts';
import { openHttp2Client, type Asking2 } from '../kit/http2-asking.ts';
import { answer, startOrigin, type Origin } from '../kit/origin.ts';

const HOST = 'origin.example.test';
let gateway: TestGateway;
let origin: Origin;
let other: Origin;

before(async () => {
  origin = await startOrigin();
  other = await startOrigin();
  const tcp = (port: number) => ({ kind: 'tcp', host: '127.0.0.1', port });
  const route = (name: string, host: string, target: unknown, more = {}) => ({ name, host, path: '/', target, largeHeads: false, listeners: ['http', 'https'], ...more });
  gateway = await startGateway({
    routes: [
      route('origin', HOST, tcp(origin.port)),
      route('other', 'other.example.test', tcp(other.port)),
      route('nobody', 'nobody.example.test', tcp(1)),
      route('moved', 'moved.example.test', { kind: 'redirect', to: 'https://new.example.test/', status: 307 }),
      route('text', 'text.example.test', { kind: 'respond', status: 200, body: 'hello', contentType: 'text/plain' }),
    ],
  });
});
after(async () => {
  await gateway.close();
  await origin[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

const plain = (authority = HOST) => openHttp2Client(`http://127.0.0.1:${gateway.ports.http}`, authority);
const secure = (authority = 'localhost') => openHttp2Client(`https://127.0.0.1:${gateway.ports.https}`, authority);
const ways: readonly (readonly [string, () => Asking2])[] = [['with prior knowledge', () => plain()], ['over TLS', () => secure()]];

for (const [way, open] of ways) {
  test(`${way}: what the upstream sees is a proper HTTP/1.1 request`, async () => {
    using client = open();
    const sent = await client.ask({ ':authority': HOST, ':path': '/seen?a=b', 'user-agent': 'x', cookie: ['a=1', 'b=2'], te: 'trailers', 'x-forwarded-for': '192.0.2.9', 'x_forwarded_for': '192.0.2.9', 'postern-token': 'x' });
    assert.deepEqual([sent.headers?.[':status'], sent.body, sent.code], [200, 'ok', 0]);
    const { head } = origin.last('/seen?a=b');
    const scheme = way === 'over TLS' ? 'https' : 'http';
    assert.deepEqual(head.split('\r\n'), [
      'GET /seen?a=b HTTP/1.1',
      `Host: ${HOST}`,
      'User-Agent: x',
      'Cookie: a=1; b=2',
      'X-Forwarded-For: 127.0.0.1',
      `X-Forwarded-Proto: ${scheme}`,
      `X-Forwarded-Host: ${HOST}`,
      `Forwarded: for=127.0.0.1;host="${HOST}";proto=${scheme}`,
    ]);
  });

  test(`${way}: bodies of known and of unknown length, and trailers both ways`, async () => {
    using client = open();
    await client.ask({ ':authority': HOST, ':method': 'POST', ':path': '/length', 'content-length': '5' }, 'hello');
    assert.match(origin.last('/length').head, /\r\nContent-Length: 5(\r\n|$)/);
    assert.doesNotMatch(origin.last('/length').head, /transfer-encoding/i);
    assert.equal(origin.last('/length').body, 'hello');
    origin.on('/chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n');
    const stream = client.begin({ ':authority': HOST, ':method': 'PUT', ':path': '/chunks' }, null);
    stream.stream.write('one');
    await new Promise((done) => setTimeout(done, 20));
    stream.stream.end('two');
    await until('the end', () => stream.code !== null);
    assert.match(origin.last('/chunks').head, /\r\nTransfer-Encoding: chunked$/m);
    assert.match(origin.last('/chunks').body, /^3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n$/);
    assert.deepEqual([stream.body, stream.trailers?.['x-sum'], stream.code], ['hello', '1', 0]);
    assert.equal(stream.headers?.['transfer-encoding'], undefined);
  });
}

test('one connection, several names: each request is judged by its own', async () => {
  using client = secure();
  const asked = await Promise.all(
    [HOST, 'other.example.test', 'text.example.test', 'unknown.example.test', 'moved.example.test', 'nobody.example.test', HOST].map((name, i) => client.ask({ ':authority': name, ':path': `/many/${i}` })),
  );
  assert.deepEqual(asked.map((each) => each.headers?.[':status']), [200, 200, 200, 421, 307, 502, 200]);
  assert.equal(asked[2]?.body, 'hello');
  assert.equal(asked[4]?.headers?.['location'], 'https://new.example.test/');
  assert.deepEqual(origin.seen.filter((each) => each.path.startsWith('/many/')).map((each) => each.path), ['/many/0', '/many/6']);
  assert.deepEqual(other.seen.map((each) => each.path), ['/many/1']);
  assert.equal(asked.every((each) => each.code === 0), true, 'and none of them harms another');
});

test('100-continue and interim answers arrive, HEAD has no body', async () => {
  using client = plain();
  origin.on('/expect', (request) => {
    request.socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n');
    request.socket.once('data', () => request.socket.write(answer('done', 'Connection: close\r\n')));
    return null;
  }, { early: true });
  const sent = client.begin({ ':method': 'PUT', ':path': '/expect', 'content-length': '3', expect: '100-continue' }, null);
  await until('both', () => sent.interim.length === 2);
  assert.deepEqual(sent.interim.map((each) => [each[':status'], each['link']]), [[103, '</a.css>'], [100, undefined]]);
  sent.stream.end('abc');
  await until('the answer', () => sent.code !== null);
  assert.equal(sent.body, 'done');
  const head = await client.ask({ ':method': 'HEAD', ':path': '/head' });
  assert.deepEqual([head.headers?.[':status'], head.headers?.['content-length'], head.body], [200, '2', '']);
});

test('an upstream that breaks off leaves no whole answer behind', async () => {
  using client = plain();
  origin.on('/half', (request) => {
    request.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
    setTimeout(() => request.socket.destroy(), 20);
    return null;
  });
  const half = await client.ask({ ':path': '/half' });
  assert.deepEqual([half.headers?.[':status'], half.code], [200, constants.NGHTTP2_INTERNAL_ERROR]);
  assert.equal((await client.ask({ ':path': '/after' })).code, 0);
});

test('a request that is given up ends at the upstream, and its neighbours go on', async () => {
  using client = plain();
  let gone = false;
  origin.on('/slow', (request) => {
    request.socket.on('close', () => void (gone = true));
    return null;
  });
  let finish: (() => void) | null = null;
  origin.on('/neighbour', (request) => {
    finish = () => void request.socket.write(answer('late'));
    return null;
  });
  const neighbour = client.begin({ ':path': '/neighbour' });
  const slow = client.begin({ ':path': '/slow' });
  await until('both to be there', () => finish !== null && origin.seen.some((each) => each.path === '/slow'));
  slow.stream.close(constants.NGHTTP2_CANCEL);
  await until('the upstream to hear', () => gone);
  finish!();
  await until('the neighbour', () => neighbour.code !== null);
  assert.equal(neighbour.body, 'late');
});

test('a device through the tunnel, a person and a program', async () => {
  await using web = await startOrigin();
  const printer = await gateway.addDevice({ name: 'Printer', ports: [{ number: web.port, kind: 'http' }] });
  const { token } = await gateway.owner();
  const authority = `printer.localhost:${gateway.ports.http}`;
  using client = plain(authority);
  web.on('/page', answer('a page', 'Location: http://127.0.0.1/x\r\nSet-Cookie: s=1; Domain=localhost\r\nConnection: keep-alive\r\n'));
  for (let i = 0; i < 3; i++) {
    const page = await client.ask({ ':path': '/page', 'postern-token': token });
    assert.deepEqual([page.headers?.[':status'], page.body, page.headers?.['set-cookie']], [200, 'a page', ['s=1']]);
  }
  assert.doesNotMatch(web.last('/page').head, /postern/i);
  const stranger = await client.ask({ ':path': '/page', accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' });
  assert.equal(stranger.headers?.[':status'], 303);
  assert.equal(web.seen.length, 3);
  await printer.stop();
});

test('the console\'s API, and what takes a whole connection', async () => {
  const { token } = await gateway.owner();
  using client = secure();
  const me = await client.ask({ ':path': '/api/v1/me', authorization: `Bearer ${token}` });
  assert.equal(me.headers?.[':status'], 200);
  assert.equal((await client.ask({ ':path': '/stream' })).code, constants.NGHTTP2_HTTP_1_1_REQUIRED);
  assert.equal(client.session.remoteSettings.enableConnectProtocol, false);
  assert.equal((await client.ask({ ':path': '/api/v1/me', authorization: `Bearer ${token}` })).headers?.[':status'], 200);
});

test('HTTP/1.1 on the same port for who offers nothing else, or nothing', async () => {
  for (const ALPNProtocols of [['http/1.1'], []]) {
    const socket = connectTls({ host: '127.0.0.1', port: gateway.ports.https, servername: 'localhost', rejectUnauthorized: false, ALPNProtocols });
    let text = '';
    socket.on('data', (piece) => void (text += piece.toString('latin1')));
    socket.on('error', () => {});
    await new Promise<void>((done) => socket.on('secureConnect', () => done()));
    socket.write(`GET /one HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
    await until('an answer', () => text.endsWith('ok'));
    socket.destroy();
  }
});

test('an upgrade to h2c is not followed', async () => {
  const text = await exchangeRaw(gateway.ports.http, `GET /h2c HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`);
  assert.match(text, /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(origin.last('/h2c').head, /upgrade|settings/i);
});

test('large heads: 431, and the order to clear cookies on our own names', async () => {
  using client = secure();
  const cookie = Array.from({ length: 20 }, (_, i) => `flood${i}=${'x'.repeat(1_000)}`);
  const own = await client.ask({ ':path': '/', cookie, accept: 'text/html', 'sec-fetch-site': 'none' });
  assert.deepEqual([own.headers?.[':status'], own.headers?.['clear-site-data']], [431, '"cookies"']);
  const foreign = await client.ask({ ':authority': HOST, ':path': '/', cookie });
  assert.deepEqual([foreign.headers?.[':status'], foreign.headers?.['clear-site-data']], [431, undefined]);
});

test('nothing is left behind', async () => {
  await finishesCleanly(gateway);
});

test('closing the gateway: a request in progress is answered, the connection told', async () => {
  await using own = await startOrigin();
  const drained = await startGateway({ routes: [{ name: 'own', host: HOST, path: '/', target: { kind: 'tcp', host: '127.0.0.1', port: own.port }, largeHeads: false, listeners: ['http'] }] });
  using client = openHttp2Client(`http://127.0.0.1:${drained.ports.http}`, HOST);
  let finish: (() => void) | null = null;
  own.on('/slow', (request) => {
    finish = () => void request.socket.write(answer('in time'));
    return null;
  });
  const slow = client.begin({ ':path': '/slow' });
  await until('it to be there', () => finish);
  const closing = drained.close(5_000);
  await until('the farewell', () => client.goaways.length > 0);
  finish!();
  await until('the answer', () => slow.code !== null);
  assert.deepEqual([slow.body, slow.code, client.goaways[0]], ['in time', 0, 0]);
  await closing;
});
