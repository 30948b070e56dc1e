// The console's event stream: what changed, one stream a browser. Changes are gathered and told a few times a second; a
// reader that does not keep up is let go and reads everything again when it comes back.
import type { DeviceLive, EventData, EventName } from '#api/shapes.ts';
import type { Timer } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { visitorLives } from '#model/credentials.ts';
import type { LiveLink } from '#model/live.ts';
import { mayAnywhere, subjectOfDevice } from '#model/rights.ts';
import type { AgentNote, Device, JoinToken, Visit } from '#model/rows.ts';
import { may, rightsOf, visitorOf, type Asked, type Known } from './asked.ts';
import type { Room } from './room.ts';
import { maySeeVisit } from './seen.ts';
import { joinTokenState } from './views.ts';

const tellEveryMs = 250;
const measureEveryMs = 2_000;
const beatEveryMs = 15_000;
const perPersonMax = 20;
const listedMax = 200;
const queuedBytesMax = 256 * 1024;

interface Stream {
  readonly known: Known;
  send(text: string): void;
  close(): void;
}

export interface Events {
  open(asked: Asked<'getEvents'>): Response;
  close(): void;
}

const encode = <Name extends EventName>(name: Name, data: EventData<Name>) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/** What has changed since it was last told. */
function buildChanges() {
  return { devices: new Set<Id>(), joins: new Map<Id, JoinToken>(), agents: new Set<Id>(), visits: [] as Visit[], links: false, people: false };
}

export function keepEvents(room: Room): Events {
  const { tables, live, clock, limits } = room;
  const streams = new Set<Stream>();
  const encoder = new TextEncoder();
  let changes = buildChanges();
  let telling: Timer | undefined;
  let measuring: Timer | undefined;
  let lastLinks = new Map<Id, LiveLink>();
  let lastVisits = new Map<Id, Visit>();
  let visitsMoved = false;

  const liveOf = (device: Device): DeviceLive => {
    const link = live.linkOf(device.agentId);
    return { id: device.id, online: link !== undefined, rttMs: link?.rttMs ?? null, streams: link?.streams ?? 0, bytesIn: link?.bytesIn ?? 0, bytesOut: link?.bytesOut ?? 0, lastSeenAt: tables.agentNotes.get(device.agentId)?.lastSeenAt ?? null };
  };

  /** Agents whose link came, went or moved something since the last time. */
  const measure = () => {
    const links = new Map(live.links().map((link) => [link.agentId, link]));
    const same = (a: LiveLink | undefined, b: LiveLink | undefined) => a?.id === b?.id && a?.rttMs === b?.rttMs && a?.streams === b?.streams && a?.bytesIn === b?.bytesIn && a?.bytesOut === b?.bytesOut;
    for (const [agentId, link] of links) if (!same(link, lastLinks.get(agentId))) changes.agents.add(agentId);
    for (const agentId of lastLinks.keys()) if (!links.has(agentId)) changes.agents.add(agentId);
    lastLinks = links;
    if (changes.agents.size > 0) tellSoon();
  };

  /** Visits that came or went; their figures move all the time and are no news. */
  const compareVisits = () => {
    const visits = new Map(live.visits().map((visit) => [visit.id, visit]));
    for (const [id, visit] of visits) if (!lastVisits.has(id)) changes.visits.push(visit);
    for (const [id, visit] of lastVisits) if (!visits.has(id)) changes.visits.push(visit);
    lastVisits = visits;
  };

  const tellOne = (stream: Stream, told: ReturnType<typeof buildChanges>) => {
    const rights = rightsOf(room, stream.known);
    const asked = { known: stream.known, rights };
    const seen = (device: Device | undefined): device is Device => device !== undefined && may(asked, 'see', subjectOfDevice(device));
    if (told.agents.size > 0) {
      const devices: DeviceLive[] = [];
      let more = false;
      outer: for (const agentId of told.agents) {
        for (const device of tables.devicesOfAgent(agentId)) {
          if (!seen(device)) continue;
          if (devices.length === listedMax) {
            more = true;
            break outer;
          }
          devices.push(liveOf(device));
        }
      }
      if (devices.length > 0) stream.send(encode('links', { devices, more }));
    }
    if (told.devices.size > 0) {
      // What is gone cannot be judged any more; its bare id tells nothing to who never saw it.
      const ids = [...told.devices].filter((id) => !tables.devices.get(id) || seen(tables.devices.get(id)));
      if (ids.length > 0) stream.send(encode('devices', { ids: ids.length > listedMax ? [] : ids }));
    }
    for (const row of told.joins.values()) {
      if (!may(asked, 'administer', { customerId: row.customerId, siteId: row.siteId })) continue;
      const device = row.usedByAgentId === null ? undefined : tables.devicesOfAgent(row.usedByAgentId)[0];
      stream.send(encode('join', { id: row.id, state: joinTokenState(row, clock.nowMs()), deviceId: device?.id ?? null }));
    }
    if (told.visits.some((visit) => maySeeVisit(room, asked, visit))) stream.send(encode('visits', {}));
    if (told.people) stream.send(encode('people', {}));
    const audited = told.devices.size > 0 || told.joins.size > 0 || told.visits.length > 0 || told.people || told.links;
    if (audited && mayAnywhere(rights, 'administer')) stream.send(encode('audit', {}));
    if (told.links && may(asked, 'see', 'gateway')) stream.send(encode('status', {}));
  };

  const tell = () => {
    telling = undefined;
    if (visitsMoved) compareVisits();
    visitsMoved = false;
    const told = changes;
    changes = buildChanges();
    for (const stream of streams) tellOne(stream, told);
  };
  const tellSoon = () => {
    if (streams.size > 0) telling ??= clock.after(tellEveryMs, tell);
  };
  const note = (mark: () => void) => {
    if (streams.size === 0) return;
    mark();
    tellSoon();
  };
  /** Streams whose sign-in or token is worth nothing any more end at once. */
  const endDead = () => {
    for (const stream of streams) {
      if (visitorLives(tables, stream.known.visitor, clock.nowMs(), limits)) continue;
      stream.send(encode('bye', { why: 'the sign-in ended' }));
      stream.close();
    }
  };

  // Notes are written all the time; that an agent announced another policy or version is news.
  const announced = new Map<Id, string>();
  const sayOf = ({ version, policy }: AgentNote) => `${version} ${policy}`;
  for (const row of tables.agentNotes.values()) announced.set(row.agentId, sayOf(row));
  const noteAnnounced = (row: AgentNote) => {
    if (announced.get(row.agentId) === sayOf(row)) return;
    announced.set(row.agentId, sayOf(row));
    note(() => tables.devicesOfAgent(row.agentId).forEach((device) => changes.devices.add(device.id)));
  };

  const people = () => note(() => (changes.people = true));
  const unwatch = [
    tables.devices.watch(({ put, removed }) => note(() => [...put.map((row) => row.id), ...removed].forEach((id) => changes.devices.add(id)))),
    tables.agents.watch(({ put }) => note(() => put.forEach((row) => tables.devicesOfAgent(row.id).forEach((device) => changes.devices.add(device.id))))),
    tables.agentNotes.watch(({ put, removed }) => (put.forEach(noteAnnounced), removed.forEach((agentId) => announced.delete(agentId)))),
    tables.joinTokens.watch(({ put }) => note(() => put.forEach((row) => changes.joins.set(row.id, row)))),
    tables.people.watch(() => (people(), endDead())),
    tables.rights.watch(people),
    tables.invites.watch(people),
    // Batches of "last used" are puts, too: they are no news.
    tables.signIns.watch(({ removed }) => removed.length > 0 && (people(), endDead())),
    tables.tokens.watch(({ removed }) => removed.length > 0 && (people(), endDead())),
    live.watch((topic) => note(() => (topic === 'links' ? ((changes.links = true), measure()) : (visitsMoved = true)))),
  ];

  const open = (asked: Asked<'getEvents'>): Response => {
    const visitor = visitorOf(asked);
    const mine = [...streams].filter((stream) => stream.known.visitor.person.id === visitor.person.id).length;
    if (streams.size >= limits.eventStreamsMax || mine >= perPersonMax) throw new Fault('too-many', 'too many event streams are open', { remedy: 'close some windows of the console', detail: { retryAfterS: 10 } });
    let stream: Stream | undefined;
    const end = () => {
      beat.cancel();
      if (stream) streams.delete(stream);
      if (streams.size > 0) return;
      measuring?.cancel();
      telling?.cancel();
      measuring = telling = undefined;
    };
    const beat = clock.every(beatEveryMs, () => {
      endDead(); // what expired by the clock changes no table
      stream?.send(': still here\n\n');
    });
    const body = new ReadableStream<Uint8Array>(
      {
        start(controller) {
          stream = {
            known: asked.known!,
            send(text) {
              if (!streams.has(stream!)) return;
              const bytes = encoder.encode(text);
              if ((controller.desiredSize ?? 0) - bytes.length < 0) return this.close();
              controller.enqueue(bytes);
            },
            close() {
              if (!streams.has(stream!)) return;
              end();
              controller.close();
            },
          };
          streams.add(stream);
          stream.send(`retry: 2000\n\n${encode('hello', { now: clock.nowMs(), version: room.version })}`);
        },
        cancel: end,
      },
      new ByteLengthQueuingStrategy({ highWaterMark: queuedBytesMax }),
    );
    if (!measuring) {
      lastLinks = new Map(live.links().map((link) => [link.agentId, link]));
      lastVisits = new Map(live.visits().map((visit) => [visit.id, visit]));
      measuring = clock.every(measureEveryMs, measure);
    }
    return new Response(body, { headers: { 'content-type': 'text/event-stream; charset=utf-8' } });
  };

  return {
    open,
    close() {
      for (const stop of unwatch) stop();
      for (const stream of streams) stream.close();
    },
  };
}
