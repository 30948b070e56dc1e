import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { FlowEnd } from './flow.ts';
import { dialUdp } from './udp.ts';

async function bind(type: 'udp4' | 'udp6' = 'udp4'): Promise<{ socket: Socket; port: number; close(): Promise<void> }> {
  const socket = createSocket(type);
  await new Promise<void>((resolve) => socket.bind(0, type === 'udp4' ? '127.0.0.1' : '::1', resolve));
  return { socket, port: socket.address().port, close: () => new Promise((resolve) => void socket.close(() => resolve())) };
}

test('nobody listens: the flow ends and says so, whoever was there before', async () => {
  const there = await bind();
  await there.close();
  const flow = await dialUdp({ host: '127.0.0.1', port: there.port }, limits);
  flow.onDatagram(() => {});
  const ended = new Promise<FlowEnd>((resolve) => flow.onClosed(resolve));
  assert.equal(flow.send(Buffer.from('anybody?')), true);
  const { fault, why } = await ended;
  assert.ok(isFault(fault, 'unreachable'));
  assert.equal(why, `nobody listens on UDP port ${there.port} of 127.0.0.1`);
});

test('answers from elsewhere are not taken', async () => {
  const [there, other] = [await bind(), await bind()];
  const flow = await dialUdp({ host: '127.0.0.1', port: there.port }, limits);
  const got: string[] = [];
  const two = new Promise<void>((resolve) => {
    flow.onDatagram((datagram) => {
      got.push(datagram.toString());
      if (got.length === 2) resolve();
    });
  });
  there.socket.on('message', (_datagram, from) => {
    there.socket.send('first', from.port, from.address, () => {
      other.socket.send('forged', from.port, from.address, () => there.socket.send('second', from.port, from.address));
    });
  });
  flow.send(Buffer.from('question'));
  await two;
  assert.deepEqual(got, ['first', 'second']);
  flow.close('done');
  await Promise.all([there.close(), other.close()]);
});

test('over IPv6', { skip: await bind('udp6').then((one) => one.close().then(() => false as const), () => 'this machine has no ::1') }, async () => {
  const there = await bind('udp6');
  there.socket.on('message', (datagram, from) => there.socket.send(datagram, from.port, from.address));
  const flow = await dialUdp({ host: '::1', port: there.port }, limits);
  const got = new Promise<Buffer>((resolve) => flow.onDatagram(resolve));
  flow.send(Buffer.from('six'));
  assert.equal((await got).toString(), 'six');
  flow.close('done');
  await there.close();
});

test('a name is refused: who dials resolves and judges first', async () => {
  await assert.rejects(dialUdp({ host: 'localhost', port: 1 }, limits), (thrown) => isFault(thrown, 'bad-input'));
});
