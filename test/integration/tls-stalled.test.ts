// Clients that say hello and no more, and names that nobody ever gave a device.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { startGateway, type TestGateway } from '../kit/gateway.ts';

let gateway: TestGateway;
before(async () => {
  gateway = await startGateway({ limits: { tlsHandshakesMax: 2, tlsHandshakeTimeoutMs: 3_600_000 } });
});
after(() => gateway.close());

/** The bytes of a ClientHello, as a real client writes them. */
async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connectTls({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', servername: 'localhost' }).on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [hello] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return hello;
}

async function handshake(servername: string): Promise<string[]> {
  const socket = connectTls({ port: gateway.ports.https, host: '127.0.0.1', servername, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const names = (socket.getPeerX509Certificate()?.subjectAltName ?? '').split(', ');
  socket.destroy();
  return names;
}

test('handshakes that stall do not keep others waiting', async () => {
  const hello = await clientHello();
  const stalled = Array.from({ length: 5 }, () => connect(gateway.ports.https, '127.0.0.1').on('error', () => {}));
  for (const socket of stalled) {
    socket.write(hello);
    await once(socket, 'data'); // its flight has come, so it holds a slot, or has held one
  }
  assert.ok((await handshake('localhost')).includes('DNS:localhost'));
  for (const socket of stalled) socket.destroy();
});

test('a name of a port that the device does not have gets no certificate of its own', async () => {
  const { device } = await gateway.addDevice({ name: 'Meter', ports: [{ number: 8_081, kind: 'http' }] });
  assert.equal(device.label, 'meter');
  assert.deepEqual(await handshake('meter.localhost'), ['DNS:meter.localhost']);
  assert.deepEqual(await handshake('meter--8081.localhost'), ['DNS:meter--8081.localhost']);
  for (const name of ['meter--1.localhost', 'meter--65535.localhost', 'other.localhost']) assert.ok((await handshake(name)).includes('DNS:localhost'), name);
  // Each would be a key made, a signature and a file: 65,535 of them for one label that somebody guessed.
  assert.deepEqual(readdirSync(gateway.dataDir).filter((name) => name.startsWith('leaf.meter')).sort(), ['leaf.meter--8081.localhost.pem', 'leaf.meter.localhost.pem']);
});
