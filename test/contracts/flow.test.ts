import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { limits } from '#base/limits.ts';
import { openFlowListener } from '#net/flow-listener.ts';
import type { Flow } from '#net/flow.ts';
import { dialUdp } from '#net/udp.ts';
import { StreamFlow } from '#tunnel/stream-flow.ts';
import type { MuxStream } from '#tunnel/stream.ts';
import { bigBudget, buildEnd, testClock } from '../sim/ends.ts';
import { buildLine, seeded } from '../sim/line.ts';
import { flowContract } from './flow.ts';
import type { FlowPair } from './flow.ts';

/** The accepted side is there with its first datagram; whoever takes datagrams first gets it, so it is taken here. */
async function openUdp(): Promise<FlowPair> {
  const arrived = Promise.withResolvers<Flow>();
  const listener = await openFlowListener({ address: '127.0.0.1', port: 0, clock: testClock, limits, onFlow: arrived.resolve });
  const near = await dialUdp({ host: '127.0.0.1', port: listener.port }, limits);
  near.send(Buffer.from('hello'));
  const far = await arrived.promise;
  const first = Promise.withResolvers<void>();
  far.onDatagram(() => first.resolve());
  await first.promise;
  return { near, far, close: () => listener.close('done') };
}

async function openStreams(near: Duplex, far: Duplex, close: () => void): Promise<FlowPair> {
  const arrived = Promise.withResolvers<MuxStream>();
  const server = buildEnd('server', far, { onStream: arrived.resolve });
  const client = buildEnd('client', near);
  const options = { clock: testClock, limits, budget: bigBudget() };
  const opened = client.open(Buffer.alloc(0));
  return {
    near: new StreamFlow(opened, options),
    far: new StreamFlow(await arrived.promise, options),
    async close() {
      client.close('done');
      server.close('done');
      await Promise.all([client.closed, server.closed]);
      near.destroy();
      far.destroy();
      close();
    },
  };
}

async function openTcp(): Promise<FlowPair> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const [far] = (await once(server, 'connection')) as [Socket];
  return await openStreams(near, far, () => void server.close());
}

flowContract({ name: 'UDP', open: openUdp, tellsEnd: false });
flowContract({ name: 'tunnel over TCP', open: openTcp, tellsEnd: true });
flowContract({
  name: 'tunnel over a line in memory',
  async open() {
    const [near, far] = buildLine({ delayMs: 1, pieceBytesMax: 900, underWayBytesMax: 100_000, random: seeded(5) });
    return await openStreams(near, far, () => {});
  },
  tellsEnd: true,
});
