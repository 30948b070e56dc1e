// Writing operations about what happened: revisions, visits, audit, notes; and what keeps these within their bounds.
import type { Id } from '#base/ids.ts';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { AuditHead } from '#model/audit.ts';
import type { AgentNote, AuditEntry, Customer, Revision, Site, Visit } from '#model/rows.ts';
import { codecs } from './schema.ts';
import { appendAudit, count, type Unit } from './unit.ts';

export const visitsDroppedCounter = 'visits dropped';
/** How long what is used up or expired stays listed. */
const expiredKeptMs = 7 * 24 * 3_600_000;

/** The oldest closed ones go; one that lasts is never dropped. */
async function dropVisits(unit: Unit): Promise<void> {
  const over = unit.state.visits - unit.visitsKeptMax;
  if (over <= 0) return;
  const oldest = unit.db.selectFrom('visit').select('id').where('closedAt', 'is not', null).orderBy('id').limit(over);
  const { numDeletedRows } = await unit.db.deleteFrom('visit').where('id', 'in', oldest).executeTakeFirst();
  const dropped = Number(numDeletedRows);
  if (dropped === 0) return;
  await count(unit, visitsDroppedCounter, dropped);
  unit.state = { ...unit.state, visits: unit.state.visits - dropped };
}

/** The line for a visit whose end nobody saw. */
function leftOpenEntry(visit: Visit, at: number, why: string): AuditEntry {
  return {
    at,
    customerId: visit.customerId,
    actor: visit.who,
    what: 'visit.closed',
    subjectKind: 'device',
    subjectId: visit.deviceId,
    subjectName: visit.deviceName,
    detail: { visit: visit.id, port: visit.port, kind: visit.kind, requests: visit.requests, bytesIn: visit.bytesIn, bytesOut: visit.bytesOut, why },
  };
}

export const recordWrites = {
  async addRevision(unit: Unit, revision: Revision, audit: AuditEntry): Promise<void> {
    const latest = await unit.db.selectFrom('revision').select(['number', 'confirmBy', 'settled']).orderBy('number', 'desc').limit(1).executeTakeFirst();
    const reached = latest?.number ?? 0;
    if (revision.number !== reached + 1) {
      throw new Fault('conflict', `the configuration is at revision ${reached}, so the next is ${reached + 1}, not ${revision.number}`, { remedy: 'load the configuration again and repeat the change' });
    }
    const { actor, config, number, ...rest } = revision;
    if (latest && latest.confirmBy !== null && latest.settled === null) await unit.db.updateTable('revision').set({ settled: 'rolled-back' }).where('number', '=', latest.number).execute();
    await unit.db
      .insertInto('revision')
      .values({ number, ...rest, customerId: audit.customerId, actor: JSON.stringify(actor), config: JSON.stringify(config) })
      .execute();
    await unit.db.deleteFrom('revision').where('number', '<=', number - limits.revisionsKeptMax).execute();
    await appendAudit(unit, audit);
  },

  async confirmRevision(unit: Unit, number: number, audit: AuditEntry): Promise<void> {
    const latest = await unit.db.selectFrom('revision').select(['number', 'confirmBy', 'settled']).orderBy('number', 'desc').limit(1).executeTakeFirst();
    if (latest?.number !== number || latest.confirmBy === null || latest.settled !== null) throw new Fault('conflict', `revision ${number} does not wait to be confirmed`);
    await unit.db.updateTable('revision').set({ settled: 'confirmed' }).where('number', '=', number).execute();
    await appendAudit(unit, audit);
  },

  async openVisit(unit: Unit, visit: Visit, audit: AuditEntry): Promise<void> {
    await unit.db.insertInto('visit').values(codecs.visit.store(visit)).execute();
    unit.state = { ...unit.state, visits: unit.state.visits + 1 };
    await dropVisits(unit);
    await appendAudit(unit, audit);
  },

  async closeVisits(unit: Unit, visits: readonly { visit: Visit; audit: AuditEntry }[]): Promise<void> {
    for (const { visit } of visits) {
      const { id, ...changed } = codecs.visit.store(visit);
      const { numUpdatedRows } = await unit.db.updateTable('visit').set(changed).where('id', '=', id).executeTakeFirst();
      if (numUpdatedRows > 0n) continue;
      // Its opening did not get here. What it did is written all the same, and the others' closings do not fail with it.
      await unit.db.insertInto('visit').values({ id, ...changed }).execute();
      unit.state = { ...unit.state, visits: unit.state.visits + 1 };
    }
    await dropVisits(unit);
    await appendAudit(unit, ...visits.map(({ audit }) => audit));
  },

  async closeLeftOpenVisits(unit: Unit, at: number, why: string): Promise<number> {
    const open = (await unit.db.selectFrom('visit').selectAll().where('closedAt', 'is', null).orderBy('id').execute()).map(codecs.visit.load);
    await unit.db.updateTable('visit').set({ closedAt: at, why }).where('closedAt', 'is', null).execute();
    await dropVisits(unit);
    await appendAudit(unit, ...open.map((visit) => leftOpenEntry(visit, at, why)));
    return open.length;
  },

  async addAudit(unit: Unit, entries: readonly AuditEntry[]): Promise<void> {
    await appendAudit(unit, ...entries);
  },

  async auditHead(unit: Unit): Promise<AuditHead> {
    return unit.state.head;
  },

  async note(unit: Unit, notes: { agents: readonly AgentNote[]; signIns: readonly { id: Id; at: number }[]; tokens: readonly { id: Id; at: number }[] }): Promise<void> {
    for (const note of notes.agents) {
      const agent = await unit.db.selectFrom('agent').select('customerId').where('id', '=', note.agentId).executeTakeFirst();
      // Removed since it was noted.
      if (!agent) continue;
      const stored = { ...codecs.agentNote.store(note), customerId: agent.customerId };
      await unit.db
        .insertInto('agentNote')
        .values(stored)
        .onConflict((on) => on.column('agentId').doUpdateSet(stored))
        .execute();
    }
    for (const { id, at } of notes.signIns) await unit.db.updateTable('signIn').set({ lastUsedAt: at }).where('id', '=', id).execute();
    for (const { id, at } of notes.tokens) await unit.db.updateTable('token').set({ lastUsedAt: at }).where('id', '=', id).execute();
  },

  /** At start: the first customer and its site, when there is none. */
  async makeDefaults(unit: Unit, customer: Customer, site: Site): Promise<void> {
    if (await unit.db.selectFrom('customer').select('id').limit(1).executeTakeFirst()) return;
    await unit.db.insertInto('customer').values(codecs.customer.store(customer)).execute();
    await unit.db.insertInto('site').values(codecs.site.store(site)).execute();
  },

  /** At start: what has been worth nothing for a week goes, so that these tables do not grow for ever. */
  async dropExpired(unit: Unit, at: number): Promise<void> {
    const before = at - expiredKeptMs;
    for (const table of ['signIn', 'joinToken', 'invite'] as const) await unit.db.deleteFrom(table).where('expiresAt', '<', before).execute();
    await unit.db.deleteFrom('oldLabel').where('until', '<', before).execute();
  },
};
