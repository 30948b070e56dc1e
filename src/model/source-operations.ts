// What the store does about who devices are and what they may use. Each is one transaction, with its audit lines. Rows go with their device.
import type { Id } from '#base/ids.ts';
import type { DeviceToken, Evidence, JobSource } from './place-rows.ts';
import type { AuditEntry } from './rows.ts';

/** Nobody did it, so audit has no line of it. What belongs to a device or a token that is gone is passed over. */
export interface EvidenceNotes {
  /** Put over what was there. */
  readonly put: readonly Evidence[];
  readonly removed: readonly Pick<Evidence, 'deviceId' | 'kind' | 'value'>[];
  readonly tokensUsed: readonly { readonly id: Id; readonly at: number }[];
}

export interface SourceChange {
  /** New ones, and standing ones under their id. */
  readonly put: readonly JobSource[];
  readonly removed: readonly Id[];
}

export interface SourceOperations {
  /** Fault `not-found`: the device is gone. */
  addDeviceToken(token: DeviceToken, audit: AuditEntry): Promise<void>;
  /** Fault `not-found`. */
  removeDeviceToken(tokenId: Id, audit: AuditEntry): Promise<void>;
  noteEvidence(notes: EvidenceNotes): Promise<void>;
  /** Removed ones go first. Fault `conflict`: a row of the application names that device already; `not-found`: a device, a site, or a row to be removed is gone. */
  changeJobSources(change: SourceChange, audits: readonly AuditEntry[]): Promise<void>;
}
