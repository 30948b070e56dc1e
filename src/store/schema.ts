// What the tables hold, in camelCase as queries write it, and how rows of the model become rows of the database and back:
// flags are 0 or 1, lists and objects are JSON text.
import type { DeviceFile, Upload } from '#model/files.ts';
import type { DeviceProfile, ProbeSample } from '#model/place-rows.ts';
import type { ReleasedAddress, SiteDoor, SitePlace, VirtualAddress } from '#model/place-rows.ts';
import type { DeviceToken, Evidence, JobSource } from '#model/place-rows.ts';
import type { Agent, AgentCertificate, AgentNote, AuditLine, Certificate, Customer, Delivery, Device, DeviceKey, DeviceNote, DeviceTags, Feed, FeedAlert, FeedEpoch, FeedGap, Invite, JoinToken, Lease, OldLabel, Person, Revision, Right, SignIn, Site, Suspension, Token, Visit, WaitingDevice } from '#model/rows.ts';

type Column<Value> = Value extends boolean ? number : Value extends string | number | null ? Value : string;

/** A row of the model as its table keeps it. */
export type Stored<Row> = { [Name in keyof Row]: Column<Row[Name]> };

export interface Schema {
  schemaMigration: { number: number; name: string; at: number };
  customer: Stored<Customer>;
  site: Stored<Site>;
  agent: Stored<Agent>;
  agentCertificate: Stored<AgentCertificate>;
  agentNote: Stored<AgentNote> & { customerId: string };
  device: Stored<Device>;
  oldLabel: Stored<OldLabel>;
  person: Stored<Person> & { loginKey: string };
  /** `right` is a word of SQL. */
  accessRight: Stored<Right>;
  signIn: Stored<SignIn>;
  token: Stored<Token>;
  joinToken: Stored<JoinToken>;
  invite: Stored<Invite>;
  certificate: Stored<Certificate>;
  delivery: Stored<Delivery>;
  deviceKey: Stored<DeviceKey>;
  waitingDevice: Stored<WaitingDevice>;
  deviceNote: Omit<Stored<DeviceNote>, 'pins'> & { pins: string | null };
  feed: Stored<Feed>;
  feedEpoch: Stored<FeedEpoch>;
  /** What was brought: bytes once, records are made of them by splitting again. */
  chunk: { epoch: number; off: number; len: number; at: number; records: number; body: Uint8Array };
  feedGap: Stored<FeedGap>;
  feedAlert: Stored<FeedAlert>;
  /** Keys of bodies that came without offsets. */
  intakeKey: { feedId: string; keyDigest: string; bodyDigest: string; epoch: number; off: number; at: number };
  deviceFile: Stored<DeviceFile>;
  upload: Stored<Upload>;
  lease: Stored<Lease>;
  deviceTags: Stored<DeviceTags>;
  suspension: Stored<Suspension>;
  sitePlace: Stored<SitePlace>;
  siteDoor: Stored<SiteDoor>;
  deviceToken: Stored<DeviceToken>;
  evidence: Stored<Evidence>;
  jobSource: Stored<JobSource>;
  virtualAddress: Stored<VirtualAddress>;
  releasedAddress: Stored<ReleasedAddress>;
  deviceProfile: Stored<DeviceProfile>;
  probeSample: Stored<ProbeSample>;
  sinkPosition: { sink: string; epoch: number; off: number; run: number; unframed: number; data: string | null; at: number };
  revision: Omit<Stored<Revision>, 'config'> & { customerId: string; config: string };
  visit: Omit<Stored<Visit>, 'who'> & { who: string };
  audit: Omit<Stored<AuditLine>, 'actor'> & { actorKind: AuditLine['actor']['kind']; actorId: string | null; actorName: string; actorFrom: string };
  /** One row: where the chain stands. With it a cut-off end is noticed. */
  auditHead: { id: number; seq: number; hash: string };
  /** Single numbers: how many visits were dropped, when `check` last wrote. */
  counter: { name: string; value: number };
}

/** How to store the columns that are not plain text or numbers. */
export type Kinds<Row> = { readonly [Name in keyof Row as Row[Name] extends string | number | null ? never : Name]: Row[Name] extends boolean ? 'flag' : 'json' };

export interface Codec<Row> {
  store(row: Row): Stored<Row>;
  /** Columns that the model does not know are left out. */
  load(stored: Stored<Row>): Row;
}

export function codec<Row extends object>(columns: readonly (keyof Row & string)[], kinds: Kinds<Row>): Codec<Row> {
  const kindOf = kinds as Readonly<Record<string, 'flag' | 'json' | undefined>>;
  const mapped = (from: object, change: (kind: 'flag' | 'json' | undefined, value: unknown) => unknown) => {
    const values = from as Readonly<Record<string, unknown>>;
    return Object.fromEntries(columns.map((name) => [name, change(kindOf[name], values[name])]));
  };
  return {
    store: (row) => mapped(row, (kind, value) => (kind === 'flag' ? Number(value) : kind === 'json' ? JSON.stringify(value) : value)) as Stored<Row>,
    load: (stored) => mapped(stored, (kind, value) => (kind === 'flag' ? value === 1 : kind === 'json' ? JSON.parse(value as string) : value)) as Row,
  };
}

export const codecs = {
  customer: codec<Customer>(['id', 'key', 'name', 'createdAt'], {}),
  site: codec<Site>(['id', 'customerId', 'name', 'createdAt'], {}),
  agent: codec<Agent>(['id', 'customerId', 'siteId', 'name', 'state', 'createdAt'], {}),
  agentCertificate: codec<AgentCertificate>(['fingerprint', 'customerId', 'agentId', 'keyFingerprint', 'notBefore', 'notAfter', 'revokedAt'], {}),
  agentNote: codec<AgentNote>(['agentId', 'lastSeenAt', 'lastLeftWhy', 'version', 'from', 'policy'], {}),
  device: codec<Device>(['id', 'customerId', 'siteId', 'agentId', 'serial', 'label', 'name', 'host', 'ports', 'hostHeader', 'locked', 'createdAt'], { ports: 'json', locked: 'flag' }),
  oldLabel: codec<OldLabel>(['label', 'customerId', 'deviceId', 'until'], {}),
  person: codec<Person>(['id', 'customerId', 'login', 'name', 'passwordHash', 'locked', 'createdAt'], { locked: 'flag' }),
  accessRight: codec<Right>(['id', 'customerId', 'subjectKind', 'subjectId', 'action', 'scopeKind', 'scopeId'], {}),
  signIn: codec<SignIn>(['id', 'customerId', 'personId', 'secretDigest', 'kind', 'from', 'userAgent', 'createdAt', 'lastUsedAt', 'expiresAt'], {}),
  token: codec<Token>(['id', 'customerId', 'personId', 'name', 'secretDigest', 'createdAt', 'lastUsedAt', 'expiresAt'], {}),
  joinToken: codec<JoinToken>(
    ['id', 'customerId', 'siteId', 'secretDigest', 'deviceName', 'serial', 'host', 'ports', 'createdBy', 'createdAt', 'expiresAt', 'usedAt', 'usedByAgentId'],
    { ports: 'json' },
  ),
  invite: codec<Invite>(['id', 'customerId', 'codeDigest', 'name', 'rights', 'createdBy', 'createdAt', 'expiresAt', 'usedAt'], { rights: 'json' }),
  certificate: codec<Certificate>(
    [
      'id', 'customerId', 'name', 'source', 'state', 'enabled', 'names', 'keyKind', 'keyFingerprint', 'chainPem', 'certificateFingerprint', 'subject', 'issuer', 'notBefore', 'notAfter',
      'csrPem', 'csrKeyFingerprint', 'previousChainPem', 'previousKeyFingerprint', 'acme', 'createdAt', 'renewedAt', 'lastTriedAt', 'lastError',
    ],
    { enabled: 'flag', names: 'json', acme: 'json' },
  ),
  delivery: codec<Delivery>(['id', 'customerId', 'certificateId', 'agentId', 'asName', 'state', 'digest', 'deliveredAt', 'triedAt', 'why', 'exitCode', 'output', 'createdAt'], {}),
  deviceKey: codec<DeviceKey>(['id', 'customerId', 'deviceId', 'kind', 'digest', 'sealed', 'state', 'createdAt', 'usedAt'], {}),
  waitingDevice: codec<WaitingDevice>(['id', 'customerId', 'serial', 'name', 'from', 'product', 'firstSeenAt', 'lastSeenAt', 'keyDigest', 'keySealed', 'bytes'], {}),
  feed: codec<Feed>(['id', 'customerId', 'deviceId', 'serial', 'name', 'createdAt'], {}),
  feedEpoch: codec<FeedEpoch>(
    [
      'number', 'feedId', 'customerId', 'epoch', 'kind', 'format', 'start', 'first', 'next', 'boundary', 'unframed', 'records', 'batches', 'repeats', 'gaps', 'lostBytes', 'conflicts', 'claimed',
      'sealedAt', 'sealedTo', 'createdAt', 'lastAt',
    ],
    { unframed: 'flag' },
  ),
  feedGap: codec<FeedGap>(['epoch', 'fromOff', 'toOff', 'reason', 'at'], {}),
  feedAlert: codec<FeedAlert>(['id', 'customerId', 'epoch', 'off', 'rule', 'record', 'at', 'dueAt', 'tries', 'doneAt', 'why'], {}),
  lease: codec<Lease>(['customerId', 'serial', 'server', 'rule', 'givenAt', 'until'], {}),
  deviceTags: codec<DeviceTags>(['deviceId', 'customerId', 'tags'], { tags: 'json' }),
  suspension: codec<Suspension>(['customerId', 'since', 'why'], {}),
  sitePlace: codec<SitePlace>(['siteId', 'customerId', 'subnets', 'egress'], { subnets: 'json', egress: 'json' }),
  siteDoor: codec<SiteDoor>(['id', 'customerId', 'siteId', 'agentId', 'address', 'port', 'listener', 'createdAt'], {}),
  deviceToken: codec<DeviceToken>(['id', 'customerId', 'deviceId', 'digest', 'note', 'createdAt', 'usedAt'], {}),
  evidence: codec<Evidence>(['deviceId', 'customerId', 'kind', 'value', 'how', 'firstAt', 'lastAt', 'count'], {}),
  jobSource: codec<JobSource>(['id', 'customerId', 'application', 'deviceId', 'serial', 'siteId', 'address', 'as', 'note', 'createdAt'], {}),
  virtualAddress: codec<VirtualAddress>(['deviceId', 'customerId', 'address', 'pinned', 'createdAt'], { pinned: 'flag' }),
  releasedAddress: codec<ReleasedAddress>(['address', 'customerId', 'deviceId', 'releasedAt'], {}),
  deviceProfile: codec<DeviceProfile>(['deviceId', 'customerId', 'profile', 'readAt', 'address', 'agentId', 'trust', 'mac', 'triedAt', 'failure'], { profile: 'json', failure: 'json' }),
  visit: codec<Visit>(['id', 'customerId', 'deviceId', 'deviceName', 'port', 'kind', 'who', 'openedAt', 'closedAt', 'requests', 'bytesIn', 'bytesOut', 'why'], { who: 'json' }),
};

export function storeDeviceNote({ pins, facts, ...rest }: DeviceNote): Schema['deviceNote'] {
  return { ...rest, pins: pins === null ? null : JSON.stringify(pins), facts: JSON.stringify(facts) };
}

export function loadDeviceNote({ pins, facts, ...rest }: Schema['deviceNote']): DeviceNote {
  return { ...rest, pins: pins === null ? null : (JSON.parse(pins) as string[]), facts: JSON.parse(facts) as Record<string, string> };
}

export function storeAuditLine(line: AuditLine): Schema['audit'] {
  const { actor, detail, ...rest } = line;
  return { ...rest, detail: JSON.stringify(detail), actorKind: actor.kind, actorId: actor.id, actorName: actor.name, actorFrom: actor.from };
}

export function loadAuditLine(stored: Schema['audit']): AuditLine {
  const { actorKind, actorId, actorName, actorFrom, detail, ...rest } = stored;
  return { ...rest, actor: { kind: actorKind, id: actorId, name: actorName, from: actorFrom }, detail: loadDetail(detail) };
}

/** A line that somebody spoilt must still be listed; that its hash does not match is for the verifier to say. */
function loadDetail(text: string): AuditLine['detail'] {
  try {
    const detail: unknown = JSON.parse(text);
    if (typeof detail === 'object' && detail !== null && !Array.isArray(detail)) return detail as AuditLine['detail'];
  } catch {
    // Not JSON at all: the same.
  }
  return { unreadable: text };
}
