// WebSockets through a device's host: a browser's kind of client (Node's own, undici) and a bare one that counts frames.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import dns from 'node:dns';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { VisitView } from '#api/shapes.ts';
import { root, until } from '#kit/gateway.ts';
import { openProcesses, startServe, type Page, type Processes } from '#kit/processes.ts';

const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** RFC 6455 §5.2. */
function frame(op: number, payload: Buffer, { fin = true, mask = false } = {}): Buffer {
  const head = [(fin ? 0x80 : 0) | op];
  const masked = mask ? 0x80 : 0;
  if (payload.length < 126) head.push(masked | payload.length);
  else if (payload.length < 65_536) head.push(masked | 126, payload.length >> 8, payload.length & 255);
  else head.push(masked | 127, 0, 0, 0, 0, payload.length >>> 24, (payload.length >> 16) & 255, (payload.length >> 8) & 255, payload.length & 255);
  if (!mask) return Buffer.concat([Buffer.from(head), payload]);
  const key = randomBytes(4);
  return Buffer.concat([Buffer.from(head), key, Buffer.from(payload.map((byte, i) => byte ^ key[i & 3]!))]);
}

interface Frame {
  readonly fin: boolean;
  readonly op: number;
  readonly payload: Buffer;
}

/** Whole frames out of a stream, masked or not. */
function buildReader(onFrame: (frame: Frame) => void): (bytes: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return (bytes) => {
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    for (;;) {
      if (held.length < 2) return;
      const short = held[1]! & 127;
      const isMasked = held[1]! > 127;
      const at = short === 126 ? 4 : short === 127 ? 10 : 2;
      const start = at + (isMasked ? 4 : 0);
      if (held.length < start) return;
      const length = short === 126 ? held.readUInt16BE(2) : short === 127 ? Number(held.readBigUInt64BE(2)) : short;
      if (held.length < start + length) return;
      const key = held.subarray(at, start);
      const payload = Buffer.from(held.subarray(start, start + length));
      if (isMasked) for (let i = 0; i < payload.length; i++) payload[i]! ^= key[i & 3]!;
      onFrame({ fin: held[0]! > 127, op: held[0]! & 15, payload });
      held = held.subarray(start + length);
    }
  };
}

interface Bare {
  readonly status: number;
  readonly text: string;
  readonly socket: Socket;
  readonly frames: Frame[];
  readonly ended: Promise<void>;
}

/** Asks for the upgrade and reads what comes; `status` is whatever the answer says. */
function openBare(port: number, path: string, headers: Readonly<Record<string, string>>, early: Buffer = Buffer.alloc(0)): Promise<Bare> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const frames: Frame[] = [];
    const read = buildReader((one) => frames.push(one));
    let head = '';
    const ended = new Promise<void>((done) => socket.once('close', () => done()));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`closed before an answer: ${head}`)));
    const onHead = (bytes: Buffer) => {
      head += bytes.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', onHead);
      socket.on('data', read);
      const rest = Buffer.from(head.slice(end + 4), 'latin1');
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
      if (status === 101) read(rest);
      resolve({ status, text: head, socket, frames, ended });
    };
    socket.on('data', onHead);
    const lines = Object.entries({ Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': randomBytes(16).toString('base64'), ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(Buffer.concat([Buffer.from(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), early]));
  });
}

const bigBytes = 5_000_000;
const big = Buffer.alloc(bigBytes, 'fragment ');

/** A device whose messages come in many frames, with pings between, and whose bytes are cut anywhere. */
async function startFragmenting(processes: Processes): Promise<{ port: number; closes: number[] }> {
  const closes: number[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((_, response) => response.end('only websockets'));
  server.on('upgrade', (incoming, duplex) => {
    const socket = duplex as Socket;
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    const accept = createHash('sha1').update(`${incoming.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    const text = ['One ', 'message ', 'in ', 'pieces.'];
    const pieces = text.map((word, i) => frame(i === 0 ? opcode.text : opcode.continuation, Buffer.from(word), { fin: i === text.length - 1 }));
    for (let at = 0; at < bigBytes; at += 60_000) {
      pieces.push(frame(at === 0 ? opcode.binary : opcode.continuation, big.subarray(at, at + 60_000), { fin: at + 60_000 >= bigBytes }));
      if (at % 600_000 === 0) pieces.push(frame(opcode.ping, Buffer.from(`at ${at}`)));
    }
    // The first frames come in one segment with the answer.
    socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`), ...pieces.slice(0, 2)]));
    const rest = Buffer.concat(pieces.slice(2));
    for (let at = 0; at < rest.length; at += 99_991) socket.write(rest.subarray(at, at + 99_991));
    socket.on('data', buildReader(({ op, payload }) => {
      if (op !== opcode.close) return;
      closes.push(payload.readUInt16BE(0));
      socket.end(frame(opcode.close, payload));
    }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  processes.defer(() => new Promise<void>((resolve) => {
    for (const socket of sockets) socket.destroy();
    server.close(() => resolve());
  }));
  return { port: (server.address() as AddressInfo).port, closes };
}

// Names under localhost are this machine (RFC 6761 §6.3): browsers know, Node's resolver asks the system, which may not.
const lookup = dns.lookup;
dns.lookup = ((name: string, ...rest: unknown[]) => Reflect.apply(lookup, dns, [name.endsWith('.localhost') ? '127.0.0.1' : name, ...rest])) as typeof dns.lookup;

/** Node's own client takes headers besides the address; its types follow the browser's. */
const Client = WebSocket as unknown as new (address: string, options: { headers: Record<string, string> }) => WebSocket;

function openClient(host: string, path: string, token: string): Promise<WebSocket> {
  const socket = new Client(`ws://${host}${path}`, { headers: { 'Postern-Token': token } });
  socket.binaryType = 'arraybuffer';
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve(socket);
    socket.onerror = (event) => reject(new Error('it was not opened', { cause: event }));
  });
}

const nextMessage = (socket: WebSocket) => new Promise<string | ArrayBuffer>((resolve) => (socket.onmessage = ({ data }) => resolve(data as string | ArrayBuffer)));
const closedWith = (socket: WebSocket) => new Promise<{ code: number; reason: string; wasClean: boolean }>((resolve) => (socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean })));

test('WebSockets through a device\'s host', { timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const sample = processes.start(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'examples', 'sample-device', 'device.ts'), '--port', '0'], { cwd: root });
  const samplePort = Number((await sample.says(/http:\/\/127\.0\.0\.1:(\d+)/))[1]);
  const fragmenting = await startFragmenting(processes);
  const device = await gateway.addDevice({ name: 'panel', ports: [{ number: samplePort, kind: 'http' }, { number: fragmenting.port, kind: 'http' }] });
  const second = `${device.label}--${fragmenting.port}.localhost:${gateway.httpPort}`;
  const token = gateway.token;

  await t.test('echo of text, of nothing, and of almost a megabyte', async () => {
    const socket = await openClient(device.host, '/echo', token);
    for (const text of ['hello', '', 'ü'.repeat(40_000)]) {
      const answer = nextMessage(socket);
      socket.send(text);
      assert.equal(await answer, text);
    }
    const bytes = new Uint8Array(randomBytes(1_000_000));
    const answer = nextMessage(socket);
    socket.send(bytes);
    assert.deepEqual(new Uint8Array((await answer) as ArrayBuffer), bytes);
    const closed = closedWith(socket);
    socket.close(4321, 'that was all');
    assert.deepEqual(await closed, { code: 4321, reason: 'that was all', wasClean: true });
  });

  await t.test('a close code of the device reaches the client', async () => {
    const socket = await openClient(device.host, '/echo', token);
    const closed = closedWith(socket);
    socket.send(Buffer.alloc(1_100_000));
    assert.equal((await closed).code, 1009, 'the echo takes a mebibyte');
  });

  await t.test('fragments, pings between them, and a message of 5 MB', async () => {
    const socket = await openClient(second, '/feed', token);
    const got: (string | ArrayBuffer)[] = [];
    socket.onmessage = ({ data }) => got.push(data as string | ArrayBuffer);
    await until('both messages', () => got.length === 2);
    assert.equal(got[0], 'One message in pieces.');
    assert.ok(Buffer.from(got[1] as ArrayBuffer).equals(big));
    const closed = closedWith(socket);
    socket.close(1000, 'enough');
    assert.deepEqual(await closed, { code: 1000, reason: 'enough', wasClean: true });
    assert.deepEqual(fragmenting.closes, [1000]);
  });

  await t.test('a bare client sees the very frames of the device', async () => {
    const bare = await openBare(gateway.httpPort, '/feed', { Host: second, 'Postern-Token': token });
    assert.equal(bare.status, 101, bare.text);
    await until('all frames', () => bare.frames.some(({ fin, op }, i) => i > 3 && fin && op === opcode.continuation));
    assert.deepEqual(bare.frames.slice(0, 4).map(({ fin, op, payload }) => [fin, op, payload.toString()]), [[false, 1, 'One '], [false, 0, 'message '], [false, 0, 'in '], [true, 0, 'pieces.']]);
    assert.ok(bare.frames.filter(({ op }) => op === opcode.ping).length >= 9);
    bare.socket.write(frame(opcode.close, Buffer.from([0x10, 0x00]), { mask: true }));
    await bare.ended;
    assert.equal(bare.frames.at(-1)!.op, opcode.close);
    assert.equal(bare.frames.at(-1)!.payload.readUInt16BE(0), 4096);
  });

  await t.test('frames sent with the request itself, and in single bytes', async () => {
    const bare = await openBare(gateway.httpPort, '/echo', { Host: device.host, 'Postern-Token': token }, frame(opcode.text, Buffer.from('early'), { mask: true }));
    await until('the echo', () => bare.frames.length === 1);
    assert.equal(bare.frames[0]!.payload.toString(), 'early');
    const slow = Buffer.concat([frame(opcode.text, Buffer.from('in two '), { fin: false, mask: true }), frame(opcode.ping, Buffer.from('still?'), { mask: true }), frame(opcode.continuation, Buffer.from('frames'), { mask: true })]);
    for (const byte of slow) bare.socket.write(Buffer.from([byte]));
    await until('the answers', () => bare.frames.length === 3);
    assert.deepEqual(bare.frames.slice(1).map(({ op, payload }) => [op, payload.toString()]), [[opcode.pong, 'still?'], [opcode.text, 'in two frames']]);
    bare.socket.destroy();
  });

  await t.test('two hundred at once', async () => {
    const sockets = await Promise.all(Array.from({ length: 200 }, () => openClient(device.host, '/echo', token)));
    const answers = sockets.map(nextMessage);
    sockets.forEach((socket, i) => socket.send(`number ${i}`));
    assert.deepEqual(await Promise.all(answers), sockets.map((_, i) => `number ${i}`));
    const closed = sockets.map(closedWith);
    for (const socket of sockets) socket.close();
    for (const { wasClean } of await Promise.all(closed)) assert.ok(wasClean);
  });

  await t.test('a browser\'s Origin decides: a page of another host cannot open one with our cookie', async () => {
    const port = gateway.httpPort;
    const cookie = await gateway.enter(device.host);
    const open = (more: Record<string, string>) => openBare(port, '/echo', { Host: device.host, Cookie: cookie, ...more });
    const own = await open({ Origin: `http://${device.host}` });
    assert.equal(own.status, 101, own.text);
    own.socket.destroy();
    for (const origin of [`http://localhost:${port}`, `http://other.localhost:${port}`, `http://${second}`, 'http://evil.example.test', 'null']) {
      const refused = await open({ Origin: origin });
      refused.socket.destroy();
      assert.equal(refused.status, 403, `${origin}: ${refused.text}`);
    }
    const nobody = await openBare(port, '/echo', { Host: device.host, Origin: `http://${device.host}` });
    nobody.socket.destroy();
    assert.equal(nobody.status, 401, nobody.text);
  });

  await t.test('a lock ends what is open at once', async () => {
    const socket = await openClient(device.host, '/echo', token);
    const closed = closedWith(socket);
    await gateway.ask('POST', `/devices/${device.id}/lock`);
    assert.equal((await closed).wasClean, false);
    await assert.rejects(openClient(device.host, '/echo', token));
    await gateway.ask('POST', `/devices/${device.id}/unlock`);
    const visits = await gateway.ask<Page<VisitView>>('GET', '/visits?limit=50');
    assert.match(visits.items.find((visit) => visit.why !== null && visit.why.includes('locked'))?.why ?? '', /locked/);
  });
});
