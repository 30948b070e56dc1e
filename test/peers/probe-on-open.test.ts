// A device opens an application, and is asked what it is without doing anything: its address was all that spoke for it, and after the probe it is verified. When that
// is long ago, once more; and by the schedule, whether it opens anything or not. snmpd is the device's, an agent of the site asks.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ProfileView } from '#api/probe-shapes.ts';
import type { IdentityView } from '#api/source-shapes.ts';
import { startAddressApp, type AppSaw } from '#kit/address-app.ts';
import { finishesCleanly, startGateway, until, type TestGateway } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, openProcesses, type Processes } from '#kit/processes.ts';

const peers = findPeers(['snmpd']);
const address = '127.9.40.1';
const serial = 'SN-40-A';

async function startDevice(processes: Processes, port: number, says = serial) {
  const folder = join(processes.folder, `snmpd ${says}`);
  mkdirSync(join(folder, 'state'), { recursive: true, mode: 0o700 });
  const config = join(folder, 'snmpd.conf');
  const printer = `override .1.3.6.1.2.1.25.3.2.1.2.1 object_id .1.3.6.1.2.1.25.3.1.5\noverride .1.3.6.1.2.1.43.5.1.1.17.1 octet_str "${says}"\n`;
  writeFileSync(config, `agentAddress udp:${address}:${port}\nrocommunity public\n${printer}`);
  const running = processes.start(peers.path('snmpd'), ['-f', '-Lo', '-C', '-c', config, '-I', '-smux'], { env: { SNMP_PERSISTENT_DIR: join(folder, 'state') } });
  await running.says(/NET-SNMP version/);
  return running;
}

interface Room {
  readonly gateway: TestGateway;
  readonly id: string;
  /** As the device: the state that the application was told, and by what; null: it was not let on. */
  open(): Promise<{ readonly state: unknown; readonly serial: unknown } | null>;
  identity(): Promise<IdentityView>;
  profile(): Promise<ProfileView>;
  journal(event: string): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function openRoom(port: number, probes: { readonly everyMinutes: number; readonly freshMinutes: number }): Promise<Room> {
  const app = await startAddressApp();
  const gateway = await startGateway({
    limits: { probeLookEveryMs: 100 }, config: { probes },
    routes: [{ name: 'scan', host: 'scan.example.test', listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port: app.port }, application: { tell: 'headers' } }],
  });
  const { token } = await gateway.owner();
  const ask = async <Json>(method: string, path: string, body?: unknown): Promise<Json> => {
    const answer = await gateway.api(method, path, { token, ...(body === undefined ? {} : { body }) });
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
    return answer.json as Json;
  };
  const { device } = await gateway.addDevice({ name: 'box', ports: [{ number: 22, kind: 'tcp' }], policy: `reach udp ${address} ${port}\n` });
  await ask('PATCH', '/sites/main', { subnets: ['127.9.40.0/24'] });
  const { id } = await ask<{ id: string }>('POST', '/devices', { agentId: device.agentId, name: 'press', serial, host: address, ports: [{ number: port, kind: 'udp', name: 'SNMP' }] });
  await ask('POST', '/job-sources', { application: 'scan', device: id });
  return {
    gateway, id,
    open: () =>
      new Promise((done, failed) => {
        const sent = httpRequest({ host: '127.0.0.1', port: gateway.ports.http, localAddress: address, headers: { host: 'scan.example.test', 'user-agent': 'Press/1.0' }, agent: false }, (answer) => {
          let text = '';
          answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('error', failed).on('end', () => {
            if (answer.statusCode !== 200) return done(null);
            const { headers } = JSON.parse(text) as AppSaw;
            const claims = JSON.parse(Buffer.from(headers['x-postern-identity']!.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;
            done({ state: claims['state'], serial: claims['serial'] });
          });
        });
        sent.on('error', failed);
        sent.end();
      }),
    identity: () => ask('GET', `/devices/${id}/identity`),
    profile: () => ask('GET', `/devices/${id}/profile`),
    journal: async (event) => (await gateway.api('GET', `/journal?event=${event}&limit=50`, { token })).text,
    async [Symbol.asyncDispose]() {
      await finishesCleanly(gateway);
      await gateway.close();
      await app[Symbol.asyncDispose]();
    },
  };
}

test('opening an application makes its device known', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const port = await freePort();
  const device = await startDevice(processes, port);
  await using room = await openRoom(port, { everyMinutes: 0, freshMinutes: 60 });

  await t.test('nobody asks it before it comes', async () => {
    assert.equal((await room.profile()).profile, null);
    assert.equal((await room.identity()).now.state, 'address-only');
  });
  await t.test('it comes, is let on at once, and verified without having done anything more', async () => {
    assert.deepEqual(await room.open(), { state: 'address-only', serial });
    await until('its profile to be read', async () => (await room.profile()).trust === 'verified');
    assert.deepEqual(await room.open(), { state: 'verified', serial });
    const { last, confirmation, evidence } = await room.identity();
    assert.deepEqual([last?.state, last?.by, confirmation?.serial, confirmation?.address], ['verified', 'serial', serial, address]);
    assert.ok(evidence.some(({ kind, value }) => kind === 'serial-snmp' && value === serial));
  });
  await t.test('who is known is not asked again each time', async () => {
    // The profile is there a moment before it is in the store, and the run over.
    const { triedAt } = await until('the probe to be over', async () => {
      const view = await room.profile();
      return view.run === null && view;
    });
    for (let times = 0; times < 5; times += 1) assert.equal((await room.open())?.state, 'verified');
    assert.deepEqual([(await room.profile()).triedAt, (await room.profile()).run], [triedAt, null]);
  });
  await t.test('another device at its address is nobody, once somebody has looked', async () => {
    await device.stop();
    await startDevice(processes, port, 'SN-40-B');
    const { token } = await room.gateway.owner();
    assert.equal((await room.gateway.api('POST', `/devices/${room.id}/probe`, { token, body: {} })).status, 200);
    assert.equal(await room.open(), null);
    assert.match((await room.identity()).now.why, /SN-40-B/);
    assert.match(await room.journal('address.taken'), new RegExp(address.replaceAll('.', '\\.')));
  });
});

test('what was read long ago is read again when the device comes back', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const port = await freePort();
  await startDevice(processes, port);
  const freshMinutes = 0.1;
  await using room = await openRoom(port, { everyMinutes: 0, freshMinutes });
  await room.open();
  await until('its profile to be read', async () => (await room.profile()).trust === 'verified');
  const { readAt } = await room.profile();
  await until('it to be old', async () => (await room.identity()).now.state === 'address-only');
  await new Promise((done) => setTimeout(done, 500));
  assert.equal((await room.profile()).readAt, readAt, 'nobody asks by himself');
  assert.equal((await room.open())?.state, 'address-only');
  await until('it to be read again', async () => (await room.profile()).readAt !== readAt);
  assert.equal((await room.open())?.state, 'verified');
});

test('by the schedule, a device of an application is known before it comes', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const port = await freePort();
  await startDevice(processes, port);
  await using room = await openRoom(port, { everyMinutes: 0.03, freshMinutes: 60 });
  await until('its profile to be read', async () => (await room.profile()).trust === 'verified');
  const { readAt } = await room.profile();
  assert.deepEqual(await room.open(), { state: 'verified', serial });
  await until('it to be read again', async () => (await room.profile()).readAt !== readAt);
});
