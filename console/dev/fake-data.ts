// A made-up gateway's state for the dev server, typed by the contract: what does not fit it does not compile.
import type { AgentView, AuditLineView, CustomerView, DeviceView, FindingView, InviteView, JoinTokenView, JournalLineView, MeView, PersonView, PortView, SignInView, SiteView, StatusView, TokenView, VisitView } from '#api/shapes.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

let lastId = 0;
/** A UUIDv7 by shape; counted, so that two runs look alike. */
export function fakeId(): string {
  lastId += 1;
  return `0190b2c4-${(0x1000 + (lastId % 0xefff)).toString(16)}-7${(lastId % 0xfff).toString(16).padStart(3, '0')}-8000-${lastId.toString(16).padStart(12, '0')}`;
}

export interface FakeState {
  me: MeView;
  customers: CustomerView[];
  sites: SiteView[];
  devices: DeviceView[];
  agents: AgentView[];
  people: PersonView[];
  invites: InviteView[];
  signIns: SignInView[];
  tokens: TokenView[];
  joinTokens: JoinTokenView[];
  visits: VisitView[];
  audit: AuditLineView[];
  journal: JournalLineView[];
  findings: FindingView[];
  status: StatusView;
}

const hex = (seed: number) => Array.from({ length: 64 }, (_, at) => ((seed * 31 + at * 17 + ((at * seed) % 7)) % 16).toString(16)).join('');

function port(label: string, number: number, name: string, kind: PortView['kind'], first: boolean): PortView {
  const web = kind === 'http' || kind === 'https';
  return { number, name, kind, url: web ? `http://${label}${first ? '' : `--${number}`}.localhost:8080/` : null, fingerprint: kind === 'https' && number === 443 ? hex(number) : null };
}

interface Wanted {
  readonly name: string;
  readonly label: string;
  readonly site: number;
  readonly online: boolean;
  readonly ports: readonly (readonly [number, string, PortView['kind']])[];
  readonly why?: string;
  readonly locked?: boolean;
  readonly agentState?: DeviceView['agentState'];
  readonly serial?: string;
}

const WANTED: readonly Wanted[] = [
  { name: 'Demo device', label: 'demo', site: 0, online: true, ports: [[80, '', 'http'], [22, 'SSH', 'tcp']] },
  { name: 'Printer, 2nd floor', label: 'printer-2nd-floor', site: 0, online: true, ports: [[443, 'Admin page', 'https'], [8443, 'Panel', 'https'], [9100, 'Raw print', 'tcp'], [161, 'SNMP', 'udp']], serial: 'W504P800123' },
  { name: 'Boiler controller', label: 'boiler', site: 1, online: true, ports: [[80, '', 'http'], [502, 'Modbus', 'tcp']], serial: 'BC-20-7741' },
  { name: 'Door station', label: 'door', site: 1, online: false, ports: [[80, '', 'http'], [5060, 'SIP', 'tcp']], why: 'keepalive lost: nothing heard for 25 s' },
  { name: 'Energy meter hall 4', label: 'meter-hall-4', site: 1, online: false, ports: [[80, '', 'http']], why: 'the agent ended: SIGTERM' },
  { name: 'Label printer with a rather long name that someone typed in full', label: 'label-printer-with-a-rather-long-name', site: 0, online: true, locked: true, ports: [[80, '', 'http']] },
  { name: 'NAS', label: 'nas', site: 0, online: true, ports: [[443, '', 'https'], [22, 'SSH', 'tcp'], [5900, 'VNC', 'tcp']] },
  { name: 'Old PBX', label: 'old-pbx', site: 1, online: false, agentState: 'revoked', ports: [[80, '', 'http']], why: 'the agent was revoked' },
  { name: 'Call logger', label: 'call-logger', site: 1, online: false, agentState: 'none', ports: [], serial: 'CL-2041' },
  { name: 'Weather station', label: 'weather', site: 1, online: true, ports: [[80, 'Readings', 'http']] },
];

function fakeDevice(wanted: Wanted, at: number, now: number, sites: readonly SiteView[]): DeviceView {
  const site = sites[Math.min(wanted.site, sites.length - 1)]!;
  const rttMs = 4 + ((at * 13) % 70) + 0.4;
  return {
    id: fakeId(),
    customerId: site.customerId,
    siteId: site.id,
    siteName: site.name,
    agentId: wanted.agentState === 'none' ? null : fakeId(),
    agentState: wanted.agentState ?? 'active',
    serial: wanted.serial ?? null,
    label: wanted.label,
    name: wanted.name,
    host: '127.0.0.1',
    hostHeader: 'own',
    locked: wanted.locked ?? false,
    createdAt: now - 40 * DAY + at * DAY,
    url: wanted.ports.length === 0 ? null : `http://${wanted.label}.localhost:8080/`,
    ports: wanted.ports.map(([number, name, kind], index) => port(wanted.label, number, name, kind, index === 0)),
    online: wanted.online,
    link: wanted.online ? { from: `198.51.100.${10 + at}`, since: now - (at + 1) * 7 * HOUR, rttMs, streams: (at * 3) % 8, bytesIn: (at + 1) * 48_312_000, bytesOut: (at + 1) * 1_734_000, version: 'postern/0.1.0 linux-x64', can: ['tcp'] } : null,
    lastSeenAt: wanted.online ? now : now - (at + 1) * 47 * MINUTE,
    lastLeftWhy: wanted.why ?? null,
    version: wanted.online ? 'postern/0.1.0 linux-x64' : 'postern/0.0.9 linux-arm64',
    policy: ['reach tcp 127.0.0.1 ports 80, 443, 22', 'reach tcp 192.0.2.0/24 ports 80'],
    contact: wanted.agentState === 'none' ? { lastPushAt: now - 3 * MINUTE, lastCheckInAt: now - 5 * HOUR, from: '198.51.100.77', firmware: '2.95', hardware: 'ip4', pins: true, fingerprints: ['sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='], clockSkewMs: -1_400, zone: 'Europe/Berlin', upSeconds: 86_400 * 12, facts: {} } : null,
    visitsLive: at === 0 ? 2 : 0,
    may: ['see', 'open', 'administer'],
  };
}

function fakePeople(now: number, me: MeView['person'], site: SiteView): PersonView[] {
  const base = { customerId: site.customerId, createdAt: now - 40 * DAY, locked: false };
  return [
    { ...base, id: me.id, login: me.login, name: me.name, lastUsedAt: now, rights: [{ action: 'administer', scopeKind: 'gateway', scopeId: null, scopeName: 'everything' }], signIns: 2, tokens: 2, isMe: true },
    { ...base, id: fakeId(), login: 'grace', name: 'Grace Hopper', lastUsedAt: now - 3 * HOUR, rights: [{ action: 'administer', scopeKind: 'site', scopeId: site.id, scopeName: site.name }, { action: 'see', scopeKind: 'gateway', scopeId: null, scopeName: 'everything' }], signIns: 1, tokens: 0, isMe: false },
    { ...base, id: fakeId(), login: 'hedy', name: 'Hedy Lamarr', lastUsedAt: null, rights: [{ action: 'open', scopeKind: 'device', scopeId: fakeId(), scopeName: 'Printer, 2nd floor' }], signIns: 0, tokens: 0, isMe: false },
    { ...base, id: fakeId(), login: 'charles', name: 'Charles Babbage', locked: true, lastUsedAt: now - 12 * DAY, rights: [], signIns: 0, tokens: 1, isMe: false },
  ];
}

const FINDINGS: readonly FindingView[] = [
  { id: 'names', title: 'Names', status: 'ok', evidence: ['localhost -> 127.0.0.1, ::1', 'demo.localhost -> 127.0.0.1'], verdict: 'All names lead here.', remedy: null, ms: 4 },
  { id: 'ports', title: 'Ports', status: 'warning', evidence: ['listening on 127.0.0.1:8080', 'listening on [::]:8443'], verdict: 'HTTPS is on 8443, not 443.', remedy: 'Many networks let out 443 only. Start with --https 443, or forward 443 to 8443.', ms: 2 },
  { id: 'certificate', title: 'Certificate', status: 'ok', evidence: ['private CA until 2036-11-20', 'leaf for localhost until 2027-12-22'], verdict: 'Valid for 397 days.', remedy: null, ms: 1 },
  { id: 'clock', title: 'Clock', status: 'ok', evidence: ['agents differ by at most 40 ms'], verdict: 'The clock is right.', remedy: null, ms: 1 },
  { id: 'store', title: 'Store', status: 'ok', evidence: ['fsync takes 3 ms', 'schema 1'], verdict: 'It writes and reads.', remedy: null, ms: 9 },
  { id: 'disk', title: 'Disk', status: 'failure', evidence: ['/data: 212 MB free of 40 GB'], verdict: 'Less than 1 GB is free where the store lives.', remedy: 'Free some space, or move the data folder with --data. At zero the gateway refuses changes and new visits.', ms: 1 },
  { id: 'links', title: 'Links', status: 'skipped', evidence: [], verdict: 'No agent asked for a second slot.', remedy: null, ms: 0 },
];

function fakeStatus(now: number, devices: readonly DeviceView[]): StatusView {
  const online = devices.filter((device) => device.online).length;
  return {
    version: '0.1.0', runtime: 'Node 26.10.0, linux x64', startedAt: now - 26 * HOUR, now, revision: 3,
    listeners: [{ address: '127.0.0.1', port: 8080, secure: false }, { address: '::', port: 8443, secure: true }],
    conns: 41, links: online, streams: 17, visitsLive: 2, devices: devices.length, devicesOnline: online,
    memory: { rssBytes: 148_000_000, heldBytes: 3_200_000, budgetBytes: 536_870_912 }, journalDropped: 0, storeBytes: 9_310_000,
    remarks: ['HTTPS listens on 8443: many networks let out 443 only.'],
  };
}

/** `few`: a gateway just set up, with nothing joined yet. */
export function fakeState(now: number, few: boolean): FakeState {
  const customers: CustomerView[] = [{ id: fakeId(), key: 'default', name: 'default', createdAt: now - 50 * DAY, suspended: null }];
  const sites: SiteView[] = [{ id: fakeId(), customerId: customers[0]!.id, name: 'main', createdAt: now - 50 * DAY }];
  if (!few) sites.push({ id: fakeId(), customerId: customers[0]!.id, name: 'Leeds plant', createdAt: now - 30 * DAY });
  const person = { id: fakeId(), login: 'ada', name: 'Ada Lovelace' };
  const signInId = fakeId();
  const me: MeView = {
    person, signInId, tokenId: null, tokenRights: null, rights: [{ action: 'administer', scopeKind: 'gateway', scopeId: null, scopeName: 'everything' }],
    may: { administerGateway: true, administerAnything: true, joinDevices: true },
    version: '0.1.0', domains: ['localhost'], console: 'http://localhost:8080/', devicePattern: 'http://{label}.localhost:8080/', severalCustomers: false,
  };
  const devices = few ? [] : WANTED.map((wanted, at) => fakeDevice(wanted, at, now, sites));
  const people = fakePeople(now, person, sites[0]!);
  const signIn = { personId: person.id, login: person.login, expiresAt: now + 30 * DAY };
  return {
    me, customers, sites, devices,
    agents: devices.flatMap((device) => (device.agentId === null || device.agentState === 'none' ? [] : [{
      id: device.agentId, customerId: device.customerId, siteId: device.siteId, siteName: device.siteName, name: device.name, state: device.agentState, createdAt: device.createdAt, online: device.online, link: device.link,
      lastSeenAt: device.lastSeenAt, lastLeftWhy: device.lastLeftWhy, version: device.version, policy: device.policy, devices: [{ id: device.id, label: device.label, name: device.name }], certificateUntil: now + 61 * DAY, may: device.may,
    }])),
    people: few ? people.slice(0, 1) : people,
    invites: few ? [] : [{ id: fakeId(), name: 'Katherine Johnson', rights: [{ action: 'open', scopeKind: 'site', scopeId: sites[0]!.id, scopeName: 'main' }], createdBy: 'ada', createdAt: now - 2 * DAY, expiresAt: now + 5 * DAY, usedAt: null, state: 'waiting' }],
    signIns: [
      { ...signIn, id: signInId, kind: 'browser', from: '127.0.0.1', userAgent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36', createdAt: now - 2 * HOUR, lastUsedAt: now, current: true },
      { ...signIn, id: fakeId(), kind: 'cli', from: '192.0.2.14', userAgent: 'postern/0.1.0 workstation', createdAt: now - 6 * DAY, lastUsedAt: now - 5 * HOUR, current: false },
    ],
    tokens: few ? [] : [
      { id: fakeId(), personId: person.id, login: person.login, name: 'Nightly backup', createdAt: now - 20 * DAY, lastUsedAt: now - 9 * HOUR, expiresAt: now + 70 * DAY, rights: [{ action: 'open', scopeKind: 'device', scopeId: devices[6]!.id, scopeName: 'NAS' }] },
      { id: fakeId(), personId: person.id, login: person.login, name: 'Dashboard', createdAt: now - 3 * DAY, lastUsedAt: null, expiresAt: null, rights: null },
    ],
    joinTokens: [],
    visits: devices.length === 0 ? [] : fakeVisits(now, devices),
    audit: fakeAudit(now, devices, few ? 3 : 130),
    journal: few ? [] : fakeJournal(now),
    findings: [...FINDINGS],
    status: fakeStatus(now, devices),
  };
}

function fakeVisits(now: number, devices: readonly DeviceView[]): VisitView[] {
  const who = (name: string, from: string) => ({ kind: 'person' as const, id: fakeId(), name, from });
  return devices.flatMap((device, at) => {
    const [first] = device.ports;
    if (!first) return [];
    const base = { deviceId: device.id, deviceName: device.name, port: first.number, mayClose: true };
    return [
      { ...base, id: fakeId(), kind: 'http' as const, who: who('ada', '192.0.2.14'), openedAt: now - 4 * MINUTE, closedAt: null, live: true, requests: 48 + at, bytesIn: 38_200, bytesOut: 1_920_000, why: null },
      { ...base, id: fakeId(), port: 22, kind: 'tcp' as const, who: who('grace', '203.0.113.80'), openedAt: now - 2 * HOUR, closedAt: null, live: true, requests: 0, bytesIn: 812_000, bytesOut: 24_100_000, why: null },
      { ...base, id: fakeId(), kind: 'http' as const, who: who('hedy', '203.0.113.7'), openedAt: now - 26 * HOUR, closedAt: now - 25.4 * HOUR, live: false, requests: 391, bytesIn: 220_000, bytesOut: 12_400_000, why: 'idle for 5 min' },
      { ...base, id: fakeId(), kind: 'http' as const, who: who('charles', '203.0.113.9'), openedAt: now - 3 * DAY, closedAt: now - 3 * DAY + 41_000, live: false, requests: 3, bytesIn: 2_100, bytesOut: 19_000, why: 'the person was locked' },
    ];
  });
}

function fakeAudit(now: number, devices: readonly DeviceView[], count: number): AuditLineView[] {
  const kinds: readonly (readonly [string, string, AuditLineView['detail']])[] = [
    ['visit.closed', 'device', { port: 80, kind: 'http', requests: 48, bytesIn: 38_200, bytesOut: 1_920_000, openMs: 241_000, why: 'idle for 5 min' }],
    ['visit.opened', 'device', { port: 80, kind: 'http' }],
    ['sign-in.refused', 'person', { why: 'wrong password' }],
    ['device.locked', 'device', {}],
    ['person.invited', 'invite', { rights: 'open site main' }],
    ['device.joined', 'device', { version: '0.1.0', agent: 'new' }],
    ['device.changed', 'device', { label: 'printer1 → printer-2nd-floor' }],
    ['sign-in.made', 'person', { kind: 'browser' }],
  ];
  return Array.from({ length: count }, (_, at): AuditLineView => {
    const seq = count - at;
    const [what, subjectKind, detail] = kinds[seq % kinds.length]!;
    const device = devices[seq % Math.max(1, devices.length)];
    const refused = what === 'sign-in.refused';
    return {
      seq, at: now - at * 13 * MINUTE, what, subjectKind, detail, previousHash: hex(seq - 1), hash: hex(seq),
      actor: refused ? { kind: 'nobody', id: null, name: '', from: '203.0.113.200' } : { kind: 'person', id: `actor-${seq % 3}`, name: ['ada', 'grace', 'ada/Nightly backup'][seq % 3]!, from: '192.0.2.14' },
      subjectId: subjectKind === 'device' ? (device?.id ?? null) : null, subjectName: subjectKind === 'device' ? (device?.name ?? '') : subjectKind === 'person' ? 'ada' : 'Katherine Johnson',
    };
  });
}

function fakeJournal(now: number): JournalLineView[] {
  const lines: readonly (readonly [string, JournalLineView['fields']])[] = [
    ['exchange.refused', { why: 'no right to open this device', rule: 'device:boiler', person: 'hedy', host: 'boiler.localhost', status: 403, from: '203.0.113.7' }],
    ['conn.refused', { why: 'unknown Host', rule: 'default deny', host: 'admin.example.test', status: 421, from: '203.0.113.200' }],
    ['link.closed', { agent: 'Door station', why: 'keepalive lost: nothing heard for 25 s', openMs: 86_000_000 }],
    ['link.opened', { agent: 'NAS', from: '198.51.100.16', version: '0.1.0' }],
    ['stream.reset', { why: 'memory budget used up', agent: 'NAS', heldBytes: 12_000_000 }],
  ];
  return Array.from({ length: 24 }, (_, at) => ({ seq: 400 - at, at: now - at * 3 * MINUTE, event: lines[at % lines.length]![0], fields: lines[at % lines.length]![1] }));
}
