import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '#base/log.ts';
import type { Asked, Identity } from '#model/identity.ts';
import type { DeviceProfile, DeviceToken, Evidence } from '#model/place-rows.ts';
import type { Device } from '#model/rows.ts';
import type { EvidenceNotes as Notes } from '#model/source-operations.ts';
import { buildTable, groupsBy } from '#model/table.ts';
import { evidenceKey } from '#model/tables.ts';
import { keepEvidence } from './evidence.ts';

const at = 1_800_000_000_000;
const press: Device = { id: 'press', customerId: 'anna', siteId: 'north', agentId: null, serial: 'SN-1', label: 'press', name: 'Press', host: '192.0.2.50', ports: [], hostHeader: 'own', locked: false, createdAt: 0 };
const token: DeviceToken = { id: 'token-1', customerId: 'anna', deviceId: 'press', digest: 'd', note: '', createdAt: 0, usedAt: null };
const asked: Asked = { origin: { siteId: 'north', customerId: 'anna', address: '192.0.2.50', viaAgentId: 'a', mac: '02:00:5e:10:00:01' }, marks: { certificateDeviceId: null, tokenDeviceId: null, sessionDeviceId: null, sessionVerified: false, claimedSerial: 'SN-1', shape: 'abcd' } };
const is = (state: Identity['state'], by: Identity['by'], device: Device | null = press): Identity => ({ state, device, by, why: '', conflict: [] });
const noProof = { fingerprint: null, tokenId: null };

function room({ evidence = [], evidencePerDeviceMax = 64, fails = false }: { evidence?: Evidence[]; evidencePerDeviceMax?: number; fails?: boolean } = {}) {
  let nowMs = at;
  const ticks: (() => void)[] = [];
  const stored: Notes[] = [];
  const facts = buildTable<Evidence>({ name: 'evidence', kind: 'noted', keyOf: evidenceKey, rows: evidence });
  const byDevice = groupsBy(facts, evidenceKey, (row) => row.deviceId);
  const tables = {
    evidence: facts,
    devices: buildTable<Device>({ name: 'devices', kind: 'kept', keyOf: (row) => row.id, rows: [press] }),
    deviceTokens: buildTable<DeviceToken>({ name: 'deviceTokens', kind: 'kept', keyOf: (row) => row.id, rows: [token] }),
    deviceProfiles: buildTable<DeviceProfile>({ name: 'deviceProfiles', kind: 'noted', keyOf: (row) => row.deviceId }),
    evidenceOf: (deviceId: string) => byDevice.get(deviceId),
  };
  const notes = keepEvidence({
    tables, log: silentLog, limits: { evidencePerDeviceMax, evidenceEveryMs: 5_000 },
    clock: { nowMs: () => nowMs, monoMs: () => nowMs, after: () => ({ cancel() {} }), every: (_, run) => (ticks.push(run), { cancel() {} }) },
    operations: { noteEvidence: (each) => (stored.push(each), fails ? Promise.reject(new Error('down')) : Promise.resolve()) },
  });
  return { notes, tables, stored, tick: () => ticks.forEach((run) => run()), later: (ms: number) => void (nowMs += ms) };
}

const facts = (rows: readonly Evidence[]) => rows.map(({ kind, value, count }) => `${kind} ${value} ${count}`).sort();

test('what a request shows of a known device is counted, and written in batches', async () => {
  const { notes, tables, stored, tick, later } = room();
  notes.observe(asked, is('verified', 'mac'), noProof);
  later(1_000);
  notes.observe(asked, is('verified', 'mac'), noProof);
  assert.deepEqual(facts(notes.of('press')), ['address 192.0.2.50 2', 'claimed-serial SN-1 2', 'mac 02:00:5e:10:00:01 2', 'shape abcd 2']);
  assert.equal(tables.evidence.size, 0, 'the table hears of it with the batch');
  tick();
  await notes.flush();
  assert.equal(stored.length, 1);
  assert.deepEqual(stored[0]!.put.map(({ firstAt, lastAt }) => [firstAt, lastAt]), Array.from({ length: 4 }, () => [at, at + 1_000]));
  assert.equal(tables.evidence.size, 4);
  later(1_000);
  notes.observe(asked, is('address-only', 'address'), noProof);
  await notes.close();
  assert.deepEqual(stored[1]!.put.map(({ firstAt, count }) => [firstAt, count])[0], [at, 3]);
});

test('who is nobody leaves nothing', async () => {
  const { notes, stored } = room();
  notes.observe(asked, is('ambiguous', null, null), noProof);
  await notes.close();
  assert.deepEqual(stored, []);
});

test('proofs are facts of their own, and behind NAT nothing else is one', async () => {
  const { notes, tables, stored } = room();
  const direct = { ...asked, origin: { ...asked.origin, siteId: null, mac: null } };
  notes.observe(direct, is('verified', 'token'), { fingerprint: null, tokenId: 'token-1' });
  notes.observe(direct, is('verified', 'certificate'), { fingerprint: 'ab12', tokenId: null });
  assert.deepEqual(facts(notes.of('press')), ['certificate ab12 1', 'token token-1 1']);
  await notes.close();
  assert.deepEqual(stored[0]!.tokensUsed, [{ id: 'token-1', at }]);
  assert.equal(tables.deviceTokens.get('token-1')?.usedAt, at);
});

test('a device has so many facts; the one that was seen least lately makes room', async () => {
  const old: Evidence = { deviceId: 'press', customerId: 'anna', kind: 'shape', value: 'old', how: '', firstAt: 1, lastAt: 1, count: 9 };
  const { notes, stored, later, tables } = room({ evidence: [old], evidencePerDeviceMax: 3 });
  for (const value of ['a', 'b', 'c', 'd']) {
    notes.note(press, 'shape', value, '');
    later(1);
  }
  assert.deepEqual(notes.of('press').map((row) => row.value), ['d', 'c', 'b']);
  notes.note(press, 'shape', 'old', 'again');
  assert.deepEqual(facts(notes.of('press')), ['shape c 1', 'shape d 1', 'shape old 1']);
  await notes.close();
  assert.deepEqual([stored[0]!.put.map((row) => row.value).sort(), stored[0]!.removed], [['c', 'd', 'old'], []]);
  assert.deepEqual(facts([...tables.evidence.values()]), ['shape c 1', 'shape d 1', 'shape old 1']);
});

const profileOf = (readAt: number, trust: DeviceProfile['trust'], serial: string | null): DeviceProfile => ({
  deviceId: 'press', customerId: 'anna', readAt, address: '192.0.2.50', agentId: 'a', trust, mac: '02:00:5E:10:00:01', triedAt: readAt, failure: null,
  profile: {
    vendor: null, enterpriseId: null, model: null, serial, macs: [], addresses: [], firmware: null, hostNames: [], location: null, functions: { print: null, copy: null, scan: null, fax: null }, colour: null, duplex: null,
    languages: [], protocols: [], supplies: [], trays: [], counters: {}, status: null, errors: [], upSeconds: null, driver: null, confidence: 1, evidence: [{ question: 'ipp printer-device-id', value: 'SN-1', at: readAt }],
  },
});

test('each probe that reads the device is a fact, once; one that reads another device is none', async () => {
  const { notes, tables } = room();
  tables.deviceProfiles.publish({ put: [profileOf(at - 5, 'different', 'SN-2')] });
  assert.deepEqual(notes.of('press'), []);
  tables.deviceProfiles.publish({ put: [profileOf(at, 'verified', 'SN-1')] });
  tables.deviceProfiles.publish({ put: [{ ...profileOf(at, 'verified', 'SN-1'), triedAt: at + 9 }] });
  assert.deepEqual(facts(notes.of('press')), ['address 192.0.2.50 1', 'mac 02:00:5e:10:00:01 1', 'serial-ipp SN-1 1']);
  tables.deviceProfiles.publish({ put: [profileOf(at + 60_000, 'verified', 'SN-1')] });
  assert.deepEqual(facts(notes.of('press')), ['address 192.0.2.50 2', 'mac 02:00:5e:10:00:01 2', 'serial-ipp SN-1 2']);
  await notes.close();
});

test('a store that is down loses a batch and stops nothing; a device that went leaves nothing', async () => {
  const { notes, stored, tables } = room({ fails: true });
  notes.note(press, 'mac', '02:00:5e:10:00:01', '');
  await notes.flush();
  tables.devices.publish({ removed: ['press'] });
  notes.note(press, 'mac', '02:00:5e:10:00:02', '');
  await notes.close();
  assert.equal(stored.length, 1);
});
