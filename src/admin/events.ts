// The console's event stream: what changed, one stream a browser. A reader that does not keep up is let go, and reads
// everything again when it comes back.
import type { DeviceLive, EventData, EventName } from '#api/shapes.ts';
import { Fault } from '#base/fault.ts';
import { visitorLives } from '#model/credentials.ts';
import { mayAnywhere, subjectOfDevice } from '#model/rights.ts';
import type { Device } from '#model/rows.ts';
import { may, rightsOf, visitorOf, type Asked, type Known } from './asked.ts';
import { gatherChanges, type Changes } from './changes.ts';
import { subjectOfFeed } from './feeds.ts';
import type { Room } from './room.ts';
import { maySeeVisit } from './seen.ts';
import { joinTokenState } from './views.ts';

const beatEveryMs = 15_000;
const perPersonMax = 20;
const listedMax = 200;
const queuedBytesMax = 256 * 1024;

const encode = <Name extends EventName>(name: Name, data: EventData<Name>) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

function liveOf({ live, tables }: Room, device: Device): DeviceLive {
  const link = live.linkOf(device.agentId);
  return { id: device.id, online: link !== undefined, rttMs: link?.rttMs ?? null, streams: link?.streams ?? 0, bytesIn: link?.bytesIn ?? 0, bytesOut: link?.bytesOut ?? 0, lastSeenAt: (device.agentId === null ? undefined : tables.agentNotes.get(device.agentId))?.lastSeenAt ?? null };
}

/** The events that tell one person of the changes: of what they may see, and nothing else. */
function eventsFor(room: Room, known: Known, changes: Changes): string {
  const { tables, clock } = room;
  const rights = rightsOf(room, known);
  const asked = { known, rights };
  const seen = (device: Device) => may(asked, 'see', subjectOfDevice(device));
  let text = '';

  const devices: DeviceLive[] = [];
  for (const agentId of changes.agents) {
    if (devices.length > listedMax) break;
    for (const device of tables.devicesOfAgent(agentId)) if (seen(device)) devices.push(liveOf(room, device));
  }
  if (devices.length > 0) text += encode('links', { devices: devices.slice(0, listedMax), more: devices.length > listedMax });

  // What is gone cannot be judged any more; its bare id tells nothing to who never saw it.
  const ids = [...changes.devices].filter((id) => {
    const device = tables.devices.get(id);
    return !device || seen(device);
  });
  if (ids.length > 0) text += encode('devices', { ids: ids.length > listedMax ? [] : ids });

  for (const row of changes.joins.values()) {
    if (!may(asked, 'administer', { customerId: row.customerId, siteId: row.siteId })) continue;
    const device = row.usedByAgentId === null ? undefined : tables.devicesOfAgent(row.usedByAgentId)[0];
    text += encode('join', { id: row.id, state: joinTokenState(row, clock.nowMs()), deviceId: device?.id ?? null });
  }
  if (changes.visits.some((visit) => maySeeVisit(room, asked, visit))) text += encode('visits', {});
  if (changes.people) text += encode('people', {});
  if (changes.waiting.size > 0 && [...changes.waiting].some((customerId) => may(asked, 'see', { customerId }))) text += encode('waiting', {});
  const feeds = changes.feeds.filter((each) => may(asked, 'see', subjectOfFeed(room, each)));
  if (feeds.length > 0) text += encode('feeds', { feeds: feeds.slice(0, listedMax).map(({ deviceId, feed, news }) => ({ deviceId, feed, news: [...news] })), more: feeds.length > listedMax });
  const probed = [...changes.probes].filter((id) => {
    const device = tables.devices.get(id);
    return device !== undefined && seen(device);
  });
  if (probed.length > 0) text += encode('probes', { ids: probed.length > listedMax ? [] : probed });
  // A site that is gone cannot be judged any more: who sees one of the same customer reads again what it sees.
  if (changes.places.size > 0 && Array.from(tables.sites.values()).some((site) => changes.places.has(site.customerId) && may(asked, 'see', { customerId: site.customerId, siteId: site.id }))) text += encode('places', {});
  if (changes.applications && mayAnywhere(rights, 'see')) text += encode('applications', {});
  const audited = changes.applications || changes.places.size > 0 || changes.devices.size > 0 || changes.joins.size > 0 || changes.visits.length > 0 || changes.people || changes.waiting.size > 0 || changes.links || changes.certificates || changes.config;
  if (audited && mayAnywhere(rights, 'administer')) text += encode('audit', {});
  if ((changes.links || changes.certificates || changes.config) && may(asked, 'see', 'gateway')) text += encode('status', {});
  if (changes.conns && may(asked, 'see', 'gateway')) text += encode('conns', changes.conns);
  if (changes.certificates && may(asked, 'see', 'gateway')) text += encode('certificates', {});
  if (changes.config && may(asked, 'administer', 'gateway')) text += encode('config', {});
  return text;
}

interface Stream {
  readonly known: Known;
  readonly body: ReadableStream<Uint8Array>;
  send(text: string): void;
  /** Also when the reader has left by itself. */
  close(): void;
}

function openStream(known: Known, onEnd: (stream: Stream) => void): Stream {
  const encoder = new TextEncoder();
  let controller: ReadableStreamDefaultController<Uint8Array>;
  let ended = false;
  const end = () => {
    if (ended) return false;
    ended = true;
    onEnd(stream);
    return true;
  };
  const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given), cancel: () => void end() }, new ByteLengthQueuingStrategy({ highWaterMark: queuedBytesMax }));
  const stream: Stream = {
    known,
    body,
    send(text) {
      if (ended || text === '') return;
      const bytes = encoder.encode(text);
      if ((controller.desiredSize ?? 0) < bytes.length) return stream.close();
      controller.enqueue(bytes);
    },
    close() {
      if (end()) controller.close();
    },
  };
  return stream;
}

export interface Events {
  open(asked: Asked<'getEvents'>): Response;
  close(): void;
}

export function keepEvents(room: Room): Events {
  const { tables, clock, limits } = room;
  const streams = new Set<Stream>();
  /** Streams whose sign-in or token is worth nothing any more end at once. */
  const endDead = () => {
    for (const stream of streams) {
      if (visitorLives(tables, stream.known.visitor, clock.nowMs(), limits)) continue;
      stream.send(encode('bye', { why: 'the sign-in ended' }));
      stream.close();
    }
  };
  const gathering = gatherChanges(
    room,
    (changes) => {
      for (const stream of streams) stream.send(eventsFor(room, stream.known, changes));
    },
    endDead,
  );
  return {
    open(asked) {
      const { person } = visitorOf(asked);
      const mine = [...streams].filter((stream) => stream.known.visitor.person.id === person.id).length;
      if (streams.size >= limits.eventStreamsMax || mine >= perPersonMax) throw new Fault('too-many', 'too many event streams are open', { remedy: 'close some windows of the console', detail: { retryAfterS: 10 } });
      const beat = clock.every(beatEveryMs, () => {
        endDead(); // what expired by the clock changes no table
        stream.send(': still here\n\n');
      });
      const stream = openStream(asked.known!, () => {
        beat.cancel();
        streams.delete(stream);
        gathering.setListening(streams.size > 0);
      });
      streams.add(stream);
      gathering.setListening(true);
      stream.send(`retry: 2000\n\n${encode('hello', { now: clock.nowMs(), version: room.version })}`);
      return new Response(stream.body, { headers: { 'content-type': 'text/event-stream; charset=utf-8' } });
    },
    close() {
      for (const stream of streams) stream.close();
      gathering.close();
    },
  };
}
