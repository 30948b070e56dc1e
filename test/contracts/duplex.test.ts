import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { realClock } from '#app/real.ts';
import { DoorStream } from '#tunnel/door-stream.ts';
import type { MuxStream } from '#tunnel/stream.ts';
import { buildEnd } from '../sim/ends.ts';
import { buildLine, seeded } from '../sim/line.ts';
import { buildTestCa } from '../sim/link-end.ts';
import { duplexContract } from './duplex.ts';
import type { DuplexPair } from './duplex.ts';

async function openTcp(): Promise<{ near: Socket; far: Socket; close: () => void }> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const [far] = (await once(server, 'connection')) as [Socket];
  return { near, far, close: () => void server.close() };
}

const ca = await buildTestCa();

async function openTls(): Promise<{ near: Socket; far: Socket; close: () => void }> {
  const server = createTlsServer({ key: ca.leafKey, cert: ca.leafPem, allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // Node takes allowHalfOpen here (tls.connect hands its options to the socket); its types do not know.
  const options = { port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true, rejectUnauthorized: false };
  const near = connectTls(options as ConnectionOptions);
  const [[far]] = (await Promise.all([once(server, 'secureConnection'), once(near, 'secureConnect')])) as unknown as [[Socket]];
  return { near, far, close: () => void server.close() };
}

async function openStreamOver(carrier: { near: Duplex; far: Duplex; close: () => void }, isSecure: boolean): Promise<DuplexPair> {
  const arrived = Promise.withResolvers<MuxStream>();
  const server = buildEnd('server', carrier.far, { isSecure, onStream: arrived.resolve });
  const client = buildEnd('client', carrier.near, { isSecure });
  const near = client.open(Buffer.alloc(0));
  const far = await arrived.promise;
  return {
    near,
    far,
    async close() {
      client.close('done');
      server.close('done');
      await Promise.all([client.closed, server.closed]);
      carrier.near.destroy();
      carrier.far.destroy();
      carrier.close();
    },
  };
}

/** Socket buffers grow by themselves on loopback. */
const kernelBytesMax = 32 * 1024 * 1024;
duplexContract({ name: 'TCP', open: openTcp, unreadBytesMax: kernelBytesMax, brokenOnReset: false });
duplexContract({ name: 'TLS', open: openTls, unreadBytesMax: kernelBytesMax, brokenOnReset: false });
// The window, what the writer holds before 'drain', and one write.
const tunnelBytesMax = 256 * 1024 + 64 * 1024 + 2 * 64 * 1024;
duplexContract({ name: 'tunnel over TLS', open: async () => openStreamOver(await openTls(), true), unreadBytesMax: tunnelBytesMax, brokenOnReset: true });
duplexContract({ name: 'tunnel over TCP, masked', open: async () => openStreamOver(await openTcp(), false), unreadBytesMax: tunnelBytesMax, brokenOnReset: true });
duplexContract({
  name: 'tunnel over a line in memory',
  async open() {
    const [near, far] = buildLine({ delayMs: 0, pieceBytesMax: 9_000, underWayBytesMax: 100_000, random: seeded(2) });
    return await openStreamOver({ near, far, close() {} }, false);
  },
  unreadBytesMax: tunnelBytesMax,
  brokenOnReset: true,
});

/** Both ends at once, as no gateway has it: what one takes and gives is then what the other does. */
const doorOf = (stream: Duplex) => new DoorStream(stream, { clock: realClock, lingerMs: 500, from: { address: '192.0.2.9', port: 49_152 }, at: { address: '192.0.2.1', port: 443 } });
const inMemory = () => buildLine({ delayMs: 0, pieceBytesMax: 9_000, underWayBytesMax: 100_000, random: seeded(3) });
for (const side of ['far', 'near'] as const) {
  duplexContract({
    name: `a door in the tunnel, at the ${side} end`,
    async open() {
      const [near, far] = inMemory();
      const pair = await openStreamOver({ near, far, close() {} }, false);
      return { ...pair, [side]: doorOf(pair[side]) };
    },
    unreadBytesMax: tunnelBytesMax + 3 * 64 * 1024,
    brokenOnReset: true,
  });
}
