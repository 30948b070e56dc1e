// The front door: bounds on connections before a byte is read, and one connection's life by hand.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { test } from 'node:test';
import { limits as defaults, type Limits } from '#base/limits.ts';
import { realClock } from '#app/real.ts';
import { startTcp, until } from '#kit/gateway.ts';
import { firstConfig } from '#model/config.ts';
import { compile } from '#model/snapshot.ts';
import { buildSweep } from '#net/sweep.ts';
import type { Exchange } from './exchange.ts';
import { newTrafficCounts } from './meter.ts';
import { buildFrontDoor, type FrontDoorOptions } from './serve.ts';

const compiled = compile(firstConfig({ domain: 'gw.example.test', httpPort: 80, httpsPort: 443 }), 1);
assert.ok('snapshot' in compiled);
const { snapshot } = compiled;

async function open(onExchange: (exchange: Exchange) => void, given: Partial<Limits> = {}, more: Partial<FrontDoorOptions> = {}, listener = 'http') {
  const sweep = buildSweep(realClock);
  const noted: { event: string; why: unknown }[] = [];
  const broken: unknown[] = [];
  let from = '192.0.2.1';
  let conns = 0;
  const door = buildFrontDoor({
    limits: { ...defaults, ...given },
    sweep,
    journal: { note: (event, fields) => void noted.push({ event, why: fields['why'] }) },
    counts: newTrafficCounts(),
    newConnId: () => `c${++conns}`,
    newRequestId: () => 'r',
    onExchange,
    onBroken: (thrown) => void broken.push(thrown),
    mayGrow: () => false,
    isOwnHost: () => false,
    snapshot: () => snapshot,
    nowMs: () => 0,
    linkContext: () => createSecureContext(),
    contextFor: () => createSecureContext(),
    challengeContext: () => null,
    privateCaPem: '',
    isAgentCertificate: () => false,
    onLegacyUse: () => {},
    relays: { take: () => {}, carry: () => {}, cutNamed: () => {}, close: () => {} },
    ...more,
  });
  const accepted: Socket[] = [];
  const server = await startTcp((socket) => {
    accepted.push(socket);
    door.accept(socket, from, { name: listener });
  });
  const dialled: Socket[] = [];
  return {
    door, noted, broken, accepted, port: server.port,
    from: (address: string) => void (from = address),
    async dial(text = '') {
      const socket = connect({ host: '127.0.0.1', port: server.port, allowHalfOpen: true });
      const state = { socket, text: '', closed: false };
      dialled.push(socket);
      socket.on('data', (piece) => void (state.text += piece.toString('latin1'))).on('close', () => void (state.closed = true)).on('end', () => socket.end()).on('error', () => {});
      await new Promise<void>((done) => socket.on('connect', () => done()));
      if (text !== '') socket.write(text);
      return state;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of dialled) socket.destroy();
      door.close();
      await server[Symbol.asyncDispose]();
      await until('all to be closed', () => door.open === 0);
      assert.equal(sweep.size, 0, 'nothing is watched any more');
      sweep.stop();
    },
  };
}
const GET = 'GET / HTTP/1.1\r\nHost: a.example.test\r\n\r\n';

test('so many connections from one address, and no more; others are served', async () => {
  await using front = await open((exchange) => exchange.respond(200, '', 'ok'), { connsPerAddressMax: 3 });
  const three = [await front.dial(), await front.dial(), await front.dial()];
  await until('three', () => front.door.open === 3);
  const fourth = await front.dial();
  await until('the fourth to be closed', () => fourth.closed);
  assert.deepEqual(front.noted, [{ event: 'conn.refused', why: 'too many connections from this address' }]);
  front.from('192.0.2.2');
  const other = await front.dial(GET);
  await until('an answer', () => other.text.endsWith('ok'));
  front.from('192.0.2.1');
  three[0]!.socket.destroy();
  await until('a place', () => front.door.open === 3);
  const again = await front.dial(GET);
  await until('an answer', () => again.text.endsWith('ok'));
});

test('an answer for a client that has gone meanwhile goes nowhere and breaks nothing', async () => {
  let held: Exchange | null = null;
  await using front = await open((exchange) => void (held = exchange));
  const client = await front.dial(GET);
  await until('the exchange', () => held !== null);
  client.socket.resetAndDestroy();
  await until('it to be gone', () => held!.isGone);
  held!.respond(503, '', 'too late');
  held!.breakOff();
  assert.deepEqual(front.broken, []);
});

test('a mistake in one exchange ends its connection and no other', async () => {
  await using front = await open((exchange) => {
    if (exchange.head.target === '/bug') throw new TypeError('a bug');
    exchange.respond(200, '', 'ok');
  });
  const other = await front.dial();
  const wrong = await front.dial(GET.replace('/', '/bug'));
  await until('the end', () => wrong.closed);
  assert.equal(front.broken.length, 1);
  other.socket.write(GET);
  await until('an answer', () => other.text.endsWith('ok'));
});

test('draining ends idle connections at once and busy ones after their answer', async () => {
  let held: Exchange | null = null;
  await using front = await open((exchange) => (exchange.head.target === '/held' ? void (held = exchange) : exchange.respond(200, '', 'ok')));
  const idle = await front.dial(GET);
  await until('an answer', () => idle.text.endsWith('ok'));
  const busy = await front.dial(GET.replace('/', '/held'));
  await until('the exchange', () => held !== null);
  front.door.drain();
  await until('the idle one to end', () => idle.closed);
  assert.equal(busy.closed, false);
  held!.respond(200, '', 'done');
  await until('the busy one to end', () => busy.closed);
  assert.match(busy.text, /Connection: close\r\n\r\ndone$/);
});

test('a body waits, bounded, until somebody takes it', async () => {
  let held: Exchange | null = null;
  await using front = await open((exchange) => void (held = exchange));
  const client = await front.dial('POST / HTTP/1.1\r\nHost: a.example.test\r\nContent-Length: 10000000\r\n\r\n');
  await until('the exchange', () => held !== null);
  client.socket.write(Buffer.alloc(10_000_000, 120));
  await new Promise((done) => setTimeout(done, 100));
  // What was read here, not what the client got rid of: the system's own buffers may take tens of megabytes.
  assert.ok(front.accepted[0]!.bytesRead < 1_000_000, `a bounded part is read: ${front.accepted[0]!.bytesRead}`);
  let got = 0;
  let ended = false;
  held!.sink = { onRequestPiece: (piece) => void (got += piece.length), onRequestEnd: () => ((ended = true), held!.respond(200, '', 'thanks')), onAnswerDrain: () => {}, onAborted: () => {}, onLate: () => {} };
  held!.resumeRequest();
  await until('the answer', () => client.text.endsWith('thanks'));
  assert.equal(got, 10_000_000);
  assert.ok(ended);
});

test('so many requests on a connection, the last says that it is', async () => {
  await using front = await open((exchange) => exchange.respond(200, '', 'ok'), { exchangesPerConnMax: 3 });
  const client = await front.dial(GET.repeat(5));
  await until('the end', () => client.closed);
  assert.equal(client.text.match(/HTTP\/1\.1 200/g)!.length, 3);
  assert.equal(client.text.match(/Connection: close/g)!.length, 1);
});

test('a mistake while a connection is looked at or shakes hands ends that connection, and not the process', async () => {
  const bug = () => {
    throw new TypeError('a bug');
  };
  for (const [more, alpn] of [[{ challengeContext: bug }, 'acme-tls/1'], [{ snapshot: onceThen(bug) }, 'http/1.1']] as const) {
    await using front = await open(() => {}, {}, more, 'https');
    const client = await front.dial();
    const tls = connectTls({ socket: client.socket, servername: 'gw.example.test', ALPNProtocols: [alpn] });
    tls.on('error', () => {});
    await until('it to be told', () => front.broken.length > 0);
    assert.match(String(front.broken[0]), /a bug/);
    await until('the end', () => client.closed);
    tls.destroy();
  }
});

function onceThen(bug: () => never): () => typeof snapshot {
  let asked = 0;
  return () => (++asked === 1 ? snapshot : bug());
}
