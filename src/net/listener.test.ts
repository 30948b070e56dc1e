import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { isLoopback } from '#base/cidr.ts';
import { plainAddress } from './conn.ts';
import { openListener } from './listener.ts';

const silent = { onSocket: () => {}, onError: () => {} };

test('accepts with the peer\'s address, and goes on with what it accepted after it closed', async () => {
  let accepted: ((got: [Socket, string]) => void) | null = null;
  const got = new Promise<[Socket, string]>((done) => void (accepted = done));
  const listener = await openListener({ name: 'a', address: '127.0.0.1', port: 0, onSocket: (socket, from) => accepted!([socket, from]), onError: () => {} });
  assert.ok(listener.port > 0);
  const client = connect({ host: '127.0.0.1', port: listener.port });
  const [socket, from] = await got;
  assert.equal(from, '127.0.0.1');
  assert.equal(socket.allowHalfOpen, true);
  const closing = listener.close();
  socket.write('still here');
  await new Promise((done) => client.once('data', done));
  client.on('close', () => {});
  client.destroy();
  socket.destroy();
  await closing;
  await listener.close();
});

test('a port in use is a conflict that names it and what to do', async () => {
  const listener = await openListener({ name: 'a', address: '127.0.0.1', port: 0, ...silent });
  await assert.rejects(openListener({ name: 'b', address: '127.0.0.1', port: listener.port, ...silent }), (thrown) => isFault(thrown, 'conflict') && thrown.message.includes(String(listener.port)) && thrown.remedy!.includes('ss -ltnp'));
  await listener.close();
});

test('addresses: mapped ones are what they map, loopback is known', () => {
  assert.equal(plainAddress('::ffff:192.0.2.1'), '192.0.2.1');
  assert.equal(plainAddress('2001:db8::1'), '2001:db8::1');
  assert.equal(plainAddress('::ffff:c000:201'), '::ffff:c000:201');
  assert.equal(plainAddress(undefined), '');
  for (const address of ['127.0.0.1', '127.9.9.9', '::1']) assert.equal(isLoopback(address), true);
  for (const address of ['128.0.0.1', '192.0.2.127', '::', '2001:db8::1', '']) assert.equal(isLoopback(address), false);
});
