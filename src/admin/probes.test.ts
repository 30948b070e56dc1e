// Who may ask what devices are, what is shown of it, and that credentials go through and stay nowhere.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { eventually, startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';
import { Fault } from '#base/fault.ts';
import type { DeviceProfile } from '#model/place-rows.ts';
import type { CredentialsShown } from '#model/probe/asking.ts';
import type { DriverShown, ProbeControl, ProbeRun } from '#model/probe-control.ts';
import type { Device } from '#model/rows.ts';
import { exampleProfile } from '../../test/contracts/probes.ts';

const office: CredentialsShown = { name: 'office', networks: ['192.0.2.0/24'], version: 'v3', user: 'postern', context: null, authProtocol: 'sha256', privProtocol: 'aes' };
const driver: DriverShown = { key: 'example', name: 'Example', own: true, replaced: false, prefixes: ['1.3.6.1.4.1.32473'], problem: null };

suite('probes', () => {
  let room: AdminRoom;
  let owner: Caller;
  let mfp: Device & { readonly agentId: string };
  let runs: ProbeRun[];
  let ends: (() => void)[];
  let handed: unknown[];
  let driverActs: string[];
  let watchers: Set<(deviceId: string) => void>;
  const rowOf = (device: Device, change: Partial<DeviceProfile> = {}): DeviceProfile => ({
    deviceId: device.id, customerId: device.customerId, profile: exampleProfile(), readAt: 5, address: '192.0.2.50', agentId: device.agentId, trust: 'unread', mac: null, triedAt: 5, failure: null, ...change,
  });

  beforeEach(async () => {
    [runs, ends, handed, driverActs, watchers] = [[], [], [], [], new Set()];
    const control: ProbeControl = {
      probe: async (deviceId) => {
        if (runs.length > 3) throw new Fault('too-many', 'too many wait');
        runs.push({ deviceId, agentId: mfp.agentId, reason: 'asked', state: 'running', since: 7, asked: 3, answered: 2, last: 'snmp walk 1.3' });
        await new Promise<void>((resolve) => ends.push(resolve));
        runs = runs.filter((run) => run.deviceId !== deviceId);
        const row = rowOf(room.tables.devices.get(deviceId)!);
        room.tables.deviceProfiles.publish({ put: [row] });
        await room.operations.noteProbe({ profile: row, samples: [], superseded: [] });
        return row;
      },
      runOf: (deviceId) => runs.find((run) => run.deviceId === deviceId),
      explanationOf: () => ({ driver: { key: 'example', own: false, by: 'sysObjectID', matched: '1.3.6' }, asked: [{ question: 'snmp 1.3', value: null, why: 'noSuchObject' }], gaps: [], requests: 4 }),
      runs: () => runs,
      agents: () => [{ agentId: mfp.agentId, running: 1, waiting: 0, pace: { perSecond: 20, atOnce: 8 }, asked: 3 }],
      counts: { succeeded: 1, failed: 2, dropped: 3, missed: 4 },
      confirmationOf: () => null,
      watch: (onChange) => {
        watchers.add(onChange);
        return () => watchers.delete(onChange);
      },
      readCredentials: async () => ({ credentials: [office], defaultCredentials: false }),
      changeCredentials: async (agentId, change) => {
        handed.push([agentId, change]);
        return [office];
      },
    };
    const drivers = {
      list: () => [driver],
      put: async (key: string, text: string) => {
        driverActs.push(`put ${key} ${text.length}`);
        return driver;
      },
      remove: async (key: string) => void driverActs.push(`remove ${key}`),
    };
    room = await startAdminRoom({ probes: { ...control, drivers } });
    owner = await room.owner();
    mfp = await room.device('mfp', { host: '192.0.2.50' });
  });
  afterEach(() => room.close());

  test('asking waits as long as it is told to, and says how far it is', async () => {
    const params = { device: 'mfp' };
    const never = await owner.call('getProfile', { params });
    assert.deepEqual([never.profile, never.triedAt, never.run, never.trust], [null, null, null, 'unread']);
    const asking = owner.call('probeDevice', { params, body: { waitMs: 500 } });
    await eventually(() => runs.length === 1 && room.clock.timers > 0, 'it runs');
    room.clock.advance(500);
    const early = await asking;
    assert.deepEqual([early.profile, early.run, early.explained], [null, { reason: 'asked', state: 'running', since: 7, asked: 3, answered: 2, last: 'snmp walk 1.3' }, null]);
    assert.deepEqual(await owner.call('listProbes'), {
      items: [{ reason: 'asked', state: 'running', since: 7, asked: 3, answered: 2, last: 'snmp walk 1.3', deviceId: mfp.id, device: 'mfp', agentId: mfp.agentId }], more: 0,
      agents: [{ agentId: mfp.agentId, agent: 'agent of mfp', running: 1, waiting: 0, asked: 3, perSecond: 20, atOnce: 8 }], counts: { succeeded: 1, failed: 2, dropped: 3, missed: 4 },
    });
    ends.pop()!();
    await eventually(() => runs.length === 0, 'the first probe is over');
    const waiting = owner.call('probeDevice', { params, body: { explain: true } });
    await eventually(() => ends.length === 1, 'the second runs');
    ends.pop()!();
    const done = await waiting;
    assert.deepEqual([done.profile?.model, done.readAt, done.run, done.explained?.requests, done.offeredSerial], ['Example 100', 5, null, 4, 'SN1']);
    assert.equal((await owner.refused('probeDevice', { params, body: { waitMs: 999_999 } })).code, 'bad-input');
    assert.deepEqual((await owner.call('listProfiles', { query: {} })).items.map(({ device, model, serial, lowest, failure, identity }) => [device, model, serial, lowest?.name, failure, identity?.state]), [['mfp', 'Example 100', 'SN1', 'Black', null, 'address-only']]);
    assert.deepEqual((await owner.call('listProfiles', { query: { trust: 'verified' } })).items, []);
    assert.deepEqual((await owner.call('listProfiles', { query: { failed: 'true' } })).items, []);
  });

  test('the serial that was read is taken over once, by who administers the device', async () => {
    const params = { device: 'mfp' };
    assert.equal((await owner.refused('takeProbedSerial', { params })).code, 'conflict');
    room.tables.deviceProfiles.publish({ put: [rowOf(mfp, { trust: 'different' })] });
    assert.equal((await owner.refused('takeProbedSerial', { params })).code, 'conflict', 'not of a stranger');
    room.tables.deviceProfiles.publish({ put: [rowOf(mfp)] });
    const other = await room.device('other', { serial: 'SN1' });
    assert.match(JSON.stringify(await owner.refused('takeProbedSerial', { params })), /other has the serial SN1/);
    await owner.call('removeDevice', { params: { device: other.id } });
    const taken = await owner.call('takeProbedSerial', { params });
    assert.deepEqual([taken.trust, taken.offeredSerial, room.tables.devices.get(mfp.id)?.serial], ['verified', null, 'SN1']);
    const stored = await room.operations.loadEverything();
    assert.deepEqual([stored.devices.find(({ id }) => id === mfp.id)?.serial, stored.deviceProfiles[0]?.trust], ['SN1', 'verified']);
    assert.deepEqual((await room.operations.listAudit({ limit: 1 })).map(({ what, detail }) => [what, detail['serial']]), [['device.serial-taken', 'SN1']]);
    assert.equal((await owner.refused('takeProbedSerial', { params })).code, 'conflict');
  });

  test('readings: which there are, and one of them over time', async () => {
    const nowMs = room.clock.nowMs();
    const samples = [0, 1, 2].map((i) => ({ deviceId: mfp.id, customerId: mfp.customerId, at: nowMs - i * 60_000, series: 'supply 1', value: 40 + i }));
    await room.operations.noteProbe({ profile: rowOf(mfp), samples, superseded: [] });
    const params = { device: 'mfp' };
    assert.deepEqual((await owner.call('listSeries', { params })).items, [{ series: 'supply 1', at: nowMs, value: 40 }]);
    const { from, to, points } = await owner.call('listSamples', { params, query: { series: 'supply 1' } });
    assert.deepEqual([from, to, points.map(({ value, min, max }) => [value, min, max])], [nowMs - 30 * 86_400_000, nowMs, [[40, 40, 42]]]);
    assert.deepEqual((await owner.call('listSamples', { params, query: { series: 'supply 1', from: nowMs - 120_000, to: nowMs } })).points.map(({ value }) => value), [42, 41, 40]);
    assert.equal((await owner.call('listSamples', { params, query: { series: 'supply 1', from: nowMs, to: nowMs, points: 2 } })).points.length, 2, 'what lasted into it, and it');
    assert.equal((await owner.refused('listSamples', { params, query: { series: 'supply 1', from: 9, to: 8 } })).code, 'bad-input');
    assert.equal((await owner.refused('listSamples', { params, query: { series: 'supply 1', points: 9_999 } })).code, 'bad-input');
  });

  test('credentials go through to the agent; the audit has their names', async () => {
    const params = { id: mfp.agentId };
    assert.deepEqual(await owner.call('getProbeCredentials', { params }), { items: [office], isDefault: false });
    const secret = 'not-to-be-seen-1';
    const put = [{ name: 'office', networks: ['192.0.2.0/24'], version: 'v3' as const, user: 'postern', authProtocol: 'sha256' as const, authKey: secret }, { name: 'old', version: 'v2c' as const, community: secret }];
    assert.deepEqual(await owner.call('setProbeCredentials', { params, body: { put, remove: ['older'] } }), { items: [office] });
    assert.deepEqual(handed, [[mfp.agentId, { put: [put[0], { ...put[1], networks: [] }], remove: ['older'] }]]);
    const [line] = await room.operations.listAudit({ limit: 1 });
    assert.deepEqual([line?.what, line?.detail], ['agent.probe-credentials-set', { put: 'office, old', removed: 'older' }]);
    const refused = await owner.refused('setProbeCredentials', { params, body: { put: [{ name: 'x', version: 'v2c', community: secret, authKey: 'short' }], remove: [] } });
    assert.ok(!JSON.stringify(refused).includes(secret) && !JSON.stringify(refused).includes('short'));
    assert.ok(!JSON.stringify(room.journal.all).includes(secret));
    assert.equal((await owner.refused('setProbeCredentials', { params, body: {} })).code, 'bad-input');
    assert.equal(handed.length, 1);
  });

  test('drivers', async () => {
    assert.deepEqual((await owner.call('listDrivers')).items, [driver]);
    await owner.call('putDriver', { params: { key: 'example' }, body: { driver: { key: 'example' } } });
    await owner.call('removeDriver', { params: { key: 'example' } });
    assert.deepEqual(driverActs, ['put example 22', 'remove example']);
    assert.deepEqual((await room.operations.listAudit({ limit: 2 })).map(({ what, subjectName }) => `${what} ${subjectName}`), ['driver.removed example', 'driver.put example']);
  });

  test('who sees a device sees its profile; asking, credentials and drivers are for who administers', async () => {
    await room.operations.noteProbe({ profile: rowOf(mfp), samples: [], superseded: [] });
    room.tables.deviceProfiles.publish({ put: [rowOf(mfp)] });
    const bob = await room.person(owner, 'bob', [{ action: 'see', scopeKind: 'device', scopeId: mfp.id }]);
    const params = { device: 'mfp' };
    assert.equal((await bob.call('getProfile', { params, query: { explain: 'true' } })).profile?.serial, 'SN1');
    assert.equal((await bob.call('listProfiles', { query: {} })).items.length, 1);
    assert.deepEqual((await bob.call('listProbes')).counts, null);
    for (const refused of [
      bob.refused('probeDevice', { params, body: {} }), bob.refused('takeProbedSerial', { params }), bob.refused('putDriver', { params: { key: 'x' }, body: { driver: {} } }), bob.refused('removeDriver', { params: { key: 'x' } }),
    ]) assert.equal((await refused).code, 'forbidden');
    assert.equal((await bob.refused('setProbeCredentials', { params: { id: mfp.agentId }, body: { remove: ['x'] } })).code, 'not-found');
    const carol = await room.person(owner, 'carol', [{ action: 'see', scopeKind: 'device', scopeId: (await room.device('elsewhere')).id }]);
    assert.equal((await carol.refused('getProfile', { params })).code, 'not-found');
    assert.deepEqual((await carol.call('listProfiles', { query: {} })).items, []);
    assert.deepEqual([runs, handed, driverActs], [[], [], []]);
  });

  test('the event stream says of which devices something is new, once a second', async () => {
    const abort = new AbortController();
    const { signal } = abort;
    const response = await room.admin.fetch(new Request(`http://${room.host}/api/v1/events`, { headers: { cookie: `__Host-postern=${owner.cookie}`, origin: `http://${room.host}`, host: room.host }, signal }), { asker: { from: '192.0.2.10', secure: false, conn: 'c0' } });
    assert.equal(response.status, 200);
    const reader = response.body!.getReader();
    let text = '';
    const reading = (async () => {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        text += Buffer.from(value).toString();
      }
    })();
    for (let i = 0; i < 5; i += 1) for (const watcher of watchers) watcher(mfp.id);
    room.clock.advance(1_500);
    await eventually(() => text.includes('event: probes'), 'the event');
    assert.equal(text.split('event: probes').length, 2);
    assert.match(text, new RegExp(`event: probes\\ndata: {"ids":\\["${mfp.id}"\\]}`));
    await reader.cancel();
    await reading;
  });
});
