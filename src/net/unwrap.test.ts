import assert from 'node:assert/strict';
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { testLeaf } from '#kit/test-leaf.ts';
import { buildGate, unwrapTls, type Unwrapped } from './unwrap.ts';

/** A server that looks at the first bytes before it unwraps, as the front door does. */
async function serve(timeoutMs: number): Promise<{ port: number; next: Promise<Unwrapped>; close(): Promise<void> }> {
  const leaf = await testLeaf();
  const context = createSecureContext(leaf);
  const sockets: Socket[] = [];
  let settle: { done: (value: Unwrapped) => void; failed: (thrown: unknown) => void };
  const next = new Promise<Unwrapped>((done, failed) => void (settle = { done, failed }));
  next.catch(() => {});
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.once('data', (looked: Buffer) => void unwrapTls(socket, looked, { context, alpn: ['http/1.1'], requestCertificate: true, timeoutMs }).then(settle.done, settle.failed));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  return {
    port: (server.address() as AddressInfo).port,
    next,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((done) => void server.close(() => done()));
    },
  };
}

test('the bytes that were looked at are part of the handshake; protocol and certificate are told', async () => {
  const server = await serve(5_000);
  const mine = await testLeaf('client');
  const client = connectTls({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'], ...mine });
  client.on('error', () => {});
  const unwrapped = await server.next;
  assert.equal(unwrapped.alpn, 'http/1.1');
  assert.match(unwrapped.peerCertificate!.subject, /client/);
  unwrapped.socket.end('over TLS');
  let got = '';
  client.on('data', (piece: Buffer) => void (got += piece.toString()));
  await new Promise((done) => client.once('end', done));
  assert.equal(got, 'over TLS');
  client.destroy();
  await server.close();
});

test('a handshake that fails, stops or is left is a Fault', async () => {
  const failing = await serve(5_000);
  const raw = connectTcp({ host: '127.0.0.1', port: failing.port });
  raw.on('error', () => {});
  raw.write(Buffer.from('160301000501000001ff', 'hex'));
  await assert.rejects(failing.next, (thrown) => isFault(thrown, 'protocol'));
  raw.destroy();
  await failing.close();

  const late = await serve(50);
  const slow = connectTcp({ host: '127.0.0.1', port: late.port });
  slow.on('error', () => {});
  slow.write(Buffer.from('16030100', 'hex'));
  await assert.rejects(late.next, (thrown) => isFault(thrown, 'timeout'));
  slow.destroy();
  await late.close();

  const left = await serve(5_000);
  const gone = connectTcp({ host: '127.0.0.1', port: left.port });
  gone.on('error', () => {});
  gone.write(Buffer.from('16030100', 'hex'));
  setTimeout(() => gone.resetAndDestroy(), 20);
  await assert.rejects(left.next, (thrown) => isFault(thrown));
  await left.close();
});

test('so many at once, the rest in order, more are refused', async () => {
  const gate = buildGate(2, 2);
  const leaves = [await gate.enter(), await gate.enter()];
  const order: number[] = [];
  const third = gate.enter().then((leave) => (order.push(3), leave));
  const fourth = gate.enter().then((leave) => (order.push(4), leave));
  assert.equal(gate.waiting, 2);
  await assert.rejects(gate.enter(), (thrown) => isFault(thrown, 'busy'));
  leaves[0]!();
  (await third)();
  (await fourth)();
  leaves[1]!();
  assert.deepEqual(order, [3, 4]);
  const again = [await gate.enter(), await gate.enter()];
  assert.equal(gate.waiting, 0, 'all places came back');
  for (const leave of again) leave();
});

test('a client that hangs up in the middle of the handshake is gone at once', async () => {
  const server = await serve(60_000);
  const hello = await new Promise<Buffer>((done) => {
    const trap = createServer((socket) => void socket.on('error', () => {}).once('data', (piece: Buffer) => (socket.destroy(), trap.close(), done(piece))));
    trap.listen(0, '127.0.0.1', () => void connectTls({ host: '127.0.0.1', port: (trap.address() as AddressInfo).port, rejectUnauthorized: false }).on('error', () => {}));
  });
  const client = connectTcp({ host: '127.0.0.1', port: server.port });
  client.on('error', () => {});
  client.write(hello);
  client.once('data', () => void client.end());
  await assert.rejects(server.next, (thrown) => isFault(thrown, 'closed'));
  client.destroy();
  await server.close();
});
