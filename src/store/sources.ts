// Writing operations about who devices are and what they may use: secrets of their URLs, evidence, job sources.
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { DeviceToken, JobSource } from '#model/place-rows.ts';
import type { AuditEntry } from '#model/rows.ts';
import type { EvidenceNotes, SourceChange } from '#model/source-operations.ts';
import { codecs } from './schema.ts';
import { appendAudit, mustTouch, type Unit } from './unit.ts';

const idsAtOnce = 500;

async function mustBe(unit: Unit, table: 'device' | 'site', id: Id): Promise<void> {
  if (!(await unit.db.selectFrom(table).select('id').where('id', '=', id).executeTakeFirst())) throw new Fault('not-found', `${table} ${id} does not exist, or not any more`);
}

async function putSource(unit: Unit, source: JobSource): Promise<void> {
  const { application, customerId, deviceId, serial, siteId, address } = source;
  if (deviceId !== null) await mustBe(unit, 'device', deviceId);
  if (siteId !== null) await mustBe(unit, 'site', siteId);
  let others = unit.db.selectFrom('jobSource').select('id').where('id', '!=', source.id).where('application', '=', application);
  if (deviceId !== null) others = others.where('deviceId', '=', deviceId);
  else if (serial !== null) others = others.where('customerId', '=', customerId).where('serial', '=', serial);
  else others = others.where('siteId', '=', siteId).where('address', '=', address);
  if (await others.executeTakeFirst()) throw new Fault('conflict', `a row of ${application} names that device already`, { remedy: 'Change that one, or remove it first.' });
  const stored = codecs.jobSource.store(source);
  const { id: _, createdAt: __, ...changed } = stored;
  await unit.db
    .insertInto('jobSource')
    .values(stored)
    .onConflict((on) => on.column('id').doUpdateSet(changed))
    .execute();
}

async function existing(unit: Unit, ids: readonly Id[]): Promise<ReadonlySet<Id>> {
  const found = new Set<Id>();
  for (let from = 0; from < ids.length; from += idsAtOnce) {
    for (const { id } of await unit.db.selectFrom('device').select('id').where('id', 'in', ids.slice(from, from + idsAtOnce)).execute()) found.add(id);
  }
  return found;
}

export const sourceWrites = {
  async addDeviceToken(unit: Unit, token: DeviceToken, audit: AuditEntry): Promise<void> {
    await mustBe(unit, 'device', token.deviceId);
    await unit.db.insertInto('deviceToken').values(codecs.deviceToken.store(token)).execute();
    await appendAudit(unit, audit);
  },

  async removeDeviceToken(unit: Unit, tokenId: Id, audit: AuditEntry): Promise<void> {
    mustTouch(await unit.db.deleteFrom('deviceToken').where('id', '=', tokenId).executeTakeFirst(), `the URL ${tokenId}`);
    await appendAudit(unit, audit);
  },

  async noteEvidence(unit: Unit, { put, removed, tokensUsed }: EvidenceNotes): Promise<void> {
    for (const { deviceId, kind, value } of removed) await unit.db.deleteFrom('evidence').where('deviceId', '=', deviceId).where('kind', '=', kind).where('value', '=', value).execute();
    for (const { id, at } of tokensUsed) await unit.db.updateTable('deviceToken').set({ usedAt: at }).where('id', '=', id).execute();
    const standing = await existing(unit, [...new Set(put.map((row) => row.deviceId))]);
    for (const row of put) {
      if (!standing.has(row.deviceId)) continue;
      const stored = codecs.evidence.store(row);
      await unit.db
        .insertInto('evidence')
        .values(stored)
        .onConflict((on) => on.columns(['deviceId', 'kind', 'value']).doUpdateSet({ how: stored.how, firstAt: stored.firstAt, lastAt: stored.lastAt, count: stored.count }))
        .execute();
    }
  },

  async changeJobSources(unit: Unit, { put, removed }: SourceChange, audits: readonly AuditEntry[]): Promise<void> {
    for (const id of removed) mustTouch(await unit.db.deleteFrom('jobSource').where('id', '=', id).executeTakeFirst(), `job source ${id}`);
    for (const source of put) await putSource(unit, source);
    await appendAudit(unit, ...audits);
  },
};
