// The gateway put together: every room gets the functions it needs, nobody gets anybody's parent. Composition only.
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { buildAdmin } from '#admin/admin.ts';
import type { Clock } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import { buildIds, type Random } from '#base/ids.ts';
import { buildInTurn } from '#base/in-turn.ts';
import { limits as defaultLimits, type Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { digestOf } from '#base/secret.ts';
import { buildAcmeAnswers } from '#model/acme-answers.ts';
import { alarmsOf } from '#model/certificate-alarms.ts';
import { buildCertificateChanges } from '#model/certificate-changes.ts';
import { buildControl } from '#model/change-config.ts';
import { assertionKeyFile, makeAssertionKey, readAssertionKey } from '#model/device-assertion.ts';
import { sealingKeyBytes, sealingKeyFile } from '#model/device-keys.ts';
import { buildDeliveries, type Deliveries } from '#model/deliveries.ts';
import { firstConfig, type Config } from '#model/config.ts';
import { bearerOf, visitorOfToken } from '#model/credentials.ts';
import { explainWith } from '#model/explain.ts';
import { buildPinWatch } from '#model/pin-watch.ts';
import { pinsToAnnounce } from '#model/pins.ts';
import { routesInOrder } from '#model/precedence.ts';
import { buildJournal } from '#model/journal.ts';
import type { Live } from '#model/live.ts';
import { refusalToOpen } from '#model/opening.ts';
import { visitorMay } from '#model/rights.ts';
import type { AgentNote, Device, DevicePort } from '#model/rows.ts';
import type { Snapshot } from '#model/snapshot.ts';
import { buildTables, type Tables } from '#model/tables.ts';
import type { Visitor } from '#model/visitor.ts';
import { buildCertificates } from '#net/certificates.ts';
import { buildChallengeContexts } from '#net/challenge-contexts.ts';
import { countedAs } from '#net/conn.ts';
import type { DialBy } from '#net/dial.ts';
import type { Listener } from '#net/listener.ts';
import { askerOf } from '#net/service-pair.ts';
import { publicRoots } from '#net/roots.ts';
import { buildSweep } from '#net/sweep.ts';
import { buildDeviceHosts, type DeviceHosts } from '#proxy/device-host.ts';
import type { ForwardRoom } from '#proxy/forward.ts';
import { buildHandOvers } from '#proxy/hand-over.ts';
import { buildHttpFront } from '#proxy/http.ts';
import { newTrafficCounts } from '#proxy/meter.ts';
import { buildUpstreamPool } from '#proxy/upstream-pool.ts';
import { buildVisits } from '#proxy/visits.ts';
import { openDataFolder } from '#store/data-folder.ts';
import { openStore } from '#store/open.ts';
import { buildBudget } from '#tunnel/budget.ts';
import { buildCallers } from '#tunnel/callers.ts';
import { installOver } from '#tunnel/gateway-install.ts';
import { buildHub } from '#tunnel/hub.ts';
import { buildJoin } from '#tunnel/join.ts';
import { fieldOf } from '#wire/http1-fields.ts';
import { keepAcme, type Acme } from './acme.ts';
import { agentAddresses, describeAddresses, deviceUrlOf, type Ports } from './addresses.ts';
import { keepCertificateCare } from './certificate-care.ts';
import { buildConsoleListener, openServiceServer } from './console-service.ts';
import { doctorDeps } from './doctor-deps.ts';
import { buildDoors } from './doors.ts';
import { runDoctor } from './doctor.ts';
import { knowDeviceRequest } from './explain-device.ts';
import { openFleet } from './fleet.ts';
import { openOutgoing, type Outgoing } from './sinks.ts';
import { openDoor } from './front-door.ts';
import { buildFirstCertificates } from './first-certificates.ts';
import { buildKeeping, type KeepingOptions } from './keeping.ts';
import { describeListeners, keepListeners } from './listeners.ts';
import { buildMetrics } from './metrics.ts';
import { openKnownDevices } from './known-devices.ts';
import { keepOperator } from './operator.ts';
import { buildReach } from './reach.ts';
import { describeLabel, isKnownName, operatorAddress, startRemarks } from './naming.ts';
import { buildStartOrders, type StartOrders } from './start-orders.ts';
import { watchWhatRuns } from './what-runs.ts';
import { describeJoin, keepNotes, readSetupCode, undoAll } from './small-parts.ts';

export interface GatewayOptions {
  readonly dataDir: string;
  /** `postgres://…` of the database; without it, it is a file of the data folder. May hold a password. */
  readonly store?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly version: string;
  /** The built console. */
  readonly consoleDir: string;
  /** How a person here calls the command line: for printed commands. */
  readonly command: string;
  /** For a store without configuration. */
  readonly first?: Partial<Parameters<typeof firstConfig>[0]>;
  /** Changes the stored configuration before it is used: options of the command line. */
  readonly adjust?: (config: Config) => Config;
  readonly limits?: Partial<Limits>;
  /** Instead of the data folder's disk: for tests. */
  readonly disk?: KeepingOptions['disk'];
  /** Instead of the hub, for benchmarks of the data plane alone. */
  readonly dialDevice?: (device: Device, port: DevicePort, by: DialBy) => Promise<Duplex>;
}

export interface Gateway extends StartOrders {
  readonly ports: Ports;
  readonly listeners: readonly Listener[];
  readonly tables: Tables;
  readonly live: Live;
  readonly acme: Acme;
  readonly caPem: string;
  readonly caFingerprint: string;
  /** The console as people on this machine reach it. */
  readonly consoleAddress: string;
  /** One-time; null once there is an owner. */
  setupAddress(): string | null;
  deviceAddress(device: Device): string;
  agentAddresses(): readonly string[];
  /** For tests and benchmarks: what is open right now. Everything 0 after a clean end. */
  leftovers(): { conns: number; upstreams: number; links: number; visits: number; heldBytes: number; serviceEnds: number };
  /** Ends in order: no new work, what runs gets `drainMs`, then everything is cut. */
  close(drainMs?: number): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Certificates that end soon, in the status: the list has all of them. */
const remarkedMax = 5;

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { clock, random, log } = options;
  const limits: Limits = { ...defaultLimits, ...options.limits };
  const startedAt = clock.nowMs();
  const startedAtMono = clock.monoMs();
  const newId = buildIds(() => clock.nowMs(), random);
  const undo: (() => Promise<void> | void)[] = [];
  const closeAll = async () => {
    await undoAll(undo.splice(0), log);
  };
  try {
    const folder = await openDataFolder(options.dataDir);
    undo.push(() => folder.close());
    const operations = await openStore({ dataDir: folder.path, ...(options.store !== undefined && { store: options.store }), clock, random, log });
    undo.push(() => operations.close());
    const leftOpen = await operations.closeLeftOpenVisits(clock.nowMs(), 'the gateway ended without closing it');
    if (leftOpen > 0) log.warn('visits.left-open', { visits: leftOpen });
    const tables = buildTables(await operations.loadEverything());
    const customerId = tables.customers.values().next().value!.id;
    const inTurn = buildInTurn(1_000);
    const journal = buildJournal(() => clock.nowMs(), limits.journalLinesMax);
    const sweep = buildSweep(clock);
    undo.push(() => sweep.stop());
    const counts = newTrafficCounts();
    let snapshot: Snapshot;
    let filesOfDevices: { drop(bounds: { before?: number; bytesMax?: number }): Promise<{ files: number }> } | null = null;
    const keeping = await buildKeeping({
      folder, store: options.store, operations, inTurn, clock, log, journal, limits, customerId, disk: options.disk,
      version: options.version,
      customerKey: (id) => tables.customers.get(id)?.key ?? '',
      config: () => snapshot?.config ?? {},
      dropFiles: async ({ before, bytesMax }) => (filesOfDevices ? (await filesOfDevices.drop({ ...(before > 0 && { before }), ...(bytesMax !== null && { bytesMax }) })).files : 0),
    });
    undo.push(() => keeping.close());
    const ports = (): Ports => listeners.ports(snapshot);

    const pins = buildPinWatch({
      tables, clock,
      hosts: () => (snapshot ? [...snapshot.domains] : null),
      leafOf: (host, kind) => certificates.leafOf(host, kind),
      settings: () => {
        const { activeDays = 45, keepOldDays = 30 } = snapshot?.config.pins ?? {};
        return { activeMs: activeDays * 86_400_000, keepOldMs: keepOldDays * 86_400_000 };
      },
    });
    const certificates = await buildCertificates({
      files: folder,
      isPinned: (fingerprint) => pins.isPinned(fingerprint),
      clock, log, random,
      domains: () => (snapshot ? [...new Set([...snapshot.domains, ...snapshot.deviceDomains])] : ['localhost']),
      isKnown: (serverName) => isKnownName(tables, snapshot, serverName),
      own: tables.certificates,
    });
    undo.push(() => certificates[Symbol.dispose]());
    const certificateChanges = buildCertificateChanges({
      tables, operations, pins, inTurn, clock, log, newId,
      files: folder,
      issueLeaf: (names, spki) => certificates.issueLeaf(names, spki),
      applied: () => certificates.settled(),
    });
    const care = await keepCertificateCare({ certificates: tables.certificates, changes: certificateChanges, clock, log, journal });
    undo.push(() => care.close());
    const cookieKey = await folder.readOrMake('host-cookie.key', () => random(32));
    const assertionKey = readAssertionKey(await folder.readOrMake(assertionKeyFile, makeAssertionKey));
    const setup = await readSetupCode(folder, tables, random);

    // the tunnel
    const budget = buildBudget(limits.memoryBudgetBytes, (heldBytes) => journal.note('stream.reset', { why: 'memory budget', heldBytes }));
    const notes = keepNotes({ tables, operations, clock, log });
    undo.push(() => notes.close());
    let deliveries: Deliveries | null = null;
    const siteDoors = buildDoors({ tables, clock, log, journal, limits });
    undo.push(() => siteDoors.close());
    const hub = buildHub({
      clock, log, journal, limits, random, newId, budget,
      judgeAgent: (fingerprint) => {
        const kept = tables.agentCertificates.get(fingerprint);
        const agent = kept && tables.agents.get(kept.agentId);
        if (!kept || !agent) return new Fault('unauthenticated', 'this certificate belongs to no agent of this gateway', { remedy: 'Join again with a new token.' });
        if (agent.state !== 'active' || kept.revokedAt !== null) return new Fault('forbidden', agent.state === 'locked' ? 'this agent is locked' : 'this agent is revoked');
        if (kept.notAfter < clock.nowMs()) return new Fault('unauthenticated', 'the certificate has expired', { remedy: 'It renews with its key at /link/renew.' });
        return { agentId: agent.id };
      },
      onAgentSeen: (note: AgentNote) => {
        notes.agentSeen(note);
        deliveries?.look();
      },
      noteOf: (agentId) => tables.agentNotes.get(agentId),
      servePush: (stream, agentId, from) => fleet.serveLink(stream, agentId, from),
      judgeDoor: siteDoors.judge,
      addresses: () => agentAddresses(snapshot, ports()),
    });
    undo.push(() => hub.close());
    deliveries = buildDeliveries({
      tables, operations, inTurn, clock, log, journal, limits, newId,
      keyPemOf: (id) => certificateChanges.keyPemOf(id),
      linkOf: (agentId) => hub.linkOf(agentId)?.id ?? null,
      install: async (agentId, order, signal) => installOver(await hub.openService(agentId, 'install', { timeoutMs: limits.deviceDialTimeoutMs, signal }), order, { clock, limits, signal }),
    });
    undo.push(() => deliveries?.close());

    // the data plane
    const pool = buildUpstreamPool(clock, sweep);
    undo.push(() => pool.close());
    const whyNot = (visitor: Visitor, deviceId: string): string | null => refusalToOpen(tables, visitor, tables.devices.get(deviceId), clock.nowMs(), limits)?.message ?? null;
    const visits = buildVisits({ clock, log, limits, newId, operations: keeping.guarded, whyNot, onClosed: (visit) => pool.drop((key) => key.startsWith(`visit ${visit.id} `)) });
    undo.push(() => visits.close('the gateway went down'));
    const firstCertificates = buildFirstCertificates({ tables, operations, inTurn, clock, log });
    const reach = buildReach({
      tables, visits, clock, limits,
      dial: options.dialDevice ?? ((device, port, by) => hub.dialDevice(device.agentId, device.host, port.number, by)),
      dialFlow: (device, port, by) => hub.dialFlow(device.agentId, device.host, port.number, by),
      acceptFirst: (device, port, fingerprint) => firstCertificates.accept(device, port, fingerprint),
    });

    const handOvers = buildHandOvers(() => clock.monoMs(), random, limits.oneTimeCodeMs);
    const answers = buildAcmeAnswers();
    let acme: Acme | null = null;
    let requestCount = 0;
    const requestStem = random(4).toString('hex');
    const newRequestId = () => `${requestStem}-${(++requestCount).toString(36)}`;
    let connCount = 0;
    const newConnId = () => `c${(++connCount).toString(36)}`;

    const relays = new Set<(why: string) => void>();
    const room: ForwardRoom = { pool, sweep, counts, monoMs: () => clock.monoMs(), relays, failed: (exchange, plan, why) => front.failed(exchange, plan, why) };
    const callers = buildCallers({
      clock, log, journal, limits, random, budget, newId,
      authenticate: (head, from) => {
        const bearer = bearerOf(fieldOf(head.fields, 'authorization'));
        const visitor = bearer && visitorOfToken(tables, bearer, clock.nowMs(), limits);
        if (!visitor) {
          journal.note('stream.refused', { from, why: 'unknown token' });
          if (tables.people.size === 0) return new Fault('unauthenticated', 'nobody has used the setup address yet, so no token is good for anything', { remedy: 'Open it in a browser first; postern setup-address prints it.' });
          return new Fault('unauthenticated', 'the token is unknown, expired or revoked', { remedy: 'Run postern login.' });
        }
        admin.noteUse(visitor);
        return visitor;
      },
      open: reach.openForCaller,
      openFlow: reach.openFlowForCaller,
    });
    undo.push(() => callers.close());
    const consoleService = openServiceServer((request, response) => consoleListener(request, response));
    undo.push(() => consoleService.close());
    const joinService = openServiceServer((request, response) => joinListener(request, response));
    undo.push(() => joinService.close());
    let outgoing: Outgoing | null = null;
    const fleet = await openFleet({
      onStored: (news, alerts) => outgoing?.stored(news, alerts),
      tables, operations: { ...operations, ...keeping.guarded }, clock, log, journal, limits, random, newId,
      folder, newRequestId,
      snapshot: () => snapshot,
      mayStore: () => keeping.mayStore(),
      pinsFor: (host, servers) => pinsToAnnounce({ announced: pins.announced(), host: host.toLowerCase().replace(/:\d+$/, ''), servers }),
    });
    filesOfDevices = fleet.files;
    undo.push(() => fleet.close());
    const knownDevices = await openKnownDevices({
      tables, operations, hub, inTurn, clock, random, newId, log, journal, limits, room, sweep,
      path: folder.path,
      snapshot: () => snapshot,
      config: () => snapshot?.config,
    });
    undo.push(() => knownDevices.close());
    const front = buildHttpFront({
      snapshot: () => snapshot, limits, journal, room,
      devices: () => devices,
      applications: () => knownDevices.applications,
      dialService: (name) => (name === 'join' ? joinService : consoleService).dial(),
      takeovers: { link: hub.takeover, stream: callers.takeover },
      answerDevice: fleet.answerDevice,
      dialNamedDevice: reach.dialNamed,
      identityOf: (name) => certificates.identityOf(name),
      devicesVersion: () => tables.devices.version,
      httpsPort: () => ports().https,
      challengeAnswer: (token) => answers.bodyOf(token),
    });
    const devices: DeviceHosts = buildDeviceHosts({
      tables, clock, random, limits, visits, room, cookieKey,
      dialDevice: reach.dialDevice,
      redeemHandOver: (code, host, nonce) => handOvers.redeem(code, host, nonce),
      consoleOrigin: (exchange, domain) => {
        const port = /:\d+$/.exec(exchange.head.host)?.[0] ?? '';
        const name = snapshot.domains.has(domain) ? domain : snapshot.primaryDomain;
        return `${exchange.conn.facts.secure ? 'https' : 'http'}://${name}${port}`;
      },
      refuse: front.refuse,
      onUsed: (visitor) => admin.noteUse(visitor),
    });
    const onBroken = (thrown: unknown) => log.error('conn.broken', { why: reasonOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
    const { door, connRelays, legacyClients } = await openDoor({
      clock, log, limits, sweep, journal, counts, certificates, folder, random, newConnId, newRequestId, onBroken,
      snapshot: () => snapshot,
      onExchange: front.onExchange,
      dialNamedDevice: reach.dialNamedPlain,
      applications: () => knownDevices.applications,
      challengeContext: buildChallengeContexts(answers.table),
      noticed: (serverName) => acme?.noticed(serverName),
      onForwarded: (from, claims) => knownDevices.places.forwarders.note(from, claims, clock.nowMs()),
      undo: (close) => void undo.push(close),
    });
    const listeners = keepListeners(log, (socket, from, listener) => door.accept(socket, from, listener));
    undo.push(async () => {
      door.close();
      // A listener counts as closed once its last connection is.
      await listeners.close();
    });

    // configuration: a change that needs a port that cannot be opened changes nothing
    const first = { domain: 'localhost', httpPort: 8080, httpsPort: 8443, ...options.first };
    const control = await buildControl({
      operations, inTurn, clock, log, customerId,
      first: () => firstConfig(first),
      adjust: options.adjust ?? ((config) => config),
      prepare: async (next, before, keepWhatWorks) => {
        const prepared = await listeners.prepare(next, before, keepWhatWorks);
        return {
          missing: prepared.missing,
          cancel: prepared.cancel,
          commit() {
            prepared.commit();
            snapshot = next;
          },
        };
      },
    });
    undo.push(() => control.close());
    undo.push(() => void listeners.close());
    // Before anything is waited for: listeners are open, and what comes may need an address.
    const virtual = knownDevices.begin(control);
    await certificates.refresh();
    undo.push(control.watch(() => void certificates.refresh().catch((thrown: unknown) => log.error('certificates.not-refreshed', { why: reasonOf(thrown) }))));
    acme = await keepAcme({
      clock, random, log, journal, limits, customerId, answers, operations,
      version: options.version,
      files: folder,
      certificates: tables.certificates,
      changes: certificateChanges,
      hooksDir: join(folder.path, 'hooks'),
      settings: () => snapshot.config.acme,
      deviceDomains: () => snapshot.deviceDomains,
      isKnown: (serverName) => isKnownName(tables, snapshot, serverName),
    });
    undo.push(() => acme?.close());

    outgoing = await openOutgoing({
      operations, clock, random, log, journal, limits, folder,
      config: () => snapshot.config,
      watchConfig: (onChange) => control.watch(onChange),
      customerKey: (id) => tables.customers.get(id)?.key ?? '',
    });
    undo.push(() => outgoing?.close());
    const { sinks, secrets } = outgoing;
    const devicesToAdmin = knownDevices.tell({
      doorState: (doorId) => doors.stateOf(doorId),
      issuer: () => describeAddresses(snapshot, ports()).console,
      key: assertionKey,
      readSecret: (name) => secrets.read(name),
      identityOf: (name) => certificates.identityOf(name),
      httpsPort: () => ports().https,
    });

    const doors = siteDoors.begin({ hub, door, snapshot: () => snapshot });

    // people
    const live = watchWhatRuns({
      tables, clock, door, hub, visits, counts, pool,
      listeners: () => describeListeners(snapshot, listeners, counts),
      legacyClients: () => legacyClients.list(),
      relayed: [front, connRelays],
    });
    const remarks = () => [...startRemarks(snapshot, ports()), ...keeping.remarks(), ...(outgoing?.remarks() ?? []), ...alarmsOf(tables.certificates.values(), clock.nowMs()).slice(0, remarkedMax).map((each) => each.text), ...control.missing().map((each) => `${each}; it is tried again every few seconds`)];
    // Who asks how things stand while the store is away is told that, and the rest.
    const lookAtStore = () => operations.check().then(({ fileBytes }) => ({ fileBytes, said: [] }), (thrown: unknown) => ({ fileBytes: 0, said: [`${reasonOf(thrown)}: changes wait`] }));
    const status = async (store = lookAtStore()) => ({
      version: options.version, runtime: process.version, startedAt, now: clock.nowMs(), revision: control.config().revision,
      listeners: listeners.all.map((each) => ({ address: each.address, port: each.port, secure: snapshot.config.listeners.some((one) => one.name === each.name && one.tls) })),
      conns: door.open, links: hub.links().length, streams: hub.links().reduce((sum, link) => sum + link.streams, 0), visitsLive: visits.count,
      devices: tables.devices.size, devicesOnline: Array.from(tables.devices.values()).filter((device) => hub.linkOf(device.agentId)).length,
      memory: { rssBytes: process.memoryUsage.rss(), heldBytes: budget.heldBytes, budgetBytes: budget.bytesMax },
      journalDropped: journal.dropped, storeBytes: (await store).fileBytes, remarks: [...(await store).said, ...remarks()],
    });
    const admin = buildAdmin({
      certificates: { changes: certificateChanges, caPem: certificates.ca.pem, describe: () => certificates.describe(), signRequest: (order) => certificates.signRequest(order), issueLeaf: (names, spki) => certificates.issueLeaf(names, spki), nextLeafKey: (id, what) => certificates.nextLeafKey(id, what), roots: publicRoots },
      pins,
      sealingKey: await folder.readOrMake(sealingKeyFile, () => random(sealingKeyBytes)),
      ...devicesToAdmin, acme, doors, deliveries, leases: fleet.leases, feeds: fleet.feeds, sinks, secrets, files: fleet.files, keeping: keeping.deps,
      tables, operations, control, live, journal, clock, random, log, newId, limits, inTurn, status,
      version: options.version,
      setupDigest: () => (tables.people.size === 0 && setup.code !== null ? digestOf(setup.code.reveal()) : null),
      askerOf: (request) => {
        const asker = askerOf(request.socket);
        if (!asker) throw new Error('a request came past the front door');
        return { from: asker.from, countedAs: countedAs(asker.conn), secure: asker.secure, conn: asker.connId };
      },
      addresses: (asked) => describeAddresses(snapshot, ports(), asked),
      describeJoinToken: (secret) => Promise.resolve(describeJoin(secret, agentAddresses(snapshot, ports()), certificates.ca.keyFingerprint, options.command)),
      issueHandOver: (order) => {
        if (!order.visitor.signIn) throw new Fault('forbidden', 'a token cannot sign a browser in');
        const host = order.host.toLowerCase();
        const origin = `${order.secure ? 'https' : 'http'}://${host}${order.port === null ? '' : `:${order.port}`}`;
        if (order.asked === null) return Promise.resolve({ to: origin + order.path });
        const code = handOvers.issue({ signInId: order.visitor.signIn.id, host, path: order.path, asked: order.asked });
        return Promise.resolve({ to: `${origin}/.postern/enter?code=${code}` });
      },
      explain: async (question) => {
        const describeRequest = await knowDeviceRequest({ tables, operations, leases: fleet.leases, snapshot: () => snapshot, mayStore: () => keeping.mayStore() }, question.url);
        const nowMs = clock.nowMs();
        return explainWith(snapshot, { ...question, nowMs }, { describeDevice: (label) => describeLabel(tables, hub, label, nowMs), describeRequest, describeApplication: (asked) => knownDevices.places.describe(asked) });
      },
      routesInOrder: (asked) => routesInOrder(snapshot, asked),
      runDoctor: () => runDoctor(doctorDeps({ clock, startedAt: { nowMs: startedAt, monoMs: startedAtMono }, snapshot: () => snapshot, tables, operations, certificates, listeners, hub, keeping, sinks, secrets, folder, virtual, forwarders: knownDevices.places.forwarders })),
      closeFor: (whose, id, why) => {
        const matches = (visitor: Visitor) => (whose === 'person' ? visitor.person.id === id : whose === 'token' ? visitor.token?.id === id : visitor.signIn?.id === id);
        visits.closeWhere((visit) => matches(visit.visitor), why);
        callers.closeWhere(matches, why);
      },
      assetsDir: options.consoleDir,
    });
    undo.push(() => admin.close());
    const metrics = buildMetrics(
      {
        counts,
        links: () => hub.links().length,
        streams: () => hub.links().reduce((sum, link) => sum + link.streams, 0),
        flows: () => hub.flows,
        visits: () => visits.count,
        linkBytes: () => hub.links().reduce((sum, link) => ({ in: sum.in + link.bytesIn, out: sum.out + link.bytesOut }), { in: 0, out: 0 }),
        upstreamsIdle: () => pool.idle,
        budgetHeld: () => budget.heldBytes,
        journalDropped: () => journal.dropped,
        devices: () => ({ all: tables.devices.size, online: Array.from(tables.devices.values()).filter((device) => hub.linkOf(device.agentId)).length }),
        revision: () => control.config().revision,
        disk: () => keeping.disk(),
        intake: fleet.counts,
        intakeWaiting: fleet.waiting,
        dropped: () => keeping.dropped(),
        doors: () => doors.counts(),
      },
      options.version,
    );
    const consoleListener = buildConsoleListener({
      admin: admin.requestListener,
      metrics,
      caPem: certificates.ca.pem,
      identityKeys: assertionKey.jwks,
      mayReadMetrics: (authorization) => {
        const bearer = bearerOf(authorization);
        const visitor = bearer && visitorOfToken(tables, bearer, clock.nowMs(), limits);
        return visitor ? visitorMay(tables, visitor, 'see', 'gateway') : false;
      },
    });
    const joinListener = buildJoin({
      tables, operations, inTurn, clock, limits, log, journal, newId,
      caPem: certificates.ca.pem,
      issue: (csr, agentId) => certificates.issueAgentCertificate(csr, agentId),
      verify: (certificate) => certificates.verifyAgentCertificate(certificate),
      addresses: () => agentAddresses(snapshot, ports()),
      deviceUrl: (device) => deviceUrlOf(describeAddresses(snapshot, ports()), device),
      askerOf: (request: IncomingMessage) => {
        const asker = askerOf(request.socket);
        if (!asker) throw new Error('a request came past the front door');
        return { from: countedAs(asker.conn), peerCertificate: asker.conn.peerCertificate };
      },
    });
    const operator = await keepOperator({ folder, tables, random, clock, newId, log, watch: (onChange) => control.watchState(onChange), address: () => operatorAddress(ports()), console: () => describeAddresses(snapshot, ports()).console, caPem: certificates.ca.pem });
    undo.push(() => operator.close());
    const auditHeadTimer = clock.every(24 * 3_600_000, () => void operations.auditHead().then((head) => log.info('audit.head', head), () => {}));
    undo.push(() => auditHeadTimer.cancel());
    log.info('gateway.started', { version: options.version, ...ports(), domain: snapshot!.primaryDomain });
    for (const remark of remarks()) log.info('gateway.remark', { remark });

    const orders = buildStartOrders({ tables, operations, inTurn, clock, random, limits, newId, customerId, describe: (secret) => describeJoin(secret, agentAddresses(snapshot, ports()), certificates.ca.keyFingerprint, options.command) });
    let closing: Promise<void> | null = null;
    const close = (drainMs = 2_000) =>
      (closing ??= (async () => {
        void listeners.close();
        door.drain();
        for (const cut of relays) cut('the gateway is going down');
        connRelays.close('the gateway is going down');
        await virtual.close();
        await hub.drain(drainMs).catch((thrown: unknown) => log.error('gateway.not-drained', { why: reasonOf(thrown) }));
        await closeAll();
        log.info('gateway.stopped', {});
      })());
    return {
      get ports() {
        return ports();
      },
      get listeners() {
        return listeners.all;
      },
      tables, live, acme,
      caPem: certificates.ca.pem,
      caFingerprint: certificates.ca.keyFingerprint,
      get consoleAddress() {
        return describeAddresses(snapshot, ports()).console;
      },
      setupAddress: () => (tables.people.size === 0 && setup.code !== null ? `${describeAddresses(snapshot, ports()).console}/setup#${setup.code.reveal()}` : null),
      deviceAddress: (device) => deviceUrlOf(describeAddresses(snapshot, ports()), device),
      agentAddresses: () => agentAddresses(snapshot, ports()),
      ...orders,
      leftovers: () => ({ conns: door.open, upstreams: pool.idle, links: hub.links().length, visits: visits.count, heldBytes: budget.heldBytes, serviceEnds: consoleService.open + joinService.open }),
      close,
      [Symbol.asyncDispose]: () => close(0),
    };
  } catch (thrown) {
    await closeAll();
    throw thrown;
  }
}
