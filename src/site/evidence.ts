// What devices' identities rest on, with when it was seen first and last: in memory at once, in the store in batches. It is lost at a crash for a
// few seconds, and nothing waits for it.
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { type Log, printable } from '#base/log.ts';
import type { Asked, Identity } from '#model/identity.ts';
import { confirmationOf } from '#model/identity-known.ts';
import type { DeviceProfile, DeviceToken, Evidence, EvidenceKind } from '#model/place-rows.ts';
import type { Device } from '#model/rows.ts';
import type { SourceOperations } from '#model/source-operations.ts';
import type { Table, TableWriter } from '#model/table.ts';
import { evidenceKey } from '#model/tables.ts';

export interface EvidenceOptions {
  readonly tables: {
    readonly evidence: TableWriter<Evidence>;
    readonly deviceTokens: TableWriter<DeviceToken>;
    readonly deviceProfiles: Table<DeviceProfile>;
    readonly devices: Table<Device>;
    evidenceOf(deviceId: Id): readonly Evidence[];
  };
  readonly operations: Pick<SourceOperations, 'noteEvidence'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: Pick<Limits, 'evidencePerDeviceMax' | 'evidenceEveryMs'>;
}

/** What a strong mark was made of. */
export interface ProofFacts {
  /** Of the certificate, SHA-256 in hex; null without. */
  readonly fingerprint: string | null;
  readonly tokenId: Id | null;
}

export interface EvidenceNotes {
  /** What was noted last, written or not; the latest first. */
  of(deviceId: Id): readonly Evidence[];
  note(device: Pick<Device, 'id' | 'customerId'>, kind: EvidenceKind, value: string, how: string): void;
  /** All that a request showed of a device that it was taken for. */
  observe(asked: Asked, identity: Identity, proof: ProofFacts): void;
  tokenUsed(tokenId: Id): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

const valueCharsMax = 200;
/** Rows in one operation: others take their turn in between. */
const atOnce = 500;

export function keepEvidence({ tables, operations, clock, log, limits }: EvidenceOptions): EvidenceNotes {
  const changed = new Map<string, Evidence>();
  /** Keys of `changed`: a device that shows something new with each request must not have all devices' looked at. */
  const changedOf = new Map<Id, Set<string>>();
  const removed = new Map<string, Evidence>();
  const used = new Map<Id, number>();
  let writing: Promise<void> = Promise.resolve();

  const standing = (deviceId: Id): Map<string, Evidence> => {
    const rows = new Map<string, Evidence>();
    for (const row of tables.evidenceOf(deviceId)) if (!removed.has(evidenceKey(row))) rows.set(evidenceKey(row), row);
    for (const key of changedOf.get(deviceId) ?? []) rows.set(key, changed.get(key)!);
    return rows;
  };
  /** What is new costs a look at all that the device has; what is seen again does not. */
  const makeRoom = (deviceId: Id): void => {
    const rows = standing(deviceId);
    if (rows.size < limits.evidencePerDeviceMax) return;
    let oldest: Evidence | undefined;
    for (const row of rows.values()) if (oldest === undefined || row.lastAt < oldest.lastAt) oldest = row;
    const key = evidenceKey(oldest!);
    changed.delete(key);
    changedOf.get(deviceId)?.delete(key);
    if (tables.evidence.get(key) !== undefined) removed.set(key, oldest!);
  };
  const note: EvidenceNotes['note'] = (device, kind, given, how) => {
    const value = printable(given, valueCharsMax);
    const now = clock.nowMs();
    const key = evidenceKey({ deviceId: device.id, kind, value });
    const before = changed.get(key) ?? (removed.has(key) ? undefined : tables.evidence.get(key));
    if (before === undefined) makeRoom(device.id);
    removed.delete(key);
    let keys = changedOf.get(device.id);
    if (keys === undefined) changedOf.set(device.id, (keys = new Set()));
    keys.add(key);
    changed.set(key, { deviceId: device.id, customerId: device.customerId, kind, value, how: printable(how, valueCharsMax), firstAt: before?.firstAt ?? now, lastAt: now, count: (before?.count ?? 0) + 1 });
  };

  const read = new Map<Id, number>();
  const noteProfile = (row: DeviceProfile): void => {
    const device = tables.devices.get(row.deviceId);
    const confirmation = confirmationOf(row);
    if (device === undefined || confirmation === null || row.trust === 'different' || read.get(row.deviceId) === confirmation.at) return;
    read.set(row.deviceId, confirmation.at);
    const how = `a probe read it at ${confirmation.address}`;
    if (confirmation.serial !== null) note(device, confirmation.by === 'ipp' ? 'serial-ipp' : 'serial-snmp', confirmation.serial, how);
    if (confirmation.mac !== null) note(device, 'mac', confirmation.mac, `the site's agent saw it at ${confirmation.address}`);
    if (row.trust === 'verified') note(device, 'address', confirmation.address, 'a probe read its serial there');
  };
  for (const row of tables.deviceProfiles.values()) if (row.readAt !== null) read.set(row.deviceId, row.readAt);
  const unwatch = [
    tables.deviceProfiles.watch(({ put }) => put.forEach(noteProfile)),
    tables.devices.watch(({ removed: gone }) => {
      for (const id of gone) read.delete(id);
    }),
  ];

  const write = async (): Promise<void> => {
    const rows = [...changed.values()].filter(({ deviceId }) => tables.devices.get(deviceId) !== undefined);
    const [gone, tokens] = [[...removed.values()], Array.from(used, ([id, at]) => ({ id, at }))];
    changed.clear();
    changedOf.clear();
    removed.clear();
    used.clear();
    if (rows.length + gone.length + tokens.length === 0) return;
    // Once for all: watchers are told of a storm of devices in one go.
    tables.evidence.publish({ put: rows, removed: gone.map(evidenceKey) });
    const touched = tokens.flatMap(({ id, at }) => {
      const token = tables.deviceTokens.get(id);
      return token === undefined ? [] : [{ ...token, usedAt: at }];
    });
    if (touched.length > 0) tables.deviceTokens.publish({ put: touched });
    for (let from = 0; from === 0 || from < rows.length; from += atOnce) {
      try {
        await operations.noteEvidence({ put: rows.slice(from, from + atOnce), removed: from === 0 ? gone : [], tokensUsed: from === 0 ? tokens : [] });
      } catch (thrown) {
        log.warn('evidence.lost', { why: reasonOf(thrown), count: Math.min(atOnce, rows.length - from) });
      }
    }
  };
  const flush = (): Promise<void> => (writing = writing.then(write));
  const timer = clock.every(limits.evidenceEveryMs, () => void flush());
  return {
    of: (deviceId) => [...standing(deviceId).values()].sort((a, b) => b.lastAt - a.lastAt || (evidenceKey(a) < evidenceKey(b) ? -1 : 1)),
    note,
    observe({ origin, marks }, { device, by, state }, proof) {
      if (device === null) return;
      const where = origin.siteId === null ? `from ${origin.address}` : `from ${origin.address}, through a door of its site`;
      if (by === 'certificate' && proof.fingerprint !== null) note(device, 'certificate', proof.fingerprint, `shown ${where}`);
      if (by === 'token' && proof.tokenId !== null) {
        note(device, 'token', proof.tokenId, `its URL was opened ${where}`);
        used.set(proof.tokenId, clock.nowMs());
      }
      // Behind NAT the address and what else is seen there are everybody's.
      if (state === 'verified' && origin.siteId === null && by !== 'serial' && by !== 'mac') return;
      note(device, 'address', origin.address, origin.siteId === null ? 'connections came from it' : 'connections came from it through a door of its site');
      if (origin.mac !== null) note(device, 'mac', origin.mac, `seen at the door, at ${origin.address}`);
      if (marks.shape !== null) note(device, 'shape', marks.shape, `a program that came ${where}`);
      if (marks.claimedSerial !== null) note(device, 'claimed-serial', marks.claimedSerial, `a request said so ${where}`);
    },
    tokenUsed: (tokenId) => void used.set(tokenId, clock.nowMs()),
    flush,
    async close() {
      timer.cancel();
      for (const stop of unwatch) stop();
      await flush();
    },
  };
}
