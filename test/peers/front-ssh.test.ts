// OpenSSH through the front door: on a port that TLS has too, inside TLS, on a plain port beside HTTP, where the server speaks first, and to a device.
import assert from 'node:assert/strict';
import { userInfo } from 'node:os';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { journalSays, openTlsWire, openWire } from '#kit/front.ts';
import { finishesCleanly, portOf, startGateway, type TestDevice, type TestGateway } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { hashOf, openProcesses, randomFile, type Processes } from '#kit/processes.ts';
import { startSshd, type Sshd } from '#kit/sshd.ts';

const peers = findPeers(['sshd', 'ssh', 'scp', 'ssh-keygen', 'openssl']);
const options = { skip: peers.skip, timeout: 90_000 };
const user = userInfo().username;
const bytesMoved = 8_000_000;

let processes: Processes;
let sshd: Sshd;
let gateway: TestGateway;
let caFile: string;
let device: TestDevice;

before(async () => {
  if (peers.skip !== false) return;
  processes = openProcesses();
  sshd = await startSshd(processes, { sshd: peers.path('sshd'), keygen: peers.path('ssh-keygen') }, 'shell.example.test');
  const target = { kind: 'tcp', host: '127.0.0.1', port: sshd.port };
  gateway = await startGateway({
    config: {
      listeners: [
        { name: 'shared', tls: true, protocols: ['http'], plain: ['ssh'], silentMs: 500 },
        { name: 'inside', tls: true, protocols: ['http', 'ssh'] },
        { name: 'beside', tls: false, protocols: ['http', 'ssh'], silentMs: 500 },
        { name: 'first', tls: false, protocols: ['tcp'], serverFirst: true },
        { name: 'first-tls', tls: true, protocols: ['tcp'], serverFirst: true },
        { name: 'first-header', tls: false, protocols: ['tcp'], serverFirst: true, proxyProtocolFrom: ['127.0.0.1'] },
        { name: 'to-device', tls: false, protocols: ['ssh'] },
        { name: 'to-device-first', tls: false, protocols: ['tcp'], serverFirst: true },
      ],
    },
    routes: [
      { name: 'shell', protocol: 'ssh', listeners: ['shared', 'inside', 'beside'], target },
      { name: 'first', protocol: 'tcp', listeners: ['first', 'first-tls', 'first-header'], target },
      { name: 'device', protocol: 'ssh', listeners: ['to-device'], target: { kind: 'device', device: 'workshop', port: sshd.port } },
      { name: 'device-first', protocol: 'tcp', listeners: ['to-device-first'], target: { kind: 'device', device: 'workshop', port: sshd.port } },
      { name: 'web', host: 'web.example.test', listeners: ['shared', 'inside', 'beside'], target: { kind: 'respond', body: 'a page' } },
    ],
  });
  caFile = join(processes.folder, 'ca.pem');
  writeFileSync(caFile, gateway.caPem);
  device = await gateway.addDevice({ name: 'Workshop', ports: [{ number: sshd.port, kind: 'tcp' }] });
});

after(async () => {
  await gateway?.close();
  await processes?.[Symbol.asyncDispose]();
});

const common = () => ['-F', 'none', '-i', sshd.keyFile, '-o', 'IdentitiesOnly=yes', '-o', `UserKnownHostsFile=${sshd.knownHosts}`, '-o', 'HostKeyAlias=shell.example.test', '-o', 'StrictHostKeyChecking=yes', '-o', 'BatchMode=yes'];
const run = (listener: string, more: readonly string[], command: string, input = '') =>
  processes.run(peers.path('ssh'), [...common(), ...more, '-p', String(portOf(gateway, listener)), `${user}@127.0.0.1`, command], { input, timeoutMs: 30_000 });
const inTls = () => ['-o', `ProxyCommand=${peers.path('openssl')} s_client -quiet -verify_quiet -verify_return_error -CAfile ${caFile} -servername localhost -connect 127.0.0.1:${portOf(gateway, 'inside')}`];

test('a command with input, both outputs and its code, on every kind of port', options, async () => {
  for (const listener of ['shared', 'inside', 'beside', 'first', 'to-device', 'to-device-first']) {
    const done = await run(listener, listener === 'inside' ? inTls() : [], 'cat; echo to-stderr >&2; exit 7', 'from here\n');
    assert.equal(done.stdout, 'from here\n', `${listener}: ${done.stderr}`);
    assert.match(done.stderr, /to-stderr/);
    assert.equal(done.code, 7);
  }
  for (const [listener, route] of [['shared', 'shell'], ['first', 'first'], ['to-device', 'device']]) await journalSays(gateway, { event: 'relay.ended', listener, route });
  await finishesCleanly(gateway);
});

test('scp both ways through the shared port and to the device, the same bytes', options, async () => {
  const here = join(processes.folder, 'here.bin');
  const hash = await randomFile(here, bytesMoved);
  for (const listener of ['shared', 'to-device']) {
    const [there, back] = [`${listener}.there`, `${listener}.back`].map((name) => join(processes.folder, name)) as [string, string];
    const args = [...common(), '-q', '-P', String(portOf(gateway, listener))];
    const up = await processes.run(peers.path('scp'), [...args, here, `${user}@127.0.0.1:${there}`]);
    assert.equal(up.code, 0, up.stderr);
    assert.equal(await hashOf(there), hash);
    const down = await processes.run(peers.path('scp'), [...args, `${user}@127.0.0.1:${there}`, back]);
    assert.equal(down.code, 0, down.stderr);
    assert.equal(await hashOf(back), hash);
  }
  await finishesCleanly(gateway);
});

test('a client that waits for the server gets its banner; TLS and HTTP go on beside it', options, async () => {
  for (const listener of ['shared', 'beside', 'first', 'to-device-first']) {
    const waiting = await openWire(portOf(gateway, listener));
    await waiting.says(/^SSH-2\.0-OpenSSH/);
    waiting.socket.destroy();
  }
  const inTls = await openTlsWire(portOf(gateway, 'first-tls'), { servername: 'shell.example.test', ca: gateway.caPem, checkServerIdentity: () => undefined });
  await inTls.says(/^SSH-2\.0-OpenSSH/);
  const behindHeader = await openWire(portOf(gateway, 'first-header'));
  behindHeader.socket.write('PROXY TCP4 203.0.113.7 192.0.2.1 4711 22\r\n');
  await behindHeader.says(/^SSH-2\.0-OpenSSH/);
  assert.ok(gateway.live.conns(20).some((each) => each.listener === 'first-header' && each.from === '203.0.113.7'));
  for (const wire of [inTls, behindHeader]) wire.socket.destroy();
  const get = 'GET / HTTP/1.1\r\nHost: web.example.test\r\nConnection: close\r\n\r\n';
  const secure = await openTlsWire(portOf(gateway, 'shared'), { servername: 'web.example.test', ca: gateway.caPem, checkServerIdentity: () => undefined });
  secure.socket.write(get);
  await secure.says(/a page$/);
  const plain = await openWire(portOf(gateway, 'beside'));
  plain.socket.write(get);
  await plain.says(/a page$/);
  const wrong = await openWire(portOf(gateway, 'shared'));
  wrong.socket.write(get);
  await wrong.gone();
  assert.doesNotMatch(wrong.text, /a page/, 'HTTP without TLS is not what this port takes');
  await journalSays(gateway, { event: 'conn.refused', listener: 'shared', why: /^http is not what this listener takes$/ });
  // Slower than the silence, but a word has come: it is looked at to its end.
  const slow = await openWire(portOf(gateway, 'shared'));
  slow.socket.write('SSH-2.0-');
  await new Promise((next) => setTimeout(next, 900));
  slow.socket.write('slow\r\n');
  await slow.says(/^SSH-2\.0-OpenSSH/);
  for (const wire of [secure, plain, slow]) wire.socket.destroy();
  await finishesCleanly(gateway);
});

test('a device that goes ends its connections, and is there again when it is back', options, async () => {
  const standing = await openWire(portOf(gateway, 'to-device'));
  standing.socket.write('SSH-2.0-test\r\n');
  await standing.says(/^SSH-2\.0-OpenSSH/);
  await device.stop();
  await standing.gone();
  const away = await run('to-device', [], 'echo away');
  assert.equal(away.code, 255);
  await journalSays(gateway, { event: 'relay.failed', route: 'device', why: /offline|not connected/ });
  await device.start();
  const again = await run('to-device', [], 'echo again');
  assert.equal(again.stdout, 'again\n', again.stderr);
  await finishesCleanly(gateway);
});
