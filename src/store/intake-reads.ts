// Reading what devices brought: feeds and their epochs, chunks, and records, which are made of the chunks again.
import type { Kysely } from 'kysely';
import type { Id } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import type { ChunkPage, FeedQuery, FeedState, FoundRecord, SearchPage, SearchQuery } from '#model/intake.ts';
import { compilePattern } from '#model/pattern.ts';
import type { Feed, FeedAlert, FeedEpoch, FeedGap } from '#model/rows.ts';
import { type FeedRecord, parseFormat, recordBytesMax, RecordSplitter } from '#wire/records.ts';
import { codecs, type Schema } from './schema.ts';

const epochsShown = 100;
const rowsMax = 1_000;
/** In so many bytes a record that begins at the first of them has ended: a search that read less might never go on. */
const wholeRecordBytes = 2 * recordBytesMax;

async function epochOf(db: Kysely<Schema>, number: number): Promise<FeedEpoch | null> {
  const row = await db.selectFrom('feedEpoch').selectAll().where('number', '=', number).executeTakeFirst();
  return row ? codecs.feedEpoch.load(row) : null;
}

async function statesOf(db: Kysely<Schema>, feeds: readonly Feed[]): Promise<FeedState[]> {
  if (feeds.length === 0) return [];
  const ids = feeds.map((feed) => feed.id);
  const rows = (await db.selectFrom('feedEpoch').selectAll().where('feedId', 'in', ids).orderBy('number', 'desc').execute()).map(codecs.feedEpoch.load);
  const byFeed = Map.groupBy(rows, (row) => row.feedId);
  return feeds.map((feed) => {
    const epochs = byFeed.get(feed.id) ?? [];
    // What a gap took is not here; retention takes whole chunks from the front.
    const bytes = epochs.reduce((sum, each) => sum + Math.max(0, each.next - each.first - each.lostBytes), 0);
    return { feed, epochs: epochs.slice(0, epochsShown), bytes };
  });
}

/** Chunks from the one that holds `from`, up to so many bytes behind it, and at least so many where they are there. */
async function chunksFrom(db: Kysely<Schema>, epoch: number, from: number, bytesMax: number, bytesMin = 1): Promise<{ chunks: Schema['chunk'][]; atEnd: boolean }> {
  const before = (await db.selectFrom('chunk').select((sql) => sql.fn.max('off').as('off')).where('epoch', '=', epoch).where('off', '<=', from).executeTakeFirst()) as { off: number | null } | undefined;
  let at = before?.off ?? from;
  const chunks: Schema['chunk'][] = [];
  let bytes = 0;
  for (;;) {
    // Sizes first: a page of large chunks must not be read whole to be thrown away.
    const sizes = await db.selectFrom('chunk').select(['off', 'len']).where('epoch', '=', epoch).where('off', '>=', at).orderBy('off').limit(256).execute();
    if (sizes.length === 0) return { chunks, atEnd: true };
    let last = -1;
    for (const { off, len } of sizes) {
      const behind = Math.min(len, Math.max(0, off + len - from));
      if (bytes >= bytesMin && bytes + behind > bytesMax) break;
      bytes += behind;
      last = off;
    }
    if (last < 0) return { chunks, atEnd: false };
    const rows = await db.selectFrom('chunk').selectAll().where('epoch', '=', epoch).where('off', '>=', at).where('off', '<=', last).orderBy('off').execute();
    // The first may lie wholly before `from`: behind it is a gap, or the end.
    chunks.push(...rows.filter((row) => row.off + row.len > from));
    if (last < sizes.at(-1)!.off || bytes >= bytesMax) {
      const more = await db.selectFrom('chunk').select('off').where('epoch', '=', epoch).where('off', '>', last).limit(1).executeTakeFirst();
      return { chunks, atEnd: !more };
    }
    at = last + 1;
  }
}

async function gapsBetween(db: Kysely<Schema>, epoch: number, from: number, to: number): Promise<FeedGap[]> {
  return (await db.selectFrom('feedGap').selectAll().where('epoch', '=', epoch).where('toOff', '>', from).where('fromOff', '<=', to).orderBy('fromOff').limit(rowsMax).execute()).map(codecs.feedGap.load);
}

const copyOf = (record: FeedRecord, receivedAt: number): FoundRecord => ({ off: record.off, end: record.end, receivedAt, atMs: record.atMs, broken: record.broken, bytes: Uint8Array.from(record.bytes) });

/** Where splitting may begin for a record at `from`: itself, or what retention left. */
async function splitFrom(db: Kysely<Schema>, epoch: FeedEpoch, from: number): Promise<number> {
  if (from <= epoch.first) return epoch.first;
  // Any offset may be asked for; a record begins for sure only at the start, behind a gap, and where the caller was told that one does.
  const gap = (await db.selectFrom('feedGap').select((sql) => sql.fn.max('toOff').as('toOff')).where('epoch', '=', epoch.number).where('fromOff', '<', from).executeTakeFirst()) as { toOff: number | null } | undefined;
  const to = gap?.toOff ?? 0;
  return to > from ? to : from;
}

export const intakeReads = {
  async findEpoch(db: Kysely<Schema>, deviceId: Id, feed: string, epoch: string): Promise<FeedEpoch | null> {
    const row = await db
      .selectFrom('feedEpoch')
      .innerJoin('feed', 'feed.id', 'feedEpoch.feedId')
      .selectAll('feedEpoch')
      .where('feed.deviceId', '=', deviceId)
      .where('feed.name', '=', feed)
      .where('feedEpoch.epoch', '=', epoch)
      .executeTakeFirst();
    return row ? codecs.feedEpoch.load(row) : null;
  },

  async epochsOfDevice(db: Kysely<Schema>, deviceId: Id): Promise<readonly (FeedEpoch & { readonly feed: string })[]> {
    const rows = await db
      .selectFrom('feedEpoch')
      .innerJoin('feed', 'feed.id', 'feedEpoch.feedId')
      .selectAll('feedEpoch')
      .select('feed.name as feedName')
      .where('feed.deviceId', '=', deviceId)
      .orderBy('feedEpoch.number', 'desc')
      .limit(rowsMax)
      .execute();
    return rows.map((row) => ({ ...codecs.feedEpoch.load(row), feed: row.feedName }));
  },

  async listFeeds(db: Kysely<Schema>, query: FeedQuery): Promise<readonly FeedState[]> {
    let rows = db.selectFrom('feed').selectAll().orderBy('id').limit(Math.max(0, Math.min(query.limit, rowsMax)));
    if (query.customerId !== undefined) rows = rows.where('customerId', '=', query.customerId);
    if (query.deviceId !== undefined) rows = rows.where('deviceId', '=', query.deviceId);
    if (query.afterId !== undefined) rows = rows.where('id', '>', query.afterId);
    return statesOf(db, (await rows.execute()).map(codecs.feed.load));
  },

  async findFeed(db: Kysely<Schema>, feedId: Id): Promise<FeedState | null> {
    const row = await db.selectFrom('feed').selectAll().where('id', '=', feedId).executeTakeFirst();
    return row ? (await statesOf(db, [codecs.feed.load(row)]))[0]! : null;
  },

  async readEpoch(db: Kysely<Schema>, number: number): Promise<(FeedEpoch & { readonly feed: Feed }) | null> {
    const epoch = await epochOf(db, number);
    if (!epoch) return null;
    const feed = await db.selectFrom('feed').selectAll().where('id', '=', epoch.feedId).executeTakeFirstOrThrow();
    return { ...epoch, feed: codecs.feed.load(feed) };
  },

  async readChunks(db: Kysely<Schema>, epoch: number, from: number, bytesMax: number): Promise<ChunkPage> {
    const { chunks, atEnd } = await chunksFrom(db, epoch, from, Math.min(bytesMax, limits.chunkPageBytesMax));
    const last = chunks.at(-1);
    const gaps = await gapsBetween(db, epoch, from, atEnd || !last ? Number.MAX_SAFE_INTEGER : last.off + last.len);
    return { chunks: chunks.map(({ off, at, records, body }) => ({ off, at, records, body })), gaps, atEnd };
  },

  /** Looks at a bounded number of bytes in one go; `reached` is where to go on. */
  async searchRecords(db: Kysely<Schema>, query: SearchQuery): Promise<SearchPage> {
    const epoch = await epochOf(db, query.epoch);
    if (!epoch) return { records: [], gaps: [], reached: query.from, atEnd: true };
    const pattern = query.pattern === null ? null : compilePattern(query.pattern);
    const limit = Math.max(1, Math.min(query.limit, rowsMax));
    const from = await splitFrom(db, epoch, query.from);
    // Behind an impossible length are only bytes: who goes on there would take them for lengths.
    if (epoch.unframed && from > epoch.boundary) return { records: [], gaps: await gapsBetween(db, epoch.number, from, epoch.next), reached: Math.max(from, epoch.next), atEnd: true };
    // A pattern may take seconds for what is read in milliseconds, and devices that ask for their offset wait for this thread, too.
    const lookedMax = pattern === null ? limits.searchBytesMax : limits.searchPatternBytesMax;
    const { chunks, atEnd } = await chunksFrom(db, epoch.number, from, lookedMax, wholeRecordBytes);
    const last = chunks.at(-1);
    const gaps = await gapsBetween(db, epoch.number, from, atEnd || !last ? Number.MAX_SAFE_INTEGER : last.off + last.len);
    const records: FoundRecord[] = [];
    const splitter = new RecordSplitter(parseFormat(epoch.format) ?? { kind: 'raw' }, from);
    let receivedAt = 0;
    let full = -1;
    let looked = 0;
    const onRecord = (record: FeedRecord) => {
      if (full >= 0) return;
      looked += record.bytes.length;
      if (pattern === null || pattern.test(record.bytes)) records.push(copyOf(record, receivedAt));
      if (records.length >= limit || looked >= lookedMax) full = record.end;
    };
    for (const chunk of chunks) {
      receivedAt = chunk.at;
      const body = chunk.off < from ? chunk.body.subarray(from - chunk.off) : chunk.body;
      const off = Math.max(chunk.off, from);
      if (off > splitter.end) splitter.gap(off, onRecord);
      if (splitter.format.kind === 'raw') onRecord({ off, end: off + body.length, bytes: Buffer.from(body.buffer, body.byteOffset, body.byteLength), atMs: null, broken: false });
      splitter.push(body, onRecord);
      if (full >= 0) return { records, gaps: gaps.filter((gap) => gap.fromOff < full), reached: full, atEnd: false };
    }
    const trailing = atEnd ? gaps.find((gap) => gap.fromOff === splitter.end) : undefined;
    if (trailing) splitter.gap(trailing.toOff, onRecord);
    if (splitter.unframed && !atEnd) {
      const gap = await db.selectFrom('feedGap').select((sql) => sql.fn.min('toOff').as('toOff')).where('epoch', '=', epoch.number).where('toOff', '>', splitter.end).executeTakeFirst() as { toOff: number | null } | undefined;
      return { records, gaps, reached: gap?.toOff ?? epoch.next, atEnd: (gap?.toOff ?? null) === null };
    }
    // What is open is looked at again, with what follows it.
    const reached = splitter.unframed ? splitter.end : splitter.boundary;
    return { records, gaps, reached: Math.max(reached, atEnd && !last ? from : reached), atEnd };
  },

  /** Epochs that somebody should look at: the gateway has less than it once had, or bytes that cannot be split. */
  async listTroubled(db: Kysely<Schema>, limit: number): Promise<readonly (FeedEpoch & { readonly feed: Feed })[]> {
    const rows = await db
      .selectFrom('feedEpoch')
      .selectAll()
      .where((sql) => sql.or([sql('unframed', '=', 1), sql('claimed', 'is not', null)]))
      .where('sealedAt', 'is', null)
      .orderBy('lastAt', 'desc')
      .limit(Math.min(limit, rowsMax))
      .execute();
    const epochs = rows.map(codecs.feedEpoch.load);
    if (epochs.length === 0) return [];
    const feeds = new Map((await db.selectFrom('feed').selectAll().where('id', 'in', epochs.map((each) => each.feedId)).execute()).map((row) => [row.id, codecs.feed.load(row)]));
    return epochs.flatMap((epoch) => (feeds.has(epoch.feedId) ? [{ ...epoch, feed: feeds.get(epoch.feedId)! }] : []));
  },

  async listGaps(db: Kysely<Schema>, feedId: Id, limit: number): Promise<readonly FeedGap[]> {
    const rows = await db
      .selectFrom('feedGap')
      .innerJoin('feedEpoch', 'feedEpoch.number', 'feedGap.epoch')
      .selectAll('feedGap')
      .where('feedEpoch.feedId', '=', feedId)
      .orderBy('feedGap.at', 'desc')
      .limit(Math.min(limit, rowsMax))
      .execute();
    return rows.map(codecs.feedGap.load);
  },

  async dueAlerts(db: Kysely<Schema>, now: number, limit: number): Promise<readonly FeedAlert[]> {
    return (await db.selectFrom('feedAlert').selectAll().where('doneAt', 'is', null).where('dueAt', '<=', now).orderBy('dueAt').limit(Math.min(limit, rowsMax)).execute()).map(codecs.feedAlert.load);
  },

  async listAlerts(db: Kysely<Schema>, query: { readonly customerId?: Id; readonly beforeId?: Id; readonly limit: number }): Promise<readonly FeedAlert[]> {
    let rows = db.selectFrom('feedAlert').selectAll().orderBy('id', 'desc').limit(Math.min(query.limit, rowsMax));
    if (query.customerId !== undefined) rows = rows.where('customerId', '=', query.customerId);
    if (query.beforeId !== undefined) rows = rows.where('id', '<', query.beforeId);
    return (await rows.execute()).map(codecs.feedAlert.load);
  },
};
