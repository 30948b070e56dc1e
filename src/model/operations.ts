// What the store can do, as functions that the composition hands to the rooms. Every operation is one transaction.
// An operation that changes something takes its audit line with it: both are durable (fsync) when the promise
// resolves, or neither is. Failure: Fault `conflict` (unique, revision), `not-found`, `busy` (store down or disk full).
import type { Id } from '#base/ids.ts';
import type { AuditVerdict, KeepingOperations } from './keeping.ts';
import type { Agent, AgentCertificate, AgentNote, AuditEntry, AuditLine, Certificate, Customer, Delivery, Device, DeviceKey, DeviceNote, DeviceTags, Invite, JoinToken, Lease, OldLabel, Person, Revision, Right, SignIn, Site, Suspension, Token, Visit, WaitingDevice } from './rows.ts';
import type { FileOperations } from './files.ts';
import type { IdentityOperations } from './identity-operations.ts';
import type { IntakeOperations } from './intake.ts';
import type { ProbeOperations } from './probe-operations.ts';
import type { PlaceOperations } from './place-operations.ts';
import type { DeviceProfile, DeviceToken, Evidence, JobSource, ReleasedAddress, SiteDoor, SitePlace, VirtualAddress } from './place-rows.ts';
import type { SourceOperations } from './source-operations.ts';
import type { SinkOperations } from './sinks.ts';

/** Everything that the tables hold, loaded once at start. */
export interface Everything {
  readonly customers: Customer[];
  readonly sites: Site[];
  readonly agents: Agent[];
  readonly agentCertificates: AgentCertificate[];
  readonly agentNotes: AgentNote[];
  readonly devices: Device[];
  readonly oldLabels: OldLabel[];
  readonly people: Person[];
  readonly rights: Right[];
  readonly signIns: SignIn[];
  readonly tokens: Token[];
  readonly joinTokens: JoinToken[];
  readonly invites: Invite[];
  readonly certificates: Certificate[];
  readonly deliveries: Delivery[];
  readonly deviceKeys: DeviceKey[];
  readonly waitingDevices: WaitingDevice[];
  readonly deviceNotes: DeviceNote[];
  readonly leases: Lease[];
  readonly deviceTags: DeviceTags[];
  readonly suspensions: Suspension[];
  readonly sitePlaces: SitePlace[];
  readonly siteDoors: SiteDoor[];
  readonly deviceTokens: DeviceToken[];
  readonly evidence: Evidence[];
  readonly jobSources: JobSource[];
  readonly virtualAddresses: VirtualAddress[];
  readonly releasedAddresses: ReleasedAddress[];
  readonly deviceProfiles: DeviceProfile[];
}

export interface AuditQuery {
  readonly beforeSeq?: number;
  readonly limit: number;
  readonly what?: string;
  readonly actorId?: Id;
  readonly subjectId?: string;
}

export interface VisitQuery {
  readonly deviceId?: Id;
  readonly beforeId?: Id;
  readonly limit: number;
}

export interface Operations extends IdentityOperations, IntakeOperations, FileOperations, KeepingOperations, SinkOperations, ProbeOperations, PlaceOperations, SourceOperations {
  /** Makes the default customer and site when the store is new. */
  loadEverything(): Promise<Everything>;

  // configuration
  latestRevision(): Promise<Revision | null>;
  /** null: there was none, or it is no longer kept. */
  readRevision(number: number): Promise<Revision | null>;
  /** Fault `conflict` unless `number` is exactly one more than the latest. A latest one that still waits to be confirmed is rolled back by it. */
  addRevision(revision: Revision, audit: AuditEntry): Promise<void>;
  /** Fault `conflict` unless it is the latest and waits to be confirmed. */
  confirmRevision(number: number, audit: AuditEntry): Promise<void>;
  /** The newest first; `before` is the number of the last one seen. */
  listRevisions(limit: number, before?: number): Promise<Omit<Revision, 'config'>[]>;

  // people
  addPerson(person: Person, rights: readonly Right[], audit: AuditEntry, usedInviteId?: Id): Promise<void>;
  /** The first person; Fault `conflict` when anyone exists already. */
  addOwner(person: Person, rights: readonly Right[], audit: AuditEntry): Promise<void>;
  changePerson(person: Person, audit: AuditEntry): Promise<void>;
  /** Rights, sign-ins and tokens go with it. */
  removePerson(personId: Id, audit: AuditEntry): Promise<void>;
  /** Replaces all rights of the subject. */
  setRights(subjectKind: 'person' | 'token', subjectId: Id, rights: readonly Right[], audit: AuditEntry): Promise<void>;
  addInvite(invite: Invite, audit: AuditEntry): Promise<void>;
  removeInvite(inviteId: Id, audit: AuditEntry): Promise<void>;
  addSignIn(signIn: SignIn, audit: AuditEntry): Promise<void>;
  removeSignIns(ids: readonly Id[], audit: AuditEntry): Promise<void>;
  addToken(token: Token, rights: readonly Right[], audit: AuditEntry): Promise<void>;
  removeToken(tokenId: Id, audit: AuditEntry): Promise<void>;

  // devices and agents
  addJoinToken(token: JoinToken, audit: AuditEntry): Promise<void>;
  removeJoinToken(tokenId: Id, audit: AuditEntry): Promise<void>;
  /** Uses the token up (Fault `gone` when it was used or removed meanwhile) and makes agent, certificate and device. */
  join(joinTokenId: Id, agent: Agent, certificate: AgentCertificate, device: Device, audit: AuditEntry): Promise<void>;
  addAgentCertificate(certificate: AgentCertificate, audit: AuditEntry): Promise<void>;
  /** Revoking also marks its certificates. */
  changeAgent(agent: Agent, audit: AuditEntry): Promise<void>;
  addDevice(device: Device, audit: AuditEntry): Promise<void>;
  /** `oldLabel` keeps the former label redirecting. */
  changeDevice(device: Device, audit: AuditEntry, oldLabel?: OldLabel): Promise<void>;
  /** With its last device an agent goes too (revoked certificates stay listed). */
  removeDevice(deviceId: Id, audit: AuditEntry): Promise<void>;

  // certificates (their keys are files of the data folder)
  addCertificate(certificate: Certificate, audit: AuditEntry): Promise<void>;
  changeCertificate(certificate: Certificate, audit: AuditEntry): Promise<void>;
  removeCertificate(certificateId: Id, audit: AuditEntry): Promise<void>;
  /** A renewal that did not work; nobody did it, so audit has no line of it. A certificate that is gone is passed over. */
  noteCertificateAttempt(attempt: { readonly id: Id; readonly lastTriedAt: number; readonly lastError: string | null }): Promise<void>;

  // certificates that agents put in place; they go with their certificate, with their agent, and when it is revoked
  /** Fault `conflict` when the agent has that name already, or is revoked. */
  addDelivery(delivery: Delivery, audit: AuditEntry): Promise<void>;
  changeDelivery(delivery: Delivery, audit: AuditEntry): Promise<void>;
  removeDelivery(deliveryId: Id, audit: AuditEntry): Promise<void>;

  // which server a device belongs to
  /** Replaces all of them; none removes the row. Fault `not-found` when the device is gone. */
  setDeviceTags(tags: DeviceTags, audit: AuditEntry): Promise<void>;
  /** Fault `conflict` when the customer is suspended already. */
  suspendCustomer(suspension: Suspension, audit: AuditEntry): Promise<void>;
  /** Fault `not-found` when it is not suspended. */
  resumeCustomer(customerId: Id, audit: AuditEntry): Promise<void>;
  /** Nobody did it, so audit has no line of it. */
  noteLeases(leases: readonly Lease[], ended: readonly Pick<Lease, 'customerId' | 'serial'>[]): Promise<void>;

  // visits: the opening is audited before the visit starts, the closing with its figures
  openVisit(visit: Visit, audit: AuditEntry): Promise<void>;
  closeVisits(visits: readonly { visit: Visit; audit: AuditEntry }[]): Promise<void>;
  /** At start: visits that a crash left open are closed with that reason. Resolves how many. */
  closeLeftOpenVisits(at: number, why: string): Promise<number>;
  listVisits(query: VisitQuery): Promise<Visit[]>;

  // audit
  addAudit(entries: readonly AuditEntry[]): Promise<void>;
  listAudit(query: AuditQuery): Promise<AuditLine[]>;
  auditHead(): Promise<{ seq: number; hash: string }>;
  /** Walks the chain from its first line, or from where retention has cut it off. */
  verifyAudit(): Promise<AuditVerdict>;

  // noted, not kept
  note(notes: { agents: readonly AgentNote[]; signIns: readonly { id: Id; at: number }[]; tokens: readonly { id: Id; at: number }[] }): Promise<void>;

  /** For doctor: writes, reads back, and says how long the fsync took and what is on disk. */
  check(): Promise<{ store: string; fsyncMs: number; fileBytes: number; integrity: string; visitsDropped: number }>;
  close(): Promise<void>;
}
