// `connectCaller` against `buildCallers`, over plain TCP as on one machine.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import { Fault, isFault } from '#base/fault.ts';
import type { FaultCode } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import type { Person } from '#model/rows.ts';
import type { Visitor } from '#model/visitor.ts';
import type { DialBy } from '#net/dial.ts';
import { openFlowListener } from '#net/flow-listener.ts';
import type { Flow, FlowEnd } from '#net/flow.ts';
import { dialUdp } from '#net/udp.ts';
import { fieldOf } from '#wire/http1-fields.ts';
import { isBad, parseRequestHead } from '#wire/http1.ts';
import { bigBudget, testClock, until } from '../../test/sim/ends.ts';
import { newId, openTcp } from '../../test/sim/link-end.ts';
import { buildBudget } from './budget.ts';
import type { Budget } from './budget.ts';
import { connectCaller } from './caller.ts';
import { buildCallers, parseDeviceTarget } from './callers.ts';
import type { Callers } from './callers.ts';

const person: Person = { id: 'p', customerId: 'c', login: 'ada', name: 'Ada', passwordHash: '', locked: false, createdAt: 0 };
const visitor: Visitor = { person, signIn: null, token: null };

const noFlows = (): Promise<Flow> => Promise.reject(new Fault('unsupported', 'no flows here'));

async function openGateway(open: (visitor: Visitor, device: string, port: number, by: DialBy) => Promise<Duplex>, budget: Budget = bigBudget(), openFlow: (visitor: Visitor, device: string, port: number, by: DialBy) => Promise<Flow> = noFlows) {
  const journal: { event: string; fields: Readonly<Record<string, unknown>> }[] = [];
  const callers: Callers = buildCallers({
    clock: testClock,
    log: silentLog,
    journal: { note: (event, fields) => void journal.push({ event, fields }) },
    limits,
    random: randomBytes,
    newId,
    budget,
    authenticate: (head) => (fieldOf(head.fields, 'authorization') === 'Bearer good' ? visitor : new Fault('unauthenticated', 'the token is unknown', { remedy: 'Run postern login.' })),
    open,
    openFlow,
  });
  const server = await openTcp((socket) => {
    socket.once('data', (chunk: Buffer) => {
      socket.pause();
      const at = chunk.indexOf('\r\n\r\n') + 4;
      const head = parseRequestHead(chunk.toString('latin1', 0, at));
      if (isBad(head)) throw new Error(head.bad);
      callers.takeover({ socket, leftover: chunk.subarray(at), head, from: '198.51.100.4', secure: false, peerCertificate: null, connId: 'c1' });
    });
  });
  return {
    callers,
    journal,
    address: `http://127.0.0.1:${server.port}`,
    async [Symbol.asyncDispose]() {
      callers.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

const connectTo = (address: string, token = 'good') => connectCaller({ address, token, clock: testClock, random: randomBytes });
const isCode = (code: FaultCode, text: RegExp) => (thrown: unknown) => isFault(thrown, code) && text.test(thrown.message);

describe('callers', () => {
  test('a stream to a device, half-close, and who asked', async () => {
    await using device = await openTcp((socket) => {
      let got = '';
      socket.on('data', (part: Buffer) => (got += part.toString()));
      socket.on('end', () => socket.end(`got ${got}`));
    });
    const asked: unknown[] = [];
    await using gateway = await openGateway(async (who, name, port, by) => {
      asked.push([who.person.login, name, port, by.client]);
      const socket = connect({ port: device.port, host: '127.0.0.1', allowHalfOpen: true });
      await once(socket, 'connect');
      return socket;
    });
    const caller = await connectTo(gateway.address);
    const stream = await caller.openDevice('acme/printer 1', 22);
    stream.end('hello');
    let text = '';
    for await (const part of stream as AsyncIterable<Buffer>) text += part.toString();
    assert.equal(text, 'got hello');
    assert.deepEqual(asked, [['ada', 'acme/printer 1', 22, '198.51.100.4']]);
    caller.close();
    await until(() => gateway.callers.sessions === 0, 'the session has ended');
  });

  test('a wrong token is told at once', async () => {
    await using gateway = await openGateway(() => Promise.reject(new Error('not reached')));
    await assert.rejects(connectTo(gateway.address, 'bad'), isCode('unauthenticated', /token is unknown/));
    assert.equal(gateway.journal[0]?.event, 'caller.refused');
  });

  test('a Fault of the opening reaches the person, a bug does not', async () => {
    await using gateway = await openGateway((_who, name) => Promise.reject(name === 'bug' ? new TypeError('secret internals') : new Fault('offline', 'the device is offline since noon')));
    const caller = await connectTo(gateway.address);
    await assert.rejects(caller.openDevice('printer', 22), isCode('offline', /^printer port 22: the device is offline since noon$/));
    await assert.rejects(caller.openDevice('bug', 22), isCode('internal', /the gateway failed/));
    caller.close();
  });

  test('revoked: sessions of the visitor end with their streams', async () => {
    await using device = await openTcp((socket) => socket.resume());
    await using gateway = await openGateway(async () => {
      const socket = connect(device.port, '127.0.0.1');
      await once(socket, 'connect');
      return socket;
    });
    const caller = await connectTo(gateway.address);
    const stream = await caller.openDevice('printer', 22);
    const broken = once(stream, 'error');
    assert.equal(gateway.callers.closeWhere((who) => who.person.id === 'other', 'revoked'), 0);
    assert.equal(gateway.callers.closeWhere((who) => who.person.id === 'p', 'the sign-in was revoked'), 1);
    const [error] = (await broken) as [Fault];
    assert.match(error.message, /revoked/);
    assert.match((await caller.closed).why, /revoked/);
  });

  test('who leaves too much unread is refused further streams, on another session too; the memory of the others is free', async () => {
    await using device = await openTcp((socket) => socket.resume());
    const whole = buildBudget(1_000_000, () => {});
    const shares: Budget[] = [];
    const budget: Budget = {
      ...whole,
      share() {
        const share = whole.share();
        shares.push(share);
        return share;
      },
    };
    const open = async () => {
      const socket = connect(device.port, '127.0.0.1');
      await once(socket, 'connect');
      return socket;
    };
    await using gateway = await openGateway(open, budget);
    const first = await connectTo(gateway.address);
    await first.openDevice('printer', 22);
    const second = await connectTo(gateway.address);
    assert.equal(shares.length, 1, 'the sessions of one person have one share');
    shares[0]!.changed(240_000);
    for (const caller of [first, second]) await assert.rejects(caller.openDevice('printer', 22), isCode('busy', /your streams that nobody reads/));
    assert.equal(whole.mayOpen, true);
    shares[0]!.changed(-240_000);
    await second.openDevice('printer', 22);
    for (const caller of [first, second]) caller.close();
    await until(() => gateway.callers.sessions === 0, 'both sessions have ended');
  });

  test('a flow to a device: datagrams both ways, who asked, and why it ended', async () => {
    const listener = await openFlowListener({ address: '127.0.0.1', port: 0, clock: testClock, limits, onFlow: (flow) => flow.onDatagram((datagram) => void flow.send(Buffer.concat([Buffer.from('re: '), datagram]))) });
    const asked: unknown[] = [];
    const opened: Flow[] = [];
    await using gateway = await openGateway(() => assert.fail('not a stream'), bigBudget(), async (who, name, port, by) => {
      asked.push([who.person.login, name, port, by.client]);
      const flow = await dialUdp({ host: '127.0.0.1', port: listener.port }, limits);
      opened.push(flow);
      return flow;
    });
    const caller = await connectTo(gateway.address);
    const flow = await caller.openFlow('printer', 161);
    const got: string[] = [];
    flow.onDatagram((datagram) => void got.push(datagram.toString()));
    flow.send(Buffer.from('one'));
    flow.send(Buffer.alloc(0));
    await until(() => got.length === 2, 'the answers');
    assert.deepEqual(got, ['re: one', 're: ']);
    assert.deepEqual(asked, [['ada', 'printer', 161, '198.51.100.4']]);
    assert.deepEqual({ ...gateway.callers.flows }, { open: 1, sent: 2, received: 2, dropped: 0 });
    const ended = new Promise<FlowEnd>((resolve) => flow.onClosed(resolve));
    opened[0]!.close(new Fault('unreachable', 'nobody listens on UDP port 161 of 192.0.2.1'));
    assert.match((await ended).why, /^nobody listens/);
    await until(() => gateway.callers.flows.open === 0, 'nothing is left');
    // Ended by the caller: what was opened for it goes.
    const second = await caller.openFlow('printer', 161);
    second.close('done');
    await until(() => opened[1]!.isClosed, 'the flow to the device');
    caller.close();
    await listener.close('done');
  });

  test('a refused flow says why; one person has so many and no more', async () => {
    const open: Flow[] = [];
    await using gateway = await openGateway(() => assert.fail('not a stream'), bigBudget(), async (_who, name) => {
      if (name === 'locked') throw new Fault('forbidden', 'the device is locked');
      const flow = await dialUdp({ host: '127.0.0.1', port: 9 }, limits);
      open.push(flow);
      return flow;
    });
    const caller = await connectTo(gateway.address);
    await assert.rejects(caller.openFlow('locked', 161), isCode('forbidden', /^locked UDP port 161: the device is locked$/));
    assert.ok(gateway.journal.some(({ event, fields }) => event === 'stream.refused' && fields['target'] === 'locked/161'));
    for (let i = 0; i < limits.flowsPerLinkMax; i++) await caller.openFlow('printer', 161);
    await assert.rejects(caller.openFlow('printer', 161), isCode('busy', /256 flows open already/));
    caller.close();
    await until(() => open.every((flow) => flow.isClosed), 'all are closed with the session');
  });

  test('device/port', () => {
    assert.deepEqual(parseDeviceTarget('customer/name/80'), { device: 'customer/name', port: 80 });
    for (const bad of ['80', '/80', 'x/', 'x/0', 'x/70000', 'x/a']) assert.throws(() => parseDeviceTarget(bad), Fault);
  });
});
