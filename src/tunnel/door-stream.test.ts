import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect, type AddressInfo } from 'node:net';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { unwrapTls } from '#net/unwrap.ts';
import { handClock } from '../../test/kit/hand-clock.ts';
import { makeCertificate } from '#kit/authority.ts';
import { testLeaf } from '#kit/test-leaf.ts';
import { until } from '../../test/sim/ends.ts';
import { DoorStream } from './door-stream.ts';

const from = { address: '192.0.2.50', port: 49_152 };
const at = { address: '192.0.2.1', port: 443 };

function openPair() {
  const clock = handClock();
  const [near, far] = duplexPair();
  far.on('error', () => {});
  const carried = new DoorStream(near, { clock, lingerMs: 2_000, from, at });
  carried.on('error', () => {});
  return { clock, near, far, carried };
}

test('addresses are those of the connection; bytes are counted as of a socket', async () => {
  const { carried, far } = openPair();
  assert.deepEqual([carried.remoteAddress, carried.remotePort, carried.localAddress, carried.localPort], [from.address, from.port, at.address, at.port]);
  far.write('question');
  assert.equal(String((await once(carried, 'data'))[0]), 'question');
  carried.cork();
  carried.write('an');
  carried.write('swer');
  carried.uncork();
  let heard = '';
  far.on('data', (piece: Buffer) => (heard += piece.toString()));
  await until(() => heard === 'answer', 'the answer');
  assert.deepEqual([carried.bytesRead, carried.bytesWritten], [8, 6]);
  carried.destroy();
});

test('what was read before is put back and read again, in order', async () => {
  const { carried, far } = openPair();
  far.write('ab');
  const [first] = (await once(carried, 'data')) as [Buffer];
  carried.pause();
  carried.unshift(first);
  far.write('cd');
  let all = '';
  carried.on('data', (piece: Buffer) => (all += piece.toString()));
  carried.resume();
  await until(() => all === 'abcd', 'all of it');
  carried.destroy();
});

test('ended soon: the other end gets its time to end, and no more', async () => {
  for (const ends of [true, false]) {
    const { clock, carried, far, near } = openPair();
    let farEnded = false;
    far.on('end', () => (farEnded = true)).resume();
    carried.end('goodbye');
    carried.destroySoon();
    await until(() => farEnded, 'our FIN');
    assert.equal(carried.destroyed, false);
    far.write('still talking');
    if (ends) far.end();
    else clock.advance(2_000);
    await until(() => carried.destroyed && near.destroyed, 'the end');
    await until(() => clock.timers === 0, 'the timer to be gone');
  }
});

test('what is cut in the middle is an error, and calls its writer back', async () => {
  const { carried, near } = openPair();
  const broken = once(carried, 'error');
  let called: unknown = null;
  carried.write(Buffer.alloc(10_000_000), (error) => (called = error));
  near.destroy();
  assert.match(String((await broken)[0]), /no further|closed|aborted/);
  await until(() => called !== null, 'the writer to be called back');
  const gone = new DoorStream(near, { clock: handClock(), lingerMs: 1, from, at });
  gone.on('error', () => {});
  assert.equal(gone.destroyed, true, 'a stream that is over is none');
});

/** What an agent does, without a link in between: a TCP connection carried by a pair. */
async function openCarried(): Promise<{ port: number; next: Promise<Duplex>; close(): void }> {
  const arrived = Promise.withResolvers<Duplex>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const [near, far] = duplexPair();
    far.on('error', () => {});
    socket.on('error', () => {});
    far.pipe(socket).pipe(far);
    arrived.resolve(near);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, next: arrived.promise, close: () => void server.close() };
}

test('TLS ends at us over it: protocol, name and verified client certificate are told', async () => {
  const now = Date.now();
  const authority = await makeCertificate({ name: 'People', now, ca: true });
  const anna = await makeCertificate({ name: 'anna', issuer: authority, now, usages: ['1.3.6.1.5.5.7.3.2'] });
  const [leaf, mine] = [await testLeaf(), { cert: anna.pem, key: anna.keyPem }];
  for (const isTrusted of [true, false]) {
    const carrier = await openCarried();
    const client = connectTls({ host: '127.0.0.1', port: carrier.port, rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'], ...mine });
    client.on('error', () => {});
    const carried = new DoorStream(await carrier.next, { clock: handClock(), lingerMs: 1_000, from, at });
    carried.on('error', () => {});
    const [looked] = (await once(carried, 'data')) as [Buffer];
    const context = createSecureContext({ ...leaf, ...(isTrusted && { ca: authority.pem }) });
    const { socket, alpn, peerCertificate, verified } = await unwrapTls(carried, looked, { context, alpn: ['http/1.1'], requestCertificate: true, timeoutMs: 5_000 });
    assert.equal(alpn, 'http/1.1');
    assert.match(peerCertificate!.subject, /anna/);
    assert.equal(verified, isTrusted);
    client.write('hello');
    assert.equal(String((await once(socket, 'data'))[0]), 'hello');
    socket.end('bye');
    assert.equal(String((await once(client, 'data'))[0]), 'bye');
    client.end();
    await once(socket, 'close');
    carrier.close();
  }
});

test('a client that leaves in the middle of the handshake is not kept', async () => {
  const carrier = await openCarried();
  const client = connect(carrier.port, '127.0.0.1');
  client.write(Buffer.from([22, 3, 1]));
  const carried = new DoorStream(await carrier.next, { clock: handClock(), lingerMs: 1_000, from, at });
  carried.on('error', () => {});
  const [looked] = (await once(carried, 'data')) as [Buffer];
  const failed = assert.rejects(unwrapTls(carried, looked, { context: createSecureContext(await testLeaf()), alpn: [], requestCertificate: false, timeoutMs: 5_000 }));
  client.end();
  await failed;
  await until(() => carried.destroyed, 'it to be gone');
  carrier.close();
});
