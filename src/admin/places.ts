// Sites with their networks, and the doors in them.
import type { DoorView, LanView, SiteDetailView } from '#api/place-shapes.ts';
import type { SiteSummaryView } from '#api/shapes.ts';
import { canonicalAddress, formatNetwork, isLoopback, isPrivate, isPrivateNetwork, networkContains, parseAddress, parseNetwork, type Network } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { buildNetworkSet, isInNetworks } from '#base/networks.ts';
import { buildPlaces, doorName } from '#model/places.ts';
import type { SiteDoor, SitePlace } from '#model/place-rows.ts';
import { subjectOfAgent, subjectOfDevice } from '#model/rights.ts';
import type { Action, Agent, Site } from '#model/rows.ts';
import { auditOf, may, mustMay, type Acts, type Anyone } from './asked.ts';
import { deviceFor } from './devices.ts';
import { byId, pageOf, sorted } from './pages.ts';
import { defaultCustomer, type Room } from './room.ts';
import { actions, certificatesUntil, countVisits, viewAgent, viewDevice } from './views.ts';

type Names = 'addSite' | 'getSite' | 'changeSite' | 'removeSite' | 'moveAgent' | 'moveDevice' | 'listDoors' | 'getDoor' | 'addDoor' | 'changeDoor' | 'removeDoor';

const siteSubject = ({ id, customerId }: Site) => ({ customerId, siteId: id });
const auditedSite = ({ id, customerId, name }: Site) => ({ customerId, kind: 'site', id, name });
const wrong = (path: string, message: string) => new Fault('bad-input', message, { detail: { problems: [{ path, message }] } });
const unique = (list: readonly string[]) => [...new Set(list.map((text) => formatNetwork(parseNetwork(text)!)))];
/** Larger ones are typing errors or claims on everybody's addresses. */
const egressPrefixMin = { 4: 16, 6: 29 } as const;
const subnetPrefixMin = { 4: 8, 6: 16 } as const;
const touches = (a: Network, b: Network) => {
  if (a.family !== b.family) return false;
  const behind = BigInt((a.family === 4 ? 32 : 128) - Math.min(a.prefix, b.prefix));
  return a.value >> behind === b.value >> behind;
};

/** A site by id, by name, or by customer/name. Fault `not-found`, `conflict` (several have the name). */
export function siteNamed({ tables }: Pick<Room, 'tables'>, asked: Anyone, text: string): Site {
  const seen = (site: Site) => may(asked, 'see', siteSubject(site));
  const byKey = tables.sites.get(text);
  if (byKey && seen(byKey)) return byKey;
  const slash = text.indexOf('/');
  const customer = slash < 0 ? undefined : tables.customerByKey(text.slice(0, slash));
  const wanted = slash < 0 ? text : text.slice(slash + 1);
  const found = Array.from(tables.sites.values()).filter((site) => site.name.toLowerCase() === wanted.toLowerCase() && (slash < 0 || site.customerId === customer?.id) && seen(site));
  if (found.length > 1) throw new Fault('conflict', `several customers have a site "${wanted}"`, { remedy: 'write CUSTOMER/NAME, or the id' });
  if (!found[0]) throw new Fault('not-found', 'there is no such site, or not any more');
  return found[0];
}

/** Lines of the list: everything is counted once for all of them. */
export function countPlaces(room: Room): (asked: Anyone, site: Site) => NonNullable<SiteSummaryView['place']> | null {
  const { tables, live } = room;
  const places = buildPlaces(tables);
  const by = <Row extends { readonly siteId: Id }>(rows: Iterable<Row>) => Map.groupBy(rows, (row) => row.siteId);
  const [agents, devices, doors] = [by(tables.agents.values()), by(tables.devices.values()), by(tables.siteDoors.values())];
  return (asked, site) => {
    if (!may(asked, 'see', siteSubject(site))) return null;
    const place = tables.sitePlaces.get(site.id);
    const shared = places.overlapsOf(site.id);
    const [ownAgents, ownDoors] = [agents.get(site.id) ?? [], doors.get(site.id) ?? []];
    return {
      subnets: [...(place?.subnets ?? [])], egress: [...(place?.egress ?? [])], overlaps: { egress: shared.filter(({ kind }) => kind === 'egress').length, subnets: shared.filter(({ kind }) => kind === 'subnet').length },
      agents: ownAgents.length, agentsOnline: ownAgents.filter((agent) => live.linkOf(agent.id) !== undefined).length, devices: devices.get(site.id)?.length ?? 0,
      doors: ownDoors.length, doorsOpen: ownDoors.filter((door) => room.doors?.stateOf(door.id)?.bound).length,
    };
  };
}

function buildViews(room: Room) {
  const { tables, live } = room;
  const places = buildPlaces(tables);
  const viewDoor = (door: SiteDoor): DoorView => {
    const state = room.doors?.stateOf(door.id);
    const isThere = room.control.snapshot().config.listeners.some(({ name }) => name === door.listener);
    return {
      id: door.id, customerId: door.customerId, siteId: door.siteId, siteName: tables.sites.get(door.siteId)?.name ?? '', agentId: door.agentId, agentName: tables.agents.get(door.agentId)?.name ?? '',
      address: door.address, port: door.port, listener: door.listener, createdAt: door.createdAt,
      bound: state?.bound ?? false,
      why: isThere ? (state?.why ?? null) : `the gateway has no listener "${door.listener}" any more: what comes in at the door is refused`,
      remedy: isThere ? (state?.remedy ?? null) : 'Add the listener again, or close the door.',
      since: state?.since ?? null, open: state?.open ?? 0, accepted: state?.accepted ?? 0, refused: state?.refused ?? 0,
    };
  };
  const observed = (place: SitePlace | undefined, agents: readonly Agent[]): SiteDetailView['observed'] => {
    const listed = buildNetworkSet(place?.egress ?? []);
    return agents.flatMap(({ id, name }) => {
      const note = tables.agentNotes.get(id);
      return note?.from ? [{ address: note.from, agentId: id, agentName: name, at: note.lastSeenAt, isListed: isInNetworks(listed, note.from), isPublic: !isPrivate(note.from) }] : [];
    });
  };
  const viewSite = (asked: Anyone, site: Site, lan: LanView[] = []): SiteDetailView => {
    const { id, customerId, name, createdAt } = site;
    const place = tables.sitePlaces.get(id);
    const agents = Array.from(tables.agents.values()).filter((agent) => agent.siteId === id && may(asked, 'see', subjectOfAgent(agent)));
    const nameOf = (siteId: Id) => {
      const other = tables.sites.get(siteId);
      return other && may(asked, 'see', siteSubject(other)) ? other.name : '';
    };
    return {
      id, customerId, name, createdAt, lan,
      subnets: [...(place?.subnets ?? [])],
      egress: [...(place?.egress ?? [])],
      agents: agents.map((agent) => ({ id: agent.id, name: agent.name, state: agent.state, online: live.linkOf(agent.id) !== undefined })),
      devices: Array.from(tables.devices.values()).filter((device) => device.siteId === id && may(asked, 'see', subjectOfDevice(device))).length,
      doors: sorted(tables.siteDoors.values(), { keyOf: byId }).filter((door) => door.siteId === id).map(viewDoor),
      observed: observed(place, agents),
      overlaps: places.overlapsOf(id).map((each) => ({ ...each, siteName: nameOf(each.siteId) })),
      may: actions.filter((action) => may(asked, action, siteSubject(site))),
    };
  };
  return { viewDoor, viewSite };
}

/** What is asked for, judged: a site must not claim what makes the addresses of others worthless. */
function checkedPlace(room: Room, asked: Anyone, site: Site, wanted: { readonly subnets: readonly string[]; readonly egress: readonly string[] }): SitePlace {
  const [subnets, egress] = [unique(wanted.subnets), unique(wanted.egress)];
  for (const [list, path, min] of [[subnets, 'subnets', subnetPrefixMin], [egress, 'egress', egressPrefixMin]] as const) {
    for (const text of list) {
      const network = parseNetwork(text)!;
      if (network.prefix < min[network.family]) throw wrong(path, `${text} is larger than /${min[network.family]}: write the networks that the site has`);
    }
  }
  if (!may(asked, 'administer', 'gateway')) mustNotClaim(room, site, { subnets, egress });
  return { siteId: site.id, customerId: site.customerId, subnets, egress };
}

/**
 * What comes straight from a public address is taken for the devices of the site that has it, as egress or as a network of its own: whoever
 * could claim another customer's addresses would get its devices' documents, or lock them out. Private networks inside are everybody's.
 */
function mustNotClaim({ tables }: Room, site: Site, { subnets, egress }: Pick<SitePlace, 'subnets' | 'egress'>): void {
  const before = tables.sitePlaces.get(site.id);
  const others = Array.from(tables.sitePlaces.values()).filter((place) => place.customerId !== site.customerId);
  for (const [list, standing, path] of [[subnets, before?.subnets, 'subnets'], [egress, before?.egress, 'egress']] as const) {
    for (const text of list) {
      const network = parseNetwork(text)!;
      if (standing?.includes(text) || (path === 'subnets' && isPrivateNetwork(network))) continue;
      const isListed = others.some((place) => [...place.egress, ...place.subnets].some((each) => touches(network, parseNetwork(each)!)));
      const isSomebodys = isListed || Array.from(tables.devices.values()).some(({ customerId, host }) => customerId !== site.customerId && isWithin(network, host));
      // Whose it is would not be theirs to know.
      if (isSomebodys) throw new Fault('forbidden', `${text} is another customer's, too`, { remedy: 'ask somebody who administers the gateway, if both share a connection to the internet', detail: { problems: [{ path, message: 'is shared with another customer' }] } });
    }
  }
}

const isWithin = (network: Network, host: string): boolean => {
  const address = parseAddress(host);
  return address !== null && networkContains(network, address);
};

export function buildSiteActs(room: Room): Acts<Names> {
  const { tables, operations, clock, limits } = room;
  const { viewDoor, viewSite } = buildViews(room);
  const doorOrder = { keyOf: byId };

  const siteAs = (asked: Anyone, text: string, action: Action, what: string): Site => {
    const site = siteNamed(room, asked, text);
    mustMay(asked, action, siteSubject(site), what);
    return site;
  };
  const doorFor = (asked: Anyone, id: Id, action: Action, what: string): SiteDoor => {
    const door = tables.siteDoors.get(id);
    const subject = door && { customerId: door.customerId, siteId: door.siteId };
    if (!door || !subject || !may(asked, 'see', subject)) throw new Fault('not-found', 'there is no such door, or not any more');
    mustMay(asked, action, subject, what);
    return door;
  };
  const nameMustBeFree = (customerId: Id, name: string, siteId?: Id) => {
    const other = Array.from(tables.sites.values()).find((each) => each.customerId === customerId && each.name.toLowerCase() === name.toLowerCase());
    if (other && other.id !== siteId) throw new Fault('conflict', `the customer has a site "${name}" already`, { detail: { problems: [{ path: 'name', message: 'is taken' }] } });
  };
  const publishPlace = (place: SitePlace) => {
    if (place.subnets.length + place.egress.length > 0) tables.sitePlaces.publish({ put: [place] });
    else if (tables.sitePlaces.get(place.siteId)) tables.sitePlaces.publish({ removed: [place.siteId] });
  };
  const auditedDoor = (door: SiteDoor) => ({ customerId: door.customerId, kind: 'door', id: door.id, name: doorName(door, tables.sites.get(door.siteId)) });
  const mustLeadTo = (asked: Anyone, listener: string) => {
    const configured = room.control.snapshot().config.listeners.find((each) => each.name === listener);
    if (!configured) throw wrong('listener', `there is no listener "${listener}"`);
    // What was kept from the network would be open to a LAN far away.
    if (isLoopback(configured.address)) mustMay(asked, 'administer', 'gateway', `open a door to ${listener}, which listens on this machine alone`);
  };
  const doorsOf = (agentId: Id) => Array.from(tables.siteDoors.values()).filter((door) => door.agentId === agentId);
  const mustBeFree = (others: readonly SiteDoor[], address: string, port: number) => {
    if (others.some((door) => door.address === address && door.port === port)) throw new Fault('conflict', `the agent has a door at ${address} port ${port} already`, { detail: { problems: [{ path: 'port', message: 'the agent has a door there already' }] } });
  };
  /** Where something may be moved to. */
  const targetSite = (asked: Anyone, siteId: Id, customerId: Id): Site => {
    const site = tables.sites.get(siteId);
    if (!site || site.customerId !== customerId || !may(asked, 'see', siteSubject(site))) throw wrong('siteId', 'there is no such site of this customer');
    mustMay(asked, 'administer', siteSubject(site), 'move something to this site');
    return site;
  };

  return {
    addSite: (asked) =>
      room.inTurn(async () => {
        const { name, subnets, egress } = asked.body;
        const customer = asked.body.customerId === undefined ? defaultCustomer(room) : tables.customers.get(asked.body.customerId);
        if (!customer || !may(asked, 'see', { customerId: customer.id })) throw wrong('customerId', 'there is no such customer');
        mustMay(asked, 'administer', { customerId: customer.id }, 'add a site');
        if (tables.sites.size >= limits.sitesMax) throw new Fault('too-many', `the gateway has ${limits.sitesMax} sites already`);
        nameMustBeFree(customer.id, name);
        const site: Site = { id: room.newId(), customerId: customer.id, name, createdAt: clock.nowMs() };
        const place = checkedPlace(room, asked, site, { subnets, egress });
        await operations.addSite(site, place, auditOf(room, asked, 'site.added', auditedSite(site), { subnets: place.subnets.join(', '), egress: place.egress.join(', ') }));
        tables.sites.publish({ put: [site] });
        publishPlace(place);
        return viewSite(asked, site);
      }),
    async getSite(asked) {
      const site = siteAs(asked, asked.params.site, 'see', 'see this site');
      if (asked.query.lan === 'false' || room.lanOf === undefined) return viewSite(asked, site);
      // A question to a machine at the site: for who may change something there.
      mustMay(asked, 'administer', siteSubject(site), "ask the site's agents");
      const agents = Array.from(tables.agents.values()).filter((agent) => agent.siteId === site.id && room.live.linkOf(agent.id) !== undefined).slice(0, limits.lanAsksMax);
      const facts = await Promise.all(agents.map((agent) => room.lanOf!(agent.id, asked.signal).then((lan) => [{ agentId: agent.id, agentName: agent.name, ...lan }], (): LanView[] => [])));
      return viewSite(asked, site, facts.flat());
    },
    changeSite: (asked) =>
      room.inTurn(async () => {
        const site = siteAs(asked, asked.params.site, 'administer', 'change this site');
        const before = tables.sitePlaces.get(site.id);
        const changed: Site = { ...site, name: asked.body.name ?? site.name };
        nameMustBeFree(site.customerId, changed.name, site.id);
        const place = checkedPlace(room, asked, changed, { subnets: asked.body.subnets ?? before?.subnets ?? [], egress: asked.body.egress ?? before?.egress ?? [] });
        const detail = {
          ...(changed.name !== site.name && { 'name before': site.name, 'name after': changed.name }),
          ...(place.subnets.join() !== (before?.subnets ?? []).join() && { 'subnets before': (before?.subnets ?? []).join(', '), 'subnets after': place.subnets.join(', ') }),
          ...(place.egress.join() !== (before?.egress ?? []).join() && { 'egress before': (before?.egress ?? []).join(', '), 'egress after': place.egress.join(', ') }),
        };
        if (Object.keys(detail).length === 0) return viewSite(asked, site);
        await operations.changeSite(changed, place, auditOf(room, asked, 'site.changed', auditedSite(changed), detail));
        if (changed.name !== site.name) tables.sites.publish({ put: [changed] });
        publishPlace(place);
        return viewSite(asked, changed);
      }),
    removeSite: (asked) =>
      room.inTurn(async () => {
        const site = siteNamed(room, asked, asked.params.site);
        mustMay(asked, 'administer', { customerId: site.customerId }, 'remove a site');
        if (!Array.from(tables.sites.values()).some((other) => other.customerId === site.customerId && other.id !== site.id)) throw new Fault('conflict', 'it is the only site of its customer', { remedy: 'rename it instead' });
        await operations.removeSite(site.id, auditOf(room, asked, 'site.removed', auditedSite(site)));
        const tokens = Array.from(tables.joinTokens.values()).filter((token) => token.siteId === site.id).map((token) => token.id);
        if (tokens.length > 0) tables.joinTokens.publish({ removed: tokens });
        if (tables.sitePlaces.get(site.id)) tables.sitePlaces.publish({ removed: [site.id] });
        tables.sites.publish({ removed: [site.id] });
        return {};
      }),
    moveAgent: (asked) =>
      room.inTurn(async () => {
        const agent = tables.agents.get(asked.params.id);
        if (!agent || !may(asked, 'see', subjectOfAgent(agent))) throw new Fault('not-found', 'there is no such agent, or not any more');
        mustMay(asked, 'administer', subjectOfAgent(agent), 'move this agent');
        const site = targetSite(asked, asked.body.siteId, agent.customerId);
        const view = (row: Agent) => viewAgent(room, asked, row, certificatesUntil(tables));
        if (site.id === agent.siteId) return view(agent);
        const moved = { ...agent, siteId: site.id };
        const devices = tables.devicesOfAgent(agent.id).map((device) => ({ ...device, siteId: site.id }));
        const doors = Array.from(tables.siteDoors.values()).filter((door) => door.agentId === agent.id).map((door) => ({ ...door, siteId: site.id }));
        const detail = { before: tables.sites.get(agent.siteId)?.name ?? '', after: site.name };
        await operations.moveToSite({ siteId: site.id, agentIds: [agent.id], deviceIds: devices.map((device) => device.id) }, [
          auditOf(room, asked, 'agent.moved', { customerId: agent.customerId, kind: 'agent', id: agent.id, name: agent.name }, { ...detail, devices: devices.length, doors: doors.length }),
        ]);
        tables.agents.publish({ put: [moved] });
        if (devices.length > 0) tables.devices.publish({ put: devices });
        if (doors.length > 0) tables.siteDoors.publish({ put: doors });
        return view(moved);
      }),
    moveDevice: (asked) =>
      room.inTurn(async () => {
        const device = deviceFor(room, asked, asked.params.device, 'administer', 'move this device');
        mustMay(asked, 'administer', { customerId: device.customerId, siteId: device.siteId }, 'move a device of this site');
        const site = targetSite(asked, asked.body.siteId, device.customerId);
        if (device.agentId !== null && device.siteId !== site.id) throw new Fault('conflict', 'the device stands behind an agent, and is where that is', { remedy: 'move the agent: its devices and doors go along' });
        const moved = { ...device, siteId: site.id };
        if (device.siteId !== site.id) {
          const detail = { before: tables.sites.get(device.siteId)?.name ?? '', after: site.name };
          await operations.moveToSite({ siteId: site.id, agentIds: [], deviceIds: [device.id] }, [auditOf(room, asked, 'device.moved', { customerId: device.customerId, kind: 'device', id: device.id, name: device.name }, detail)]);
          tables.devices.publish({ put: [moved] });
        }
        return viewDevice(room, asked, room.addresses(asked), moved, countVisits(room));
      }),
    listDoors(asked) {
      const { siteId, agentId } = asked.query;
      const wanted = (door: SiteDoor) => (siteId === undefined || door.siteId === siteId) && (agentId === undefined || door.agentId === agentId) && may(asked, 'see', { customerId: door.customerId, siteId: door.siteId });
      return pageOf(sorted(tables.siteDoors.values(), doorOrder), doorOrder, asked.query, wanted, viewDoor);
    },
    getDoor: (asked) => viewDoor(doorFor(asked, asked.params.id, 'see', 'see this door')),
    addDoor: (asked) =>
      room.inTurn(async () => {
        const { agentId, port, listener } = asked.body;
        const agent = tables.agents.get(agentId);
        if (!agent || !may(asked, 'see', subjectOfAgent(agent))) throw wrong('agentId', 'there is no such agent');
        mustMay(asked, 'administer', subjectOfAgent(agent), 'open a door at this site');
        if (agent.state === 'revoked') throw new Fault('conflict', 'this agent is revoked', { remedy: 'join it again with a new token' });
        mustLeadTo(asked, listener);
        const address = canonicalAddress(asked.body.address)!;
        const others = doorsOf(agentId);
        mustBeFree(others, address, port);
        if (others.length >= limits.doorsPerAgentMax) throw new Fault('too-many', `the agent has ${limits.doorsPerAgentMax} doors already`);
        const door: SiteDoor = { id: room.newId(), customerId: agent.customerId, siteId: agent.siteId, agentId, address, port, listener, createdAt: clock.nowMs() };
        await operations.addDoor(door, auditOf(room, asked, 'door.added', auditedDoor(door), { agent: agent.name, address, port, listener }));
        tables.siteDoors.publish({ put: [door] });
        return viewDoor(door);
      }),
    changeDoor: (asked) =>
      room.inTurn(async () => {
        const door = doorFor(asked, asked.params.id, 'administer', 'change this door');
        const { address = door.address, port = door.port, listener = door.listener } = asked.body;
        const changed: SiteDoor = { ...door, address: canonicalAddress(address)!, port, listener };
        if (changed.listener !== door.listener) mustLeadTo(asked, changed.listener);
        mustBeFree(doorsOf(door.agentId).filter((each) => each.id !== door.id), changed.address, changed.port);
        const detail = Object.fromEntries((['address', 'port', 'listener'] as const).flatMap((field) => (changed[field] === door[field] ? [] : [[`${field} before`, door[field]], [`${field} after`, changed[field]]])));
        if (Object.keys(detail).length === 0) return viewDoor(door);
        await operations.changeDoor(changed, auditOf(room, asked, 'door.changed', auditedDoor(changed), detail));
        tables.siteDoors.publish({ put: [changed] });
        return viewDoor(changed);
      }),
    removeDoor: (asked) =>
      room.inTurn(async () => {
        const door = doorFor(asked, asked.params.id, 'administer', 'close this door');
        await operations.removeDoor(door.id, auditOf(room, asked, 'door.removed', auditedDoor(door), { agent: tables.agents.get(door.agentId)?.name ?? '', listener: door.listener }));
        tables.siteDoors.publish({ removed: [door.id] });
        return {};
      }),
  };
}
