// What doctor looks at of devices that push. Composition: tables, configuration and store into what model/doctor-fleet.ts judges.
import { limits } from '#base/limits.ts';
import type { Config } from '#model/config.ts';
import { judgeContact, judgeFeeds, judgeWaiting, type ContactSeen, type WaitingSeen } from '#model/doctor-fleet.ts';
import type { Judgement } from '#model/doctor.ts';
import { strangersOf } from '#model/feed-rules.ts';
import type { IntakeOperations } from '#model/intake.ts';
import { leaseKey, type Tables } from '#model/tables.ts';

export interface FleetCheckDeps {
  readonly tables: Pick<Tables, 'devices' | 'deviceNotes' | 'waitingDevices' | 'customers' | 'leases'>;
  readonly operations: Pick<IntakeOperations, 'listTroubled'>;
  readonly nowMs: () => number;
  readonly config: () => Pick<Config, 'strangers' | 'checkIn'>;
}

type Check = readonly [id: string, title: string, look: () => Promise<Judgement> | Judgement];
const troubledMax = 100;
/** As the configuration has it where nobody wrote one. */
const usualPollSeconds = 86_400;

export function fleetChecks({ tables, operations, nowMs, config }: FleetCheckDeps): readonly Check[] {
  const waiting = (): WaitingSeen[] =>
    Array.from(tables.waitingDevices.values(), ({ customerId, serial, firstSeenAt, lastSeenAt, bytes }) => {
      const customer = tables.customers.get(customerId)?.key ?? '';
      const { policy, quarantineBytes = limits.quarantineBytes } = strangersOf(config(), customer);
      return { customer, serial, firstSeenAt, lastSeenAt, bytes, quarantineBytes: policy === 'quarantine' ? quarantineBytes : null };
    });
  const contacts = (): ContactSeen[] => {
    const now = nowMs();
    const seen: ContactSeen[] = [];
    for (const { id, customerId, serial, label, createdAt, agentId, locked } of tables.devices.values()) {
      const note = tables.deviceNotes.get(id);
      if (locked || (agentId !== null && !note)) continue;
      const lease = serial === null ? undefined : tables.leases.get(leaseKey(customerId, serial));
      // It was sent to another server and talks to that one.
      if (lease && lease.until > now && lease.server !== 'here') continue;
      seen.push({ label, createdAt, lastSeenAt: note?.lastSeenAt ?? null });
    }
    return seen;
  };
  return [
    ['feeds', 'Feeds', async () => judgeFeeds(await operations.listTroubled(troubledMax))],
    ['waiting', 'Waiting devices', () => judgeWaiting(waiting(), nowMs())],
    ['contact', 'Devices that push', () => judgeContact(contacts(), (config().checkIn?.pollSeconds ?? usualPollSeconds) * 1_000, nowMs())],
  ];
}
