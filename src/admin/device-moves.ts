// Devices from one gateway to another, with their keys, so that both know them: where a redirect may send a device, it must be able to prove itself. Keys leave
// this process sealed with a passphrase alone.
import { exportedDevices, type ExportedDevice } from '#api/identity-shapes.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { digestOf } from '#base/secret.ts';
import { keyTextRefusal, openKey, sealKey } from '#model/device-keys.ts';
import type { IdentifiedDevice } from '#model/identity-operations.ts';
import { labelTaken, makeLabel } from '#model/labels.ts';
import { mayAnywhere, subjectOfDevice } from '#model/rights.ts';
import type { AuditEntry, Device, DeviceKey } from '#model/rows.ts';
import { buildSealer, buildUnsealer, sealedMagic } from '#wire/sealed.ts';
import { auditOf, may, mustMay, type Acts, type Asked } from './asked.ts';
import { siteFor, subjectOf } from './devices.ts';
import { byId, keepSorted, pageOf } from './pages.ts';
import { defaultCustomer, type Room } from './room.ts';

type Names = 'exportDevices' | 'importDevices';

function exported(room: Room, device: Device): ExportedDevice {
  const keys = room.tables.keysOfDevice(device.id).map(({ kind, state, digest, sealed, createdAt, usedAt }) => ({ kind, state, digest, text: sealed === null ? null : openKey(sealed, room.sealingKey, device.id), createdAt, usedAt }));
  return { customer: room.tables.customers.get(device.customerId)?.key ?? '', serial: device.serial!, name: device.name, keys };
}

function seal(room: Room, devices: readonly ExportedDevice[], passphrase: string): string {
  const sealer = buildSealer(passphrase, room.random);
  return Buffer.concat([sealer.head, sealer.push(Buffer.from(JSON.stringify({ format: 'postern devices 1', devices }))), sealer.finish()]).toString('base64');
}

/** scrypt with 128 MiB, about a quarter of a second; ours take half of that. */
const log2CostMax = 17;

/** Faults: `forbidden` (another passphrase), `bad-input`. */
function unseal(sealed: string, passphrase: string): ExportedDevice[] {
  const bytes = Buffer.from(sealed, 'base64');
  if ((bytes[sealedMagic.length] ?? 0) > log2CostMax) throw new Fault('bad-input', 'this file asks for more work than ours do');
  const unsealer = buildUnsealer(passphrase);
  const text = unsealer.push(bytes);
  unsealer.finish();
  try {
    return exportedDevices.parse(JSON.parse(text.toString())).devices;
  } catch (cause) {
    // Its text may hold keys.
    throw new Fault('bad-input', 'this is sealed, and is no list of devices', { detail: { why: cause instanceof SyntaxError ? 'not JSON' : 'another shape' } });
  }
}

/** Why a key in a file is none; null when it is one. */
function keyRefusal({ kind, digest, text }: ExportedDevice['keys'][number]): string | null {
  if (kind === 'certificate') return text === null ? null : 'a certificate has no text';
  if (text === null) return null;
  return keyTextRefusal(text) ?? (digestOf(text) === digest ? null : 'a key and its digest do not belong together');
}

interface Plan {
  readonly added: IdentifiedDevice[];
  readonly put: DeviceKey[];
  readonly removed: Id[];
  readonly changed: Device[];
  readonly audits: AuditEntry[];
  readonly refused: { serial: string; why: string }[];
  same: number;
}

function buildPlanning(room: Room, asked: Asked<'importDevices'>) {
  const { tables, clock, limits } = room;
  const plan: Plan = { added: [], put: [], removed: [], changed: [], audits: [], refused: [], same: 0 };
  const labels = new Set<string>();
  const seen = new Set<string>();
  const now = clock.nowMs();

  const keysFor = (device: Pick<Device, 'id' | 'customerId'>, given: ExportedDevice['keys']): DeviceKey[] =>
    given.map(({ kind, state, digest, text, createdAt, usedAt }) => ({ id: room.newId(), customerId: device.customerId, deviceId: device.id, kind, digest, sealed: text === null ? null : sealKey(text, room.sealingKey, device.id, room.random), state, createdAt, usedAt }));

  const add = (customerId: Id, { serial, name, keys }: ExportedDevice) => {
    const site = siteFor(room, asked, asked.body.siteId, customerId);
    mustMay(asked, 'administer', { customerId, siteId: site.id }, 'add devices at this site');
    if (tables.waitingBySerial(customerId, serial)) throw new Fault('conflict', 'a device with this serial waits to be approved');
    if (tables.devices.size + plan.added.length >= limits.devicesMax) throw new Fault('too-many', `the gateway has ${limits.devicesMax} devices already`);
    const label = makeLabel(name, (text) => labels.has(text) || labelTaken(tables, text, now));
    labels.add(label);
    const device: Device = { id: room.newId(), customerId, siteId: site.id, agentId: null, serial, label, name, host: '', ports: [], hostHeader: 'own', locked: false, createdAt: now };
    plan.added.push({ device, keys: keysFor(device, keys) });
    plan.audits.push(auditOf(room, asked, 'device.imported', subjectOf(device), { label, serial, keys: keys.length }));
  };

  /** Of each kind the newer keys stay: both gateways may have made one. */
  const change = (device: Device, { keys }: ExportedDevice) => {
    mustMay(asked, 'administer', subjectOfDevice(device), 'change this device');
    const own = tables.keysOfDevice(device.id);
    const before = plan.put.length;
    for (const kind of ['key', 'certificate'] as const) {
      const [ours, theirs] = [own.filter((each) => each.kind === kind), keys.filter((each) => each.kind === kind)];
      const newest = (rows: readonly { readonly createdAt: number }[]) => Math.max(-1, ...rows.map((each) => each.createdAt));
      const isSame = theirs.every((each) => ours.some((row) => row.digest === each.digest));
      if (isSame || newest(theirs) <= newest(ours)) continue;
      plan.removed.push(...ours.map((row) => row.id));
      plan.put.push(...keysFor(device, theirs));
    }
    if (plan.put.length === before) return void (plan.same += 1);
    plan.changed.push(device);
    plan.audits.push(auditOf(room, asked, 'device.key-imported', subjectOf(device), { keys: plan.put.length - before }));
  };

  const look = (each: ExportedDevice) => {
    const customer = tables.customerByKey(each.customer);
    if (!customer || !may(asked, 'see', { customerId: customer.id, ...(asked.body.siteId === undefined ? {} : { siteId: asked.body.siteId }) })) throw new Fault('not-found', `there is no customer "${each.customer}" here`);
    for (const key of each.keys) {
      const why = keyRefusal(key);
      if (why) throw new Fault('bad-input', why);
    }
    for (const kind of ['key', 'certificate']) for (const state of ['current', 'next']) if (each.keys.filter((key) => key.kind === kind && key.state === state).length > 1) throw new Fault('bad-input', `more than one ${state} ${kind}`);
    const place = `${customer.id} ${each.serial}`;
    if (seen.has(place)) throw new Fault('bad-input', 'is there twice');
    seen.add(place);
    const device = tables.deviceBySerial(customer.id, each.serial);
    if (device) change(device, each);
    else add(customer.id, each);
  };
  return { plan, look };
}

export function buildDeviceMoveActs(room: Room): Acts<Names> {
  const { tables, operations, limits } = room;
  const order = { keyOf: byId };
  const devices = keepSorted(tables.devices, order);
  return {
    async exportDevices(asked) {
      const { customerId, cursor } = asked.query;
      const wanted = (device: Device) => device.serial !== null && (customerId === undefined || device.customerId === customerId) && may(asked, 'administer', { customerId: device.customerId });
      const customers = [...tables.customers.values()].filter((each) => customerId === undefined || each.id === customerId);
      if (!customers.some((each) => may(asked, 'administer', { customerId: each.id }))) throw new Fault('forbidden', 'you may not take keys of devices away', { remedy: 'ask somebody who administers the customer' });
      const { items, next } = pageOf(devices(), order, { cursor, limit: Math.min(asked.query.limit, limits.devicesPerImportMax) }, wanted, (device) => exported(room, device));
      const sealed = seal(room, items, asked.body.passphrase);
      // In the audit before it is in anybody's hands.
      const owner = customers[0] ?? defaultCustomer(room);
      await operations.addAudit([auditOf(room, asked, 'devices.exported', { customerId: owner.id, kind: 'customer', id: owner.id, name: owner.name }, { devices: items.length, keys: items.reduce((sum, each) => sum + each.keys.length, 0) })]);
      return { sealed, devices: items.length, next };
    },
    importDevices: (asked) =>
      room.inTurn(async () => {
        // Before anything is computed: what a file asks of us by its head is work.
        if (!mayAnywhere(asked.rights, 'administer')) throw new Fault('forbidden', 'you may not add devices', { remedy: 'ask somebody who administers the customer' });
        const { plan, look } = buildPlanning(room, asked);
        for (const each of unseal(asked.body.sealed, asked.body.passphrase)) {
          try {
            look(each);
          } catch (thrown) {
            if (!(thrown instanceof Fault)) throw thrown;
            plan.refused.push({ serial: each.serial, why: reasonOf(thrown) });
          }
        }
        const { added, put, removed, changed, audits, refused, same } = plan;
        if (audits.length > 0) await operations.addDevices(added, { put, removed }, audits);
        const labels = added.map(({ device }) => device.label).filter((label) => tables.oldLabel(label));
        if (labels.length > 0) tables.oldLabels.publish({ removed: labels });
        if (added.length > 0) tables.devices.publish({ put: added.map(({ device }) => device) });
        const keys = [...put, ...added.flatMap((each) => each.keys)];
        if (keys.length + removed.length > 0) tables.deviceKeys.publish({ put: keys, removed });
        return { added: added.length, changed: changed.length, same, refused };
      }),
  };
}
