// Writing operations about certificates that agents put in place. They go with their certificate and with their agent by the schema.
import type { Id } from '#base/ids.ts';
import { Fault } from '#base/fault.ts';
import type { AuditEntry, Delivery } from '#model/rows.ts';
import { codecs } from './schema.ts';
import { appendAudit, mustTouch, type Unit } from './unit.ts';

export const deliveryWrites = {
  async addDelivery(unit: Unit, delivery: Delivery, audit: AuditEntry): Promise<void> {
    const agent = await unit.db.selectFrom('agent').select('state').where('id', '=', delivery.agentId).executeTakeFirst();
    if (!agent) throw new Fault('not-found', `agent ${delivery.agentId} does not exist, or not any more`);
    if (agent.state === 'revoked') throw new Fault('conflict', `agent ${delivery.agentId} is revoked and gets no certificate`, { remedy: 'join the device again with a new token' });
    await unit.db.insertInto('delivery').values(codecs.delivery.store(delivery)).execute();
    await appendAudit(unit, audit);
  },

  async changeDelivery(unit: Unit, delivery: Delivery, audit: AuditEntry): Promise<void> {
    const { id, createdAt: _, ...changed } = codecs.delivery.store(delivery);
    mustTouch(await unit.db.updateTable('delivery').set(changed).where('id', '=', id).executeTakeFirst(), `delivery ${id}`);
    await appendAudit(unit, audit);
  },

  async removeDelivery(unit: Unit, deliveryId: Id, audit: AuditEntry): Promise<void> {
    mustTouch(await unit.db.deleteFrom('delivery').where('id', '=', deliveryId).executeTakeFirst(), `delivery ${deliveryId}`);
    await appendAudit(unit, audit);
  },
};
