// What the admin room is given: functions and tables, composed in app.
import type { X509Certificate } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import type { AcmeAccountView, DnsKeyViewShown } from '#api/certificate-shapes.ts';
import type { ParsedBody } from '#api/contract.ts';
import type { ExplainView, FindingView, StatusView } from '#api/shapes.ts';
import type { ProofView, SnippetView } from '#api/telling-shapes.ts';
import type { Clock } from '#base/clock.ts';
import type { Id, Random } from '#base/ids.ts';
import type { InTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { IssuedCertificate } from '#model/certificate.ts';
import type { CertificateChanges } from '#model/certificate-changes.ts';
import type { AddressBook } from '#model/address-book.ts';
import type { Control } from '#model/control.ts';
import type { Deliveries } from '#model/deliveries.ts';
import type { Finding } from '#model/doctor.ts';
import type { FeedRates } from '#model/feed-meter.ts';
import type { BackupState, KeepingState } from '#model/keeping.ts';
import type { Leases } from '#model/leases.ts';
import type { DeviceSession, DeviceSessions } from '#model/device-sessions.ts';
import type { Known } from '#model/identity.ts';
import type { Journal, Live } from '#model/live.ts';
import type { CameFrom, MisRoute } from '#model/mis-route.ts';
import type { Origins } from '#model/origins.ts';
import type { PlaceFinding } from '#model/place-doctor.ts';
import type { Evidence } from '#model/place-rows.ts';
import type { Operations } from '#model/operations.ts';
import type { DriverControl, ProbeControl } from '#model/probe-control.ts';
import type { PinWatch } from '#model/pin-watch.ts';
import type { LeafKey } from '#model/pins.ts';
import type { RankedRoute, RoutesQuery } from '#model/precedence.ts';
import type { AcmeSettings, Actor, AuditEntry, Certificate, CertificateNames, Device } from '#model/rows.ts';
import type { Snapshot } from '#model/snapshot.ts';
import type { SecretControl, SinkControl } from '#model/sinks.ts';
import type { Tables } from '#model/tables.ts';
import type { Visitor } from '#model/visitor.ts';
import type { CertificateDescription, SigningOrder } from '#net/certificates.ts';
import type { CallbackDoor, VirtualAddresses } from '#net/virtual-addresses.ts';

/** How people reach things; follows the name that a request used. */
export interface Addresses {
  /** The gateway's names, the primary first. */
  readonly domains: readonly string[];
  /** The console, without a slash at the end: `https://gw.example.test:8443`. */
  readonly console: string;
  /** A device's page; `{label}` stands for its label or label--port: `https://{label}.gw.example.test:8443/`. */
  readonly devicePattern: string;
  /** Name and port as in a browser's address → the part before the domain (`printer1--8080`); undefined: not a name for devices. */
  deviceHost(host: string): string | undefined;
}

export interface Asker {
  /** The client's address, by trusted means only. */
  readonly from: string;
  /** As whom tries are counted; absent: `from`. */
  readonly countedAs?: string;
  readonly secure: boolean;
  /** The connection's id in Live. */
  readonly conn: string;
}

export interface HandOverOrder {
  readonly visitor: Visitor;
  readonly device: Device;
  /** As in the browser's address, without the port. */
  readonly host: string;
  readonly port: number | null;
  readonly secure: boolean;
  /** Path and query to end at. */
  readonly path: string;
  /** The digest of what the browser holds at that host; null: it has not been there, and is sent there without a code. */
  readonly asked: string | null;
  readonly from: string;
}

/** Certificates as people see and change them. */
export interface CertificateDeps {
  readonly changes: CertificateChanges;
  readonly caPem: string;
  /** What people configured, and what the private CA made by itself. */
  describe(): CertificateDescription[];
  /** Faults: `bad-input` (the request). */
  signRequest(order: SigningOrder): Promise<IssuedCertificate>;
  issueLeaf(names: CertificateNames, spki: Buffer): Promise<IssuedCertificate>;
  /** The next key of a leaf that the private CA made by itself. Faults: `not-found`, `conflict`. */
  nextLeafKey(id: string, what: 'prepare' | 'switch' | 'drop'): Promise<LeafKey>;
  /** Those that clients have: the system's. */
  roots(): readonly X509Certificate[];
}

export interface AcmeOrder {
  readonly names: readonly string[];
  readonly challenge: AcmeSettings['challenge'];
  readonly keyKind: AcmeSettings['keyKind'];
  readonly dns: AcmeSettings['dns'];
  readonly directory: string;
}

export interface AcmeAccountOrder {
  readonly directory: string;
  readonly contact: string | null;
  readonly termsAgreed: boolean;
  readonly externalAccount: { readonly keyId: string; readonly hmacKey: string } | null;
  readonly rootPem: string | null;
}

/** Certificates by ACME. */
export interface AcmeDeps {
  accounts(): AcmeAccountView[];
  setAccount(order: AcmeAccountOrder, actor: Actor): Promise<AcmeAccountView>;
  removeAccount(directory: string, actor: Actor): Promise<void>;
  dnsKeys(): DnsKeyViewShown[];
  setDnsKey(given: { readonly name: string; readonly algorithm: string; readonly secret: string }, actor: Actor): Promise<DnsKeyViewShown>;
  removeDnsKey(name: string, actor: Actor): Promise<void>;
  order(order: AcmeOrder & AcmeAccountOrder & { readonly name: string; readonly customerId: Id }, actor: Actor): Promise<Certificate>;
  orderAgain(id: Id, order: AcmeOrder, actor: Actor): Promise<Certificate>;
  /** Rejects with why not. */
  renew(id: Id): Promise<void>;
  /** The authority is asked for its directory alone. */
  check(order: Omit<AcmeOrder, 'keyKind'> & { readonly rootPem: string | null }): Promise<readonly FindingView[]>;
  progressOf(id: Id): { readonly state: string; readonly about: string; readonly since: number; readonly why: string | null; readonly remedy: string | null; readonly nextTryAt: number | null } | undefined;
  watch(onChange: () => void): () => void;
}

/** What is kept, for how long, and backups. */
export interface KeepingDeps {
  state(): Promise<KeepingState>;
  /** Drops what is past its retention, now. */
  run(): Promise<void>;
  acknowledgeRestore(actor: Actor, customerId: Id): Promise<void>;
  readonly backup: {
    state(): BackupState;
    /** Faults: `conflict` (one is being made), `busy` (no room). */
    make(actor: Actor, customerId: Id, signal: AbortSignal): Promise<{ readonly name: string; readonly stream: ReadableStream<Uint8Array> }>;
  };
}

/** How doors are. `open`, `accepted`, `refused`: connections now, since the process began, and refused by the gateway. */
export interface DoorDeps {
  stateOf(doorId: Id): { readonly bound: boolean; readonly why: string | null; readonly remedy: string | null; readonly since: number; readonly open: number; readonly accepted: number; readonly refused: number } | undefined;
  watch(onChange: () => void): () => void;
}

/** Why devices do not arrive as themselves; each finding says where it was looked for. */
export interface PlaceDoctorDeps {
  site(siteId: Id, resolvers: readonly string[], signal: AbortSignal): Promise<readonly PlaceFinding[]>;
  device(deviceId: Id, resolvers: readonly string[], signal: AbortSignal): Promise<readonly PlaceFinding[]>;
}

/** How servers of applications hear of devices. */
export interface TellingDeps {
  /** `gateways`: from which addresses the server sees us; none: what the system would choose. Faults: `not-found` (the route), `bad-input`, `unsupported`. */
  snippet(route: string, server: SnippetView['server'], gateways: readonly string[]): Promise<SnippetView>;
  /** Faults: `not-found`, `bad-input`, and those of dialling the server. */
  prove(route: string, device: Device, path: string | null): Promise<ProofView>;
}

/** Who devices of applications are. */
export interface IdentityDeps {
  readonly known: Known;
  readonly origins: Pick<Origins, 'unassigned' | 'byCode' | 'settle' | 'forget' | 'forgetDevice' | 'latestOf'>;
  sessions(): readonly DeviceSession[];
  /** The way that a connection took, judged; null: nothing speaks for or against it. */
  misRouteOf(came: CameFrom): MisRoute | null;
  /** Written or not; the latest first. */
  evidenceOf(deviceId: Id): readonly Evidence[];
  /** Ends the device's connections to that application, or to all. */
  cut(deviceId: Id, application: string | null): void;
}

/** Files that devices brought. */
export interface FileDeps {
  /** The bytes; whoever asked closes it. Fault `not-found`. */
  open(sha256: string): Promise<FileHandle>;
  remove(id: Id, audit: AuditEntry): Promise<void>;
}

/** What the gateway does at virtual addresses. */
export interface VirtualControl {
  readonly book: AddressBook;
  readonly doors: Pick<VirtualAddresses, 'counts' | 'failed' | 'doorsOf'>;
  /** Names of the applications for which a device is listened for. */
  applicationsOf(device: Device): readonly string[];
  callbackPorts(): readonly Pick<CallbackDoor, 'transport' | 'port'>[];
  callers(): { readonly networks: readonly string[]; readonly machine: boolean; readonly unresolved: readonly string[] };
  without(): ReadonlySet<Id>;
  /** As doctor makes them. */
  checks(): Promise<readonly Finding[]>;
}

export interface AdminDeps {
  /** null: they are not kept here. */
  readonly files: FileDeps | null;
  readonly tables: Tables;
  readonly operations: Operations;
  readonly control: Control<Snapshot>;
  readonly certificates: CertificateDeps;
  /** Which keys devices pin. */
  readonly pins: PinWatch;
  /** Under which keys of devices are kept. */
  readonly sealingKey: Uint8Array;
  /** Which device is at which server. */
  readonly leases: Leases;
  /** How fast feeds grow now, and that something happened to one. */
  readonly feeds: FeedRates;
  /** null: they are not kept here. */
  readonly sinks: SinkControl | null;
  /** Who is asked what it is, and by which drivers; null: nobody is asked here. */
  readonly probes: (ProbeControl & { readonly drivers: DriverControl }) | null;
  readonly secrets: SecretControl | null;
  /** Addresses at which servers call devices back; null: there are none here. */
  readonly virtual: VirtualControl | null;
  /** null: no applications are served here. */
  readonly identity: IdentityDeps | null;
  /** null: no applications are served here. */
  readonly deviceSessions: DeviceSessions | null;
  /** null: no applications are served here. */
  readonly placeDoctor: PlaceDoctorDeps | null;
  /** null: no applications are served here. */
  readonly telling: TellingDeps | null;
  /** Ports in sites' LANs; null: they are not kept here. */
  readonly doors: DoorDeps | null;
  /** What a site's agent says of its LAN, now. Absent: agents are not asked here. Faults of the link, `unsupported`, `forbidden`. */
  readonly lanOf?: ((agentId: Id, signal: AbortSignal) => Promise<{ readonly subnets: string[]; readonly gateways: string[]; readonly resolvers: string[]; readonly addresses: string[] }>) | undefined;
  /** Certificates that agents put in place. */
  readonly deliveries: Deliveries;
  /** null: it cannot be used here. */
  readonly acme: AcmeDeps | null;
  readonly keeping: KeepingDeps | null;
  readonly live: Live;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly newId: () => Id;
  readonly limits: Limits;
  readonly version: string;
  /** Shared by everyone who changes kept rows, so that no change is lost between reading and writing. */
  readonly inTurn: InTurn;
  /** SHA-256 of the setup address's code, hex; null: there is none (any more). */
  readonly setupDigest: () => string | null;
  /** Who is at the other end of the connection: known beside the request, never from its head. */
  readonly askerOf: (request: IncomingMessage) => Asker;
  /** `host`: the authority that the request named; addresses follow it where it is one of ours. */
  readonly addresses: (asked: { readonly host: string; readonly secure: boolean }) => Addresses;
  /** The join token's text and what to run, for each address that agents may dial. */
  readonly describeJoinToken: (secret: string) => Promise<{ readonly text: string; readonly commands: readonly { readonly address: string; readonly command: string }[] }>;
  /** Makes the one-time code (60 s, bound to that host) and the address that takes it. */
  readonly issueHandOver: (order: HandOverOrder) => Promise<{ readonly to: string }>;
  readonly explain: (question: ParsedBody<'explain'>) => Promise<ExplainView>;
  /** The snapshot's routes in the order in which they are looked at. */
  readonly routesInOrder: (asked: RoutesQuery) => readonly RankedRoute[];
  readonly runDoctor: () => Promise<readonly FindingView[]>;
  readonly status: () => Promise<StatusView>;
  /** Cuts what runs under a sign-in, a token or a person: visits, the CLI's streams. Called after the table says so. */
  readonly closeFor: (whose: 'sign-in' | 'token' | 'person', id: Id, why: string) => void;
  /** The built console (console/dist). */
  readonly assetsDir: string;
}
