// What the store does about places in the network: sites, doors, addresses. Each is one transaction, with its audit lines.
import type { Id } from '#base/ids.ts';
import type { ReleasedAddress, VirtualAddress } from './place-rows.ts';
import type { AuditEntry } from './rows.ts';

/** One transaction: addresses given, taken back, and remembered. */
export interface AddressChange {
  /** A device's row is replaced. Fault `conflict`: another device has the address; `not-found`: the device is gone. */
  readonly put: readonly VirtualAddress[];
  /** Devices that have none any more. */
  readonly removed: readonly Id[];
  /** What was somebody's until now; addresses that are put are taken off again. */
  readonly released: readonly ReleasedAddress[];
  /** Releases before this moment are forgotten. */
  readonly forgetBefore: number;
}

export interface PlaceOperations {
  // virtual addresses
  changeVirtualAddresses(change: AddressChange, audits: readonly AuditEntry[]): Promise<void>;
}
