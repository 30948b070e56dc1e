// Sources over real sockets on loopback: connections both ways, syslog, polling.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { keyFingerprintOf } from '#model/fingerprint.ts';
import { compilePattern } from '#model/pattern.ts';
import { testLeaf } from '../../../test/kit/test-leaf.ts';
import { ListStore, sourceDeps, until } from '../../../test/kit/record-store.ts';
import type { Framing, HttpPollSettings, SyslogSettings, TcpConnectSettings, TcpListenSettings } from '../source-settings.ts';
import { openHttpPoll } from './http-poll.ts';
import type { Source } from './source.ts';
import { openSyslog } from './syslog.ts';
import { openTcpConnect } from './tcp-connect.ts';
import { openTcpListen } from './tcp-listen.ts';

const lines: Framing = { kind: 'lines', end: 'any', keepEmpty: false };
const listening: TcpListenSettings = { kind: 'tcp-listen', listen: { host: '127.0.0.1', port: 0 }, from: [], clientsMax: 2, silenceMs: 0, sourceAddress: false };

const portOf = (source: Source, protocol = '') => Number(new RegExp(`${protocol}.*?:(\\d+)`).exec(source.status().what)![1]);

async function dial(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect(port, host);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

async function serve(onSocket: (socket: Socket) => void): Promise<{ readonly port: number; readonly server: Server; [Symbol.asyncDispose](): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    server,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('clients that connect: each its own stream, the rest at its end, urgent ones marked, another feed for some', async () => {
  const store = new ListStore();
  const alarms = new ListStore();
  const source = await openTcpListen({ ...listening, sourceAddress: true }, lines, sourceDeps({ cdr: store, alarms }, { feed: { urgent: [compilePattern('911')], split: [{ pattern: compilePattern('ALARM'), feed: 'alarms' }] } }));
  const one = await dial(portOf(source));
  const two = await dial(portOf(source));
  one.write('call 1\r\ncall ');
  two.write('ALARM x\n9911');
  await until('two records', () => store.records.length + alarms.records.length === 2);
  one.write('2\n');
  two.end();
  await until('four records', () => store.records.length + alarms.records.length === 4);
  assert.equal(source.status().connected, 1);
  one.write('last');
  await until('it came', () => source.status().bytes === 'call 1\r\ncall 2\nlastALARM x\n9911'.length);
  await source.close();
  assert.deepEqual(store.records.toSorted(), ['127.0.0.1 9911', '127.0.0.1 call 1', '127.0.0.1 call 2', '127.0.0.1 last']);
  assert.deepEqual(alarms.records, ['127.0.0.1 ALARM x']);
  assert.deepEqual(store.urgent, ['127.0.0.1 9911']);
  assert.equal(source.status().records, 5);
});

test('who is not listed, and one too many, is let go; who is silent, too', async () => {
  const store = new ListStore();
  const strict = await openTcpListen({ ...listening, from: ['192.0.2.0/24'] }, lines, sourceDeps({ cdr: store }));
  await once(await dial(portOf(strict)), 'close');
  assert.match(strict.status().lastError!.why, /127\.0\.0\.1 was refused: it is not among/);
  await strict.close();
  const small = await openTcpListen({ ...listening, clientsMax: 1, silenceMs: 2_000 }, lines, sourceDeps({ cdr: store }, { factor: 20 }));
  const first = await dial(portOf(small));
  await until('the first', () => small.status().connected === 1);
  await once(await dial(portOf(small)), 'close');
  assert.match(small.status().lastError!.why, /one more than clientsMax/);
  first.write('half');
  await once(first, 'close');
  await until('the half', () => store.records.length === 1);
  assert.match(small.status().lastError!.why, /nothing came for 2 s/);
  await small.close();
});

test('a disk that is behind stops the sender, and loses nothing', async () => {
  const store = new ListStore();
  const source = await openTcpListen(listening, lines, sourceDeps({ cdr: store }));
  let open: () => void = () => {};
  store.gate = new Promise((resolve) => (open = resolve));
  const client = await dial(portOf(source));
  const line = `${'x'.repeat(999)}\n`;
  const count = 64_000;
  let sent = 0;
  const pump = () => {
    while (sent < count) {
      sent += 1;
      if (!client.write(line)) return;
    }
  };
  client.on('drain', pump);
  pump();
  await until('it stands', () => source.status().bytes >= limits.feedUnflushedBytesMax);
  await new Promise((resolve) => setTimeout(resolve, 150));
  const before = source.status().bytes;
  assert.ok(before < limits.feedUnflushedBytesMax + 3 * 65_536, `${before} bytes were taken`);
  open();
  await until('all came', () => store.records.length === count);
  client.destroy();
  await source.close();
});

test('a pause ends a record; fixed lengths and frames do not need one', async () => {
  const store = new ListStore();
  const idle = await openTcpListen(listening, { kind: 'idle', idleMs: 100 }, sourceDeps({ cdr: store }));
  const client = await dial(portOf(idle));
  client.write('one\ntwo');
  await until('one record', () => store.records.length === 1);
  client.write('three');
  await until('two records', () => store.records.length === 2);
  await idle.close();
  assert.deepEqual(store.records, ['one\ntwo', 'three']);
  const framed = await openTcpListen(listening, { kind: 'stx-etx' }, sourceDeps({ cdr: store }));
  const other = await dial(portOf(framed));
  other.end('\x02four\x03x\x02half');
  await until('it left', () => framed.status().records === 1 && framed.status().connected === 0);
  assert.equal(framed.status().dropped, 1);
  await framed.close();
});

test('plain bytes go as they come', async () => {
  const store = new ListStore();
  const source = await openTcpListen({ ...listening, clientsMax: 1 }, { kind: 'none' }, sourceDeps({ cdr: store }, { feed: { format: 'raw' } }));
  const client = await dial(portOf(source));
  client.end(Buffer.from([0, 10, 255, 13]));
  await until('four bytes', () => store.records.join('').length === 4);
  await source.close();
  assert.equal(store.records.join(''), '\x00\n\xff\r');
});

test('an address that is taken is tried again', async () => {
  const store = new ListStore();
  const other = await serve(() => {});
  const source = await openTcpListen({ ...listening, listen: { host: '127.0.0.1', port: other.port } }, lines, sourceDeps({ cdr: store }, { factor: 50 }));
  assert.match(source.status().lastError!.why, /EADDRINUSE/);
  await other[Symbol.asyncDispose]();
  let client: Socket | null = null;
  for (let tries = 0; client === null && tries < 100; tries++) {
    client = await dial(other.port).catch(() => null);
    if (client === null) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  client!.end('late\n');
  await until('a record', () => store.records.length === 1);
  await source.close();
});

test('dialled again and again, with a login each time; no secret is told', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-login-'));
  const store = new ListStore();
  let visits = 0;
  await using server = await serve((socket) => {
    const mine = ++visits;
    let heard = '';
    // The question comes in pieces, and the first record with the end of the login.
    socket.write('Wel');
    setTimeout(() => socket.write('come. Login:'), 5);
    socket.on('data', (bytes: Buffer) => {
      heard += bytes.toString();
      if (heard === 'SMDR\r') socket.write('Password:');
      if (heard === 'SMDR\rsecret-word\r') socket.end(mine === 2 ? 'Denied' : `OK\r\nrecord ${mine}\r\nhalf ${mine}`);
    });
  });
  const file = join(folder, 'password');
  writeFileSync(file, 'secret-word\n');
  const settings: TcpConnectSettings = {
    kind: 'tcp-connect',
    address: { host: '127.0.0.1', port: server.port },
    login: [{ expect: 'Login:', send: 'SMDR\r', sendFile: null }, { expect: 'Password:', send: '', sendFile: file }, { expect: 'OK\r\n', send: '', sendFile: null }],
    keepAliveMs: 30_000,
    silenceMs: 0,
  };
  const source = openTcpConnect(settings, lines, sourceDeps({ cdr: store }, { factor: 100 }));
  await until('the second one failed', () => /login step 3: the other end closed/.test(source.status().lastError?.why ?? ''));
  await until('four records', () => store.records.length >= 4);
  await source.close();
  assert.deepEqual(store.records.slice(0, 4), ['record 1', 'half 1', 'record 3', 'half 3']);
  assert.ok(!JSON.stringify(source.status()).includes('secret-word'));
  rmSync(folder, { recursive: true });
});

const syslog: SyslogSettings = { kind: 'syslog', listen: { host: '127.0.0.1', port: 0 }, transport: 'both', from: [], clientsMax: 4, sourceAddress: false };

test('syslog: datagrams, lines and counted messages', async () => {
  const store = new ListStore();
  const source = await openSyslog(syslog, sourceDeps({ cdr: store }));
  const sender = createSocket('udp4');
  await new Promise((resolve) => sender.send('<13>a datagram\n', portOf(source, 'udp'), '127.0.0.1', resolve));
  await until('a datagram', () => store.records.length === 1);
  sender.close();
  const counted = await dial(portOf(source, 'tcp'));
  const plain = await dial(portOf(source, 'tcp'));
  counted.end('7 <14>one9 <14>two\nx');
  plain.end('<15>three\n<15>four');
  await until('five messages', () => store.records.length === 5);
  const broken = await dial(portOf(source, 'tcp'));
  broken.write('5 <1>aanything');
  await once(broken, 'close');
  assert.match(source.status().lastError!.why, /counts octets/);
  await source.close();
  assert.deepEqual(store.records.toSorted(), ['<13>a datagram', '<14>one', '<14>two\nx', '<15>four', '<15>three', '<1>aa']);
});

test('syslog datagrams of strangers, and those that the disk does not take, are counted', async () => {
  const store = new ListStore();
  const source = await openSyslog({ ...syslog, transport: 'udp', from: ['192.0.2.1'] }, sourceDeps({ cdr: store }));
  const sender = createSocket('udp4');
  await new Promise((resolve) => sender.send('<13>x', portOf(source), '127.0.0.1', resolve));
  await until('it is counted', () => source.status().dropped === 1);
  await source.close();
  sender.close();
  assert.deepEqual(store.records, []);
});

test('polling: what is new is taken once, by lines or whole, across restarts and crashes', async () => {
  const store = new ListStore();
  let body = 'a\nb\n';
  let etag: string | null = '"1"';
  const asked: (string | undefined)[] = [];
  const server = createHttpServer((request, response) => {
    asked.push(request.headers['if-none-match']);
    if (request.headers.authorization !== `Basic ${Buffer.from('me:word').toString('base64')}`) response.writeHead(401).end();
    else if (etag !== null && request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.writeHead(200, etag === null ? {} : { etag }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const folder = mkdtempSync(join(tmpdir(), 'postern-poll-'));
  writeFileSync(join(folder, 'credentials'), 'me:word\n');
  const settings: HttpPollSettings = { kind: 'http-poll', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/r?x=1`, everyMs: 1_000, timeoutMs: 30_000, bytesMax: 1_000, body: 'lines', unchanged: 'skip', headers: {}, credentialsFile: join(folder, 'credentials'), caFile: null, pins: [] };
  const open = () => openHttpPoll(settings, sourceDeps({ cdr: store }, { factor: 20 }));
  let source = open();
  await until('it was asked with the tag', () => asked.includes('"1"'));
  body = 'c\nd\n';
  etag = null;
  await until('four records', () => store.records.length === 4);
  await source.close();
  await store.flush();
  // Of the next document a part only is there after a crash.
  body = 'e\nf\ng\n';
  source = open();
  await until('seven records', () => store.records.length === 7);
  await source.close();
  store.crash(() => 2);
  assert.equal(store.records.length, 6);
  source = open();
  await until('seven records again', () => store.records.length === 7);
  const count = asked.length;
  await until('it was asked again', () => asked.length > count + 2);
  body = 'x'.repeat(1_001);
  await until('it is too long', () => /longer than bytesMax/.test(source.status().lastError?.why ?? ''));
  await source.close();
  assert.deepEqual(store.records, ['a', 'b', 'c', 'd', 'e', 'f', 'g']);
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

test('polling over TLS: the pinned key, or nothing is asked', async () => {
  const leaf = await testLeaf('meter.example.test');
  let asked = 0;
  const server = createHttpsServer({ key: leaf.key, cert: leaf.cert }, (_, response) => {
    asked += 1;
    response.end('12.5');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const pin = `sha256//${Buffer.from(keyFingerprintOf(leaf.cert), 'hex').toString('base64')}`;
  const settings: HttpPollSettings = { kind: 'http-poll', url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/`, everyMs: 1_000, timeoutMs: 10_000, bytesMax: 100, body: 'whole', unchanged: 'keep', headers: {}, credentialsFile: null, caFile: null, pins: [pin] };
  const store = new ListStore();
  const good = openHttpPoll(settings, sourceDeps({ cdr: store }, { factor: 20 }));
  await until('two samples', () => store.records.length >= 2);
  await good.close();
  assert.equal(store.records[0], '12.5');
  const before = asked;
  for (const pins of [[`sha256//${Buffer.alloc(32).toString('base64')}`], []]) {
    const bad = openHttpPoll({ ...settings, pins }, sourceDeps({ cdr: new ListStore() }, { factor: 20 }));
    await until('it is refused', () => bad.status().lastError !== null);
    await bad.close();
  }
  assert.equal(asked, before);
  server.closeAllConnections();
  server.close();
});
