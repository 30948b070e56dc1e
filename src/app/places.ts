// What stands behind routes to applications, put together: who a device is, what it may use, its session, and how its server hears of it. Composition only.
import { isPrivate } from '#base/cidr.ts';
import type { Clock } from '#base/clock.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { printable } from '#base/log.ts';
import { digestOf } from '#base/secret.ts';
import { buildDeviceSessions, type DeviceSessions } from '#model/device-sessions.ts';
import { buildForwarders, type Forwarders } from '#model/forwarders.ts';
import { keyFingerprintOf } from '#model/fingerprint.ts';
import { type Told, toldOf } from '#model/admit-device.ts';
import { type ApplicationQuestion, type ApplicationTold, tellApplication } from '#model/explain-application.ts';
import { identify, type Asked, type Identity, type Known } from '#model/identity.ts';
import { buildKnown } from '#model/identity-known.ts';
import { claimedSerialOf, shapeOf } from '#model/identity-marks.ts';
import { sourceFor } from '#model/job-sources.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import { buildOrigins, type Origins } from '#model/origins.ts';
import type { Device } from '#model/rows.ts';
import type { Route, Snapshot } from '#model/snapshot.ts';
import type { Tables } from '#model/tables.ts';
import { type Applications, buildApplications, type Shown } from '#proxy/application.ts';
import type { ForwardRoom } from '#proxy/forward.ts';
import { keepEvidence, type EvidenceNotes } from '#site/evidence.ts';
import { fieldOf } from '#wire/http1-fields.ts';
import { buildPrograms } from './programs.ts';
import { reachableAddresses } from './addresses.ts';
import type { LanMemory } from './lan-memory.ts';
import { buildWays, type Ways } from './ways.ts';

export interface PlacesOptions {
  readonly tables: Tables;
  readonly operations: Operations;
  readonly clock: Clock;
  readonly random: Random;
  readonly newId: () => Id;
  readonly log: Log;
  readonly journal: Journal;
  readonly limits: Limits;
  readonly room: ForwardRoom;
  readonly snapshot: () => Snapshot;
  readonly addresses: () => { addressOf(deviceId: Id): string | null; ensure(deviceId: Id): Promise<string> };
  /** Has a device asked what it is, where its profile is old. */
  readonly freshen: (deviceId: Id, isDoubted: boolean) => void;
  /** Whether the device's driver lists both programs, by their User-Agent. */
  readonly listsPrograms: (deviceId: Id, a: string, b: string) => boolean;
  readonly lan: Pick<LanMemory, 'routersOf' | 'want'>;
  readonly assertion: (route: Route, device: Device, identity: Identity, told: Told) => string;
}

export interface DevicePlaces {
  readonly applications: Applications;
  readonly sessions: DeviceSessions;
  readonly origins: Origins;
  readonly evidence: EvidenceNotes;
  readonly known: Known;
  readonly forwarders: Forwarders;
  readonly ways: Ways;
  /** Who that would be now, and what would become of it; nothing is noted. */
  describe(question: ApplicationQuestion): ApplicationTold;
  close(): Promise<void>;
}

const programsMax = 4_096;

export function openPlaces(options: PlacesOptions): DevicePlaces {
  const { tables, operations, clock, log, journal, limits } = options;
  const nowMs = () => clock.nowMs();
  const origins = buildOrigins({ random: options.random, journal, limits });
  const sessions = buildDeviceSessions({ clock, random: options.random, newId: options.newId, limits, journal, devices: tables.devices, profiles: tables.deviceProfiles });
  const evidence = keepEvidence({ tables, operations, clock, log, limits });

  const programs = buildPrograms(programsMax);
  const known = buildKnown({
    tables, origins, nowMs,
    freshMs: () => (options.snapshot().config.probes?.freshMinutes ?? 60) * 60_000,
    sameProgram(deviceId, a, b) {
      const [first, second] = [programs.of(a), programs.of(b)];
      return first !== undefined && second !== undefined && options.listsPrograms(deviceId, first, second);
    },
  });
  const forwarders = buildForwarders({ journal, limits });
  const ways = buildWays({ tables, snapshot: options.snapshot, known, forwarders, lan: options.lan, nowMs, ownAddresses: () => [...reachableAddresses(), '127.0.0.1', '::1'] });
  // What probes find is heard within the two seconds that a decision stands: a thousand devices that are asked would have every connection decided anew each time.
  const version = () => tables.devices.version + tables.deviceTokens.version + tables.deviceKeys.version + tables.jobSources.version + tables.sitePlaces.version + tables.virtualAddresses.version;

  let keysAt = -1;
  let byKey = new Map<string, Id>();
  const deviceOfKey = (digest: string): Id | null => {
    if (keysAt !== tables.deviceKeys.version) {
      keysAt = tables.deviceKeys.version;
      byKey = new Map(Array.from(tables.deviceKeys.values()).filter((row) => row.kind === 'certificate').map((row) => [row.digest, row.deviceId]));
    }
    return byKey.get(digest) ?? null;
  };

  const askedOf = ({ conn, fields, token, session }: Shown) => {
    const { via } = conn.accepted;
    const key = conn.peerCertificate === null ? null : keyFingerprintOf(conn.peerCertificate);
    const row = token === null ? undefined : tables.deviceTokenByDigest(digestOf(token));
    const userAgent = fields === null ? undefined : fieldOf(fields, 'user-agent');
    const shape = shapeOf(userAgent, conn.tlsShape);
    if (shape !== null && userAgent !== undefined) programs.note(shape, userAgent);
    const asked: Asked = {
      origin: { siteId: via?.siteId ?? null, customerId: via === null ? null : (tables.sites.get(via.siteId)?.customerId ?? null), address: conn.from, viaAgentId: via?.agentId ?? null, mac: via?.mac ?? null },
      marks: {
        certificateDeviceId: key === null ? null : deviceOfKey(key),
        tokenDeviceId: row?.deviceId ?? null,
        sessionDeviceId: session?.deviceId ?? null,
        sessionVerified: session?.state === 'verified',
        claimedSerial: fields === null ? null : claimedSerialOf(fields),
        shape,
      },
    };
    return { asked, proof: { fingerprint: key, tokenId: row?.id ?? null } };
  };

  const describe = (question: ApplicationQuestion): ApplicationTold => {
    const { route, from, prefix } = question;
    const token = prefix?.kind === 'token' ? tables.deviceTokenByDigest(digestOf(prefix.secret)) : undefined;
    const session = prefix?.kind === 'session' ? sessions.bySid(prefix.secret, route.name, nowMs()) : undefined;
    const asked: Asked = {
      origin: { siteId: null, customerId: null, address: from, viaAgentId: null, mac: null },
      marks: { certificateDeviceId: null, tokenDeviceId: token?.deviceId ?? null, sessionDeviceId: session?.deviceId ?? null, sessionVerified: session?.state === 'verified', claimedSerial: null, shape: null },
    };
    const identity = identify(asked, known, nowMs());
    const { device } = identity;
    const source = device === null ? null : sourceFor(tables.sources, route.name, device, { siteId: null, address: from });
    const application = route.application!;
    return tellApplication(question, {
      identity, source,
      told: toldOf(from, application, identity, source, (deviceId) => options.addresses().addressOf(deviceId)),
      isTokenKnown: token !== undefined,
      sessionEnd: prefix?.kind === 'session' && session === undefined ? (sessions.whyEnded(prefix.secret) ?? 'ended') : null,
      // Whom nobody knows has no session, and needs none.
      sessionRefusal: device === null || identity.state === 'ambiguous' ? null : sessions.whyNotJoined(route.name, identity, application.session, { address: from, siteId: null, host: '' }, nowMs()),
      isInSession: session !== undefined && session.deviceId === device?.id,
      way: ways.judge({ address: from, siteId: null, deviceId: device?.id ?? null, application: route.name }),
    });
  };

  const applications = buildApplications({
    limits, room: options.room, sessions, nowMs, version,
    deviceById: (deviceId) => tables.devices.get(deviceId),
    isToken: (secret) => tables.deviceTokenByDigest(digestOf(secret)) !== undefined,
    identify(shown, route) {
      const { asked, proof } = askedOf(shown);
      const identity = identify(asked, known, nowMs());
      if (identity.device !== null && asked.marks.shape !== null) programs.keep(asked.marks.shape);
      origins.observe(asked, identity, route.name, nowMs());
      evidence.observe(asked, identity, proof);
      for (const id of identity.device === null ? identity.conflict : [identity.device.id]) options.freshen(id, identity.state === 'ambiguous');
      return identity;
    },
    sourceFor: (route, device, { conn }) => sourceFor(tables.sources, route.name, device, { siteId: conn.accepted.via?.siteId ?? null, address: conn.from }),
    pending(shown, route, identity, why) {
      const { asked } = askedOf(shown);
      const siteId = ways.siteOf(asked.origin);
      if (siteId !== null && isPrivate(asked.origin.address)) options.lan.want(siteId);
      const userAgent = shown.fields === null ? undefined : fieldOf(shown.fields, 'user-agent');
      const reason = why === 'not-assigned' ? `it is no job source of ${route.name}` : why === 'not-verified' ? `${route.name} takes only devices that are verified` : null;
      return origins.refuse({ asked, identity, application: route.name, customerId: identity.device?.customerId ?? asked.origin.customerId, userAgent: userAgent === undefined ? null : printable(userAgent, 200), why: reason }, nowMs());
    },
    placeOf({ conn }, identity) {
      const came = { address: conn.from, siteId: conn.accepted.via?.siteId ?? null, deviceId: identity.device?.id ?? null, application: null };
      const siteId = ways.siteOf(came);
      const judged = ways.judge(came);
      // Whoever shares a site's public address, a guest in its wireless network for one, is not told whose it is.
      const isItsOwn = identity.device !== null || conn.accepted.via !== null;
      return { site: siteId === null || !isItsOwn ? null : (tables.sites.get(siteId)?.name ?? null), verdict: judged && `${judged.code}: ${judged.verdict}.` };
    },
    addressOf: (deviceId) => options.addresses().addressOf(deviceId),
    ensureAddress: (deviceId) => options.addresses().ensure(deviceId),
    assertion: options.assertion,
    refused({ conn, requestId }, route, status, why) {
      journal.note('application.refused', { conn: conn.id, request: requestId, from: conn.from, site: conn.accepted.via?.siteId ?? null, route: route.name, status, why });
    },
  });
  const unwatch = [
    tables.devices.watch(({ put, removed }) => (removed.length > 0 || put.some((device) => device.locked)) && applications.judgeAgain()),
    tables.jobSources.watch(({ removed }) => removed.length > 0 && applications.judgeAgain()),
  ];
  return {
    applications, sessions, origins, evidence, known, forwarders, ways, describe,
    async close() {
      for (const stop of unwatch) stop();
      sessions.close();
      await evidence.close();
    },
  };
}
