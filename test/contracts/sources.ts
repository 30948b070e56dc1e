// The contract of the store's operations about who devices are and what they may use.
import assert from 'node:assert/strict';
import type { Operations } from '#model/operations.ts';
import type { DeviceToken, Evidence, JobSource } from '#model/place-rows.ts';
import type { Device } from '#model/rows.ts';
import { newId, rejectsWith, type Rows } from './store.ts';

type Contract = (title: string, run: (store: Operations, rows: Rows) => Promise<void>) => void;

const at = 1_800_000_000_000;
const byId = (a: { readonly id: string }, b: { readonly id: string }) => (a.id < b.id ? -1 : 1);
const byValue = (a: Evidence, b: Evidence) => (a.value < b.value ? -1 : 1);

export function sourceContract(contract: Contract): void {
  const deviceIn = async (store: Operations, rows: Rows, label: string): Promise<Device> => {
    const device = { ...rows.device('', label), agentId: null, serial: label };
    await store.addDevice(device, rows.audit('device.added'));
    return device;
  };

  contract('the secret of a device\'s URL is kept as a digest, used, withdrawn, and gone with its device', async (store, rows) => {
    const device = await deviceIn(store, rows, 'press');
    const kept = async () => (await store.loadEverything()).deviceTokens.sort(byId);
    const tokenOf = (change: Partial<DeviceToken> = {}): DeviceToken => ({ id: newId(), customerId: rows.customerId, deviceId: device.id, digest: newId(), note: 'scans', createdAt: at, usedAt: null, ...change });
    const [one, two] = [tokenOf(), tokenOf({ note: '' })];
    await store.addDeviceToken(one, rows.audit('device-url.made'));
    await store.addDeviceToken(two, rows.audit('device-url.made'));
    await rejectsWith(store.addDeviceToken(tokenOf({ digest: one.digest }), rows.audit('device-url.made')), 'conflict');
    await rejectsWith(store.addDeviceToken(tokenOf({ deviceId: newId() }), rows.audit('device-url.made')), 'not-found');
    await store.noteEvidence({ put: [], removed: [], tokensUsed: [{ id: one.id, at: at + 5 }, { id: newId(), at }] });
    assert.deepEqual(await kept(), [{ ...one, usedAt: at + 5 }, two].sort(byId));
    await store.removeDeviceToken(one.id, rows.audit('device-url.removed'));
    await rejectsWith(store.removeDeviceToken(one.id, rows.audit('device-url.removed')), 'not-found');
    assert.deepEqual(await kept(), [two]);
    const { seq } = await store.auditHead();
    await store.removeDevice(device.id, rows.audit('device.removed'));
    assert.deepEqual(await kept(), []);
    assert.equal((await store.auditHead()).seq, seq + 1);
  });

  contract('evidence is put over what was there, without a line in the audit', async (store, rows) => {
    const device = await deviceIn(store, rows, 'press');
    const fact = (value: string, change: Partial<Evidence> = {}): Evidence => ({ deviceId: device.id, customerId: rows.customerId, kind: 'mac', value, how: 'seen by agent lan1', firstAt: at, lastAt: at, count: 1, ...change });
    const kept = async () => (await store.loadEverything()).evidence.sort(byValue);
    const { seq } = await store.auditHead();
    const gone = { ...fact('x'), deviceId: newId() };
    await store.noteEvidence({ put: [fact('a'), gone, fact('b \u00fc "q"')], removed: [], tokensUsed: [] });
    assert.deepEqual(await kept(), [fact('a'), fact('b \u00fc "q"')], 'what belongs to no device is passed over, and takes no other with it');
    const later = fact('a', { lastAt: at + 9, count: 2 ** 40, how: 'seen again' });
    await store.noteEvidence({ put: [later, fact('a', { kind: 'shape' })], removed: [fact('b \u00fc "q"'), gone], tokensUsed: [] });
    assert.deepEqual((await kept()).sort((a, b) => (a.kind < b.kind ? -1 : 1)), [later, fact('a', { kind: 'shape' })]);
    assert.equal((await store.auditHead()).seq, seq);
    await store.removeDevice(device.id, rows.audit('device.removed'));
    assert.deepEqual(await kept(), []);
  });

  contract('job sources: one row of an application for each way to name a device', async (store, rows) => {
    const device = await deviceIn(store, rows, 'press');
    const source = (change: Partial<JobSource>): JobSource => ({ id: newId(), customerId: rows.customerId, application: 'scans', deviceId: null, serial: null, siteId: null, address: null, as: null, note: '', createdAt: at, ...change });
    const kept = async () => (await store.loadEverything()).jobSources.sort(byId);
    const put = (...all: readonly JobSource[]) => store.changeJobSources({ put: all, removed: [] }, all.map(() => rows.audit('job-source.added')));
    const all = [source({ deviceId: device.id, as: '203.0.113.5', note: 'left, "upper"' }), source({ serial: 'SN-1' }), source({ siteId: rows.siteId, address: '192.0.2.50' }), source({ application: 'faxes', serial: 'SN-1' })];
    await put(...all);
    assert.deepEqual(await kept(), all.sort(byId));
    const { seq } = await store.auditHead();
    for (const again of [{ deviceId: device.id }, { serial: 'SN-1' }, { siteId: rows.siteId, address: '192.0.2.50' }]) await rejectsWith(put(source({ application: 'mail', serial: 'SN-7' }), source(again)), 'conflict', /scans/);
    await rejectsWith(put(source({ deviceId: newId() })), 'not-found');
    await rejectsWith(put(source({ siteId: newId(), address: '192.0.2.9' })), 'not-found');
    await rejectsWith(store.changeJobSources({ put: [], removed: [newId()] }, []), 'not-found');
    assert.deepEqual(await kept(), all, 'nothing of a change that fails stays');
    assert.equal((await store.auditHead()).seq, seq);
    const [first, ...rest] = all as [JobSource, ...JobSource[]];
    const second = rest.find((row) => row.serial === 'SN-1' && row.application === 'scans')!;
    const changed = { ...second, note: 'changed', as: null };
    const replacing = source({ application: first.application, deviceId: first.deviceId, serial: first.serial, siteId: first.siteId, address: first.address });
    await store.changeJobSources({ put: [changed, replacing], removed: [first.id] }, [rows.audit('job-sources.imported')]);
    assert.deepEqual(await kept(), [changed, replacing, ...rest.filter((row) => row !== second)].sort(byId));
    await store.removeDevice(device.id, rows.audit('device.removed'));
    assert.deepEqual((await kept()).map((row) => row.deviceId), [null, null, null], 'rows by serial and by address outlive a device');
  });

  contract('job sources of a site go with it', async (store, rows) => {
    const site = { id: newId(), customerId: rows.customerId, name: 'south', createdAt: at };
    await store.addSite(site, { siteId: site.id, customerId: rows.customerId, subnets: [], egress: [] }, rows.audit('site.added'));
    await store.changeJobSources({ put: [{ id: newId(), customerId: rows.customerId, application: 'scans', deviceId: null, serial: null, siteId: site.id, address: '192.0.2.50', as: null, note: '', createdAt: at }], removed: [] }, []);
    await store.removeSite(site.id, rows.audit('site.removed'));
    assert.deepEqual((await store.loadEverything()).jobSources, []);
  });
}
