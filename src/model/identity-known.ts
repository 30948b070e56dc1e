// What `identify` looks things up in, made of the gateway's tables and kept in step with them.
import { canonicalAddress, isPrivate } from '#base/cidr.ts';
import type { Id } from '#base/ids.ts';
import type { AddressPlaces, Confirmation, Known } from './identity.ts';
import type { Origins } from './origins.ts';
import type { DeviceProfile, SitePlace } from './place-rows.ts';
import { buildPlaces } from './places.ts';
import type { Agent, AgentNote, Device, Site } from './rows.ts';
import { groupsBy, type Table } from './table.ts';

export interface KnownOptions {
  readonly tables: {
    readonly devices: Table<Device>;
    readonly sites: Table<Site>;
    readonly agents: Table<Agent>;
    readonly agentNotes: Table<AgentNote>;
    readonly sitePlaces: Table<SitePlace>;
    readonly deviceProfiles: Table<DeviceProfile>;
    deviceBySerial(customerId: Id, serial: string): Device | undefined;
  };
  readonly origins: Pick<Origins, 'strongAt' | 'shapesAt'>;
  readonly nowMs: () => number;
  /** `probes.freshMinutes` of the configuration. */
  freshMs(): number;
  /** Whether the device's driver lists both shapes. */
  sameProgram(deviceId: Id, a: string, b: string): boolean;
}

const rememberedMax = 10_000;
/** More devices than that at one address tell nobody more. */
const shownMax = 16;

/** What the last probe read at the device's address; null: nothing yet. */
export function confirmationOf(row: DeviceProfile | undefined): Confirmation | null {
  if (row === undefined) return null;
  if (row.trust === 'different') {
    // The profile is still the device's own, from before; who is at its address now is said by the last try, unless that heard nobody.
    const { found, address, question } = row.failure ?? {};
    return found && address !== undefined ? { ...found, address: canonicalAddress(address) ?? address, at: row.triedAt, by: question?.startsWith('ipp') ? 'ipp' : 'snmp' } : null;
  }
  if (row.profile === null || row.readAt === null || row.address === null) return null;
  const { profile } = row;
  const by = profile.evidence.some(({ question, value }) => question.startsWith('ipp') && value === profile.serial) && !profile.evidence.some(({ question, value }) => question.startsWith('snmp') && value === profile.serial) ? 'ipp' : 'snmp';
  return { serial: profile.serial, mac: row.mac?.toLowerCase() ?? null, address: canonicalAddress(row.address) ?? row.address, at: row.readAt, by };
}

/** Sites by their networks, and by the addresses that their agents' links come from. */
function sitesByAddress({ sites, agents, agentNotes, sitePlaces }: KnownOptions['tables']): (address: string) => AddressPlaces {
  const linksFrom = groupsBy(agentNotes, (row) => row.agentId, (row) => row.from ?? undefined);
  const places = buildPlaces({ sitePlaces });
  let version = -1;
  let anySubnets = false;
  const remembered = new Map<string, AddressPlaces>();
  const refresh = () => {
    const now = sitePlaces.version + sites.version;
    if (now === version) return;
    version = now;
    anySubnets = Array.from(sitePlaces.values()).some(({ subnets }) => subnets.length > 0);
    remembered.clear();
  };
  const ofRows = (address: string): AddressPlaces => {
    const known = remembered.get(address);
    if (known !== undefined) return known;
    const found = places.sitesOfAddress(address);
    // A gateway with one site whose networks nobody wrote down stands in that site's LAN.
    const inside = !anySubnets && sites.size === 1 && isPrivate(address) ? [...sites.values()].map((site) => site.id) : found.inside;
    const all = { egress: found.egress, inside };
    if (remembered.size >= rememberedMax) remembered.clear();
    remembered.set(address, all);
    return all;
  };
  return (address) => {
    refresh();
    const known = ofRows(address);
    const links = linksFrom.get(address);
    if (links.length === 0 || known.inside.length > 0 || isPrivate(address)) return known;
    // An agent that dials us from a public address says which one its site has.
    const egress = new Set(known.egress);
    for (const { agentId } of links) {
      const agent = agents.get(agentId);
      if (agent !== undefined) egress.add(agent.siteId);
    }
    return egress.size === known.egress.length ? known : { egress: [...egress], inside: [] };
  };
}

export function buildKnown(options: KnownOptions): Known {
  const { tables, origins, nowMs } = options;
  const { devices, deviceProfiles } = tables;
  const byId = (row: Device) => row.id;
  const inSite = groupsBy(devices, byId, (row) => placeKey(row.siteId, row.host));
  // Each machine calls itself 127.0.0.1: without a site that says nothing.
  const anywhere = groupsBy(devices, byId, (row) => (row.host === '127.0.0.1' || row.host === '::1' ? undefined : (canonicalAddress(row.host) ?? undefined)));
  const readAt = groupsBy(deviceProfiles, (row) => row.deviceId, (row) => (row.address === null || row.trust !== 'verified' ? undefined : (canonicalAddress(row.address) ?? undefined)));
  return {
    devicesAt(siteId, address) {
      const byRow = siteId === null ? anywhere.get(address) : inSite.get(`${siteId} ${address}`);
      let found: Device[] | null = null;
      for (const row of readAt.get(address)) {
        const device = devices.get(row.deviceId);
        if (device === undefined || (siteId !== null && device.siteId !== siteId) || row.readAt === null || nowMs() - row.readAt > options.freshMs() || canonicalAddress(device.host) === address) continue;
        (found ??= byRow.slice(0, shownMax)).push(device);
        if (found.length >= shownMax) break;
      }
      return found ?? (byRow.length > shownMax && siteId === null ? byRow.slice(0, shownMax) : byRow);
    },
    deviceById: (deviceId) => devices.get(deviceId),
    deviceBySerial: (customerId, serial) => tables.deviceBySerial(customerId, serial),
    confirmationOf: (deviceId) => confirmationOf(deviceProfiles.get(deviceId)),
    strongAt: origins.strongAt,
    shapesAt: origins.shapesAt,
    sitesOfAddress: sitesByAddress(tables),
    sameProgram: options.sameProgram,
    get freshMs() {
      return options.freshMs();
    },
  };
}

const placeKey = (siteId: Id, host: string): string | undefined => {
  const address = canonicalAddress(host);
  return address === null ? undefined : `${siteId} ${address}`;
};
