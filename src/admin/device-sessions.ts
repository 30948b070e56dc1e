// Sessions of devices with applications, over the API: who is where, ending one, having its device verified again.
import type { DeviceSessionView } from '#api/session-shapes.ts';
import { Fault } from '#base/fault.ts';
import type { DeviceSession, DeviceSessions } from '#model/device-sessions.ts';
import { subjectOfDevice } from '#model/rights.ts';
import type { Device } from '#model/rows.ts';
import { auditOf, may, mustMay, type Acts, type Asked } from './asked.ts';
import { subjectOf } from './devices.ts';
import { byId, pageOf, sorted } from './pages.ts';
import type { Room } from './room.ts';

type Names = 'listDeviceSessions' | 'killDeviceSession' | 'reverifyDeviceSession';
type Asking = Pick<Asked, 'rights'>;

export function buildDeviceSessionActs(room: Room): Acts<Names> {
  const { tables, operations, clock, probes } = room;
  const order = { keyOf: byId, newestFirst: true };
  const sessionsOf = (): DeviceSessions => {
    if (room.deviceSessions === null) throw new Fault('unsupported', 'this gateway serves no applications');
    return room.deviceSessions;
  };
  const view = (asked: Asking, session: DeviceSession, device: Device): DeviceSessionView => {
    const { id, application, serial, address, siteId, virtualAddress, state, by, pausedAt, openedAt, lastAt, requests, user } = session;
    return {
      id, application, device: { id: device.id, name: device.name, label: device.label }, serial, address, site: siteId === null ? null : (tables.sites.get(siteId)?.name ?? null), virtualAddress,
      state, by, pausedAt, openedAt, lastAt, requests, inAddresses: session.sid !== null, cookies: session.jar === null ? null : [...session.jar.names(clock.nowMs())], user, mayEnd: may(asked, 'administer', subjectOfDevice(device)),
    };
  };
  const deviceOf = (asked: Asking, session: DeviceSession): Device | undefined => {
    const device = tables.devices.get(session.deviceId);
    return device && may(asked, 'see', subjectOfDevice(device)) ? device : undefined;
  };
  const find = (asked: Asking, id: string, what: string) => {
    const session = sessionsOf().get(id);
    const device = session && deviceOf(asked, session);
    if (!session || !device) throw new Fault('not-found', 'there is no such session, or not any more', { remedy: 'postern sessions lists them' });
    mustMay(asked, 'administer', subjectOfDevice(device), what);
    return { session, device };
  };
  return {
    listDeviceSessions(asked) {
      const { application, deviceId } = asked.query;
      const wanted = (session: DeviceSession) => (application === undefined || session.application === application) && (deviceId === undefined || session.deviceId === deviceId) && deviceOf(asked, session) !== undefined;
      return pageOf(sorted(sessionsOf().list(), order), order, asked.query, wanted, (session) => view(asked, session, tables.devices.get(session.deviceId)!));
    },
    async killDeviceSession(asked) {
      const { session, device } = find(asked, asked.params.id, 'end sessions of this device');
      await operations.addAudit([auditOf(room, asked, 'device-session.killed', subjectOf(device), { session: session.id, application: session.application, address: session.address })]);
      sessionsOf().kill(session.id);
      room.identity?.cut(session.deviceId, session.application);
      return {};
    },
    async reverifyDeviceSession(asked) {
      const { session, device } = find(asked, asked.params.id, 'have this device verified again');
      await operations.addAudit([auditOf(room, asked, 'device-session.reverify-asked', subjectOf(device), { session: session.id, application: session.application, address: session.address })]);
      if (!sessionsOf().reverify(session.id, clock.nowMs())) throw new Fault('gone', 'the session has ended meanwhile');
      // What the probe finds goes on without us: a session that waits is told by the profile.
      probes?.probe(device.id).catch(() => undefined);
      return view(asked, session, device);
    },
  };
}
