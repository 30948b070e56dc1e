// Devices: list, look, add behind a standing agent, change, lock, remove.
import type { ParsedBody } from '#api/contract.ts';
import type { DeviceView, PortInput } from '#api/shapes.ts';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { checkLabel, findDevice, labelTaken, makeLabel, parseDeviceHost } from '#model/labels.ts';
import { doorsOfAgent } from '#model/places.ts';
import { subjectOfAgent, subjectOfDevice } from '#model/rights.ts';
import type { Action, AuditEntry, Device, DevicePort, OldLabel, Site } from '#model/rows.ts';
import { auditOf, may, mustMay, visitorOf, type Acts, type Anyone, type Asked } from './asked.ts';
import { byName, keepSorted, pageOf } from './pages.ts';
import { cutVisits, type Room } from './room.ts';
import { countVisits, viewDevice } from './views.ts';

/** TCP and UDP have their numbers each for themselves: 53 and 5060 are often both. */
const placeOf = (port: { readonly number: number; readonly kind: string }) => `${port.number}/${port.kind === 'udp' ? 'udp' : 'tcp'}`;

/** Ports as given; an accepted certificate stays with the port it was shown on. */
export function toPorts(given: readonly PortInput[], before: readonly DevicePort[] = []): DevicePort[] {
  const problems = given.flatMap((port, i) => (given.findIndex((other) => placeOf(other) === placeOf(port)) < i ? [{ path: `ports.${i}.number`, message: 'is there twice' }] : []));
  if (problems.length > 0) throw new Fault('bad-input', 'a port is there twice', { detail: { problems } });
  return given.map(({ number, name, kind }) => ({ number, name, kind, fingerprint: kind === 'https' ? (before.find((port) => port.number === number && port.kind === 'https')?.fingerprint ?? null) : null }));
}

export const subjectOf = (device: Device) => ({ customerId: device.customerId, kind: 'device', id: device.id, name: device.name });

/** Whether a search finds it: name, label, serial, or host. */
function matches(device: Device, search: string): boolean {
  return [device.name, device.label, device.serial ?? '', device.host].some((text) => text.toLowerCase().includes(search));
}

function wrongLabel(message: string): Fault {
  return new Fault('bad-input', message, { detail: { problems: [{ path: 'label', message }] } });
}

/** The device that the person means and may see. A thing that one may not see is not there. */
export function deviceFor(room: Pick<Room, 'tables' | 'clock'>, asked: Pick<Asked, 'rights'>, text: string, action: Action, what: string): Device {
  const device = findDevice(room.tables, text, room.clock.nowMs(), (each) => may(asked, 'see', subjectOfDevice(each)));
  if (!device || !may(asked, 'see', subjectOfDevice(device))) throw new Fault('not-found', `there is no device "${text.slice(0, 100)}", or you may not see it`, { remedy: 'name it by id, label or customer/name; postern devices lists them', detail: { hidden: device !== undefined } });
  mustMay(asked, action, subjectOfDevice(device), what);
  return device;
}

/** The site that is named, or the first that the person may see. Fault `bad-input`. */
export function siteFor({ tables }: Pick<Room, 'tables'>, asked: Pick<Asked, 'rights'>, siteId: Id | undefined, customerId?: Id): Site {
  for (const site of siteId === undefined ? tables.sites.values() : [tables.sites.get(siteId)]) {
    if (site && (customerId === undefined || site.customerId === customerId) && may(asked, 'see', { customerId: site.customerId, siteId: site.id })) return site;
  }
  throw new Fault('bad-input', 'there is no such site', { detail: { problems: [{ path: 'siteId', message: 'is no site' }] } });
}

function withChanges(device: Device, body: ParsedBody<'changeDevice'>): Device {
  return {
    ...device,
    name: body.name ?? device.name,
    label: body.label ?? device.label,
    serial: body.serial === undefined ? device.serial : body.serial,
    host: body.host ?? device.host,
    hostHeader: body.hostHeader ?? device.hostHeader,
    ports: body.ports ? toPorts(body.ports, device.ports) : device.ports,
  };
}

/** For the audit: each thing that is different, before and after. */
function differences(before: Device, after: Device): AuditEntry['detail'] {
  const shown = (row: Device) => ({ name: row.name, label: row.label, serial: row.serial, host: row.host, hostHeader: row.hostHeader, ports: row.ports.map((port) => `${port.number} ${port.kind}`).join(', ') });
  const [was, is] = [shown(before), shown(after)];
  const keys = (Object.keys(is) as (keyof typeof is)[]).filter((key) => is[key] !== was[key]);
  return Object.fromEntries(keys.flatMap((key) => [[`${key} before`, was[key]], [`${key} after`, is[key]]]));
}

export function buildDeviceChanges(room: Room) {
  const { tables, operations, clock, limits } = room;
  const mustBeFree = (label: string, deviceId?: string) => {
    const why = checkLabel(label);
    if (why) throw wrongLabel(why);
    if (labelTaken(tables, label, clock.nowMs(), deviceId)) throw new Fault('conflict', `another device has the label "${label}", or had it within the last 30 days`, { remedy: 'choose another label', detail: { problems: [{ path: 'label', message: 'is taken' }] } });
  };
  /** Behind an agent: where the agent is. */
  const placeBehind = (asked: Asked<'addDevice'>, agentId: Id) => {
    const agent = tables.agents.get(agentId);
    if (!agent || !may(asked, 'see', subjectOfAgent(agent))) throw new Fault('bad-input', 'there is no such agent', { detail: { problems: [{ path: 'agentId', message: 'is no agent' }] } });
    mustMay(asked, 'administer', subjectOfAgent(agent), 'add a device at this site');
    if (agent.state === 'revoked') throw new Fault('conflict', 'this agent is revoked', { remedy: 'join it again with a new token' });
    if (!asked.body.ports) throw new Fault('bad-input', 'a device behind an agent needs ports', { detail: { problems: [{ path: 'ports', message: 'are missing' }] } });
    return { customerId: agent.customerId, siteId: agent.siteId, agentId, host: asked.body.host, ports: toPorts(asked.body.ports), agent: agent.name };
  };
  /** It only pushes and checks in: its serial is what it is known by. */
  const placeOfPushing = (asked: Asked<'addDevice'>) => {
    const site = siteFor(room, asked, asked.body.siteId);
    mustMay(asked, 'administer', { customerId: site.customerId, siteId: site.id }, 'add a device at this site');
    if (asked.body.serial === null) throw new Fault('bad-input', 'a device without an agent is known by its serial', { detail: { problems: [{ path: 'serial', message: 'is missing' }] } });
    return { customerId: site.customerId, siteId: site.id, agentId: null, host: '', ports: [], agent: null };
  };
  const serialMustBeFree = (customerId: Id, serial: string | null, deviceId?: string) => {
    const other = serial === null ? undefined : tables.deviceBySerial(customerId, serial);
    if (other && other.id !== deviceId) throw new Fault('conflict', `another device has the serial ${serial} already`, { remedy: 'give the right serial, or remove the other device first', detail: { problems: [{ path: 'serial', message: 'is taken' }] } });
    if (serial !== null && tables.waitingBySerial(customerId, serial)) throw new Fault('conflict', `a device with the serial ${serial} waits to be approved`, { remedy: 'approve it, or refuse it first: postern waiting', detail: { problems: [{ path: 'serial', message: 'waits to be approved' }] } });
  };
  return {
    async add(asked: Asked<'addDevice'>): Promise<Device> {
      const { agentId, name, serial, hostHeader } = asked.body;
      const { agent, ...place } = agentId === null ? placeOfPushing(asked) : placeBehind(asked, agentId);
      if (tables.devices.size >= limits.devicesMax) throw new Fault('too-many', `the gateway has ${limits.devicesMax} devices already`);
      serialMustBeFree(place.customerId, serial);
      if (asked.body.label !== undefined) mustBeFree(asked.body.label);
      const label = asked.body.label ?? makeLabel(name, (text) => labelTaken(tables, text, clock.nowMs()));
      const device: Device = { id: room.newId(), ...place, serial, label, name, hostHeader, locked: false, createdAt: clock.nowMs() };
      await operations.addDevice(device, auditOf(room, asked, 'device.added', subjectOf(device), { label, host: place.host, agent }));
      if (tables.oldLabel(label)) tables.oldLabels.publish({ removed: [label] });
      tables.devices.publish({ put: [device] });
      return device;
    },
    async change(asked: Asked<'changeDevice'>): Promise<Device> {
      const device = deviceFor(room, asked, asked.params.device, 'administer', 'change this device');
      const { body } = asked;
      if (body.host !== undefined && body.host !== device.host) {
        // Another address in the LAN is another machine: that is for who administers the site, not one device of it.
        mustMay(asked, 'administer', { customerId: device.customerId, siteId: device.siteId }, 'let a device point at another address of its site');
      }
      if (body.label !== undefined && body.label !== device.label) mustBeFree(body.label, device.id);
      if (body.serial !== undefined && body.serial !== device.serial) serialMustBeFree(device.customerId, body.serial, device.id);
      if (body.serial === null && device.agentId === null) throw new Fault('conflict', 'a device without an agent is known by its serial', { detail: { problems: [{ path: 'serial', message: 'is needed' }] } });
      const changed = withChanges(device, body);
      const detail = differences(device, changed);
      if (Object.keys(detail).length === 0 && !body.ports) return device;
      const oldLabel: OldLabel | undefined = changed.label === device.label ? undefined : { label: device.label, customerId: device.customerId, deviceId: device.id, until: clock.nowMs() + limits.oldLabelMs };
      await operations.changeDevice(changed, auditOf(room, asked, 'device.changed', subjectOf(changed), detail), oldLabel);
      const freed = tables.oldLabel(changed.label) ? [changed.label] : [];
      if (oldLabel || freed.length > 0) tables.oldLabels.publish({ put: oldLabel ? [oldLabel] : [], removed: freed });
      tables.devices.publish({ put: [changed] });
      const kept = new Set(changed.ports.map(placeOf));
      const gone = new Set(device.ports.map(placeOf).filter((place) => !kept.has(place)));
      cutVisits(room, (visit) => visit.deviceId === device.id && (changed.host !== device.host || gone.has(placeOf({ number: visit.port, kind: visit.kind }))), 'the device was changed');
      return changed;
    },
    async setLocked(asked: Anyone, text: string, locked: boolean): Promise<Device> {
      const device = deviceFor(room, asked, text, 'administer', locked ? 'lock this device' : 'unlock this device');
      if (device.locked === locked) return device;
      const changed = { ...device, locked };
      await operations.changeDevice(changed, auditOf(room, asked, locked ? 'device.locked' : 'device.unlocked', subjectOf(device)));
      tables.devices.publish({ put: [changed] });
      if (locked) cutVisits(room, (visit) => visit.deviceId === device.id, 'the device was locked');
      return changed;
    },
    async remove(asked: Anyone, text: string): Promise<void> {
      const device = deviceFor(room, asked, text, 'administer', 'remove this device');
      const { agentId } = device;
      const last = agentId !== null && tables.devicesOfAgent(agentId).length === 1;
      const audit = auditOf(room, asked, 'device.removed', subjectOf(device), { label: device.label, agentToo: last });
      await operations.removeDevice(device.id, audit);
      const oldLabels = [...tables.oldLabels.values()].filter((row) => row.deviceId === device.id).map((row) => row.label);
      const keys = tables.keysOfDevice(device.id).map((row) => row.id);
      tables.devices.publish({ removed: [device.id] });
      if (keys.length > 0) tables.deviceKeys.publish({ removed: keys });
      if (tables.deviceNotes.get(device.id)) tables.deviceNotes.publish({ removed: [device.id] });
      if (oldLabels.length > 0) tables.oldLabels.publish({ removed: oldLabels });
      if (last) {
        const certificates = [...tables.agentCertificates.values()].filter((row) => row.agentId === agentId && row.revokedAt === null);
        tables.agentCertificates.publish({ put: certificates.map((row) => ({ ...row, revokedAt: audit.at })) });
        tables.agents.publish({ removed: [agentId] });
        tables.agentNotes.publish({ removed: [agentId] });
        const doors = doorsOfAgent(tables, agentId);
        if (doors.length > 0) tables.siteDoors.publish({ removed: doors });
        room.live.closeLink(agentId, 'its last device was removed');
      }
      cutVisits(room, (visit) => visit.deviceId === device.id, 'the device was removed');
    },
    async setFingerprint(asked: Anyone, text: string, portText: string, fingerprint: string | null): Promise<Device> {
      const device = deviceFor(room, asked, text, 'administer', "decide about this device's certificate");
      const ports = device.ports.filter((each) => String(each.number) === portText);
      const port = ports.find((each) => each.kind === 'https') ?? ports[0];
      if (!port) throw new Fault('not-found', `this device has no port ${portText.slice(0, 10)}`);
      if (port.kind !== 'https') throw new Fault('bad-input', `port ${port.number} is ${port.kind}: only https shows a certificate`);
      const changed: Device = { ...device, ports: device.ports.map((each) => (each === port ? { ...each, fingerprint } : each)) };
      const what = fingerprint === null ? 'device.certificate-forgotten' : 'device.certificate-accepted';
      await operations.changeDevice(changed, auditOf(room, asked, what, subjectOf(device), { port: port.number, before: port.fingerprint, after: fingerprint, ...(fingerprint === null ? {} : { first: false }) }));
      tables.devices.publish({ put: [changed] });
      return changed;
    },
  };
}

type Names = 'listDevices' | 'getDevice' | 'addDevice' | 'changeDevice' | 'lockDevice' | 'unlockDevice' | 'removeDevice' | 'acceptFingerprint' | 'forgetFingerprint' | 'createHandOver';

export function buildDeviceActs(room: Room): Acts<Names> {
  const { tables, live } = room;
  const changes = buildDeviceChanges(room);
  const order = { keyOf: byName };
  const devices = keepSorted(tables.devices, order);
  const view = (asked: Anyone, device: Device): DeviceView => viewDevice(room, asked, room.addresses(asked), device, countVisits(room));
  const inTurn = (asked: Anyone, run: () => Promise<Device>) => room.inTurn(async () => view(asked, await run()));
  return {
    listDevices(asked) {
      const { siteId, agentId, state } = asked.query;
      const search = asked.query.search?.toLowerCase() ?? '';
      const stateOf = (device: Device) => (device.locked ? 'locked' : live.linkOf(device.agentId) ? 'online' : 'offline');
      const wanted = (device: Device) =>
        (siteId === undefined || device.siteId === siteId) && (agentId === undefined || device.agentId === agentId) && may(asked, 'see', subjectOfDevice(device)) && (search === '' || matches(device, search)) && (state === undefined || stateOf(device) === state);
      const addresses = room.addresses(asked);
      const visits = countVisits(room);
      return pageOf(devices(), order, asked.query, wanted, (device) => viewDevice(room, asked, addresses, device, visits));
    },
    getDevice: (asked) => view(asked, deviceFor(room, asked, asked.params.device, 'see', 'see this device')),
    addDevice: (asked) => inTurn(asked, () => changes.add(asked)),
    changeDevice: (asked) => inTurn(asked, () => changes.change(asked)),
    lockDevice: (asked) => inTurn(asked, () => changes.setLocked(asked, asked.params.device, true)),
    unlockDevice: (asked) => inTurn(asked, () => changes.setLocked(asked, asked.params.device, false)),
    removeDevice: (asked) =>
      room.inTurn(async () => {
        await changes.remove(asked, asked.params.device);
        return {};
      }),
    acceptFingerprint: (asked) => inTurn(asked, () => changes.setFingerprint(asked, asked.params.device, asked.params.port, asked.body.fingerprint)),
    forgetFingerprint: (asked) => inTurn(asked, () => changes.setFingerprint(asked, asked.params.device, asked.params.port, null)),
    async createHandOver(asked) {
      const { host, port = null, path, asked: digest = null } = asked.body;
      const part = room.addresses(asked).deviceHost(host);
      const named = part === undefined ? undefined : parseDeviceHost(part);
      if (!named) throw new Fault('bad-input', `"${host}" is not the name of a device here`);
      const device = deviceFor(room, asked, named.label, 'open', 'open this device');
      if (device.locked) throw new Fault('forbidden', 'this device is locked', { remedy: 'somebody who administers it can unlock it' });
      return await room.issueHandOver({ visitor: visitorOf(asked), device, host, port, secure: asked.secure, path, asked: digest, from: asked.from });
    },
  };
}
