// The gateway put together: every room gets the functions it needs, nobody gets anybody's parent. Composition only.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { buildAdmin } from '#admin/admin.ts';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { buildIds, type Random } from '#base/ids.ts';
import { buildInTurn } from '#base/in-turn.ts';
import { limits as defaultLimits, type Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { digestOf, newSecret } from '#base/secret.ts';
import { buildControl } from '#model/change-config.ts';
import { firstConfig, type Config } from '#model/config.ts';
import { decideExchange } from '#model/decide.ts';
import { visitorLives, visitorOfToken } from '#model/credentials.ts';
import { explainWith } from '#model/explain.ts';
import { buildJournal } from '#model/journal.ts';
import { findDevice, parseDeviceHost } from '#model/labels.ts';
import type { Live } from '#model/live.ts';
import { subjectOfDevice, visitorMay } from '#model/rights.ts';
import { createdByStart, type AgentNote, type Device, type DevicePort, type JoinToken } from '#model/rows.ts';
import { isLinkName, type Snapshot } from '#model/snapshot.ts';
import { buildTables, type Tables } from '#model/tables.ts';
import type { Visitor } from '#model/visitor.ts';
import { buildCertificates } from '#net/certificates.ts';
import { openDeviceTls } from '#net/device-tls.ts';
import type { DialBy } from '#net/dial.ts';
import { openListener, type Listener } from '#net/listener.ts';
import { askerOf } from '#net/service-pair.ts';
import { buildSweep } from '#net/sweep.ts';
import { buildDeviceHosts, type DeviceHosts } from '#proxy/device-host.ts';
import type { ForwardRoom } from '#proxy/forward.ts';
import { buildHandOvers } from '#proxy/hand-over.ts';
import { buildHttpFront } from '#proxy/http.ts';
import { newTrafficCounts } from '#proxy/meter.ts';
import { buildFrontDoor } from '#proxy/serve.ts';
import { buildUpstreamPool } from '#proxy/upstream-pool.ts';
import { buildVisits } from '#proxy/visits.ts';
import { openDataFolder } from '#store/data-folder.ts';
import { openStore } from '#store/open.ts';
import { buildBudget } from '#tunnel/budget.ts';
import { buildCallers } from '#tunnel/callers.ts';
import { buildHub } from '#tunnel/hub.ts';
import { buildJoin } from '#tunnel/join.ts';
import { agentAddresses, describeAddresses, deviceUrlOf, type Ports } from './addresses.ts';
import { buildConsoleListener, openServiceServer } from './console-service.ts';
import { runDoctor } from './doctor.ts';
import { buildFirstCertificates } from './first-certificates.ts';
import { buildMetrics } from './metrics.ts';
import { keepOperator } from './operator.ts';
import { describeJoin, keepNotes, readSetupCode, undoAll } from './small-parts.ts';

export interface GatewayOptions {
  readonly dataDir: string;
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
  /** Instead of the hub, for benchmarks of the data plane alone. */
  readonly dialDevice?: (device: Device, port: DevicePort, by: DialBy) => Promise<Duplex>;
}

export interface Gateway {
  readonly ports: Ports;
  readonly listeners: readonly Listener[];
  readonly tables: Tables;
  readonly live: Live;
  readonly caPem: string;
  readonly caFingerprint: string;
  /** The console as people on this machine reach it. */
  readonly consoleAddress: string;
  /** One-time; null once there is an owner. */
  setupAddress(): string | null;
  deviceAddress(device: Device): string;
  agentAddresses(): readonly string[];
  /** For whoever starts the gateway: a join token as the console would make it. `text` is the token, `commands` how to use it. */
  makeJoinToken(order: { readonly deviceName: string; readonly host: string; readonly ports: readonly DevicePort[] }): Promise<{ readonly text: string; readonly commands: readonly { readonly address: string; readonly command: string }[] }>;
  /** As the console would change them. */
  changePorts(deviceId: string, ports: readonly DevicePort[]): Promise<void>;
  /** For tests and benchmarks: what is open right now. Everything 0 after a clean end. */
  leftovers(): { conns: number; upstreams: number; links: number; visits: number; heldBytes: number; serviceEnds: number };
  /** Ends in order: no new work, what runs gets `drainMs`, then everything is cut. */
  close(drainMs?: number): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** By doctor: a search by `customer/name` goes through every device. */
const routesLookedAt = 1_000;

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
    const operations = await openStore({ dataDir: folder.path, clock, random, log });
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
    let listeners: Listener[] = [];
    let snapshot: Snapshot;
    const ports = (): Ports => {
      const of = (tls: boolean) => {
        const wanted = snapshot.config.listeners.filter((each) => each.tls === tls);
        return listeners.find((each) => each.name === wanted[0]?.name)?.port ?? 0;
      };
      return { http: of(false), https: of(true) };
    };

    const certificates = await buildCertificates({
      files: folder,
      clock, log, random,
      domains: () => (snapshot ? [...new Set([...snapshot.domains, ...snapshot.deviceDomains])] : ['localhost']),
      isKnown: (serverName) => isKnownName(tables, snapshot, serverName),
    });
    undo.push(() => certificates[Symbol.dispose]());
    const cookieKey = await folder.readOrMake('host-cookie.key', () => random(32));
    const setup = await readSetupCode(folder, tables, random);

    // the tunnel
    const budget = buildBudget(limits.memoryBudgetBytes, (heldBytes) => journal.note('stream.reset', { why: 'memory budget', heldBytes }));
    const notes = keepNotes({ tables, operations, clock, log });
    undo.push(() => notes.close());
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
      onAgentSeen: (note: AgentNote) => notes.agentSeen(note),
      noteOf: (agentId) => tables.agentNotes.get(agentId),
      addresses: () => agentAddresses(snapshot, ports()),
    });
    undo.push(() => hub.close());

    // the data plane
    const pool = buildUpstreamPool(clock, sweep);
    undo.push(() => pool.close());
    const whyNot = (visitor: Visitor, deviceId: string): string | null => {
      const device = tables.devices.get(deviceId);
      if (!visitorLives(tables, visitor, clock.nowMs(), limits)) return 'the sign-in or the token has ended';
      if (!device) return 'the device was removed';
      if (device.locked || tables.agents.get(device.agentId)?.state !== 'active') return `${device.name} is locked`;
      return visitorMay(tables, visitor, 'open', subjectOfDevice(device)) ? null : `${visitor.person.login} may not open ${device.name}`;
    };
    const visits = buildVisits({ clock, log, limits, newId, operations, whyNot, onClosed: (visit) => pool.drop((key) => key.startsWith(`visit ${visit.id} `)) });
    undo.push(() => visits.close('the gateway went down'));
    const plainDial = options.dialDevice ?? ((device, port, by) => hub.dialDevice(device.agentId, device.host, port.number, by));
    const firstCertificates = buildFirstCertificates({ tables, operations, inTurn, clock, log });
    const dialDevice = async (device: Device, port: DevicePort, by: DialBy): Promise<Duplex> => {
      const stream = await plainDial(device, port, by);
      if (port.kind !== 'https') return stream;
      return openDeviceTls(stream, { host: device.host, fingerprint: port.fingerprint, onFirst: (fingerprint) => firstCertificates.accept(device, port, fingerprint), timeoutMs: by.timeoutMs });
    };

    const handOvers = buildHandOvers(() => clock.monoMs(), random, limits.oneTimeCodeMs);
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
        const bearer = /^Bearer +(\S+)$/i.exec(head.fields.values[head.fields.names.indexOf('authorization')] ?? '');
        const visitor = bearer && visitorOfToken(tables, bearer[1]!, clock.nowMs(), limits);
        if (!visitor) {
          journal.note('stream.refused', { from, why: 'unknown token' });
          if (tables.people.size === 0) return new Fault('unauthenticated', 'nobody has used the setup address yet, so no token is good for anything', { remedy: 'Open it in a browser first; postern setup-address prints it.' });
          return new Fault('unauthenticated', 'the token is unknown, expired or revoked', { remedy: 'Run postern login.' });
        }
        admin.noteUse(visitor);
        return visitor;
      },
      open: (visitor, deviceText, port, by) => openForCaller(visitor, deviceText, port, by),
    });
    undo.push(() => callers.close());
    const openForCaller = async (visitor: Visitor, deviceText: string, number: number, by: DialBy): Promise<Duplex> => {
      // The session may have stood longer than what it was opened with.
      if (!visitorLives(tables, visitor, clock.nowMs(), limits)) throw new Fault('unauthenticated', 'the sign-in or the token has ended', { remedy: 'Run postern login.' });
      const device = findDevice(tables, deviceText, clock.nowMs(), (each) => visitorMay(tables, visitor, 'see', subjectOfDevice(each)));
      if (!device || !visitorMay(tables, visitor, 'see', subjectOfDevice(device))) throw new Fault('not-found', `there is no device "${deviceText}"`, { remedy: 'postern devices lists them.' });
      if (!visitorMay(tables, visitor, 'open', subjectOfDevice(device))) throw new Fault('forbidden', `${visitor.person.login} may not open ${device.name}`);
      if (device.locked || tables.agents.get(device.agentId)?.state !== 'active') throw new Fault('forbidden', `${device.name} is locked`);
      // As for browsers: the right to open a device is the right to its ports, not to whatever its agent reaches.
      const port = device.ports.find((each) => each.number === number && each.kind !== 'udp');
      if (!port) throw new Fault('forbidden', `port ${number} is not among the ports of ${device.name}`, { remedy: 'Whoever administers it adds the port on the device\'s page, or with: postern device set.' });
      const visit = await visits.open({ visitor, device, port: number, kind: 'tcp', from: by.client });
      try {
        const stream = await plainDial(device, port, { ...by, visitId: visit.id });
        const running = { cut: () => void stream.destroy() };
        visit.running.add(running);
        // Cut while it was dialled: then nobody else knew of the stream.
        if (visit.isClosed) {
          stream.destroy();
          throw new Fault('closed', 'the visit was ended');
        }
        const counted = stream as Duplex & { bytesRead?: number; bytesWritten?: number };
        stream.once('close', () => {
          visit.running.delete(running);
          visit.meter.bytesIn = counted.bytesWritten ?? 0;
          visit.meter.bytesOut = counted.bytesRead ?? 0;
          visit.close('ended');
        });
        return stream;
      } catch (thrown) {
        visit.close(reasonOf(thrown));
        throw thrown;
      }
    };

    const consoleService = openServiceServer((request, response) => consoleListener(request, response));
    undo.push(() => consoleService.close());
    const joinService = openServiceServer((request, response) => joinListener(request, response));
    undo.push(() => joinService.close());
    const front = buildHttpFront({
      snapshot: () => snapshot, limits, journal, room,
      devices: () => devices,
      dialService: (name) => (name === 'join' ? joinService : consoleService).dial(),
      takeovers: { link: hub.takeover, stream: callers.takeover },
      dialNamedDevice: async (text, number, by) => {
        const device = findDevice(tables, text, clock.nowMs());
        if (!device) throw new Fault('not-found', `there is no device "${text}"`);
        if (device.locked) throw new Fault('forbidden', `${device.name} is locked`);
        return dialDevice(device, device.ports.find((each) => each.number === number) ?? { number, name: '', kind: 'tcp', fingerprint: null }, by);
      },
      devicesVersion: () => tables.devices.version,
      httpsPort: () => ports().https,
    });
    const devices: DeviceHosts = buildDeviceHosts({
      tables, clock, random, limits, visits, room, cookieKey, dialDevice,
      redeemHandOver: (code, host, nonce) => handOvers.redeem(code, host, nonce),
      consoleOrigin: (exchange, domain) => {
        const port = /:\d+$/.exec(exchange.head.host)?.[0] ?? '';
        const name = snapshot.domains.has(domain) ? domain : snapshot.primaryDomain;
        return `${exchange.conn.facts.secure ? 'https' : 'http'}://${name}${port}`;
      },
      refuse: front.refuse,
      onUsed: (visitor) => admin.noteUse(visitor),
    });
    const hostFacts = (headSoFar: string) => {
      const host = /\r\nhost:[ \t]*([^\r]*)/i.exec(headSoFar)?.[1]?.trim() ?? '';
      return decideExchange(snapshot, { listener: '', secure: true, link: false, loopback: true, serverName: null }, host, '/');
    };
    const door = buildFrontDoor({
      limits, sweep, journal, counts, newConnId, newRequestId,
      onExchange: front.onExchange,
      onBroken: (thrown) => log.error('conn.broken', { why: reasonOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined }),
      mayGrow: (headSoFar) => {
        const verdict = hostFacts(headSoFar);
        return (verdict.step === 'device' || verdict.step === 'route') && verdict.route.largeHeads;
      },
      isOwnHost: (headSoFar) => {
        const verdict = hostFacts(headSoFar);
        return verdict.step === 'device' || (verdict.step === 'route' && verdict.route.target.kind === 'service');
      },
      isLinkName: (serverName) => isLinkName(snapshot, serverName),
      linkContext: () => certificates.linkContext(),
      contextFor: (serverName) => certificates.contextFor(serverName),
    });
    let listenersClosed: Promise<unknown> = Promise.resolve();
    const closeListeners = () => void (listenersClosed = Promise.allSettled(listeners.map((each) => each.close())));
    undo.push(async () => {
      door.close();
      // A listener counts as closed once its last connection is.
      await listenersClosed;
    });

    // configuration: a change that needs a port that cannot be opened changes nothing
    const first = { domain: 'localhost', httpPort: 8080, httpsPort: 8443, ...options.first };
    const control = await buildControl({
      operations, inTurn, customerId,
      nowMs: () => clock.nowMs(),
      first: () => firstConfig(first),
      adjust: options.adjust ?? ((config) => config),
      prepare: async (next, before) => {
        const placeOf = (each: Config['listeners'][number]) => `${each.name} ${each.address} ${each.port} ${each.tls}`;
        const kept = new Set(before?.config.listeners.map(placeOf));
        const opened: Listener[] = [];
        try {
          for (const each of next.config.listeners) {
            if (kept.has(placeOf(each))) continue;
            opened.push(await openListener({ name: each.name, address: each.address, port: each.port, onSocket: (socket, from) => door.accept(socket, from, each), onError: (error) => log.error('listener.failed', { listener: each.name, why: error.message }) }));
          }
        } catch (thrown) {
          for (const each of opened) await each.close();
          throw thrown;
        }
        return {
          cancel: async () => {
            for (const each of opened) await each.close();
          },
          commit: () => {
            const wanted = new Set(next.config.listeners.map(placeOf));
            const stays = new Set(before?.config.listeners.filter((each) => wanted.has(placeOf(each))).map((each) => each.name));
            for (const each of listeners) if (!stays.has(each.name)) void each.close();
            listeners = [...listeners.filter((each) => stays.has(each.name)), ...opened];
            snapshot = next;
          },
        };
      },
    });
    undo.push(closeListeners);
    await certificates.refresh();
    undo.push(control.watch(() => void certificates.refresh().catch((thrown: unknown) => log.error('certificates.not-refreshed', { why: reasonOf(thrown) }))));

    // people
    const live: Live = {
      links: () => hub.links(),
      linkOf: (agentId) => hub.linkOf(agentId),
      visits: () => visits.live(),
      closeVisit: (visitId, why) => visits.closeWhere((visit) => visit.id === visitId, why) > 0,
      closeLink: (agentId, why) => {
        const gone = new Set(tables.devicesOfAgent(agentId).map((device) => device.id));
        visits.closeWhere((visit) => gone.has(visit.deviceId), why);
        return hub.closeLink(agentId, why);
      },
      watch: (onChange) => {
        const stops = [hub.watch(() => onChange('links')), visits.watch(() => onChange('visits'))];
        return () => stops.forEach((stop) => stop());
      },
    };
    // A device or agent that is locked, revoked or gone: what runs is cut as soon as the table says so, whoever said it.
    tables.devices.watch(({ put, removed }) => {
      const cut = new Set([...removed, ...put.filter((device) => device.locked).map((device) => device.id)]);
      // Connections that wait for a route's next exchange were dialled to the device as it was.
      pool.drop((key) => key.startsWith('named '));
      if (cut.size === 0) return;
      visits.closeWhere((visit) => cut.has(visit.deviceId), 'the device was locked or removed');
      front.cutNamed((text) => findNamed(tables, text, clock.nowMs())?.locked !== false, 'the device was locked or removed');
    });
    tables.agents.watch(({ put, removed }) => {
      for (const agentId of [...removed, ...put.filter((agent) => agent.state !== 'active').map((agent) => agent.id)]) live.closeLink(agentId, 'the agent was locked, revoked or removed');
      for (const agentId of removed) hub.forget(agentId);
    });
    const remarks = () => startRemarks(snapshot, ports());
    const status = async () => ({
      version: options.version, runtime: process.version, startedAt, now: clock.nowMs(), revision: control.config().revision,
      listeners: listeners.map((each) => ({ address: each.address, port: each.port, secure: snapshot.config.listeners.some((one) => one.name === each.name && one.tls) })),
      conns: door.open, links: hub.links().length, streams: hub.links().reduce((sum, link) => sum + link.streams, 0), visitsLive: visits.count,
      devices: tables.devices.size, devicesOnline: Array.from(tables.devices.values()).filter((device) => hub.linkOf(device.agentId)).length,
      memory: { rssBytes: process.memoryUsage.rss(), heldBytes: budget.heldBytes, budgetBytes: budget.bytesMax },
      journalDropped: journal.dropped, storeBytes: (await operations.check()).fileBytes, remarks: remarks(),
    });
    const admin = buildAdmin({
      tables, operations, control, live, journal, clock, random, log, newId, limits, inTurn, status,
      version: options.version,
      setupDigest: () => (tables.people.size === 0 && setup.code !== null ? digestOf(setup.code) : null),
      askerOf: (request) => {
        const asker = askerOf(request.socket);
        if (!asker) throw new Error('a request came past the front door');
        return asker;
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
      explain: (question) => {
        const { verdict, rule, lines } = explainWith(snapshot, question, (label) => describeLabel(tables, hub, label, clock.nowMs()));
        return Promise.resolve({ verdict, rule, lines: [...lines] });
      },
      runDoctor: () =>
        runDoctor({
          clock,
          startedAt: { nowMs: startedAt, monoMs: startedAtMono },
          domains: () => snapshot.config.domains.map((domain) => domain.name),
          deviceDomains: () => snapshot.deviceDomains,
          listeners: () => listeners.map((each) => ({ address: each.address, port: each.port, secure: snapshot.config.listeners.some((one) => one.name === each.name && one.tls) })),
          certificates: () => ({ leaves: certificates.leaves(), caNotAfter: certificates.ca.notAfter }),
          checkStore: () => operations.check(),
          freeBytes: () => folder.freeBytes(),
          routes: () =>
            snapshot.config.routes
              .flatMap(({ name, target }) => (target.kind === 'device' ? [{ route: name, device: target.device }] : []))
              .slice(0, routesLookedAt)
              .map((each) => ({ ...each, found: findNamed(tables, each.device, clock.nowMs()) ?? null })),
          configuredAt: async () => (await operations.latestRevision())?.at ?? 0,
          devices: () =>
            Array.from(tables.devices.values(), (device) => {
              const note = tables.agentNotes.get(device.agentId);
              return { label: device.label, online: hub.linkOf(device.agentId) !== undefined, lastSeenAt: note?.lastSeenAt ?? null, lastLeftWhy: note?.lastLeftWhy ?? null };
            }),
        }),
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
        visits: () => visits.count,
        linkBytes: () => hub.links().reduce((sum, link) => ({ in: sum.in + link.bytesIn, out: sum.out + link.bytesOut }), { in: 0, out: 0 }),
        upstreamsIdle: () => pool.idle,
        budgetHeld: () => budget.heldBytes,
        journalDropped: () => journal.dropped,
        devices: () => ({ all: tables.devices.size, online: Array.from(tables.devices.values()).filter((device) => hub.linkOf(device.agentId)).length }),
        revision: () => control.config().revision,
      },
      options.version,
    );
    const consoleListener = buildConsoleListener({
      admin: admin.requestListener,
      metrics,
      caPem: certificates.ca.pem,
      mayReadMetrics: (authorization) => {
        const bearer = /^Bearer +(\S+)$/i.exec(authorization ?? '');
        const visitor = bearer && visitorOfToken(tables, bearer[1]!, clock.nowMs(), limits);
        return visitor !== null && visitorMay(tables, visitor, 'see', 'gateway');
      },
    });
    const joinListener = buildJoin({
      tables, operations, inTurn, clock, log, journal, newId,
      caPem: certificates.ca.pem,
      issue: (csr, agentId) => certificates.issueAgentCertificate(csr, agentId),
      verify: (certificate) => certificates.verifyAgentCertificate(certificate),
      addresses: () => agentAddresses(snapshot, ports()),
      deviceUrl: (device) => deviceUrlOf(describeAddresses(snapshot, ports()), device),
      askerOf: (request: IncomingMessage) => {
        const asker = askerOf(request.socket);
        if (!asker) throw new Error('a request came past the front door');
        return { from: asker.from, peerCertificate: asker.conn.peerCertificate };
      },
    });
    const operator = await keepOperator({ folder, tables, random, clock, newId, address: () => operatorAddress(ports()), console: () => describeAddresses(snapshot, ports()).console, caPem: certificates.ca.pem });
    undo.push(() => operator.close());
    const auditHeadTimer = clock.every(24 * 3_600_000, () => void operations.auditHead().then((head) => log.info('audit.head', head), () => {}));
    undo.push(() => auditHeadTimer.cancel());
    log.info('gateway.started', { version: options.version, ...ports(), domain: snapshot!.primaryDomain });
    for (const remark of remarks()) log.info('gateway.remark', { remark });

    let closing: Promise<void> | null = null;
    const close = (drainMs = 2_000) =>
      (closing ??= (async () => {
        closeListeners();
        door.drain();
        for (const cut of relays) cut('the gateway is going down');
        await hub.drain(drainMs).catch((thrown: unknown) => log.error('gateway.not-drained', { why: reasonOf(thrown) }));
        await closeAll();
        log.info('gateway.stopped', {});
      })());
    return {
      get ports() {
        return ports();
      },
      get listeners() {
        return listeners;
      },
      tables, live,
      caPem: certificates.ca.pem,
      caFingerprint: certificates.ca.keyFingerprint,
      get consoleAddress() {
        return describeAddresses(snapshot, ports()).console;
      },
      setupAddress: () => (tables.people.size === 0 && setup.code !== null ? `${describeAddresses(snapshot, ports()).console}/setup#${setup.code}` : null),
      deviceAddress: (device) => deviceUrlOf(describeAddresses(snapshot, ports()), device),
      agentAddresses: () => agentAddresses(snapshot, ports()),
      makeJoinToken: (order) =>
        inTurn(async () => {
          const secret = newSecret(random);
          const now = clock.nowMs();
          const site = Array.from(tables.sites.values()).find((each) => each.customerId === customerId)!;
          const token: JoinToken = { id: newId(), customerId, siteId: site.id, secretDigest: digestOf(secret), deviceName: order.deviceName, serial: null, host: order.host, ports: order.ports, createdBy: createdByStart, createdAt: now, expiresAt: now + limits.joinTokenMs, usedAt: null, usedByAgentId: null };
          await operations.addJoinToken(token, { at: now, customerId, actor: { kind: 'operator', id: null, name: 'start command', from: '' }, what: 'join-token.created', subjectKind: 'join-token', subjectId: token.id, subjectName: order.deviceName, detail: { expiresAt: token.expiresAt } });
          tables.joinTokens.publish({ put: [token] });
          return describeJoin(secret, agentAddresses(snapshot, ports()), certificates.ca.keyFingerprint, options.command);
        }),
      changePorts: (deviceId, ports) =>
        inTurn(async () => {
          const row = tables.devices.get(deviceId);
          if (!row) throw new Fault('not-found', 'the device is gone');
          const changed = { ...row, ports };
          await operations.changeDevice(changed, { at: clock.nowMs(), customerId, actor: { kind: 'operator', id: null, name: 'start command', from: '' }, what: 'device.changed', subjectKind: 'device', subjectId: row.id, subjectName: row.name, detail: { ports: ports.map((port) => port.number).join(', ') } });
          tables.devices.publish({ put: [changed] });
        }),
      leftovers: () => ({ conns: door.open, upstreams: pool.idle, links: hub.links().length, visits: visits.count, heldBytes: budget.heldBytes, serviceEnds: consoleService.open + joinService.open }),
      close,
      [Symbol.asyncDispose]: () => close(0),
    };
  } catch (thrown) {
    await closeAll();
    throw thrown;
  }
}

/** A name that several devices have means none. */
function findNamed(tables: Tables, text: string, nowMs: number): Device | undefined {
  try {
    return findDevice(tables, text, nowMs);
  } catch (thrown) {
    if (isFault(thrown, 'conflict')) return undefined;
    throw thrown;
  }
}

function isKnownName(tables: Tables, snapshot: Snapshot, serverName: string): boolean {
  if (snapshot.exact.has(serverName)) return true;
  const dot = serverName.indexOf('.');
  if (!snapshot.deviceDomains.includes(serverName.slice(dot + 1))) return false;
  const named = parseDeviceHost(serverName.slice(0, dot));
  const device = named && (tables.deviceByLabel(named.label) ?? tables.devices.get(tables.oldLabel(named.label)?.deviceId ?? ''));
  // Only its own ports: a leaf is made and kept for each known name, and who knows one label could ask for 65,535.
  return device !== undefined && (named?.port === null || device.ports.some((port) => port.number === named?.port));
}

function operatorAddress(ports: Ports): string {
  return ports.http > 0 ? `http://127.0.0.1:${ports.http}` : `https://localhost:${ports.https}`;
}

function startRemarks(snapshot: Snapshot, ports: Ports): string[] {
  const remarks: string[] = [];
  if (!snapshot.local && ports.https !== 443) remarks.push(`TLS is on port ${ports.https}; many sites let devices out on 443 only`);
  if (snapshot.local) remarks.push('the domain is localhost: people reach the gateway from this machine only; npm start -- --domain NAME changes that');
  else if (snapshot.config.deviceDomain === null) remarks.push('devices stand under the console\'s own domain; in production give them another registrable domain with --device-domain NAME');
  return remarks;
}

function describeLabel(tables: Tables, hub: { locate(agentId: string): { at: string; since?: number | null; why?: string | null } }, text: string, nowMs: number): string[] {
  const parsed = parseDeviceHost(text);
  const device = parsed && tables.deviceByLabel(parsed.label);
  if (!parsed || !device) {
    const old = parsed && tables.oldLabel(parsed.label);
    const now = old && old.until > nowMs ? tables.devices.get(old.deviceId) : undefined;
    return now ? [`"${parsed!.label}" was the label of ${now.name}; redirected to "${now.label}"`] : [`no device has the label "${text}": answered with 404 to whoever is signed in`];
  }
  const located = hub.locate(device.agentId);
  const agent = tables.agents.get(device.agentId);
  return [
    `device ${device.name} (${device.id}), ${device.host}, ports ${device.ports.map((port) => `${port.number}/${port.kind}`).join(', ') || 'none'}`,
    `rule "right": the visitor needs the right to open it`,
    device.locked || agent?.state !== 'active' ? 'rule "lock": it is locked, every visit is refused' : 'it is not locked',
    located.at === 'here' ? 'its agent has a link' : `its agent is offline${located.since ? ` since ${new Date(located.since).toISOString()}` : ''}${located.why ? ` (${located.why})` : ''}`,
  ];
}
