// Writing operations about devices' addresses of the pool.
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { AddressChange } from '#model/place-operations.ts';
import type { ReleasedAddress } from '#model/place-rows.ts';
import type { AuditEntry } from '#model/rows.ts';
import { codecs } from './schema.ts';
import { appendAudit, type Unit } from './unit.ts';

async function release(unit: Unit, row: ReleasedAddress): Promise<void> {
  const stored = codecs.releasedAddress.store(row);
  await unit.db
    .insertInto('releasedAddress')
    .values(stored)
    .onConflict((on) => on.column('address').doUpdateSet(stored))
    .execute();
}

/** With its device an address goes; who had it is kept. */
export async function releaseAddressOf(unit: Unit, deviceId: Id, at: number): Promise<void> {
  const kept = await unit.db.selectFrom('virtualAddress').select(['address', 'customerId']).where('deviceId', '=', deviceId).executeTakeFirst();
  if (kept) await release(unit, { ...kept, deviceId, releasedAt: at });
}

export const virtualAddressWrites = {
  async changeVirtualAddresses(unit: Unit, { put, removed, released, forgetBefore }: AddressChange, audits: readonly AuditEntry[]): Promise<void> {
    for (const deviceId of removed) await unit.db.deleteFrom('virtualAddress').where('deviceId', '=', deviceId).execute();
    for (const row of released) await release(unit, row);
    for (const row of put) {
      const device = await unit.db.selectFrom('device').select('id').where('id', '=', row.deviceId).executeTakeFirst();
      if (!device) throw new Fault('not-found', `device ${row.deviceId} does not exist, or not any more`);
      const stored = codecs.virtualAddress.store(row);
      await unit.db
        .insertInto('virtualAddress')
        .values(stored)
        .onConflict((on) => on.column('deviceId').doUpdateSet(stored))
        .execute();
      await unit.db.deleteFrom('releasedAddress').where('address', '=', row.address).execute();
    }
    await unit.db.deleteFrom('releasedAddress').where('releasedAt', '<', forgetBefore).execute();
    await appendAudit(unit, ...audits);
  },
};
