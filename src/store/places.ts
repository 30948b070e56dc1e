// Writing operations about sites, what is known of their networks, and doors in them.
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { SiteMove } from '#model/place-operations.ts';
import type { SiteDoor, SitePlace } from '#model/place-rows.ts';
import type { AuditEntry, Site } from '#model/rows.ts';
import { codecs } from './schema.ts';
import { appendAudit, mustTouch, type Unit } from './unit.ts';

/** A site of which nothing is known has no row. */
async function storePlace(unit: Unit, place: SitePlace): Promise<void> {
  if (place.subnets.length + place.egress.length === 0) {
    await unit.db.deleteFrom('sitePlace').where('siteId', '=', place.siteId).execute();
    return;
  }
  const stored = codecs.sitePlace.store(place);
  await unit.db
    .insertInto('sitePlace')
    .values(stored)
    .onConflict((on) => on.column('siteId').doUpdateSet(stored))
    .execute();
}

export const placeWrites = {
  async addSite(unit: Unit, site: Site, place: SitePlace, audit: AuditEntry): Promise<void> {
    await unit.db.insertInto('site').values(codecs.site.store(site)).execute();
    await storePlace(unit, place);
    await appendAudit(unit, audit);
  },

  async changeSite(unit: Unit, site: Site, place: SitePlace, audit: AuditEntry): Promise<void> {
    mustTouch(await unit.db.updateTable('site').set({ name: site.name }).where('id', '=', site.id).executeTakeFirst(), `site ${site.id}`);
    await storePlace(unit, place);
    await appendAudit(unit, audit);
  },

  /** Tokens that nobody can join with any more go along; the agent that one made is what counts. */
  async removeSite(unit: Unit, siteId: Id, audit: AuditEntry): Promise<void> {
    for (const table of ['agent', 'device', 'siteDoor'] as const) {
      const one = await unit.db.selectFrom(table).select('id').where('siteId', '=', siteId).limit(1).executeTakeFirst();
      if (one) throw new Fault('conflict', `the site still has ${table === 'siteDoor' ? 'doors' : `${table}s`}`, { remedy: 'Move or remove them first.' });
    }
    const waiting = await unit.db.selectFrom('joinToken').select('id').where('siteId', '=', siteId).where('usedAt', 'is', null).where('expiresAt', '>', audit.at).limit(1).executeTakeFirst();
    if (waiting) throw new Fault('conflict', 'a join token for the site waits to be used', { remedy: 'Take it back first.' });
    await unit.db.deleteFrom('joinToken').where('siteId', '=', siteId).execute();
    mustTouch(await unit.db.deleteFrom('site').where('id', '=', siteId).executeTakeFirst(), `site ${siteId}`);
    await appendAudit(unit, audit);
  },

  async moveToSite(unit: Unit, { siteId, agentIds, deviceIds }: SiteMove, audits: readonly AuditEntry[]): Promise<void> {
    for (const id of agentIds) {
      mustTouch(await unit.db.updateTable('agent').set({ siteId }).where('id', '=', id).executeTakeFirst(), `agent ${id}`);
      await unit.db.updateTable('siteDoor').set({ siteId }).where('agentId', '=', id).execute();
    }
    for (const id of deviceIds) mustTouch(await unit.db.updateTable('device').set({ siteId }).where('id', '=', id).executeTakeFirst(), `device ${id}`);
    await appendAudit(unit, ...audits);
  },

  async addDoor(unit: Unit, door: SiteDoor, audit: AuditEntry): Promise<void> {
    const agent = await unit.db.selectFrom('agent').select(['state', 'siteId']).where('id', '=', door.agentId).executeTakeFirst();
    if (!agent || agent.siteId !== door.siteId) throw new Fault('not-found', `agent ${door.agentId} does not exist at that site, or not any more`);
    if (agent.state === 'revoked') throw new Fault('conflict', `agent ${door.agentId} is revoked and opens no doors`, { remedy: 'join it again with a new token' });
    await unit.db.insertInto('siteDoor').values(codecs.siteDoor.store(door)).execute();
    await appendAudit(unit, audit);
  },

  async changeDoor(unit: Unit, door: SiteDoor, audit: AuditEntry): Promise<void> {
    const { address, port, listener } = codecs.siteDoor.store(door);
    mustTouch(await unit.db.updateTable('siteDoor').set({ address, port, listener }).where('id', '=', door.id).executeTakeFirst(), `door ${door.id}`);
    await appendAudit(unit, audit);
  },

  async removeDoor(unit: Unit, doorId: Id, audit: AuditEntry): Promise<void> {
    mustTouch(await unit.db.deleteFrom('siteDoor').where('id', '=', doorId).executeTakeFirst(), `door ${doorId}`);
    await appendAudit(unit, audit);
  },
};
