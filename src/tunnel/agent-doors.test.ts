import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { limits as defaultLimits, type Limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { parsePolicy } from '#model/policy.ts';
import { buildMessageParser, encodeMessage, type Message } from '#wire/message.ts';
import type { Preface } from '#wire/preface.ts';
import { handClock } from '../../test/kit/hand-clock.ts';
import { until } from '../../test/sim/ends.ts';
import { buildAgentDoors } from './agent-doors.ts';
import { buildNeighbours } from './neighbours.ts';

const at = '127.3.0.1';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, at);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

type Opened = Pick<Preface, 'from' | 'at' | 'mac' | 'door'>;

function openRoom(more: Partial<Limits> = {}) {
  const clock = handClock();
  const opened: { fields: Opened; far: Duplex }[] = [];
  const watchers = new Set<() => void>();
  const clients: Socket[] = [];
  const state = { policy: `listen tcp ${at} 1-65535`, refusal: null as Fault | null, macs: new Map<string, string>() };
  const doors = buildAgentDoors({
    clock,
    limits: { ...defaultLimits, ...more },
    log: silentLog,
    policy: () => parsePolicy(state.policy),
    watchPolicy: (onChange) => {
      watchers.add(onChange);
      return () => watchers.delete(onChange);
    },
    macOf: (address) => Promise.resolve(state.macs.get(address) ?? null),
    openDoor: (fields) => {
      if (state.refusal) return Promise.reject(state.refusal);
      const [near, far] = duplexPair();
      far.on('error', () => {});
      opened.push({ fields, far });
      return Promise.resolve(near);
    },
  });
  /** A stream of the service, as the gateway holds it. */
  const serve = () => {
    const [near, far] = duplexPair();
    const heard: Message[] = [];
    const parser = buildMessageParser(65_536, (message) => heard.push(message));
    far.on('data', (chunk: Buffer) => parser.push(chunk)).on('error', () => {});
    const served = doors.serve(near);
    let id = 0;
    return {
      far, served, heard,
      async ask(message: Message): Promise<Message> {
        const mine = ++id;
        far.write(encodeMessage({ id: mine, ...message }, 65_536));
        await until(() => heard.some((each) => each['id'] === mine), 'an answer');
        return heard.find((each) => each['id'] === mine)!;
      },
      listen(...places: object[]) {
        return this.ask({ do: 'listen', doors: places });
      },
    };
  };
  return {
    clock, opened, state, doors, serve,
    changePolicy(text: string) {
      state.policy = text;
      for (const watcher of watchers) watcher();
    },
    dial(port: number, localAddress = '127.3.0.50') {
      const socket = connect({ host: at, port, localAddress, allowHalfOpen: true });
      const seen = { socket, error: null as NodeJS.ErrnoException | null, text: '' };
      socket.on('error', (error: NodeJS.ErrnoException) => (seen.error = error)).on('data', (piece: Buffer) => (seen.text += piece.toString()));
      clients.push(socket);
      return seen;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of clients) socket.destroy();
      await doors.close();
      assert.equal(clock.timers, 0, 'no timer is left');
    },
  };
}

const saidOf = (answer: Message) => (answer['ok'] as { doors: unknown[] }).doors;
const isShut = async (port: number) => {
  const socket = connect({ host: at, port });
  const error = await new Promise((resolve) => void socket.once('connect', () => resolve(null)).once('error', resolve));
  socket.destroy();
  return error !== null;
};

test('what connects is carried, with where it came from, and half-closed each way', async () => {
  await using room = openRoom();
  room.state.macs.set('127.3.0.50', '02:00:5e:10:00:01');
  const port = await freePort();
  const stream = room.serve();
  assert.deepEqual(saidOf(await stream.listen({ id: 'd1', address: at, port })), [{ id: 'd1', bound: true }]);
  const client = room.dial(port);
  await until(() => room.opened.length === 1, 'the stream');
  const { fields, far } = room.opened[0]!;
  assert.deepEqual(fields, { from: { address: '127.3.0.50', port: client.socket.localPort }, at: { address: at, port }, mac: '02:00:5e:10:00:01', door: 'd1' });
  client.socket.end('question');
  let heard = '';
  let ended = false;
  far.on('data', (piece: Buffer) => (heard += piece.toString())).on('end', () => (ended = true));
  await until(() => ended, 'the end of the question');
  assert.equal(heard, 'question');
  far.end('answer');
  await until(() => client.socket.readableEnded && client.text === 'answer', 'the answer');
  await until(() => room.doors.counts.open === 0, 'it to be over');
  room.dial(port, '127.3.0.51');
  await until(() => room.opened.length === 2, 'another');
  assert.equal('mac' in room.opened[1]!.fields, false, 'a MAC that is not known is not told');
});

test('a list replaces the one before by difference, and what is malformed changes nothing', async () => {
  await using room = openRoom();
  const [one, two] = [await freePort(), await freePort()];
  const stream = room.serve();
  await stream.listen({ id: 'd1', address: at, port: one });
  const client = room.dial(one);
  await until(() => room.opened.length === 1, 'a connection');
  assert.deepEqual(saidOf(await stream.listen({ id: 'renamed', address: at, port: one }, { id: 'd2', address: at, port: two })), [{ id: 'renamed', bound: true }, { id: 'd2', bound: true }]);
  assert.equal(client.socket.destroyed, false);
  room.dial(one);
  await until(() => room.opened.length === 2, 'a second connection');
  assert.equal(room.opened[1]!.fields.door, 'renamed');
  for (const doors of [null, [{ id: 'd1' }], [{ id: 'd1', address: at, port: one }, { id: 'd2', address: at, port: one }]]) assert.equal(((await stream.ask({ do: 'listen', doors }))['fault'] as { code: string }).code, 'bad-input');
  assert.equal(((await stream.ask({ do: 'dance' }))['fault'] as { code: string }).code, 'unsupported');
  assert.equal(await isShut(one), false);
  await stream.listen({ id: 'd2', address: at, port: two });
  assert.equal(await isShut(one), true);
  assert.equal(client.socket.destroyed, false, 'what it took goes on');
  await stream.listen();
  assert.equal(await isShut(two), true);
});

test('what the policy does not allow, and what cannot be bound, and when that changes', async () => {
  await using room = openRoom();
  const holder = createServer().listen(0, at);
  await once(holder, 'listening');
  const [port, taken] = [await freePort(), (holder.address() as AddressInfo).port];
  room.state.policy = `listen tcp ${at} ${taken}\nlisten tcp 192.0.2.1 80`;
  const stream = room.serve();
  const said = saidOf(await stream.listen({ id: 'd1', address: at, port }, { id: 'd2', address: at, port: taken }, { id: 'd3', address: '192.0.2.1', port: 80 })) as { bound: boolean; why: string; remedy: string }[];
  assert.deepEqual(said.map((each) => each.bound), [false, false, false]);
  assert.match(said[0]!.remedy, new RegExp(`listen tcp ${at} ${port}$`));
  assert.match(said[1]!.why, /in use/);
  assert.match(said[2]!.why, /no interface of the agent's machine has the address 192\.0\.2\.1/);
  holder.close();
  await once(holder, 'close');
  room.clock.advance(1_000);
  await until(() => stream.heard.some((each) => JSON.stringify(each) === JSON.stringify({ do: 'state', doors: [{ id: 'd2', bound: true }] })), 'that it is bound');
  room.changePolicy(`listen tcp ${at} ${port}`);
  await until(() => stream.heard.some((each) => JSON.stringify(each) === JSON.stringify({ do: 'state', doors: [{ id: 'd1', bound: true }] })), 'that it is allowed');
  await until(() => stream.heard.filter((each) => each['do'] === 'state').length >= 4, 'all three and the one that is not any more');
  assert.equal(await isShut(taken), true);
  assert.equal(await isShut(port), false);
});

test('no link: closed at once, by a reset, and counted; so is what is too much', async () => {
  await using room = openRoom({ doorConnsPerAddressMax: 2, doorConnsMax: 3 });
  const port = await freePort();
  await room.serve().listen({ id: 'd1', address: at, port });
  room.state.refusal = new Fault('offline', 'the link does not stand');
  const early = room.dial(port);
  await until(() => early.socket.destroyed, 'it to be closed');
  assert.equal(early.error?.code, 'ECONNRESET');
  assert.deepEqual(room.doors.counts.refused, { offline: 1, full: 0, gateway: 0 });
  room.state.refusal = new Fault('forbidden', 'this agent has no such door');
  const unwanted = room.dial(port);
  await until(() => unwanted.socket.destroyed, 'it to be closed');
  assert.deepEqual(room.doors.counts.refused, { offline: 1, full: 0, gateway: 1 });
  room.state.refusal = null;
  room.dial(port);
  room.dial(port);
  await until(() => room.doors.counts.open === 2, 'two');
  const third = room.dial(port);
  await until(() => third.socket.destroyed, 'the third of one address to be closed');
  room.dial(port, '127.3.0.51');
  await until(() => room.doors.counts.open === 3, 'three');
  const fourth = room.dial(port, '127.3.0.52');
  await until(() => fourth.socket.destroyed, 'the fourth of one door to be closed');
  assert.equal(room.doors.counts.refused.full, 2);
});

test('a stream that ends leaves the ports open for a while; the newest counts', async () => {
  await using room = openRoom();
  const port = await freePort();
  const first = room.serve();
  await first.listen({ id: 'd1', address: at, port });
  first.far.end();
  await first.served;
  room.clock.advance(59_000);
  assert.equal(await isShut(port), false);
  const second = room.serve();
  await second.listen({ id: 'd1', address: at, port });
  room.clock.advance(120_000);
  assert.equal(await isShut(port), false, 'a new stream in time');
  const third = room.serve();
  await second.served;
  await third.listen({ id: 'd1', address: at, port });
  third.far.end();
  await third.served;
  room.clock.advance(60_000);
  await until(() => room.clock.timers === 0, 'the grace to be over');
  for (let tries = 0; !(await isShut(port)); tries++) assert.ok(tries < 500, 'the port is open for ever');
});

test('a stream that speaks no messages is given up', async () => {
  await using room = openRoom();
  const stream = room.serve();
  stream.far.write(Buffer.from([0, 0, 0, 0]));
  await stream.served;
  assert.equal(room.doors.counts.accepted, 0);
});

test('a burst reads the neighbour table at most twice, and nobody is told what it said before he came', async () => {
  const row = (mac: string) => `IP address HW type Flags HW address Mask Device\n192.0.2.50 0x1 0x2 ${mac} * eth0\n`;
  let table = row('02:00:5e:10:00:01');
  const answers: (() => void)[] = [];
  const macOf = buildNeighbours(defaultLimits, () => {
    const text = table;
    return new Promise((resolve) => answers.push(() => resolve(text)));
  });
  const settle = () => new Promise((done) => setImmediate(done));
  const first = macOf('192.0.2.50');
  table = row('02:00:5e:10:00:02');
  const later = [macOf('192.0.2.50'), macOf('192.0.2.50'), macOf('192.0.2.51'), macOf('2001:db8::1')];
  await settle();
  assert.equal(answers.length, 1);
  answers[0]!();
  assert.equal(await first, '02:00:5e:10:00:01');
  await settle();
  assert.equal(answers.length, 2);
  table = row('02:00:5e:10:00:03');
  const last = macOf('192.0.2.50');
  answers[1]!();
  assert.deepEqual(await Promise.all(later), ['02:00:5e:10:00:02', '02:00:5e:10:00:02', null, null]);
  await settle();
  answers[2]!();
  assert.equal(await last, '02:00:5e:10:00:03');
  assert.equal(answers.length, 3);
  const broken = buildNeighbours(defaultLimits, () => Promise.reject(new Error('no such file')));
  assert.equal(await broken('192.0.2.50'), null);
});
