// Who has which virtual address: gives them, pins them, takes them back. The row is in the store before anybody uses the address.
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { InTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import { addressRestMs, buildAddressPool, chooseAddress, type AddressPool } from './address-pool.ts';
import type { Operations } from './operations.ts';
import type { ReleasedAddress, VirtualAddress } from './place-rows.ts';
import type { Actor, AuditEntry, Device } from './rows.ts';
import type { Tables } from './tables.ts';

export interface AddressBookOptions {
  readonly tables: Pick<Tables, 'devices' | 'virtualAddresses' | 'releasedAddresses' | 'virtualAddressAt'>;
  readonly operations: Pick<Operations, 'changeVirtualAddresses'>;
  readonly inTurn: InTurn;
  readonly clock: Clock;
  readonly limits: Pick<Limits, 'virtualAddressesMax' | 'releasedAddressesMax' | 'addressesPerStep'>;
  /** As configured; empty: there is no pool. */
  networks(): readonly string[];
  /** Nobody may have it: this machine's own addresses, and those that job sources name. */
  isReserved(address: string): boolean;
}

export interface AddressBook {
  /** As it is configured now. */
  pool(): AddressPool;
  /** The address that is used for a device; null: it has none yet, or one that the pool does not have any more. */
  addressOf(deviceId: Id): string | null;
  /** Gives one if need be. Faults: `not-found`, `unsupported` (no pool), `too-many` (none is left), `conflict` (pinned outside of the pool), `busy`. */
  ensure(deviceId: Id): Promise<string>;
  /** The same for many, in few transactions. Resolves how many stay without: pinned elsewhere, or none was left. */
  ensureAll(deviceIds: Iterable<Id>): Promise<{ readonly given: number; readonly without: readonly Id[] }>;
  /** A person's choice; `null`: the pool's choice, and no longer pinned. Faults: `bad-input`, `conflict` (somebody has it), `unsupported`, `too-many`. */
  set(device: Device, address: string | null, actor: Actor): Promise<VirtualAddress>;
  /** Fault `not-found`: it has none. */
  release(device: Device, actor: Actor): Promise<void>;
  readonly counts: { readonly used: number; readonly outside: number; readonly resting: number };
  close(): void;
}

/** What is reserved is not watched: it is asked again after so long. */
const fullForMs = 1_000;
const byGateway: Actor = { kind: 'gateway', id: null, name: 'postern', from: '' };

export function buildAddressBook(options: AddressBookOptions): AddressBook {
  const { tables, operations, inTurn, clock, limits } = options;
  let networks: readonly string[] = [];
  let pool = buildAddressPool([]);
  /** Asked for each connection: parsing the address each time would cost more than the question. */
  const ready = new Map<Id, string>();
  const isReady = ({ address }: VirtualAddress) => pool.usable(address) === address;
  const poolNow = (): AddressPool => {
    const now = options.networks();
    if (now === networks) return pool;
    networks = now;
    pool = buildAddressPool(now);
    ready.clear();
    for (const row of tables.virtualAddresses.values()) if (isReady(row)) ready.set(row.deviceId, row.address);
    return pool;
  };
  const unwatch = [
    tables.virtualAddresses.watch(({ put, removed }) => {
      for (const id of removed) ready.delete(id);
      for (const row of put) {
        if (isReady(row)) ready.set(row.deviceId, row.address);
        else ready.delete(row.deviceId);
      }
    }),
    // With the device its row went, and the store keeps who had it.
    tables.devices.watch(({ removed }) => {
      const gone = removed.flatMap((id) => tables.virtualAddresses.get(id) ?? []);
      if (gone.length === 0) return;
      tables.releasedAddresses.publish({ put: gone.map(releaseOf) });
      tables.virtualAddresses.publish({ removed: gone.map((row) => row.deviceId) });
    }),
  ];
  const releaseOf = ({ address, customerId, deviceId }: VirtualAddress): ReleasedAddress => ({ address, customerId, deviceId, releasedAt: clock.nowMs() });

  let formerAt = -1;
  let formers = new Map<Id, string>();
  const formerOf = (deviceId: Id): string | null => {
    if (formerAt !== tables.releasedAddresses.version) {
      formers = new Map(Array.from(tables.releasedAddresses.values()).sort((a, b) => a.releasedAt - b.releasedAt).map((row) => [row.deviceId, row.address]));
      formerAt = tables.releasedAddresses.version;
    }
    return formers.get(deviceId) ?? null;
  };
  /** Releases are kept for their time, and only so many. */
  const forgetBefore = (): number => {
    const usual = clock.nowMs() - addressRestMs;
    if (tables.releasedAddresses.size < limits.releasedAddressesMax) return usual;
    const times = Array.from(tables.releasedAddresses.values(), (row) => row.releasedAt).sort((a, b) => b - a);
    return Math.max(usual, times[Math.floor(limits.releasedAddressesMax / 2)] ?? usual);
  };
  const audit = (device: Device, actor: Actor, what: 'address.given' | 'address.pinned' | 'address.released', before: string | null, address: string | null): AuditEntry => ({
    at: clock.nowMs(), customerId: device.customerId, actor, what, subjectKind: 'device', subjectId: device.id, subjectName: device.name, detail: { before, address },
  });
  const commit = async (put: readonly VirtualAddress[], removed: readonly Id[], audits: readonly AuditEntry[]): Promise<void> => {
    const before = [...put.map((row) => row.deviceId), ...removed].flatMap((id) => tables.virtualAddresses.get(id) ?? []);
    const isKept = new Set(put.map((row) => row.address));
    const released = before.filter((row) => !isKept.has(row.address)).map(releaseOf);
    const bound = forgetBefore();
    await operations.changeVirtualAddresses({ put, removed, released, forgetBefore: bound }, audits);
    const forgotten = Array.from(tables.releasedAddresses.values()).filter((row) => row.releasedAt < bound || isKept.has(row.address));
    tables.releasedAddresses.publish({ put: released, removed: forgotten.map((row) => row.address) });
    tables.virtualAddresses.publish({ put, removed });
  };
  const mustHavePool = (): AddressPool => {
    const now = poolNow();
    if (now.networks.length === 0) throw new Fault('unsupported', 'there is no address pool', { remedy: 'Add "addressPool" with its "networks" to the configuration; 127.72.0.0/16 does for a server on this machine.' });
    return now;
  };
  /** Nothing was left then, and nothing has changed since: a device that comes again and again must not have all of a full pool looked at. */
  let fullSince: { readonly pool: AddressPool; readonly version: number; readonly planned: number; readonly atMs: number } | null = null;
  /** `planned`: chosen already in the same step. */
  const choose = (device: Device, planned: ReadonlySet<string>): string | null => {
    const version = tables.virtualAddresses.version + tables.releasedAddresses.version;
    if (fullSince !== null && fullSince.pool === pool && fullSince.version === version && fullSince.planned <= planned.size && clock.monoMs() - fullSince.atMs < fullForMs) return null;
    const known = {
      isTaken: (address: string) => planned.has(address) || tables.virtualAddressAt(address) !== undefined || options.isReserved(address),
      releaseOf: (address: string) => tables.releasedAddresses.get(address) ?? null,
      formerOf,
      released: () => tables.releasedAddresses.values(),
    };
    const chosen = chooseAddress(pool, { customerId: device.customerId, siteId: device.siteId, deviceId: device.id }, known, clock.nowMs());
    fullSince = chosen === null ? { pool, version, planned: planned.size, atMs: clock.monoMs() } : null;
    return chosen;
  };
  const noneLeft = () => new Fault('too-many', tables.virtualAddresses.size >= limits.virtualAddressesMax ? `${limits.virtualAddressesMax} devices have virtual addresses already` : 'the address pool has no address left', { remedy: 'Add a network to "addressPool", or release addresses: postern addresses lists them.' });

  const give = async (ids: readonly Id[]): Promise<{ given: number; without: Id[] }> => {
    const put: VirtualAddress[] = [];
    const audits: AuditEntry[] = [];
    const without: Id[] = [];
    const planned = new Set<string>();
    for (const id of ids) {
      const device = tables.devices.get(id);
      if (!device || book.addressOf(id) !== null) continue;
      const row = tables.virtualAddresses.get(id);
      const isFull = !row && tables.virtualAddresses.size + put.length >= limits.virtualAddressesMax;
      const address = row?.pinned || isFull ? null : choose(device, planned);
      if (address === null) {
        without.push(id);
        continue;
      }
      planned.add(address);
      put.push({ deviceId: id, customerId: device.customerId, address, pinned: false, createdAt: clock.nowMs() });
      audits.push(audit(device, byGateway, 'address.given', row?.address ?? null, address));
    }
    if (put.length > 0) await commit(put, [], audits);
    return { given: put.length, without };
  };

  const book: AddressBook = {
    pool: poolNow,
    addressOf(deviceId) {
      poolNow();
      return ready.get(deviceId) ?? null;
    },
    async ensure(deviceId) {
      const standing = book.addressOf(deviceId);
      if (standing !== null) return standing;
      mustHavePool();
      return inTurn(async () => {
        if (!tables.devices.get(deviceId)) throw new Fault('not-found', 'there is no such device, or not any more');
        await give([deviceId]);
        const address = book.addressOf(deviceId);
        if (address !== null) return address;
        const row = tables.virtualAddresses.get(deviceId);
        if (row) throw new Fault('conflict', `the device is pinned to ${row.address}, which the address pool does not have any more`, { remedy: 'Pin it to another one, or release it: postern address DEVICE release' });
        throw noneLeft();
      });
    },
    async ensureAll(deviceIds) {
      const wanted = [...new Set(deviceIds)].filter((id) => book.addressOf(id) === null);
      let given = 0;
      const without: Id[] = [];
      if (poolNow().networks.length === 0) return { given, without: wanted };
      for (let at = 0; at < wanted.length; at += limits.addressesPerStep) {
        const step = await inTurn(() => give(wanted.slice(at, at + limits.addressesPerStep)));
        given += step.given;
        without.push(...step.without);
      }
      return { given, without };
    },
    set: (device, wanted, actor) =>
      inTurn(async () => {
        const now = mustHavePool();
        const before = tables.virtualAddresses.get(device.id);
        const isOwn = (address: string) => before?.address === address;
        let address: string | null;
        if (wanted === null) address = before && isReady(before) ? before.address : choose(device, new Set());
        else {
          address = now.usable(wanted);
          if (address === null) throw new Fault('bad-input', `${wanted.slice(0, 60)} is no address that the pool may give`, { remedy: `Its networks are ${now.networks.map((each) => each.text).join(', ')}; their first addresses, and those that end in 0 or 255, are left out.`, detail: { problems: [{ path: 'address', message: 'is not in the pool' }] } });
          const other = tables.virtualAddressAt(address);
          // Another customer's device has no name here.
          const whose = other?.customerId === device.customerId ? tables.devices.get(other.deviceId)?.name : undefined;
          if (other && !isOwn(address)) throw new Fault('conflict', `${whose ?? 'another device'} has ${address}`, { remedy: 'Choose another one, or release it there first.', detail: { problems: [{ path: 'address', message: 'is taken' }] } });
          if (!isOwn(address) && options.isReserved(address)) throw new Fault('conflict', `${address} belongs to this machine, or a job source names it`, { remedy: 'Choose another one.' });
        }
        if (address === null || (!before && tables.virtualAddresses.size >= limits.virtualAddressesMax)) throw noneLeft();
        const row: VirtualAddress = { deviceId: device.id, customerId: device.customerId, address, pinned: wanted !== null, createdAt: before && isOwn(address) ? before.createdAt : clock.nowMs() };
        if (before && isOwn(address) && before.pinned === row.pinned) return before;
        await commit([row], [], [audit(device, actor, row.pinned ? 'address.pinned' : 'address.given', before?.address ?? null, address)]);
        return row;
      }),
    release: (device, actor) =>
      inTurn(async () => {
        const row = tables.virtualAddresses.get(device.id);
        if (!row) throw new Fault('not-found', `${device.name} has no virtual address`);
        await commit([], [device.id], [audit(device, actor, 'address.released', row.address, null)]);
      }),
    get counts() {
      poolNow();
      return { used: ready.size, outside: tables.virtualAddresses.size - ready.size, resting: tables.releasedAddresses.size };
    },
    close: () => unwatch.forEach((stop) => stop()),
  };
  return book;
}
