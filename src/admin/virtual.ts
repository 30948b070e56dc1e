// Virtual addresses over the API: the pool, who has what, a person's choice for a device.
import type { AddressPoolView, VirtualAddressView } from '#api/virtual-shapes.ts';
import { Fault } from '#base/fault.ts';
import type { VirtualAddress } from '#model/place-rows.ts';
import { subjectOfDevice } from '#model/rights.ts';
import type { Device } from '#model/rows.ts';
import { whyNotOpen } from '#net/virtual-addresses.ts';
import { actorOfAsked, may, mustMay, type Acts, type Anyone } from './asked.ts';
import type { VirtualControl } from './deps.ts';
import { deviceFor } from './devices.ts';
import { keepSorted, pageOf } from './pages.ts';
import type { Room } from './room.ts';

type Names = 'getAddressPool' | 'listVirtualAddresses' | 'getVirtualAddress' | 'setVirtualAddress' | 'releaseVirtualAddress';

const callersShown = 100;

export function buildVirtualActs(room: Room): Acts<Names> {
  const { tables } = room;
  const order = { keyOf: (row: VirtualAddress) => row.deviceId };
  const rows = keepSorted(tables.virtualAddresses, order);
  const control = (): VirtualControl => {
    if (!room.virtual) throw new Fault('unsupported', 'this gateway has no virtual addresses');
    return room.virtual;
  };
  const viewOf = (row: VirtualAddress, device: Device): VirtualAddressView => {
    const { book, doors, applicationsOf } = control();
    const { wanted, open, why, ...figures } = doors.doorsOf(device.id);
    const isOutside = book.addressOf(device.id) === null;
    const state = isOutside ? 'outside' : wanted === 0 ? 'idle' : open === wanted ? 'open' : open === 0 ? 'closed' : 'partly';
    return {
      deviceId: device.id, customerId: device.customerId, siteId: device.siteId, name: device.name, label: device.label, address: row.address, pinned: row.pinned, createdAt: row.createdAt,
      state, why: isOutside ? 'the address pool does not have this address' : device.locked ? 'the device is locked' : why, applications: [...applicationsOf(device)], ports: { wanted, open }, ...figures,
    };
  };
  return {
    async getAddressPool(asked): Promise<AddressPoolView> {
      mustMay(asked, 'see', 'gateway', 'see the address pool');
      const { book, doors, callbackPorts, callers, without, checks } = control();
      const pool = book.pool();
      const used = new Map<string, number>();
      for (const { address } of tables.virtualAddresses.values()) {
        const network = pool.networkOf(address);
        if (network !== null) used.set(network, (used.get(network) ?? 0) + 1);
      }
      const given = book.counts.used;
      const { networks, machine, unresolved } = callers();
      return {
        networks: pool.networks.map(({ text, capacity }) => ({ network: text, capacity, used: used.get(text) ?? 0 })),
        capacity: pool.capacity, used: given, free: Math.max(0, pool.capacity - given), resting: book.counts.resting, outside: book.counts.outside, without: without().size,
        ports: callbackPorts().map(({ transport, port }) => ({ transport, port })),
        callers: { networks: networks.slice(0, callersShown), machine, unresolved: [...unresolved] },
        listening: { ...doors.counts, max: room.limits.callbackSocketsMax },
        failed: doors.failed().map((each) => ({ ...each, why: whyNotOpen(each) })),
        checks: [...(await checks())],
      };
    },
    listVirtualAddresses(asked) {
      const needle = (asked.query.search ?? '').trim().toLowerCase();
      const shown = (row: VirtualAddress, anyone: Anyone): Device | undefined => {
        const device = tables.devices.get(row.deviceId);
        const fits = device && [device.name, device.label, device.serial ?? '', row.address].some((text) => text.toLowerCase().includes(needle));
        return fits && may(anyone, 'see', subjectOfDevice(device)) ? device : undefined;
      };
      return pageOf(rows(), order, asked.query, (row) => shown(row, asked) !== undefined, (row) => viewOf(row, tables.devices.get(row.deviceId)!));
    },
    getVirtualAddress(asked) {
      const device = deviceFor(room, asked, asked.params.device, 'see', 'see this device');
      const row = tables.virtualAddresses.get(device.id);
      if (!row) throw new Fault('not-found', `${device.name} has no virtual address`, { remedy: 'It gets one when an application needs it; postern address DEVICE set auto gives it one now.' });
      return viewOf(row, device);
    },
    async setVirtualAddress(asked) {
      const device = deviceFor(room, asked, asked.params.device, 'administer', "choose this device's virtual address");
      return viewOf(await control().book.set(device, asked.body.address, actorOfAsked(asked)), device);
    },
    async releaseVirtualAddress(asked) {
      const device = deviceFor(room, asked, asked.params.device, 'administer', "take this device's virtual address back");
      await control().book.release(device, actorOfAsked(asked));
      return {};
    },
  };
}
