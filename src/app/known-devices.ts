// Devices that applications know by their address, put together: who they are, what they say that they are, the addresses that they have here, and
// how servers hear of them. In two steps: connections are decided by the first, which the second completes once the configuration is there. Composition only.
import type { AdminDeps, DoorDeps } from '#admin/deps.ts';
import type { InTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import type { AssertionKey } from '#model/device-assertion.ts';
import type { Config } from '#model/config.ts';
import type { Applications } from '#proxy/application.ts';
import type { Sweep } from '#net/sweep.ts';
import type { Hub } from '#tunnel/hub.ts';
import { askLan } from './doors.ts';
import { addressChecks } from './doctor-addresses.ts';
import { runChecks } from './doctor.ts';
import { keepLanMemory } from './lan-memory.ts';
import { buildPlaceDoctor } from './place-doctor.ts';
import { openPlaces, type DevicePlaces, type PlacesOptions } from './places.ts';
import { openProbes, type ProbeParts } from './probes.ts';
import { buildTelling, type TellingOptions } from './telling.ts';
import { openVirtual, sourcesOf, type Virtual } from './virtual.ts';

export interface KnownDevicesOptions extends Omit<PlacesOptions, 'addresses' | 'freshen' | 'listsPrograms' | 'assertion' | 'lan'> {
  readonly hub: Hub;
  readonly inTurn: InTurn;
  readonly limits: Limits;
  readonly sweep: Sweep;
  /** Of the data folder. */
  readonly path: string;
  readonly config: () => Config | undefined;
}

export interface KnownDevices {
  readonly applications: Applications;
  readonly places: DevicePlaces;
  readonly probes: ProbeParts;
  /** Listeners are open from here on. `undo` gets what ends it. */
  begin(control: { watch(onChange: () => void): () => void }): Virtual;
  /** How servers hear of devices. */
  tell(options: { readonly doorState: DoorDeps['stateOf'] } & Pick<TellingOptions, 'issuer' | 'readSecret' | 'identityOf' | 'httpsPort'> & { readonly key: AssertionKey }): Pick<AdminDeps, 'telling' | 'identity' | 'deviceSessions' | 'virtual' | 'probes' | 'lanOf' | 'placeDoctor'>;
  close(): Promise<void>;
}

export async function openKnownDevices(options: KnownDevicesOptions): Promise<KnownDevices> {
  const { tables, operations, hub, inTurn, clock, random, log, journal, limits, sweep, config, snapshot } = options;
  let virtual: Virtual | null = null;
  let telling: ReturnType<typeof buildTelling> | null = null;
  const addresses = {
    addressOf: (deviceId: string) => virtual?.addressOf(deviceId) ?? null,
    ensure: (deviceId: string) => virtual!.ensure(deviceId),
  };
  const lan = keepLanMemory({ tables, hub, clock, limits, lanOf: (agentId, signal) => askLan(hub, agentId, signal, { clock, limits }) });
  const places = openPlaces({
    ...options,
    lan,
    addresses: () => addresses,
    freshen: (deviceId, isDoubted) => probes.freshen(deviceId, isDoubted),
    listsPrograms: (deviceId, a, b) => probes.listsPrograms(deviceId, a, b),
    // What comes in the moment between is told its address without a statement.
    assertion: (route, device, identity, told) => telling?.assertion(route, device, identity, told) ?? '',
  });
  const probes = await openProbes({
    tables, operations, hub, clock, log, journal, limits,
    path: options.path,
    config: () => config() ?? {},
    noteEvidence: ({ device, kind, value, how }) => places.evidence.note(device, kind, value, how),
  });
  return {
    applications: places.applications,
    places, probes,
    begin(control) {
      virtual = openVirtual({
        tables, operations, hub, inTurn, clock, log, journal, limits, sweep,
        config: () => snapshot().config,
        watchConfig: (onChange) => control.watch(onChange),
        ...sourcesOf(tables),
      });
      return virtual;
    },
    tell(order) {
      const listened = virtual!;
      telling = buildTelling({ tables, clock, random, log, limits, snapshot, addresses: listened, sourceOf: sourcesOf(tables).sourceOf, ...order });
      return {
        telling, probes,
        placeDoctor: buildPlaceDoctor({ tables, hub, clock, random, limits, snapshot, places, virtual: listened, doorState: order.doorState, lanOf: (agentId, signal) => lan.lanOf(agentId, signal) }),
        lanOf: (agentId, signal) => lan.lanOf(agentId, signal),
        identity: { known: places.known, origins: places.origins, sessions: () => places.sessions.list(), evidenceOf: (deviceId) => places.evidence.of(deviceId), misRouteOf: (came) => places.ways.judge(came), cut: places.applications.cut },
        deviceSessions: places.sessions,
        virtual: { ...listened, checks: () => runChecks(clock, addressChecks(listened, tables)) },
      };
    },
    async close() {
      lan.close();
      await virtual?.close();
      await probes.close();
      await places.close();
    },
  };
}
