import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { dialTcp } from './dial.ts';

async function serve(): Promise<{ port: number; accepted: Promise<Socket>; close(): Promise<void> }> {
  const server = createServer({ allowHalfOpen: true });
  const accepted = new Promise<Socket>((done) => server.once('connection', done));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  return { port: (server.address() as AddressInfo).port, accepted, close: () => new Promise((done) => void server.close(() => done())) };
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
