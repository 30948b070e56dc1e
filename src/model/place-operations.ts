// What the store does about places in the network: sites, doors, addresses. Each is one transaction, with its audit lines.
import type { Id } from '#base/ids.ts';
import type { ReleasedAddress, SiteDoor, SitePlace, VirtualAddress } from './place-rows.ts';
import type { AuditEntry, Site } from './rows.ts';

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

/** Agents with their doors, and devices; all of one customer, as the site. */
export interface SiteMove {
  readonly siteId: Id;
  readonly agentIds: readonly Id[];
  readonly deviceIds: readonly Id[];
}

export interface PlaceOperations {
  // sites and doors; a place without subnets and egress has no row. Doors go with their agent, and when it is revoked
  /** Fault `conflict`: the customer has a site of that name. */
  addSite(site: Site, place: SitePlace, audit: AuditEntry): Promise<void>;
  changeSite(site: Site, place: SitePlace, audit: AuditEntry): Promise<void>;
  /** Fault `conflict`: it has agents, devices or doors, or a join token waits for it. Used tokens go along. */
  removeSite(siteId: Id, audit: AuditEntry): Promise<void>;
  moveToSite(move: SiteMove, audits: readonly AuditEntry[]): Promise<void>;
  /** Fault `conflict`: the agent has a door there, or is revoked; `not-found`: it is not at that site. */
  addDoor(door: SiteDoor, audit: AuditEntry): Promise<void>;
  /** Address, port and listener; agent and site stay. Faults as of `addDoor`; `not-found`: the door is gone. */
  changeDoor(door: SiteDoor, audit: AuditEntry): Promise<void>;
  removeDoor(doorId: Id, audit: AuditEntry): Promise<void>;

  // virtual addresses
  changeVirtualAddresses(change: AddressChange, audits: readonly AuditEntry[]): Promise<void>;
}
