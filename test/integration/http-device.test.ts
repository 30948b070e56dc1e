// A device's public name: who may come in, from which pages, what the device sees and what it can say, and how running exchanges end.
import assert from 'node:assert/strict';
import { createServer as createTlsServer } from 'node:tls';
import type { AddressInfo, Socket } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { connect } from 'node:net';
import type { DevicePort } from '#model/rows.ts';
import { exchangeRaw, finishesCleanly, request, startGateway, startTcp, until, type Person, type TestDevice, type TestGateway } from '../kit/gateway.ts';
import { answer, startOrigin, type Origin } from '../kit/origin.ts';
import { testLeaf } from '../kit/test-leaf.ts';

let gateway: TestGateway;
let web: Origin;
let admin: Origin;
let printer: TestDevice;
let owner: Person;
let host: string;
let origin: string;
let cookie: string;

before(async () => {
  web = await startOrigin();
  admin = await startOrigin();
  gateway = await startGateway();
  printer = await gateway.addDevice({ name: 'Printer', ports: [{ number: web.port, kind: 'http' }, { number: admin.port, kind: 'http' }, { number: 9100, kind: 'tcp' }] });
  owner = await gateway.owner();
  host = `printer.localhost:${gateway.ports.http}`;
  origin = `http://${host}`;
  cookie = await signInAt('printer.localhost');
});
after(async () => {
  await gateway.close();
  await web[Symbol.asyncDispose]();
  await admin[Symbol.asyncDispose]();
});
const opened = new Set<Socket>();
afterEach(() => {
  for (const socket of opened) socket.destroy();
  opened.clear();
});

const cookieOf = (headers: Record<string, string | string[] | undefined>) => String(headers['set-cookie']).split(';', 1)[0]!;

/** As a browser goes: sent to the console, handed over, back with the cookie of this host. */
async function signInAt(name: string, by = owner.cookie): Promise<string> {
  const to = { host: `${name}:${gateway.ports.http}` };
  const sent = await request(gateway.ports.http, { headers: { ...to, accept: 'text/html' } });
  assert.equal(sent.status, 303);
  const asked = new URL(String(sent.headers['location'])).searchParams.get('asked');
  const handed = await gateway.api('POST', '/hand-over', { cookie: by, body: { host: name, port: gateway.ports.http, path: '/', asked } });
  assert.equal(handed.status, 200, handed.text);
  const url = new URL(handed.json['to'] as string);
  const entered = await request(gateway.ports.http, { path: url.pathname + url.search, headers: { ...to, cookie: cookieOf(sent.headers) } });
  assert.equal(entered.status, 303);
  return cookieOf(entered.headers);
}

const ask = (path: string, headers: Record<string, string> = {}, method = 'GET') => request(gateway.ports.http, { method, path, headers: { host, ...headers } });
const asPerson = (path: string, headers: Record<string, string> = {}, method = 'GET') => ask(path, { cookie, 'sec-fetch-site': 'same-origin', ...headers }, method);
const asProgram = (path: string, headers: Record<string, string> = {}, method = 'GET') => ask(path, { 'postern-token': owner.token, ...headers }, method);
const clean = () => finishesCleanly(gateway);
const codeOf = (answered: { body: Buffer }) => (JSON.parse(answered.body.toString()) as { code: string }).code;

async function dial(): Promise<{ socket: Socket; text(): string; closed(): boolean }> {
  const socket = connect({ host: '127.0.0.1', port: gateway.ports.http, noDelay: true });
  let text = '';
  let closed = false;
  socket.on('data', (piece) => void (text += piece.toString('latin1'))).on('close', () => void (closed = true)).on('error', () => {});
  opened.add(socket);
  await new Promise<void>((done) => socket.on('connect', () => done()));
  return { socket, text: () => text, closed: () => closed };
}

test('nobody is let in without a sign-in: people are sent to it, programs are told', async () => {
  const person = await ask('/deep?x=1', { accept: 'text/html' });
  assert.equal(person.status, 303);
  assert.match(String(person.headers['location']), new RegExp(`^http://localhost:${gateway.ports.http}/open\\?host=printer\\.localhost`));
  for (const headers of [{ accept: 'application/json' }, { accept: 'text/html', 'sec-fetch-mode': 'cors' }, { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' }] as Record<string, string>[]) {
    const program = await ask('/deep', headers);
    assert.equal(program.status, 401, JSON.stringify(headers));
    assert.equal(program.headers['www-authenticate'], 'Postern-Token realm="postern"');
  }
  assert.equal((await ask('/deep', { accept: 'text/html' }, 'POST')).status, 401);
  const wrong = await ask('/deep', { 'postern-token': 'postern_aaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', cookie });
  assert.equal(wrong.status, 401, 'a wrong token is not made good by a cookie');
  assert.equal(web.seen.length, 0);
  await clean();
});

test('the cookie of one device\'s host is worth nothing on another, nor bent', async () => {
  const other = `other.localhost:${gateway.ports.http}`;
  assert.equal((await request(gateway.ports.http, { headers: { host: other, cookie } })).status, 401);
  const bent = cookie.slice(0, -1) + (cookie.endsWith('A') ? 'B' : 'A');
  assert.equal((await ask('/', { cookie: bent })).status, 401);
  assert.equal((await ask('/', { cookie: `${cookie}; ${cookie}`, 'sec-fetch-site': 'same-origin' })).status, 401, 'twice: one of them was planted');
  await clean();
});

test('what a device sees: its own address as Host, translated Origin and Referer, no cookie or token of ours', async () => {
  await asPerson('/sees', { cookie: `a=1; ${cookie}; __Host-postern=x; __Secure-postern-y=z; b=2`, origin, referer: `${origin}/page?x`, authorization: 'Basic ZGV2aWNl', 'x-forwarded-for': '203.0.113.1' });
  const lines = web.last('/sees').head.split('\r\n');
  assert.ok(lines.includes(`Host: 127.0.0.1:${web.port}`));
  assert.ok(lines.includes('cookie: a=1; b=2'), lines.join('\n'));
  assert.ok(lines.includes(`origin: http://127.0.0.1:${web.port}`));
  assert.ok(lines.includes(`referer: http://127.0.0.1:${web.port}/page?x`));
  assert.ok(lines.includes('authorization: Basic ZGV2aWNl'));
  assert.ok(lines.includes('X-Forwarded-For: 127.0.0.1'));
  assert.ok(lines.includes(`X-Forwarded-Host: ${host}`));
  assert.equal(lines.filter((line) => /^(host|x-forwarded-for|origin):/i.test(line)).length, 3);
  await asPerson('/only-ours', { cookie });
  assert.doesNotMatch(web.last('/only-ours').head, /\r\ncookie:|postern/i);
  await asProgram('/token');
  assert.doesNotMatch(web.last('/token').head, /postern-token/i);
  await clean();
});

test('what a device says: its own addresses become public ones, cookies stay on its host, nothing speaks for the whole name', async () => {
  const own = `http://127.0.0.1:${web.port}`;
  web.on(
    '/says',
    answer('x', `Location: ${own}/next?a=${own}\r\nContent-Location: //127.0.0.1:${admin.port}/admin\r\nRefresh: 5; url=${own}/again\r\nSet-Cookie: a=1; Domain=localhost; Path=/x; Secure; HttpOnly\r\nSet-Cookie: __Host-postern-device=stolen; Path=/; Secure\r\nSet-Cookie: =__Host-postern-device=stolen; Path=/\r\nSet-Cookie: __HOST-POSTERN=stolen\r\nAlt-Svc: h3=":443"\r\nClear-Site-Data: "*"\r\nPostern-Request: forged\r\nX-Own: kept\r\n`, '302 Found'),
  );
  const said = await asPerson('/says');
  assert.equal(said.headers['location'], `${origin}/next?a=${own}`);
  assert.equal(said.headers['content-location'], `http://printer--${admin.port}.localhost:${gateway.ports.http}/admin`);
  assert.equal(said.headers['refresh'], `5; url=${origin}/again`);
  assert.deepEqual(said.headers['set-cookie'], ['a=1; Path=/x; HttpOnly']);
  for (const name of ['alt-svc', 'clear-site-data', 'postern-request']) assert.equal(said.headers[name], undefined, name);
  assert.equal(said.headers['x-own'], 'kept');
  await clean();
});

test('another port of the device has a name of its own, and a sign-in of its own', async () => {
  const name = `printer--${admin.port}.localhost`;
  assert.equal((await request(gateway.ports.http, { headers: { host: `${name}:${gateway.ports.http}`, cookie, 'sec-fetch-site': 'same-origin' } })).status, 401);
  const there = await signInAt(name);
  const reached = await request(gateway.ports.http, { path: '/admin', headers: { host: `${name}:${gateway.ports.http}`, cookie: there, 'sec-fetch-site': 'same-origin' } });
  assert.equal(reached.status, 200);
  assert.ok(admin.last('/admin'));
  await clean();
});

test('a device that is told the public name is told it everywhere', async () => {
  const id = printer.device.id;
  assert.equal((await gateway.api('PATCH', `/devices/${id}`, { token: owner.token, body: { hostHeader: 'public' } })).status, 200);
  web.on('/public', answer('x', `Location: http://${host}/next\r\n`, '302 Found'));
  const said = await asPerson('/public', { origin });
  const { head } = web.last('/public');
  assert.match(head, new RegExp(`\r\nhost: ${host}\r\n`, 'i'));
  assert.match(head, new RegExp(`\r\norigin: ${origin}\r\n`));
  assert.equal(said.headers['location'], `${origin}/next`);
  assert.equal((await gateway.api('PATCH', `/devices/${id}`, { token: owner.token, body: { hostHeader: 'own' } })).status, 200);
  await clean();
});

const crossHost: readonly (readonly [string, string, Record<string, string>, number])[] = [
  ['its own page', 'GET', { 'sec-fetch-site': 'same-origin' }, 200],
  ['its own page posts', 'POST', { 'sec-fetch-site': 'same-origin' }, 200],
  ['typed into the browser', 'GET', { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }, 200],
  ['a link on a neighbour\'s page', 'GET', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }, 200],
  ['a link on a stranger\'s page', 'GET', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }, 200],
  ['an <img> on a neighbour\'s page', 'GET', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }, 403],
  ['an iframe', 'GET', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' }, 403],
  ['a fetch', 'GET', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }, 403],
  ['a form of a neighbour', 'POST', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }, 403],
  ['HEAD by a neighbour', 'HEAD', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }, 403],
  ['two values', 'GET', { 'sec-fetch-site': 'same-origin, cross-site' }, 403],
  ['a value nobody knows', 'GET', { 'sec-fetch-site': 'same-planet' }, 403],
  ['old browser: its own Origin', 'POST', { origin: 'own' }, 200],
  ['old browser: a neighbour\'s Origin', 'POST', { origin: 'http://other.localhost' }, 403],
  ['old browser: the Origin without its port', 'POST', { origin: 'http://printer.localhost' }, 403],
  ['old browser: Origin null', 'POST', { origin: 'null' }, 403],
  ['old browser: a neighbour\'s Origin, a Referer of its own', 'POST', { origin: 'http://other.localhost', referer: 'own' }, 403],
  ['old browser: its own Referer', 'GET', { referer: 'own', accept: 'image/*' }, 200],
  ['old browser: a Referer that begins like its own', 'POST', { referer: 'ownevil' }, 403],
  ['old browser: an <img> without anything', 'GET', { accept: 'image/*' }, 403],
  ['old browser: a link followed', 'GET', { accept: 'text/html', referer: 'http://other.localhost/' }, 200],
  ['old browser: a form without anything', 'POST', { accept: 'text/html' }, 403],
];
for (const [title, method, headers, status] of crossHost) {
  test(`from which page: ${title}`, async () => {
    const path = `/cross-${title.replace(/\W+/g, '-')}`;
    const filled = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value === 'own' ? (name === 'referer' ? `${origin}/a` : origin) : value === 'ownevil' ? `${origin}.evil.example.test/` : value]));
    const answered = await ask(path, { cookie, ...filled }, method);
    assert.equal(answered.status, status);
    assert.equal(web.seen.some((each) => each.path === path), status === 200);
    await clean();
  });
}

test('a WebSocket of another page is refused, one of its own is not', async () => {
  web.on('/ws', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome', { early: true });
  const upgrade = (lines: string) => exchangeRaw(gateway.ports.http, `GET /ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCookie: ${cookie}\r\nAccept: text/html\r\n${lines}\r\n`, { enough: (text) => text.endsWith('welcome') || text.endsWith('}\n') || text.endsWith('</html>\n') });
  assert.match(await upgrade('Origin: http://other.localhost\r\n'), /^HTTP\/1\.1 403 /);
  assert.match(await upgrade(''), /^HTTP\/1\.1 403 /, 'without any word of where it comes from');
  assert.match(await upgrade('Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n'), /^HTTP\/1\.1 403 /);
  assert.equal(web.seen.filter((each) => each.path === '/ws').length, 0);
  assert.match(await upgrade(`Origin: ${origin}\r\n`), /^HTTP\/1\.1 101 .*welcome$/s);
  assert.match(web.last('/ws').head, new RegExp(`\r\nOrigin: http://127\\.0\\.0\\.1:${web.port}`));
  await clean();
});

test('rights: seeing is not opening; a token with narrower rights has no others', async () => {
  const made = await gateway.api('POST', '/tokens', { cookie: owner.cookie, body: { name: 'sees', rights: [{ action: 'see', scopeKind: 'gateway', scopeId: null }] } });
  const seeing = await ask('/', { 'postern-token': made.json['secret'] as string });
  assert.equal(seeing.status, 403);
  assert.equal(codeOf(seeing), 'forbidden');
  const one = await gateway.api('POST', '/tokens', { cookie: owner.cookie, body: { name: 'opens', rights: [{ action: 'open', scopeKind: 'device', scopeId: printer.device.id }] } });
  assert.equal((await ask('/', { 'postern-token': one.json['secret'] as string })).status, 200);
  await clean();
});

test('ports: one that is not a page, one that is not there; labels: former ones redirect, unknown ones are 404 for whoever is signed in', async () => {
  const at = (name: string, path = '/x?y') => request(gateway.ports.http, { path, headers: { host: `${name}.localhost:${gateway.ports.http}`, 'postern-token': owner.token } });
  const tcp = await at('printer--9100');
  assert.equal(tcp.status, 404);
  assert.match(tcp.body.toString(), /Port 9100 of Printer speaks tcp, not a web page.*postern forward printer 9100/);
  assert.match((await at('printer--1')).body.toString(), /Port 1 of Printer is not among its ports/);
  assert.equal((await at('nosuch')).status, 404);
  assert.equal((await at('printer--99999')).status, 404);
  assert.equal((await at('a.printer')).status, 421);
  const renamed = await gateway.api('PATCH', `/devices/${printer.device.id}`, { token: owner.token, body: { label: 'plotter' } });
  assert.equal(renamed.status, 200, renamed.text);
  const old = await at(`printer--${admin.port}`);
  assert.equal(old.status, 308);
  assert.equal(old.headers['location'], `http://plotter--${admin.port}.localhost:${gateway.ports.http}/x?y`);
  assert.equal((await gateway.api('PATCH', `/devices/${printer.device.id}`, { token: owner.token, body: { label: 'printer' } })).status, 200);
  assert.equal((await asPerson('/after-rename')).status, 200);
  await clean();
});

test('what is the gateway\'s on a device\'s host', async () => {
  assert.equal((await ask('/.postern/enter?code=wrong')).status, 410);
  assert.equal((await ask('/.postern/enter?code=wrong', {}, 'POST')).status, 405);
  assert.equal((await ask('/.postern/anything')).status, 404);
  assert.equal((await ask('/.postern/../x')).status, 404);
  assert.ok(web.seen.every((each) => !each.path.startsWith('/.postern')));
  await clean();
});

/** A download without end through the device; resolves once it runs. */
async function download(path: string, headers: string): Promise<{ socket: Socket; text(): string; closed(): boolean; upstreamClosed(): boolean }> {
  let upstreamClosed = false;
  web.on(path, ({ socket }) => {
    const timer = setInterval(() => socket.write('4\r\nmore\r\n'), 5);
    socket.on('close', () => {
      clearInterval(timer);
      upstreamClosed = true;
    });
    return 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  });
  const client = await dial();
  client.socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`);
  await until('the download to run', () => client.text().includes('more'));
  return { ...client, upstreamClosed: () => upstreamClosed };
}

const cutAtOnce = async (running: Awaited<ReturnType<typeof download>>) => {
  await until('the client to be cut', () => running.closed());
  await until('the device to be left alone', () => running.upstreamClosed());
  assert.ok(!running.text().endsWith('0\r\n\r\n'), 'no false end');
};

test('revoking a token cuts what runs under it, and nothing else', async () => {
  const made = await gateway.api('POST', '/tokens', { cookie: owner.cookie, body: { name: 'short-lived' } });
  const secret = made.json['secret'] as string;
  const other = await download('/down-other', `Postern-Token: ${owner.token}\r\n`);
  const running = await download('/down-token', `Postern-Token: ${secret}\r\n`);
  await gateway.api('DELETE', `/tokens/${(made.json['token'] as { id: string }).id}`, { cookie: owner.cookie });
  await cutAtOnce(running);
  assert.equal(other.closed(), false);
  assert.equal((await ask('/', { 'postern-token': secret })).status, 401);
  other.socket.destroy();
  await clean();
});

test('ending a sign-in cuts what runs under it on every device\'s host', async () => {
  const signedIn = await gateway.api('POST', '/sign-in', { body: { login: 'owner', password: 'correct horse battery staple' } });
  assert.equal(signedIn.status, 200, signedIn.text);
  const second = cookieOf(signedIn.headers as Record<string, string>);
  const there = await signInAt('printer.localhost', second);
  const running = await download('/down-sign-in', `Cookie: ${there}\r\nSec-Fetch-Site: same-origin\r\n`);
  assert.equal((await gateway.api('DELETE', '/sign-in', { cookie: second })).status, 200);
  await cutAtOnce(running);
  assert.equal((await ask('/', { cookie: there, 'sec-fetch-site': 'same-origin' })).status, 401);
  assert.equal((await asPerson('/still')).status, 200, 'the other sign-in is untouched');
  await clean();
});

test('locking a device cuts its visits; then it says that it is locked', async () => {
  const running = await download('/down-lock', `Postern-Token: ${owner.token}\r\n`);
  assert.ok((await gateway.api('POST', `/devices/${printer.device.id}/lock`, { token: owner.token })).status < 300);
  await cutAtOnce(running);
  const locked = await asProgram('/');
  assert.equal(locked.status, 403);
  assert.equal(codeOf(locked), 'locked');
  assert.ok((await gateway.api('POST', `/devices/${printer.device.id}/unlock`, { token: owner.token })).status < 300);
  assert.equal((await asProgram('/')).status, 200);
  await clean();
});

test('a device whose agent is gone: 503, since when, and back by itself', async () => {
  assert.equal((await asProgram('/before')).status, 200);
  await printer.stop();
  await until('the link to be gone', () => !gateway.live.linkOf(printer.device.agentId));
  const offline = await asProgram('/', { accept: 'text/html' });
  assert.equal(offline.status, 503);
  assert.equal(offline.headers['retry-after'], '5');
  assert.match(offline.body.toString(), /offline.*since \d{4}-\d\d-\d\d|offline.*since/i);
  await printer.start();
  assert.equal((await asProgram('/back')).status, 200);
  await clean();
});

test('a port where nobody listens is 502 and says so', async () => {
  const silent = await startTcp(() => {});
  const { port } = silent;
  await silent[Symbol.asyncDispose]();
  const gone = await gateway.addDevice({ name: 'Gone', ports: [{ number: port, kind: 'http' }] });
  const answered = await request(gateway.ports.http, { headers: { host: `gone.localhost:${gateway.ports.http}`, 'postern-token': owner.token } });
  assert.equal(answered.status, 502);
  assert.equal(codeOf(answered), 'unreachable');
  await gone.stop();
  await clean();
});

test('every visit is in the audit with its bytes', async () => {
  const made = await gateway.api('POST', '/tokens', { cookie: owner.cookie, body: { name: 'audited' } });
  const token = made.json['secret'] as string;
  web.on('/audited', answer('0123456789'));
  await request(gateway.ports.http, { method: 'POST', path: '/audited', headers: { host, 'postern-token': token, 'content-length': '4' }, body: 'abcd' });
  await request(gateway.ports.http, { path: '/audited', headers: { host, 'postern-token': token } });
  await gateway.api('DELETE', `/tokens/${(made.json['token'] as { id: string }).id}`, { cookie: owner.cookie });
  const closed = await until('the closing line', async () => {
    const audit = await gateway.api('GET', '/audit?limit=20', { token: owner.token });
    return (audit.json['items'] as { what: string; actor: { name: string }; detail: Record<string, unknown> }[]).find((line) => line.what === 'visit.closed' && line.actor.name === 'owner/audited');
  });
  assert.equal(closed.detail['requests'], 2);
  assert.equal(closed.detail['bytesIn'], 4);
  assert.equal(closed.detail['bytesOut'], 20);
  assert.equal(closed.detail['port'], web.port);
  assert.match(String(closed.detail['why']), /token was revoked/);
  await clean();
});

test('https devices: the first certificate is accepted and remembered, another one is refused', async () => {
  const leaf = await testLeaf();
  const other = await testLeaf();
  const start = (certificate: { key: string; cert: string }, port: number) =>
    new Promise<ReturnType<typeof createTlsServer>>((done) => {
      const server = createTlsServer(certificate, (socket) => {
        socket.on('error', () => {});
        socket.on('data', () => socket.write(answer('secret page', 'Connection: close\r\nSet-Cookie: s=1; Secure\r\n')));
      });
      server.listen(port, '127.0.0.1', () => done(server));
    });
  let server = await start(leaf, 0);
  const { port } = server.address() as AddressInfo;
  const camera = await gateway.addDevice({ name: 'Camera', ports: [{ number: port, kind: 'https' }] });
  const see = () => request(gateway.ports.http, { headers: { host: `camera.localhost:${gateway.ports.http}`, 'postern-token': owner.token } });
  const portRow = (): DevicePort => gateway.tables.devices.get(camera.device.id)!.ports[0]!;
  try {
    const first = await see();
    assert.equal(first.status, 200);
    assert.equal(first.body.toString(), 'secret page');
    assert.deepEqual(first.headers['set-cookie'], ['s=1'], 'over plain HTTP a Secure cookie would be lost');
    await until('the fingerprint', () => portRow().fingerprint !== null);
    assert.equal((await see()).status, 200);
    await new Promise((done) => server.close(done));
    server = await start(other, port);
    const changed = await see();
    assert.equal(changed.status, 403);
    assert.match(changed.body.toString(), /another certificate/);
    assert.ok((await gateway.api('DELETE', `/devices/${camera.device.id}/ports/${port}/fingerprint`, { token: owner.token })).status < 300);
    assert.equal((await see()).status, 200);
    await until('the other fingerprint', () => portRow().fingerprint !== null);
  } finally {
    await camera.stop();
    await new Promise((done) => server.close(done));
  }
  await clean();
});

test('https devices: a connection that was opened under a certificate is not used any more once that is forgotten', async () => {
  let conns = 0;
  const server = createTlsServer(await testLeaf(), (socket) => {
    conns += 1;
    socket.on('error', () => {});
    socket.on('data', () => socket.write(answer('page')));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  const { port } = server.address() as AddressInfo;
  const camera = await gateway.addDevice({ name: 'Gate camera', ports: [{ number: port, kind: 'https' }] });
  const see = async () => assert.equal((await request(gateway.ports.http, { headers: { host: `gate-camera.localhost:${gateway.ports.http}`, 'postern-token': owner.token } })).body.toString(), 'page');
  try {
    await see();
    await until('the fingerprint', () => gateway.tables.devices.get(camera.device.id)!.ports[0]!.fingerprint !== null);
    await see();
    const before = conns;
    await see();
    assert.equal(conns, before, 'it is used again while nothing changes');
    assert.ok((await gateway.api('DELETE', `/devices/${camera.device.id}/ports/${port}/fingerprint`, { token: owner.token })).status < 300);
    await see();
    assert.equal(conns, before + 1);
  } finally {
    await camera.stop();
    await new Promise((done) => server.close(done));
  }
  await clean();
});
