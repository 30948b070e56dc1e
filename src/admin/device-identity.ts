// Who devices are that push: their keys, and serials that wait to be approved or refused. A waiting one belongs to no site yet, so whoever decides about it administers its customer.
import type { DeviceKeyView, WaitingDeviceView } from '#api/identity-shapes.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { digestOf } from '#base/secret.ts';
import { makeKeyText, readCertificateDigest, sealKey, withNext, type KeyChange } from '#model/device-keys.ts';
import { strangersOf } from '#model/feed-rules.ts';
import { labelTaken, makeLabel } from '#model/labels.ts';
import type { Device, DeviceKey, WaitingDevice } from '#model/rows.ts';
import { keyOfWaiting } from '#model/waiting-devices.ts';
import { auditOf, may, mustMay, type Acts, type Anyone, type Asked } from './asked.ts';
import { forgetProofs } from './device-tokens.ts';
import { deviceFor, siteFor, subjectOf } from './devices.ts';
import { byId, keepSorted, pageOf } from './pages.ts';
import type { Room } from './room.ts';
import { countVisits, viewDevice } from './views.ts';

type KeyNames = 'listDeviceKeys' | 'makeDeviceKey' | 'removeDeviceKey';
type WaitingNames = 'listWaitingDevices' | 'approveWaitingDevice' | 'refuseWaitingDevice' | 'approveWaitingDevices' | 'refuseWaitingDevices';

const digestShown = 12;

function viewKey({ id, kind, state, digest, createdAt, usedAt }: DeviceKey): DeviceKeyView {
  return { id, kind, state, digest: kind === 'certificate' ? digest : digest.slice(0, digestShown), createdAt, usedAt };
}

/** A key of ours: the row, and the text that is shown once. */
export function newKey(room: Pick<Room, 'random' | 'newId' | 'clock' | 'sealingKey'>, device: Pick<Device, 'id' | 'customerId'>): { readonly row: DeviceKey; readonly text: string } {
  const text = makeKeyText(room.random).reveal();
  const row: DeviceKey = { id: room.newId(), customerId: device.customerId, deviceId: device.id, kind: 'key', digest: digestOf(text), sealed: sealKey(text, room.sealingKey, device.id, room.random), state: 'next', createdAt: room.clock.nowMs(), usedAt: null };
  return { row, text };
}

const factsOf = ({ kind, digest, state }: DeviceKey) => ({ kind, state, digest: digest.slice(0, digestShown) });

export function buildDeviceKeyActs(room: Room): Acts<KeyNames> {
  const { tables, operations } = room;
  const find = (asked: Anyone & { readonly params: { readonly device: string } }) => deviceFor(room, asked, asked.params.device, 'administer', 'see or change what this device proves itself by');
  const certificateRow = (device: Device, given: string): DeviceKey => {
    const digest = readCertificateDigest(given);
    const other = [...tables.deviceKeys.values()].find((row) => row.kind === 'certificate' && row.digest === digest);
    if (other) throw new Fault('conflict', other.deviceId === device.id ? 'the device has this certificate already' : 'another device has this certificate', { remedy: 'each device has a key of its own' });
    return { id: room.newId(), customerId: device.customerId, deviceId: device.id, kind: 'certificate', digest, sealed: null, state: 'next', createdAt: room.clock.nowMs(), usedAt: null };
  };
  return {
    listDeviceKeys(asked) {
      const { id } = find(asked);
      return { items: [...tables.keysOfDevice(id)].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)).map(viewKey) };
    },
    makeDeviceKey: (asked) =>
      room.inTurn(async () => {
        const device = find(asked);
        const { certificate } = asked.body;
        const { row, text } = certificate === undefined ? newKey(room, device) : { row: certificateRow(device, certificate), text: null };
        const change = withNext(tables.keysOfDevice(device.id), row);
        await operations.changeDeviceKeys(change, auditOf(room, asked, 'device.key-added', subjectOf(device), factsOf(row)));
        // The one that it displaces may have been used for the first time just now: then it is the device's key, and stays.
        const used = change.removed.flatMap((id) => tables.deviceKeys.get(id) ?? []).filter((each) => each.state === 'current');
        if (used.length > 0) await operations.changeDeviceKeys({ put: used, removed: [] }, auditOf(room, asked, 'device.key-added', subjectOf(device), factsOf(used[0]!)));
        tables.deviceKeys.publish({ put: change.put, removed: change.removed.filter((id) => !used.some((each) => each.id === id)) });
        return { key: viewKey(row), secret: text };
      }),
    removeDeviceKey: (asked) =>
      room.inTurn(async () => {
        const device = find(asked);
        const row = tables.keysOfDevice(device.id).find((each) => each.id === asked.params.id);
        if (!row) throw new Fault('not-found', 'the device has no such key, or not any more');
        const change: KeyChange = { put: [], removed: [row.id] };
        await operations.changeDeviceKeys(change, auditOf(room, asked, 'device.key-removed', subjectOf(device), factsOf(row)));
        tables.deviceKeys.publish(change);
        if (row.kind === 'certificate') forgetProofs(room, device, 'certificate');
        return {};
      }),
  };
}

interface Wish {
  readonly name?: string | undefined;
  readonly siteId?: Id | undefined;
  readonly newKey?: boolean | undefined;
}

export function buildWaitingActs(room: Room): Acts<WaitingNames> {
  const { tables, operations, clock, limits } = room;
  const order = { keyOf: byId };
  const rows = keepSorted(tables.waitingDevices, order);
  const subject = ({ customerId }: WaitingDevice) => ({ customerId });

  const find = (asked: Anyone, id: Id): WaitingDevice => {
    const row = tables.waitingDevices.get(id);
    if (!row || !may(asked, 'see', subject(row))) throw new Fault('not-found', 'no such device waits, or not any more', { remedy: 'postern waiting lists them' });
    return row;
  };
  const view = (asked: Anyone, row: WaitingDevice): WaitingDeviceView => {
    const { id, customerId, serial, name, from, product, firstSeenAt, lastSeenAt, keyDigest, bytes } = row;
    return { id, customerId, serial, name, from, product, firstSeenAt, lastSeenAt, hasKey: keyDigest !== null, bytes, mayDecide: may(asked, 'administer', subject(row)) };
  };

  const approve = async (asked: Anyone, id: Id, wish: Wish): Promise<{ device: Device; key: string | null }> => {
    const row = find(asked, id);
    mustMay(asked, 'administer', subject(row), 'approve devices of this customer');
    const site = siteFor(room, asked, wish.siteId, row.customerId);
    if (tables.devices.size >= limits.devicesMax) throw new Fault('too-many', `the gateway has ${limits.devicesMax} devices already`);
    const other = tables.deviceBySerial(row.customerId, row.serial);
    if (other) throw new Fault('conflict', `${other.name} has the serial ${row.serial} already`, { remedy: 'refuse this one, or remove the other device first' });
    const name = wish.name ?? (row.name || row.serial.slice(0, 100));
    const label = makeLabel(name, (text) => labelTaken(tables, text, clock.nowMs()));
    const device: Device = { id: row.id, customerId: row.customerId, siteId: site.id, agentId: null, serial: row.serial, label, name, host: '', ports: [], hostHeader: 'own', locked: false, createdAt: clock.nowMs() };
    const brought = keyOfWaiting(row);
    const wantsKey = wish.newKey ?? (brought === null && !strangersOf(room.control.snapshot().config, tables.customers.get(row.customerId)?.key ?? '').keyless);
    const made = wantsKey ? newKey(room, device) : null;
    const keys = [brought, made?.row ?? null].filter((key) => key !== null);
    const audit = auditOf(room, asked, 'waiting.approved', subjectOf(device), { serial: row.serial, label, from: row.from, product: row.product, firstSeenAt: row.firstSeenAt, broughtKey: brought !== null, newKey: made !== null, quarantineBytes: row.bytes });
    await operations.approveWaitingDevices([{ device, keys, audit }]);
    if (tables.oldLabel(label)) tables.oldLabels.publish({ removed: [label] });
    // First the device: between the two a request would find neither.
    tables.devices.publish({ put: [device] });
    if (keys.length > 0) tables.deviceKeys.publish({ put: keys });
    tables.waitingDevices.publish({ removed: [row.id] });
    return { device, key: made?.text ?? null };
  };

  const refuse = async (asked: Anyone, ids: readonly Id[]): Promise<number> => {
    const chosen = ids.map((id) => find(asked, id));
    for (const row of chosen) mustMay(asked, 'administer', subject(row), 'refuse devices of this customer');
    await operations.refuseWaitingDevices(
      chosen.map((row) => ({ id: row.id, audit: auditOf(room, asked, 'waiting.refused', { customerId: row.customerId, kind: 'device', id: row.id, name: row.name || row.serial }, { serial: row.serial, from: row.from, product: row.product, quarantineBytes: row.bytes }) })),
    );
    tables.waitingDevices.publish({ removed: chosen.map((row) => row.id) });
    return chosen.length;
  };

  const shown = (asked: Anyone, device: Device) => viewDevice(room, asked, room.addresses(asked), device, countVisits(room));
  return {
    listWaitingDevices(asked) {
      const { search = '', customerId } = asked.query;
      const needle = search.trim().toLowerCase();
      const fits = (row: WaitingDevice) => [row.serial, row.name, row.from, row.product].some((text) => text.toLowerCase().includes(needle));
      return pageOf(rows(), order, asked.query, (row) => (customerId === undefined || row.customerId === customerId) && may(asked, 'see', subject(row)) && (needle === '' || fits(row)), (row) => view(asked, row));
    },
    approveWaitingDevice: (asked) =>
      room.inTurn(async () => {
        const { device, key } = await approve(asked, asked.params.id, asked.body);
        return { device: shown(asked, device), key };
      }),
    refuseWaitingDevice: (asked) =>
      room.inTurn(async () => {
        await refuse(asked, [asked.params.id]);
        return {};
      }),
    async approveWaitingDevices(asked: Asked<'approveWaitingDevices'>) {
      const items = [];
      // Each for itself: one that is gone, or whose serial is taken, stops no other.
      for (const id of new Set(asked.body.ids)) {
        const serial = tables.waitingDevices.get(id)?.serial ?? '';
        try {
          const { device, key } = await room.inTurn(() => approve(asked, id, asked.body));
          items.push({ id, serial, device: shown(asked, device), key, why: null });
        } catch (thrown) {
          if (!(thrown instanceof Fault)) throw thrown;
          items.push({ id, serial: thrown.code === 'not-found' ? '' : serial, device: null, key: null, why: reasonOf(thrown) });
        }
      }
      return { items };
    },
    refuseWaitingDevices: (asked) => room.inTurn(async () => ({ refused: await refuse(asked, [...new Set(asked.body.ids)]) })),
  };
}

