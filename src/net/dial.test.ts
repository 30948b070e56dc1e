import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { dialTappedTcp, dialTcp } from './dial.ts';
import { dialUdp } from './udp.ts';

async function serve(): Promise<{ server: Server; port: number; accepted: Promise<Socket>; close(): Promise<void> }> {
  const server = createServer({ allowHalfOpen: true });
  const accepted = new Promise<Socket>((done) => server.once('connection', done));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  return { server, port: (server.address() as AddressInfo).port, accepted, close: () => new Promise((done) => void server.close(() => done())) };
}

test('a stream whose directions end by themselves, without leftover listeners', async () => {
  const server = await serve();
  const aborting = new AbortController();
  const stream = await dialTcp({ kind: 'tcp', host: '127.0.0.1', port: server.port }, { client: '192.0.2.1', timeoutMs: 5_000, signal: aborting.signal });
  const far = await server.accepted;
  stream.end('question');
  let got = '';
  far.on('data', (piece) => void (got += piece.toString()));
  await new Promise((done) => far.once('end', done));
  assert.equal(got, 'question');
  far.end('answer');
  let back = '';
  stream.on('data', (piece: Buffer) => void (back += piece.toString()));
  await new Promise((done) => stream.once('end', done));
  assert.equal(back, 'answer');
  aborting.abort();
  assert.equal(stream.listenerCount('error'), 0);
  stream.destroy();
  await server.close();
});

test('a refused connection says so', async () => {
  const server = await serve();
  await server.close();
  await assert.rejects(dialTcp({ kind: 'tcp', host: '127.0.0.1', port: server.port }, { client: '', timeoutMs: 5_000 }), (thrown) => isFault(thrown, 'unreachable') && thrown.message === `127.0.0.1:${server.port} refused the connection`);
  await assert.rejects(dialTcp({ kind: 'tcp', host: '::1', port: 1 }, { client: '', timeoutMs: 5_000 }), (thrown) => isFault(thrown, 'unreachable') && thrown.message.startsWith('[::1]:1 '));
});

test('given up before or while it dials', async () => {
  const server = await serve();
  await assert.rejects(dialTcp({ kind: 'tcp', host: '127.0.0.1', port: server.port }, { client: '', timeoutMs: 5_000, signal: AbortSignal.abort() }), (thrown) => isFault(thrown, 'closed'));
  const aborting = new AbortController();
  const dialling = dialTcp({ kind: 'tcp', host: '127.0.0.1', port: server.port }, { client: '', timeoutMs: 5_000, signal: aborting.signal });
  aborting.abort();
  await assert.rejects(dialling, (thrown) => isFault(thrown, 'closed'));
  await server.close();
});

test('from an address of its own: another loopback address, a name of the same kind, and one that this machine has not', async () => {
  const server = await serve();
  const by = { client: '', timeoutMs: 5_000, localAddress: '127.72.3.4' };
  for (const dial of [dialTcp, dialTappedTcp]) {
    const accepted = new Promise<Socket>((done) => server.server.once('connection', done));
    const stream = await dial({ kind: 'tcp', host: 'localhost', port: server.port }, by);
    const far = await accepted;
    assert.equal(far.remoteAddress, '127.72.3.4');
    far.destroy();
    stream.destroy();
  }
  const refused = (target: string, localAddress: string, message: RegExp) => assert.rejects(dialTcp({ kind: 'tcp', host: target, port: server.port }, { ...by, localAddress }), (thrown) => isFault(thrown, 'unreachable') && message.test(thrown.message));
  await refused('127.0.0.1', '203.0.113.7', /^203\.0\.113\.7 does not belong to this machine/);
  await refused('127.0.0.1', '::1', /one is IPv4 and the other IPv6/);
  await server.close();
});

test('a flow comes from an address of its own, too', async () => {
  const echo = createSocket('udp4');
  await new Promise<void>((done) => void echo.bind(0, '127.0.0.1', done));
  const came = new Promise<string>((done) => echo.once('message', (_, from) => done(from.address)));
  const target = { host: '127.0.0.1', port: echo.address().port };
  const flow = await dialUdp(target, limits, { localAddress: '127.72.3.5' });
  flow.send(Buffer.from('x'));
  assert.equal(await came, '127.72.3.5');
  flow.close('done');
  await assert.rejects(dialUdp(target, limits, { localAddress: '203.0.113.7' }), (thrown) => isFault(thrown, 'unreachable') && thrown.remedy?.includes('postern doctor') === true);
  await new Promise<void>((done) => void echo.close(() => done()));
});
