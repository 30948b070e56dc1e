import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { realClock } from '#app/real.ts';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { until } from '../../test/sim/ends.ts';
import { openFlowListener } from './flow-listener.ts';
import type { FlowListener, FlowListenerOptions } from './flow-listener.ts';
import type { Flow } from './flow.ts';

interface Bed {
  readonly listener: FlowListener;
  readonly flows: Flow[];
  client(): Promise<Socket>;
  ask(socket: Socket, text: string): void;
  [Symbol.asyncDispose](): Promise<void>;
}

async function open(options: Partial<FlowListenerOptions> = {}): Promise<Bed> {
  const flows: Flow[] = [];
  const clients: Socket[] = [];
  const listener = await openFlowListener({ address: '127.0.0.1', port: 0, clock: realClock, limits, onFlow: (flow) => void flows.push(flow), ...options });
  return {
    listener, flows,
    async client() {
      const socket = createSocket('udp4');
      clients.push(socket);
      await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
      return socket;
    },
    ask: (socket, text) => socket.send(text, listener.port, '127.0.0.1'),
    async [Symbol.asyncDispose]() {
      for (const socket of clients) socket.close();
      await listener.close('done');
    },
  };
}

test('each source is a flow; answers go to the source that asked', async () => {
  await using bed = await open();
  const [a, b] = [await bed.client(), await bed.client()];
  bed.ask(a, 'from a');
  await until(() => bed.flows.length === 1, 'the first flow');
  bed.ask(b, 'from b');
  await until(() => bed.flows.length === 2, 'the second flow');
  for (const flow of bed.flows) flow.onDatagram((datagram) => flow.send(Buffer.from(`to ${datagram.toString()}`)));
  const heard = (socket: Socket) => once(socket, 'message').then(([datagram]) => (datagram as Buffer).toString());
  // What came before somebody took it is given then.
  bed.ask(a, 'again a');
  assert.match(await heard(a), /^to (from|again) a$/);
  bed.ask(b, 'again b');
  assert.match(await heard(b), /^to (from|again) b$/);
  assert.equal(bed.flows.length, 2);
  assert.equal(bed.listener.flows, 2);
});

test('before a flow is taken it keeps a few datagrams, the youngest', async () => {
  await using bed = await open({ limits: { ...limits, flowEarlyDatagramsMax: 3 } });
  const client = await bed.client();
  for (let i = 0; i < 6; i++) bed.ask(client, String(i));
  await until(() => bed.flows[0]?.counts.received === 6, 'all six');
  const got: string[] = [];
  bed.flows[0]!.onDatagram((datagram) => void got.push(datagram.toString()));
  assert.deepEqual(got, ['3', '4', '5']);
  assert.equal(bed.flows[0]!.counts.dropped, 3);
});

test('too many sources: the one that was silent longest makes room', async () => {
  let now = 0;
  const clock: Clock = { ...realClock, monoMs: () => now };
  await using bed = await open({ clock, limits: { ...limits, flowsPerListenerMax: 2 } });
  const [a, b, c] = [await bed.client(), await bed.client(), await bed.client()];
  bed.ask(a, 'a');
  await until(() => bed.flows.length === 1, 'a');
  now += 10;
  bed.ask(b, 'b');
  await until(() => bed.flows.length === 2, 'b');
  now += 10;
  bed.ask(a, 'a again');
  await until(() => bed.flows[0]!.counts.received === 2, 'a again');
  now += 10;
  bed.ask(c, 'c');
  await until(() => bed.flows.length === 3, 'c');
  assert.deepEqual(bed.flows.map((flow) => flow.isClosed), [false, true, false]);
  assert.equal(bed.listener.flows, 2);
});

test('after a flow that failed its source rests; one that ended in order begins anew at once', async () => {
  let now = 0;
  const clock: Clock = { ...realClock, monoMs: () => now };
  await using bed = await open({ clock });
  const [client, other] = [await bed.client(), await bed.client()];
  bed.ask(client, 'one');
  await until(() => bed.flows.length === 1, 'the flow');
  bed.flows[0]!.close('idle');
  bed.ask(client, 'two');
  await until(() => bed.flows.length === 2, 'another flow');
  bed.flows[1]!.close(new Fault('unreachable', 'nobody listens'));
  bed.ask(client, 'three');
  bed.ask(other, 'another source');
  await until(() => bed.flows.length === 3, 'the other source');
  now += limits.flowRestMs - 1;
  bed.ask(client, 'four');
  bed.ask(other, 'once more');
  await until(() => bed.flows[2]!.counts.received === 2, 'what came after it');
  assert.equal(bed.flows.length, 3);
  now += 1;
  bed.ask(client, 'five');
  await until(() => bed.flows.length === 4, 'the next try');
});

test('a port in use', async () => {
  await using bed = await open();
  await assert.rejects(openFlowListener({ address: '127.0.0.1', port: bed.listener.port, clock: realClock, limits, onFlow: () => {} }), (thrown) => isFault(thrown, 'conflict') && thrown.message.includes(String(bed.listener.port)));
});
