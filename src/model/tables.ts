// The gateway's tables together: what the data plane and the API look things up in.
import type { Id } from '#base/ids.ts';
import type { Everything } from './operations.ts';
import type { Agent, AgentCertificate, AgentNote, Certificate, Customer, Delivery, Device, DeviceKey, DeviceNote, DeviceTags, Invite, JoinToken, Lease, OldLabel, Person, Right, SignIn, Site, Suspension, Token, WaitingDevice } from './rows.ts';
import { indexSources, type SourceLookup } from './job-sources.ts';
import type { DeviceProfile, DeviceToken, Evidence, JobSource, ReleasedAddress, SiteDoor, SitePlace, VirtualAddress } from './place-rows.ts';
import { buildTable, groupsBy, indexBy, type TableWriter } from './table.ts';

export interface Tables {
  readonly customers: TableWriter<Customer>;
  readonly sites: TableWriter<Site>;
  readonly agents: TableWriter<Agent>;
  readonly agentCertificates: TableWriter<AgentCertificate>;
  readonly agentNotes: TableWriter<AgentNote>;
  readonly devices: TableWriter<Device>;
  readonly oldLabels: TableWriter<OldLabel>;
  readonly people: TableWriter<Person>;
  readonly rights: TableWriter<Right>;
  readonly signIns: TableWriter<SignIn>;
  readonly tokens: TableWriter<Token>;
  readonly joinTokens: TableWriter<JoinToken>;
  readonly invites: TableWriter<Invite>;
  /** Those that people configure or order; by id. */
  readonly certificates: TableWriter<Certificate>;
  /** What agents put in place; by id. */
  readonly deliveries: TableWriter<Delivery>;
  readonly deviceKeys: TableWriter<DeviceKey>;
  readonly waitingDevices: TableWriter<WaitingDevice>;
  readonly deviceNotes: TableWriter<DeviceNote>;
  /** By `leaseKey`. */
  readonly leases: TableWriter<Lease>;
  /** By the device's id. */
  readonly deviceTags: TableWriter<DeviceTags>;
  /** By the customer's id. */
  readonly suspensions: TableWriter<Suspension>;
  /** What devices said that they are, by the device's id. Noted: what is lost at a crash is asked again within minutes. */
  readonly deviceProfiles: TableWriter<DeviceProfile>;
  /** By the site's id. */
  readonly sitePlaces: TableWriter<SitePlace>;
  readonly siteDoors: TableWriter<SiteDoor>;
  readonly deviceTokens: TableWriter<DeviceToken>;
  /** By `evidenceKey`. */
  readonly evidence: TableWriter<Evidence>;
  readonly jobSources: TableWriter<JobSource>;
  /** By the device's id. */
  readonly virtualAddresses: TableWriter<VirtualAddress>;
  /** By address. */
  readonly releasedAddresses: TableWriter<ReleasedAddress>;
  // second ways to look things up
  virtualAddressAt(address: string): VirtualAddress | undefined;
  deviceTokenByDigest(digest: string): DeviceToken | undefined;
  tokensOfDevice(deviceId: Id): readonly DeviceToken[];
  evidenceOf(deviceId: Id): readonly Evidence[];
  readonly sources: SourceLookup;
  deviceByLabel(label: string): Device | undefined;
  deviceBySerial(customerId: Id, serial: string): Device | undefined;
  waitingBySerial(customerId: Id, serial: string): WaitingDevice | undefined;
  keysOfDevice(deviceId: Id): readonly DeviceKey[];
  customerByKey(key: string): Customer | undefined;
  oldLabel(label: string): OldLabel | undefined;
  signInByDigest(digest: string): SignIn | undefined;
  tokenByDigest(digest: string): Token | undefined;
  joinTokenByDigest(digest: string): JoinToken | undefined;
  inviteByDigest(digest: string): Invite | undefined;
  personByLogin(login: string): Person | undefined;
  certificateByName(name: string): Certificate | undefined;
  devicesOfAgent(agentId: Id): Device[];
  agentOf(device: Device): Agent | undefined;
  rightsOf(subjectKind: 'person' | 'token', subjectId: Id): readonly Right[];
}

/** A device that pushes, as leases name it. */
export const leaseKey = (customerId: Id, serial: string): string => `${customerId} ${serial}`;
/** A fact that a device's identity rests on, as its table names it. */
export const evidenceKey = ({ deviceId, kind, value }: Pick<Evidence, 'deviceId' | 'kind' | 'value'>): string => `${deviceId} ${kind} ${value}`;
const byId = (row: { readonly id: Id }) => row.id;

export function buildTables(all: Everything): Tables {
  const kept = <Row extends { readonly id: Id }>(name: string, rows: readonly Row[]) => buildTable<Row>({ name, kind: 'kept', keyOf: byId, rows });
  const devices = kept('devices', all.devices);
  const agents = kept('agents', all.agents);
  const signIns = kept('signIns', all.signIns);
  const tokens = kept('tokens', all.tokens);
  const joinTokens = kept('joinTokens', all.joinTokens);
  const invites = kept('invites', all.invites);
  const people = kept('people', all.people);
  const rights = kept('rights', all.rights);
  const certificates = kept('certificates', all.certificates);
  const oldLabels = buildTable<OldLabel>({ name: 'oldLabels', kind: 'kept', keyOf: (row) => row.label, rows: all.oldLabels });
  const deviceKeys = kept('deviceKeys', all.deviceKeys);
  const waitingDevices = kept('waitingDevices', all.waitingDevices);
  const customers = kept('customers', all.customers);
  const deviceBySerial = indexBy(devices, byId, (row) => (row.serial === null ? undefined : `${row.customerId} ${row.serial}`));
  const waitingBySerial = indexBy(waitingDevices, byId, (row) => `${row.customerId} ${row.serial}`);
  const virtualAddresses = buildTable<VirtualAddress>({ name: 'virtualAddresses', kind: 'kept', keyOf: (row) => row.deviceId, rows: all.virtualAddresses });
  const virtualAddressAt = indexBy(virtualAddresses, (row) => row.deviceId, (row) => row.address);
  const deviceTokens = kept('deviceTokens', all.deviceTokens);
  const evidence = buildTable<Evidence>({ name: 'evidence', kind: 'noted', keyOf: evidenceKey, rows: all.evidence });
  const jobSources = kept('jobSources', all.jobSources);
  const deviceTokenByDigest = indexBy(deviceTokens, byId, (row) => row.digest);
  const tokensByDevice = groupsBy(deviceTokens, byId, (row) => row.deviceId);
  const evidenceByDevice = groupsBy(evidence, evidenceKey, (row) => row.deviceId);
  const sourcesByDevice = groupsBy(jobSources, byId, (row) => row.deviceId ?? undefined);
  const sites = kept('sites', all.sites);
  const sourcesBySite = groupsBy(jobSources, byId, (row) => row.siteId ?? undefined);
  sites.watch(({ removed }) => {
    for (const id of removed) if (sourcesBySite.get(id).length > 0) jobSources.publish({ removed: sourcesBySite.get(id).map(byId) });
  });
  // The store drops them with the device's row.
  devices.watch(({ removed }) => {
    for (const id of removed) {
      const [tokens, facts, sources] = [tokensByDevice.get(id), evidenceByDevice.get(id), sourcesByDevice.get(id)];
      if (tokens.length > 0) deviceTokens.publish({ removed: tokens.map(byId) });
      if (facts.length > 0) evidence.publish({ removed: facts.map(evidenceKey) });
      if (sources.length > 0) jobSources.publish({ removed: sources.map(byId) });
    }
  });
  const customerByKey = indexBy(customers, byId, (row) => row.key);
  const keysByDevice = new Map<Id, DeviceKey[]>();
  const keyPlaces = new Map<Id, Id>();
  const dropKey = (id: Id) => {
    const deviceId = keyPlaces.get(id);
    const rest = deviceId === undefined ? undefined : keysByDevice.get(deviceId)?.filter((row) => row.id !== id);
    keyPlaces.delete(id);
    if (deviceId === undefined || rest === undefined) return;
    if (rest.length === 0) keysByDevice.delete(deviceId);
    else keysByDevice.set(deviceId, rest);
  };
  const putKey = (row: DeviceKey) => {
    dropKey(row.id);
    keyPlaces.set(row.id, row.deviceId);
    keysByDevice.set(row.deviceId, [...(keysByDevice.get(row.deviceId) ?? []), row]);
  };
  for (const row of deviceKeys.values()) putKey(row);
  deviceKeys.watch(({ put, removed }) => {
    removed.forEach(dropKey);
    put.forEach(putKey);
  });
  const noKeys: readonly DeviceKey[] = [];
  const deviceByLabel = indexBy(devices, byId, (row) => row.label);
  const signInByDigest = indexBy(signIns, byId, (row) => row.secretDigest);
  const tokenByDigest = indexBy(tokens, byId, (row) => row.secretDigest);
  const joinTokenByDigest = indexBy(joinTokens, byId, (row) => row.secretDigest);
  const inviteByDigest = indexBy(invites, byId, (row) => row.codeDigest);
  const personByLogin = indexBy(people, byId, (row) => row.login.toLowerCase());
  const certificateByName = indexBy(certificates, byId, (row) => row.name);
  // Grouped rows are rebuilt on the first question after a change: changes are rare, questions are per request.
  let rightsAt = -1;
  let rightsBySubject = new Map<string, Right[]>();
  let devicesAt = -1;
  let devicesByAgent = new Map<Id | null, Device[]>();
  const none: readonly Right[] = [];
  return {
    customers,
    sites,
    agents,
    agentCertificates: buildTable<AgentCertificate>({ name: 'agentCertificates', kind: 'kept', keyOf: (row) => row.fingerprint, rows: all.agentCertificates }),
    agentNotes: buildTable<AgentNote>({ name: 'agentNotes', kind: 'noted', keyOf: (row) => row.agentId, rows: all.agentNotes }),
    devices,
    oldLabels,
    people,
    rights,
    signIns,
    tokens,
    joinTokens,
    invites,
    certificates,
    deliveries: kept('deliveries', all.deliveries),
    deviceKeys,
    waitingDevices,
    deviceNotes: buildTable<DeviceNote>({ name: 'deviceNotes', kind: 'noted', keyOf: (row) => row.deviceId, rows: all.deviceNotes }),
    leases: buildTable<Lease>({ name: 'leases', kind: 'noted', keyOf: (row) => leaseKey(row.customerId, row.serial), rows: all.leases }),
    deviceTags: buildTable<DeviceTags>({ name: 'deviceTags', kind: 'kept', keyOf: (row) => row.deviceId, rows: all.deviceTags }),
    suspensions: buildTable<Suspension>({ name: 'suspensions', kind: 'kept', keyOf: (row) => row.customerId, rows: all.suspensions }),
    sitePlaces: buildTable<SitePlace>({ name: 'sitePlaces', kind: 'kept', keyOf: (row) => row.siteId, rows: all.sitePlaces }),
    siteDoors: kept('siteDoors', all.siteDoors),
    deviceTokens,
    evidence,
    jobSources,
    deviceTokenByDigest: (digest) => deviceTokenByDigest.get(digest),
    tokensOfDevice: (deviceId) => tokensByDevice.get(deviceId),
    evidenceOf: (deviceId) => evidenceByDevice.get(deviceId),
    sources: indexSources(jobSources),
    virtualAddresses,
    releasedAddresses: buildTable<ReleasedAddress>({ name: 'releasedAddresses', kind: 'kept', keyOf: (row) => row.address, rows: all.releasedAddresses }),
    virtualAddressAt: (address) => virtualAddressAt.get(address),
    deviceBySerial: (customerId, serial) => deviceBySerial.get(`${customerId} ${serial}`),
    waitingBySerial: (customerId, serial) => waitingBySerial.get(`${customerId} ${serial}`),
    keysOfDevice: (deviceId) => keysByDevice.get(deviceId) ?? noKeys,
    customerByKey: (key) => customerByKey.get(key),
    deviceProfiles: buildTable<DeviceProfile>({ name: 'deviceProfiles', kind: 'noted', keyOf: (row) => row.deviceId, rows: all.deviceProfiles }),
    deviceByLabel: (label) => deviceByLabel.get(label),
    oldLabel: (label) => oldLabels.get(label),
    signInByDigest: (digest) => signInByDigest.get(digest),
    tokenByDigest: (digest) => tokenByDigest.get(digest),
    joinTokenByDigest: (digest) => joinTokenByDigest.get(digest),
    inviteByDigest: (digest) => inviteByDigest.get(digest),
    personByLogin: (login) => personByLogin.get(login.toLowerCase()),
    certificateByName: (name) => certificateByName.get(name),
    agentOf: (device) => (device.agentId === null ? undefined : agents.get(device.agentId)),
    devicesOfAgent(agentId) {
      if (devicesAt !== devices.version) {
        devicesByAgent = Map.groupBy(devices.values(), (row) => row.agentId);
        devicesAt = devices.version;
      }
      return devicesByAgent.get(agentId) ?? [];
    },
    rightsOf(subjectKind, subjectId) {
      if (rightsAt !== rights.version) {
        rightsBySubject = Map.groupBy(rights.values(), (row) => `${row.subjectKind} ${row.subjectId}`);
        rightsAt = rights.version;
      }
      return rightsBySubject.get(`${subjectKind} ${subjectId}`) ?? none;
    },
  };
}
