// Doors: what real agents accept in their LANs, through whole gateways. LANs are parts of 127.0.0.0/8; both agents know a client with the same address.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { createServer, request, type IncomingHttpHeaders } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect, createServer as createNetServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { promisify } from 'node:util';
import type { DoorView } from '#api/place-shapes.ts';
import type { ConnView } from '#api/shapes.ts';
import { finishesCleanly, startGateway, startTcp, until, type TestDevice, type TestGateway } from '#kit/gateway.ts';

const run = promisify(execFile);
const lan = { one: '127.1.0.1', two: '127.2.0.1', client: '127.9.0.50', other: '127.9.0.51' };
const name = 'scan.example.test';

async function freePort(address: string): Promise<number> {
  const server = createNetServer().listen(0, address);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

interface Echo {
  readonly port: number;
  readonly seen: { readonly path: string; readonly headers: IncomingHttpHeaders; readonly remote: string }[];
  [Symbol.asyncDispose](): Promise<void>;
}

/** Answers with what it was sent, and remembers by whom. */
async function startEcho(): Promise<Echo> {
  const seen: Echo['seen'] = [];
  const server = createServer((asked, answer) => {
    seen.push({ path: asked.url!, headers: asked.headers, remote: asked.socket.remoteAddress! });
    answer.writeHead(200, { 'content-type': 'application/octet-stream' });
    asked.pipe(answer);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

interface Asking {
  readonly localAddress?: string;
  readonly path?: string;
  readonly body?: Buffer;
  readonly headers?: Record<string, string>;
  readonly method?: string;
}

function ask(address: string, port: number, { localAddress = lan.client, path = '/', body, headers = {}, method = 'POST' }: Asking = {}): Promise<{ status: number; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: address, port, localAddress, path, method, agent: false, headers: { host: name, ...headers } }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece)).on('end', () => resolve({ status: answer.statusCode!, body: Buffer.concat(pieces) })).on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const refusedConnect = (address: string, port: number) => new Promise<boolean>((resolve) => void connect({ host: address, port }).once('connect', function (this: Socket) { this.destroy(); resolve(false); }).once('error', () => resolve(true)));

describe('doors', () => {
  let gateway: TestGateway;
  let echo: Echo;
  let bytes: Awaited<ReturnType<typeof startTcp>>;
  let token: string;
  let one: TestDevice;
  let two: TestDevice;
  const ports = { plain: 0, tls: 0, raw: 0, proxied: 0, ldap: 0, second: 0 };

  const door = async (body: object): Promise<DoorView> => {
    const answer = await gateway.api('POST', '/doors', { token, body });
    assert.equal(answer.status, 200, answer.text);
    return answer.json as unknown as DoorView;
  };
  const doorNow = async (id: string) => (await gateway.api('GET', `/doors/${id}`, { token })).json as unknown as DoorView;
  const opened = (id: string) => until('the door to be open', async () => (await doorNow(id)).bound);
  const last = (path: string) => echo.seen.findLast((each) => each.path === path)!;

  before(async () => {
    echo = await startEcho();
    bytes = await startTcp(() => {});
    gateway = await startGateway({
      limits: { connsPerAddressMax: 20 },
      config: {
        listeners: [{ name: 'raw', tls: false, protocols: ['tcp'], serverFirst: true }, { name: 'proxied', tls: false, proxyProtocolFrom: ['127.9.0.0/16'] }, { name: 'ldap', tls: false, protocols: ['ldap'] }],
        trustedProxies: [{ from: '127.9.0.0/16' }],
      },
      routes: [
        { name: 'scan', host: name, listeners: ['http', 'https', 'proxied'], target: { kind: 'tcp', host: '127.0.0.1', port: echo.port } },
        { name: 'directory', protocol: 'ldap', listeners: ['ldap'], target: { kind: 'tcp', host: '127.0.0.1', port: bytes.port } },
        { name: 'bytes', protocol: 'tcp', listeners: ['raw'], target: { kind: 'tcp', host: '127.0.0.1', port: bytes.port } },
      ],
    });
    ({ token } = await gateway.owner());
    for (const key of ['plain', 'tls', 'raw', 'proxied', 'ldap'] as const) ports[key] = await freePort(lan.one);
    ports.second = await freePort(lan.two);
    const reach = 'reach tcp 127.0.0.1 9\n';
    one = await gateway.addDevice({ name: 'One', ports: [{ number: 9, kind: 'tcp' }], policy: `${reach}listen tcp ${lan.one} ${Object.values(ports).slice(0, 5).join(',')}\n` });
    two = await gateway.addDevice({ name: 'Two', ports: [{ number: 9, kind: 'tcp' }], policy: `${reach}listen tcp ${lan.two} ${ports.second}\n` });
    const agentId = one.device.agentId!;
    const made = [
      await door({ agentId, address: lan.one, port: ports.plain, listener: 'http' }),
      await door({ agentId, address: lan.one, port: ports.tls, listener: 'https' }),
      await door({ agentId, address: lan.one, port: ports.raw, listener: 'raw' }),
      await door({ agentId, address: lan.one, port: ports.proxied, listener: 'proxied' }),
      await door({ agentId, address: lan.one, port: ports.ldap, listener: 'ldap' }),
      await door({ agentId: two.device.agentId, address: lan.two, port: ports.second, listener: 'http' }),
    ];
    for (const each of made) await opened(each.id);
  });
  after(async () => {
    await finishesCleanly(gateway);
    await gateway.close();
    await echo[Symbol.asyncDispose]();
    await bytes[Symbol.asyncDispose]();
  });

  test("plain HTTP: the server hears the device's own address", async () => {
    const answer = await ask(lan.one, ports.plain, { path: '/own', body: Buffer.from('paper') });
    assert.deepEqual([answer.status, answer.body.toString()], [200, 'paper']);
    assert.equal(last('/own').headers['x-forwarded-for'], lan.client);
    assert.match(String(last('/own').headers['forwarded']), /for=127\.9\.0\.50;/);
  });

  test('curl, over the TLS listener, HTTP/1.1 and HTTP/2', async (t) => {
    for (const version of ['--http1.1', '--http2']) {
      const asked = run('curl', ['-sk', version, '--interface', lan.client, '--resolve', `${name}:${ports.tls}:${lan.one}`, '-w', '%{http_version} %{http_code}', '-d', 'scanned', `https://${name}:${ports.tls}/curl${version}`]);
      const shown = await asked.catch((thrown: NodeJS.ErrnoException) => (thrown.code === 'ENOENT' ? null : Promise.reject(thrown)));
      if (shown === null) return t.skip('curl is not installed');
      assert.equal(shown.stdout, `scanned${version === '--http2' ? '2' : '1.1'} 200`);
      assert.equal(last(`/curl${version}`).headers['x-forwarded-for'], lan.client);
      assert.equal(last(`/curl${version}`).headers['x-forwarded-proto'], 'https');
    }
  });

  test('HTTP/2 without TLS, several at once', async () => {
    const socket = connect({ host: lan.one, port: ports.plain, localAddress: lan.client });
    const session = connectHttp2(`http://${name}`, { createConnection: () => socket });
    const bodies = await Promise.all([1, 2, 3].map(async (n) => {
      const stream = session.request({ ':method': 'POST', ':path': `/h2c${n}`, ':authority': name });
      stream.end(Buffer.alloc(100_000, n));
      const pieces: Buffer[] = [];
      for await (const piece of stream) pieces.push(piece as Buffer);
      return Buffer.concat(pieces);
    }));
    for (const [i, body] of bodies.entries()) assert.equal(digest(body), digest(Buffer.alloc(100_000, i + 1)));
    assert.equal(last('/h2c2').headers['x-forwarded-for'], lan.client);
    session.close();
    await once(session, 'close');
  });

  test('10 MB both ways, plain and over TLS', async () => {
    const body = randomBytes(10_000_000);
    assert.equal(digest((await ask(lan.one, ports.plain, { path: '/big', body })).body), digest(body));
    const tls = connectTls({ host: lan.one, port: ports.tls, servername: name, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'], localAddress: lan.client } as ConnectionOptions);
    await once(tls, 'secureConnect');
    const received: Buffer[] = [];
    tls.on('data', (piece: Buffer) => received.push(piece));
    tls.write(`POST /big-tls HTTP/1.1\r\nHost: ${name}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`);
    tls.write(body);
    await once(tls, 'end');
    const all = Buffer.concat(received);
    const head = all.subarray(0, all.indexOf('\r\n\r\n')).toString();
    assert.match(head, /^HTTP\/1\.1 200 /);
    const chunked = /transfer-encoding: chunked/i.test(head);
    const rest = all.subarray(head.length + 4);
    assert.equal(digest(chunked ? unchunked(rest) : rest), digest(body));
    tls.destroy();
  });

  test('half-close each way, and a reset is a reset', async () => {
    for (const first of ['client', 'server'] as const) {
      const client = connect({ host: lan.one, port: ports.raw, localAddress: lan.client, allowHalfOpen: true });
      let [heard, said] = ['', ''];
      let ended = false;
      client.on('data', (piece: Buffer) => void (heard += piece.toString())).on('end', () => void (ended = true));
      const far = await until('the server to be dialled', () => [...bytes.sockets].find((socket) => !socket.destroyed));
      far.on('data', (piece: Buffer) => void (said += piece.toString()));
      const [near, distant] = first === 'client' ? [client, far] : [far, client];
      near.end('last words');
      await until('the last words', () => (first === 'client' ? said === 'last words' && far.readableEnded : heard === 'last words' && ended));
      distant.end('an answer to that');
      await until('the answer', () => (first === 'client' ? heard : said) === 'an answer to that');
      await until('both to be closed', () => client.destroyed && far.destroyed);
    }
    const client = connect({ host: lan.one, port: ports.raw, localAddress: lan.client });
    const far = await until('the server to be dialled', () => [...bytes.sockets].find((socket) => !socket.destroyed));
    far.resume();
    client.resetAndDestroy();
    // As of a connection that the gateway accepted itself: the server's is closed.
    await until('the server to hear of it', () => far.readableEnded || far.destroyed);
    far.destroy();
    const other = connect({ host: lan.one, port: ports.raw, localAddress: lan.client });
    const broken = new Promise<NodeJS.ErrnoException>((resolve) => void other.once('error', resolve));
    const server = await until('the server to be dialled', () => [...bytes.sockets].find((socket) => !socket.destroyed));
    server.resetAndDestroy();
    assert.equal((await broken).code, 'ECONNRESET', 'the client is not told that this was all');
  });

  test("LDAP's StartTLS, and what is relayed inside", async () => {
    // RFC 4511: an extended request with the OID of StartTLS (§4.14), then an anonymous bind (§4.2).
    const startTls = Buffer.concat([Buffer.from('301d02010177188016', 'hex'), Buffer.from('1.3.6.1.4.1.1466.20037')]);
    const bind = Buffer.from('300c020102600702010304008000', 'hex');
    const socket = connect({ host: lan.one, port: ports.ldap, localAddress: lan.client });
    socket.write(startTls);
    const [granted] = (await once(socket, 'data')) as [Buffer];
    assert.equal(granted.toString('hex', 7, 10), '0a0100', 'success');
    const tls = connectTls({ socket, rejectUnauthorized: false, servername: name });
    await once(tls, 'secureConnect');
    tls.write(bind);
    const far = await until('the directory to be dialled', () => [...bytes.sockets].find((each) => !each.destroyed));
    const [heard] = (await once(far, 'data')) as [Buffer];
    assert.deepEqual(heard, bind);
    far.destroy();
    await until('the end', () => socket.destroyed);
  });

  test('two LANs with the same addresses: each counts its own, and Live tells them apart', async () => {
    const hold = (address: string, port: number) => {
      const socket = connect({ host: address, port, localAddress: lan.client });
      let state = 'open';
      socket.on('error', () => {}).on('close', () => (state = 'closed'));
      return { socket, state: () => state };
    };
    const mine = Array.from({ length: 20 }, () => hold(lan.one, ports.plain));
    const conns = async (from: string) => ((await gateway.api('GET', `/conns?search=${from}&limit=100`, { token })).json['items'] as ConnView[]);
    await until('twenty connections', async () => (await conns(lan.client)).length === 20);
    const tooMany = hold(lan.one, ports.plain);
    await until('one more to be refused', () => tooMany.state() === 'closed');
    assert.equal((await ask(lan.two, ports.second, { path: '/elsewhere' })).status, 200, 'the other LAN has that address, too');
    const theirs = hold(lan.two, ports.second);
    await until('both agents', async () => new Set((await conns(lan.client)).map((conn) => conn.agentId)).size === 2);
    for (const { socket } of [...mine, theirs]) socket.destroy();
    await until('all to be gone', async () => (await conns(lan.client)).length === 0);
  });

  test("a LAN's address is no proxy of the gateway's network, and not this machine", async () => {
    await ask(lan.one, ports.plain, { path: '/forged', headers: { 'x-forwarded-for': '203.0.113.9', forwarded: 'for=203.0.113.9' } });
    assert.equal(last('/forged').headers['x-forwarded-for'], lan.client);
    assert.doesNotMatch(String(last('/forged').headers['forwarded']), /203\.0\.113\.9/);
    // The agent's own machine is 127.0.0.1 there, and would be this one to a server behind us.
    await ask(lan.one, ports.plain, { localAddress: '127.0.0.1', path: '/itself' });
    assert.equal(last('/itself').headers['x-forwarded-for'], '192.0.0.8');
    assert.match(String(last('/itself').headers['forwarded']), /^for=192\.0\.0\.8;/);
    // On the gateway's own listener that very address is listed, and believed.
    await ask('127.0.0.1', gateway.ports.http, { path: '/listed', headers: { 'x-forwarded-for': '203.0.113.9' } });
    assert.match(String(last('/listed').headers['x-forwarded-for']), /203\.0\.113\.9/);
    // A listed sender must begin with a header; whoever comes through a door is none, and its header is not believed.
    assert.equal((await ask(lan.one, ports.proxied, { path: '/no-header' })).status, 200);
    const socket = connect({ host: lan.one, port: ports.proxied, localAddress: lan.client });
    let text = '';
    socket.on('data', (piece: Buffer) => void (text += piece.toString())).on('error', () => {});
    socket.write(`PROXY TCP4 203.0.113.9 192.0.2.1 5 80\r\nGET /with-header HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
    await once(socket, 'close');
    assert.doesNotMatch(text, /200 OK/);
    assert.equal(echo.seen.some((each) => each.path === '/with-header'), false);
    const metrics = await ask(lan.one, ports.plain, { path: '/metrics', method: 'GET', headers: { host: 'localhost' } });
    assert.equal(metrics.status, 401);
  });

  test('tries through a door are counted as one, whatever addresses the agent names, and nobody else pays for them', async () => {
    const body = Buffer.from(JSON.stringify({ login: 'owner', password: 'wrong' }));
    const attempt = (address: string, port: number, localAddress: string) => ask(address, port, { localAddress, path: '/api/v1/sign-in', body, headers: { host: 'localhost', 'content-type': 'application/json', origin: 'http://localhost' } });
    const statuses: number[] = [];
    for (let i = 0; i < 8; i++) statuses.push((await attempt(lan.one, ports.plain, `127.9.0.${60 + i}`)).status);
    assert.deepEqual([statuses[0], statuses.at(-1)], [401, 429]);
    assert.equal((await attempt('127.0.0.1', gateway.ports.http, '127.9.0.67')).status, 401, 'that address, here');
    assert.equal((await attempt(lan.two, ports.second, '127.9.0.67')).status, 401, 'and in another LAN');
  });

  test('what the policy does not allow stays shut, with the line that would allow it; with that line it opens', async () => {
    const port = await freePort(lan.two);
    const { id } = await door({ agentId: two.device.agentId, address: lan.two, port, listener: 'http' });
    const shut = await until('why it is shut', async () => {
      const now = await doorNow(id);
      return now.why === null ? null : now;
    });
    assert.equal(shut.bound, false);
    const line = /add this line to the agent's policy file: (.+)$/.exec(shut.remedy!)?.[1];
    assert.equal(line, `listen tcp ${lan.two} ${port}`);
    assert.equal(await refusedConnect(lan.two, port), true);
    appendFileSync(join(two.stateDir, '..', 'policy'), `${line}\n`);
    await opened(id);
    assert.equal((await ask(lan.two, port, { path: '/allowed' })).status, 200);
    const closed = await gateway.api('DELETE', `/doors/${id}`, { token });
    assert.equal(closed.status, 200);
    await until('the port to be shut', () => refusedConnect(lan.two, port));
  });

  test('a port that is in use says so, and opens when it is free', async () => {
    const holder = createNetServer().listen(0, lan.two);
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    appendFileSync(join(two.stateDir, '..', 'policy'), `listen tcp ${lan.two} ${port}\n`);
    const { id } = await door({ agentId: two.device.agentId, address: lan.two, port, listener: 'http' });
    await until('that it is in use', async () => /in use/.test((await doorNow(id)).why ?? ''));
    holder.close();
    await once(holder, 'close');
    await opened(id);
    await gateway.api('DELETE', `/doors/${id}`, { token });
  });

  test('closing a door ends what came through it', async () => {
    const { items } = (await gateway.api('GET', '/doors', { token })).json as unknown as { items: DoorView[] };
    const raw = items.find((each) => each.listener === 'raw')!;
    const client = connect({ host: lan.one, port: ports.raw, localAddress: lan.client });
    client.on('error', () => {});
    await until('the connection', async () => (await doorNow(raw.id)).open === 1);
    await gateway.api('DELETE', `/doors/${raw.id}`, { token });
    await until('its end', () => client.destroyed);
    assert.equal(await until('the port to be shut', () => refusedConnect(lan.one, ports.raw)), true);
    await door({ agentId: one.device.agentId, address: lan.one, port: ports.raw, listener: 'raw' }).then(({ id }) => opened(id));
  });

  test('a link that is cut in the middle of a body ends the connection; the next link finds the door open', async () => {
    const sent = request({ host: lan.one, port: ports.plain, localAddress: lan.client, method: 'POST', path: '/cut', agent: false, headers: { host: name, 'content-length': '1000000' } });
    const broken = once(sent, 'error');
    sent.write(Buffer.alloc(100_000));
    await until('the request', () => echo.seen.find((each) => each.path === '/cut'));
    assert.equal(gateway.live.closeLink(one.device.agentId!, 'cut by a test'), true);
    await broken;
    const down = await ask(lan.one, ports.plain, { path: '/while-down' }).then(() => 'answered', () => 'reset');
    assert.ok(down === 'reset' || down === 'answered');
    // Closed as refused, the agent dials again after its longest pause: started anew it comes at once.
    await one.stop();
    await one.start();
    await until('the door to carry again', async () => (await ask(lan.one, ports.plain, { path: '/again' }).catch(() => null))?.status === 200);
  });

  test('a revoked agent has no doors', async () => {
    const agentId = two.device.agentId!;
    const client = connect({ host: lan.two, port: ports.second, localAddress: lan.client });
    client.on('error', () => {});
    await until('the connection', async () => ((await gateway.api('GET', `/doors?agentId=${agentId}`, { token })).json['items'] as DoorView[])[0]?.open === 1);
    assert.equal((await gateway.api('POST', `/agents/${agentId}/revoke`, { token })).status, 200);
    await until('its end', () => client.destroyed);
    assert.deepEqual((await gateway.api('GET', `/doors?agentId=${agentId}`, { token })).json['items'], []);
    assert.equal((await gateway.api('POST', '/doors', { token, body: { agentId, address: lan.two, port: 1, listener: 'http' } })).status, 409);
  });
});

function unchunked(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf('\r\n', at);
    const length = Number.parseInt(bytes.toString('latin1', at, end), 16);
    if (length === 0) return Buffer.concat(pieces);
    pieces.push(bytes.subarray(end + 2, end + 2 + length));
    at = end + 4 + length;
  }
}
