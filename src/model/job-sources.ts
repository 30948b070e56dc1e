// Job sources: which device may use which application, and as what it appears there. Rows name a device by its id, by its serial, or by a site and
// an address in it; what of them contradicts is said before a device finds out.
import { canonicalAddress } from '#base/cidr.ts';
import type { Id } from '#base/ids.ts';
import type { Confirmation } from './identity.ts';
import type { JobSource } from './place-rows.ts';
import type { Device } from './rows.ts';
import { indexBy, type Table } from './table.ts';

/** The device that a row names: exactly one of the three. */
export type SourceDraft = Pick<JobSource, 'application' | 'deviceId' | 'serial' | 'siteId' | 'address' | 'as' | 'note'>;

/** Rows by what they name, each found with one look. */
export interface SourceLookup {
  byDevice(application: string, deviceId: Id): JobSource | undefined;
  bySerial(application: string, customerId: Id, serial: string): JobSource | undefined;
  byAddress(application: string, siteId: Id, address: string): JobSource | undefined;
}

/** What a row is, whatever else it says: one row of a customer for each. */
export function sourceKeyOf({ application, deviceId, serial, siteId, address }: SourceDraft): string {
  return deviceId !== null ? `${application} device ${deviceId}` : serial !== null ? `${application} serial ${serial}` : `${application} address ${siteId} ${address}`;
}

/** Kept in step with the table. */
export function indexSources(table: Table<JobSource>): SourceLookup {
  const byKey = indexBy(table, (row) => row.id, (row) => `${row.customerId} ${sourceKeyOf(row)}`);
  // Ids of devices and sites are unique in the gateway, so the customer is not asked for.
  const byDevice = indexBy(table, (row) => row.id, (row) => (row.deviceId === null ? undefined : sourceKeyOf(row)));
  const byAddress = indexBy(table, (row) => row.id, (row) => (row.address === null ? undefined : sourceKeyOf(row)));
  return {
    byDevice: (application, deviceId) => byDevice.get(`${application} device ${deviceId}`),
    bySerial: (application, customerId, serial) => byKey.get(`${customerId} ${application} serial ${serial}`),
    byAddress: (application, siteId, address) => byAddress.get(`${application} address ${siteId} ${address}`),
  };
}

/** The row that lets the device use the application: by itself, then by its serial, then by where it is. Never one of another customer. */
export function sourceFor(sources: SourceLookup, application: string, device: Device, origin: { readonly siteId: Id | null; readonly address: string }): JobSource | null {
  const found =
    sources.byDevice(application, device.id) ??
    (device.serial === null ? undefined : sources.bySerial(application, device.customerId, device.serial)) ??
    (origin.siteId === null || origin.siteId === device.siteId ? sources.byAddress(application, device.siteId, origin.address) : undefined);
  return found !== undefined && found.customerId === device.customerId ? found : null;
}

const noteCharsMax = 300;
// eslint-disable-next-line no-control-regex
const control = /[\x00-\x1f\x7f-\x9f\u2028\u2029]/;

/** What is wrong with a row by itself; null when nothing is. */
export function sourceProblem({ application, deviceId, serial, siteId, address, as, note }: SourceDraft): string | null {
  if (application === '' || application.length > 100 || control.test(application)) return 'the application is the name of a route';
  const named = [deviceId !== null, serial !== null, siteId !== null || address !== null].filter(Boolean).length;
  if (named !== 1) return 'a row names one device: by "device", by "serial", or by "site" and "address"';
  if (serial !== null && (serial === '' || serial.length > 128 || control.test(serial) || serial !== serial.trim())) return 'a serial has 1 to 128 characters, without blanks around it';
  if ((siteId === null) !== (address === null)) return '"site" and "address" belong together: the same address is in the networks of many sites';
  if (address !== null && canonicalAddress(address) !== address) return `"${address}" is not an address as it is usually written, like 192.0.2.50`;
  if (as !== null && canonicalAddress(as) !== as) return `"as": "${as}" is not an address as it is usually written, like 192.0.2.50`;
  return note.length > noteCharsMax || control.test(note) || note !== note.trim() ? `a note has at most ${noteCharsMax} characters, in one line and without blanks around it` : null;
}

export type ConflictKind = 'no-application' | 'no-device' | 'many-devices' | 'twice' | 'same-address' | 'as-taken' | 'as-outside-pool' | 'moved';

export interface SourceConflict {
  readonly kind: ConflictKind;
  readonly application: string;
  readonly sourceIds: readonly Id[];
  readonly deviceIds: readonly Id[];
  /** Without names: rows of several customers may be in it. */
  readonly message: string;
  readonly remedy: string;
}

/** What rows are compared with. */
export interface SourceWorld {
  deviceById(deviceId: Id): Device | undefined;
  devicesBySerial(customerId: Id, serial: string): readonly Device[];
  /** By their rows. */
  devicesAt(siteId: Id, address: string): readonly Device[];
  confirmationOf(deviceId: Id): Confirmation | null;
  virtualAddressOf(deviceId: Id): string | null;
  /** Whose virtual address it is. */
  virtualOwner(address: string): Id | null;
  /** Which address of a device the application hears of, and whether connections come from it; null: there is no such application. */
  hears(application: string): { readonly address: 'own' | 'virtual'; readonly connects: boolean } | null;
  isInPool(address: string): boolean;
}

interface Named {
  readonly source: JobSource;
  readonly devices: readonly Device[];
}

function devicesOf(source: JobSource, world: SourceWorld): readonly Device[] {
  if (source.serial !== null) return world.devicesBySerial(source.customerId, source.serial);
  if (source.siteId !== null && source.address !== null) return world.devicesAt(source.siteId, source.address);
  const device = source.deviceId === null ? undefined : world.deviceById(source.deviceId);
  return device === undefined ? [] : [device];
}

const idsOf = (rows: readonly { readonly id: Id }[]): Id[] => rows.map((row) => row.id);

function conflictOfOne({ source, devices }: Named, world: SourceWorld): SourceConflict | null {
  const { application, as, serial, address } = source;
  const say = (kind: ConflictKind, message: string, remedy: string, deviceIds: readonly Id[] = idsOf(devices)): SourceConflict => ({ kind, application, sourceIds: [source.id], deviceIds, message, remedy });
  const hears = world.hears(application);
  if (hears === null) return say('no-application', `there is no application "${application}"`, 'Remove the row, or name the route as it is called now.');
  if (devices.length === 0) {
    return say('no-device', serial !== null ? `no device has the serial ${serial}` : address !== null ? `no device of the site has the address ${address}` : 'its device is gone', 'Add the device, or remove the row.');
  }
  if (devices.length > 1) return say('many-devices', `${devices.length} devices have ${serial !== null ? `the serial ${serial}` : `the address ${address}`}`, 'Name the one that is meant, by "device".');
  const device = devices[0]!;
  if (address !== null) {
    const confirmation = world.confirmationOf(device.id);
    if (confirmation !== null && confirmation.address === address && confirmation.serial !== null && device.serial !== null && confirmation.serial !== device.serial) {
      const now = world.devicesBySerial(source.customerId, confirmation.serial);
      return say('moved', `${address} belongs to another device now: a probe read the serial ${confirmation.serial} there`, 'Name the device by its serial, or give it a reservation (DHCP).', [device.id, ...idsOf(now)]);
    }
  }
  if (as === null) return null;
  const owner = world.virtualOwner(as);
  if (owner !== null && owner !== device.id) return say('as-taken', `it appears as ${as}, which is another device's virtual address`, 'Choose another address, or leave "as" empty.');
  if (hears.connects && !world.isInPool(as)) return say('as-outside-pool', `it appears as ${as}, from which no connection can come: the address pool does not have it`, 'Choose an address of "addressPool", or leave "as" empty.');
  return null;
}

/** As what a row's device appears; null where that is not settled yet. */
function appearance({ source, devices }: Named, world: SourceWorld): string | null {
  if (source.as !== null) return source.as;
  const [device, another] = devices;
  if (device === undefined || another !== undefined) return null;
  const hears = world.hears(source.application);
  if (hears === null) return null;
  return hears.address === 'virtual' ? world.virtualAddressOf(device.id) : canonicalAddress(device.host);
}

/** What contradicts, and what leads nowhere; in no order that means anything. */
export function conflictsOf(sources: Iterable<JobSource>, world: SourceWorld): SourceConflict[] {
  const found: SourceConflict[] = [];
  const named = Array.from(sources, (source): Named => ({ source, devices: devicesOf(source, world) }));
  const byDevice = new Map<string, Named[]>();
  const byAddress = new Map<string, Named[]>();
  const put = (into: Map<string, Named[]>, key: string, each: Named) => {
    const there = into.get(key);
    if (there === undefined) into.set(key, [each]);
    else there.push(each);
  };
  for (const each of named) {
    const { application } = each.source;
    const wrong = conflictOfOne(each, world);
    if (wrong !== null) found.push(wrong);
    if (each.devices.length === 1) put(byDevice, `${application} ${each.devices[0]!.id}`, each);
    const address = appearance(each, world);
    if (address !== null) put(byAddress, `${application} ${address}`, each);
  }
  for (const rows of byDevice.values()) {
    const [{ source, devices }] = rows as [Named];
    if (rows.length > 1) found.push({ kind: 'twice', application: source.application, sourceIds: rows.map((each) => each.source.id), deviceIds: idsOf(devices), message: `${rows.length} rows are about one device`, remedy: 'Keep one of them; the one by "device" counts before the one by "serial", and that before the one by "address".' });
  }
  for (const [key, rows] of byAddress) {
    const deviceIds = [...new Set(rows.flatMap((each) => idsOf(each.devices)))];
    // One device by two rows is said already.
    if (rows.length === 1 || deviceIds.length === 1) continue;
    const { application } = rows[0]!.source;
    found.push({ kind: 'same-address', application, sourceIds: rows.map((each) => each.source.id), deviceIds, message: `${rows.length} rows appear as ${key.slice(application.length + 1)}, so the application takes them for one device`, remedy: 'Have the application hear virtual addresses, or give each row an "as" of its own.' });
  }
  return found;
}
