// A route that leads to a device by its name: nobody signs in there and there is no visit, but a lock holds all the same.
import assert from 'node:assert/strict';
import { connect, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { finishesCleanly, request, startGateway, until } from '../kit/gateway.ts';
import { answer, startOrigin } from '../kit/origin.ts';
import { testLeaf } from '../kit/test-leaf.ts';

test('a locked device is not reached over a connection that a route has open, and what runs there is cut', async () => {
  await using web = await startOrigin();
  await using gateway = await startGateway({ routes: [{ name: 'by-name', host: 'meter.localhost.test', target: { kind: 'device', device: 'meter', port: web.port } }] });
  const meter = await gateway.addDevice({ name: 'Meter', ports: [{ number: web.port, kind: 'http' }] });
  const { token } = await gateway.owner();
  const host = 'meter.localhost.test';
  const ask = () => request(gateway.ports.http, { path: '/', headers: { host } });
  web.on('/', answer('reading'));
  web.on('/begun', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun');
  assert.equal((await ask()).status, 200);
  assert.equal(gateway.leftovers().upstreams > 0, true, 'a connection waits for the next exchange');
  // One that has begun and does not end: its head has come, its body has not.
  const socket = connect(gateway.ports.http, '127.0.0.1');
  let text = '';
  let closed = false;
  socket.on('data', (piece) => void (text += piece.toString())).on('close', () => void (closed = true)).on('error', () => {});
  socket.write(`GET /begun HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  await until('the answer begins', () => text.endsWith('begun'));
  assert.equal((await ask()).status, 200);

  assert.equal((await gateway.api('POST', `/devices/${meter.device.id}/lock`, { token })).status, 200);
  await until('what ran is cut', () => closed);
  const refused = await ask();
  assert.equal(refused.status, 403);
  assert.match(refused.body.toString(), /locked/);
  assert.equal((await gateway.api('POST', `/devices/${meter.device.id}/unlock`, { token })).status, 200);
  assert.equal((await ask()).status, 200);

  // The device came after the configuration that names it: whoever wrote that cannot have meant this one for certain.
  const doctor = await gateway.api('POST', '/doctor', { token });
  const finding = (doctor.json['findings'] as { id: string; status: string; evidence: string[] }[]).find((each) => each.id === 'routes');
  assert.equal(finding?.status, 'warning');
  assert.match(finding?.evidence[0] ?? '', /^by-name: "meter" means meter, which is there since /);
  await meter.stop();
  await finishesCleanly(gateway);
});

test('a connection over which something runs while its certificate is forgotten is not used again', async () => {
  const conns: TLSSocket[] = [];
  const asked: string[] = [];
  const server = createTlsServer(await testLeaf(), (socket) => {
    conns.push(socket);
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => {
      const path = piece.toString('latin1').split(' ')[1]!;
      asked.push(path);
      if (path !== '/slow') socket.write(answer('page'));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  const { port } = server.address() as AddressInfo;
  const host = 'panel.localhost.test';
  await using gateway = await startGateway({ routes: [{ name: 'panel', host, target: { kind: 'device', device: 'panel', port } }] });
  const panel = await gateway.addDevice({ name: 'Panel', ports: [{ number: port, kind: 'https' }] });
  const { token } = await gateway.owner();
  const see = async (path: string) => assert.equal((await request(gateway.ports.http, { path, headers: { host } })).body.toString(), 'page');
  await see('/');
  await until('the fingerprint', () => gateway.tables.devices.get(panel.device.id)!.ports[0]!.fingerprint !== null);
  await see('/');
  await see('/');
  const before = conns.length;
  const slow = see('/slow');
  await until('the slow one', () => asked.at(-1) === '/slow');
  assert.equal(conns.length, before, 'used again while nothing changes');
  assert.ok((await gateway.api('DELETE', `/devices/${panel.device.id}/ports/${port}/fingerprint`, { token })).status < 300);
  conns.at(-1)!.write(answer('page'));
  await slow;
  await see('/');
  assert.equal(conns.length, before + 1);
  await panel.stop();
  await finishesCleanly(gateway);
  await new Promise((done) => server.close(done));
});
