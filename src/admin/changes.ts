// What has changed, gathered a few times a second from tables and Live, for the event streams.
import type { Timer } from '#base/clock.ts';
import type { Id } from '#base/ids.ts';
import type { FeedNews } from '#model/feed-meter.ts';
import type { ConnCounts, LiveLink } from '#model/live.ts';
import type { AgentNote, JoinToken, Visit } from '#model/rows.ts';
import type { Table } from '#model/table.ts';
import type { Room } from './room.ts';

const tellEveryMs = 250;
const measureEveryMs = 2_000;
/** The data plane tells nobody of connections: their counts are looked at while somebody listens. */
const countEveryMs = 1_000;
/** Batches come all the time, and who looks at a feed reads it again. */
const feedsEveryMs = 1_000;
const feedsGatheredMax = 1_000;

export interface ChangedFeed {
  readonly customerId: Id;
  readonly deviceId: Id;
  readonly feed: string;
  readonly news: ReadonlySet<FeedNews>;
}

export interface Changes {
  readonly devices: ReadonlySet<Id>;
  readonly joins: ReadonlyMap<Id, JoinToken>;
  /** Agents whose link came, went or moved something. */
  readonly agents: ReadonlySet<Id>;
  /** Visits that came or went; their figures move all the time and are no news. */
  readonly visits: readonly Visit[];
  readonly links: boolean;
  readonly people: boolean;
  /** Customers for whom a device began to wait, or waits no more. */
  readonly waiting: ReadonlySet<Id>;
  /** Rows came, went or changed, or an order went on. */
  readonly certificates: boolean;
  /** Feeds that got data, or to which something happened; at most once a second. */
  readonly feeds: readonly ChangedFeed[];
  /** Devices of which a probe began, went on or ended; at most once a second. */
  readonly probes: ReadonlySet<Id>;
  /** Customers of whom a site or a door came, went, changed, opened or closed. */
  readonly places: ReadonlySet<Id>;
  /** What devices may use, their URLs and sessions, or who waits to be assigned; at most once a second. */
  readonly applications: boolean;
  /** Revision, or whether it waits to be confirmed. */
  readonly config: boolean;
  /** Connections came, went or were refused. */
  readonly conns: ConnCounts | null;
}

const noChanges = () => ({ devices: new Set<Id>(), joins: new Map<Id, JoinToken>(), agents: new Set<Id>(), visits: [] as Visit[], links: false, people: false, waiting: new Set<Id>(), certificates: false, feeds: [] as ChangedFeed[], probes: new Set<Id>(), places: new Set<Id>(), applications: false, config: false, conns: null as ConnCounts | null });

/** What runs, compared with the last time. */
function buildComparison({ live }: Pick<Room, 'live'>) {
  const linksNow = () => new Map(live.links().map((link) => [link.agentId, link]));
  const visitsNow = () => new Map(live.visits().map((visit) => [visit.id, visit]));
  const sameLink = (a: LiveLink, b: LiveLink | undefined) => a.id === b?.id && a.rttMs === b.rttMs && a.streams === b.streams && a.bytesIn === b.bytesIn && a.bytesOut === b.bytesOut;
  let links = new Map<Id, LiveLink>();
  let visits = new Map<Id, Visit>();
  return {
    start() {
      links = linksNow();
      visits = visitsNow();
    },
    movedAgents(): Id[] {
      const [before, now] = [links, (links = linksNow())];
      return [...[...now.values()].filter((link) => !sameLink(link, before.get(link.agentId))).map((link) => link.agentId), ...[...before.keys()].filter((agentId) => !now.has(agentId))];
    },
    movedVisits(): Visit[] {
      const [before, now] = [visits, (visits = visitsNow())];
      return [...[...now.values()].filter((visit) => !before.has(visit.id)), ...[...before.values()].filter((visit) => !now.has(visit.id))];
    },
  };
}

/** Notes are written all the time; that an agent announced another policy or version is news. */
function buildAnnouncements({ tables }: Pick<Room, 'tables'>) {
  const announced = new Map<Id, string>();
  const isNews = ({ agentId, version, policy }: AgentNote): boolean => {
    const says = `${version} ${policy}`;
    const before = announced.get(agentId);
    announced.set(agentId, says);
    return before !== says;
  };
  for (const row of tables.agentNotes.values()) isNews(row);
  return { isNews, forget: (agentId: Id) => void announced.delete(agentId) };
}

/** Who waits is knocking all the time; that one came or went is news. */
function watchWaiting({ tables }: Pick<Room, 'tables'>, tell: (customerIds: readonly Id[]) => void): () => void {
  const customers = new Map(Array.from(tables.waitingDevices.values(), (row) => [row.id, row.customerId]));
  return tables.waitingDevices.watch(({ put, removed }) => {
    const gone = removed.flatMap((id) => customers.get(id) ?? []);
    for (const id of removed) customers.delete(id);
    const come = put.filter((row) => !customers.has(row.id));
    for (const row of come) customers.set(row.id, row.customerId);
    const told = [...gone, ...come.map((row) => row.customerId)];
    if (told.length > 0) tell(told);
  });
}

/** Sites and doors, and how doors fare. What is gone is told by whose it was. */
function watchPlaces({ tables, doors }: Pick<Room, 'tables' | 'doors'>, tell: (customerIds: Iterable<Id>) => void): () => void {
  const watchRows = <Row extends { readonly customerId: Id }>(table: Table<Row>, keyOf: (row: Row) => Id): (() => void) => {
    const owners = new Map(Array.from(table.values(), (row) => [keyOf(row), row.customerId]));
    return table.watch(({ put, removed }) => {
      const told = [...put.map((row) => row.customerId), ...removed.flatMap((id) => owners.get(id) ?? [])];
      for (const id of removed) owners.delete(id);
      for (const row of put) owners.set(keyOf(row), row.customerId);
      tell(told);
    });
  };
  const stops = [
    watchRows(tables.sites, (row) => row.id),
    watchRows(tables.sitePlaces, (row) => row.siteId),
    watchRows(tables.siteDoors, (row) => row.id),
    doors?.watch(() => tell(new Set(Array.from(tables.siteDoors.values(), (row) => row.customerId)))) ?? (() => {}),
  ];
  return () => stops.forEach((stop) => stop());
}

/** What devices may use and what they do there. Who waits to be assigned tells nobody: `look` compares with the last time. */
function watchApplications({ tables, deviceSessions, identity, clock }: Pick<Room, 'tables' | 'deviceSessions' | 'identity' | 'clock'>, tell: () => void): { readonly look: () => void; readonly stop: () => void } {
  const unassignedNow = () => identity?.origins.unassigned(clock.nowMs()).map(({ code, count }) => `${code} ${count}`).join() ?? '';
  let unassigned = '';
  const stops = [
    tables.jobSources.watch(tell),
    tables.deviceTokens.watch(tell),
    deviceSessions?.watch(tell) ?? (() => {}),
  ];
  return {
    look() {
      const [before, now] = [unassigned, (unassigned = unassignedNow())];
      if (now !== before) tell();
    },
    stop: () => stops.forEach((stop) => stop()),
  };
}

export interface Gathering {
  /** Nothing is gathered, and no timer runs, unless somebody listens. */
  setListening(listening: boolean): void;
  close(): void;
}

export function gatherChanges(room: Room, tell: (changes: Changes) => void, onPeopleLeft: () => void): Gathering {
  const { tables, live, clock, control } = room;
  const comparison = buildComparison(room);
  const announcements = buildAnnouncements(room);
  let changes = noChanges();
  let listening = false;
  let visitsMoved = false;
  let telling: Timer | undefined;
  let measuring: Timer | undefined;
  let counting: Timer | undefined;
  let counted: ConnCounts | null = null;
  let feedsMoved = new Map<string, { readonly customerId: Id; readonly deviceId: Id; readonly feed: string; readonly news: Set<FeedNews> }>();
  let feedsTelling: Timer | undefined;
  let probesMoved = new Set<Id>();
  let probesTelling: Timer | undefined;

  let applicationsTelling: Timer | undefined;
  const applications = watchApplications(room, () => {
    if (!listening) return;
    applicationsTelling ??= clock.after(feedsEveryMs, () => {
      applicationsTelling = undefined;
      note(() => (changes.applications = true));
    });
  });

  const tellNow = () => {
    telling = undefined;
    if (visitsMoved) changes.visits.push(...comparison.movedVisits());
    visitsMoved = false;
    const told = changes;
    changes = noChanges();
    tell(told);
  };
  const note = (mark: () => void) => {
    if (!listening) return;
    mark();
    telling ??= clock.after(tellEveryMs, tellNow);
  };
  const measure = () => {
    const moved = comparison.movedAgents();
    if (moved.length > 0) note(() => moved.forEach((agentId) => changes.agents.add(agentId)));
    applications.look();
  };
  const count = () => {
    const [before, now] = [counted, (counted = live.connCounts())];
    if (now.open !== before?.open || now.accepted !== before.accepted || now.refused !== before.refused) note(() => (changes.conns = now));
  };
  const devices = (ids: Iterable<Id>) => note(() => Array.from(ids).forEach((id) => changes.devices.add(id)));
  const devicesOf = (agentId: Id) => devices(tables.devicesOfAgent(agentId).map((device) => device.id));
  const certificates = () => note(() => (changes.certificates = true));
  const people = () => note(() => (changes.people = true));
  const left = () => {
    people();
    onPeopleLeft();
  };

  const unwatch = [
    tables.devices.watch(({ put, removed }) => devices([...put.map((row) => row.id), ...removed])),
    tables.virtualAddresses.watch(({ put, removed }) => devices([...put.map((row) => row.deviceId), ...removed])),
    tables.agents.watch(({ put }) => put.forEach((row) => devicesOf(row.id))),
    tables.agentNotes.watch(({ put, removed }) => {
      for (const row of put) if (announcements.isNews(row)) devicesOf(row.agentId);
      removed.forEach(announcements.forget);
    }),
    tables.joinTokens.watch(({ put }) => note(() => put.forEach((row) => changes.joins.set(row.id, row)))),
    tables.certificates.watch(() => certificates()),
    tables.deliveries.watch(() => certificates()),
    room.acme?.watch(() => certificates()) ?? (() => {}),
    watchWaiting(room, (customerIds) => note(() => customerIds.forEach((id) => changes.waiting.add(id)))),
    tables.people.watch(left),
    tables.rights.watch(people),
    tables.invites.watch(people),
    // Batches of "last used" are puts, too: they are no news.
    tables.signIns.watch(({ removed }) => removed.length > 0 && left()),
    tables.tokens.watch(({ removed }) => removed.length > 0 && left()),
    room.feeds.watch(({ customerId, deviceId, feed, news }) => {
      if (!listening) return;
      const key = `${deviceId} ${feed}`;
      const moved = feedsMoved.get(key);
      if (moved) for (const each of news) moved.news.add(each);
      else if (feedsMoved.size < feedsGatheredMax) feedsMoved.set(key, { customerId, deviceId, feed, news: new Set(news) });
      feedsTelling ??= clock.after(feedsEveryMs, () => {
        feedsTelling = undefined;
        const told = [...feedsMoved.values()];
        feedsMoved = new Map();
        note(() => changes.feeds.push(...told));
      });
    }),
    room.probes?.watch((deviceId) => {
      if (!listening || probesMoved.size >= feedsGatheredMax) return;
      probesMoved.add(deviceId);
      probesTelling ??= clock.after(feedsEveryMs, () => {
        probesTelling = undefined;
        const told = probesMoved;
        probesMoved = new Set();
        note(() => told.forEach((id) => changes.probes.add(id)));
      });
    }) ?? (() => {}),
    watchPlaces(room, (customerIds) => note(() => Array.from(customerIds).forEach((id) => changes.places.add(id)))),
    control.watchState(() => note(() => (changes.config = true))),
    live.watch((topic) => {
      if (topic === 'visits') return note(() => (visitsMoved = true));
      note(() => (changes.links = true));
      if (listening) measure();
    }),
  ];
  const setListening = (wanted: boolean) => {
    if (wanted === listening) return;
    listening = wanted;
    telling?.cancel();
    measuring?.cancel();
    counting?.cancel();
    feedsTelling?.cancel();
    probesTelling?.cancel();
    applicationsTelling?.cancel();
    telling = measuring = counting = feedsTelling = probesTelling = applicationsTelling = undefined;
    feedsMoved = new Map();
    probesMoved = new Set();
    if (!wanted) return;
    changes = noChanges();
    visitsMoved = false;
    comparison.start();
    measuring = clock.every(measureEveryMs, measure);
    counted = live.connCounts();
    counting = clock.every(countEveryMs, count);
  };
  return {
    setListening,
    close() {
      setListening(false);
      for (const stop of unwatch) stop();
      applications.stop();
    },
  };
}
