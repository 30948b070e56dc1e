// Devices that an application refused, by the code that their panel shows: an administrator says which device it is, and it may go on.
import type { UnassignedView } from '#api/source-shapes.ts';
import { canonicalAddress } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import { originKeyOf } from '#model/identity.ts';
import type { Unassigned } from '#model/origins.ts';
import { subjectOfDevice, type Subject } from '#model/rights.ts';
import type { Device } from '#model/rows.ts';
import { auditOf, may, mustMay, type Acts, type Anyone, type Asked } from './asked.ts';
import { identityOf, judgeByAddress } from './device-tokens.ts';
import { buildDeviceChanges, deviceFor, subjectOf } from './devices.ts';
import { viewMisRoute } from './site-doctor.ts';
import { pageOf, sorted } from './pages.ts';
import type { Room } from './room.ts';
import { standingSource, type SourceBook } from './sources.ts';
import { countVisits, viewDevice } from './views.ts';

type Names = 'listUnassigned' | 'assignDevice';

/** Whoever administers the place that it came from; from nowhere in particular, the gateway. */
const subjectOfEntry = ({ customerId, siteId }: Unassigned): Subject => (customerId === null ? 'gateway' : siteId === null ? { customerId } : { customerId, siteId });

export function buildUnassignedActs(room: Room, book: SourceBook): Acts<Names> {
  const { tables, operations } = room;
  const changes = buildDeviceChanges(room);
  const brief = (asked: Anyone, ids: readonly string[]) =>
    ids.flatMap((id) => {
      const device = tables.devices.get(id);
      return device && may(asked, 'see', subjectOfDevice(device)) ? [{ id, name: device.name, label: device.label }] : [];
    });
  const view = (asked: Anyone, entry: Unassigned): UnassignedView => {
    const { code, application, address, siteId, customerId, mac, userAgent, claimedSerial, state, why, firstAt, lastAt, count } = entry;
    const siteName = siteId === null ? null : (tables.sites.get(siteId)?.name ?? null);
    const misRoute = identityOf(room).misRouteOf(entry);
    // A router's or a site's public address is the reason, whatever else speaks against the device; the sentence has no other device's name in it.
    const said = misRoute !== null && (misRoute.code === 'HP-1' || misRoute.code === 'HP-2') ? `${misRoute.verdict}; ${misRoute.remedy ?? ''}` : why;
    return { code, application, address, siteId, siteName, customerId, mac, userAgent, claimedSerial, state, why: said, misRoute: misRoute && viewMisRoute(misRoute), device: brief(asked, entry.deviceId === null ? [] : [entry.deviceId])[0] ?? null, candidates: brief(asked, entry.conflict), firstAt, lastAt, count };
  };
  const order = { keyOf: (entry: Unassigned) => `${String(entry.firstAt).padStart(16, '0')} ${entry.code}`, newestFirst: true };

  /** Who stands before the panel and reads the code out is not who it may be: the device must be of the same customer. */
  const chosen = async (asked: Asked<'assignDevice'>, entry: Unassigned): Promise<Device> => {
    const { device: named, newDevice } = asked.body;
    if ((named === undefined) === (newDevice === undefined)) throw new Fault('bad-input', 'say which device it is: "device", or "newDevice"');
    if (named !== undefined) {
      const device = deviceFor(room, asked, named, 'administer', 'say which applications this device may use');
      if (entry.customerId !== null && device.customerId !== entry.customerId) throw new Fault('conflict', `${device.name} belongs to another customer than the place that the request came from`);
      if (entry.siteId !== null && device.siteId !== entry.siteId) throw new Fault('conflict', `${device.name} belongs to another site than the door that it came through`, { remedy: 'move the device to that site first: postern sites move SITE --device DEVICE' });
      return device;
    }
    const agentId = newDevice!.agentId ?? entry.viaAgentId;
    if (agentId === null) throw new Fault('bad-input', 'say behind which agent it is: it did not come through a door', { detail: { problems: [{ path: 'newDevice.agentId', message: 'is missing' }] } });
    const agent = tables.agents.get(agentId);
    if (agent && entry.customerId !== null && agent.customerId !== entry.customerId) throw new Fault('conflict', 'that agent belongs to another customer than the place that the request came from');
    if (agent && entry.siteId !== null && agent.siteId !== entry.siteId) throw new Fault('conflict', 'that agent belongs to another site than the door that it came through');
    const body = { agentId, name: newDevice!.name, serial: newDevice!.serial, host: entry.address, ports: newDevice!.ports ?? [{ number: 80, name: '', kind: 'http' as const }], hostHeader: 'own' as const };
    return changes.add({ ...asked, params: {}, query: undefined, body });
  };

  const moveTo = async (asked: Anyone, device: Device, entry: Unassigned): Promise<Device> => {
    // What came to us directly is of the one site whose LAN has the address.
    const { egress, inside } = entry.siteId === null ? identityOf(room).known.sitesOfAddress(entry.address) : { egress: [], inside: [entry.siteId] };
    if (egress.length > 0 || inside.length !== 1 || inside[0] !== device.siteId || device.agentId === null || canonicalAddress(device.host) === entry.address) return device;
    // Another address in the LAN is another machine: that is for who administers the site.
    mustMay(asked, 'administer', { customerId: device.customerId, siteId: device.siteId }, 'let a device point at another address of its site');
    const moved = { ...device, host: entry.address };
    await operations.changeDevice(moved, auditOf(room, asked, 'device.changed', subjectOf(device), { 'host before': device.host, 'host after': entry.address, code: entry.code }));
    tables.devices.publish({ put: [moved] });
    return moved;
  };

  return {
    listUnassigned(asked) {
      const { application } = asked.query;
      const entries = sorted(identityOf(room).origins.unassigned(room.clock.nowMs()), order);
      return pageOf(entries, order, asked.query, (entry) => (application === undefined || entry.application === application) && may(asked, 'administer', subjectOfEntry(entry)), (entry) => view(asked, entry));
    },
    assignDevice: (asked) =>
      room.inTurn(async () => {
        const { origins } = identityOf(room);
        const entry = origins.byCode(asked.params.code, room.clock.nowMs());
        if (!entry || !may(asked, 'administer', subjectOfEntry(entry))) throw new Fault('not-found', 'nothing waits under this code, or not any more', { remedy: 'open the application on the panel again: codes last ten minutes' });
        const before = await chosen(asked, entry);
        const device = asked.body.moveHere ? await moveTo(asked, before, entry) : before;
        const draft = { application: entry.application, deviceId: device.id, serial: null, siteId: null, address: null, as: null, note: '' };
        const source = standingSource(room, entry.application, device) ?? (await book.save(asked, book.newRow(device.customerId, draft), 'job-source.added'));
        origins.settle(entry.code);
        origins.forget(originKeyOf({ siteId: entry.siteId, customerId: entry.customerId, address: entry.address, viaAgentId: entry.viaAgentId, mac: entry.mac }));
        const { identity } = judgeByAddress(room, device);
        return { device: viewDevice(room, asked, room.addresses(asked), device, countVisits(room)), source: book.view(asked, source, book.worldNow()), moved: device.host !== before.host, identity: { state: identity.state, why: identity.why } };
      }),
  };
}
