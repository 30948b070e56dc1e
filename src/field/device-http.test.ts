// The device's HTTP client against real sockets: keys, certificates, proxies, and servers that answer badly.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer as createHttpServer, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { isFault } from '#base/fault.ts';
import { Secret } from '#base/secret.ts';
import { pinOfFingerprint } from '#wire/device.ts';
import { makeCertificate } from '../../test/kit/authority.ts';
import type { Made } from '../../test/kit/authority.ts';
import { fastClock } from '../../test/kit/field-room.ts';
import { startTcp } from '../../test/kit/gateway.ts';
import { startPushServer } from '../../test/kit/push-server.ts';
import { DeviceHttp, isConnectFault } from './device-http.ts';
import type { Ask, Server } from './device-http.ts';

const never = new AbortController().signal;
const plainServer: Server = { id: 'main', pins: [], ca: null, key: null, signs: false, certificate: null, proxy: null };
const openHttp = (factor = 1) => new DeviceHttp({ clock: fastClock(factor), random: randomBytes, nowMs: Date.now, product: 'postern-test' });
const push = (base: string, body = 'hello\n'): Ask => ({ method: 'POST', base, suffix: '/push/SN1/cdr/0011223344556677?o=0', fields: { 'X-Postern-SHA256': '' }, body: Buffer.from(body) });
const checkIn = (base: string): Ask => ({ method: 'POST', base, suffix: '/check-in/SN1', fields: {}, body: Buffer.from('why=boot\n') });
const pinOf = (made: Made) => pinOfFingerprint(made.keyFingerprint);

async function authority() {
  const now = Date.now();
  const ca = await makeCertificate({ name: 'A public CA', ca: true, now });
  const leaf = (name = '127.0.0.1') => makeCertificate({ name, issuer: ca, now, names: name === '127.0.0.1' ? [{ type: 'ip', value: name }] : [{ type: 'dns', value: name }] });
  return { ca, leaf };
}

/** TLS that counts what it is told, and tells nothing. */
async function startTrap(made: Made) {
  let bytes = 0;
  let handshakes = 0;
  const sockets = new Set<Socket>();
  const server = createTlsServer({ key: made.keyPem, cert: made.pem }, (socket) => {
    handshakes += 1;
    socket.on('data', (piece: Buffer) => (bytes += piece.length));
    socket.on('error', () => {});
  });
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.on('tlsClientError', () => {});
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  return {
    base: `https://127.0.0.1:${(server.address() as AddressInfo).port}/v1/default`,
    counts: () => ({ bytes, handshakes }),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

test('a server that is not on the list gets a handshake and not one byte, however good its certificate', async () => {
  const { ca, leaf } = await authority();
  const [real, other] = [await leaf(), await leaf()];
  await using trap = await startTrap(other);
  await using http = openHttp();
  const fault = await http.ask({ ...plainServer, pins: [pinOf(real)], ca: ca.pem }, push(trap.base), never).catch((thrown: unknown) => thrown);
  assert.ok(isFault(fault, 'forbidden') && isConnectFault(fault), String(fault));
  assert.match(fault.message, /not on the list/);
  assert.ok(fault.message.includes(pinOf(other)), 'and says which key it was');
  assert.equal(trap.counts().bytes, 0);
});

test('without a list the trust store decides; with one, self-signed and expired certificates of a listed key do', async () => {
  const { ca, leaf } = await authority();
  const [good, wrongName] = [await leaf(), await leaf('other.example.test')];
  const old = await makeCertificate({ name: 'old', now: Date.now() - 200 * 86_400_000, days: 10 });
  await using http = openHttp();
  for (const [made, server, works] of [
    [good, { ...plainServer, ca: ca.pem }, true],
    [good, plainServer, false],
    [wrongName, { ...plainServer, ca: ca.pem }, false],
    [wrongName, { ...plainServer, pins: [pinOf(good), pinOf(wrongName)] }, true],
    [old, { ...plainServer, pins: [pinOf(old)] }, true],
  ] as const) {
    await using server1 = await startPushServer({ tls: { key: made.keyPem, cert: made.pem } });
    const got = await http.ask({ ...server, id: `${server1.port}` }, checkIn(server1.base), never).catch((thrown: unknown) => thrown);
    assert.equal(!isFault(got), works, `${made.name}: ${String(got)}`);
    assert.equal(server1.seen.length, works ? 1 : 0);
    if (!isFault(got)) assert.equal((got as { pin: string }).pin, pinOf(made));
  }
});

test('the key goes over TLS alone; over plain http the request is signed, and the answer is checked', async () => {
  const { leaf } = await authority();
  const made = await leaf();
  await using secure = await startPushServer({ key: 'the key', tls: { key: made.keyPem, cert: made.pem } });
  await using plain = await startPushServer({ key: 'the key' });
  await using http = openHttp();
  const server: Server = { ...plainServer, key: new Secret('the key'), pins: [pinOf(made)] };
  const first = await http.ask(server, checkIn(secure.base), never);
  assert.deepEqual([first.status, first.signed, secure.seen[0]!.headers['x-postern-key']], [200, false, 'the key']);
  const second = await http.ask(server, checkIn(plain.base), never);
  assert.deepEqual([second.status, second.signed, plain.seen[0]!.headers['x-postern-key']], [200, true, undefined]);
  const third = await http.ask({ ...server, signs: true }, checkIn(secure.base), never);
  assert.deepEqual([third.status, third.signed, secure.seen.at(-1)!.headers['x-postern-key']], [200, true, undefined]);
  const wrong = await http.ask({ ...server, key: new Secret('another') }, checkIn(plain.base), never);
  assert.deepEqual([wrong.status, wrong.signed], [401, false]);
  const nonces = new Set(plain.seen.map(({ headers }) => String(headers['x-postern-sign']).split(',')[2]));
  assert.equal(nonces.size, plain.seen.length);
});

test('one connection at a time; kept for the same server, a new one for another or another list', async () => {
  await using one = await startPushServer();
  await using two = await startPushServer();
  await using http = openHttp();
  await Promise.all([http.ask(plainServer, checkIn(one.base), never), http.ask(plainServer, checkIn(one.base), never), http.ask(plainServer, checkIn(one.base), never)]);
  assert.equal(one.counts.connections, 1);
  await http.ask(plainServer, checkIn(two.base), never);
  await http.ask(plainServer, checkIn(one.base), never);
  assert.equal(one.counts.connections, 2);
  await http.ask({ ...plainServer, pins: ['sha256//x'] }, checkIn(one.base), never);
  assert.equal(one.counts.connections, 3);
});

test('a kept connection that the server closed meanwhile is no failure', async () => {
  let count = 0;
  await using server = await startTcp((socket) => {
    socket.on('data', () => {
      count += 1;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nnext=${count}\n`, () => count === 1 && setTimeout(() => socket.resetAndDestroy(), 5));
    });
  });
  await using http = openHttp();
  const base = `http://127.0.0.1:${server.port}/v1/default`;
  assert.equal((await http.ask(plainServer, checkIn(base), never)).values.get('next'), '1');
  await new Promise((done) => setTimeout(done, 20));
  assert.equal((await http.ask(plainServer, checkIn(base), never)).values.get('next'), '2');
});

const answers: readonly (readonly [string, string, RegExp])[] = [
  ['cut in the head', 'HTTP/1.1 200 OK\r\nContent-Le', /broke off|cut/],
  ['cut in the body', 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 30\r\n\r\nnext=12', /cut|broke off/],
  ['cut in a chunk', 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nnext=12', /cut|broke off/],
  ['without a length', 'HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nnext=12\n', /length/],
  ['too long', `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(100_000)}`, /longer/],
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', /broke off/],
  ['nothing', '', /broke off/],
];
for (const [what, text, why] of answers) {
  test(`an answer that is none: ${what}`, async () => {
    await using server = await startTcp((socket) => socket.once('data', () => socket.end(text)));
    await using http = openHttp();
    const fault = await http.ask(plainServer, push(`http://127.0.0.1:${server.port}/v1/default`), never).catch((thrown: unknown) => thrown);
    assert.ok(isFault(fault) && why.test(fault.message) && !isConnectFault(fault), String(fault));
  });
}

test('a server that says nothing is given up in time; one that knows no Expect gets its body all the same', async () => {
  let received = 0;
  await using server = await startTcp((socket) => {
    socket.on('data', (piece) => {
      received += piece.length;
      if (received > 100_000) socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nnext=1\n');
    });
  });
  await using http = openHttp(100);
  const base = `http://127.0.0.1:${server.port}/v1/default`;
  const answer = await http.ask(plainServer, push(base, 'x'.repeat(100_000)), never);
  assert.deepEqual([answer.values.get('next'), answer.bodySent], ['1', true]);
  received = -1_000_000;
  const fault = await http.ask(plainServer, push(base), never).catch((thrown: unknown) => thrown);
  assert.ok(isFault(fault, 'timeout'), String(fault));
});

/** An HTTP proxy with Basic credentials that counts what passes. */
async function startProxy(credentials: string) {
  const lines: string[] = [];
  const sockets = new Set<Socket>();
  const allowed = (field: string | undefined) => field === `Basic ${Buffer.from(credentials).toString('base64')}`;
  const proxy = createHttpServer((request, response) => {
    lines.push(`${request.method} ${request.url}`);
    if (!allowed(request.headers['proxy-authorization'])) return void response.writeHead(407).end();
    const url = new URL(request.url!);
    const { 'proxy-authorization': _, ...headers } = request.headers;
    const onward = httpRequest({ host: url.hostname, port: url.port, method: request.method, path: url.pathname + url.search, headers, setHost: false }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  proxy.on('connection', (socket) => sockets.add(socket));
  proxy.on('connect', (request, socket) => {
    lines.push(`CONNECT ${request.url}`);
    if (!allowed(request.headers['proxy-authorization'])) return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
    const [host, port] = request.url!.split(':');
    const onward = connect(Number(port), host!, () => {
      socket.write('HTTP/1.1 200 Connection established\r\nX-Long: yes\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    sockets.add(onward);
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
  });
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', () => done()));
  return {
    port: (proxy.address() as AddressInfo).port,
    lines,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => proxy.close(done));
    },
  };
}

test('through an HTTP proxy: the whole address for http, CONNECT for https, and the list still decides', async () => {
  const { leaf } = await authority();
  const [made, other] = [await leaf(), await leaf()];
  await using plain = await startPushServer({ key: 'the key' });
  await using secure = await startPushServer({ key: 'the key', tls: { key: made.keyPem, cert: made.pem } });
  await using proxy = await startProxy('device:geheim');
  await using http = openHttp();
  const through = (credentials: string | null) => ({ host: '127.0.0.1', port: proxy.port, credentials: () => Promise.resolve(credentials) });
  const server: Server = { ...plainServer, key: new Secret('the key'), pins: [pinOf(made)], proxy: through('device:geheim') };
  const first = await http.ask(server, checkIn(plain.base), never);
  assert.deepEqual([first.status, first.signed], [200, true], 'the signature survives the proxy');
  assert.equal(proxy.lines[0], `POST ${plain.base}/check-in/SN1`);
  const second = await http.ask(server, checkIn(secure.base), never);
  assert.deepEqual([second.status, second.pin], [200, pinOf(made)]);
  assert.equal(proxy.lines[1], `CONNECT 127.0.0.1:${secure.port}`);
  const refused = await http.ask({ ...server, id: 'other', pins: [pinOf(other)] }, checkIn(secure.base), never).catch((thrown: unknown) => thrown);
  assert.ok(isConnectFault(refused), String(refused));
  assert.equal(secure.seen.length, 1);
  const wrong = await http.ask({ ...server, id: 'wrong', proxy: through('device:falsch') }, checkIn(secure.base), never).catch((thrown: unknown) => thrown);
  assert.ok(isFault(wrong, 'forbidden') && /407/.test(wrong.message), String(wrong));
});

test('over a stream that is handed in: believed as the link, a new stream for each request', async () => {
  let streams = 0;
  const peer = createHttpServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 7 }).end('next=5\n'));
  });
  await using http = openHttp();
  const server: Server = {
    ...plainServer,
    dial: () => {
      streams += 1;
      const [near, far] = duplexPair();
      peer.emit('connection', far);
      return Promise.resolve({ stream: near, over: 'link', pin: null });
    },
  };
  for (const _ of [1, 2]) {
    const answer = await http.ask(server, push('http://link.localhost/v1/default'), never);
    assert.deepEqual([answer.status, answer.over, answer.values.get('next')], [200, 'link', '5']);
  }
  assert.equal(streams, 2);
  const fault = await http.ask({ ...server, dial: () => Promise.reject(new Error('no link')) }, push('http://link.localhost/v1/default'), never).catch((thrown: unknown) => thrown);
  assert.ok(isConnectFault(fault), String(fault));
});

test('whoever gives up is not waited for', async () => {
  await using server = await startTcp(() => {});
  await using http = openHttp();
  const abort = new AbortController();
  const asked = http.ask(plainServer, push(`http://127.0.0.1:${server.port}/v1/default`), abort.signal).catch((thrown: unknown) => thrown);
  setTimeout(() => abort.abort(), 20);
  assert.ok(isFault(await asked, 'closed'));
});
