// Writing operations about agents and devices: joining, changing, removing.
import type { Id } from '#base/ids.ts';
import { Fault } from '#base/fault.ts';
import type { Agent, AgentCertificate, AuditEntry, Device, JoinToken, OldLabel } from '#model/rows.ts';
import { codecs } from './schema.ts';
import { appendAudit, mustTouch, type Unit } from './unit.ts';
import { releaseAddressOf } from './virtual-addresses.ts';

/** Serials are what devices that push are known by: unique in a customer. Stores of before this was said may hold two of one; they stay until somebody changes one. */
async function mustBeFree(unit: Unit, { id, customerId, serial }: Device): Promise<void> {
  if (serial === null) return;
  const other = await unit.db.selectFrom('device').select('name').where('customerId', '=', customerId).where('serial', '=', serial).where('id', '!=', id).executeTakeFirst();
  if (other) throw new Fault('conflict', `the serial ${serial} belongs to ${other.name} already`, { remedy: 'Give the right serial, or remove the other device first.' });
}

/** A label that is in use again redirects nowhere. */
export async function insertDevice(unit: Unit, device: Device): Promise<void> {
  await mustBeFree(unit, device);
  await unit.db.insertInto('device').values(codecs.device.store(device)).execute();
  await unit.db.deleteFrom('oldLabel').where('label', '=', device.label).execute();
}

async function revokeCertificates(unit: Unit, agentId: Id, at: number): Promise<void> {
  await unit.db.updateTable('agentCertificate').set({ revokedAt: at }).where('agentId', '=', agentId).where('revokedAt', 'is', null).execute();
}

export const deviceWrites = {
  async addJoinToken(unit: Unit, token: JoinToken, audit: AuditEntry): Promise<void> {
    await unit.db.insertInto('joinToken').values(codecs.joinToken.store(token)).execute();
    await appendAudit(unit, audit);
  },

  async removeJoinToken(unit: Unit, tokenId: Id, audit: AuditEntry): Promise<void> {
    mustTouch(await unit.db.deleteFrom('joinToken').where('id', '=', tokenId).executeTakeFirst(), `join token ${tokenId}`);
    await appendAudit(unit, audit);
  },

  async join(unit: Unit, joinTokenId: Id, agent: Agent, certificate: AgentCertificate, device: Device, audit: AuditEntry): Promise<void> {
    const used = await unit.db
      .updateTable('joinToken')
      .set({ usedAt: audit.at, usedByAgentId: agent.id })
      .where('id', '=', joinTokenId)
      .where('usedAt', 'is', null)
      .where('expiresAt', '>', audit.at)
      .executeTakeFirst();
    if (used.numUpdatedRows === 0n) throw new Fault('gone', 'this join token was used, withdrawn or has expired', { remedy: 'make a new join token on the gateway' });
    await unit.db.insertInto('agent').values(codecs.agent.store(agent)).execute();
    await unit.db.insertInto('agentCertificate').values(codecs.agentCertificate.store(certificate)).execute();
    await insertDevice(unit, device);
    await appendAudit(unit, audit);
  },

  /** Looked at once more in the transaction: the agent may have been revoked while its renewal was under way. */
  async addAgentCertificate(unit: Unit, certificate: AgentCertificate, audit: AuditEntry): Promise<void> {
    const agent = await unit.db.selectFrom('agent').select('state').where('id', '=', certificate.agentId).executeTakeFirst();
    if (!agent) throw new Fault('not-found', `agent ${certificate.agentId} does not exist, or not any more`);
    if (agent.state === 'revoked') throw new Fault('conflict', `agent ${certificate.agentId} is revoked and gets no certificate`, { remedy: 'join the device again with a new token' });
    await unit.db.insertInto('agentCertificate').values(codecs.agentCertificate.store(certificate)).execute();
    await appendAudit(unit, audit);
  },

  async changeAgent(unit: Unit, agent: Agent, audit: AuditEntry): Promise<void> {
    const before = await unit.db.selectFrom('agent').select('state').where('id', '=', agent.id).executeTakeFirst();
    if (!before) throw new Fault('not-found', `agent ${agent.id} does not exist, or not any more`);
    if (before.state === 'revoked' && agent.state !== 'revoked') throw new Fault('conflict', `agent ${agent.id} is revoked for ever`, { remedy: 'join the device again with a new token' });
    const { id, createdAt: _, ...changed } = codecs.agent.store(agent);
    await unit.db.updateTable('agent').set(changed).where('id', '=', id).execute();
    if (agent.state === 'revoked') {
      await revokeCertificates(unit, id, audit.at);
      await unit.db.deleteFrom('delivery').where('agentId', '=', id).execute();
      await unit.db.deleteFrom('siteDoor').where('agentId', '=', id).execute();
    }
    await appendAudit(unit, audit);
  },

  async addDevice(unit: Unit, device: Device, audit: AuditEntry): Promise<void> {
    await insertDevice(unit, device);
    await appendAudit(unit, audit);
  },

  async changeDevice(unit: Unit, device: Device, audit: AuditEntry, oldLabel?: OldLabel): Promise<void> {
    const { id, createdAt: _, ...changed } = codecs.device.store(device);
    await mustBeFree(unit, device);
    mustTouch(await unit.db.updateTable('device').set(changed).where('id', '=', id).executeTakeFirst(), `device ${id}`);
    await unit.db.deleteFrom('oldLabel').where('label', '=', device.label).execute();
    if (oldLabel) {
      const stored = codecs.oldLabel.store(oldLabel);
      await unit.db
        .insertInto('oldLabel')
        .values(stored)
        .onConflict((on) => on.column('label').doUpdateSet(stored))
        .execute();
    }
    await appendAudit(unit, audit);
  },

  /**
   * Rights whose scope was this device stay: a token that may do only what its own rights say must not come to have
   * none, which would mean all that its person may do. The id never comes back.
   */
  async removeDevice(unit: Unit, deviceId: Id, audit: AuditEntry): Promise<void> {
    const device = await unit.db.selectFrom('device').select('agentId').where('id', '=', deviceId).executeTakeFirst();
    if (!device) throw new Fault('not-found', `device ${deviceId} does not exist, or not any more`);
    await releaseAddressOf(unit, deviceId, audit.at);
    await unit.db.deleteFrom('device').where('id', '=', deviceId).execute();
    if (device.agentId === null) return appendAudit(unit, audit);
    const another = await unit.db.selectFrom('device').select('id').where('agentId', '=', device.agentId).limit(1).executeTakeFirst();
    if (!another) {
      await revokeCertificates(unit, device.agentId, audit.at);
      await unit.db.deleteFrom('agent').where('id', '=', device.agentId).execute();
    }
    await appendAudit(unit, audit);
  },
};
