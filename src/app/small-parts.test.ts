import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '#base/log.ts';
import type { Agent, AgentNote } from '#model/rows.ts';
import { buildTables } from '#model/tables.ts';
import { testClock } from '../../test/sim/ends.ts';
import { keepNotes, undoAll } from './small-parts.ts';

const agent: Agent = { id: 'a1', customerId: 'c', siteId: 's', name: 'a1', state: 'active', createdAt: 0 };
const note = (agentId: string): AgentNote => ({ agentId, lastSeenAt: 5, lastLeftWhy: null, version: null, from: null, policy: null });

test('a removed agent gets no note: neither in the table nor in the store', async () => {
  const tables = buildTables({ customers: [], sites: [], agents: [agent], agentCertificates: [], agentNotes: [], devices: [], oldLabels: [], people: [], rights: [], signIns: [], tokens: [], joinTokens: [], invites: [], certificates: [], deliveries: [], deviceKeys: [], waitingDevices: [], deviceNotes: [], leases: [], deviceTags: [], suspensions: [], sitePlaces: [], siteDoors: [], virtualAddresses: [], releasedAddresses: [], deviceProfiles: [], deviceTokens: [], evidence: [], jobSources: [] });
  const stored: string[] = [];
  const notes = keepNotes({ tables, clock: testClock, log: silentLog, operations: { note: (all) => (stored.push(...all.agents.map((each) => each.agentId)), Promise.resolve()) } });
  notes.agentSeen(note('a1'));
  assert.equal(tables.agentNotes.size, 1);
  tables.agents.publish({ removed: ['a1'] });
  tables.agentNotes.publish({ removed: ['a1'] });
  notes.agentSeen(note('a1'));
  assert.equal(tables.agentNotes.size, 0);
  await notes.close();
  assert.deepEqual(stored, []);
});

test('what fails to close keeps nothing else open', async () => {
  const closed: string[] = [];
  const logged: string[] = [];
  const log = { ...silentLog, error: (event: string, fields?: Readonly<Record<string, unknown>>) => void logged.push(`${event}: ${String(fields?.['why'])}`) };
  const steps = [
    () => void closed.push('folder'),
    () => Promise.reject(new Error('disk full')),
    () => {
      throw new Error('thrown at once');
    },
    () => Promise.resolve(void closed.push('listeners')),
  ];
  await undoAll(steps, log);
  assert.deepEqual(closed, ['listeners', 'folder']);
  assert.deepEqual(logged, ['gateway.not-closed: thrown at once', 'gateway.not-closed: disk full']);
});
