// Flows to a device's UDP port through a whole gateway and a real agent: who may, what a visit says of it, what cuts it, what is left.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { realClock, realRandom } from '#app/real.ts';
import type { AuditLineView, VisitView } from '#api/shapes.ts';
import { isFault } from '#base/fault.ts';
import type { FaultCode } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { finishesCleanly, startGateway, until, type TestDevice, type TestGateway } from '#kit/gateway.ts';
import { openFlowListener } from '#net/flow-listener.ts';
import type { FlowListener } from '#net/flow-listener.ts';
import type { Flow, FlowEnd } from '#net/flow.ts';
import { connectCaller } from '#tunnel/caller.ts';
import type { Caller } from '#tunnel/caller.ts';

const isCode = (code: FaultCode, text: RegExp) => (thrown: unknown) => isFault(thrown, code) && text.test(thrown.message);
const endOf = (flow: Flow) => new Promise<FlowEnd>((resolve) => flow.onClosed(resolve));

/** Sends until something comes back: a datagram may be lost. */
async function ask(flow: Flow, text: string): Promise<string> {
  let got: string | undefined;
  flow.onDatagram((datagram) => (got = datagram.toString()));
  return await until('an answer', () => {
    flow.send(Buffer.from(text));
    return got;
  });
}

describe('a device with a UDP port', () => {
  let gateway: TestGateway;
  let echo: FlowListener;
  let device: TestDevice;
  let token: string;
  const callers: Caller[] = [];

  const call = async (secret: string): Promise<Caller> => {
    const caller = await connectCaller({ address: `http://localhost:${gateway.ports.http}`, token: secret, clock: realClock, random: realRandom });
    callers.push(caller);
    return caller;
  };
  const visits = async () => {
    const { json } = await gateway.api('GET', '/visits?limit=100', { token });
    return (json['items'] as VisitView[]).filter((visit) => visit.kind === 'udp');
  };

  before(async () => {
    gateway = await startGateway();
    ({ token } = await gateway.owner());
    echo = await openFlowListener({ address: '127.0.0.1', port: 0, clock: realClock, limits, onFlow: (flow) => flow.onDatagram((datagram) => void flow.send(datagram)) });
    device = await gateway.addDevice({ name: 'Meter', ports: [{ number: echo.port, kind: 'udp' }, { number: 9, kind: 'tcp' }] });
  });
  after(async () => {
    for (const caller of callers) caller.close();
    await Promise.all(callers.map(({ closed }) => closed));
    await finishesCleanly(gateway);
    await gateway.close();
    await echo.close('done');
  });

  test('a flow is a visit, with its bytes, from open to close', async () => {
    const caller = await call(token);
    const flow = await caller.openFlow('meter', echo.port);
    assert.equal(await ask(flow, 'hello'), 'hello');
    const [visit] = await visits();
    assert.equal(visit?.live, true);
    flow.close('done');
    const closed = await until('the visit to be closed', async () => (await visits()).find((each) => each.id === visit!.id && each.closedAt !== null));
    assert.equal(closed.why, 'ended');
    assert.ok(closed.bytesIn >= 5 && closed.bytesOut >= 5);
    const audit = (await gateway.api('GET', '/audit?limit=50', { token })).json['items'] as AuditLineView[];
    assert.ok(audit.some((line) => line.what === 'visit.opened' && line.detail['kind'] === 'udp' && line.detail['port'] === echo.port));
  });

  test('the port has to be listed, and as udp', async () => {
    const caller = await call(token);
    await assert.rejects(caller.openFlow('meter', 10), isCode('forbidden', /port 10 is not among the ports of Meter/));
    await assert.rejects(caller.openFlow('meter', 9), isCode('forbidden', /listed as tcp, not as udp/));
    await assert.rejects(caller.openDevice('meter', echo.port), isCode('forbidden', /listed as udp; Use: postern forward/));
    await assert.rejects(caller.openFlow('nowhere', 10), isCode('unreachable', /there is no device "nowhere"/));
  });

  test('the same number over TCP beside it', async () => {
    const ports = device.device.ports.map(({ number, name, kind }) => ({ number, name, kind }));
    const changed = await gateway.api('PATCH', `/devices/${device.device.id}`, { token, body: { ports: [...ports, { number: echo.port, name: 'TCP', kind: 'tcp' }] } });
    assert.equal(changed.status, 200, changed.text);
    const caller = await call(token);
    assert.equal(await ask(await caller.openFlow('meter', echo.port), 'udp'), 'udp');
    // The agent's policy has a line for UDP alone.
    await assert.rejects(caller.openDevice('meter', echo.port), isCode('forbidden', new RegExp(`add this line .*: reach tcp 127\\.0\\.0\\.1 ${echo.port}$`)));
  });

  test('a lock, a visit that is closed and a revoked token cut flows, and say so', async () => {
    const made = await gateway.api('POST', '/tokens', { cookie: (await gateway.owner()).cookie, body: { name: 'meter reader' } });
    const reader = await call(made.json['secret'] as string);
    const owner = await call(token);

    const first = await reader.openFlow('meter', echo.port);
    await ask(first, 'first');
    const [visit] = (await visits()).filter((each) => each.live);
    const firstEnd = endOf(first);
    assert.equal((await gateway.api('POST', `/visits/${visit!.id}/close`, { token })).status, 200);
    assert.ok((await firstEnd).fault);

    const second = await reader.openFlow('meter', echo.port);
    await ask(second, 'second');
    const secondEnd = endOf(second);
    assert.equal((await gateway.api('POST', `/devices/${device.device.id}/lock`, { token })).status, 200);
    assert.match((await secondEnd).why, /locked/);
    await assert.rejects(reader.openFlow('meter', echo.port), isCode('forbidden', /locked/));
    await gateway.api('POST', `/devices/${device.device.id}/unlock`, { token });

    const third = await reader.openFlow('meter', echo.port);
    await ask(third, 'third');
    const thirdEnd = endOf(third);
    const { id } = made.json['token'] as { id: string };
    assert.equal((await gateway.api('DELETE', `/tokens/${id}`, { token })).status, 200);
    assert.match((await thirdEnd).why, /revoked/);
    assert.equal(await ask(await owner.openFlow('meter', echo.port), 'still here'), 'still here');
  });

  test('an agent that goes away ends its flows, and a flow to it is refused as offline', async () => {
    const caller = await call(token);
    const flow = await caller.openFlow('meter', echo.port);
    await ask(flow, 'before');
    const ended = endOf(flow);
    await device.stop();
    assert.ok((await ended).fault);
    await until('it to be offline', () => gateway.live.linkOf(device.device.agentId) === undefined);
    await assert.rejects(caller.openFlow('meter', echo.port), isCode('offline', /offline since/));
    await device.start();
    assert.equal(await ask(await caller.openFlow('meter', echo.port), 'again'), 'again');
  });
});
