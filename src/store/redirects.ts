// Writing operations about which server a device belongs to: tags, suspended customers, leases.
import type { Id } from '#base/ids.ts';
import { Fault } from '#base/fault.ts';
import type { AuditEntry, DeviceTags, Lease, Suspension } from '#model/rows.ts';
import { codecs } from './schema.ts';
import { appendAudit, mustTouch, type Unit } from './unit.ts';

export const redirectWrites = {
  async setDeviceTags(unit: Unit, tags: DeviceTags, audit: AuditEntry): Promise<void> {
    const device = await unit.db.selectFrom('device').select('id').where('id', '=', tags.deviceId).executeTakeFirst();
    if (!device) throw new Fault('not-found', `device ${tags.deviceId} does not exist, or not any more`);
    const stored = codecs.deviceTags.store(tags);
    if (tags.tags.length === 0) await unit.db.deleteFrom('deviceTags').where('deviceId', '=', tags.deviceId).execute();
    else {
      await unit.db
        .insertInto('deviceTags')
        .values(stored)
        .onConflict((on) => on.column('deviceId').doUpdateSet(stored))
        .execute();
    }
    await appendAudit(unit, audit);
  },

  async suspendCustomer(unit: Unit, suspension: Suspension, audit: AuditEntry): Promise<void> {
    await unit.db.insertInto('suspension').values(codecs.suspension.store(suspension)).execute();
    await appendAudit(unit, audit);
  },

  async resumeCustomer(unit: Unit, customerId: Id, audit: AuditEntry): Promise<void> {
    mustTouch(await unit.db.deleteFrom('suspension').where('customerId', '=', customerId).executeTakeFirst(), `the suspension of customer ${customerId}`);
    await appendAudit(unit, audit);
  },

  async noteLeases(unit: Unit, leases: readonly Lease[], ended: readonly Pick<Lease, 'customerId' | 'serial'>[]): Promise<void> {
    for (const { customerId, serial } of ended) await unit.db.deleteFrom('lease').where('customerId', '=', customerId).where('serial', '=', serial).execute();
    for (const lease of leases) {
      const stored = codecs.lease.store(lease);
      await unit.db
        .insertInto('lease')
        .values(stored)
        .onConflict((on) => on.columns(['customerId', 'serial']).doUpdateSet(stored))
        .execute();
    }
  },
};
