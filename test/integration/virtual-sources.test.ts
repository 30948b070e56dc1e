// Which devices are listened for: job sources by device, serial and place, addresses that they name; and what ends a call.
import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { JobSource } from '#model/place-rows.ts';
import { startGateway, until, type TestDevice, type TestGateway } from '../kit/gateway.ts';

function ask(address: string, port: number): Promise<{ text: string; socket: Socket }> {
  return new Promise((done, failed) => {
    const socket = connect({ host: address, port });
    socket.on('error', failed);
    socket.on('close', () => failed(new Error('closed')));
    socket.once('data', (piece) => done({ text: piece.toString(), socket }));
    socket.write('who');
  });
}

describe('job sources and virtual addresses', () => {
  let gateway: TestGateway;
  let token: string;
  let device: TestDevice;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', () => void socket.write('here'));
  });
  const port = 11_000 + ((process.pid + 4_501) % 9_000);
  let rowCount = 0;
  const source = (change: Partial<JobSource>): JobSource => ({
    id: `${device.device.id.slice(0, -4)}${String(++rowCount).padStart(4, '0')}`, customerId: device.device.customerId, application: 'scan', deviceId: null, serial: null, siteId: null, address: null, as: null, note: '', createdAt: 1, ...change,
  });
  const publish = (...put: JobSource[]) => {
    gateway.tables.jobSources.publish({ put, removed: Array.from(gateway.tables.jobSources.values(), (row) => row.id) });
  };
  const isListening = async () => {
    const items = (await gateway.api('GET', '/virtual-addresses', { token })).json['items'] as { state: string; address: string }[];
    return items.find((each) => each.state === 'open');
  };
  const release = () => gateway.api('DELETE', `/devices/${device.device.id}/virtual-address`, { token });

  before(async () => {
    await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
    const to = (server.address() as AddressInfo).port;
    const application = (callbacks: object[], assigned: boolean) => ({ tell: 'virtual', assigned, callbacks });
    gateway = await startGateway({
      config: { addressPool: { networks: ['127.72.0.0/16'] } },
      routes: [
        { name: 'scan', host: 'scan.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: 9 }, application: application([{ transport: 'tcp', port, to }], true) },
        { name: 'plain', host: 'plain.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: 9 } },
      ],
    });
    ({ token } = await gateway.owner());
    device = await gateway.addDevice({ name: 'Printer', ports: [{ number: to, kind: 'tcp' }] });
    await gateway.api('PATCH', `/devices/${device.device.id}`, { token, body: { serial: 'SN-7' } });
  });
  after(async () => {
    await gateway.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => server.close(done));
  });

  test('by serial, by place, and no more when the row is gone', async () => {
    for (const row of [source({ serial: 'SN-7' }), source({ siteId: device.device.siteId, address: '127.0.0.1' })]) {
      publish(row);
      const { address } = await until('an address that is listened at', isListening);
      const { text, socket } = await ask(address, port);
      assert.equal(text, 'here');
      socket.destroy();
      publish();
      await until('nobody to listen', () => ask(address, port).then(({ socket: open }) => void open.destroy(), (thrown: NodeJS.ErrnoException) => thrown.code === 'ECONNREFUSED'));
      assert.equal((await release()).status, 200);
    }
    for (const row of [source({ serial: 'SN-8' }), source({ siteId: device.device.siteId, address: '127.0.0.2' }), source({ serial: 'SN-7', application: 'other' })]) publish(row);
    assert.equal(gateway.tables.virtualAddresses.size, 0, 'another serial, place or application');
  });

  test('an address that a row names is listened at, and nobody else is given it', async () => {
    publish(source({ deviceId: device.device.id, as: '127.72.8.8' }));
    const text = await until('somebody to listen at it', () => ask('127.72.8.8', port).then(({ text: said, socket }) => { socket.destroy(); return said; }, () => null));
    assert.equal(text, 'here');
    assert.equal(gateway.tables.virtualAddresses.size, 0, 'it needs none of its own');
    const refused = await gateway.api('PUT', `/devices/${device.device.id}/virtual-address`, { token, body: { address: '127.72.8.8' } });
    assert.equal(refused.status, 409, refused.text);
  });

  test('a device that is reached another way, and an agent that is revoked, cut what runs', async () => {
    publish(source({ deviceId: device.device.id }));
    const { address } = await until('an address that is listened at', isListening);
    const cutBy = async (act: () => Promise<unknown>) => {
      const { socket } = await ask(address, port);
      const closed = new Promise((done) => socket.once('close', done));
      await act();
      await closed;
    };
    await cutBy(() => gateway.api('PATCH', `/devices/${device.device.id}`, { token, body: { host: '127.0.0.5' } }));
    await assert.rejects(ask(address, port), (thrown: NodeJS.ErrnoException) => thrown.code === 'ECONNRESET', 'the policy names 127.0.0.1 alone');
    await gateway.api('PATCH', `/devices/${device.device.id}`, { token, body: { host: '127.0.0.1' } });
    await cutBy(() => gateway.api('POST', `/agents/${device.device.agentId}/lock`, { token }));
    await assert.rejects(ask(address, port), (thrown: NodeJS.ErrnoException) => thrown.code === 'ECONNREFUSED', 'nobody listens for a locked agent');
    await gateway.api('POST', `/agents/${device.device.agentId}/unlock`, { token });
    // A refused agent waits before it tries again; a new start does not.
    await device.stop();
    await device.start();
    await until('somebody to listen', isListening);
    await cutBy(() => gateway.api('POST', `/agents/${device.device.agentId}/revoke`, { token }));
    await assert.rejects(ask(address, port), (thrown: NodeJS.ErrnoException) => thrown.code === 'ECONNREFUSED');
  });
});
