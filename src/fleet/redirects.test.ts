import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { parseConfig } from '#model/config.ts';
import { buildLeases } from '#model/leases.ts';
import { compileRedirects, type Redirects } from '#model/redirect.ts';
import type { Customer, Device, FeedEpoch } from '#model/rows.ts';
import { buildTables } from '#model/tables.ts';
import { deviceRequest } from '../../test/kit/device-requests.ts';
import { buildRedirects } from './redirects.ts';
import type { Caller, DeviceRequest } from './requests.ts';

const acme: Customer = { id: 'c1', key: 'acme', name: 'Acme', createdAt: 0 };
const device: Device = { id: 'd1', customerId: 'c1', siteId: 's1', agentId: null, serial: 'SN1', label: 'lobby', name: 'Lobby', host: '', ports: [], hostHeader: 'own', locked: false, createdAt: 0 };
const epoch = '0123456789abcdef';
const path = `push/SN1/cdr/${epoch}?o=7`;

function compiled(redirects: readonly object[], servers: readonly object[] = [{ name: 'a', base: 'https://a.example.test/v1' }, { name: 'b', base: 'https://b.example.test:8443/v1/other' }]): Redirects {
  const parsed = parseConfig({ version: 1, domains: [{ name: 'gw.example.test' }], listeners: [{ name: 'http', port: 8080, tls: false }], servers, redirects });
  assert.ok('config' in parsed, JSON.stringify(parsed));
  return compileRedirects(parsed.config, []);
}

const closing: (() => Promise<void>)[] = [];
after(() => Promise.all(closing.map((close) => close())));

function room(redirects: Redirects) {
  const tables = buildTables({ customers: [acme], sites: [], agents: [], agentCertificates: [], agentNotes: [], devices: [device], oldLabels: [], people: [], rights: [], signIns: [], tokens: [], joinTokens: [], invites: [], certificates: [], deliveries: [], deviceKeys: [], waitingDevices: [], deviceNotes: [], leases: [], deviceTags: [], suspensions: [], sitePlaces: [], siteDoors: [], virtualAddresses: [], releasedAddresses: [], deviceProfiles: [], deviceTokens: [], evidence: [], jobSources: [] });
  const state = { redirects, underWay: 0, isDown: false, seals: [] as string[], epochs: new Map<string, number>(), nowMs: 1_800_000_000_000 };
  const clock = { nowMs: () => state.nowMs, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
  const leases = buildLeases({ tables, clock, limits, log: silentLog, redirects: () => state.redirects, journal: { note: () => {} }, pinsOf: () => [], operations: { noteLeases: async () => {} } });
  closing.push(() => leases.close());
  const made = buildRedirects({
    leases, limits, nowMs: clock.nowMs,
    deviceBySerial: tables.deviceBySerial,
    pushesUnderWay: () => state.underWay,
    operations: {
      async sealEpochs(_deviceId, to) {
        if (state.isDown) throw new Fault('busy', 'the store is down');
        state.seals.push(to);
        return Array.from(state.epochs, ([each, next]) => ({ feed: 'cdr', epoch: each, next }));
      },
      findEpoch: async (_deviceId, _feed, each) => (state.epochs.has(each) ? ({ next: state.epochs.get(each) } as FeedEpoch) : null),
    },
  });
  return { ...made, state };
}

const caller: Caller = { kind: 'device', device, by: 'sign' };
const ask = (more: Partial<Parameters<typeof deviceRequest>[0]> = {}, over: Partial<DeviceRequest> = {}): DeviceRequest => Object.assign(deviceRequest({ method: 'POST', path, customer: acme, ...more }), over);
const all = (more: object = {}) => compiled([{ name: 'all', servers: ['a'], ...more }]);

test('a redirect names the same path under the other base, for how long, and which hop it is', async () => {
  const here = room(all({ ttlSeconds: 60, status: 308 }));
  assert.deepEqual(await here.before(ask(), caller), { status: 308, values: { base: 'https://a.example.test/v1/acme', ttl: 60, hops: 1 }, fields: { Location: `https://a.example.test/v1/acme/${path}` } });
  here.state.nowMs += 45_500;
  const later = await here.before(ask({ headers: { 'x-postern-hops': '3' } }), caller);
  assert.deepEqual(later?.values, { base: 'https://a.example.test/v1/acme', ttl: 15, hops: 4 }, 'what is left of the lease');
  const b = room(compiled([{ name: 'all', servers: ['b'] }]));
  assert.equal((await b.before(ask({ path: 'push/S%20N/cdr/0123456789abcdef?o=0&x=%2F' }), caller))?.fields?.['Location'], 'https://b.example.test:8443/v1/other/push/S%20N/cdr/0123456789abcdef?o=0&x=%2F');
});

test('for clients that follow blindly the start stands in the address; not in one that is signed', async () => {
  const here = room(all());
  here.state.epochs.set(epoch, 100);
  const to = async (query: string, headers: Record<string, string> = {}) => (await here.before(ask({ path: `push/SN1/cdr/${epoch}${query}`, headers }), caller))?.fields?.['Location']?.split('/').at(-1);
  assert.equal(await to('?o=100'), `${epoch}?o=100&start=100`);
  assert.equal(await to('?o=100&start=40'), `${epoch}?o=100&start=100`, 'the later one counts');
  assert.equal(await to('?start=140&o=140'), `${epoch}?o=140&start=140`);
  assert.equal(await to('?start=7'), `${epoch}?start=100`);
  assert.equal(await to(''), `${epoch}?start=100`);
  assert.equal(await to('?o=100', { 'x-postern-sign': 'v1,…' }), `${epoch}?o=100`);
  assert.equal(await to('?o=100', { 'x-postern-start': '100;from=' }), `${epoch}?o=100`);
  here.state.epochs.clear();
  assert.equal(await to('?o=9&start=9'), `${epoch}?o=9&start=9`, 'and it is carried on where nothing is');
});

test('without rules nothing is sealed, and nothing asked', async () => {
  const here = room(compiled([]));
  here.state.isDown = true;
  assert.equal(await here.before(ask(), caller), null);
  assert.equal(await here.checkIn(ask({ path: 'check-in/SN1' }), caller), null);
  assert.deepEqual(here.pinsFor(device, acme), []);
});

test('what is here is sealed first, once; next is the seal, or where the device has been since', async () => {
  const here = room(all());
  here.state.epochs.set(epoch, 100);
  assert.equal((await here.before(ask(), caller))?.values['next'], 100);
  assert.equal((await here.before(ask(), caller))?.values['next'], 100);
  assert.deepEqual(here.state.seals, ['https://a.example.test/v1/acme'], 'asking again costs the store nothing');
  for (const [start, next] of [['50;from=', 100], ['100;from=https://a.example.test/v1/acme', 100], ['250;from=https://a.example.test/v1/acme', 250]] as const) {
    assert.equal((await here.before(ask({ headers: { 'x-postern-start': start } }), caller))?.values['next'], next, start);
  }
  const unknown = await here.before(ask({ path: 'push/SN1/cdr/ffffffffffffffff?o=0', headers: { 'x-postern-start': '9;from=' } }), caller);
  assert.equal(unknown?.values['next'], undefined, 'nothing of it is here');
  await assert.rejects(here.before(ask({ headers: { 'x-postern-start': 'nonsense' } }), caller), (thrown: Fault) => thrown.code === 'bad-input');
});

test('after it was answered here, what it brought is sealed anew', async () => {
  const here = room(all());
  await here.before(ask(), caller);
  assert.equal(await here.before(ask({ headers: { 'x-postern-hops': '5' } }), caller), null);
  await here.before(ask(), caller);
  assert.equal(here.state.seals.length, 2);
});

test('a store that is down sends nobody away: 503 for a batch, and a check-in without a base', async () => {
  const here = room(all());
  here.state.isDown = true;
  await assert.rejects(here.before(ask(), caller), (thrown: Fault) => thrown.code === 'busy');
  assert.equal(await here.checkIn(ask({ path: 'check-in/SN1' }), caller), null);
  here.state.isDown = false;
  assert.deepEqual(await here.checkIn(ask({ path: 'check-in/SN1' }), caller), { base: 'https://a.example.test/v1/acme', ttlSeconds: 3_600 });
  assert.equal(here.state.seals.length, 1);
});

test('while a batch is under way the next one has to wait', async () => {
  const here = room(all());
  here.state.underWay = 1;
  const busy = await here.before(ask(), caller);
  assert.deepEqual([busy?.status, busy?.values['error'], busy?.values['retry']], [503, 'busy', 1]);
  assert.equal(await here.checkIn(ask({ path: 'check-in/SN1' }), caller), null);
  assert.deepEqual(here.state.seals, []);
});

test('what is redirected, and what is not', async () => {
  const here = room(all());
  for (const [method, where, isSent] of [
    ['POST', path, true], ['PUT', path, true], ['GET', path, false], ['HEAD', path, false],
    ['PUT', 'file/SN1/a.txt', true], ['POST', 'file/SN1/a.txt', true], ['PATCH', 'file/SN1/a.txt?upload=1', false], ['HEAD', 'file/SN1/a.txt', false], ['GET', 'file/SN1/a.txt', false], ['DELETE', 'file/SN1/a.txt', false],
    ['POST', 'in/SN1/cdr', false], ['POST', 'check-in/SN1', false], ['POST', 'action/SN1/7', false],
  ] as const) assert.equal((await here.before(ask({ method, path: where }), caller)) !== null, isSent, `${method} ${where}`);
  assert.equal(await here.before(ask({}, { agentId: 'agent1' }), caller), null, 'over a link');
  assert.equal(await here.checkIn(ask({ path: 'check-in/SN1' }, { agentId: 'agent1' }), caller), null);
  const waiting = { kind: 'waiting', waiting: {}, quarantineBytes: 1 } as Caller;
  assert.equal(await here.before(ask(), waiting), null);
  assert.equal(await here.checkIn(ask({ path: 'check-in/SN1' }), waiting), null);
});

test('rules see path, host, address and proof of the request', async () => {
  const sent = async (rule: object, request: DeviceRequest, by: 'sign' | 'nothing' = 'sign') => (await room(all(rule)).before(request, { ...caller, by } as Caller)) !== null;
  assert.equal(await sent({ path: 'push/SN1' }, ask()), true);
  assert.equal(await sent({ path: 'file' }, ask()), false);
  assert.equal(await sent({ host: 'in.example.test' }, ask({ headers: { host: 'IN.example.test:8443' } })), true);
  assert.equal(await sent({ host: 'in.example.test' }, ask()), false);
  assert.equal(await sent({ from: ['192.0.2.0/28'] }, ask()), true);
  assert.equal(await sent({ from: ['198.51.100.0/24'] }, ask()), false);
  assert.equal(await sent({}, ask({}, { secure: false }), 'nothing'), false);
  assert.equal(await sent({}, ask({}, { secure: false }), 'sign'), true);
});

test('a device that could not deliver there is not sent there, nor is one that comes to its sealed epoch', async () => {
  const here = room(compiled([{ name: 'all', servers: ['a', 'b'] }]));
  const to = async (headers: Record<string, string> = {}) => (await here.before(ask({ headers }), caller))?.values['base'];
  assert.equal(await to(), 'https://a.example.test/v1/acme');
  assert.equal(here.baseOf(ask(), 'https://a.example.test/v1/acme'), 'https://a.example.test/v1/acme');
  assert.equal(await to({ 'x-postern-failed': 'https://a.example.test/v1/acme/' }), 'https://b.example.test:8443/v1/other');
  assert.equal(await to(), 'https://b.example.test:8443/v1/other', 'remembered');
  assert.equal(here.baseOf(ask(), 'https://a.example.test/v1/acme'), null);
  assert.equal(here.baseOf(ask(), 'https://gone.example.test/v1/acme'), null);
  assert.equal(here.baseOf(ask(), null), null);
});

test('whatever stands in the fields, there is an answer or a Fault, and nonsense ends no loop', async () => {
  const here = room(all());
  let seed = 11;
  const next = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
  const word = () => Array.from({ length: next(30) }, () => String.fromCharCode(32 + next(224))).join('');
  for (let i = 0; i < 3_000; i++) {
    const headers: Record<string, string> = {};
    for (const name of ['x-postern-hops', 'x-postern-failed', 'x-postern-start', 'host']) if (next(2) === 0) headers[name] = next(3) === 0 ? `${next(20)};from=${word()}` : word();
    const hops = headers['x-postern-hops'];
    try {
      const answer = await here.before(ask({ headers }), caller);
      if (hops !== undefined && !/^\s*[0-4]\s*$|^\s*0+[0-4]\s*$/.test(hops)) assert.equal(answer, null, `hops ${hops}`);
    } catch (thrown) {
      assert.ok(thrown instanceof Fault && thrown.code === 'bad-input', String(thrown));
    }
  }
});
