import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { afterEach, beforeEach, test } from 'node:test';
import { limits } from '#base/limits.ts';
import { handClock } from '#kit/admin-room.ts';
import { until } from '#kit/gateway.ts';
import { relay } from './relay.ts';
import { buildSweep, type Sweep } from './sweep.ts';

const clock = handClock();
let sweep: Sweep;
const open: Socket[] = [];
const servers: Server[] = [];
beforeEach(() => {
  sweep = buildSweep(clock);
});
afterEach(async () => {
  assert.equal(sweep.size, 0, 'nothing is watched any more');
  sweep.stop();
  for (const socket of open.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await new Promise((done) => server.close(done));
});

/** Two ends of one TCP connection. */
async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  servers.push(server);
  const accepted = new Promise<Socket>((done) => server.once('connection', done));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const far = await accepted;
  for (const each of [near, far]) each.on('error', () => {});
  open.push(near, far);
  return [near, far];
}
const read = (socket: Socket) => {
  const state = { text: '', ended: false, closed: false };
  socket.resume();
  socket.on('data', (piece) => void (state.text += piece.toString())).on('end', () => void (state.ended = true)).on('close', () => void (state.closed = true));
  return state;
};
const turn = (ms = 15) => new Promise((done) => setTimeout(done, ms));

test('bytes go both ways, each direction ends on its own FIN, what was read before goes first', async () => {
  const [client, a] = await pair();
  const [b, upstream] = await pair();
  const atClient = read(client);
  const atUpstream = read(upstream);
  const counted = { a: 0, b: 0 };
  const over = relay(a, b, { sweep, idleMs: 60_000, leftoverA: Buffer.from('first '), leftoverB: Buffer.from('hello '), onBytes: (fromA, fromB) => void ((counted.a += fromA), (counted.b += fromB)) });
  client.end('second');
  await until('the first direction to end', () => atUpstream.ended);
  assert.deepEqual(atUpstream, { text: 'first second', ended: true, closed: false });
  assert.equal(atClient.ended, false, 'the other direction goes on');
  upstream.write('and ');
  upstream.end('goodbye');
  assert.equal((await over).why, 'ended');
  await until('all of it', () => atClient.ended);
  assert.equal(atClient.text, 'hello and goodbye');
  assert.deepEqual(counted, { a: 12, b: 17 });
});

test('a side that ended before it was handed over ends the other', async () => {
  const [client, a] = await pair();
  const [b, upstream] = await pair();
  client.end('x');
  a.resume();
  await new Promise((done) => a.once('end', done));
  a.pause();
  const atUpstream = read(upstream);
  const over = relay(a, b, { sweep, idleMs: 60_000, leftoverA: Buffer.from('x') });
  await until('the end', () => atUpstream.ended);
  assert.deepEqual(atUpstream, { text: 'x', ended: true, closed: false });
  upstream.end('y');
  const atClient = read(client);
  assert.equal((await over).why, 'ended');
  await until('the answer', () => atClient.text === 'y');
});

test('a reset of one side breaks the other', async () => {
  const [client, a] = await pair();
  const [b, upstream] = await pair();
  const atUpstream = read(upstream);
  const over = relay(a, b, { sweep, idleMs: 60_000 });
  client.resetAndDestroy();
  assert.match((await over).why, /client/);
  await until('the upstream to be told', () => atUpstream.closed || atUpstream.ended);
  assert.equal(b.destroyed, true);
});

test('a slow side stops the other; nothing is kept', async () => {
  const [client, a] = await pair();
  const [b, upstream] = await pair();
  upstream.pause();
  const over = relay(a, b, { sweep, idleMs: 60_000 });
  const piece = Buffer.alloc(1024 * 1024);
  for (let i = 0; i < 64; i++) client.write(piece);
  await until('the source not to be read', () => a.isPaused());
  await turn(300);
  assert.ok(b.writableLength < 2 * piece.length);
  assert.ok(client.writableLength > 20 * piece.length, 'the rest is still with the client');
  let got = 0;
  upstream.on('data', (each) => void (got += each.length));
  client.end();
  upstream.resume();
  upstream.on('end', () => upstream.end());
  client.resume();
  assert.equal((await over).why, 'ended');
  assert.equal(got, 64 * piece.length);
});

test('idle for long ends both; bytes in either direction start the time anew', async () => {
  const [client, a] = await pair();
  const [b, upstream] = await pair();
  const over = relay(a, b, { sweep, idleMs: 10_000 });
  clock.advance(9_000);
  const atClient = read(client);
  upstream.write('x');
  await until('the byte', () => atClient.text === 'x');
  clock.advance(9_000);
  assert.equal(a.destroyed, false);
  clock.advance(2_000);
  assert.equal((await over).why, 'idle for 10 s');
  assert.ok(a.destroyed && b.destroyed);
  client.destroy();
});

test('sides that are gone already are over at once', async () => {
  const [a] = duplexPair();
  const [b] = duplexPair();
  a.destroy();
  assert.equal((await relay(a, b, { sweep, idleMs: 1_000 })).why, 'ended');
  assert.equal(b.destroyed, true);
});

test('what is inspected goes on as the inspection says: held back, joined, changed', async () => {
  const [client, a] = await pair();
  const [b, upstream] = await pair();
  let held = '';
  const inspectA = (piece: Buffer) => {
    const lines = (held + piece.toString()).split('\n');
    held = lines.pop()!;
    return Buffer.from(lines.map((line) => `${line.toUpperCase()}\n`).join(''));
  };
  const over = relay(a, b, { sweep, idleMs: 60_000, leftoverA: Buffer.from('be'), inspectA, inspectB: (piece) => Buffer.from(piece.toString().replace('ok', 'fine')) });
  const atUpstream = read(upstream);
  client.write('fo');
  await turn();
  assert.equal(atUpstream.text, '', 'nothing of what is held back');
  client.end('re\nand after\nnot whole');
  await until('the end', () => atUpstream.ended);
  assert.equal(atUpstream.text, 'BEFORE\nAND AFTER\n');
  const atClient = read(client);
  upstream.end('ok');
  assert.equal((await over).why, 'ended');
  await until('the answer', () => atClient.ended);
  assert.equal(atClient.text, 'fine');
});

test('a refusal answers its sender, ends both, and nothing behind goes on', async () => {
  for (const inLeftover of [false, true]) {
    const [client, a] = await pair();
    const [b, upstream] = await pair();
    const inspectA = (piece: Buffer) => (piece.includes('bad') ? { why: 'a bad word', pass: piece.subarray(0, piece.indexOf('bad')), answer: Buffer.from('no!') } : piece);
    const atUpstream = read(upstream);
    const atClient = read(client);
    const over = relay(a, b, { sweep, idleMs: 60_000, inspectA, leftoverA: Buffer.from(inLeftover ? 'bad' : 'good'), leftoverB: Buffer.from('') });
    if (!inLeftover) {
      await until('the good word', () => atUpstream.text === 'good');
      client.write('so bad');
    }
    await until('the answer and its end', () => atClient.ended && atUpstream.ended);
    assert.equal(atClient.text, 'no!');
    client.write('x'.repeat(1_000_000));
    upstream.end('late');
    await turn();
    client.end();
    assert.equal((await over).why, 'a bad word');
    assert.equal(atUpstream.text, inLeftover ? '' : 'goodso ');
    assert.equal(atClient.text, 'no!');
    assert.ok(a.destroyed && b.destroyed);
  }
});

test('a refused side that does not end is not waited for without end', async () => {
  const [client, a] = await pair();
  const [b, upstream] = await pair();
  const atClient = read(client);
  read(upstream);
  const over = relay(a, b, { sweep, idleMs: 60_000_000, leftoverB: Buffer.from('x'), inspectB: () => Buffer.from(''), inspectA: () => ({ why: 'no' }) });
  client.write('y');
  await until('the end', () => atClient.ended);
  client.write('z');
  clock.advance(limits.halfClosedMs + 1_000);
  assert.equal((await over).why, 'no');
});

test('what an inspection throws ends its relay, and is told to who asked for it', async () => {
  for (const first of [undefined, Buffer.from('at once')]) {
    const [client, a] = await pair();
    const [b, upstream] = await pair();
    const [atClient, atUpstream] = [read(client), read(upstream)];
    const running = relay(a, b, {
      sweep,
      idleMs: 1_000,
      ...(first ? { leftoverA: first } : {}),
      inspectA() {
        throw new TypeError('a bug');
      },
    });
    client.write('later');
    await assert.rejects(running, /a bug/);
    await until('the end of both', () => (atClient.ended || atClient.closed) && (atUpstream.ended || atUpstream.closed));
    assert.equal(atUpstream.text, '');
  }
});
