// The certificate that a device's https port shows first is accepted and kept (trust on first use). What counts is decided in memory at
// once: connections opened side by side would otherwise each see none accepted yet, and each trust another one.
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { InTurn } from '#base/in-turn.ts';
import type { Log } from '#base/log.ts';
import type { Operations } from '#model/operations.ts';
import type { AuditEntry, Device, DevicePort } from '#model/rows.ts';
import type { Tables } from '#model/tables.ts';

export interface FirstCertificates {
  /** A connection without an accepted fingerprint has seen this one. Returns the one that counts: this, or another that was there before. */
  accept(device: Pick<Device, 'id'>, port: Pick<DevicePort, 'number'>, fingerprint: string): string;
}

export function buildFirstCertificates(room: { readonly tables: Tables; readonly operations: Pick<Operations, 'changeDevice'>; readonly inTurn: InTurn; readonly clock: Clock; readonly log: Log }): FirstCertificates {
  const { tables, operations, clock, log } = room;
  /** Accepted and not in the table yet, by device and port. */
  const storing = new Map<string, string>();
  const store = async (deviceId: string, number: number, fingerprint: string) => {
    const row = tables.devices.get(deviceId);
    const at = row?.ports.findIndex((each) => each.number === number && each.kind === 'https' && each.fingerprint === null) ?? -1;
    if (!row || at < 0) return;
    const changed = { ...row, ports: row.ports.map((each, i) => (i === at ? { ...each, fingerprint } : each)) };
    const audit: AuditEntry = { at: clock.nowMs(), customerId: row.customerId, actor: { kind: 'gateway', id: null, name: 'postern', from: '' }, what: 'device.certificate-accepted', subjectKind: 'device', subjectId: row.id, subjectName: row.name, detail: { port: number, before: null, after: fingerprint, first: true } };
    await operations.changeDevice(changed, audit);
    tables.devices.publish({ put: [changed] });
  };
  return {
    accept(device, port, fingerprint) {
      const key = `${device.id} ${port.number}`;
      const accepted = tables.devices.get(device.id)?.ports.find((each) => each.number === port.number && each.kind === 'https')?.fingerprint ?? storing.get(key);
      if (accepted !== undefined) return accepted;
      storing.set(key, fingerprint);
      void room
        .inTurn(() => store(device.id, port.number, fingerprint))
        .catch((thrown: unknown) => log.error('device.fingerprint-not-stored', { device: device.id, why: reasonOf(thrown) }))
        .finally(() => storing.delete(key));
      return fingerprint;
    },
  };
}
