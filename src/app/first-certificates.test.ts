import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildInTurn } from '#base/in-turn.ts';
import { silentLog } from '#base/log.ts';
import type { AuditEntry, Device } from '#model/rows.ts';
import { buildTables } from '#model/tables.ts';
import { testClock } from '../../test/sim/ends.ts';
import { buildFirstCertificates } from './first-certificates.ts';

const id = '0190b2c4-0000-7000-8000-000000000001';
const camera: Device = { id, customerId: 'c', siteId: 's', agentId: 'a', serial: null, label: 'camera', name: 'Camera', host: '127.0.0.1', ports: [{ number: 443, name: '', kind: 'https', fingerprint: null }, { number: 8443, name: '', kind: 'https', fingerprint: null }], hostHeader: 'own', locked: false, createdAt: 0 };

function room(changeDevice: (row: Device, audit: AuditEntry) => Promise<void>) {
  const tables = buildTables({ customers: [], sites: [], agents: [], agentCertificates: [], agentNotes: [], devices: [camera], oldLabels: [], people: [], rights: [], signIns: [], tokens: [], joinTokens: [], invites: [], certificates: [], deliveries: [], deviceKeys: [], waitingDevices: [], deviceNotes: [], leases: [], deviceTags: [], suspensions: [], sitePlaces: [], siteDoors: [], virtualAddresses: [], releasedAddresses: [], deviceProfiles: [], deviceTokens: [], evidence: [], jobSources: [] });
  const inTurn = buildInTurn(10);
  return { tables, inTurn, first: buildFirstCertificates({ tables, operations: { changeDevice }, inTurn, clock: testClock, log: silentLog }) };
}

test('of two connections at once, with two certificates, one certificate counts: for both, in memory and in the store', async () => {
  const audits: AuditEntry[] = [];
  const { tables, inTurn, first } = room(async (_, audit) => void audits.push(audit));
  assert.equal(first.accept(camera, { number: 443 }, 'aa'), 'aa');
  assert.equal(first.accept(camera, { number: 443 }, 'bb'), 'aa');
  assert.equal(first.accept(camera, { number: 8443 }, 'cc'), 'cc', 'another port has its own');
  await inTurn(async () => {});
  assert.deepEqual(tables.devices.get(id)?.ports.map((port) => port.fingerprint), ['aa', 'cc']);
  assert.deepEqual(audits.map(({ what, detail }) => [what, detail['port'], detail['first']]), [['device.certificate-accepted', 443, true], ['device.certificate-accepted', 8443, true]]);
  // A connection that was dialled before that, and comes late.
  assert.equal(first.accept(camera, { number: 443 }, 'bb'), 'aa');
  assert.equal(audits.length, 2);
});

test('what cannot be stored is not held against the next', async () => {
  const { inTurn, first } = room(() => Promise.reject(new Error('disk full')));
  assert.equal(first.accept(camera, { number: 443 }, 'aa'), 'aa');
  await inTurn(async () => {});
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(first.accept(camera, { number: 443 }, 'bb'), 'bb');
});
