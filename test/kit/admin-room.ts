// The admin room over a real store and a real node:http server, with a clock that tests move by hand.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildAdmin, type Admin } from '#admin/admin.ts';
import type { AdminDeps, HandOverOrder } from '#admin/deps.ts';
import { contract, type Answer, type Body, type Params, type Query, type Shapes } from '#api/contract.ts';
import { pathTo, paths, type RouteName } from '#api/paths.ts';
import { problem, type Problem } from '#api/shapes.ts';
import type { Clock } from '#base/clock.ts';
import { buildIds } from '#base/ids.ts';
import { Fault } from '#base/fault.ts';
import { buildInTurn } from '#base/in-turn.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { digestOf } from '#base/secret.ts';
import { buildCertificateChanges } from '#model/certificate-changes.ts';
import { buildDeliveries } from '#model/deliveries.ts';
import { buildFeedMeter, type FeedMeter } from '#model/feed-meter.ts';
import { buildKnown } from '#model/identity-known.ts';
import { buildOrigins, type Origins } from '#model/origins.ts';
import { buildLeases } from '#model/leases.ts';
import { buildControl } from '#model/change-config.ts';
import { firstConfig } from '#model/config.ts';
import type { Journal, JournalLine, LegacyClientSeen, LiveConn, LiveLink, LiveListener } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import { buildPinWatch } from '#model/pin-watch.ts';
import { routesInOrder } from '#model/precedence.ts';
import type { Agent, AgentCertificate, AuditEntry, Device, Visit } from '#model/rows.ts';
import { buildTables, type Tables } from '#model/tables.ts';
import { buildCertificates } from '#net/certificates.ts';
import { openStore } from '#store/open.ts';
import { handClock, type HandClock } from './hand-clock.ts';
import { memoryFiles } from './tls-rooms.ts';

export { handClock, type HandClock };

export interface Told {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

export interface Asking {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string;
}

/** A browser (keeps the cookie, sends Origin) or a program (sends its token). */
export interface Caller {
  cookie: string | null;
  token: string | null;
  /** Asks by the contract and checks the answer against it, undeclared fields included. */
  call<Name extends RouteName>(name: Name, options?: { params?: Params<Name>; query?: Query<Name>; body?: Body<Name>; headers?: Readonly<Record<string, string>> }): Promise<Answer<Name>>;
  /** The problem that a call is refused with. */
  refused<Name extends RouteName>(name: Name, options?: { params?: Params<Name>; query?: Query<Name>; body?: unknown; headers?: Readonly<Record<string, string>> }): Promise<Problem>;
  ask(asking: Asking): Promise<Told>;
}

/** Waits for what other threads bring about, which on a busy machine come to run late: turns of the event loop first, then pauses, so that they get the core. */
export async function eventually(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let turn = 0; turn < 3_000; turn++) {
    if (await check()) return;
    await new Promise<void>((resolve) => void (turn < 100 ? setImmediate(resolve) : setTimeout(resolve, 10)));
  }
  assert.fail(`it never came about: ${what}`);
}

export const setupCode = 'first-light-code';
export const goodPassword = 'correct horse battery';

/** What runs, as a list that tests fill. */
function buildLive() {
  const links = new Map<string, LiveLink>();
  const visits = new Map<string, Visit>();
  const closed: string[] = [];
  const watchers = new Set<(topic: 'links' | 'visits') => void>();
  const changed = (topic: 'links' | 'visits') => watchers.forEach((watcher) => watcher(topic));
  return {
    closed,
    putLink(link: LiveLink) {
      links.set(link.agentId, link);
      changed('links');
    },
    putVisit(visit: Visit) {
      visits.set(visit.id, visit);
      changed('visits');
    },
    links: () => [...links.values()],
    linkOf: (agentId: string) => links.get(agentId),
    visits: () => [...visits.values()],
    /** Filled by tests, the oldest first. */
    connList: [] as LiveConn[],
    listenerList: [] as LiveListener[],
    legacyList: [] as LegacyClientSeen[],
    connsRefused: 0,
    conns(limit: number) {
      return this.connList.slice(0, limit);
    },
    findConns(wanted: (conn: LiveConn) => boolean, limit: number) {
      const matching = this.connList.filter(wanted);
      return { conns: matching.slice(-limit).reverse(), matching: matching.length };
    },
    connCounts() {
      return { open: this.connList.length, accepted: this.connList.length, refused: this.connsRefused };
    },
    listeners() {
      return this.listenerList;
    },
    legacyClients() {
      return this.legacyList;
    },
    closeConn(id: string) {
      const at = this.connList.findIndex((conn) => conn.id === id);
      if (at >= 0) this.connList.splice(at, 1);
      return at >= 0;
    },
    closeVisit(id: string, why: string) {
      if (!visits.delete(id)) return false;
      closed.push(`visit ${id}: ${why}`);
      changed('visits');
      return true;
    },
    closeLink(agentId: string, why: string) {
      if (!links.delete(agentId)) return false;
      closed.push(`link ${agentId}: ${why}`);
      changed('links');
      return true;
    },
    watch(onChange: (topic: 'links' | 'visits') => void) {
      watchers.add(onChange);
      return () => void watchers.delete(onChange);
    },
  };
}

function buildJournal(clock: Clock): Journal & { all: JournalLine[] } {
  const all: JournalLine[] = [];
  return {
    all,
    note: (event, fields) => void all.push({ seq: all.length + 1, at: clock.nowMs(), event, fields }),
    lines: ({ limit, event, beforeSeq }) => all.filter((line) => (event === undefined || line.event === event) && (beforeSeq === undefined || line.seq < beforeSeq)).reverse().slice(0, limit),
    dropped: 0,
  };
}

export interface AdminRoom {
  readonly admin: Admin;
  readonly tables: Tables;
  readonly operations: Operations;
  readonly clock: HandClock;
  readonly feeds: FeedMeter;
  readonly origins: Origins;
  readonly live: ReturnType<typeof buildLive>;
  readonly journal: ReturnType<typeof buildJournal>;
  /** What `closeFor` was called with. */
  readonly cut: string[];
  readonly handOvers: HandOverOrder[];
  readonly host: string;
  /** Where requests seem to come from. */
  from: string;
  secure: boolean;
  /** The id of the connection that they seem to come over. */
  conn: string;
  readonly newId: () => string;
  browser(): Caller;
  program(token: string): Caller;
  /** A signed-in owner; the first call sets the gateway up. */
  owner(): Promise<Caller>;
  /** Invites, accepts, signs in. */
  person(owner: Caller, login: string, rights: Body<'createInvite'>['rights']): Promise<Caller>;
  /** An agent with one device, stored as a join would. */
  device(name: string, more?: Partial<Device>): Promise<Device & { readonly agentId: string }>;
  visit(device: Device, who: Visit['who'], more?: Partial<Visit>): Visit;
  close(): Promise<void>;
}

function ask(port: number, { method = 'GET', path, headers = {}, body }: Asking): Promise<Told> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, method, path, headers: { ...headers, ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }) } }, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8');
      incoming.on('data', (part: string) => (text += part));
      incoming.once('end', () => resolve({ status: incoming.statusCode!, headers: incoming.headers, text }));
      incoming.once('error', reject);
    });
    request.once('error', reject);
    request.end(body);
  });
}

function buildCaller(port: number, host: string, token: string | null): Caller {
  const caller: Caller = {
    cookie: null,
    token,
    async ask(asking) {
      const told = await ask(port, asking);
      for (const line of told.headers['set-cookie'] ?? []) {
        const value = /^__Host-postern=([^;]*)/.exec(line)?.[1];
        if (value !== undefined) caller.cookie = value || null;
      }
      return told;
    },
    async call(name, options = {}) {
      const told = await send(name, options);
      assert.equal(told.status, 200, `${name}: ${told.text}`);
      const answer: unknown = JSON.parse(told.text);
      const shape: Shapes = contract[name];
      assert.deepEqual(shape.answer.parse(answer), answer, `${name} answers what the contract does not name`);
      return answer as never;
    },
    async refused(name, options = {}) {
      const told = await send(name, options);
      assert.notEqual(told.status, 200, `${name} was not refused: ${told.text}`);
      assert.equal(told.headers['content-type'], 'application/problem+json', told.text);
      const answer = problem.parse(JSON.parse(told.text));
      assert.equal(answer.status, told.status);
      return answer;
    },
  };
  const send = (name: RouteName, { params, query, body, headers = {} }: { params?: unknown; query?: unknown; body?: unknown; headers?: Readonly<Record<string, string>> }) =>
    caller.ask({
      method: paths[name].method,
      path: pathTo(name, params as Record<string, string>, query as Record<string, string>),
      headers: {
        ...(caller.token ? { authorization: `Bearer ${caller.token}` } : { origin: `http://${host}` }),
        ...(caller.cookie ? { cookie: `__Host-postern=${caller.cookie}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  return caller;
}

export async function startAdminRoom(more: Partial<AdminDeps> = {}): Promise<AdminRoom> {
  const dataDir = await mkdtemp(join(tmpdir(), 'postern-admin-'));
  const clock = handClock();
  const operations = await openStore({ dataDir, clock, random: randomBytes, log: silentLog });
  const tables = buildTables(await operations.loadEverything());
  const newId = buildIds(clock.nowMs, randomBytes);
  const live = buildLive();
  const journal = buildJournal(clock);
  const cut: string[] = [];
  const handOvers: HandOverOrder[] = [];
  const server = createServer((request, response) => admin.requestListener(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const host = `127.0.0.1:${port}`;
  const site = [...tables.sites.values()][0]!;
  const inTurn = buildInTurn(100);
  const control = await buildControl({
    operations, inTurn, clock, log: silentLog, customerId: site.customerId,
    first: () => firstConfig({ domain: 'gw.example.test', httpPort: 8080, httpsPort: 8443 }),
    adjust: (config) => config,
    prepare: async () => ({ commit() {}, async cancel() {} }),
  });
  const files = memoryFiles();
  const shown = await buildCertificates({ files, clock, log: silentLog, random: randomBytes, domains: () => ['gw.example.test'], isKnown: () => false, addresses: () => [], own: tables.certificates });
  const pins = buildPinWatch({ tables, clock, hosts: () => ['gw.example.test'], leafOf: (name, kind) => shown.leafOf(name, kind), settings: () => ({ activeMs: 45 * 86_400_000, keepOldMs: 30 * 86_400_000 }) });
  const changes = buildCertificateChanges({ tables, operations, pins, files, inTurn, clock, log: silentLog, newId, issueLeaf: (names, spki) => shown.issueLeaf(names, spki), applied: () => shown.settled() });
  const deliveries = buildDeliveries({
    tables, operations, inTurn, clock, log: silentLog, journal, limits, newId,
    keyPemOf: (id) => changes.keyPemOf(id),
    linkOf: () => null,
    install: () => Promise.reject(new Fault('offline', 'no agent has a link here')),
  });
  const feeds = buildFeedMeter(clock.nowMs);
  const origins = buildOrigins({ random: randomBytes, journal, limits });
  const leases = buildLeases({ tables, operations, clock, log: silentLog, journal, limits, redirects: () => control.snapshot().redirects, pinsOf: (id) => tables.deviceNotes.get(id)?.pins ?? [] });
  const deps: AdminDeps = {
    certificates: { changes, caPem: shown.ca.pem, describe: () => shown.describe(), signRequest: (order) => shown.signRequest(order), issueLeaf: (names, spki) => shown.issueLeaf(names, spki), nextLeafKey: (id, what) => shown.nextLeafKey(id, what), roots: () => [] },
    pins,
    sealingKey: randomBytes(32),
    acme: null, keeping: null, files: null,
    doors: null, deliveries, leases, feeds, sinks: null, secrets: null, probes: null, virtual: null,
    tables, operations, control, live, journal, clock, random: randomBytes, log: silentLog, newId, limits, version: '0.0.0-test', inTurn,
    setupDigest: () => digestOf(setupCode),
    askerOf: () => ({ from: room.from, secure: room.secure, conn: room.conn }),
    addresses: () => ({ domains: ['gw.example.test'], console: 'https://gw.example.test:8443', devicePattern: 'https://{label}.gw.example.test:8443/', deviceHost: (name) => (name.endsWith('.gw.example.test') ? name.slice(0, -'.gw.example.test'.length) : undefined) }),
    describeJoinToken: async (secret) => ({ text: `postern-join-1.${secret}`, commands: [{ address: 'https://gw.example.test:8443', command: 'postern join' }] }),
    issueHandOver: async (order) => {
      handOvers.push(order);
      return { to: `https://${order.host}/.postern/enter?code=once` };
    },
    telling: null, placeDoctor: null, identity: { origins, known: buildKnown({ tables, origins, nowMs: clock.nowMs, freshMs: () => 3_600_000, sameProgram: () => false }), sessions: () => [], misRouteOf: () => null, cut: () => {}, evidenceOf: (deviceId) => tables.evidenceOf(deviceId) }, deviceSessions: null,
    explain: async ({ url }) => ({ verdict: 'console', rule: 'the console', lines: [url], listener: 'https', proxyHeader: false, tls: null, route: null, cls: null, target: null }),
    routesInOrder: (asked) => routesInOrder(control.snapshot(), asked),
    runDoctor: async () => [{ id: 'clock', title: 'Clock', status: 'ok', evidence: [], verdict: 'good', remedy: null, ms: 1 }],
    status: async () => ({ version: '0.0.0-test', runtime: 'v26', startedAt: 1, now: 2, revision: 1, listeners: [], conns: 0, links: 0, streams: 0, visitsLive: 0, devices: 0, devicesOnline: 0, memory: { rssBytes: 1, heldBytes: 0, budgetBytes: 1 }, journalDropped: 0, storeBytes: 1, remarks: [] }),
    closeFor: (kind, id, why) => void cut.push(`${kind} ${id}: ${why}`),
    assetsDir: join(dataDir, 'no-console'),
    ...more,
  };
  const admin = buildAdmin(deps);
  const audit = (what: string): AuditEntry => ({ at: clock.nowMs(), customerId: site.customerId, actor: { kind: 'gateway', id: null, name: 'test', from: '' }, what, subjectKind: 'device', subjectId: null, subjectName: '', detail: {} });
  const room: AdminRoom = {
    admin, tables, operations, clock, feeds, origins, live, journal, cut, handOvers, host, newId,
    from: '192.0.2.10',
    secure: false,
    conn: 'c0',
    browser: () => buildCaller(port, host, null),
    program: (token) => buildCaller(port, host, token),
    async owner() {
      const caller = room.browser();
      if (tables.people.size === 0) await caller.call('setUp', { body: { code: setupCode, login: 'ada', name: 'Ada', password: goodPassword } });
      else await caller.call('signIn', { body: { login: 'ada', password: goodPassword } });
      return caller;
    },
    async person(owner, login, rights) {
      const { address } = await owner.call('createInvite', { body: { name: login, rights } });
      const caller = room.browser();
      await caller.call('acceptInvite', { body: { code: address.split('/').at(-1)!, login, name: login, password: goodPassword } });
      return caller;
    },
    async device(name, changes = {}) {
      const owner = [...tables.people.values()][0]!;
      const now = clock.nowMs();
      const agent: Agent = { id: newId(), customerId: site.customerId, siteId: site.id, name: `agent of ${name}`, state: 'active', createdAt: now };
      const certificate: AgentCertificate = { fingerprint: digestOf(agent.id), customerId: site.customerId, agentId: agent.id, keyFingerprint: digestOf(name), notBefore: now, notAfter: now + 90 * 86_400_000, revokedAt: null };
      const device: Device & { readonly agentId: string } = { id: newId(), customerId: site.customerId, siteId: site.id, serial: null, label: name.toLowerCase(), name, host: '127.0.0.1', ports: [{ number: 80, name: 'web', kind: 'http', fingerprint: null }, { number: 443, name: '', kind: 'https', fingerprint: null }, { number: 22, name: 'ssh', kind: 'tcp', fingerprint: null }], hostHeader: 'own', locked: false, createdAt: now, ...changes, agentId: agent.id };
      const joinToken = { id: newId(), customerId: site.customerId, siteId: site.id, secretDigest: digestOf(newId()), deviceName: name, serial: null, host: '127.0.0.1', ports: [], createdBy: owner.id, createdAt: now, expiresAt: now + 1_000, usedAt: null, usedByAgentId: null };
      await operations.addJoinToken(joinToken, audit('join-token.created'));
      await operations.join(joinToken.id, agent, certificate, device, audit('device.joined'));
      tables.agents.publish({ put: [agent] });
      tables.agentCertificates.publish({ put: [certificate] });
      tables.devices.publish({ put: [device] });
      return device;
    },
    visit(device, who, more = {}) {
      const visit: Visit = { id: newId(), customerId: device.customerId, deviceId: device.id, deviceName: device.name, port: 80, kind: 'http', who, openedAt: clock.nowMs(), closedAt: null, requests: 1, bytesIn: 2, bytesOut: 3, why: null, ...more };
      live.putVisit(visit);
      return visit;
    },
    async close() {
      await admin.close();
      shown[Symbol.dispose]();
      await deliveries.close();
      await leases.close();
      control.close();
      server.closeAllConnections();
      server.close();
      await operations.close();
      await rm(dataDir, { recursive: true, force: true });
      assert.equal(clock.timers, 0, 'timers are left');
    },
  };
  return room;
}
