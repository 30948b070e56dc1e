// What devices brought, as people look at it: feeds, their epochs, records in order, gaps, and the bytes as they came.
import { isUtf8 } from 'node:buffer';
import type { EpochView, FeedView, GapView, RecordItem, RecordsView } from '#api/feed-shapes.ts';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { FeedState, FoundRecord } from '#model/intake.ts';
import { startOfLast } from '#model/last-records.ts';
import { compilePattern } from '#model/pattern.ts';
import { subjectOfDevice, type Subject } from '#model/rights.ts';
import type { Action, Feed, FeedEpoch, FeedGap } from '#model/rows.ts';
import { parseSaidFeed } from '#wire/device.ts';
import { auditOf, may, mustMay, type Acts, type Anyone, type Asked } from './asked.ts';
import { parseCursor, writeCursor } from './pages.ts';
import type { Room } from './room.ts';

type Names = 'listFeeds' | 'getFeed' | 'searchRecords' | 'listGaps' | 'removeFeed';

const feedsPerRead = 250;
/** Reads of the store for one page of the list: who may see few of many feeds goes on with the cursor. */
const readsPerPage = 20;
const searchForMs = 1_500;

/** By its device, which may be anywhere in its customer; of one that is not there (any more), by the customer. */
export function subjectOfFeed({ tables }: Pick<Room, 'tables'>, { deviceId, customerId }: Pick<Feed, 'deviceId' | 'customerId'>): Subject {
  const device = tables.devices.get(deviceId);
  return device ? subjectOfDevice(device) : { customerId };
}

async function feedFor(room: Room, asked: Anyone, id: string, action: Action, what: string): Promise<FeedState> {
  const state = await room.operations.findFeed(id);
  const subject = state && subjectOfFeed(room, state.feed);
  if (!state || !may(asked, 'see', subject!)) throw new Fault('not-found', 'there is no such feed, or you may not see it', { remedy: 'postern feeds lists them', detail: { hidden: state !== null } });
  mustMay(asked, action, subject!, what);
  return state;
}

function epochOf({ feed, epochs }: FeedState, wanted: string | undefined): FeedEpoch {
  const found = wanted === undefined ? epochs[0] : epochs.find((each) => each.epoch === wanted);
  if (!found) throw new Fault('not-found', wanted === undefined ? `nothing has come of "${feed.name}" yet` : `"${feed.name}" has no epoch ${wanted} here`);
  return found;
}

export function buildFeedActs(room: Room): Acts<Names> {
  return {
    listFeeds: (asked) => listFeeds(room, asked),
    async getFeed(asked) {
      const state = await feedFor(room, asked, asked.params.feed, 'see', 'see this feed');
      return { ...viewFeed(room, asked, state), epochs: state.epochs.map(viewEpoch) };
    },
    searchRecords: (asked) => searchRecords(room, asked),
    async listGaps(asked) {
      const state = await feedFor(room, asked, asked.params.feed, 'see', 'see what is lost of this feed');
      const names = new Map(state.epochs.map(({ number, epoch }) => [number, epoch]));
      const items: GapView[] = [];
      for (const gap of await room.operations.listGaps(state.feed.id, asked.query.limit)) {
        if (!names.has(gap.epoch)) names.set(gap.epoch, (await room.operations.readEpoch(gap.epoch))?.epoch ?? '');
        const epoch = names.get(gap.epoch)!;
        if (epoch !== '') items.push({ epoch, ...viewGap(gap) });
      }
      return { items };
    },
    async removeFeed(asked) {
      const { feed, bytes } = await feedFor(room, asked, asked.params.feed, 'administer', 'remove this feed');
      await room.operations.removeFeed(feed.id, auditOf(room, asked, 'feed.removed', { customerId: feed.customerId, kind: 'feed', id: feed.id, name: `${feed.serial}/${feed.name}` }, { deviceId: feed.deviceId, bytes }));
      return {};
    },
  };
}

async function listFeeds(room: Room, asked: Asked<'listFeeds'>): Promise<{ items: FeedView[]; next: string | null }> {
  const { cursor, limit, deviceId, customerId, search } = asked.query;
  const wanted = search?.trim().toLowerCase() ?? '';
  const fits = ({ name, serial, deviceId: of }: Feed): boolean => {
    if (wanted === '') return true;
    const device = room.tables.devices.get(of);
    return [name, serial, `${serial}/${name}`, device?.name, device?.label, device && `${device.label}/${name}`].some((text) => text?.toLowerCase().includes(wanted));
  };
  const items: FeedView[] = [];
  let afterId = cursor === undefined ? undefined : parseCursor(cursor);
  for (let reads = 0; reads < readsPerPage; reads++) {
    const asking = Math.min(feedsPerRead, Math.max(50, (limit - items.length) + 1));
    const states = await room.operations.listFeeds({ limit: asking, ...(deviceId === undefined ? {} : { deviceId }), ...(customerId === undefined ? {} : { customerId }), ...(afterId === undefined ? {} : { afterId }) });
    for (const state of states) {
      if (may(asked, 'see', subjectOfFeed(room, state.feed)) && fits(state.feed)) {
        if (items.length === limit) return { items, next: writeCursor(afterId!) };
        items.push(viewFeed(room, asked, state));
      }
      afterId = state.feed.id;
    }
    if (states.length < asking) return { items, next: null };
  }
  return { items, next: writeCursor(afterId!) };
}

async function searchRecords(room: Room, asked: Asked<'searchRecords'>): Promise<RecordsView> {
  const { operations, clock } = room;
  const { last, pattern = null, limit } = asked.query;
  if (last !== undefined && asked.query.from !== undefined) throw new Fault('bad-input', 'from and last do not go together');
  if (pattern !== null) compilePattern(pattern);
  const epoch = epochOf(await feedFor(room, asked, asked.params.feed, 'see', 'read this feed'), asked.query.epoch);
  const first = last === undefined ? (asked.query.from ?? epoch.first) : await lastOf(room, epoch, last);
  const items: RecordItem[] = [];
  const until = clock.monoMs() + searchForMs;
  let reached = Math.max(first, epoch.first);
  let atEnd = false;
  let records = 0;
  let shownBytes = 0;
  // One read of the store looks at a bounded amount; several while there is time, so that a rare pattern needs few questions.
  do {
    const from = reached;
    const page = await operations.searchRecords({ epoch: epoch.number, from, pattern, limit: limit - records });
    ({ reached, atEnd } = page);
    const found: { at: number; item: RecordItem }[] = [];
    for (const record of page.records) {
      if (shownBytes > 0 && shownBytes + record.bytes.length > limits.recordsPageBytesMax) {
        [reached, atEnd] = [record.off, false];
        break;
      }
      const item = viewRecord(record);
      shownBytes += Math.min(record.bytes.length, limits.recordShownBytesMax);
      records += 1;
      found.push({ at: record.off, item });
    }
    // One that begins where this ends is the first of what follows.
    for (const gap of page.gaps) if (gap.fromOff < reached || (atEnd && gap.fromOff <= reached)) found.push({ at: gap.fromOff, item: { kind: 'gap', ...viewGap(gap) } });
    items.push(...found.sort((a, b) => a.at - b.at).map(({ item }) => item));
    if (reached <= from) break;
  } while (!atEnd && records < limit && shownBytes < limits.recordsPageBytesMax && clock.monoMs() < until && !asked.signal.aborted);
  return { epoch: epoch.epoch, format: epoch.format, items, reached, atEnd };
}

/** Where the last records begin; looks at the last few megabytes, once more where they hold nothing to go by. */
async function lastOf({ operations }: Room, epoch: FeedEpoch, wanted: number): Promise<number> {
  for (const bytes of [limits.searchBytesMax / 64, limits.searchBytesMax / 2]) {
    const from = Math.max(epoch.first, epoch.next - bytes);
    const { chunks, gaps } = await operations.readChunks(epoch.number, from, limits.chunkPageBytesMax);
    // What came while this was read is not counted with what was there.
    const there = chunks.filter((chunk) => chunk.off + chunk.body.length <= epoch.next);
    const start = startOfLast({ epoch, chunks: there, gaps: gaps.filter((gap) => gap.toOff <= epoch.next) }, wanted);
    if (start !== null && (from === epoch.first || there.reduce((sum, chunk) => sum + chunk.records, 0) > wanted || bytes === limits.searchBytesMax / 2)) return start;
  }
  throw new Fault('unsupported', `where the last records begin cannot be told: ${epoch.format} can only be read forwards`, { remedy: 'Read from an offset of a record, or from the beginning.' });
}

/** The other act whose answer is no JSON: bytes of a device, which must never be taken for a page. */
export async function readFeedBytes(room: Room, asked: Asked<'readFeedBytes'>): Promise<Response> {
  const state = await feedFor(room, asked, asked.params.feed, 'see', 'read this feed');
  const epoch = epochOf(state, asked.query.epoch);
  const { from = epoch.first, to = Number.MAX_SAFE_INTEGER } = asked.query;
  const { chunks, atEnd } = await room.operations.readChunks(epoch.number, from, limits.chunkPageBytesMax);
  const parts: Uint8Array[] = [];
  const begins = Math.min(to, Math.max(from, chunks[0]?.off ?? Math.max(from, epoch.next)));
  let next = begins;
  let whole = true;
  for (const { off, body } of chunks) {
    if (off > next || next >= to) {
      whole = false;
      break;
    }
    const part = body.subarray(next - off, Math.min(body.length, to - off));
    parts.push(part);
    next += part.length;
  }
  const isEnd = (atEnd && whole) || next >= to;
  return new Response(new Blob(parts as Uint8Array<ArrayBuffer>[]), {
    headers: {
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="${state.feed.name}-${epoch.epoch}-${begins}.bin"`,
      'content-security-policy': "sandbox; default-src 'none'; frame-ancestors 'none'",
      'postern-from': String(begins), 'postern-next': String(next), 'postern-end': isEnd ? '1' : '0',
    },
  });
}

const behindOf = ({ claimed, next }: FeedEpoch) => (claimed === null ? 0 : Math.max(0, claimed - next));

function viewEpoch(row: FeedEpoch): EpochView {
  const { epoch, kind, format, start, first, next, boundary, unframed, records, batches, repeats, gaps, lostBytes, conflicts, sealedAt, sealedTo, createdAt, lastAt } = row;
  return { epoch, kind, format, start, first, next, boundary, unframed, records, batches, repeats, gaps, lostBytes, conflicts, behindBytes: behindOf(row), sealedAt, sealedTo, createdAt, lastAt };
}

function viewFeed(room: Room, asked: Anyone, { feed, epochs, bytes }: FeedState): FeedView {
  const { tables } = room;
  const { id, customerId, deviceId, serial, name, createdAt } = feed;
  const device = tables.devices.get(deviceId);
  const note = tables.deviceNotes.get(deviceId);
  const line = note?.facts[`feed.${name}`];
  const said = line === undefined ? null : parseSaidFeed(name, line);
  const sum = (of: (epoch: FeedEpoch) => number) => epochs.reduce((total, epoch) => total + of(epoch), 0);
  return {
    id, customerId, deviceId, serial, name, createdAt, bytes,
    customer: tables.customers.get(customerId)?.key ?? '',
    device: device ? { name: device.name, label: device.label } : null,
    waiting: tables.waitingDevices.get(deviceId) !== undefined,
    lastAt: epochs.length === 0 ? null : Math.max(...epochs.map((epoch) => epoch.lastAt)),
    records: sum((epoch) => epoch.records), batches: sum((epoch) => epoch.batches), gaps: sum((epoch) => epoch.gaps), conflicts: sum((epoch) => epoch.conflicts),
    behindBytes: sum((epoch) => (epoch.sealedAt === null ? behindOf(epoch) : 0)),
    unframed: epochs.some((epoch) => epoch.unframed && epoch.sealedAt === null),
    epoch: epochs[0] ? viewEpoch(epochs[0]) : null,
    rate: room.feeds.rateOf(deviceId, name),
    recentBytes: [...room.feeds.recentOf(deviceId, name)],
    said: said && { epoch: said.epoch, next: said.next, pendingBytes: said.pending, lostBytes: said.lost, at: note?.lastCheckInAt ?? null },
    mayRemove: may(asked, 'administer', subjectOfFeed(room, feed)),
  };
}

const viewGap = ({ fromOff, toOff, reason, at }: FeedGap) => ({ from: fromOff, to: toOff, reason, at });

function viewRecord({ off, end, receivedAt, atMs, broken, bytes }: FoundRecord): RecordItem {
  const cut = bytes.length > limits.recordShownBytesMax;
  const shown = cut ? bytes.subarray(0, textEnd(bytes, limits.recordShownBytesMax)) : bytes;
  const isText = isUtf8(shown);
  const buffer = Buffer.from(shown.buffer, shown.byteOffset, shown.byteLength);
  return { kind: 'record', off, end, receivedAt, atMs, broken, text: isText ? buffer.toString('utf8') : null, hex: isText ? null : buffer.toString('hex'), bytes: bytes.length, cut };
}

/** Not in the middle of a character. */
function textEnd(bytes: Uint8Array, most: number): number {
  let end = most;
  while (end > most - 3 && (bytes[end]! & 0xc0) === 0x80) end--;
  return end;
}
