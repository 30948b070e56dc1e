// Writing operations about who a device is: its keys, serials that wait, devices that come without an agent.
import type { Id } from '#base/ids.ts';
import { Fault } from '#base/fault.ts';
import type { KeyChange } from '#model/device-keys.ts';
import type { IdentifiedDevice } from '#model/identity-operations.ts';
import type { AuditEntry, DeviceKey, WaitingDevice } from '#model/rows.ts';
import { insertDevice } from './devices.ts';
import { forgetEpochs } from './intake.ts';
import { codecs } from './schema.ts';
import { appendAudit, type Unit } from './unit.ts';

async function putKeys(unit: Unit, keys: readonly DeviceKey[]): Promise<void> {
  for (const key of keys) {
    const stored = codecs.deviceKey.store(key);
    await unit.db
      .insertInto('deviceKey')
      .values(stored)
      .onConflict((on) => on.column('id').doUpdateSet({ state: stored.state, usedAt: stored.usedAt }))
      .execute();
  }
}

async function changeKeys(unit: Unit, { put, removed }: KeyChange): Promise<void> {
  for (const id of removed) await unit.db.deleteFrom('deviceKey').where('id', '=', id).execute();
  await putKeys(unit, put);
}

/** A key that was removed while it was being used does not come back, and takes no other with it. */
async function noteUse(unit: Unit, { put, removed }: KeyChange): Promise<void> {
  for (const { id, state, usedAt } of put) {
    const touched = await unit.db.updateTable('deviceKey').set({ state, usedAt }).where('id', '=', id).executeTakeFirst();
    if (touched.numUpdatedRows === 0n) return;
  }
  for (const id of removed) await unit.db.deleteFrom('deviceKey').where('id', '=', id).execute();
}

/** What a waiting device brought goes with it. Chunks, gaps and alerts go with their epochs by the schema. */
async function dropQuarantine(unit: Unit, id: Id): Promise<void> {
  await unit.db.deleteFrom('feed').where('deviceId', '=', id).execute();
  await unit.db.deleteFrom('deviceNote').where('deviceId', '=', id).execute();
  forgetEpochs(unit);
}

export const identityWrites = {
  async changeDeviceKeys(unit: Unit, change: KeyChange, audit: AuditEntry | null): Promise<void> {
    if (audit === null) return noteUse(unit, change);
    for (const deviceId of new Set(change.put.map((key) => key.deviceId))) {
      if (!(await unit.db.selectFrom('device').select('id').where('id', '=', deviceId).executeTakeFirst())) throw new Fault('not-found', `device ${deviceId} does not exist, or not any more`);
    }
    await changeKeys(unit, change);
    await appendAudit(unit, audit);
  },

  async addWaitingDevice(unit: Unit, row: WaitingDevice, dropped: Id | null): Promise<void> {
    if (dropped !== null) {
      const gone = await unit.db.deleteFrom('waitingDevice').where('id', '=', dropped).where('bytes', '=', 0).executeTakeFirst();
      if (gone.numDeletedRows === 0n) throw new Fault('conflict', 'data came meanwhile for the device that was to make room', { remedy: 'repeat the request' });
      await dropQuarantine(unit, dropped);
    }
    await unit.db.insertInto('waitingDevice').values(codecs.waitingDevice.store(row)).execute();
  },

  async noteWaitingDevice(unit: Unit, row: WaitingDevice): Promise<void> {
    const { name, from, product, lastSeenAt, keyDigest, keySealed } = codecs.waitingDevice.store(row);
    await unit.db.updateTable('waitingDevice').set({ name, from, product, lastSeenAt, keyDigest, keySealed }).where('id', '=', row.id).execute();
  },

  async approveWaitingDevices(unit: Unit, approved: readonly (IdentifiedDevice & { readonly audit: AuditEntry })[]): Promise<void> {
    for (const { device, keys, audit } of approved) {
      const waited = await unit.db.deleteFrom('waitingDevice').where('id', '=', device.id).executeTakeFirst();
      if (waited.numDeletedRows === 0n) throw new Fault('conflict', `${device.serial ?? device.name} does not wait any more`, { remedy: 'look at the list again' });
      await insertDevice(unit, device);
      await putKeys(unit, keys);
      await appendAudit(unit, audit);
    }
  },

  async refuseWaitingDevices(unit: Unit, refused: readonly { readonly id: Id; readonly audit: AuditEntry }[]): Promise<void> {
    for (const { id, audit } of refused) {
      const gone = await unit.db.deleteFrom('waitingDevice').where('id', '=', id).executeTakeFirst();
      if (gone.numDeletedRows === 0n) continue;
      await dropQuarantine(unit, id);
      await appendAudit(unit, audit);
    }
  },

  async addDevices(unit: Unit, devices: readonly IdentifiedDevice[], change: KeyChange, audits: readonly AuditEntry[]): Promise<void> {
    for (const { device, keys } of devices) {
      await insertDevice(unit, device);
      await putKeys(unit, keys);
    }
    await changeKeys(unit, change);
    await appendAudit(unit, ...audits);
  },
};
