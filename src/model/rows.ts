// The shapes of what is kept: one interface a kind of row, as callers see it (camelCase, JSON columns parsed).
// Times are milliseconds since 1970; ids are UUIDv7 text. Every row belongs to a customer.
import type { Id } from '#base/ids.ts';
import type { KeyKind } from './certificate-key.ts';

export interface Customer {
  readonly id: Id;
  /** In URLs: `[a-z0-9]` and single hyphens, 1–32, unique. */
  readonly key: string;
  readonly name: string;
  readonly createdAt: number;
}

export interface Site {
  readonly id: Id;
  readonly customerId: Id;
  readonly name: string;
  readonly createdAt: number;
}

export interface Agent {
  readonly id: Id;
  readonly customerId: Id;
  readonly siteId: Id;
  readonly name: string;
  /** active: may link · locked: until unlocked · revoked: for ever; its certificates are worth nothing. */
  readonly state: 'active' | 'locked' | 'revoked';
  readonly createdAt: number;
}

export interface AgentCertificate {
  /** SHA-256 of the certificate's DER, hex. */
  readonly fingerprint: string;
  readonly customerId: Id;
  readonly agentId: Id;
  /** SHA-256 of the public key's SPKI DER, hex: what a renewal must show again. */
  readonly keyFingerprint: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly revokedAt: number | null;
}

export type PortKind = 'http' | 'https' | 'tcp' | 'udp';

export interface DevicePort {
  readonly number: number;
  readonly name: string;
  readonly kind: PortKind;
  /** For https: SHA-256 (hex) of the certificate accepted on first use; null until then. */
  readonly fingerprint: string | null;
}

export interface Device {
  readonly id: Id;
  readonly customerId: Id;
  readonly siteId: Id;
  /** null: no agent; it pushes and checks in only, and nobody can open it. */
  readonly agentId: Id | null;
  /** Unique in its customer, compared byte by byte. */
  readonly serial: string | null;
  /** Its DNS name part: `[a-z0-9]` and single hyphens, 1–50, unique in the gateway. */
  readonly label: string;
  readonly name: string;
  /** The address that the agent dials. */
  readonly host: string;
  readonly ports: readonly DevicePort[];
  /** What `Host` the device sees: its own address, or the public name. */
  readonly hostHeader: 'own' | 'public';
  readonly locked: boolean;
  readonly createdAt: number;
}

/** A label that a device had before; it redirects until then. */
export interface OldLabel {
  readonly label: string;
  readonly customerId: Id;
  readonly deviceId: Id;
  readonly until: number;
}

export interface Person {
  readonly id: Id;
  readonly customerId: Id;
  /** What is typed at sign-in; unique, compared in lower case. */
  readonly login: string;
  readonly name: string;
  /** PHC string ($argon2id$…). */
  readonly passwordHash: string;
  readonly locked: boolean;
  readonly createdAt: number;
}

export type Action = 'see' | 'open' | 'administer';
export type ScopeKind = 'gateway' | 'customer' | 'site' | 'device';

/** administer includes open, open includes see. */
export interface Right {
  readonly id: Id;
  readonly customerId: Id;
  readonly subjectKind: 'person' | 'token';
  readonly subjectId: Id;
  readonly action: Action;
  readonly scopeKind: ScopeKind;
  /** null for the gateway. */
  readonly scopeId: Id | null;
}

export interface SignIn {
  readonly id: Id;
  readonly customerId: Id;
  readonly personId: Id;
  /** SHA-256 of the cookie's secret, hex. */
  readonly secretDigest: string;
  readonly kind: 'browser' | 'cli';
  readonly from: string;
  readonly userAgent: string;
  readonly createdAt: number;
  readonly lastUsedAt: number;
  readonly expiresAt: number;
}

/** An access token of a person for programs. With rights rows of its own it can do only those, and never more than its person. */
export interface Token {
  readonly id: Id;
  readonly customerId: Id;
  readonly personId: Id;
  readonly name: string;
  readonly secretDigest: string;
  readonly createdAt: number;
  readonly lastUsedAt: number | null;
  readonly expiresAt: number | null;
}

/** The one-time right of an agent to join. */
/** In place of a person: whoever started the gateway. */
export const createdByStart = 'operator';

export interface JoinToken {
  readonly id: Id;
  readonly customerId: Id;
  readonly siteId: Id;
  readonly secretDigest: string;
  readonly deviceName: string;
  readonly serial: string | null;
  readonly host: string;
  readonly ports: readonly DevicePort[];
  /** A person, or `createdByStart`. */
  readonly createdBy: Id;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly usedAt: number | null;
  readonly usedByAgentId: Id | null;
}

export interface Invite {
  readonly id: Id;
  readonly customerId: Id;
  readonly codeDigest: string;
  readonly name: string;
  readonly rights: readonly Pick<Right, 'action' | 'scopeKind' | 'scopeId'>[];
  readonly createdBy: Id;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly usedAt: number | null;
}

/** Who did something, as audit keeps it: readable without looking anything up. */
export interface Actor {
  readonly kind: 'person' | 'token' | 'agent' | 'operator' | 'gateway' | 'nobody';
  readonly id: Id | null;
  readonly name: string;
  /** The address it came from; '' for the gateway itself. */
  readonly from: string;
}

/** What the caller hands over; the store numbers and chains it. */
export interface AuditEntry {
  readonly at: number;
  readonly customerId: Id;
  readonly actor: Actor;
  /** `device.locked`, `visit.closed`, `person.invited`, `config.changed`, `sign-in.refused` … */
  readonly what: string;
  readonly subjectKind: string;
  readonly subjectId: string | null;
  readonly subjectName: string;
  /** Flat facts: before/after, bytes, how long. Never a secret or a body. */
  readonly detail: Readonly<Record<string, string | number | boolean | null>>;
}

export interface AuditLine extends AuditEntry {
  readonly seq: number;
  /** Hex of the line before; 64 zeros for the first. */
  readonly previousHash: string;
  readonly hash: string;
}

/** One use of a device, from open to close. */
export interface Visit {
  readonly id: Id;
  readonly customerId: Id;
  readonly deviceId: Id;
  readonly deviceName: string;
  readonly port: number;
  readonly kind: 'http' | 'tcp' | 'udp';
  readonly who: Actor;
  readonly openedAt: number;
  readonly closedAt: number | null;
  readonly requests: number;
  /** Towards the device. */
  readonly bytesIn: number;
  /** From the device. */
  readonly bytesOut: number;
  /** Why it ended; null while it lasts. */
  readonly why: string | null;
}

/** What is noted, not kept: written in batches, lost at a crash. */
export interface AgentNote {
  readonly agentId: Id;
  readonly lastSeenAt: number | null;
  readonly lastLeftWhy: string | null;
  readonly version: string | null;
  readonly from: string | null;
  /** JSON of the agent's local policy as it last announced it. */
  readonly policy: string | null;
}

export interface CertificateNames {
  /** Names in lower case, and `*.name`. */
  readonly dns: readonly string[];
  /** Address literals. */
  readonly ip: readonly string[];
}

/** How an ACME certificate is ordered. Secrets (account keys, keys of DNS servers) stay in files of the data folder, which are only named here. */
export interface AcmeSettings {
  readonly directoryUrl: string;
  /** What the next order asks for; the row's own names are those of the certificate in use. */
  readonly names: CertificateNames;
  readonly keyKind: KeyKind;
  readonly challenge: 'http-01' | 'tls-alpn-01' | 'dns-01';
  /** For dns-01: which way, and its settings. */
  readonly dns: Readonly<Record<string, string | number | boolean | null>> | null;
}

/**
 * A server's certificate that people configure or order; the private CA's own leaves are no rows. Keys are never in the database: each is
 * a file of the data folder, named by certificate and key fingerprint, so that row and key can never be of two different moments.
 */
export interface Certificate {
  readonly id: Id;
  readonly customerId: Id;
  /** As the configuration names it; unique in the gateway. */
  readonly name: string;
  readonly source: 'uploaded' | 'request' | 'private-ca' | 'acme';
  /** waiting: there is no certificate yet, its answer was not uploaded or not issued · ready. */
  readonly state: 'waiting' | 'ready';
  /** Off: never shown for a server name; a route that names it still presents it. */
  readonly enabled: boolean;
  /** What the certificate says; while waiting: what is asked for. */
  readonly names: CertificateNames;
  /** `rsa-2048`, `ec-p256`, `ed25519` …; of the key in use, while waiting of the one to be. */
  readonly keyKind: string;
  /** SHA-256 of the SPKI of the key in use, hex; null while there is no certificate. */
  readonly keyFingerprint: string | null;
  /** Leaf first, each followed by its issuer; without the root. */
  readonly chainPem: string | null;
  /** SHA-256 of the leaf's DER, hex. */
  readonly certificateFingerprint: string | null;
  /** `CN=…, O=…` in the certificate's order; while waiting: of the request. */
  readonly subject: string;
  readonly issuer: string | null;
  readonly notBefore: number | null;
  readonly notAfter: number | null;
  /** A request whose answer is awaited; also beside a certificate in use. */
  readonly csrPem: string | null;
  readonly csrKeyFingerprint: string | null;
  /** What it was before the last replacement, to go back to. */
  readonly previousChainPem: string | null;
  readonly previousKeyFingerprint: string | null;
  readonly acme: AcmeSettings | null;
  readonly createdAt: number;
  /** When chain or key were last replaced. */
  readonly renewedAt: number | null;
  /** When a renewal was last tried, and what became of it: null after success. */
  readonly lastTriedAt: number | null;
  readonly lastError: string | null;
}

/** A certificate that an agent puts in place beside an application server: at once, and again whenever it changes. */
export interface Delivery {
  readonly id: Id;
  readonly customerId: Id;
  readonly certificateId: Id;
  readonly agentId: Id;
  /** As the agent's local policy calls it; unique for the agent. */
  readonly asName: string;
  /**
   * What became of it last. pending: nothing yet · delivered: `digest` was in place · failed: tried again by itself · refused: the agent's local policy
   * does not allow it · unsupported: the agent does not know how.
   */
  readonly state: 'pending' | 'delivered' | 'failed' | 'refused' | 'unsupported';
  /** Of what was put in place last (`digestOfPair`); null: nothing yet. */
  readonly digest: string | null;
  readonly deliveredAt: number | null;
  readonly triedAt: number | null;
  /** For people; null after success. */
  readonly why: string | null;
  /** Of the command, when it failed, and the last lines that it said. */
  readonly exitCode: number | null;
  readonly output: string | null;
  readonly createdAt: number;
}

/** What a device that pushes proves itself by. */
export interface DeviceKey {
  readonly id: Id;
  readonly customerId: Id;
  readonly deviceId: Id;
  /** key: a secret text, for the header and for signatures · certificate: a client certificate's key. */
  readonly kind: 'key' | 'certificate';
  /** SHA-256 of the text, or of the certificate's SPKI, hex. */
  readonly digest: string;
  /** The text, sealed under a key of the data folder: signatures cannot be checked with a digest. null for a certificate. */
  readonly sealed: string | null;
  /** next: handed out, not used yet; its first use makes it current, and the one before goes. */
  readonly state: 'next' | 'current';
  readonly createdAt: number;
  readonly usedAt: number | null;
}

/** A serial that is not known, asking to be. */
export interface WaitingDevice {
  /** Becomes the device's id when it is approved: its quarantined feeds need not move. */
  readonly id: Id;
  readonly customerId: Id;
  readonly serial: string;
  readonly name: string;
  /** The address that it came from last. */
  readonly from: string;
  /** User-Agent, or what it says at check-in. */
  readonly product: string;
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
  /** Of the key that it wants to be known by; null when it brought none. */
  readonly keyDigest: string | null;
  readonly keySealed: string | null;
  /** In quarantine. */
  readonly bytes: number;
}

/** Of a device that pushes or checks in; noted, not kept. */
export interface DeviceNote {
  readonly deviceId: Id;
  readonly customerId: Id;
  readonly lastSeenAt: number | null;
  readonly lastPushAt: number | null;
  readonly lastCheckInAt: number | null;
  readonly from: string | null;
  readonly fw: string | null;
  readonly hw: string | null;
  /** Seconds since its start, at its last check-in. */
  readonly up: number | null;
  /** Its clock less ours, as it was before it heard the time. */
  readonly clockSkewMs: number | null;
  readonly zone: string | null;
  /** The fingerprints that it has on its list, as it last said; null: it never said. */
  readonly pins: readonly string[] | null;
  /** The other lines of its last check-in. */
  readonly facts: Readonly<Record<string, string>>;
}

/** A device's named sequence of bytes. It outlives its device: what was brought home stays until its retention ends. */
export interface Feed {
  readonly id: Id;
  readonly customerId: Id;
  readonly deviceId: Id;
  readonly serial: string;
  readonly name: string;
  readonly createdAt: number;
}

/** One life of a feed: offsets begin at 0, or where another server sealed it, and never start again. */
export interface FeedEpoch {
  /** Unique in the gateway, small: chunks carry it. */
  readonly number: number;
  readonly feedId: Id;
  readonly customerId: Id;
  /** 16 hex digits. */
  readonly epoch: string;
  /** offset: the device counts (exactly once) · keyed: the gateway does (at least once, with a key). */
  readonly kind: 'offset' | 'keyed';
  /** As `X-Postern-Format` writes it. */
  readonly format: string;
  /** Where it began here. */
  readonly start: number;
  /** The oldest offset that retention has left. */
  readonly first: number;
  /** The first offset that is not here. */
  readonly next: number;
  /** Where the record that is open begins. */
  readonly boundary: number;
  /** Bytes from the boundary on cannot be split: a length was impossible. */
  readonly unframed: boolean;
  readonly records: number;
  readonly batches: number;
  /** Bytes that came more than once, in requests: each was answered and none stored again. */
  readonly repeats: number;
  readonly gaps: number;
  readonly lostBytes: number;
  readonly conflicts: number;
  /** The highest offset above `next` that its device claimed to be at: the gateway has less than it once had. null: never, or made good. */
  readonly claimed: number | null;
  readonly sealedAt: number | null;
  /** The base it went on at; null when nobody said. */
  readonly sealedTo: string | null;
  readonly createdAt: number;
  readonly lastAt: number;
}

/** Bytes that are not there, and are known not to come. */
export interface FeedGap {
  /** The epoch's number. */
  readonly epoch: number;
  readonly fromOff: number;
  readonly toOff: number;
  /** `wrap`, `damaged`, `server-lost`, `moved` … */
  readonly reason: string;
  readonly at: number;
}

/** A record that a pattern found, queued in the transaction that stored it. */
export interface FeedAlert {
  readonly id: Id;
  readonly customerId: Id;
  /** The epoch's number, and the record's offset in it. */
  readonly epoch: number;
  readonly off: number;
  /** The alert's name in the configuration. */
  readonly rule: string;
  /** The record, as much of it as is shown. */
  readonly record: string;
  readonly at: number;
  readonly dueAt: number;
  readonly tries: number;
  readonly doneAt: number | null;
  /** What became of the last try; null after success. */
  readonly why: string | null;
}

/** Where a device was sent, or that it is to stay here; noted, not kept. */
export interface Lease {
  readonly customerId: Id;
  readonly serial: string;
  /** As the configuration names it; `here` is this gateway. */
  readonly server: string;
  /** The rule that chose it. */
  readonly rule: string;
  readonly givenAt: number;
  readonly until: number;
}

/** Words that people put on a device, for rules. A device without tags has no row. */
export interface DeviceTags {
  readonly deviceId: Id;
  readonly customerId: Id;
  /** Sorted. */
  readonly tags: readonly string[];
}

/** A customer whose account is suspended. It changes nothing but which redirect rules match. */
export interface Suspension {
  readonly customerId: Id;
  readonly since: number;
  /** As somebody wrote it; may be ''. */
  readonly why: string;
}

export interface Revision {
  readonly number: number;
  readonly at: number;
  readonly actor: Actor;
  readonly config: unknown;
  /** What differs from the one before, in a line; null for one that was written before this was kept. */
  readonly summary: string | null;
  /** The revision whose document this one brings back; null for a document of its own. */
  readonly restores: number | null;
  /** It was provisional: in force at once, and to be confirmed until then. null: it counted at once. */
  readonly confirmBy: number | null;
  /** How a provisional one ended; null while it waits, and for all others. */
  readonly settled: 'confirmed' | 'rolled-back' | null;
}
