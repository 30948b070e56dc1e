// Writing operations about certificates. Their keys are files, written before the row that names them.
import type { Id } from '#base/ids.ts';
import type { AuditEntry, Certificate } from '#model/rows.ts';
import { codecs } from './schema.ts';
import { appendAudit, mustTouch, type Unit } from './unit.ts';

export const certificateWrites = {
  async addCertificate(unit: Unit, certificate: Certificate, audit: AuditEntry): Promise<void> {
    await unit.db.insertInto('certificate').values(codecs.certificate.store(certificate)).execute();
    await appendAudit(unit, audit);
  },

  async changeCertificate(unit: Unit, certificate: Certificate, audit: AuditEntry): Promise<void> {
    const { id, createdAt: _, ...changed } = codecs.certificate.store(certificate);
    mustTouch(await unit.db.updateTable('certificate').set(changed).where('id', '=', id).executeTakeFirst(), `certificate ${id}`);
    await appendAudit(unit, audit);
  },

  async removeCertificate(unit: Unit, certificateId: Id, audit: AuditEntry): Promise<void> {
    mustTouch(await unit.db.deleteFrom('certificate').where('id', '=', certificateId).executeTakeFirst(), `certificate ${certificateId}`);
    await appendAudit(unit, audit);
  },

  async noteCertificateAttempt(unit: Unit, { id, ...attempt }: { id: Id; lastTriedAt: number; lastError: string | null }): Promise<void> {
    await unit.db.updateTable('certificate').set(attempt).where('id', '=', id).execute();
  },
};
