// The way that a connection took, judged by what the running gateway knows: for panels, administrators and doctor. Composition of model/mis-route.
import { canonicalAddress, isPrivate } from '#base/cidr.ts';
import type { Id } from '#base/ids.ts';
import { buildNetworkSet, isInNetworks } from '#base/networks.ts';
import type { Forwarders } from '#model/forwarders.ts';
import { type Known, originKeyOf } from '#model/identity.ts';
import { type CameFrom, judgeWay, type MisRoute, type WayEvidence, type WayInside } from '#model/mis-route.ts';
import { ownAddressOf } from '#model/own-address.ts';
import type { Snapshot } from '#model/snapshot.ts';
import type { Tables } from '#model/tables.ts';
import { isTrustedPeer } from '#model/trusted.ts';
import type { LanMemory } from './lan-memory.ts';

export interface WaysOptions {
  readonly tables: Pick<Tables, 'siteDoors' | 'sitePlaces'>;
  readonly snapshot: () => Snapshot;
  readonly known: Known;
  readonly forwarders: Pick<Forwarders, 'claimsOf'>;
  readonly lan: Pick<LanMemory, 'routersOf'>;
  /** Of this machine. */
  ownAddresses(): readonly string[];
  nowMs(): number;
}

export interface Ways {
  evidenceOf(came: CameFrom): WayEvidence;
  judge(came: CameFrom): MisRoute | null;
  /** The one site that it comes from; null: none, or several could be. */
  siteOf(came: Pick<CameFrom, 'address' | 'siteId'>): Id | null;
  /** Names of applications, and where they lead in that site's LAN. */
  insideOf(siteId: Id | null, application: string | null): WayInside;
}

/** Docker's first networks: behind them stands no device's own address. */
const containerNetworks = buildNetworkSet(['172.17.0.0/16', '172.18.0.0/15', '172.20.0.0/14']);
const namesMax = 32;

export function buildWays({ tables, snapshot, known, forwarders, lan, ownAddresses, nowMs }: WaysOptions): Ways {
  const sitesOf = ({ address, siteId }: Pick<CameFrom, 'address' | 'siteId'>) => (siteId === null ? known.sitesOfAddress(address) : { egress: [], inside: [siteId] });

  /** The serial that was read at the address lately: of the device that is expected there, or another's. */
  const confirmedAt = (address: string, siteId: Id | null, deviceId: Id | null): WayEvidence['confirmed'] => {
    if (siteId === null) return null;
    const one = deviceId === null ? undefined : known.deviceById(deviceId);
    let found: WayEvidence['confirmed'] = null;
    for (const device of one === undefined ? known.devicesAt(siteId, address) : [one]) {
      const confirmation = known.confirmationOf(device.id);
      if (device.siteId !== siteId || confirmation === null || confirmation.address !== address || confirmation.serial === null || device.serial === null || nowMs() - confirmation.at > known.freshMs) continue;
      if (confirmation.serial === device.serial) return 'same';
      found = 'other';
    }
    return found;
  };

  /** Also of a container network that this machine has a foot in. */
  const isOwn = (address: string): boolean => {
    const own = ownAddresses();
    const sixteen = address.split('.', 2).join('.');
    return own.includes(address) || (isInNetworks(containerNetworks, address) && own.some((each) => each.startsWith(`${sixteen}.`)));
  };

  const insideOf: Ways['insideOf'] = (siteId, application) => {
    const { config } = snapshot();
    const routes = config.routes.filter((route) => route.application && (application === null || route.name === application));
    const names = [...new Set(routes.flatMap(({ host }) => (typeof host === 'string' && !host.startsWith('*.') ? [host.toLowerCase()] : [])))].slice(0, namesMax);
    if (siteId === null) return { names, addresses: [] };
    const isWanted = (listener: string) => routes.some(({ listeners }) => listeners === undefined || listeners.includes(listener));
    const doors = Array.from(tables.siteDoors.values()).filter((door) => door.siteId === siteId && isWanted(door.listener)).map((door) => door.address);
    const subnets = buildNetworkSet(tables.sitePlaces.get(siteId)?.subnets ?? []);
    const own = ownAddresses().filter((address) => ownAddressOf(address) !== null && isInNetworks(subnets, address));
    return { names, addresses: [...new Set([...doors, ...own].flatMap((address) => canonicalAddress(address) ?? []))] };
  };

  const siteOf: Ways['siteOf'] = (came) => {
    const { egress, inside } = sitesOf(came);
    const all = new Set([...egress, ...inside]);
    return all.size === 1 ? [...all][0]! : null;
  };

  const evidenceOf = (came: CameFrom): WayEvidence => {
    const { address, siteId, deviceId } = came;
    const { egress, inside } = sitesOf(came);
    const key = originKeyOf({ siteId, customerId: null, address, viaAgentId: null, mac: null });
    const strong = known.strongAt(key, nowMs());
    const lanSite = siteId ?? (inside.length === 1 ? inside[0]! : null);
    return {
      peer: address,
      throughDoor: siteId !== null,
      isPrivate: isPrivate(address),
      egressOf: egress.length,
      isInside: inside.length > 0,
      isRouter: inside.some((each) => lan.routersOf(each).includes(address)),
      isOwn: siteId === null && isOwn(address),
      isTrusted: siteId === null && isTrustedPeer(snapshot().trustedProxies, address, null),
      claims: siteId === null ? forwarders.claimsOf(address, nowMs()) : null,
      devices: strong.length,
      programs: new Set([...known.shapesAt(key, nowMs()), ...strong.flatMap((each) => each.shapes)]).size,
      confirmed: confirmedAt(address, lanSite, deviceId),
    };
  };
  return {
    evidenceOf, siteOf, insideOf,
    judge: (came) => judgeWay(evidenceOf(came), insideOf(siteOf(came), came.application)),
  };
}
