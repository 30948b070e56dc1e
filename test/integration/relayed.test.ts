// What happens to a relayed connection whose ends behave badly: who goes first, who does not read, who says nothing.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type ConnectionOptions, type TlsOptions, type TLSSocket } from 'node:tls';
import type { Config } from '#model/config.ts';
import { makeCertificate } from '../kit/authority.ts';
import { journalSays, openWire, readHexCorpus, type Wire } from '../kit/front.ts';
import { finishesCleanly, portOf, startGateway, startTcp, until } from '../kit/gateway.ts';

const banner = 'SSH-2.0-OpenSSH_9.2\r\n';
const onlyOne = async (sockets: ReadonlySet<Socket>) => until('the upstream to be dialled', () => Array.from(sockets)[0]);

async function startRelaying(options: { readonly target?: (port: number) => object; readonly limits?: Record<string, number> } = {}) {
  const far = await startTcp(() => {});
  const gateway = await startGateway({
    ...(options.limits ? { limits: options.limits } : {}),
    config: { listeners: [{ name: 'mixed', tls: false, protocols: ['ldap', 'ssh', 'tcp', 'h323'], sniffTimeoutMs: 1_000 }] },
    routes: ['ssh', 'tcp', 'ldap', 'h323'].map((protocol) => ({ name: `any-${protocol}`, protocol, listeners: ['mixed'], target: options.target?.(far.port) ?? { kind: 'tcp', host: '127.0.0.1', port: far.port } })),
  });
  return {
    far, gateway,
    dial: () => openWire(portOf(gateway, 'mixed'), { allowHalfOpen: true }),
    async [Symbol.asyncDispose]() {
      await gateway.close();
      await far[Symbol.asyncDispose]();
    },
  };
}

test('half-close passes both ways, also when it comes with the first packet', async () => {
  await using room = await startRelaying();
  for (const first of ['client', 'upstream'] as const) {
    const client = await room.dial();
    client.socket.write(banner);
    const far = await onlyOne(room.far.sockets);
    let [heard, farEnded] = ['', false];
    far.on('data', (piece) => void (heard += piece.toString())).on('end', () => void (farEnded = true));
    await until('the banner', () => heard === banner);
    if (first === 'client') {
      client.socket.end('last words');
      await until('the end over there', () => farEnded);
      assert.equal(heard, `${banner}last words`);
      far.write('an answer to that');
      await client.says(/^an answer to that$/);
      assert.equal(client.ended, false);
      far.end(', and goodbye');
      await client.says(/goodbye$/);
    } else {
      far.end('goodbye first');
      await until('the end here', () => client.ended);
      assert.equal(client.text, 'goodbye first');
      client.socket.end('still something to say');
      await until('the end over there', () => farEnded);
      assert.equal(heard, `${banner}still something to say`);
    }
    await until('both to be closed', () => client.closed && far.destroyed);
  }
  const all = await room.dial();
  all.socket.end(`${banner}everything at once`);
  const far = await onlyOne(room.far.sockets);
  let [heard, farEnded] = ['', false];
  far.on('data', (piece) => void (heard += piece.toString())).on('end', () => void (farEnded = true));
  await until('all of it, and the end', () => heard === `${banner}everything at once` && farEnded);
  far.end('read');
  await all.says(/^read$/);
  await finishesCleanly(room.gateway);
});

test('an upstream that breaks off, and a client that does', async () => {
  await using room = await startRelaying();
  const client = await room.dial();
  client.socket.write(banner);
  (await onlyOne(room.far.sockets)).resetAndDestroy();
  await until('the client to be let go', () => client.closed || client.ended);
  client.socket.destroy();
  await journalSays(room.gateway, { event: 'relay.ended', why: /^upstream/ });
  const other = await room.dial();
  other.socket.write(banner);
  const far = await onlyOne(room.far.sockets);
  far.resume();
  other.socket.resetAndDestroy();
  await until('the upstream to be let go', () => far.destroyed || far.readableEnded);
  await journalSays(room.gateway, { event: 'relay.ended', why: /^client/ });
  await finishesCleanly(room.gateway);
});

test('a client that goes while its upstream is dialled leaves nothing behind', async () => {
  // TCP is accepted there and TLS never answered: a dial that takes its time.
  await using room = await startRelaying({ target: (port) => ({ kind: 'tls', host: '127.0.0.1', port, verify: { by: 'name', name: 'nobody.example.test' } }), limits: { dialTimeoutMs: 1_000, halfClosedMs: 500 } });
  for (const leave of ['destroy', 'resetAndDestroy', 'end'] as const) {
    const client = await room.dial();
    client.socket.write(banner);
    await onlyOne(room.far.sockets);
    client.socket[leave]();
    await until('the upstream to be given up', () => room.far.sockets.size === 0 || Array.from(room.far.sockets).every((socket) => (socket.resume(), socket.destroyed || (socket.readableEnded && socket.end().writableFinished))));
    client.socket.destroy();
    await finishesCleanly(room.gateway);
    for (const socket of room.far.sockets) socket.destroy();
    await until('the far end to be free', () => room.far.sockets.size === 0);
  }
});

test('a fast sender waits for a slow reader, in both directions, and nothing is lost', { timeout: 60_000 }, async () => {
  await using room = await startRelaying();
  const bytesAll = 48 << 20;
  const piece = randomBytes(1 << 20);
  const wanted = createHash('sha256');
  for (let i = 0; i < bytesAll >> 20; i++) wanted.update(piece);
  const sum = wanted.digest('hex');
  const client = await room.dial();
  client.socket.write(banner);
  const far = await onlyOne(room.far.sockets);
  await until('the banner', () => (far.read() as Buffer | null) !== null || far.bytesRead === banner.length);
  const flow = async (sender: Socket, reader: Socket, moved: () => number) => {
    reader.pause();
    for (let i = 0; i < bytesAll >> 20; i++) sender.write(piece);
    let last = -1;
    await until('the flow to stand still', async () => {
      const still = moved() === last && last > 0;
      last = moved();
      await new Promise((next) => setTimeout(next, 150));
      return still;
    });
    // What both kernels hold, and no more: the gateway reads only what it can write.
    assert.ok(last < bytesAll / 2, `${last} bytes were taken for a reader that reads nothing`);
    const hash = createHash('sha256');
    let got = 0;
    reader.on('data', (more: Buffer) => {
      got += more.length;
      hash.update(more);
    });
    reader.resume();
    await until('everything to arrive', () => got >= bytesAll, 30_000);
    assert.equal(got, bytesAll);
    assert.equal(hash.digest('hex'), sum);
    reader.removeAllListeners('data');
  };
  const live = () => room.gateway.live.conns(100).find((each) => each.protocol === 'ssh')!;
  await flow(client.socket, far, () => live().bytesIn);
  await flow(far, client.socket, () => live().bytesOut);
  client.socket.destroy();
  far.end();
  await finishesCleanly(room.gateway);
});

test('TLS on both sides: ends pass as ends, and much goes through both', { timeout: 60_000 }, async () => {
  const made = await makeCertificate({ name: 'far.example.test', now: Date.now(), ca: true });
  let far: TLSSocket | null = null;
  const inner = createTlsServer({ cert: made.pem, key: made.keyPem, allowHalfOpen: true } as TlsOptions, (socket) => void (far = socket.on('error', () => {})));
  await using carrier = await startTcp((socket) => void inner.emit('connection', socket));
  await using gateway = await startGateway({
    config: { listeners: [{ name: 'front', tls: true, protocols: ['http', 'ssh'] }] },
    routes: [{ name: 'far', protocol: 'ssh', listeners: ['front'], target: { kind: 'tls', host: '127.0.0.1', port: carrier.port, verify: { by: 'ca', ca: made.pem } } }],
  });
  const piece = randomBytes(1 << 20);
  const sum = createHash('sha256').update(banner);
  for (let i = 0; i < 16; i++) sum.update(piece);
  const wanted = sum.digest('hex');
  const client = connectTls({ host: '127.0.0.1', port: portOf(gateway, 'front'), ca: gateway.caPem, servername: 'localhost', allowHalfOpen: true } as ConnectionOptions);
  client.on('error', () => {});
  const got = { client: createHash('sha256'), clientEnded: false, far: createHash('sha256'), farEnded: false };
  client.on('data', (more: Buffer) => void got.client.update(more)).on('end', () => void (got.clientEnded = true));
  client.write(banner);
  for (let i = 0; i < 16; i++) client.write(piece);
  client.end();
  const there = await until('the upstream', () => far);
  there.on('data', (more: Buffer) => void got.far.update(more)).on('end', () => void (got.farEnded = true));
  await until('the end over there', () => got.farEnded);
  assert.equal(got.far.digest('hex'), wanted);
  assert.equal(got.clientEnded, false, 'the other direction still stands');
  there.write(banner);
  for (let i = 0; i < 16; i++) there.write(piece);
  there.end();
  await until('the end here', () => got.clientEnded);
  assert.equal(got.client.digest('hex'), wanted);
  await journalSays(gateway, { event: 'relay.ended', route: 'far', why: 'ended' });
  await finishesCleanly(gateway);
});

test('idle connections end, and say so', async () => {
  await using room = await startRelaying({ limits: { relayIdleMs: 1_000 } });
  const samples = [Buffer.from(banner), Buffer.from([0, 1, 2]), readHexCorpus('ldap')[0]!.bytes, readHexCorpus('h323')[0]!.bytes];
  const clients = await Promise.all(samples.map(async (bytes) => {
    const client = await room.dial();
    client.socket.write(bytes);
    return client;
  }));
  for (const client of clients) await until('the end', () => client.closed || client.ended);
  for (const protocol of ['ssh', 'tcp', 'ldap', 'h323']) await journalSays(room.gateway, { event: 'relay.ended', protocol, why: 'idle for 1 s' });
  await finishesCleanly(room.gateway);
});

test('a connection that is watched ends by its id, and a gateway that closes ends them all', async () => {
  await using room = await startRelaying();
  const [one, two] = [await room.dial(), await room.dial()];
  for (const client of [one, two]) client.socket.write(banner);
  const conns = await until('both to be relayed', () => {
    const found = room.gateway.live.conns(10).filter((each) => each.route === 'any-ssh');
    return found.length === 2 && room.far.sockets.size === 2 ? found : null;
  });
  assert.equal(room.gateway.live.closeConn(conns[0]!.id), true);
  await until('one to be gone', () => one.closed !== two.closed || one.ended !== two.ended);
  await room.gateway.close();
  await until('both to be gone', () => (one.closed || one.ended) && (two.closed || two.ended));
  await until('their upstreams as well', () => Array.from(room.far.sockets).every((socket) => (socket.resume(), socket.readableEnded || socket.destroyed)));
});

test('a new configuration drops nothing that stands, and holds for what is asked from then on', { timeout: 60_000 }, async () => {
  await using room = await startRelaying();
  const { gateway, far } = room;
  const { token } = await gateway.owner();
  const echo = (socket: Socket) => void socket.on('data', (piece) => socket.write(piece)).on('end', () => socket.end());
  const ldap = readHexCorpus('ldap').find((each) => each.title === 'ldapwhoami, a host name and a user')!.bytes;
  const put = async (change: (config: Config) => object) => {
    const { json } = await gateway.api('GET', '/config', { token });
    const answer = await gateway.api('PUT', '/config', { token, headers: { 'if-match': `"${String(json['revision'])}"` }, body: change(json['config'] as Config) });
    assert.equal(answer.status, 200, answer.text);
  };
  const open = async (first: Buffer) => {
    const before = new Set(far.sockets);
    const client = await room.dial();
    client.socket.write(first);
    echo(await until('the upstream', () => Array.from(far.sockets).find((each) => !before.has(each))));
    await until('the first bytes back', () => client.bytes.equals(first));
    return client;
  };
  const standing = [await open(Buffer.from(banner)), await open(ldap), await open(Buffer.from([0, 1, 2]))];
  const allCarry = async (piece: Buffer) => {
    for (const client of standing) {
      const before = client.bytes.length;
      client.socket.write(piece);
      await until('the echo', () => client.bytes.length === before + piece.length);
    }
  };
  // Another route; then one that stands goes elsewhere; then the listener is gone.
  await put((config) => ({ ...config, routes: [...config.routes, { name: 'more', protocol: 'ldap', listeners: ['mixed'], host: 'more.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: far.port } }] }));
  await allCarry(ldap);
  const elsewhere = await startTcp(echo);
  await put((config) => ({ ...config, routes: config.routes.map((route) => (route.protocol === 'ssh' ? { ...route, target: { kind: 'tcp', host: '127.0.0.1', port: elsewhere.port } } : route)) }));
  await allCarry(ldap);
  assert.equal(elsewhere.sockets.size, 0);
  const led = await room.dial();
  led.socket.write(banner);
  await led.says(/^SSH-/);
  assert.equal(elsewhere.sockets.size, 1, 'who comes now goes where the route leads now');
  led.socket.destroy();
  const port = portOf(gateway, 'mixed');
  await put((config) => ({ ...config, listeners: config.listeners.filter((each) => each.name !== 'mixed'), routes: [] }));
  await until('nobody to be accepted', () => openWire(port).then((wire) => (wire.socket.destroy(), false), () => true));
  const [shell, directory, rest] = standing as [Wire, Wire, Wire];
  for (const client of [shell, rest]) {
    const before = client.bytes.length;
    client.socket.write('still here');
    await until('the echo', () => client.bytes.length === before + 10);
  }
  // A bind is a question of its own, and nobody answers it here any more.
  directory.socket.write(ldap);
  await directory.says(/not on this connection/);
  await directory.gone();
  for (const client of standing) client.socket.destroy();
  await finishesCleanly(gateway);
  await elsewhere[Symbol.asyncDispose]();
});
