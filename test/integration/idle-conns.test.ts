// Two thousand connections that say nothing, at listeners of every kind, and one good client beside them. Ten thousand are a matter for bench/.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { openTlsWire, openWire, readJournal } from '../kit/front.ts';
import { finishesCleanly, portOf, startGateway, startTcp, until } from '../kit/gateway.ts';

const crowd = 2_000;
const get = 'GET / HTTP/1.1\r\nHost: web.example.test\r\nConnection: close\r\n\r\n';

async function openCrowd(count: number, portAt: (index: number) => number, fromAt: (index: number) => string): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let at = 0; at < count; at += 100) {
    const some = Array.from({ length: Math.min(100, count - at) }, (_, index) => connect({ host: '127.0.0.1', port: portAt(at + index), localAddress: fromAt(at + index) }));
    for (const socket of some) socket.on('error', () => {});
    await Promise.all(some.map((socket) => once(socket, 'connect')));
    sockets.push(...some);
  }
  return sockets;
}

const manyAddresses = (index: number) => `127.2.${index >> 8}.${index & 255}`;

test('idle connections at every listener, and a good client is served', { timeout: 120_000 }, async () => {
  await using echo = await startTcp((socket) => void socket.on('data', (piece) => socket.write(piece)).on('end', () => socket.end()));
  const target = { kind: 'tcp', host: '127.0.0.1', port: echo.port };
  await using gateway = await startGateway({
    config: {
      listeners: [
        { name: 'mixed', tls: false, protocols: ['http', 'ldap', 'sip', 'h323', 'ssh'], sniffTimeoutMs: 60_000 },
        { name: 'front', tls: true, protocols: ['http', 'ldap', 'sip'], sniffTimeoutMs: 60_000 },
        { name: 'header', tls: false, protocols: ['http'], proxyProtocolFrom: ['127.2.0.0/16'], sniffTimeoutMs: 60_000 },
        { name: 'first', tls: false, protocols: ['tcp'], serverFirst: true },
      ],
    },
    routes: [
      { name: 'web', host: 'web.example.test', listeners: ['mixed', 'front', 'header'], target: { kind: 'respond', body: 'a page' } },
      { name: 'shell', protocol: 'ssh', listeners: ['mixed'], target },
      { name: 'first', protocol: 'tcp', listeners: ['first'], target },
    ],
  });
  const ports = ['mixed', 'front', 'header'].map((name) => portOf(gateway, name));
  const idle = await openCrowd(crowd, (index) => ports[index % ports.length]!, manyAddresses);
  // A tenth of them are relayed, and idle there.
  const relayed = await openCrowd(crowd / 10, () => portOf(gateway, 'first'), manyAddresses);
  await until('all to be accepted', () => gateway.live.connCounts().open >= crowd + crowd / 10);
  await until('their upstreams', () => echo.sockets.size === crowd / 10);
  assert.equal(gateway.leftovers().conns, crowd + crowd / 10);

  const good = async () => {
    const plain = await openWire(portOf(gateway, 'mixed'));
    plain.socket.write(get);
    await plain.says(/^HTTP\/1\.1 200 [\s\S]*a page$/);
    const secure = await openTlsWire(portOf(gateway, 'front'), { servername: 'web.example.test', ca: gateway.caPem, checkServerIdentity: () => undefined });
    secure.socket.write(get);
    await secure.says(/^HTTP\/1\.1 200 [\s\S]*a page$/);
    const shell = await openWire(portOf(gateway, 'mixed'));
    shell.socket.write('SSH-2.0-good\r\n');
    await shell.says(/^SSH-2\.0-good\r\n$/);
    for (const wire of [plain, secure, shell]) wire.socket.destroy();
  };
  await good();
  // Half of the crowd begins to speak now: what was idle is not forgotten.
  for (const [index, socket] of idle.entries()) if (index % ports.length === 0 && index % 2 === 0) socket.write('GET / HT');
  relayed[7]!.write('awake');
  await until('an idle relay to carry', () => relayed[7]!.readableLength > 0 || relayed[7]!.read() !== null);
  await good();
  for (const socket of [...idle, ...relayed]) socket.destroy();
  await finishesCleanly(gateway);
  assert.equal(gateway.live.connCounts().open, 0);
  await until('the upstreams to be gone', () => echo.sockets.size === 0);
});

test('silence ends at the deadline, all of them, with a line each', { timeout: 60_000 }, async () => {
  await using gateway = await startGateway({
    config: { listeners: [{ name: 'mixed', tls: false, protocols: ['http', 'ssh'], sniffTimeoutMs: 1_000 }, { name: 'front', tls: true, protocols: ['http', 'ldap'], sniffTimeoutMs: 1_000 }] },
    routes: [{ name: 'web', host: 'web.example.test', listeners: ['mixed', 'front'], target: { kind: 'respond', body: 'a page' } }],
  });
  const count = 400;
  const before = gateway.live.connCounts().refused;
  const idle = await openCrowd(count, (index) => portOf(gateway, index % 2 ? 'mixed' : 'front'), manyAddresses);
  let closed = 0;
  for (const socket of idle) socket.on('close', () => (closed += 1)).resume();
  await until('all to be closed by the gateway', () => closed === count);
  assert.equal(gateway.live.connCounts().refused - before, count);
  assert.ok((await readJournal(gateway)).filter((line) => line.event === 'conn.refused' && line['why'] === 'nothing was sent').length >= 190);
  await finishesCleanly(gateway);
});

test('so many from one address, so many in all; behind a listed sender the client counts', { timeout: 60_000 }, async () => {
  const listeners = [
    { name: 'mixed', tls: false, protocols: ['http', 'ssh'], sniffTimeoutMs: 60_000 },
    { name: 'header', tls: false, protocols: ['http', 'ssh'], proxyProtocolFrom: ['127.0.0.1'], sniffTimeoutMs: 60_000 },
  ];
  const routes = [{ name: 'web', host: 'web.example.test', listeners: ['mixed', 'header'], target: { kind: 'respond', body: 'a page' } }];
  await using gateway = await startGateway({ config: { listeners }, routes, limits: { connsPerAddressMax: 20, connsMax: 60 } });
  const header = 'PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n';
  // Loopback is not counted by address, so one that is not has to be told.
  const behind = await openCrowd(20, () => portOf(gateway, 'header'), () => '127.0.0.1');
  for (const socket of behind) socket.write(header);
  await until('the named client to have all that it may', () => gateway.live.conns(100).filter((each) => each.from === '203.0.113.9').length === 20);
  const one = await openWire(portOf(gateway, 'header'));
  one.socket.write(header + get);
  await one.gone();
  assert.equal(one.text, '');
  const other = await openWire(portOf(gateway, 'header'));
  other.socket.write(header.replace('203.0.113.9', '203.0.113.10') + get);
  await other.says(/a page$/);
  await until('the refusal in the journal', async () => (await readJournal(gateway)).some((line) => line.event === 'conn.refused' && line['from'] === '203.0.113.9' && line['why'] === 'too many connections from this address'));
  behind.pop()!.destroy();
  await until('its place to be free', () => gateway.live.conns(100).filter((each) => each.from === '203.0.113.9').length === 19);
  const again = await openWire(portOf(gateway, 'header'));
  again.socket.write(header + get);
  await again.says(/a page$/);
  for (const wire of [other, again]) wire.socket.destroy();
  await until('both to be gone', () => gateway.live.connCounts().open === 19);

  const rest = await openCrowd(41, () => portOf(gateway, 'mixed'), manyAddresses);
  await until('all that fit', () => gateway.live.connCounts().open === 60);
  const late = await openWire(portOf(gateway, 'mixed'));
  await late.gone();
  assert.equal(late.text, '');
  rest.pop()!.destroy();
  await until('a free place', () => gateway.live.connCounts().open === 59);
  const served = await openWire(portOf(gateway, 'mixed'));
  served.socket.write(get);
  await served.says(/a page$/);
  served.socket.destroy();
  for (const socket of [...behind, ...rest]) socket.destroy();
  await finishesCleanly(gateway);
});
