// First packets through a whole gateway: what each listener takes, where it leads, what is refused and how.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { test } from 'node:test';
import { finishesCleanly, portOf, startGateway, startTcp, until } from '../kit/gateway.ts';

const journalOf = async (gateway: Awaited<ReturnType<typeof startGateway>>) => {
  const { token } = await gateway.owner();
  const answer = await gateway.api('GET', '/journal?limit=200', { token });
  return (answer.json['items'] as { event: string; fields: Record<string, unknown> }[]).map((line) => ({ event: line.event, ...line.fields }) as Record<string, unknown>);
};

/** A server that says who it is, then echoes. */
const startNamed = (name: string) => startTcp((socket) => void socket.on('data', (piece: Buffer) => socket.write(Buffer.concat([Buffer.from(`${name}<`), piece, Buffer.from('>')]))).on('end', () => socket.end()));

function dial(port: number): Promise<{ socket: Socket; text(): string; closed(): boolean }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    let text = '';
    let closed = false;
    socket.on('data', (piece) => void (text += piece.toString('latin1'))).on('close', () => void (closed = true)).on('error', reject);
    socket.on('connect', () => {
      socket.off('error', reject).on('error', () => {});
      resolve({ socket, text: () => text, closed: () => closed });
    });
  });
}

const bindOf = (name: string) => {
  const op = Buffer.concat([Buffer.from([0x02, 1, 3, 0x04, name.length]), Buffer.from(name), Buffer.from([0x80, 1, 0x78])]);
  return Buffer.concat([Buffer.from([0x30, op.length + 5, 2, 1, 1, 0x60, op.length]), op]);
};

test('each protocol to where its first packet leads, on one plain port', async () => {
  await using ldap = await startNamed('ldap');
  await using shell = await startNamed('ssh');
  await using rest = await startNamed('rest');
  await using gateway = await startGateway({
    config: { listeners: [{ name: 'mixed', tls: false, protocols: ['ldap', 'ssh', 'tcp'] }, { name: 'first', tls: false, protocols: ['tcp'], serverFirst: true }] },
    routes: [
      { name: 'directory', protocol: 'ldap', listeners: ['mixed'], host: 'pbx.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: ldap.port } },
      { name: 'shell', protocol: 'ssh', listeners: ['mixed'], target: { kind: 'tcp', host: '127.0.0.1', port: shell.port } },
      { name: 'rest', protocol: 'tcp', listeners: ['mixed', 'first'], target: { kind: 'tcp', host: '127.0.0.1', port: rest.port } },
    ],
  });
  const mixed = portOf(gateway, 'mixed');
  const asked = async (bytes: Buffer | string, expected: RegExp) => {
    const client = await dial(mixed);
    client.socket.write(bytes);
    await until(`an answer like ${expected}`, () => expected.test(client.text()));
    client.socket.end();
    await until('its end', client.closed);
  };
  await asked('SSH-2.0-OpenSSH_9.2 Debian\r\n', /^ssh<SSH-2.0-OpenSSH_9.2 Debian\r\n>$/);
  await asked(bindOf('pbx.example.test\\anna'), /^ldap</);
  await asked(Buffer.from([0, 1, 2, 3]), /^rest</);
  const other = await dial(mixed);
  other.socket.write(bindOf('other.example.test\\anna'));
  await until('a refusal', () => /not on this connection|1\.3\.6\.1\.4\.1\.1466\.20036/.test(other.text()));
  await until('the end', other.closed);
  const silent = await dial(portOf(gateway, 'first'));
  await until('the upstream to be dialled without a byte', () => rest.sockets.size === 1);
  for (const socket of rest.sockets) socket.write('220 ready\r\n');
  await until('the greeting', () => silent.text() === '220 ready\r\n');
  const live = gateway.live.conns(10).find((each) => each.listener === 'first')!;
  assert.deepEqual([live.protocol, live.route, live.tls], ['tcp', 'rest', null]);
  assert.equal(gateway.live.closeConn(live.id), true);
  await until('the end', silent.closed);
  const lines = await journalOf(gateway);
  assert.ok(lines.some((line) => line['event'] === 'conn.refused' && line['rule'] === 'unknown host' && line['name'] === ''), JSON.stringify(lines));
  assert.ok(lines.some((line) => line['event'] === 'relay.ended' && line['route'] === 'directory' && line['name'] === 'pbx.example.test'));
  await finishesCleanly(gateway);
});

test('TLS passed through by name, byte for byte, however the hello is cut', async () => {
  await using behind = await startNamed('tls');
  await using gateway = await startGateway({
    config: { listeners: [{ name: 'front', tls: true, protocols: ['http', 'tls'] }] },
    routes: [{ name: 'through', protocol: 'tls', host: '*.example.test', listeners: ['front'], target: { kind: 'tcp', host: '127.0.0.1', port: behind.port } }],
  });
  const hello = await new Promise<Buffer>((resolve) => {
    void startTcp((socket) => void socket.once('data', (piece: Buffer) => (socket.destroy(), resolve(piece)))).then(async (trap) => {
      const client = connectTls({ host: '127.0.0.1', port: trap.port, servername: 'app.example.test', rejectUnauthorized: false });
      client.on('error', () => {});
      client.on('close', () => void trap[Symbol.asyncDispose]());
    });
  });
  const client = await dial(portOf(gateway, 'front'));
  for (let at = 0; at < hello.length; at += 97) {
    client.socket.write(hello.subarray(at, at + 97));
    await new Promise((next) => setTimeout(next, 1));
  }
  await until('the echo', () => client.text().length >= hello.length + 5);
  assert.equal(client.text().replace(/tls<|>/g, ''), hello.toString('latin1').replace(/tls<|>/g, ''));
  client.socket.destroy();
  const unknown = await dial(portOf(gateway, 'front'));
  unknown.socket.write(Buffer.from(hello.toString('latin1').replace('app.example.test', 'app.elsewhere.tt'), 'latin1'));
  await until('our own handshake, with the private CA', () => unknown.text().length > 500);
  unknown.socket.destroy();
  await finishesCleanly(gateway);
});

test('a listed sender begins with a PROXY header, nobody else may', async () => {
  await using web = await startTcp((socket) => void socket.on('data', (piece) => {
    const forwarded = /X-Forwarded-For: ([^\r]*)/.exec(piece.toString('latin1'))?.[1] ?? '';
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${forwarded.length}\r\n\r\n${forwarded}`);
  }));
  const routes = [{ name: 'web', host: 'web.example.test', listeners: ['behind', 'open'], target: { kind: 'tcp', host: '127.0.0.1', port: web.port } }];
  await using gateway = await startGateway({ config: { listeners: [{ name: 'behind', tls: false, proxyProtocolFrom: ['127.0.0.0/8'] }, { name: 'open', tls: false }] }, routes });
  const get = 'GET / HTTP/1.1\r\nHost: web.example.test\r\nX-Forwarded-For: 203.0.113.66\r\nConnection: close\r\n\r\n';
  const through = async (port: number, bytes: string | Buffer) => {
    const client = await dial(port);
    client.socket.write(bytes);
    await until('the end', client.closed);
    return client.text();
  };
  assert.match(await through(portOf(gateway, 'behind'), `PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n${get}`), /\r\n\r\n203\.0\.113\.7$/, 'the client is who the sender says; its own word is dropped');
  assert.equal(await through(portOf(gateway, 'behind'), get), '', 'without the header nothing is answered');
  assert.match(await through(portOf(gateway, 'open'), `PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n${get}`), /^HTTP\/1\.1 400 /, 'a header that nobody asked for is no request');
  assert.equal(await through(portOf(gateway, 'behind'), `PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\nPROXY TCP4 203.0.113.8 192.0.2.1 4711 80\r\n${get}`).then((text) => text.slice(0, 12)), 'HTTP/1.1 400', 'only one');
  await finishesCleanly(gateway);
});

test('trusted proxies say for whom they come; what others say is dropped', async () => {
  await using web = await startTcp((socket) => void socket.on('data', (piece) => {
    const lines = piece.toString('latin1').split('\r\n').filter((line) => /forwarded|real-ip/i.test(line)).join('|');
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${lines.length}\r\n\r\n${lines}`);
  }));
  const routes = [{ name: 'web', host: 'web.example.test', listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port: web.port } }];
  const get = 'GET / HTTP/1.1\r\nHost: web.example.test\r\nX-Forwarded-For: 203.0.113.66, 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example.test\r\nX-Real-IP: 203.0.113.99\r\nForwarded: for=203.0.113.98\r\nX_Forwarded_For: 203.0.113.97\r\nConnection: close\r\n\r\n';
  const seen = async (config: Record<string, unknown>) => {
    await using gateway = await startGateway({ config, routes });
    const client = await dial(gateway.ports.http);
    client.socket.write(get);
    await until('the end', client.closed);
    await finishesCleanly(gateway);
    return client.text().split('\r\n\r\n')[1]!;
  };
  const trusted = await seen({ trustedProxies: [{ from: '127.0.0.1' }] });
  assert.match(trusted, /X-Forwarded-For: 203\.0\.113\.66, 203\.0\.113\.7, 127\.0\.0\.1\|X-Forwarded-Proto: https\|X-Forwarded-Host: shop\.example\.test\|Forwarded: for=203\.0\.113\.7;host="shop\.example\.test";proto=https, for=127\.0\.0\.1$/);
  const stranger = await seen({});
  assert.match(stranger, /X-Forwarded-For: 127\.0\.0\.1\|X-Forwarded-Proto: http\|X-Forwarded-Host: web\.example\.test\|Forwarded: for=127\.0\.0\.1;/);
  for (const text of [trusted, stranger]) assert.doesNotMatch(text, /203\.0\.113\.9[0-9]/);
});

test('large heads are let grow by listener and path, and behind client certificates too', async () => {
  await using gateway = await startGateway({
    config: { tlsPolicies: [{ name: 'staff', hosts: ['staff.example.test'], clientCertificates: { ca: 'private', required: false } }] },
    routes: [
      { name: 'large', host: 'app.example.test', path: '/large', listeners: ['http'], largeHeads: true, target: { kind: 'respond', body: 'large' } },
      { name: 'small', host: 'app.example.test', listeners: ['http'], target: { kind: 'respond', body: 'small' } },
      { name: 'staff', host: 'staff.example.test', largeHeads: true, clientCertificate: {}, target: { kind: 'respond', body: 'never' } },
    ],
  });
  const head = (host: string, path: string) => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nX-Long: ${'x'.repeat(20_000)}\r\nConnection: close\r\n\r\n`;
  const asked = async (text: string) => {
    const client = await dial(gateway.ports.http);
    client.socket.write(text);
    await until('the end', client.closed);
    return client.text().slice(9, 12);
  };
  assert.equal(await asked(head('app.example.test', '/large/x?y')), '200');
  assert.equal(await asked(head('app.example.test', '/')), '431');
  const answer = await new Promise<string>((resolve, reject) => {
    let text = '';
    const socket = connectTls({ host: '127.0.0.1', port: gateway.ports.https, servername: 'staff.example.test', ca: gateway.caPem, ALPNProtocols: ['http/1.1'] }, () => socket.write(head('staff.example.test', '/')));
    socket.on('data', (piece: Buffer) => void (text += piece.toString('latin1'))).on('close', () => resolve(text)).on('error', reject);
  });
  assert.equal(answer.slice(9, 12), '403', 'who has no certificate is told that, not that the head is large');
  await finishesCleanly(gateway);
});
