// Who is asked when, with a clock that is moved by hand and devices that answer as a test says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { handClock } from '#kit/hand-clock.ts';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import type { DeviceProfile } from '#model/place-rows.ts';
import type { Asking } from '#model/probe/asking.ts';
import type { ProbeNote } from '#model/probe-operations.ts';
import type { Agent, Device } from '#model/rows.ts';
import { buildTables } from '#model/tables.ts';
import { exampleProfile } from '../../test/contracts/probes.ts';
import type { PacedAsking } from './askings.ts';
import type { EvidenceSeen, Probed } from './probe-outcome.ts';
import { buildProbes, type ProbeAsked, type ProbeSettings } from './probes.ts';

const customerId = 'c';
const minuteMs = 60_000;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const settle = async () => {
  for (let i = 0; i < 10; i += 1) await turn();
};

const agentOf = (id: string): Agent => ({ id, customerId, siteId: 's', name: `agent ${id}`, state: 'active', createdAt: 0 });
const deviceOf = (id: string, change: Partial<Device> = {}): Device => ({
  id, customerId, siteId: 's', agentId: 'a', serial: `SN-${id}`, label: id, name: `device ${id}`, host: `192.0.2.${10 + Number(id.replace(/\D/g, '') || 0)}`, ports: [], hostHeader: 'own', locked: false, createdAt: 0, ...change,
});
const rowOf = (id: string, at: number, change: Partial<DeviceProfile> = {}): DeviceProfile => ({
  deviceId: id, customerId, profile: exampleProfile({ serial: `SN-${id}` }), readAt: at, address: deviceOf(id).host, agentId: 'a', trust: 'verified', mac: null, triedAt: at, failure: null, ...change,
});

interface Change {
  readonly devices?: Device[];
  readonly profiles?: DeviceProfile[];
  readonly settings?: Partial<ProbeSettings>;
  readonly limits?: Partial<Record<keyof typeof limits, number>>;
  readonly online?: string[];
  readonly applicationDevices?: string[];
}

function roomOf(change: Change = {}) {
  const clock = handClock();
  const none: [] = [];
  const tables = buildTables({
    customers: none, sites: none, agents: [agentOf('a'), agentOf('b')], agentCertificates: none, agentNotes: none, devices: change.devices ?? [], oldLabels: none, people: none, rights: none, signIns: none, tokens: none,
    joinTokens: none, invites: none, certificates: none, deliveries: none, deviceKeys: none, waitingDevices: none, deviceNotes: none, leases: none, deviceTags: none, suspensions: none,
    deviceProfiles: change.profiles ?? [], virtualAddresses: none, releasedAddresses: none, sitePlaces: none, siteDoors: none, deviceTokens: none, evidence: none, jobSources: none,
  });
  const online = new Set(change.online ?? ['a', 'b']);
  const linkWatchers = new Set<() => void>();
  const settings: ProbeSettings = { everyMs: 15 * minuteMs, freshMs: 60 * minuteMs, perSecond: 20, atOnce: 2, ...change.settings };
  const asked: string[] = [];
  const notes: ProbeNote[] = [];
  const events: string[] = [];
  const evidence: EvidenceSeen[] = [];
  const opened: string[] = [];
  const paces: unknown[] = [];
  let openingFails: Fault | null = null;
  let answer = async ({ address }: ProbeAsked): Promise<Probed> => {
    const device = [...tables.devices.values()].find(({ host }) => host === address);
    return { profile: exampleProfile({ serial: device?.serial ?? null }), failure: null, mac: null };
  };
  const openAsking = async (agentId: string): Promise<PacedAsking> => {
    opened.push(agentId);
    if (openingFails) throw openingFails;
    let isOpen = true;
    const way = {
      get isOpen() {
        return isOpen;
      },
      pace: async (wanted: unknown) => {
        paces.push(wanted);
        return { perSecond: 5, atOnce: 1 };
      },
      close: () => void (isOpen = false),
      mac: async () => ({ mac: null, interface: null }),
      info: async () => ({ addresses: [], gateways: [], resolvers: [], credentials: [], defaultCredentials: true, perSecond: 5, atOnce: 1 }),
    };
    return way as unknown as PacedAsking & Asking;
  };
  const probes = buildProbes({
    tables, clock, log: silentLog, limits: { ...limits, ...change.limits }, openAsking,
    operations: { noteProbe: async (note) => void notes.push(note), seriesOf: async () => [] },
    journal: { note: (event, fields) => void events.push(`${event} ${JSON.stringify(fields)}`) },
    settings: () => settings,
    applicationDevices: () => change.applicationDevices ?? [],
    isOnline: (agentId) => online.has(agentId),
    watchLinks: (onChange) => {
      linkWatchers.add(onChange);
      return () => linkWatchers.delete(onChange);
    },
    probe: async (given) => {
      asked.push(given.address);
      return answer(given);
    },
    noteEvidence: (seen) => void evidence.push(...seen),
  });
  return {
    probes, clock, tables, settings: settings as { -readonly [Name in keyof ProbeSettings]: number }, asked, notes, events, evidence, opened, paces,
    answerWith: (given: (asked: ProbeAsked) => Promise<Probed>) => void (answer = given),
    failOpening: (fault: Fault | null) => void (openingFails = fault),
    setOnline(agentId: string, isOnline: boolean) {
      if (isOnline) online.add(agentId);
      else online.delete(agentId);
      for (const watcher of linkWatchers) watcher();
    },
    async end() {
      await probes.close();
      assert.equal(clock.timers, 0, 'timers are left');
    },
  };
}

test('at first sight a device is asked once: when its agent comes, and when it is added; the agent itself is not', async () => {
  const room = roomOf({ devices: [deviceOf('1'), deviceOf('2', { host: '127.0.0.1' }), deviceOf('3', { agentId: 'b' }), deviceOf('4', { agentId: null }), deviceOf('5', { locked: true })], online: [] });
  await settle();
  assert.deepEqual(room.asked, []);
  room.setOnline('a', true);
  await settle();
  assert.deepEqual(room.asked, ['192.0.2.11']);
  room.setOnline('a', false);
  room.setOnline('a', true);
  await settle();
  assert.equal(room.asked.length, 1, 'a profile is there');
  room.tables.devices.publish({ put: [deviceOf('6')] });
  await settle();
  assert.deepEqual(room.asked, ['192.0.2.11', '192.0.2.16']);
  room.tables.devices.publish({ put: [{ ...deviceOf('6'), name: 'renamed' }] });
  await settle();
  assert.equal(room.asked.length, 2);
  room.tables.devices.publish({ put: [{ ...deviceOf('6'), host: '192.0.2.99' }] });
  await settle();
  assert.deepEqual(room.asked.slice(2), ['192.0.2.99'], 'at another address it is asked anew');
  await room.end();
});

test('what did not get to a device is no first sight of it', async () => {
  const room = roomOf({ devices: [deviceOf('1')] });
  await settle();
  room.tables.deviceProfiles.publish({ put: [rowOf('1', 0, { profile: null, readAt: null, failure: { code: 'unsupported', question: '', address: '', agent: '', from: null, message: '', remedy: '' } })] });
  room.setOnline('a', false);
  room.setOnline('a', true);
  await settle();
  assert.equal(room.asked.length, 2);
  room.tables.deviceProfiles.publish({ put: [rowOf('1', 0, { profile: null, readAt: null, failure: { code: 'silent', question: '', address: '', agent: '', from: null, message: '', remedy: '' } })] });
  room.setOnline('a', false);
  room.setOnline('a', true);
  await settle();
  assert.equal(room.asked.length, 2, 'it was silent; that is known');
  await room.end();
});

test('a thousand devices are spread over the period, each once in it', async () => {
  const devices = Array.from({ length: 1_000 }, (_, i) => deviceOf(`d${i}`, { host: `10.0.${i >> 8}.${i & 255}` }));
  const room = roomOf({ devices, profiles: devices.map(({ id }) => rowOf(id, 0)), settings: { atOnce: 64 } });
  const perMinute: number[] = [];
  for (let minute = 0; minute < 15; minute += 1) {
    const before = room.asked.length;
    for (let i = 0; i < 12; i += 1) {
      room.clock.advance(5_000);
      await settle();
    }
    perMinute.push(room.asked.length - before);
  }
  assert.ok(room.asked.length >= 985 && room.asked.length <= 1_000, `${room.asked.length}`);
  assert.equal(new Set(room.asked).size, room.asked.length, 'nobody twice');
  // 67 each; six standard deviations are 47.
  assert.ok(perMinute.every((count) => count > 20 && count < 115), perMinute.join(' '));
  await room.end();
});

test('turns that were missed are not made up, and those of an absent agent are counted', async () => {
  const devices = Array.from({ length: 200 }, (_, i) => deviceOf(`d${i}`, { host: `10.0.0.${i}` }));
  const room = roomOf({ devices, profiles: devices.map(({ id }) => rowOf(id, 0)), settings: { atOnce: 64 } });
  const step = async (times: number) => {
    for (let i = 0; i < times; i += 1) {
      room.clock.advance(5_000);
      await settle();
    }
  };
  room.setOnline('a', false);
  await step(180);
  assert.deepEqual(room.asked, []);
  assert.equal(room.probes.counts.missed, 200);
  room.setOnline('a', true);
  await settle();
  assert.deepEqual(room.asked, [], 'they wait for their next turn');
  // The machine slept for ten hours, forty periods; at most ten looks come late, 5 s of 900 s each.
  room.clock.advance(10 * 60 * minuteMs);
  await settle();
  assert.ok(room.asked.length < 40, `${room.asked.length}`);
  await step(180);
  assert.equal(new Set(room.asked).size, 200, 'each in the period that follows');
  await room.end();
});

test('a schedule of 0 asks nobody, and only who has a profile or an application has a turn', async () => {
  const profiles = [rowOf('1', 0), rowOf('2', 0, { profile: null, readAt: null })];
  const devices = ['1', '2', '3'].map((id) => deviceOf(id));
  const none = roomOf({ devices, profiles: [...profiles, rowOf('3', 0)], settings: { everyMs: 0 } });
  none.clock.advance(60 * minuteMs);
  await settle();
  assert.deepEqual(none.asked, []);
  await none.end();
  const some = roomOf({ devices, profiles, online: [], applicationDevices: ['3', 'gone'] });
  some.setOnline('a', true);
  await settle();
  assert.deepEqual(some.asked, ['192.0.2.13'], 'first sight');
  for (let i = 0; i < 180; i += 1) {
    some.clock.advance(5_000);
    await settle();
  }
  assert.deepEqual([...new Set(some.asked.slice(1))].sort(), ['192.0.2.11', '192.0.2.13'].slice(0, new Set(some.asked.slice(1)).size));
  assert.ok(!some.asked.includes('192.0.2.12'));
  await some.end();
});

test('on opening an application: when the profile is old, never twice at once, and after failures less and less often', async () => {
  const room = roomOf({ devices: [deviceOf('1')], profiles: [rowOf('1', 1_800_000_000_000)], settings: { everyMs: 0 } });
  const open = async () => {
    room.probes.freshen('1');
    room.probes.freshen('1');
    await settle();
    return room.asked.length;
  };
  assert.equal(await open(), 0, 'it is fresh');
  room.clock.advance(60 * minuteMs);
  assert.equal(await open(), 1);
  assert.equal(await open(), 1);
  room.probes.freshen('1', true);
  await settle();
  assert.equal(room.asked.length, 1, 'a moment ago it was who it is');
  room.clock.advance(minuteMs);
  room.probes.freshen('1', true);
  await settle();
  assert.equal(room.asked.length, 2, 'something speaks against it');
  room.answerWith(async () => {
    throw new Fault('timeout', 'no');
  });
  room.clock.advance(60 * minuteMs);
  const at: number[] = [];
  for (let minute = 0; minute < 240; minute += 1) {
    const before = room.asked.length;
    if ((await open()) > before) at.push(minute);
    room.clock.advance(minuteMs);
  }
  assert.deepEqual(at, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
  room.probes.freshen('nobody');
  await room.end();
});

test('so many at once, so many waiting; one run a device; what is wanted now passes the rest', async () => {
  const devices = Array.from({ length: 6 }, (_, i) => deviceOf(`${i}`));
  const room = roomOf({ devices, profiles: devices.map(({ id }) => rowOf(id, 0)), settings: { everyMs: 0 }, limits: { probeRunsWaitingMax: 3 } });
  const waiting: (() => void)[] = [];
  room.answerWith((asked) => new Promise((resolve) => waiting.push(() => resolve({ profile: exampleProfile({ serial: `SN-${Number(asked.address.split('.')[3]) - 10}` }), failure: null, mac: null }))));
  for (const id of ['0', '1', '2', '3']) room.probes.freshen(id);
  const wanted = room.probes.probe('4');
  await settle();
  assert.deepEqual(room.probes.runs().map(({ deviceId, state, reason }) => `${deviceId} ${state} ${reason}`), ['0 running opening', '1 running opening', '2 waiting opening', '3 waiting opening', '4 waiting asked']);
  assert.deepEqual(room.probes.agents(), [{ agentId: 'a', running: 2, waiting: 3, pace: { perSecond: 5, atOnce: 1 }, asked: 0 }]);
  room.probes.freshen('5');
  assert.equal(room.probes.counts.dropped, 1);
  await assert.rejects(room.probes.probe('5'), (thrown) => thrown instanceof Fault && thrown.code === 'too-many');
  await assert.rejects(room.probes.probe('x'), (thrown) => thrown instanceof Fault && thrown.code === 'not-found');
  while (waiting.length > 0) {
    waiting.shift()!();
    await settle();
  }
  const row = await wanted;
  assert.deepEqual([row.trust, row.failure, room.opened, room.paces], ['verified', null, ['a'], [{ perSecond: 20, atOnce: 2 }]]);
  assert.deepEqual([room.probes.counts.succeeded, room.notes.length, room.probes.runs()], [5, 5, []]);
  // The way is kept for a little while, then closed, then opened anew.
  room.clock.advance(limits.probeStreamRestMs);
  const again = room.probes.probe('1');
  await settle();
  waiting.shift()!();
  await again;
  assert.deepEqual(room.opened, ['a', 'a']);
  await room.end();
});

test('an agent that is not there, a device without one, a name for an address, an agent that is older: each says so', async () => {
  const room = roomOf({ devices: [deviceOf('1', { agentId: null }), deviceOf('2', { host: 'mfp.example.test' }), deviceOf('3')], profiles: [rowOf('3', 5)] });
  assert.deepEqual((await room.probes.probe('1')).failure?.code, 'no-agent');
  assert.deepEqual((await room.probes.probe('2')).failure?.code, 'no-address');
  room.failOpening(new Fault('offline', 'the device is offline since yesterday', { remedy: 'See that it has power.' }));
  const offline = await room.probes.probe('3');
  assert.deepEqual([offline.failure, offline.readAt, offline.trust], [{ code: 'offline', question: 'the way to the agent', address: '192.0.2.13', agent: 'agent a', from: null, message: 'the device is offline since yesterday', remedy: 'See that it has power.' }, 5, 'verified'], 'what was known stays');
  room.failOpening(new Fault('unsupported', 'the agent offers no service "probe"'));
  assert.match((await room.probes.probe('3')).failure!.remedy, /Update the agent/);
  room.failOpening(null);
  room.answerWith(async () => {
    throw new Fault('forbidden', 'not allowed', { detail: { probe: { code: 'policy', message: 'the local policy does not allow it', remedy: 'add: reach udp 192.0.2.13 161', from: null, tried: [] } } });
  });
  const refused = await room.probes.probe('3');
  assert.deepEqual([refused.failure?.code, refused.failure?.remedy, room.probes.counts.failed], ['policy', 'add: reach udp 192.0.2.13 161', 5]);
  assert.deepEqual(room.events.map((line) => line.split(' ')[0]), Array.from({ length: 5 }, () => 'probe.failed'));
  room.answerWith(() => Promise.reject(new TypeError('a bug')));
  assert.equal((await room.probes.probe('3')).failure?.code, 'internal');
  await room.end();
});

test('a run that takes too long is given up, and what its device says later is nothing', async () => {
  const room = roomOf({ devices: [deviceOf('1')], profiles: [rowOf('1', 0)] });
  let late: (() => void) | undefined;
  let refused: unknown;
  room.answerWith(async ({ asking }) => {
    await new Promise<void>((resolve) => (late = resolve));
    refused = await asking.mac({ address: '192.0.2.11' }).catch((thrown: unknown) => thrown);
    return { profile: exampleProfile(), failure: null, mac: null };
  });
  const asked = room.probes.probe('1');
  await settle();
  room.clock.advance(limits.probeRunTimeoutMs);
  assert.equal((await asked).failure?.code, 'timeout');
  late!();
  await settle();
  assert.ok(refused instanceof Fault, 'it asks no more');
  assert.equal(room.notes.length, 1);
  await room.end();
});

test('a device that goes or moves while it is asked: nothing is noted of it', async () => {
  const room = roomOf({ devices: [deviceOf('1'), deviceOf('2')], profiles: [rowOf('1', 0), rowOf('2', 0)], settings: { everyMs: 0 } });
  const waiting: (() => void)[] = [];
  room.answerWith(() => new Promise((resolve) => waiting.push(() => resolve({ profile: exampleProfile(), failure: null, mac: null }))));
  const [first, second] = [room.probes.probe('1'), room.probes.probe('2')];
  await settle();
  room.tables.devices.publish({ removed: ['1'] });
  room.tables.devices.publish({ put: [deviceOf('2', { host: '192.0.2.77' })] });
  for (const resolve of waiting) resolve();
  await Promise.all([first, second]);
  assert.deepEqual([room.tables.deviceProfiles.get('1'), room.tables.deviceProfiles.get('2')?.readAt, room.notes.length], [undefined, 0, 0]);
  await room.end();
});

test('closing ends what runs and what waits', async () => {
  const room = roomOf({ devices: [deviceOf('1'), deviceOf('2'), deviceOf('3')], profiles: ['1', '2', '3'].map((id) => rowOf(id, 0)) });
  room.answerWith(() => new Promise(() => {}));
  const all = ['1', '2', '3'].map((id) => room.probes.probe(id));
  await settle();
  await room.end();
  await Promise.all(all);
  assert.equal(room.notes.length, 0);
  await assert.rejects(room.probes.probe('1'), (thrown) => thrown instanceof Fault && thrown.code === 'closed');
});
