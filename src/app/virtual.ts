// Virtual addresses put together: who has one, what is listened to there, who may call. Follows tables and configuration by what changed.
import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { canonicalAddress, isLoopback } from '#base/cidr.ts';
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { InTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { buildNetworkSet, isInNetworks, type NetworkSet } from '#base/networks.ts';
import { buildAddressBook, type AddressBook } from '#model/address-book.ts';
import type { Config, ConfigApplication } from '#model/config.ts';
import { confirmationOf } from '#model/identity-known.ts';
import { sourceFor } from '#model/job-sources.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import type { JobSource } from '#model/place-rows.ts';
import type { Device } from '#model/rows.ts';
import type { Tables } from '#model/tables.ts';
import { buildVirtualAddresses, type CallbackDoor, type VirtualAddresses } from '#net/virtual-addresses.ts';
import type { Sweep } from '#net/sweep.ts';
import type { Hub } from '#tunnel/hub.ts';

export interface VirtualOptions {
  readonly tables: Tables;
  readonly operations: Pick<Operations, 'changeVirtualAddresses'>;
  readonly hub: Pick<Hub, 'dialDevice' | 'dialFlow'>;
  readonly inTurn: InTurn;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
  readonly limits: Limits;
  readonly sweep: Sweep;
  config(): Config;
  watchConfig(onChange: () => void): () => void;
  /** The row that lets a device use an application, by the device, its serial, or where it is. */
  sourceOf(application: string, device: Device): JobSource | null;
  sources(): Iterable<JobSource>;
  watchSources(onChange: () => void): () => void;
  /** Addresses of a name. Default: the system's resolver. */
  resolve?(host: string): Promise<readonly string[]>;
}

/** An application that hears virtual addresses. */
interface VirtualApplication extends ConfigApplication {
  readonly route: string;
  readonly host: string;
}

export interface Virtual {
  /** For each connection of a device to such an application; null: it has none yet. */
  addressOf(deviceId: Id): string | null;
  /** Gives one if need be; it is in the store when this resolves. Faults as of the book. */
  ensure(deviceId: Id): Promise<string>;
  readonly book: AddressBook;
  readonly doors: Pick<VirtualAddresses, 'counts' | 'failed' | 'doorsOf' | 'beyond' | 'retry'>;
  /** Names of the applications for which a device is listened for. */
  applicationsOf(device: Device): readonly string[];
  /** Ports at which devices are called back, each once. */
  callbackPorts(): readonly Pick<CallbackDoor, 'transport' | 'port'>[];
  /** Who may call; `machine`: this one may. */
  callers(): { readonly networks: readonly string[]; readonly machine: boolean; readonly unresolved: readonly string[] };
  /** Devices that should have an address and have none: none was left, or theirs is pinned outside of the pool. */
  without(): ReadonlySet<Id>;
  /** Ends what runs, too. The same one, however often it is asked. */
  close(): Promise<void>;
}

/** Job sources as the tables have them. */
export function sourcesOf({ jobSources, sources }: Tables): Pick<VirtualOptions, 'sourceOf' | 'sources' | 'watchSources'> {
  return {
    sourceOf: (application, device) => sourceFor(sources, application, device, { siteId: device.siteId, address: device.host }),
    sources: () => jobSources.values(),
    watchSources: (onChange) => jobSources.watch(onChange),
  };
}

const syncAfterMs = 50;
const hostsMax = 200;

const applicationsIn = (config: Config): VirtualApplication[] =>
  config.routes.flatMap(({ name, application, target }) =>
    application && (application.tell === 'virtual' || application.address === 'virtual') && (target.kind === 'tcp' || target.kind === 'tls') ? [{ ...application, route: name, host: target.host }] : [],
  );

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => list ?? []).flatMap((each) => canonicalAddress(each.address) ?? []);
}

interface Callers {
  readonly networks: readonly string[];
  readonly set: NetworkSet;
  readonly machine: boolean;
  readonly own: ReadonlySet<string>;
  readonly unresolved: readonly string[];
}

const nobody: Callers = { networks: [], set: buildNetworkSet([]), machine: false, own: new Set(), unresolved: [] };

/** Names of servers are asked again and again; one that cannot be resolved keeps what it had. */
export function keepCallers({ config, clock, limits, resolve = resolveHere }: Pick<VirtualOptions, 'config' | 'clock' | 'limits' | 'resolve'>) {
  let callers = nobody;
  const resolved = new Map<string, readonly string[]>();
  let turn = 0;
  const refresh = async (): Promise<void> => {
    const mine = ++turn;
    const now = config();
    const { addressPool } = now;
    const applications = applicationsIn(now);
    const own = new Set(ownAddresses());
    if (!addressPool || applications.length === 0) return void (callers = { ...nobody, own });
    const listed = addressPool.callers;
    if (listed) {
      const set = buildNetworkSet(listed);
      callers = { networks: listed, set, machine: isInNetworks(set, '127.0.0.1') || isInNetworks(set, '::1'), own, unresolved: [] };
      return;
    }
    const hosts = [...new Set(applications.map((each) => each.host))].slice(0, hostsMax);
    for (const host of resolved.keys()) if (!hosts.includes(host)) resolved.delete(host);
    for (const host of hosts) {
      const literal = canonicalAddress(host);
      if (literal !== null) resolved.set(host, [literal]);
    }
    const publish = () => {
      const networks = [...new Set([...resolved.values()].flat())].slice(0, limits.callbackCallersMax);
      callers = { networks, set: buildNetworkSet(networks), machine: true, own, unresolved: hosts.filter((host) => !resolved.has(host)) };
    };
    publish();
    // A resolver that does not answer keeps nobody waiting but the servers that have only a name.
    const names = hosts.filter((host) => canonicalAddress(host) === null);
    if (names.length === 0) return;
    await Promise.all(
      names.map(async (host) => {
        const found = await resolve(host).catch(() => []);
        if (found.length > 0 && mine === turn) resolved.set(host, found);
      }),
    );
    if (mine === turn) publish();
  };
  const timer = clock.every(limits.callbackCallersEveryMs, () => void refresh());
  return {
    now: () => callers,
    refresh,
    /**
     * A call of this machine to an address that is routed here as a whole comes from that address itself. `servers`: of the applications that
     * call the device back at this port: where nobody is listed, the server of one application is no way to the devices of another's.
     */
    judge(from: string, called: string, servers: () => readonly string[]): string | null {
      const isMachine = from === called || isLoopback(from) || callers.own.has(from);
      if (isMachine && callers.machine) return null;
      if (config().addressPool?.callers ? isInNetworks(callers.set, from) : servers().some((host) => resolved.get(host)?.includes(from))) return null;
      return 'the caller is no server of an application that calls this device back, and not among addressPool.callers';
    },
    close: () => timer.cancel(),
  };
}

async function resolveHere(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).flatMap((each) => canonicalAddress(each.address) ?? []);
}

export function openVirtual(options: VirtualOptions): Virtual {
  const { tables, hub, clock, log, journal, limits } = options;
  let applications: readonly VirtualApplication[] = [];
  /** Addresses that job sources name themselves. */
  let named: ReadonlySet<string> = new Set();
  let without: ReadonlySet<Id> = new Set();
  const noNetworks: readonly string[] = [];
  const callers = keepCallers(options);
  const book = buildAddressBook({
    tables, operations: options.operations, inTurn: options.inTurn, clock, limits,
    networks: () => options.config().addressPool?.networks ?? noNetworks,
    isReserved: (address) => named.has(address) || callers.now().own.has(address),
  });
  const device = (door: CallbackDoor): Device => tables.devices.get(door.deviceId)!;
  /** What is meant for it would come to another: the address of its row has moved (DHCP), and nobody has mended the row yet. */
  const takenWhy = (deviceId: Id): string | null => {
    const profile = tables.deviceProfiles.get(deviceId);
    if (profile?.trust !== 'different') return null;
    const { host } = tables.devices.get(deviceId) ?? {};
    const there = confirmationOf(profile);
    return host !== undefined && there !== null && there.address === (canonicalAddress(host) ?? host) ? `another device answers at ${host}, the address of this one; give each the address that it has now` : null;
  };
  const doors = buildVirtualAddresses({
    clock, limits, journal,
    sweep: options.sweep,
    judge: (from, door) => takenWhy(door.deviceId) ?? callers.judge(from, door.address, () => serversOf(door)),
    dialTcp: (door, by) => hub.dialDevice(device(door).agentId, device(door).host, door.to, by),
    dialFlow: (door, by) => hub.dialFlow(device(door).agentId, device(door).host, door.to, by),
    networkOf: (address) => book.pool().networkOf(address) ?? address,
  });

  /** Why nobody is called back there; null: somebody is. */
  const shutWhy = ({ locked, agentId }: Device): string | null => {
    if (locked) return 'the device is locked';
    if (agentId === null) return 'the device has no agent';
    const agent = tables.agents.get(agentId);
    return !agent ? 'its agent is gone' : agent.state === 'active' ? null : `its agent is ${agent.state}`;
  };
  const usesOf = (row: Device): { readonly application: VirtualApplication; readonly source: JobSource | null }[] =>
    applications.flatMap((application) => {
      const source = options.sourceOf(application.route, row);
      return source || !application.assigned ? [{ application, source }] : [];
    });
  const serversOf = ({ deviceId, transport, port }: CallbackDoor): readonly string[] => {
    const row = tables.devices.get(deviceId);
    return row === undefined ? [] : usesOf(row).filter(({ application }) => application.callbacks.some((each) => each.transport === transport && each.port === port)).map(({ application }) => application.host);
  };
  const doorsFor = (row: Device): CallbackDoor[] => {
    const own = book.addressOf(row.id);
    return usesOf(row).flatMap(({ application, source }) => {
      const address = source?.as && book.pool().usable(source.as) === source.as ? source.as : own;
      return address === null ? [] : application.callbacks.map(({ transport, port, to = port }) => ({ deviceId: row.id, address, transport, port, to }));
    });
  };

  /** Where calls to a device went when it was looked at last. */
  const places = new Map<Id, string>();
  const sync = (deviceId: Id): void => {
    const row = tables.devices.get(deviceId);
    const shut = row ? shutWhy(row) : 'the device is gone';
    const wanted = row && shut === null ? doorsFor(row) : [];
    const place = row ? `${row.agentId} ${row.host}` : '';
    if (wanted.length === 0) {
      if (places.delete(deviceId)) doors.set(deviceId, [], shut ?? 'nobody calls the device back any more');
      return;
    }
    if (places.has(deviceId) && places.get(deviceId) !== place) doors.cut(deviceId, 'the device is reached another way now');
    places.set(deviceId, place);
    doors.set(deviceId, wanted, '');
  };

  let giving: Promise<void> = Promise.resolve();
  /** Those that job sources name have an address before they come for the first time, so that the server can call first. */
  const give = (rows: Iterable<Device>) => {
    const wanted = Array.from(rows).filter((row) => book.addressOf(row.id) === null && usesOf(row).some(({ application, source }) => application.assigned && source !== null && source.as === null));
    if (wanted.length === 0) return;
    giving = giving.then(async () => {
      try {
        const done = await book.ensureAll(wanted.map((row) => row.id));
        const news = done.without.filter((id) => !without.has(id));
        without = new Set([...without, ...done.without].filter((id) => tables.devices.get(id) && book.addressOf(id) === null));
        if (news.length > 0) journal.note('address.none-left', { devices: without.size, example: news[0]! });
      } catch (thrown) {
        log.error('addresses.not-given', { devices: wanted.length, why: reasonOf(thrown) });
      }
    });
  };

  const syncAll = () => {
    applications = applicationsIn(options.config());
    const pool = book.pool();
    named = new Set(Array.from(options.sources()).flatMap(({ as }) => (as !== null && pool.networkOf(as) !== null ? [as] : [])));
    without = new Set([...without].filter((id) => book.addressOf(id) === null));
    if (applications.length > 0) give(tables.devices.values());
    const ids = new Set([...places.keys(), ...Array.from(tables.virtualAddresses.values(), (row) => row.deviceId)]);
    // A device without an address of its own is heard at one that its job source names.
    if (named.size > 0) for (const row of tables.devices.values()) ids.add(row.id);
    for (const id of ids) sync(id);
  };
  let syncing: ReturnType<Clock['after']> | null = null;
  const soon = () => {
    syncing ??= clock.after(syncAfterMs, () => {
      syncing = null;
      syncAll();
    });
  };
  const unwatch = [
    options.watchConfig(() => {
      syncAll();
      const refreshed = callers.refresh();
      doors.judgeAgain();
      void refreshed.then(doors.judgeAgain);
    }),
    options.watchSources(soon),
    tables.virtualAddresses.watch(({ put, removed }) => {
      for (const id of removed) sync(id);
      for (const row of put) sync(row.deviceId);
    }),
    tables.devices.watch(({ put, removed }) => {
      for (const id of removed) sync(id);
      for (const row of put) sync(row.id);
      if (applications.length > 0) give(put);
    }),
    tables.deviceProfiles.watch(({ put }) => {
      for (const { deviceId } of put) {
        const why = places.has(deviceId) ? takenWhy(deviceId) : null;
        if (why !== null) doors.cut(deviceId, why);
      }
    }),
    tables.agents.watch(({ put, removed }) => {
      for (const id of [...removed, ...put.map((row) => row.id)]) for (const row of tables.devicesOfAgent(id)) sync(row.id);
    }),
  ];
  void callers.refresh();
  syncAll();
  let closing: Promise<void> | null = null;
  const close = async () => {
    for (const stop of unwatch) stop();
    syncing?.cancel();
    callers.close();
    await doors.close('the gateway is going down');
    await giving;
    book.close();
  };

  return {
    addressOf: book.addressOf,
    ensure: book.ensure,
    book, doors,
    applicationsOf: (row) => usesOf(row).map(({ application }) => application.route),
    callbackPorts() {
      const all = new Map(applications.flatMap((each) => each.callbacks.map(({ transport, port }) => [`${port} ${transport}`, { transport, port }] as const)));
      return [...all.values()].sort((a, b) => a.port - b.port);
    },
    callers: callers.now,
    without: () => without,
    close: () => (closing ??= close()),
  };
}
