import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { realClock } from '#app/real.ts';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { dialTcp } from './dial.ts';
import { openFlowListener } from './flow-listener.ts';
import { buildSweep } from './sweep.ts';
import { dialUdp } from './udp.ts';
import { buildVirtualAddresses, whyNotOpen, type CallbackDoor, type VirtualAddresses, type VirtualAddressesOptions } from './virtual-addresses.ts';

async function until<Value>(what: string, look: () => Value | false | null | undefined): Promise<Value> {
  for (const end = performance.now() + 20_000; performance.now() < end; await new Promise((done) => setTimeout(done, 5))) {
    const value = look();
    if (value) return value;
  }
  assert.fail(`waited in vain: ${what}`);
}

const quick = { ...limits, callbackOpenEveryMs: 1, callbackRetryMs: 50 };
const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A TCP server and a UDP socket at 127.0.0.1 that say everything back, with a word before it. */
async function startDevice(word: string): Promise<{ tcp: number; udp: number }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (piece) => void socket.write(`${word} ${piece.toString()}`));
    socket.on('end', () => socket.end(' end'));
  });
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  const udp = await openFlowListener({ address: '127.0.0.1', port: 0, clock: realClock, limits, onFlow: (flow) => flow.onDatagram((datagram) => void flow.send(Buffer.from(`${word} ${datagram.toString()}`))) });
  closers.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => server.close(done));
    await udp.close('done');
  });
  return { tcp: (server.address() as AddressInfo).port, udp: udp.port };
}

interface Room extends VirtualAddresses {
  readonly lines: { event: string; fields: Readonly<Record<string, unknown>> }[];
}

function openRoom(more: Partial<VirtualAddressesOptions> = {}): Room {
  const sweep = buildSweep(realClock);
  const lines: Room['lines'] = [];
  const addresses = buildVirtualAddresses({
    clock: realClock, sweep, limits: quick,
    journal: { note: (event, fields) => void lines.push({ event, fields }) },
    judge: () => null,
    dialTcp: (door, by) => dialTcp({ kind: 'tcp', host: '127.0.0.1', port: door.to }, by),
    dialFlow: (door) => dialUdp({ host: '127.0.0.1', port: door.to }, limits),
    networkOf: (address) => `${address.split('.').slice(0, 2).join('.')}.0.0/16`,
    ...more,
  });
  closers.push(async () => {
    await addresses.close('the test is over');
    sweep.stop();
    assert.equal(addresses.counts.running, 0);
  });
  return Object.assign(addresses, { lines });
}

let lastPort = 20_000 + (process.pid % 20_000);
const newPort = () => ++lastPort;
const at = (deviceId: string, address: string, transport: 'tcp' | 'udp', port: number, to: number): CallbackDoor => ({ deviceId, address, transport, port, to });
const opened = (room: Room, open: number) => until(`${open} open ports`, () => room.counts.open === open);

function callTcp(address: string, port: number, text: string): Promise<string> {
  return new Promise((done, failed) => {
    let got = '';
    const socket = connect({ host: address, port, allowHalfOpen: true });
    socket.on('connect', () => socket.end(text));
    socket.on('data', (piece) => void (got += piece.toString()));
    socket.on('end', () => done(got));
    socket.on('error', failed);
  });
}

async function callUdp(address: string, port: number, text: string, waitMs = 5_000): Promise<string | null> {
  const socket = createSocket('udp4');
  try {
    return await new Promise((done) => {
      const timer = setTimeout(() => done(null), waitMs);
      socket.on('message', (datagram, from) => {
        clearTimeout(timer);
        assert.equal(from.address, address, 'the answer comes from the address that was asked');
        done(datagram.toString());
      });
      socket.send(text, port, address);
    });
  } finally {
    socket.close();
  }
}

test('two devices at two addresses with the same ports, TCP and UDP, each direction to its end', async () => {
  const [one, two] = [await startDevice('one'), await startDevice('two')];
  const room = openRoom();
  const port = newPort();
  room.set('d1', [at('d1', '127.72.0.5', 'tcp', port, one.tcp), at('d1', '127.72.0.5', 'udp', port, one.udp)], '');
  room.set('d2', [at('d2', '127.72.0.6', 'tcp', port, two.tcp), at('d2', '127.72.0.6', 'udp', port, two.udp)], '');
  await opened(room, 4);
  assert.equal(await callTcp('127.72.0.5', port, 'hi'), 'one hi end');
  assert.equal(await callTcp('127.72.0.6', port, 'hi'), 'two hi end');
  assert.equal(await callUdp('127.72.0.5', port, 'ho'), 'one ho');
  assert.equal(await callUdp('127.72.0.6', port, 'ho'), 'two ho');
  await assert.rejects(callTcp('127.72.0.7', port, 'hi'), 'nobody else is listened for');
  const seen = room.doorsOf('d1');
  assert.deepEqual([seen.wanted, seen.open, seen.why, seen.calls, seen.refused], [2, 2, null, 2, 0]);
  const ended = await until('its line', () => room.lines.find(({ event }) => event === 'callback.ended'));
  assert.deepEqual([ended.fields['device'], ended.fields['bytesIn'], ended.fields['bytesOut'], ended.fields['why']], ['d1', 2, 'one hi end'.length, 'ended']);
});

test('what is taken away is closed, what stays goes on, and a device that goes is cut', async () => {
  const device = await startDevice('x');
  const room = openRoom();
  const [first, second] = [newPort(), newPort()];
  const doors = [at('d1', '127.72.0.5', 'tcp', first, device.tcp), at('d1', '127.72.0.5', 'tcp', second, device.tcp)];
  room.set('d1', doors, '');
  await opened(room, 2);
  const standing = connect({ host: '127.72.0.5', port: first });
  standing.on('error', () => {});
  const heard = new Promise<void>((done) => standing.once('data', () => done()));
  standing.write('hi');
  await heard;
  room.set('d1', [doors[0]!], '');
  await opened(room, 1);
  await assert.rejects(callTcp('127.72.0.5', second, 'hi'));
  assert.equal(standing.destroyed, false);
  room.set('d1', [{ ...doors[0]!, to: 1 }], '');
  assert.equal(room.counts.open, 1, 'another port of the device needs no other socket');
  await assert.rejects(callTcp('127.72.0.5', first, 'hi'), 'nobody listens at port 1');
  const closed = new Promise((done) => standing.once('close', done));
  room.set('d1', [], 'the device is locked');
  await closed;
  const ended = await until('its line', () => room.lines.find(({ event, fields }) => event === 'callback.ended' && fields['why'] === 'the device is locked'));
  assert.equal(ended.fields['port'], first);
  assert.deepEqual({ ...room.counts }, { wanted: 0, open: 0, beyond: 0, running: 0 });
  await assert.rejects(callTcp('127.72.0.5', first, 'hi'));
  room.set('d2', [at('d2', '127.72.0.5', 'tcp', first, device.tcp)], '');
  await opened(room, 1);
  assert.equal(await callTcp('127.72.0.5', first, 'hi'), 'x hi end', 'the address is another device\'s now');
});

test('callers are judged, and a flood of refusals is one line', async () => {
  const device = await startDevice('x');
  let refused = '127.0.0.1';
  const room = openRoom({ judge: (from) => (from === refused ? 'not from there' : null) });
  const port = newPort();
  room.set('d1', [at('d1', '127.72.0.5', 'tcp', port, device.tcp), at('d1', '127.72.0.5', 'udp', port, device.udp)], '');
  await opened(room, 2);
  for (let i = 0; i < 5; i++) await assert.rejects(callTcp('127.72.0.5', port, 'hi'), (thrown: NodeJS.ErrnoException) => thrown.code === 'ECONNRESET');
  assert.equal(await callUdp('127.72.0.5', port, 'hi', 200), null);
  assert.deepEqual(room.lines.map(({ event, fields }) => [event, fields['from'], fields['why']]), [['callback.refused', '127.0.0.1', 'not from there']]);
  assert.equal(room.doorsOf('d1').refused, 6);
  const socket = connect({ host: '127.72.0.5', port, localAddress: '127.0.0.9' });
  socket.on('error', () => {});
  const got = new Promise((done) => socket.once('data', (piece) => done(piece.toString())));
  socket.write('hi');
  assert.equal(await got, 'x hi');
  room.judgeAgain();
  assert.equal(room.counts.running, 1);
  const closed = new Promise((done) => socket.once('close', done));
  refused = '127.0.0.9';
  room.judgeAgain();
  await closed;
});

test('a device that cannot be reached: the caller is reset, and the journal says why once', async () => {
  const room = openRoom({
    dialTcp: () => Promise.reject(new Fault('offline', 'the device is offline since yesterday')),
    dialFlow: () => Promise.reject(new Fault('forbidden', 'the policy has no line for it')),
  });
  const port = newPort();
  room.set('d1', [at('d1', '127.72.0.5', 'tcp', port, 1), at('d1', '127.72.0.5', 'udp', port, 1)], '');
  await opened(room, 2);
  for (let i = 0; i < 3; i++) await assert.rejects(callTcp('127.72.0.5', port, 'hi'));
  assert.equal(await callUdp('127.72.0.5', port, 'hi', 100), null);
  assert.deepEqual(room.lines.map(({ event, fields }) => `${event} ${String(fields['why'])}`), ['callback.failed the device is offline since yesterday', 'callback.failed the policy has no line for it']);
});

test('a cut ends what runs over TCP and UDP, and only of that device', async () => {
  const device = await startDevice('x');
  const room = openRoom();
  const port = newPort();
  for (const [id, address] of [['d1', '127.72.0.5'], ['d2', '127.72.0.6']] as const) room.set(id, [at(id, address, 'tcp', port, device.tcp), at(id, address, 'udp', port, device.udp)], '');
  await opened(room, 4);
  const sockets = await Promise.all(
    ['127.72.0.5', '127.72.0.6'].map(async (host) => {
      const socket = connect({ host, port });
      socket.on('error', () => {});
      const got = new Promise((done) => socket.once('data', done));
      socket.write('hi');
      await got;
      return socket;
    }),
  );
  await callUdp('127.72.0.5', port, 'hi');
  assert.equal(room.counts.running, 3);
  room.cut('d1', 'the link is gone');
  await until('the first to be over', () => sockets[0]!.destroyed && room.counts.running === 1);
  assert.equal(sockets[1]!.destroyed, false);
  assert.equal(await callTcp('127.72.0.5', port, 'hi'), 'x hi end', 'it goes on listening');
  sockets[1]!.destroy();
});

test('what cannot be opened is kept by its cause, and opens when that is gone', async () => {
  const device = await startDevice('x');
  const room = openRoom();
  const port = newPort();
  // No address of this machine: as where the pool's route is missing.
  for (let i = 2; i < 6; i++) room.set(`far${i}`, [at(`far${i}`, `203.0.113.${i}`, 'tcp', port, device.tcp)], '');
  const inTheWay = createServer().listen({ host: '127.72.0.5', port });
  await new Promise((done) => inTheWay.once('listening', done));
  room.set('d1', [at('d1', '127.72.0.5', 'tcp', port, device.tcp)], '');
  const failed = await until('all to have failed', () => (room.failed().reduce((sum, each) => sum + each.count, 0) === 5 ? room.failed() : null));
  assert.deepEqual(failed.map(({ network, code, count }) => [network, code, count]).sort(), [['127.72.0.0/16', 'EADDRINUSE', 1], ['203.0.0.0/16', 'EADDRNOTAVAIL', 4]]);
  assert.equal(room.doorsOf('far3').why, '203.0.0.0/16 does not lead to this machine: its local route is missing');
  assert.equal(whyNotOpen({ code: 'EACCES', network: 'n', transport: 'udp', port: 161 }), 'udp port 161 may not be opened by this user');
  await new Promise((done) => inTheWay.close(done));
  await opened(room, 1);
  assert.equal(await callTcp('127.72.0.5', port, 'hi'), 'x hi end');
  assert.deepEqual(room.failed().map((each) => each.code), ['EADDRNOTAVAIL']);
});

test('sockets, and calls of one device, are bounded, and what waits opens when there is room', async () => {
  const device = await startDevice('x');
  const room = openRoom({ limits: { ...quick, callbackSocketsMax: 2, callbacksPerDeviceMax: 1 } });
  const port = newPort();
  for (const n of [5, 6, 7]) room.set(`d${n}`, [at(`d${n}`, `127.72.0.${n}`, 'tcp', port, device.tcp)], '');
  await until('two open and one beyond', () => room.counts.open === 2 && room.counts.beyond === 1);
  assert.deepEqual([...room.beyond()], ['d7']);
  assert.match(room.doorsOf('d7').why ?? '', /listens at 2 ports of virtual addresses already/);
  const standing = connect({ host: '127.72.0.5', port });
  const got = new Promise((done) => standing.once('data', done));
  standing.write('hi');
  await got;
  await assert.rejects(callTcp('127.72.0.5', port, 'hi'));
  assert.equal(room.lines[0]?.fields['why'], 'too many calls to this device at once');
  standing.destroy();
  room.set('d6', [], 'gone');
  await until('the third to be open', () => room.doorsOf('d7').open === 1);
  assert.equal(await callTcp('127.72.0.7', port, 'hi'), 'x hi end');
});

test('a thousand devices: opened in paces, closed to the last', async () => {
  const room = openRoom();
  const port = newPort();
  for (let i = 0; i < 1_000; i++) room.set(`d${i}`, [at(`d${i}`, `127.72.${1 + (i >> 7)}.${2 + (i & 127)}`, 'udp', port, 9)], '');
  await opened(room, 1_000);
  for (let i = 0; i < 1_000; i++) room.set(`d${i}`, [], 'gone');
  assert.deepEqual({ ...room.counts }, { wanted: 0, open: 0, beyond: 0, running: 0 });
});
