import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { limits } from '#base/limits.ts';
import { testLeaf } from '#kit/test-leaf.ts';
import { openProbeStream, startProbing } from '#kit/probing.ts';
import { titleOf } from './probe-http.ts';

function open(t: TestContext, bounds = {}) {
  const stateDir = mkdtempSync(join(tmpdir(), 'postern-probe-'));
  t.after(() => rmSync(stateDir, { recursive: true, force: true }));
  return openProbeStream(startProbing({ stateDir, policy: 'reach tcp 127.0.0.1 1024-65535', limits: bounds }));
}

/** Answers what it is asked with bytes as they are, and keeps what it was asked. */
async function listen(t: TestContext, server: Server, answer: (socket: Socket, head: string) => void): Promise<{ readonly port: number; readonly heads: string[] }> {
  const heads: string[] = [];
  const sockets = new Set<Socket>();
  server.on('setSecureContext' in server ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let head = '';
    socket.on('data', (chunk: Buffer) => {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (end < 0 || head.length < end + 4 + length) return;
      heads.push(head);
      answer(socket, head);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return { port: (server.address() as AddressInfo).port, heads };
}

const address = '127.0.0.1';
const page = (body: string, fields = '') => `HTTP/1.1 200 OK\r\nServer: Device-HTTPD 1.0\r\n${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

test('titles', () => {
  for (const [text, title] of [
    ['<html><head><TITLE lang="en">\n Web  Config &amp; Status&#x21;&#33; </TITLE>', 'Web Config & Status!!'],
    ['<title></title>', null],
    ['<title>open', null],
    ['no title', null],
    ['<title>a&bogus;b&#0;c&#xd800;</title>', 'a&bogus;b&#0;c&#xd800;'],
    [`<title>${'x'.repeat(5_000)}</title>`, `${'x'.repeat(200)}…`],
    ['<title>\u0007bell</title>', '\\x07bell'],
    ['<title'.repeat(10_000), null],
  ] as const) assert.equal(titleOf(Buffer.from(text)), title);
  assert.equal(titleOf(Buffer.from('<title>Ger\u00e4t</title>', 'latin1')), 'Ger\u00e4t');
  assert.equal(titleOf(Buffer.from('<title>Ger\u00e4t</title>', 'utf8')), 'Ger\u00e4t');
});

test('a page: status, server, title; nothing of ours that a device needs not know', async (t) => {
  await using probe = open(t);
  const { port, heads } = await listen(t, createServer(), (socket) => socket.end(page('<title>Web Config</title>')));
  assert.deepEqual(await probe.ask('http', { address, port }), { status: 200, server: 'Device-HTTPD 1.0', title: 'Web Config', location: null, certificate: null, from: address });
  assert.match(heads[0]!, /^GET \/ HTTP\/1\.1\r\n/);
  assert.match(heads[0]!, new RegExp(`\r\nHost: 127\\.0\\.0\\.1:${port}\r\n`));
});

test('redirects are told, odd answers are taken, long pages cut, broken ones read as far as they came', async (t) => {
  await using probe = open(t, { probeHttpBodyBytesMax: 4_096 });
  const answers = [
    'HTTP/1.1 302 Found\r\nLocation: https://printer.example.test/\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.0 401 No\r\nX-Odd: a\x01b\r\nServer: Old\r\n\r\n<title>Sign in</title>',
    page(`<title>Long</title>${'x'.repeat(100_000)}`),
    'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n<title>Broken</title>',
  ];
  const { port } = await listen(t, createServer(), (socket) => socket.end(answers.shift()!));
  const ask = () => probe.ask('http', { address, port });
  assert.deepEqual([(await ask())['location']], ['https://printer.example.test/']);
  const odd = await ask();
  assert.deepEqual([odd['status'], odd['server'], odd['title']], [401, 'Old', 'Sign in']);
  assert.equal((await ask())['title'], 'Long');
  assert.equal((await ask())['title'], 'Broken');
});

test('over TLS: the certificate as it is, self-signed and for another name', async (t) => {
  await using probe = open(t);
  const leaf = await testLeaf();
  const { port } = await listen(t, createTlsServer({ key: leaf.key, cert: leaf.cert }), (socket) => socket.end(page('<title>Secure</title>')));
  const { certificate, title } = (await probe.ask('http', { address, port, tls: true })) as { title: string; certificate: Record<string, unknown> };
  assert.equal(title, 'Secure');
  assert.deepEqual([certificate['sha256'], Date.parse(String(certificate['notAfter'])) > Date.parse(String(certificate['notBefore']))], [new X509Certificate(leaf.cert).fingerprint256.replaceAll(':', '').toLowerCase(), true]);
  assert.ok(String(certificate['subject']).length > 0);
  const raw = createServer((socket) => socket.on('error', () => {}).end('no TLS here\r\n'));
  raw.listen(0, address);
  await once(raw, 'listening');
  t.after(() => raw.close());
  assert.equal((await probe.refused('http', { address, port: (raw.address() as AddressInfo).port, tls: true })).code, 'tls');
});

test('what fails has its code', async (t) => {
  await using probe = open(t, { probeHttpTimeoutMs: 150 });
  const { port } = await listen(t, createServer(), () => {});
  assert.equal((await probe.refused('http', { address, port })).code, 'timeout');
  const hang = await listen(t, createServer(), (socket) => socket.destroy());
  assert.equal((await probe.refused('http', { address, port: hang.port })).code, 'closed');
  const noise = await listen(t, createServer(), (socket) => socket.end('SSH-2.0-device\r\n'));
  assert.equal((await probe.refused('http', { address, port: noise.port })).code, 'damaged');
  const gone = createServer().listen(0, address);
  await once(gone, 'listening');
  const { port: closed } = gone.address() as AddressInfo;
  gone.close();
  await once(gone, 'close');
  const off = await probe.refused('http', { address, port: closed });
  assert.deepEqual([off.code, off.from], ['off', null]);
  assert.match(off.message, /HTTP/);
});

test('IPP: bytes there and back, bounded; what is not 200 has none', async (t) => {
  await using probe = open(t);
  const asked = Buffer.from([1, 1, 0, 11, 0, 0, 0, 1, 3, 0xff]);
  const said = Buffer.from([1, 1, 0, 0, 0, 0, 0, 1, 3, 0xfe]);
  let answer: Buffer = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\nTransfer-Encoding: chunked\r\n\r\na\r\n`), said, Buffer.from('\r\n0\r\n\r\n')]);
  const { port, heads } = await listen(t, createServer(), (socket) => socket.end(answer));
  const ask = { address, port, path: '/ipp/print', body: asked.toString('base64') };
  assert.deepEqual(await probe.ask('ipp', ask), { status: 200, body: said.toString('base64'), location: null, certificate: null, from: address });
  assert.ok(heads[0]!.startsWith('POST /ipp/print HTTP/1.1\r\n') && /content-type: application\/ipp\r\n/i.test(heads[0]!) && heads[0]!.endsWith(asked.toString('latin1')));
  answer = Buffer.from('HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno.');
  assert.deepEqual([(await probe.ask('ipp', ask))['status'], (await probe.ask('ipp', ask))['body']], [404, '']);
  answer = Buffer.from(page('x'.repeat(limits.probeIppAnswerBytesMax)));
  assert.equal(Buffer.from(String((await probe.ask('ipp', ask))['body']), 'base64').length, limits.probeIppAnswerBytesMax, 'the longest fits into a message');
  answer = Buffer.from(page('x'.repeat(limits.probeIppAnswerBytesMax + 1)));
  assert.equal((await probe.refused('ipp', ask)).code, 'too-large');
  answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf');
  assert.equal((await probe.refused('ipp', ask)).code, 'closed');
});
