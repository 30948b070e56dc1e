// No byte of forwarded traffic and no secret is written down: a random marker goes along every path, and is afterwards nowhere in the data
// folder, in the agent's folder, in the logs (at level debug), in the journal, the audit or the metrics.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { VisitView } from '#api/shapes.ts';
import { exchangeRaw, request, root, startTcp, until } from '#kit/gateway.ts';
import { openProcesses, postern, startServe, type Page } from '#kit/processes.ts';
import { parseJoinToken } from '#wire/join-token.ts';
import { encodeFrame, Opcode } from '#wire/websocket.ts';

/** Every way in which a text may be written down. */
function spellings(text: string): Buffer[] {
  // Base64 shows a text in three ways, by where in the whole it begins; the ends depend on what stands beside.
  const base64 = [0, 1, 2].map((shift) => Buffer.from('x'.repeat(shift) + text).toString('base64').slice(4, -4));
  return [text, Buffer.from(text).toString('hex'), ...base64, encodeURIComponent(text)].map((each) => Buffer.from(each)).concat(Buffer.from(text, 'utf16le'));
}

const filesUnder = (folder: string): string[] => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)).filter((path) => statSync(path).isFile());

test('markers sent along every path are written nowhere', { timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const marks = new Map<string, string>();
  const mark = (path: string): string => {
    const text = `marker${randomBytes(12).toString('hex')}`;
    marks.set(text, path);
    return text;
  };
  const password = `${mark('password')} and more`;
  const gateway = await startServe(processes, { logLevel: 'debug', password });
  marks.set(gateway.setupCode, 'setup code');
  marks.set(gateway.token.slice(gateway.token.lastIndexOf('_') + 1), 'token');
  marks.set(gateway.cookie.slice(gateway.cookie.indexOf('=') + 1), 'cookie of the console');

  // The device answers with markers of its own.
  const answered = { body: mark('answer body'), header: mark('answer header'), cookie: mark('answer cookie'), location: mark('answer location') };
  const bodies: string[] = [];
  const origin = createServer((incoming: IncomingMessage, response) => {
    let body = '';
    incoming.on('data', (piece: Buffer) => (body += piece.toString()));
    incoming.on('end', () => {
      bodies.push(body);
      response.writeHead(incoming.url!.startsWith('/moved') ? 302 : 200, { 'X-Answer': answered.header, 'Set-Cookie': `s=${answered.cookie}`, ...(incoming.url!.startsWith('/moved') ? { Location: `/to?x=${answered.location}` } : {}) });
      response.end(answered.body);
    });
    incoming.on('error', () => {});
  });
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
  processes.defer(() => new Promise<void>((resolve) => origin.close(() => resolve()).closeAllConnections()));
  const port = (origin.address() as AddressInfo).port;
  const sample = processes.start(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'examples', 'sample-device', 'device.ts'), '--port', '0'], { cwd: root });
  const samplePort = Number((await sample.says(/http:\/\/127\.0\.0\.1:(\d+)/))[1]);
  await using stream = await startTcp((socket) => socket.on('data', (piece: Buffer) => socket.write(piece)));
  const device = await gateway.addDevice({ name: 'Known Name', ports: [{ number: port, kind: 'http' }, { number: samplePort, kind: 'http' }, { number: stream.port, kind: 'tcp' }, { number: 1, kind: 'http' }] });
  await device.agent.stop();
  await device.restart();

  // --- through the device's host, let through
  const headers = (path: string) => ({ host: device.host, 'postern-token': gateway.token, 'x-thing': mark(`${path}: header`), authorization: `Basic ${Buffer.from(`user:${mark(`${path}: authorization`)}`).toString('base64')}`, cookie: `mine=${mark(`${path}: cookie`)}`, referer: `http://${device.host}/?r=${mark(`${path}: referer`)}`, 'user-agent': mark(`${path}: user agent`) });
  const query = (path: string) => `?secret=${mark(`${path}: query`)}&b=${mark(`${path}: query`)}`;
  const sent = mark('request body');
  const posted = await request(gateway.httpPort, { method: 'POST', path: `/form${query('post')}`, headers: headers('post'), body: sent });
  assert.equal(posted.status, 200);
  assert.equal(posted.body.toString(), answered.body);
  assert.deepEqual(bodies, [sent], 'the marker did travel');
  const moved = await request(gateway.httpPort, { path: `/moved${query('moved')}`, headers: headers('moved') });
  assert.equal(moved.headers['location'], `/to?x=${answered.location}`);
  // --- refused, failed, malformed: the cases that are written about
  const refusedToken = `postern_${mark('wrong token')}_${mark('wrong token')}`;
  const at = (host: string) => ({ ...headers(host), host: `${host}.localhost:${gateway.httpPort}` });
  for (const [want, path, head] of [
    [401, 'wrong token', { ...headers('wrong token'), 'postern-token': refusedToken }],
    [401, 'no token', { host: device.host, accept: 'application/json', 'x-thing': mark('no token: header'), cookie: `__Host-postern-device=${mark('wrong cookie')}` }],
    [303, 'sign-in', { host: device.host, accept: 'text/html' }],
    [404, 'unknown device', at('nobody')],
    [502, 'nobody listens', at(`${device.label}--1`)],
  ] as const) {
    const got = await request(gateway.httpPort, { path: `/${query(path)}`, headers: head });
    assert.ok(got.status === want || (want === 502 && got.status === 403), `${path}: ${got.status} ${got.body.toString()}`);
  }
  for (const path of ['/api/v1/devices', '/api/v1/none', '/nothing', '/metrics']) await request(gateway.httpPort, { path: `${path}${query(path)}`, headers: { host: `localhost:${gateway.httpPort}`, authorization: `Bearer ${mark(`${path}: bearer`)}` } });
  for (const text of [`GET /?${mark('malformed: query')} HTTP/1.1\r\nHost: a\r\nHost: ${mark('malformed: host')}\r\n\r\n`, `GET / HTTP/1.1\r\nHost : ${mark('malformed: value')}\r\n\r\n`, `${mark('malformed: line')}\r\n\r\n`, `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${mark('malformed: control')}\x01\r\n\r\n`]) {
    await exchangeRaw(gateway.httpPort, text);
  }

  // --- a WebSocket, both ways
  const said = mark('WebSocket message');
  const echoed = await exchangeRaw(
    gateway.httpPort,
    [`GET /echo${query('WebSocket')} HTTP/1.1\r\nHost: ${device.label}--${samplePort}.localhost:${gateway.httpPort}\r\nPostern-Token: ${gateway.token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`, encodeFrame(Opcode.text, Buffer.from(said), 0)],
    { enough: (text) => text.includes(said) },
  );
  assert.match(echoed, /^HTTP\/1\.1 101 /);

  // --- a stream of the tunnel, and one that breaks
  const input = mark('tunnel stream');
  const forward = processes.start(postern, ['forward', device.label, String(stream.port)], { env: gateway.env });
  const local = Number((await forward.says(/^127\.0\.0\.1:(\d+)$/m))[1]);
  assert.equal(await exchangeRaw(local, input, { enough: (text) => text === input }), input);
  const broken = connect({ host: '127.0.0.1', port: local });
  broken.write(mark('broken stream'));
  await new Promise((resolve) => broken.once('data', resolve));
  for (const socket of stream.sockets) socket.resetAndDestroy();
  await new Promise((resolve) => broken.once('close', resolve).once('error', () => {}));
  await forward.stop();
  const badCaller = await processes.run(postern, ['connect', device.label, String(stream.port)], { env: { ...gateway.env, POSTERN_TOKEN: refusedToken } });
  assert.equal(badCaller.code, 4);

  // --- people: passwords, codes, tokens
  const post = (path: string, body: object) => gateway.api('POST', path, body);
  assert.notEqual((await post('/sign-in', { login: 'owner', password: mark('wrong password') })).status, 200);
  assert.equal((await post('/sign-in', { login: 'owner', password })).status, 200);
  assert.notEqual((await post('/setup', { code: mark('wrong setup code'), login: 'x', name: 'x', password: mark('password of a refused setup') })).status, 200);
  assert.notEqual((await post('/invites/accept', { code: mark('wrong invite code'), login: 'x', name: 'x', password: mark('password of a refused invite') })).status, 200);
  const { address } = await gateway.ask<{ address: string }>('POST', '/invites', { name: 'Guest', rights: [{ action: 'see', scopeKind: 'gateway', scopeId: null }] });
  const code = address.slice(address.lastIndexOf('/') + 1);
  marks.set(code, 'invite code');
  assert.equal((await post('/invites/accept', { code, login: 'guest', name: 'Guest', password: `${mark('password of a guest')}!` })).status, 200);
  await gateway.asPerson('PUT', '/me/password', { current: password, next: `${mark('changed password')}!` });
  const hostCookie = await gateway.enter(device.host);
  marks.set(hostCookie.slice(hostCookie.indexOf('=') + 1), 'cookie of the device\'s host');

  // --- joining
  const { secret } = await gateway.joinToken({ name: 'refused', ports: [{ number: 80, kind: 'http' }] });
  marks.set(parseJoinToken(secret).secret, 'join token');
  const state = join(processes.folder, 'second-agent');
  const joined = await processes.run(postern, ['join', `https://127.0.0.1:${gateway.httpsPort}`, '--token-file', '-', '--state', state, '--no-run'], { input: secret });
  assert.equal(joined.code, 0, joined.stderr);
  const wrong = mark('wrong join token');
  for (const text of [secret, `postern-join-1.${Buffer.from(JSON.stringify({ a: [`https://127.0.0.1:${gateway.httpsPort}`], f: parseJoinToken(secret).caFingerprint, s: wrong })).toString('base64url')}`]) {
    const refused = await processes.run(postern, ['join', '--token-file', '-', '--state', `${state}-not`, '--no-run'], { input: text });
    assert.notEqual(refused.code, 0);
    assert.ok(!(refused.stdout + refused.stderr).includes(wrong));
  }

  // --- what people may look at
  const seen: [string, Buffer][] = [];
  for (const path of ['/journal?limit=500', '/audit?limit=500', '/visits?limit=500', '/devices', '/tokens', '/sign-ins', '/join-tokens', '/invites', '/people', '/config']) seen.push([`API ${path}`, Buffer.from((await gateway.api('GET', path)).text)]);
  const metrics = await request(gateway.httpPort, { path: '/metrics', headers: { host: `127.0.0.1:${gateway.httpPort}` } });
  assert.equal(metrics.status, 200);
  seen.push(['metrics', metrics.body]);
  await gateway.ask('POST', `/devices/${device.id}/lock`);
  await until('visits to be closed', async () => (await gateway.ask<Page<VisitView>>('GET', '/visits?state=live')).items.length === 0);
  await device.agent.stop();
  await gateway.process.stop();

  for (const path of [gateway.dataDir, device.stateDir, state].flatMap(filesUnder)) seen.push([path.slice(processes.folder.length), readFileSync(path)]);
  seen.push(['log of the gateway', Buffer.from(gateway.logs())], ['output of the agent', Buffer.from(device.said())]);
  const found = seen.flatMap(([where, bytes]) => Array.from(marks).flatMap(([text, path]) => (spellings(text).some((spelling) => bytes.includes(spelling)) ? [`${path} is in ${where}`] : [])));
  assert.deepEqual(found, []);
  // That the search would find something: what may be written is there.
  const holds = (pattern: string) => seen.filter(([, bytes]) => bytes.includes(pattern)).map(([where]) => where);
  assert.ok(holds('Known Name').some((where) => where.includes('.db') || where.includes('sqlite')), `the store was searched: ${seen.map(([where]) => where).join(', ')}`);
  assert.ok(holds('gateway.started').includes('log of the gateway'));
  assert.ok(holds('stream.opened').includes('output of the agent'), 'the agent was verbose');
});
