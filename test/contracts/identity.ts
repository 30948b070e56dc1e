// What every implementation of the operations about who a device is must do.
import assert from 'node:assert/strict';
import { limits } from '#base/limits.ts';
import type { Operations } from '#model/operations.ts';
import type { Device, DeviceKey, WaitingDevice } from '#model/rows.ts';
import { newId, rejectsWith, type Rows } from './store.ts';

type Contract = (title: string, run: (store: Operations, rows: Rows) => Promise<void>) => void;

const at = 1_800_000_000_000;
const epoch = '0123456789abcdef';

function waitingRow(rows: Rows, serial: string, change: Partial<WaitingDevice> = {}): WaitingDevice {
  return { id: newId(), customerId: rows.customerId, serial, name: 'Lobby', from: '2001:db8::1', product: 'logger/2 "ü"', firstSeenAt: at, lastSeenAt: at, keyDigest: null, keySealed: null, bytes: 0, ...change };
}
const deviceOf = (rows: Rows, serial: string, change: Partial<Device> = {}): Device => ({ id: newId(), customerId: rows.customerId, siteId: rows.siteId, agentId: null, serial, label: serial.toLowerCase(), name: serial, host: '', ports: [], hostHeader: 'own', locked: false, createdAt: at, ...change });
const keyOf = (device: Pick<Device, 'id' | 'customerId'>, change: Partial<DeviceKey> = {}): DeviceKey => ({ id: newId(), customerId: device.customerId, deviceId: device.id, kind: 'key', digest: 'ab'.repeat(32), sealed: 'c2VhbGVk', state: 'next', createdAt: at, usedAt: null, ...change });
const push = (row: Pick<WaitingDevice, 'id' | 'customerId' | 'serial'>, text: string, offset = 0, quarantineMax: number | null = 1_000) => ({
  customerId: row.customerId, deviceId: row.id, serial: row.serial, feed: 'cdr', epoch, newFeedId: newId(), offset, bytes: Buffer.from(text), format: 'lines', gap: null, start: null, at, alerts: [], quarantineMax,
});

export function identityContract(contract: Contract): void {
  contract('a serial waits, says more of itself, and is there once', async (store, rows) => {
    const row = waitingRow(rows, 'SN1');
    await store.addWaitingDevice(row, null);
    assert.deepEqual((await store.loadEverything()).waitingDevices, [row]);
    await rejectsWith(store.addWaitingDevice(waitingRow(rows, 'SN1'), null), 'conflict');
    await store.intake([push(row, 'one\n')]);
    await store.noteWaitingDevice({ ...row, name: 'Hall', from: '192.0.2.1', product: '', lastSeenAt: at + 1, keyDigest: 'cd'.repeat(32), keySealed: 'eA==', bytes: 99_999, serial: 'other' });
    assert.deepEqual((await store.loadEverything()).waitingDevices, [{ ...row, name: 'Hall', from: '192.0.2.1', product: '', lastSeenAt: at + 1, keyDigest: 'cd'.repeat(32), keySealed: 'eA==', bytes: 4 + limits.quarantineRowBytes }], 'its serial and what it brought are not for telling');
    await store.noteWaitingDevice(waitingRow(rows, 'gone'));
    assert.equal((await store.loadEverything()).waitingDevices.length, 1);
  });

  contract('one without data makes room; one with data does not, whatever was believed', async (store, rows) => {
    const [empty, full] = [waitingRow(rows, 'A'), waitingRow(rows, 'B')];
    for (const row of [empty, full]) await store.addWaitingDevice(row, null);
    await store.intake([push(full, 'x\n')]);
    await store.addWaitingDevice(waitingRow(rows, 'C'), empty.id);
    await rejectsWith(store.addWaitingDevice(waitingRow(rows, 'D'), full.id), 'conflict');
    assert.deepEqual((await store.loadEverything()).waitingDevices.map((row) => row.serial).sort(), ['B', 'C']);
  });

  contract('approved, it is a device with its keys and its data; all of several or none', async (store, rows) => {
    const [one, two] = [waitingRow(rows, 'SN1'), waitingRow(rows, 'SN2')];
    for (const row of [one, two]) {
      await store.addWaitingDevice(row, null);
      await store.intake([push(row, 'one\ntwo\n')]);
    }
    const approved = [one, two].map((row) => {
      const device = deviceOf(rows, row.serial, { id: row.id });
      return { device, keys: [keyOf(device), keyOf(device, { kind: 'certificate', sealed: null, state: 'current', usedAt: at })], audit: rows.audit('waiting.approved', { subjectId: row.id }) };
    });
    const gone = deviceOf(rows, 'SN3');
    await rejectsWith(store.approveWaitingDevices([approved[0]!, { device: gone, keys: [], audit: rows.audit('waiting.approved') }]), 'conflict', /SN3 does not wait/);
    assert.deepEqual([(await store.loadEverything()).devices, (await store.listAudit({ limit: 9 })).length], [[], 0]);
    await store.approveWaitingDevices(approved);
    const all = await store.loadEverything();
    assert.deepEqual([all.waitingDevices, all.devices.map((row) => row.id).sort(), all.deviceKeys.length], [[], [one.id, two.id].sort(), 4]);
    assert.deepEqual(all.deviceKeys.filter((row) => row.deviceId === one.id).sort((a, b) => (a.kind < b.kind ? -1 : 1)), [...approved[0]!.keys].sort((a, b) => (a.kind < b.kind ? -1 : 1)));
    const [outcome] = await store.intake([push(one, 'three\n', 8, null)]);
    assert.deepEqual([outcome!.kind, outcome!.next], ['stored', 14]);
    assert.equal((await store.intake([push(one, 'x\n', 14)]))[0]!.kind, 'gone', 'who still takes it for waiting is told');
    await rejectsWith(store.approveWaitingDevices([approved[0]!]), 'conflict');
  });

  contract('a serial that is taken meanwhile is not approved', async (store, rows) => {
    const row = waitingRow(rows, 'SN1');
    await store.addWaitingDevice(row, null);
    await store.addDevice(deviceOf(rows, 'SN1'), rows.audit('device.added'));
    await rejectsWith(store.approveWaitingDevices([{ device: deviceOf(rows, 'SN1', { id: row.id, label: 'other' }), keys: [], audit: rows.audit('waiting.approved') }]), 'conflict', /SN1 belongs to/);
    assert.equal((await store.loadEverything()).waitingDevices.length, 1, 'and waits on');
  });

  contract('refused, it is gone with its data, and nothing is remembered of it', async (store, rows) => {
    const [one, two] = [waitingRow(rows, 'SN1'), waitingRow(rows, 'SN2')];
    for (const row of [one, two]) {
      await store.addWaitingDevice(row, null);
      await store.intake([push(row, 'one\n')]);
      await store.noteDevices([{ deviceId: row.id, customerId: row.customerId, lastSeenAt: at, lastPushAt: at, lastCheckInAt: null, from: null, fw: null, hw: null, up: null, clockSkewMs: null, zone: null, pins: null, facts: {} }]);
    }
    await store.refuseWaitingDevices([{ id: one.id, audit: rows.audit('waiting.refused', { subjectId: one.id }) }, { id: newId(), audit: rows.audit('waiting.refused') }]);
    const all = await store.loadEverything();
    assert.deepEqual([all.waitingDevices.map((row) => row.id), all.deviceNotes.map((row) => row.deviceId)], [[two.id], [two.id]]);
    assert.deepEqual((await store.listFeeds({ limit: 9 })).map(({ feed }) => feed.deviceId), [two.id]);
    assert.equal(await store.findEpoch(one.id, 'cdr', epoch), null);
    assert.equal((await store.listAudit({ limit: 9 })).length, 1, 'no line of one that was not there');
    const again = waitingRow(rows, 'SN1');
    await store.addWaitingDevice(again, null);
    assert.deepEqual((await store.intake([push(again, 'x\n')])).map(({ kind, next }) => [kind, next]), [['stored', 2]]);
    assert.equal((await store.intake([push(one, 'one\n')]))[0]!.kind, 'gone');
  });

  contract('keys come, are used and go; with their device all of them', async (store, rows) => {
    const device = deviceOf(rows, 'SN1');
    await store.addDevice(device, rows.audit('device.added'));
    const [old, next] = [keyOf(device, { state: 'current', usedAt: at }), keyOf(device, { digest: 'ef'.repeat(32) })];
    await store.changeDeviceKeys({ put: [old], removed: [] }, rows.audit('device.key-added'));
    await store.changeDeviceKeys({ put: [next], removed: [newId()] }, rows.audit('device.key-added'));
    await store.changeDeviceKeys({ put: [{ ...next, state: 'current', usedAt: at + 1, digest: 'not written', sealed: 'neither' }], removed: [old.id] }, null);
    assert.deepEqual((await store.loadEverything()).deviceKeys, [{ ...next, state: 'current', usedAt: at + 1 }], 'a use changes no key');
    assert.equal((await store.listAudit({ limit: 9 })).length, 3, 'and is no line');
    await rejectsWith(store.changeDeviceKeys({ put: [keyOf({ id: newId(), customerId: rows.customerId })], removed: [next.id] }, rows.audit('device.key-added')), 'not-found');
    await store.changeDeviceKeys({ put: [{ ...old, usedAt: at + 2 }], removed: [next.id] }, null);
    assert.deepEqual((await store.loadEverything()).deviceKeys.map((row) => row.id), [next.id], 'a use of a key that is gone brings it not back, and drops no other');
    await store.removeDevice(device.id, rows.audit('device.removed'));
    assert.deepEqual((await store.loadEverything()).deviceKeys, []);
  });

  contract('several devices come at once, with their keys, or none of them', async (store, rows) => {
    const [one, two, three] = [deviceOf(rows, 'SN1'), deviceOf(rows, 'SN2'), deviceOf(rows, 'SN3', { label: 'sn1' })];
    await store.addDevices([{ device: one, keys: [keyOf(one)] }, { device: two, keys: [] }], { put: [], removed: [] }, [rows.audit('device.imported'), rows.audit('device.imported')]);
    const [known] = (await store.loadEverything()).deviceKeys;
    const next = keyOf(one);
    await rejectsWith(store.addDevices([{ device: deviceOf(rows, 'SN4'), keys: [] }, { device: three, keys: [] }], { put: [next], removed: [known!.id] }, [rows.audit('device.imported')]), 'conflict', /label/);
    const before = await store.loadEverything();
    assert.deepEqual([before.devices.map((row) => row.serial).sort(), before.deviceKeys], [['SN1', 'SN2'], [known]]);
    await store.addDevices([], { put: [next], removed: [known!.id] }, [rows.audit('device.key-imported')]);
    assert.deepEqual((await store.loadEverything()).deviceKeys, [next]);
    assert.deepEqual((await store.listAudit({ limit: 9 })).map((line) => line.what), ['device.key-imported', 'device.imported', 'device.imported']);
  });
}
