// URLs of applications that say which device opens them: made, listed, withdrawn; and who a device is, with all that this rests on.
import type { DeviceUrlView, IdentityView } from '#api/source-shapes.ts';
import { canonicalAddress } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import { digestOf } from '#base/secret.ts';
import { identify, type Origin } from '#model/identity.ts';
import type { ConfigRoute } from '#model/config.ts';
import type { DeviceToken } from '#model/place-rows.ts';
import type { Device } from '#model/rows.ts';
import { auditOf, type Acts, type Asked } from './asked.ts';
import { deviceFor, subjectOf } from './devices.ts';
import type { IdentityDeps } from './deps.ts';
import type { Room } from './room.ts';

type Names = 'getDeviceIdentity' | 'listDeviceUrls' | 'makeDeviceUrl' | 'removeDeviceUrl';

/** 24 characters of base64url, 144 bits: panels have small fields. */
const secretBytes = 18;
const sessionsShown = 50;

const viewUrl = ({ id, note, createdAt, usedAt }: DeviceToken): DeviceUrlView => ({ id, note, createdAt, usedAt });
const byAge = (a: DeviceToken, b: DeviceToken) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1);

/** What was begun or believed because of a proof that is withdrawn ends with it: it may have been stolen. */
export function forgetProofs(room: Pick<Room, 'identity' | 'deviceSessions'>, device: Pick<Device, 'id'>, by: 'token' | 'certificate'): void {
  room.identity?.origins.forgetDevice(device.id);
  // What was let in by it ends, whatever it has switched to.
  room.identity?.cut(device.id, null);
  for (const session of room.deviceSessions?.list() ?? []) if (session.deviceId === device.id && (session.by === by || session.by === 'session')) room.deviceSessions!.kill(session.id);
}

export function identityOf(room: Room): IdentityDeps {
  if (room.identity === null) throw new Fault('unsupported', 'this gateway serves no applications');
  return room.identity;
}

/** The agent whose probe is the confirmation; null: it is gone. */
function askedThrough({ deviceProfiles, agents }: Room['tables'], device: Device): string | null {
  const row = deviceProfiles.get(device.id);
  return (row?.trust === 'different' ? row.failure?.agent : agents.get(row?.agentId ?? '')?.name) ?? null;
}

/** What a request from the device's address would be taken for, with no mark of its own. */
export function judgeByAddress(room: Room, device: Device) {
  const address = canonicalAddress(device.host);
  const { known } = identityOf(room);
  const origin: Origin = { siteId: device.siteId, customerId: device.customerId, address: address ?? '', viaAgentId: device.agentId, mac: null };
  const nothing = { certificateDeviceId: null, tokenDeviceId: null, sessionDeviceId: null, sessionVerified: false, claimedSerial: null, shape: null };
  if (address === null) return { address, identity: { state: 'unknown' as const, by: null, why: device.host === '' ? 'its row has no address' : `its row has a name (${device.host}) and no address`, conflict: [] } };
  return { address, identity: identify({ origin, marks: nothing }, known, room.clock.nowMs()) };
}

/** Where browsers reach the route: host, scheme and port, path. Fault `bad-input`. */
function urlOf(room: Room, asked: Asked<'makeDeviceUrl'>, route: ConfigRoute): { readonly origin: string; readonly path: string } {
  const { host: wanted } = asked.body;
  const pattern = route.host ?? null;
  const fits = (host: string) => pattern === null || pattern === host || (pattern.startsWith('*.') && host.endsWith(pattern.slice(1)) && host.length > pattern.length - 1);
  if (wanted !== undefined && !fits(wanted.toLowerCase())) throw new Fault('bad-input', `${route.name} is reached as ${pattern}, not as ${wanted}`);
  const host = wanted?.toLowerCase() ?? (pattern === null || pattern.startsWith('*.') ? null : pattern);
  if (host === null) throw new Fault('bad-input', `${route.name} takes several names`, { remedy: 'say under which one the device opens it, with "host"' });
  const { listeners } = room.control.snapshot().config;
  const own = listeners.filter(({ name }) => route.listeners?.includes(name) ?? true);
  const secure = own.some(({ tls }) => tls) || own.length === 0;
  const shown = new URL(room.addresses(asked).console);
  const port = secure === (shown.protocol === 'https:') && route.listeners === undefined ? shown.port : String((own.find(({ tls }) => tls === secure) ?? { port: secure ? 443 : 80 }).port);
  const path = typeof route.path === 'string' ? route.path : (route.path[0] ?? '/');
  return { origin: new URL(`${secure ? 'https' : 'http'}://${host}${port === '' ? '' : `:${port}`}`).origin, path: path.endsWith('/') ? path : `${path}/` };
}

export function buildDeviceUrlActs(room: Room): Acts<Names> {
  const { tables, operations, clock, limits } = room;
  const find = (asked: Asked<'listDeviceUrls' | 'makeDeviceUrl' | 'removeDeviceUrl'>) => deviceFor(room, asked, asked.params.device, 'administer', 'see or change the URLs of this device');
  return {
    getDeviceIdentity(asked): IdentityView {
      const device = deviceFor(room, asked, asked.params.device, 'see', 'see this device');
      const { known, origins, sessions, evidenceOf } = identityOf(room);
      const { address, identity } = judgeByAddress(room, device);
      const last = origins.latestOf(device.id) ?? null;
      const confirmation = known.confirmationOf(device.id);
      // What it may be as well is named only where it may be seen: all of one customer, but perhaps not for everybody.
      const conflict = identity.conflict.filter((id) => tables.devices.get(id)?.siteId === device.siteId);
      return {
        deviceId: device.id, name: device.name, serial: device.serial,
        now: { state: identity.state, by: identity.by, why: identity.why, address, conflict },
        last,
        confirmation: confirmation === null ? null : { ...confirmation, agent: askedThrough(tables, device), fresh: clock.nowMs() - confirmation.at <= known.freshMs },
        virtualAddress: tables.virtualAddresses.get(device.id)?.address ?? null,
        urls: [...tables.tokensOfDevice(device.id)].sort(byAge).map(viewUrl),
        sources: Array.from(tables.jobSources.values())
          .filter((row) => row.deviceId === device.id || (row.serial !== null && row.customerId === device.customerId && row.serial === device.serial) || (row.siteId === device.siteId && row.address === address))
          .map(({ id, application, as }) => ({ id, application, as })),
        sessions: sessions().filter((each) => each.deviceId === device.id).slice(0, sessionsShown).map(({ id, application, address: from, state, by, openedAt, lastAt, requests }) => ({ id, application, address: from, state, by, openedAt, lastAt, requests })),
        evidence: evidenceOf(device.id).map(({ kind, value, how, firstAt, lastAt, count }) => ({ kind, value, how, firstAt, lastAt, count })),
      };
    },
    listDeviceUrls: (asked) => ({ items: [...tables.tokensOfDevice(find(asked).id)].sort(byAge).map(viewUrl) }),
    makeDeviceUrl: (asked) =>
      room.inTurn(async () => {
        const device = find(asked);
        const { application, note } = asked.body;
        const route = room.control.snapshot().config.routes.find((each) => each.name === application);
        if (!route?.application || route.protocol !== 'http') throw new Fault('bad-input', `there is no application "${application}" that is opened by URL`, { remedy: 'name a route that has "application" in the configuration' });
        const { origin, path } = urlOf(room, asked, route);
        if (tables.tokensOfDevice(device.id).length >= limits.deviceTokensPerDeviceMax) throw new Fault('too-many', `a device has at most ${limits.deviceTokensPerDeviceMax} URLs`, { remedy: 'withdraw one that is not used' });
        const secret = room.random(secretBytes).toString('base64url');
        const token: DeviceToken = { id: room.newId(), customerId: device.customerId, deviceId: device.id, digest: digestOf(secret), note: note || application, createdAt: clock.nowMs(), usedAt: null };
        await operations.addDeviceToken(token, auditOf(room, asked, 'device.url-made', subjectOf(device), { url: token.id, application, note: token.note }));
        tables.deviceTokens.publish({ put: [token] });
        return { url: viewUrl(token), address: `${origin}/d/${secret}${path}` };
      }),
    removeDeviceUrl: (asked) =>
      room.inTurn(async () => {
        const device = find(asked);
        const token = tables.tokensOfDevice(device.id).find((each) => each.id === asked.params.id);
        if (!token) throw new Fault('not-found', 'the device has no such URL, or not any more');
        await operations.removeDeviceToken(token.id, auditOf(room, asked, 'device.url-removed', subjectOf(device), { url: token.id, note: token.note, usedAt: token.usedAt }));
        tables.deviceTokens.publish({ removed: [token.id] });
        forgetProofs(room, device, 'token');
        return {};
      }),
  };
}
