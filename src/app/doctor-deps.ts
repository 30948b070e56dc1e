// Where doctor looks: the gateway's rooms, as the functions that its checks ask.
import { isPrivate } from '#base/cidr.ts';
import type { Clock } from '#base/clock.ts';
import { type Forwarders, judgeForwarders } from '#model/forwarders.ts';
import type { Operations } from '#model/operations.ts';
import { buildPlaces } from '#model/places.ts';
import type { Snapshot } from '#model/snapshot.ts';
import type { Tables } from '#model/tables.ts';
import { isTrustedPeer } from '#model/trusted.ts';
import type { Certificates } from '#net/certificates.ts';
import type { DataFolder } from '#store/data-folder.ts';
import type { Hub } from '#tunnel/hub.ts';
import { addressChecks } from './doctor-addresses.ts';
import { fleetChecks } from './doctor-fleet.ts';
import type { DoctorDeps } from './doctor.ts';
import type { Keeping } from './keeping.ts';
import type { Listeners } from './listeners.ts';
import { findNamed } from './naming.ts';
import type { Outgoing } from './sinks.ts';
import type { Virtual } from './virtual.ts';

export interface LookedAt {
  readonly clock: Clock;
  readonly startedAt: DoctorDeps['startedAt'];
  readonly snapshot: () => Snapshot;
  readonly tables: Tables;
  readonly operations: Operations;
  readonly certificates: Certificates;
  readonly listeners: Listeners;
  readonly hub: Hub;
  readonly keeping: Keeping;
  readonly sinks: Pick<Outgoing['sinks'], 'status'>;
  readonly secrets: Pick<Outgoing['secrets'], 'missing'>;
  readonly folder: DataFolder;
  readonly virtual: Virtual;
  readonly forwarders: Pick<Forwarders, 'list'>;
}

/** A search by `customer/name` goes through every device. */
const routesLookedAt = 1_000;

export function doctorDeps({ clock, startedAt, snapshot, tables, operations, certificates, listeners, hub, keeping, sinks, secrets, folder, virtual, forwarders }: LookedAt): DoctorDeps {
  const places = buildPlaces(tables);
  const isNear = (address: string) => {
    const { egress, inside } = places.sitesOfAddress(address);
    return isPrivate(address) || egress.length + inside.length > 0;
  };
  return {
    clock,
    startedAt,
    domains: () => snapshot().config.domains.map((domain) => domain.name),
    deviceDomains: () => snapshot().deviceDomains,
    listeners: () => listeners.all.map((each) => ({ address: each.address, port: each.port, secure: snapshot().config.listeners.some((one) => one.name === each.name && one.tls) })),
    certificates: () => ({ leaves: certificates.leaves(), caNotAfter: certificates.ca.notAfter, own: tables.certificates.values() }),
    deliveries: () => Array.from(tables.deliveries.values(), (row) => ({ row, certificate: tables.certificates.get(row.certificateId), agent: tables.agents.get(row.agentId)?.name ?? '', online: hub.linkOf(row.agentId) !== undefined })),
    checkStore: () => operations.check(),
    freeBytes: () => folder.freeBytes(),
    disk: () => keeping.disk(),
    restored: () => keeping.restored(),
    sinks: () => sinks.status(),
    secretsMissing: () => secrets.missing(),
    routes: () =>
      snapshot().config.routes
        .flatMap(({ name, target }) => (target.kind === 'device' ? [{ route: name, device: target.device }] : []))
        .slice(0, routesLookedAt)
        .map((each) => ({ ...each, found: findNamed(tables, each.device, clock.nowMs()) ?? null })),
    configuredAt: async () => (await operations.latestRevision())?.at ?? 0,
    more: [...fleetChecks({ tables, operations, nowMs: () => clock.nowMs(), config: () => snapshot().config }), ...addressChecks(virtual, tables), ['forwarders', 'Proxies in front', () => judgeForwarders(forwarders.list(clock.nowMs()).filter(({ address }) => !isTrustedPeer(snapshot().trustedProxies, address, null)), isNear)]],
    devices: () =>
      // Without an agent a device has no link to be missed.
      Array.from(tables.devices.values()).filter((device) => device.agentId !== null).map((device) => {
        const note = device.agentId === null ? undefined : tables.agentNotes.get(device.agentId);
        return { label: device.label, online: hub.linkOf(device.agentId) !== undefined, lastSeenAt: note?.lastSeenAt ?? null, lastLeftWhy: note?.lastLeftWhy ?? null };
      }),
  };
}
