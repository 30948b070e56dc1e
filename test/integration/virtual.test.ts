// Virtual addresses through a whole gateway and real agents: given, listened at, called back over TCP and UDP, judged, cut; over the API.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { DeviceProfile, JobSource } from '#model/place-rows.ts';
import { finishesCleanly, startGateway, until, type TestDevice, type TestGateway } from '../kit/gateway.ts';

/** A device that says who it is, over TCP and UDP at ports of its own. */
async function startBox(name: string) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (piece) => void socket.write(`${name} ${piece.toString()}`));
  });
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  const udp = createSocket('udp4');
  await new Promise<void>((done) => void udp.bind(0, '127.0.0.1', done));
  udp.on('message', (datagram, from) => udp.send(`${name} ${datagram.toString()}`, from.port, from.address));
  return {
    tcp: (server.address() as AddressInfo).port,
    udp: udp.address().port,
    async close() {
      for (const socket of sockets) socket.destroy();
      udp.close();
      await new Promise((done) => server.close(done));
    },
  };
}

function askTcp(address: string, port: number, localAddress?: string): Promise<{ text: string; socket: Socket }> {
  return new Promise((done, failed) => {
    const socket = connect({ host: address, port, ...(localAddress === undefined ? {} : { localAddress }) });
    socket.on('error', failed);
    socket.on('close', () => failed(new Error('closed')));
    socket.once('data', (piece) => done({ text: piece.toString(), socket }));
    socket.write('who');
  });
}

async function askUdp(address: string, port: number, waitMs = 5_000): Promise<string | null> {
  const socket = createSocket('udp4');
  try {
    return await new Promise((done) => {
      const timer = setTimeout(() => done(null), waitMs);
      socket.on('message', (datagram, from) => {
        clearTimeout(timer);
        assert.equal(from.address, address);
        done(datagram.toString());
      });
      socket.send('who', port, address);
    });
  } finally {
    socket.close();
  }
}

describe('virtual addresses', () => {
  let gateway: TestGateway;
  let token: string;
  const boxes: Awaited<ReturnType<typeof startBox>>[] = [];
  const devices: TestDevice[] = [];
  // Outside of what the system gives by itself.
  const tcpPort = 11_000 + (process.pid % 9_000);
  const udpPort = tcpPort + 1;
  const pool = '127.72.0.0/16';

  const config = (callers?: string[]) => ({
    addressPool: { networks: [pool], ...(callers ? { callers } : {}) },
  });
  const routes = () => [
    {
      name: 'scan', host: 'scan.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: 9 },
      application: { tell: 'virtual', callbacks: [{ transport: 'tcp', port: tcpPort, to: boxes[0]!.tcp }, { transport: 'udp', port: udpPort, to: boxes[0]!.udp }] },
    },
  ];
  const addressOf = (device: TestDevice) => gateway.tables.virtualAddresses.get(device.device.id)?.address ?? null;
  const list = async () => (await gateway.api('GET', '/virtual-addresses', { token })).json['items'] as { deviceId: string; address: string; state: string; why: string | null; pinned: boolean; calls: number; refused: number; applications: string[] }[];
  const viewOf = async (device: TestDevice) => (await list()).find((each) => each.deviceId === device.device.id);
  const isOpen = (device: TestDevice) => until('its ports to be open', async () => (await viewOf(device))?.state === 'open');

  before(async () => {
    boxes.push(await startBox('one'), await startBox('two'));
    gateway = await startGateway({ config: config(), routes: routes() });
    ({ token } = await gateway.owner());
    devices.push(
      await gateway.addDevice({ name: 'One', host: '127.0.0.1', ports: [{ number: boxes[0]!.tcp, kind: 'tcp' }, { number: boxes[0]!.udp, kind: 'udp' }] }),
      await gateway.addDevice({ name: 'Two', host: '127.0.0.1', ports: [{ number: boxes[0]!.tcp, kind: 'tcp' }, { number: boxes[0]!.udp, kind: 'udp' }] }),
    );
  });
  after(async () => {
    await gateway.close();
    for (const box of boxes) await box.close();
  });

  test('a device has none before somebody needs one; a job source gives it one, in the store before it is used', async () => {
    assert.equal(addressOf(devices[0]!), null);
    const { id, customerId } = devices[0]!.device;
    const source: JobSource = { id: `${id.slice(0, -4)}0001`, customerId, application: 'scan', deviceId: id, serial: null, siteId: null, address: null, as: null, note: '', createdAt: 1 };
    gateway.tables.jobSources.publish({ put: [source] });
    const address = await until('an address', () => addressOf(devices[0]!));
    assert.match(address, /^127\.72\.\d+\.\d+$/);
    assert.equal(addressOf(devices[1]!), null, 'who is no job source has none');
    const lines = (await gateway.api('GET', '/audit?limit=20&what=address.given', { token })).json['items'] as { subjectId: string; detail: { address: string }; actor: { kind: string } }[];
    assert.deepEqual(lines.map((line) => [line.subjectId, line.detail.address, line.actor.kind]), [[id, address, 'gateway']]);
    await isOpen(devices[0]!);
    assert.deepEqual((await viewOf(devices[0]!))?.applications, ['scan']);
  });

  test('the server calls the device back where it saw it, over TCP and UDP', async () => {
    const address = addressOf(devices[0]!)!;
    const { text, socket } = await askTcp(address, tcpPort);
    assert.equal(text, 'one who');
    socket.destroy();
    assert.equal(await askUdp(address, udpPort), 'one who');
    const view = await until('its counts', async () => {
      const seen = await viewOf(devices[0]!);
      return seen && seen.calls === 2 ? seen : null;
    });
    assert.equal(view.refused, 0);
  });

  test('a person pins, the pool refuses what it cannot give, and an address that moved is listened at where it is now', async () => {
    const put = (device: TestDevice, address: unknown) => gateway.api('PUT', `/devices/${device.device.id}/virtual-address`, { token, body: { address } });
    const former = addressOf(devices[0]!)!;
    const pinned = await put(devices[0]!, '127.72.0.5');
    assert.equal(pinned.status, 200, pinned.text);
    assert.deepEqual([pinned.json['address'], pinned.json['pinned']], ['127.72.0.5', true]);
    await isOpen(devices[0]!);
    const { text, socket } = await askTcp('127.72.0.5', tcpPort);
    assert.equal(text, 'one who');
    socket.destroy();
    await assert.rejects(askTcp(former, tcpPort));
    for (const [address, status] of [['127.72.0.5', 409], ['127.72.0.1', 400], ['127.72.9.255', 400], ['192.0.2.1', 400], ['nonsense', 400], [7, 400]] as const) assert.equal((await put(devices[1]!, address)).status, status, String(address));
    const second = await put(devices[1]!, null);
    assert.equal(second.status, 200, second.text);
    assert.notEqual(second.json['address'], former, 'what was taken back rests');
    assert.equal(second.json['state'], 'idle');
    assert.equal((await gateway.api('DELETE', `/devices/${devices[1]!.device.id}/virtual-address`, { token })).status, 200);
    assert.equal((await gateway.api('DELETE', `/devices/${devices[1]!.device.id}/virtual-address`, { token })).status, 404);
    const said = (await gateway.api('GET', '/address-pool', { token })).json as { used: number; resting: number; networks: { network: string; used: number }[]; listening: { open: number }; checks: { id: string; status: string; verdict: string }[]; callers: { machine: boolean } };
    assert.deepEqual([said.used, said.resting, said.networks, said.listening.open, said.callers.machine], [1, 2, [{ network: pool, capacity: 65_023, used: 1 }], 2, true]);
    assert.deepEqual(said.checks.map(({ id, status }) => [id, status]), [['address-pool', 'ok'], ['callback-ports', 'ok']], JSON.stringify(said.checks));
  });

  test('rights: who may only see changes nothing, and nobody knows nothing', async () => {
    assert.equal((await gateway.api('GET', '/address-pool')).status, 401);
    assert.equal((await gateway.api('PUT', `/devices/${devices[0]!.device.id}/virtual-address`, { body: { address: null } })).status, 401);
  });

  test('doctor says that the pool leads here', async () => {
    const { json } = await gateway.api('POST', '/doctor', { token });
    const findings = json['findings'] as { id: string; status: string; evidence: string[] }[];
    const found = findings.find((each) => each.id === 'address-pool')!;
    assert.equal(found.status, 'ok');
    assert.ok(found.evidence.some((line) => line.includes('needs no route')), found.evidence.join('\n'));
    assert.equal(findings.find((each) => each.id === 'callback-ports')?.status, 'ok');
  });

  test('a lock cuts what runs and shuts the ports at once; unlocking opens them', async () => {
    const { socket } = await askTcp('127.72.0.5', tcpPort);
    const closed = new Promise((done) => socket.once('close', done));
    assert.equal((await gateway.api('POST', `/devices/${devices[0]!.device.id}/lock`, { token })).status, 200);
    await closed;
    await assert.rejects(askTcp('127.72.0.5', tcpPort), (thrown: NodeJS.ErrnoException) => thrown.code === 'ECONNREFUSED');
    assert.equal((await viewOf(devices[0]!))?.why, 'the device is locked');
    await gateway.api('POST', `/devices/${devices[0]!.device.id}/unlock`, { token });
    await isOpen(devices[0]!);
    const again = await askTcp('127.72.0.5', tcpPort);
    assert.equal(again.text, 'one who');
    again.socket.destroy();
  });

  test('while another device answers at its address it is not called back: what is for it would come to the other', async () => {
    const { id, customerId, host } = devices[0]!.device;
    const { socket } = await askTcp('127.72.0.5', tcpPort);
    const closed = new Promise((done) => socket.once('close', done));
    const failure = { code: 'different', question: 'snmp', address: host, agent: '', from: null, found: { serial: 'SN-OTHER', mac: null }, message: '', remedy: '' };
    const profile: DeviceProfile = { deviceId: id, customerId, profile: null, readAt: null, address: null, agentId: null, trust: 'different', mac: null, triedAt: 1, failure };
    gateway.tables.deviceProfiles.publish({ put: [profile] });
    await closed;
    await assert.rejects(askTcp('127.72.0.5', tcpPort), (thrown: NodeJS.ErrnoException) => thrown.code === 'ECONNRESET');
    assert.equal(await askUdp('127.72.0.5', udpPort, 200), null);
    const lines = (await gateway.api('GET', '/journal?limit=50&event=callback.refused', { token })).json['items'] as { fields: { why: string } }[];
    assert.match(lines[0]!.fields.why, /^another device answers at 127\.0\.0\.1, /);
    gateway.tables.deviceProfiles.publish({ removed: [id] });
    const again = await askTcp('127.72.0.5', tcpPort);
    assert.equal(again.text, 'one who');
    again.socket.destroy();
  });

  test('an agent that is offline: the caller is refused, the journal says why; it comes back, and calls go on', async () => {
    await devices[0]!.stop();
    await until('the link to be gone', () => !gateway.live.linkOf(devices[0]!.device.agentId!));
    await assert.rejects(askTcp('127.72.0.5', tcpPort), (thrown: NodeJS.ErrnoException) => thrown.code === 'ECONNRESET');
    const lines = (await gateway.api('GET', '/journal?limit=50&event=callback.failed', { token })).json['items'] as { fields: { why: string; address: string } }[];
    assert.match(lines[0]!.fields.why, /offline/);
    assert.equal(lines[0]!.fields.address, '127.72.0.5');
    await devices[0]!.start();
    const { text, socket } = await askTcp('127.72.0.5', tcpPort);
    assert.equal(text, 'one who');
    socket.destroy();
  });

  test('who is not listed is refused', async () => {
    const { json } = await gateway.api('GET', '/config', { token });
    const document = json['config'] as Record<string, unknown>;
    const changed = await gateway.api('PUT', '/config', { token, headers: { 'if-match': `"${String(json['revision'])}"` }, body: { ...document, ...config(['127.0.0.9/32']) } });
    assert.equal(changed.status, 200, changed.text);
    await until('the callers to be judged anew', () => askTcp('127.72.0.5', tcpPort).then(({ socket }) => !socket.destroy(), () => true));
    await assert.rejects(askTcp('127.72.0.5', tcpPort), (thrown: NodeJS.ErrnoException) => thrown.code === 'ECONNRESET');
    assert.equal(await askUdp('127.72.0.5', udpPort, 200), null);
    const { text, socket } = await askTcp('127.72.0.5', tcpPort, '127.0.0.9');
    assert.equal(text, 'one who');
    socket.destroy();
    const all = (await gateway.api('GET', '/journal?limit=50&event=callback.refused', { token })).json['items'] as { fields: { from: string; why: string } }[];
    const lines = all.filter(({ fields }) => fields.why.startsWith('the caller is no server'));
    assert.equal(lines.length, 1, 'one line for all of them');
    assert.equal(lines[0]!.fields.from, '127.0.0.1');
  });

  test('a port that changes, and a pool that changes: everything follows', async () => {
    const { json } = await gateway.api('GET', '/config', { token });
    const document = json['config'] as { routes: { application: { callbacks: object[] } }[] } & Record<string, unknown>;
    const [route] = document.routes as [{ application: object }];
    const next = { ...document, addressPool: { networks: ['127.73.0.0/16'] }, routes: [{ ...route, application: { ...route.application, callbacks: [{ transport: 'tcp', port: udpPort, to: boxes[1]!.tcp }] } }] };
    const changed = await gateway.api('PUT', '/config', { token, headers: { 'if-match': `"${String(json['revision'])}"` }, body: next });
    assert.equal(changed.status, 200, changed.text);
    const seen = await until('what is pinned elsewhere to be said', async () => {
      const view = await viewOf(devices[0]!);
      return view?.state === 'outside' ? view : null;
    });
    assert.equal(seen.address, '127.72.0.5', 'what a person chose is not changed by itself');
    await assert.rejects(askTcp('127.72.0.5', tcpPort));
    const moved = await gateway.api('PUT', `/devices/${devices[0]!.device.id}/virtual-address`, { token, body: { address: null } });
    assert.equal(moved.status, 200, moved.text);
    const address = moved.json['address'] as string;
    assert.match(address, /^127\.73\./);
    await isOpen(devices[0]!);
    // Its policy has no line for that port: the agent says no, and so do we.
    await assert.rejects(askTcp(address, udpPort));
    const lines = (await gateway.api('GET', '/journal?limit=50&event=callback.failed', { token })).json['items'] as { fields: { why: string } }[];
    assert.match(lines[0]!.fields.why, /policy|reach tcp/);
  });

  test('a device that is removed gives its address back; nothing is left', async () => {
    const address = addressOf(devices[0]!)!;
    assert.equal((await gateway.api('DELETE', `/devices/${devices[0]!.device.id}`, { token })).status, 200);
    assert.equal(addressOf(devices[0]!), null);
    assert.equal(gateway.tables.releasedAddresses.get(address)?.deviceId, devices[0]!.device.id);
    await until('its ports to be shut', () => askTcp(address, udpPort).then(() => false, (thrown: NodeJS.ErrnoException) => thrown.code === 'ECONNREFUSED'));
    await finishesCleanly(gateway);
  });
});
