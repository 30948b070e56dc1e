// What the store does about who a device is: keys, serials that wait, devices without an agent. Each is one transaction, with its audit lines.
import type { Id } from '#base/ids.ts';
import type { KeyChange } from './device-keys.ts';
import type { AuditEntry, Device, DeviceKey, WaitingDevice } from './rows.ts';

/** A device as it comes to be, with what it proves itself by. */
export interface IdentifiedDevice {
  readonly device: Device;
  readonly keys: readonly DeviceKey[];
}

export interface IdentityOperations {
  /** `audit` null: a key was used, nobody did anything; one that is gone is passed over, with all of the change. Fault `not-found`: the device is gone. */
  changeDeviceKeys(change: KeyChange, audit: AuditEntry | null): Promise<void>;
  /** `dropped` makes room; Fault `conflict` when data came for it meanwhile. */
  addWaitingDevice(row: WaitingDevice, dropped: Id | null): Promise<void>;
  /** Name, source, product, key and when it was seen; what it has in quarantine is counted elsewhere. One that is gone is passed over. */
  noteWaitingDevice(row: WaitingDevice): Promise<void>;
  /** Each waiting one becomes the device of the same id, with its data. Fault `conflict`: one does not wait any more, or its serial is taken. */
  approveWaitingDevices(approved: readonly (IdentifiedDevice & { readonly audit: AuditEntry })[]): Promise<void>;
  /** With what is in quarantine. One that is gone is passed over, without a line. */
  refuseWaitingDevices(refused: readonly { readonly id: Id; readonly audit: AuditEntry }[]): Promise<void>;
  /** Fault `conflict`: a label or a serial is taken. */
  addDevices(devices: readonly IdentifiedDevice[], change: KeyChange, audits: readonly AuditEntry[]): Promise<void>;
}
