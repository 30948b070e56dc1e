// Every path of the API about places, devices' identities, job sources, sessions, probes, virtual addresses and proofs, asked by those who may not: nobody, an
// administrator of another customer, somebody who only sees, and a token for another device alone. What is refused changes nothing and names nothing.
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { apiRoot, pathTo, paths, type RouteName } from '#api/paths.ts';
import type { Device } from '#model/rows.ts';
import { startGateway, type TestGateway } from '../kit/gateway.ts';

type Outcome = 'yes' | 'no' | 'empty' | 'hidden';
interface Asking {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly body?: unknown;
  /** Of an administrator of another customer, of one who sees this one, of one who administers another device of it. */
  readonly is: readonly [foreign: Outcome, seer: Outcome, narrow: Outcome];
}

const no = ['no', 'no', 'no'] as const;
const seen = ['no', 'yes', 'no'] as const;

describe('rights of places and devices', () => {
  let gateway: TestGateway;
  let press: Device;
  let second: Device;
  let owner: string;
  let cookie: string;
  const tokens: Record<'foreign' | 'seer' | 'narrow', string> = { foreign: '', seer: '', narrow: '' };
  let askings: Partial<Record<RouteName, Asking>>;
  let session = '';

  const made = async (method: string, path: string, body: unknown): Promise<Record<string, unknown>> => {
    const answer = await gateway.api(method, path, { token: owner, body });
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  };
  const tokenWith = async (name: string, action: string, scopeKind: string, scopeId: string): Promise<string> => {
    const answer = await gateway.api('POST', '/tokens', { cookie, body: { name, rights: [{ action, scopeKind, scopeId }] } });
    assert.equal(answer.status, 200, answer.text);
    return answer.json['secret'] as string;
  };

  before(async () => {
    gateway = await startGateway({
      routes: ['scan', 'closed'].map((name) => ({ name, host: `${name}.example.test`, listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port: 9 }, application: { tell: 'headers', assigned: name === 'closed' } })),
      config: { addressPool: { networks: ['127.74.0.0/24'] } },
    });
    ({ token: owner, cookie } = await gateway.owner());
    const lan = (await gateway.addDevice({ name: 'LAN', ports: [{ number: 9, kind: 'tcp' }] })).device;
    const { siteId, customerId } = lan;
    const agent = lan.agentId!;
    const addDevice = async (name: string, host: string, serial: string) => {
      const added = await made('POST', '/devices', { agentId: agent, name, host, serial, ports: [{ number: 80, name: 'web', kind: 'http' }] });
      return gateway.tables.devices.get(added['id'] as string)!;
    };
    press = await addDevice('Press', '127.9.0.1', 'SN-1');
    second = await addDevice('Second', '127.9.0.2', 'SN-2');
    const acme = { id: `${customerId.slice(0, -4)}${customerId.endsWith('0000') ? '0001' : '0000'}`, key: 'acme', name: 'Acme', createdAt: 1 };
    gateway.tables.customers.publish({ put: [acme] });
    tokens.foreign = await tokenWith('foreign', 'administer', 'customer', acme.id);
    tokens.seer = await tokenWith('seer', 'see', 'customer', customerId);
    tokens.narrow = await tokenWith('narrow', 'administer', 'device', second.id);
    const device = press.id;
    const door = (await made('POST', '/doors', { agentId: agent, address: '127.1.0.9', port: 8_631, listener: 'http' }))['id'] as string;
    const url = ((await made('POST', `/devices/${device}/urls`, { application: 'scan' }))['url'] as { id: string }).id;
    const source = ((await made('POST', '/job-sources', { application: 'scan', device }))['source'] as { id: string }).id;
    await made('PUT', `/devices/${device}/virtual-address`, { address: null });
    // Its server is not there; its session is.
    assert.equal((await panel('scan.example.test')).status, 502);
    session = ((await gateway.api('GET', '/device-sessions', { token: owner })).json['items'] as { id: string }[])[0]!.id;
    const code = /class="code">([\d ]+)</.exec((await panel('closed.example.test')).text)![1]!.replace(' ', '');
    askings = {
      addSite: { body: { name: 'New', customerId }, is: ['hidden', 'no', 'hidden'] },
      getSite: { params: { site: siteId }, is: seen },
      changeSite: { params: { site: siteId }, body: { subnets: ['192.168.1.0/24'] }, is: no },
      removeSite: { params: { site: siteId }, is: no },
      moveAgent: { params: { id: agent }, body: { siteId }, is: no },
      moveDevice: { params: { device }, body: { siteId }, is: no },
      listDoors: { is: ['empty', 'yes', 'empty'] },
      getDoor: { params: { id: door }, is: seen },
      addDoor: { body: { agentId: agent, address: '127.1.0.9', port: 8_632, listener: 'http' }, is: ['hidden', 'no', 'hidden'] },
      changeDoor: { params: { id: door }, body: { port: 8_633 }, is: no },
      removeDoor: { params: { id: door }, is: no },
      getAddressPool: { is: no },
      listVirtualAddresses: { is: ['empty', 'yes', 'empty'] },
      getVirtualAddress: { params: { device }, is: seen },
      setVirtualAddress: { params: { device }, body: { address: null }, is: no },
      releaseVirtualAddress: { params: { device }, is: no },
      getDeviceIdentity: { params: { device }, is: seen },
      listDeviceUrls: { params: { device }, is: no },
      makeDeviceUrl: { params: { device }, body: { application: 'scan' }, is: no },
      removeDeviceUrl: { params: { device, id: url }, is: no },
      listApplications: { is: ['yes', 'no', 'yes'] },
      listJobSources: { is: ['empty', 'yes', 'empty'] },
      addJobSource: { body: { application: 'scan', device }, is: no },
      listJobSourceConflicts: { is: ['empty', 'empty', 'empty'] },
      exportJobSources: { is: seen },
      importJobSources: { body: { text: 'application,serial\nscan,SN-9\n', customerId }, is: no },
      changeJobSource: { params: { id: source }, body: { note: 'mine' }, is: no },
      removeJobSource: { params: { id: source }, is: no },
      listDeviceSessions: { is: ['empty', 'yes', 'empty'] },
      killDeviceSession: { params: { id: session }, is: no },
      reverifyDeviceSession: { params: { id: session }, is: no },
      listUnassigned: { is: ['empty', 'empty', 'empty'] },
      assignDevice: { params: { code }, body: { device }, is: no },
      probeDevice: { params: { device }, body: {}, is: no },
      getProfile: { params: { device }, is: seen },
      takeProbedSerial: { params: { device }, is: no },
      listSeries: { params: { device }, is: seen },
      listSamples: { params: { device }, query: 'series=x', is: seen },
      listProfiles: { is: ['empty', 'yes', 'empty'] },
      listProbes: { is: ['empty', 'yes', 'empty'] },
      listDrivers: { is: ['yes', 'yes', 'yes'] },
      putDriver: { params: { key: 'x' }, body: { driver: {} }, is: no },
      removeDriver: { params: { key: 'x' }, is: no },
      getProbeCredentials: { params: { id: agent }, is: no },
      setProbeCredentials: { params: { id: agent }, body: { remove: ['x'] }, is: no },
      getSnippet: { params: { route: 'scan' }, query: 'server=nginx', is: no },
      doctorSite: { params: { site: siteId }, body: {}, is: no },
      doctorDevice: { params: { device }, body: {}, is: no },
      proveRoute: { params: { route: 'scan' }, body: { deviceId: device }, is: no },
    };
  });
  after(() => gateway.close());

  const send = (name: RouteName, token: string | null) => {
    const { params = {}, query, body } = askings[name]!;
    return gateway.api(paths[name].method, pathTo(name, params).slice(apiRoot.length) + (query ? `?${query}` : ''), { ...(token === null ? {} : { token }), ...(body === undefined ? {} : { body }) });
  };
  const panel = (host: string): Promise<{ status: number; text: string }> =>
    new Promise((done, failed) => {
      const sent = httpRequest({ host: '127.0.0.1', port: gateway.ports.http, localAddress: '127.9.0.1', headers: { host }, agent: false }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => done({ status: answer.statusCode!, text }));
      });
      sent.on('error', failed);
      sent.end();
    });
  const state = () =>
    JSON.stringify(
      [gateway.tables.sites, gateway.tables.sitePlaces, gateway.tables.siteDoors, gateway.tables.virtualAddresses, gateway.tables.deviceTokens, gateway.tables.jobSources, gateway.tables.devices, gateway.tables.agents].map((table) => [...table.values()]),
    );

  test('whoever may everything gets an answer to each question', async () => {
    const wrong: string[] = [];
    for (const name of Object.keys(askings) as RouteName[]) {
      if (paths[name].method !== 'GET' || name === 'getProbeCredentials') continue;
      const { status, text } = await send(name, owner);
      if (status !== 200) wrong.push(`${name}: ${status} ${text.slice(0, 200)}`);
    }
    assert.deepEqual(wrong, []);
  });

  test('nobody is told anything', async () => {
    const standing = state();
    for (const name of Object.keys(askings) as RouteName[]) {
      for (const token of [null, 'postern_pt_made-up']) assert.equal((await send(name, token)).status, 401, name);
    }
    assert.equal(state(), standing);
  });

  for (const [who, place] of [['foreign', 0], ['seer', 1], ['narrow', 2]] as const) {
    test(`${who}: each path gives what that right is for, and nothing else`, async () => {
      const standing = state();
      const wrong: string[] = [];
      for (const [name, { is }] of Object.entries(askings) as [RouteName, Asking][]) {
        const { status, json, text } = await send(name, tokens[who]);
        const items = (json['items'] ?? json['agents']) as unknown[] | undefined;
        const got: Outcome | number = status === 403 || status === 404 ? 'no' : status === 400 ? 'hidden' : status !== 200 ? status : items?.length === 0 ? 'empty' : 'yes';
        const wanted = is[place];
        // Nothing is there to be seen, or to be seen by him: both look alike.
        if (got !== wanted && !(wanted === 'yes' && got === 'empty')) wrong.push(`${name}: ${String(got)} instead of ${wanted}: ${text.slice(0, 200)}`);
        if (who !== 'seer' && (text.includes('Press') || text.includes('SN-1'))) wrong.push(`${name} names the device: ${text.slice(0, 300)}`);
      }
      assert.deepEqual(wrong, []);
      assert.equal(state(), standing);
      const { json } = await gateway.api('GET', '/device-sessions', { token: owner });
      assert.deepEqual((json['items'] as { id: string; pausedAt: number | null }[]).map(({ id, pausedAt }) => [id, pausedAt]), [[session, null]]);
    });
  }
});
