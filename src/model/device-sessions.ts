// Sessions of devices with applications: what joins the requests of a panel that keeps no cookie. Keyed by the device that a request proved
// or was taken for, never by an address: when two devices share one, nothing is joined. Passing state of the gateway: memory only.
import { hash } from 'node:crypto';
import { networkOf } from '#base/cidr.ts';
import type { Clock, Timer } from '#base/clock.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { buildCookieJar, type CookieJar } from './cookie-jar.ts';
import type { ConfigApplication } from './config.ts';
import type { Identity, IdentityBy } from './identity.ts';
import type { Journal } from './live.ts';
import type { DeviceProfile } from './place-rows.ts';
import type { Device } from './rows.ts';
import type { Table } from './table.ts';

/** Why a session is over. removed: its device is. changed: cookies are to be kept now, or not any more. full: there were too many, and it was idle longest. */
export type SessionEnd = 'idle' | 'absolute' | 'killed' | 'removed' | 'changed' | 'full';

/** Why a request is not joined to a session. elsewhere: it names a session of another place. ended: it names one that is over. */
export type SessionRefusal = 'ambiguous' | 'unknown' | 'paused' | 'elsewhere' | 'ended';

export interface DeviceSession {
  readonly id: Id;
  /** The route's name. */
  readonly application: string;
  readonly deviceId: Id;
  readonly customerId: Id;
  readonly serial: string | null;
  /** Where its last request came from, and the site whose door that was. */
  readonly address: string;
  readonly siteId: Id | null;
  readonly virtualAddress: string | null;
  /** What the device was, and by what, when it last said so itself. Of one with a `sid` the state is what it began with. */
  readonly state: 'verified' | 'address-only';
  readonly by: IdentityBy | null;
  readonly openedAt: number;
  readonly lastAt: number;
  readonly requests: number;
  /** It waits for the device to be verified once more, since then. */
  readonly pausedAt: number | null;
  /** null where the application keeps its cookies to the device. */
  readonly jar: CookieJar | null;
  /** What stands in its addresses, behind /s/; a secret. null: its addresses are the application's own. */
  readonly sid: string | null;
  /** Who uses the device, where the application tells. */
  readonly user: string | null;
}

/** Where a request comes from. */
export interface SessionPlace {
  readonly address: string;
  readonly siteId: Id | null;
  /** As the device is told to the application, where that is a virtual address. */
  readonly virtualAddress?: string | null;
  /** As in its Host line: by which name it calls the application, for the domains of cookies. */
  readonly host?: string;
}

export interface DeviceSessions {
  /** The request's session, a new one where there is none; or why not. `application`: the route's name. */
  join(application: string, identity: Identity, rules: ConfigApplication['session'], place: SessionPlace, nowMs: number): DeviceSession | SessionRefusal;
  /** Why `join` would refuse it, without joining or ending anything; null: it would not. */
  whyNotJoined(application: string, identity: Identity, rules: ConfigApplication['session'], place: SessionPlace, nowMs: number): SessionRefusal | SessionEnd | null;
  /** A further request of a session that was joined a moment ago, by the same device from the same place. False: it is over, or waits; join again. */
  touch(session: DeviceSession, nowMs: number): boolean;
  /** By the secret in an address; undefined when there is none of this application. Counts nothing. */
  bySid(sid: string, application: string, nowMs: number): DeviceSession | undefined;
  /** Why the session with this secret is over; null: nobody remembers one. */
  whyEnded(sid: string): SessionEnd | null;
  get(id: Id): DeviceSession | undefined;
  /** Ends it: cookies and addresses of it are worth nothing any more. False: there is none. */
  kill(id: Id): boolean;
  /** Lets nothing pass until the device shows a certificate or token, or is confirmed where it is. False: there is none. */
  reverify(id: Id, nowMs: number): boolean;
  /** The one that was used last first. */
  list(): readonly DeviceSession[];
  readonly size: number;
  /** Opened, ended, paused or went on. Returns the function that stops it. */
  watch(onChange: () => void): () => void;
  /** Ends what is past its limits; also done every so often. */
  sweep(nowMs: number): void;
  close(): void;
}

export interface DeviceSessionsOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly newId: () => Id;
  readonly limits: Limits;
  readonly journal: Pick<Journal, 'note'>;
  /** A device that is removed takes its sessions with it. */
  readonly devices: Pick<Table<Device>, 'watch'>;
  /** A probe that read the device's own serial where it is lets a session that waits go on. */
  readonly profiles: Pick<Table<DeviceProfile>, 'watch'>;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

interface Session extends Writable<DeviceSession> {
  readonly key: string;
  readonly digest: string | null;
  idleMs: number;
  absoluteMs: number;
}

/** 128 bits, base64url. */
export const sidChars = 22;

/** Looked up by digest: how long a lookup takes says nothing of the secret. */
const digestOfSid = (sid: string) => hash('sha256', sid, 'base64url');

/**
 * Whoever holds a secret address counts as what its session began with. So where there are such, what was verified and what was known by its
 * address alone are two sessions: a request from the right address is not handed the secret of a verified one.
 */
const keyOf = (application: string, deviceId: Id, isVerified: boolean, urlPrefix: boolean) => `${deviceId} ${urlPrefix ? (isVerified ? 'v' : 'a') : '-'} ${application}`;

/** Without port and brackets. */
const nameOfHost = (host: string) => host.toLowerCase().replace(/:\d*$/, '').replace(/^\[|\]$/g, '');

/** For the journal. */
const named = (session: Session) => ({ session: session.id, application: session.application, device: session.deviceId, address: session.address });

const isOver = (session: Session, nowMs: number): SessionEnd | null =>
  nowMs - session.openedAt >= session.absoluteMs ? 'absolute' : nowMs - session.lastAt >= session.idleMs ? 'idle' : null;

/** IPv4: /24. */
const neighbourhoodOf = (address: string) => (address.includes(':') ? networkOf(address) : address.slice(0, address.lastIndexOf('.')));

/** Doors say which site it is; of what came straight to us, large sites use neighbouring addresses in turn. */
const isSamePlace = (session: Session, place: SessionPlace) =>
  session.address === place.address || (session.siteId !== null && session.siteId === place.siteId) || (session.siteId === null && place.siteId === null && neighbourhoodOf(session.address) === neighbourhoodOf(place.address));

export function buildDeviceSessions({ clock, random, newId, limits, journal, devices, profiles }: DeviceSessionsOptions): DeviceSessions {
  const sessions = new Map<Id, Session>();
  const byKey = new Map<string, Session>();
  const byDigest = new Map<string, Session>();
  const ended = new Map<string, SessionEnd>();
  const watchers = new Set<() => void>();
  const changed = () => {
    for (const watcher of watchers) watcher();
  };

  const end = (session: Session, why: SessionEnd) => {
    sessions.delete(session.id);
    if (byKey.get(session.key) === session) byKey.delete(session.key);
    session.jar?.clear();
    if (session.digest !== null) {
      byDigest.delete(session.digest);
      ended.set(session.digest, why);
      if (ended.size > limits.deviceSessionsEndedMax) ended.delete(ended.keys().next().value!);
    }
    journal.note('device-session.ended', { ...named(session), why });
  };
  const endAll = (which: readonly (readonly [Session, SessionEnd])[]) => {
    for (const [session, why] of which) end(session, why);
    if (which.length > 0) changed();
  };
  const sweep = (nowMs: number) => {
    const over: [Session, SessionEnd][] = [];
    for (const session of sessions.values()) {
      const why = isOver(session, nowMs);
      if (why !== null) over.push([session, why]);
    }
    endAll(over);
  };
  /** Many at once: looking for the one that was idle longest takes as long as looking for a hundred. */
  const makeRoom = (nowMs: number) => {
    sweep(nowMs);
    if (sessions.size < limits.deviceSessionsMax) return;
    const byIdle = [...sessions.values()].sort((a, b) => a.lastAt - b.lastAt).slice(0, Math.max(1, Math.floor(limits.deviceSessionsMax / 100)));
    endAll(byIdle.map((session) => [session, 'full']));
  };

  const open = (application: string, device: Device, isVerified: boolean, rules: ConfigApplication['session'], place: SessionPlace, nowMs: number): Session => {
    if (sessions.size >= limits.deviceSessionsMax) makeRoom(nowMs);
    const sid = rules.urlPrefix ? random(16).toString('base64url') : null;
    const session: Session = {
      id: newId(), application, deviceId: device.id, customerId: device.customerId, serial: device.serial, address: place.address, siteId: place.siteId, virtualAddress: place.virtualAddress ?? null,
      state: isVerified ? 'verified' : 'address-only', by: null, openedAt: nowMs, lastAt: nowMs, requests: 0, pausedAt: null,
      jar: rules.jar ? buildCookieJar(place.host === undefined ? null : nameOfHost(place.host), limits) : null, sid, user: null,
      key: keyOf(application, device.id, isVerified, rules.urlPrefix), digest: sid === null ? null : digestOfSid(sid), idleMs: 0, absoluteMs: 0,
    };
    sessions.set(session.id, session);
    byKey.set(session.key, session);
    if (session.digest !== null) byDigest.set(session.digest, session);
    journal.note('device-session.opened', { ...named(session), state: session.state });
    changed();
    return session;
  };

  /** The standing one of that key. */
  const standing = (key: string, rules: ConfigApplication['session'], nowMs: number): Session | undefined => {
    const session = byKey.get(key);
    if (session === undefined) return undefined;
    session.idleMs = rules.idleMinutes * 60_000;
    session.absoluteMs = rules.absoluteHours * 3_600_000;
    const why = isOver(session, nowMs);
    if (why !== null) endAll([[session, why]]);
    // The configuration says something else of cookies than when it began.
    else if (rules.jar === (session.jar !== null)) return session;
    else endAll([[session, 'changed']]);
    return undefined;
  };

  const goOn = (session: Session) => {
    session.pausedAt = null;
    journal.note('device-session.resumed', named(session));
    changed();
  };

  const stopWatching = devices.watch(({ removed }) => {
    if (removed.length === 0 || sessions.size === 0) return;
    const gone = new Set(removed);
    endAll([...sessions.values()].filter((session) => gone.has(session.deviceId)).map((session) => [session, 'removed']));
  });
  const stopHearing = profiles.watch(({ put }) => {
    for (const { deviceId, trust, failure, address, readAt } of put) {
      if (trust !== 'verified' || failure !== null || readAt === null) continue;
      for (const session of sessions.values()) {
        if (session.deviceId === deviceId && session.address === address && session.pausedAt !== null && session.pausedAt <= readAt) goOn(session);
      }
    }
  });
  const timer: Timer = clock.every(limits.deviceSessionSweepMs, () => sweep(clock.nowMs()));

  return {
    join(application, identity, rules, place, nowMs) {
      const { state, device, by } = identity;
      if (state === 'ambiguous') return 'ambiguous';
      if (state === 'unknown' || device === null) return 'unknown';
      const isVerified = state === 'verified';
      const found = standing(keyOf(application, device.id, isVerified, rules.urlPrefix), rules, nowMs);
      if (by === 'session') {
        if (found === undefined) return 'ended';
        if (!isSamePlace(found, place)) return 'elsewhere';
      }
      if (found !== undefined && found.pausedAt !== null) {
        if (by !== 'certificate' && by !== 'token') return 'paused';
        goOn(found);
      }
      const session = found ?? open(application, device, isVerified, rules, place, nowMs);
      session.idleMs = rules.idleMinutes * 60_000;
      session.absoluteMs = rules.absoluteHours * 3_600_000;
      session.lastAt = nowMs;
      session.requests += 1;
      session.address = place.address;
      session.siteId = place.siteId;
      if (place.virtualAddress !== undefined) session.virtualAddress = place.virtualAddress;
      // A session does not prove itself.
      if (by !== 'session') {
        session.state = state;
        session.by = by;
      }
      return session;
    },
    whyNotJoined(application, identity, rules, place, nowMs) {
      const { state, device, by } = identity;
      if (state === 'ambiguous') return 'ambiguous';
      if (state === 'unknown' || device === null) return 'unknown';
      const kept = byKey.get(keyOf(application, device.id, state === 'verified', rules.urlPrefix));
      const found = kept !== undefined && isOver(kept, nowMs) === null && rules.jar === (kept.jar !== null) ? kept : undefined;
      if (by === 'session') {
        if (found === undefined) return 'ended';
        if (!isSamePlace(found, place)) return 'elsewhere';
      }
      return found !== undefined && found.pausedAt !== null && by !== 'certificate' && by !== 'token' ? 'paused' : null;
    },
    touch(given, nowMs) {
      const session = given as Session;
      if (session.pausedAt !== null || byKey.get(session.key) !== session || isOver(session, nowMs) !== null) return false;
      session.lastAt = nowMs;
      session.requests += 1;
      return true;
    },
    bySid(sid, application, nowMs) {
      if (sid.length !== sidChars) return undefined;
      const session = byDigest.get(digestOfSid(sid));
      return session === undefined || session.application !== application || isOver(session, nowMs) !== null ? undefined : session;
    },
    whyEnded(sid) {
      if (sid.length !== sidChars) return null;
      const digest = digestOfSid(sid);
      const session = byDigest.get(digest);
      return session === undefined ? (ended.get(digest) ?? null) : isOver(session, clock.nowMs());
    },
    get: (id) => sessions.get(id),
    kill(id) {
      const session = sessions.get(id);
      if (session === undefined) return false;
      endAll([[session, 'killed']]);
      return true;
    },
    reverify(id, nowMs) {
      const session = sessions.get(id);
      if (session === undefined) return false;
      session.pausedAt = nowMs;
      journal.note('device-session.paused', named(session));
      changed();
      return true;
    },
    list: () => [...sessions.values()].sort((a, b) => b.lastAt - a.lastAt),
    get size() {
      return sessions.size;
    },
    watch(onChange) {
      watchers.add(onChange);
      return () => watchers.delete(onChange);
    },
    sweep,
    close() {
      timer.cancel();
      stopWatching();
      stopHearing();
    },
  };
}
