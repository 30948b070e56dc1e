// Hub and agent together over real TLS: what a link does when everything is well, and when it is not.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { runAgent } from '#app/agent.ts';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault } from '#base/fault.ts';
import type { FaultCode } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { openFlowListener } from '#net/flow-listener.ts';
import type { FlowEnd } from '#net/flow.ts';
import { buildEnd, testClock, until } from '../../test/sim/ends.ts';
import { buildTestCa, makeStateDir, newId, openLinkEnd, openTcp, removeDir } from '../../test/sim/link-end.ts';
import type { LinkEnd, TestCa } from '../../test/sim/link-end.ts';
import { dialGateway } from './gateway-dial.ts';
import { encodeTarget, openStream } from './open.ts';
import { upgrade } from './upgrade.ts';

let ca: TestCa;
before(async () => {
  ca = await buildTestCa();
});

const by = { client: '203.0.113.5', timeoutMs: 5_000 };
const isCode = (code: FaultCode, text?: RegExp) => (thrown: unknown) => isFault(thrown, code) && (text === undefined || text.test(thrown.message));

interface RunningAgent extends AsyncDisposable {
  readonly agentId: string;
  readonly folder: string;
  readonly links: string[];
  readonly ended: Promise<unknown>;
}

async function startAgent(end: LinkEnd, options: { policy?: string; agentId?: string; identity?: Awaited<ReturnType<TestCa['issue']>>; folder?: string; address?: string; clock?: Clock } = {}): Promise<RunningAgent> {
  const agentId = options.agentId ?? newId();
  const identity = options.identity ?? (await ca.issue(agentId));
  if (!end.agents.has(identity.fingerprint)) end.agents.set(identity.fingerprint, agentId);
  const folder = options.folder ?? (await makeStateDir(identity.state, options.address ?? end.address));
  if (options.policy !== undefined) await writeFile(join(folder, 'policy'), options.policy);
  const stop = new AbortController();
  const links: string[] = [];
  const ended = runAgent({ stateDir: folder, clock: options.clock ?? testClock, log: silentLog, random: randomBytes, signal: stop.signal, onLinked: (id) => void links.push(id) }).catch((thrown: unknown) => thrown);
  return {
    agentId,
    folder,
    links,
    ended,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
      if (options.folder === undefined) await removeDir(folder);
    },
  };
}

async function readAll(stream: Duplex): Promise<Buffer> {
  const parts: Buffer[] = [];
  stream.on('data', (part: Buffer) => parts.push(part));
  await once(stream, 'end');
  return Buffer.concat(parts);
}

describe('a link that stands', () => {
  let end: LinkEnd;
  before(async () => {
    end = await openLinkEnd(ca);
  });
  after(async () => await end[Symbol.asyncDispose]());

  test('a stream to the device, half-close each way by itself', async () => {
    await using device = await openTcp((socket) => {
      let got = '';
      socket.on('data', (part: Buffer) => (got += part.toString()));
      // Answers only after the other direction has ended.
      socket.on('end', () => socket.end(`got ${got}`));
    });
    await using agent = await startAgent(end, { policy: 'reach tcp 127.0.0.1 *' });
    await until(() => agent.links.length === 1, 'the link');
    const stream = await end.hub.dialDevice(agent.agentId, '127.0.0.1', device.port, by);
    stream.end('hello');
    assert.equal((await readAll(stream)).toString(), 'got hello');
    const link = end.hub.linkOf(agent.agentId);
    assert.equal(link?.id, agent.links[0]);
    assert.ok((link?.bytesIn ?? 0) > 0 && (link?.rttMs ?? 0) > 0);
    assert.deepEqual(end.hub.locate(agent.agentId), { at: 'here' });
  });

  test('the local policy is announced, and refuses with the line to add', async () => {
    await using agent = await startAgent(end, { policy: 'reach tcp 127.0.0.1 1' });
    await until(() => end.notes.some((note) => note.agentId === agent.agentId && note.policy === '["reach tcp 127.0.0.1 1"]'), 'hello');
    await assert.rejects(end.hub.dialDevice(agent.agentId, '127.0.0.1', 2, by), isCode('forbidden', /add this line.*: reach tcp 127\.0\.0\.1 2$/));
    await assert.rejects(end.hub.dialDevice(agent.agentId, '127.0.0.1', 1, by), isCode('unreachable', /refused/));
  });

  test('a name is judged by the address it leads to', async () => {
    await using agent = await startAgent(end, { policy: 'reach tcp localhost *' });
    await until(() => agent.links.length === 1, 'the link');
    await assert.rejects(end.hub.dialDevice(agent.agentId, 'localhost', 9, by), isCode('forbidden'));
  });

  test('a device that resets is a broken stream, not the end of the data', async () => {
    await using device = await openTcp((socket) => socket.once('data', () => socket.resetAndDestroy()));
    await using agent = await startAgent(end, { policy: 'reach tcp 127.0.0.1 *' });
    await until(() => agent.links.length === 1, 'the link');
    const stream = await end.hub.dialDevice(agent.agentId, '127.0.0.1', device.port, by);
    stream.write('x');
    const [error] = await once(stream, 'error');
    assert.ok(isFault(error, 'closed'));
  });

  test('closing a link cuts its streams and says why', async () => {
    await using device = await openTcp((socket) => socket.resume());
    await using agent = await startAgent(end, { policy: 'reach tcp 127.0.0.1 *' });
    await until(() => agent.links.length === 1, 'the link');
    const stream = await end.hub.dialDevice(agent.agentId, '127.0.0.1', device.port, by);
    const broken = once(stream, 'error');
    assert.equal(end.hub.closeLink(agent.agentId, 'the device was locked'), true);
    const [error] = (await broken) as [Fault];
    assert.match(error.message, /locked/);
    await assert.rejects(end.hub.dialDevice(agent.agentId, '127.0.0.1', device.port, by), isCode('offline', /offline since .*: the device was locked/));
    assert.equal(end.hub.closeLink(agent.agentId, 'again'), false);
  });

  test('nobody knows the device', async () => {
    await assert.rejects(end.hub.dialDevice(newId(), '127.0.0.1', 80, by), isCode('offline', /never been online/));
  });

  test('a given-up dial closes what it opened', async () => {
    const closed = Promise.withResolvers<void>();
    await using device = await openTcp((socket) => socket.resume().once('close', closed.resolve));
    await using agent = await startAgent(end, { policy: 'reach tcp 127.0.0.1 *' });
    await until(() => agent.links.length === 1, 'the link');
    const given = new AbortController();
    const dial = end.hub.dialDevice(agent.agentId, '127.0.0.1', device.port, { ...by, signal: given.signal });
    given.abort();
    await assert.rejects(dial, isCode('closed'));
    await until(() => end.hub.linkOf(agent.agentId)?.streams === 1, 'only control is left');
  });
});

describe('flows through a link', () => {
  let end: LinkEnd;
  before(async () => {
    end = await openLinkEnd(ca, { limits: { flowsPerLinkMax: 3 } });
  });
  after(async () => await end[Symbol.asyncDispose]());

  const echo = () => openFlowListener({ address: '127.0.0.1', port: 0, clock: testClock, limits, onFlow: (flow) => flow.onDatagram((datagram) => void flow.send(datagram)) });

  test('datagrams to the device and back, of every length', async () => {
    const device = await echo();
    await using agent = await startAgent(end, { policy: 'reach udp 127.0.0.1 *' });
    await until(() => agent.links.length === 1, 'the link');
    const flow = await end.hub.dialFlow(agent.agentId, '127.0.0.1', device.port, by);
    const got: Buffer[] = [];
    flow.onDatagram((datagram) => void got.push(Buffer.from(datagram)));
    const sent = [0, 1, 484, 1_472, 16_384, 65_507].map((length) => randomBytes(length));
    for (const [i, each] of sent.entries()) {
      flow.send(each);
      await until(() => got.length === i + 1, `${each.length} bytes`);
    }
    assert.deepEqual(got, sent);
    assert.deepEqual({ ...end.hub.flows }, { open: 1, sent: 6, received: 6, dropped: 0 });
    flow.close('done');
    await until(() => device.flows === 1 && end.hub.linkOf(agent.agentId)?.streams === 1, 'only control is left');
    await device.close('done');
  });

  test('the local policy is asked for udp, not tcp, and names the line to add', async () => {
    await using agent = await startAgent(end, { policy: 'reach tcp 127.0.0.1 *' });
    await until(() => agent.links.length === 1, 'the link');
    await assert.rejects(end.hub.dialFlow(agent.agentId, '127.0.0.1', 161, by), isCode('forbidden', /does not allow udp to 127\.0\.0\.1 port 161; .*: reach udp 127\.0\.0\.1 161$/));
    await using other = await startAgent(end, { policy: 'reach udp 127.0.0.1 *' });
    await until(() => other.links.length === 1, 'the other link');
    await assert.rejects(end.hub.dialDevice(other.agentId, '127.0.0.1', 161, by), isCode('forbidden', /reach tcp 127\.0\.0\.1 161$/));
  });

  test('nobody listens there: the flow ends and says so', async () => {
    const device = await echo();
    await device.close('gone');
    await using agent = await startAgent(end, { policy: 'reach udp 127.0.0.1 *' });
    await until(() => agent.links.length === 1, 'the link');
    const flow = await end.hub.dialFlow(agent.agentId, '127.0.0.1', device.port, by);
    flow.onDatagram(() => {});
    const ended = new Promise<FlowEnd>((resolve) => flow.onClosed(resolve));
    flow.send(Buffer.from('anybody?'));
    const { why, fault } = await ended;
    assert.equal(why, `nobody listens on UDP port ${device.port} of 127.0.0.1`);
    assert.equal(fault?.code, 'unreachable');
  });

  test('a link has so many flows and no more; those that ended do not count', async () => {
    const device = await echo();
    await using agent = await startAgent(end, { policy: 'reach udp 127.0.0.1 *' });
    await until(() => agent.links.length === 1, 'the link');
    const dial = () => end.hub.dialFlow(agent.agentId, '127.0.0.1', device.port, by);
    const flows = [await dial(), await dial(), await dial()];
    await assert.rejects(dial(), isCode('too-many', /3 flows open already/));
    flows[0]!.close('done');
    await until(() => end.hub.linkOf(agent.agentId)?.streams === 3, 'one has gone');
    flows.push(await dial());
    const told: FlowEnd[] = [];
    flows[3]!.onClosed((each) => void told.push(each));
    end.hub.closeLink(agent.agentId, 'the device was locked');
    assert.match(told[0]?.why ?? (await new Promise<FlowEnd>((resolve) => flows[3]!.onClosed(resolve))).why, /locked/);
    await device.close('done');
  });

  test('an agent that carries no UDP is not asked', async () => {
    const identity = await ca.issue(newId());
    end.agents.set(identity.fingerprint, identity.state.agentId);
    const socket = await dialGateway(end.address, { ...identity.state, timeoutMs: 5_000, nowMs: Date.now, builtAtMs: 0 });
    const fields = [['Postern-Slot', '0'], ['Postern-Turn', '1'], ['Postern-Instance', '0123456789abcdef'], ['Postern-Agent', 'other/1.0'], ['Postern-Can', 'tcp']] as const;
    const upgraded = await upgrade(socket, { host: 'x', path: '/link', protocol: 'postern-link.1', fields, random: randomBytes, clock: testClock, timeoutMs: 5_000 });
    assert.ok(upgraded.ok);
    const session = buildEnd('client', socket, { isSecure: true, onStream: () => assert.fail('it was asked') });
    await assert.rejects(end.hub.dialFlow(identity.state.agentId, '127.0.0.1', 161, by), isCode('unsupported', /other\/1\.0\) carries no UDP/));
    session.close('done');
  });
});

describe('what an agent may open towards the gateway', () => {
  test('control, and nothing else: no address, no other service, no garbage', async () => {
    await using end = await openLinkEnd(ca);
    const identity = await ca.issue(newId());
    end.agents.set(identity.fingerprint, identity.state.agentId);
    const socket = await dialGateway(end.address, { ...identity.state, timeoutMs: 5_000, nowMs: Date.now, builtAtMs: 0 });
    const fields = [['Postern-Slot', '0'], ['Postern-Turn', '1'], ['Postern-Instance', '0123456789abcdef']] as const;
    const upgraded = await upgrade(socket, { host: 'x', path: '/link', protocol: 'postern-link.1', fields, random: randomBytes, clock: testClock, timeoutMs: 5_000 });
    assert.ok(upgraded.ok);
    const session = buildEnd('client', socket, { isSecure: true });
    const open = (kind: 'tcp' | 'udp' | 'service', target: string) => openStream(session, { kind, target }, { clock: testClock, timeoutMs: 5_000 });
    await assert.rejects(open('tcp', '127.0.0.1:22'), isCode('unsupported'));
    await assert.rejects(open('udp', '127.0.0.1:53'), isCode('unsupported'));
    await assert.rejects(open('service', 'shell'), isCode('unsupported', /"shell" is not offered/));
    const control = await open('service', 'control');
    control.write(Buffer.from('00000003{}}', 'latin1'));
    await assert.rejects(once(control, 'end'), isCode('closed'));
    assert.ok(end.hub.linkOf(identity.state.agentId), 'the link stands');
    session.close('done');
  });

  test('the gateway’s addresses are kept, and what works is not forgotten', async () => {
    await using end = await openLinkEnd(ca, { addresses: ['https://gw.example.test:8443'] });
    await using agent = await startAgent(end);
    const kept = async () => (JSON.parse(await readFile(join(agent.folder, 'agent.json'), 'utf8')) as { addresses: string[] }).addresses;
    await until(() => agent.links.length === 1, 'the link');
    for (let i = 0; i < 200 && (await kept()).length < 2; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(await kept(), ['https://gw.example.test:8443', end.address]);
  });
});

describe('turns', () => {
  test('an agent that starts again takes its link at once; its turn is on disk', async () => {
    await using end = await openLinkEnd(ca);
    const identity = await ca.issue(newId());
    const folder = await makeStateDir(identity.state, end.address);
    {
      await using first = await startAgent(end, { identity, folder, agentId: identity.state.agentId });
      await until(() => first.links.length === 1, 'the first link');
      await using second = await startAgent(end, { identity, folder, agentId: identity.state.agentId });
      await until(() => second.links.length === 1, 'the second link');
      await until(() => end.hub.links().length === 1, 'the old one is gone');
      assert.equal(end.hub.linkOf(identity.state.agentId)?.id, second.links[0]);
      assert.ok(end.journal.some(({ event, fields }) => event === 'link.closed' && fields['why'] === 'replaced'));
    }
    assert.ok(Number(await readFile(join(folder, 'turn'), 'utf8')) >= 2);
    assert.equal((await stat(join(folder, 'agent.json'))).mode & 0o777, 0o600);
    await removeDir(folder);
  });

  test('a turn that was seen is refused with it, and the agent goes on above it', async () => {
    await using end = await openLinkEnd(ca);
    const identity = await ca.issue(newId());
    const { agentId } = identity.state;
    const folder = await makeStateDir(identity.state, end.address);
    await writeFile(join(folder, 'turn'), '41\n');
    {
      await using agent = await startAgent(end, { identity, folder, agentId });
      await until(() => agent.links.length === 1, 'turn 42');
    }
    await writeFile(join(folder, 'turn'), '3\n'); // a backup was put back
    {
      await using agent = await startAgent(end, { identity, folder, agentId });
      await until(() => agent.links.length === 1, 'turn 43');
    }
    assert.ok(end.journal.some(({ event, fields }) => event === 'link.refused' && fields['why'] === 'conflict'));
    assert.equal(await readFile(join(folder, 'turn'), 'utf8'), '43\n');
    await removeDir(folder);
  });
});

describe('a gateway that comes and goes', () => {
  test('after a crash the agent is back by itself', async () => {
    const identity = await ca.issue(newId());
    const first = await openLinkEnd(ca);
    await using agent = await startAgent(first, { identity, agentId: identity.state.agentId });
    await until(() => agent.links.length === 1, 'the link');
    await first.kill();
    await using second = await openLinkEnd(ca, { port: first.port, agents: first.agents });
    await until(() => agent.links.length === 2, 'the link again');
    assert.deepEqual(second.hub.locate(agent.agentId), { at: 'here' });
    first.hub.close();
  });

  test('a drain lets streams end, takes no new ones, and the agent dials again', async () => {
    const identity = await ca.issue(newId());
    const first = await openLinkEnd(ca);
    await using device = await openTcp((socket) => socket.pipe(socket));
    await using agent = await startAgent(first, { identity, agentId: identity.state.agentId, policy: 'reach tcp 127.0.0.1 *' });
    await until(() => agent.links.length === 1, 'the link');
    const stream = await first.hub.dialDevice(agent.agentId, '127.0.0.1', device.port, by);
    const drained = first.hub.drain(10_000);
    await assert.rejects(first.hub.dialDevice(agent.agentId, '127.0.0.1', device.port, by), isCode('offline'));
    stream.end('still here');
    assert.equal((await readAll(stream)).toString(), 'still here');
    await drained;
    assert.equal(first.hub.links().length, 0);
    await first.kill();
    await using second = await openLinkEnd(ca, { port: first.port, agents: first.agents });
    await until(() => agent.links.length === 2, 'the link again');
    assert.deepEqual(second.hub.locate(agent.agentId), { at: 'here' });
    first.hub.close();
  });
});

describe('certificates and policies that change', () => {
  test('401: the certificate is renewed once with the key, kept, and used', async () => {
    await using end = await openLinkEnd(ca);
    const identity = await ca.issue(newId());
    const { agentId } = identity.state;
    end.agents.set(identity.fingerprint, new Fault('unauthenticated', 'the certificate has expired'));
    let renewals = 0;
    end.renew = async (csr) => {
      renewals += 1;
      const { pem, fingerprint } = await ca.reissue(agentId, csr);
      end.agents.set(fingerprint, agentId);
      return { agentId, certificate: pem, ca: ca.caPem, addresses: [], now: Date.now() };
    };
    await using agent = await startAgent(end, { identity, agentId });
    await until(() => agent.links.length === 1, 'the link');
    assert.equal(renewals, 1);
    const kept = JSON.parse(await readFile(join(agent.folder, 'agent.json'), 'utf8')) as { certificate: string; key: string };
    assert.notEqual(kept.certificate, identity.state.certificate);
    assert.equal(kept.key, identity.state.key);
  });

  test('a changed policy file counts and is announced; a broken one changes nothing', { timeout: 30_000 }, async () => {
    await using end = await openLinkEnd(ca);
    const quick: Clock = { ...testClock, every: (periodMs, run) => testClock.every(periodMs === 5_000 ? 20 : periodMs, run) };
    await using agent = await startAgent(end, { policy: 'reach tcp 127.0.0.1 1', clock: quick });
    const announced = (line: string) => end.notes.some(({ policy }) => policy === JSON.stringify([line]));
    await until(() => announced('reach tcp 127.0.0.1 1'), 'the first policy');
    await writeFile(join(agent.folder, 'policy'), 'reach everything');
    await writeFile(join(agent.folder, 'policy'), 'reach tcp 127.0.0.1 2');
    await until(() => announced('reach tcp 127.0.0.1 2'), 'the second policy');
    await assert.rejects(end.hub.dialDevice(agent.agentId, '127.0.0.1', 1, by), isCode('forbidden'));
  });
});

describe('who is not let in', () => {
  test('an unknown and a locked certificate', async () => {
    await using end = await openLinkEnd(ca);
    const identity = await ca.issue(newId());
    end.agents.set(identity.fingerprint, new Fault('forbidden', 'this agent is locked'));
    await using agent = await startAgent(end, { identity, agentId: identity.state.agentId });
    await until(() => end.journal.some(({ event, fields }) => event === 'link.refused' && fields['why'] === 'forbidden'), 'the refusal');
    assert.equal(agent.links.length, 0);
  });

  test('the agent speaks to no other gateway', async () => {
    const otherCa = await buildTestCa();
    await using other = await openLinkEnd(otherCa);
    const identity = await ca.issue(newId());
    const seen: string[] = [];
    const folder = await makeStateDir(identity.state, other.address);
    const stop = new AbortController();
    const log = { ...silentLog, warn: (event: string, fields?: Readonly<Record<string, unknown>>) => void seen.push(`${event} ${String(fields?.['code'])}`) };
    const ended = runAgent({ stateDir: folder, clock: testClock, log, random: randomBytes, signal: stop.signal });
    await until(() => seen.length > 0, 'the warning');
    stop.abort();
    await ended;
    assert.equal(seen[0], 'link.unreachable unauthenticated');
    assert.deepEqual(other.journal, []);
    await removeDir(folder);
  });

  test('400 ends the agent: trying again is of no use', async () => {
    await using end = await openLinkEnd(ca);
    end.answerWith = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}';
    await using agent = await startAgent(end);
    assert.ok(isFault(await agent.ended, 'bad-input'));
  });
});

test('targets', () => {
  assert.equal(encodeTarget('2001:db8::1', 80), '[2001:db8::1]:80');
});
