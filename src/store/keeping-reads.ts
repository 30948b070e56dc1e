// Reading for retention: how much there is of what, and how far the beginning of an epoch may go.
import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { AuditHead } from '#model/audit.ts';
import type { DropPlan, DropQuery, KeptEpochOfFeed, KeptFigures, StoredKind } from '#model/keeping.ts';
import { type FeedRecord, parseFormat, RecordSplitter } from '#wire/records.ts';
import type { StoreKind } from './connection.ts';
import { anchorId } from './keeping.ts';
import type { Schema } from './schema.ts';

/** Rows whose size is measured at each end, for a guess at the rest. */
const sampled = 200;
const chunksPerPlan = 256;
const bytesPerPlan = 4 * 1024 * 1024;

type Figures = Readonly<Record<StoredKind, KeptFigures>>;

async function auditFigures(db: Kysely<Schema>): Promise<KeptFigures> {
  const rows = (direction: 'asc' | 'desc') => db.selectFrom('audit').selectAll().orderBy('seq', direction).limit(sampled).execute();
  const [oldest, newest] = [await rows('asc'), await rows('desc')];
  if (!oldest[0] || !newest[0]) return { count: 0, oldestAt: null, bytes: 0 };
  // Numbers have no holes but those that are dropped at the front.
  const count = newest[0].seq - oldest[0].seq + 1;
  return { count, oldestAt: oldest[0].at, bytes: guess([...oldest, ...newest], count) };
}

/** As texts; the rest of a row, and indexes, about as much again for small ones. */
function guess(rows: readonly object[], count: number): number {
  if (rows.length === 0) return 0;
  const sum = rows.reduce((total, row) => total + Object.values(row).reduce<number>((size, value) => size + (typeof value === 'string' ? value.length : 8), 0), 0);
  return Math.round((sum / rows.length) * count);
}

async function visitFigures(db: Kysely<Schema>): Promise<KeptFigures> {
  const { count, oldestAt } = await db.selectFrom('visit').select((of) => [of.fn.countAll<number>().as('count'), of.fn.min('openedAt').as('oldestAt')]).executeTakeFirstOrThrow();
  const rows = await db.selectFrom('visit').selectAll().orderBy('id', 'desc').limit(sampled).execute();
  return { count: Number(count), oldestAt: oldestAt as number | null, bytes: guess(rows, Number(count)) };
}

async function recordFigures(db: Kysely<Schema>): Promise<KeptFigures> {
  const { records, bytes } = await db
    .selectFrom('feedEpoch')
    .select([sql<number | null>`sum(records)`.as('records'), sql<number | null>`sum(case when "next" - "first" > lost_bytes then "next" - "first" - lost_bytes else 0 end)`.as('bytes')])
    .executeTakeFirstOrThrow();
  // The oldest chunk of each of the epochs that changed longest ago: chunks have no order of their own in time.
  const epochs = await db.selectFrom('feedEpoch').select('number').whereRef('next', '>', 'first').orderBy('createdAt').limit(sampled).execute();
  let oldestAt: number | null = null;
  for (const { number } of epochs) {
    const chunk = await db.selectFrom('chunk').select('at').where('epoch', '=', number).orderBy('off').limit(1).executeTakeFirst();
    if (chunk && (oldestAt === null || chunk.at < oldestAt)) oldestAt = chunk.at;
  }
  return { count: Number(records ?? 0), oldestAt, bytes: Number(bytes ?? 0) };
}

async function plainFigures(db: Kysely<Schema>, table: 'feedGap' | 'feedAlert' | 'intakeKey' | 'probeSample'): Promise<KeptFigures> {
  const { count, oldestAt } = await db.selectFrom(table).select((of) => [of.fn.countAll<number>().as('count'), of.fn.min('at').as('oldestAt')]).executeTakeFirstOrThrow();
  return { count: Number(count), oldestAt: oldestAt as number | null, bytes: null };
}

/** How far every sink has come; null: none has to be waited for. */
async function sinkFloor(db: Kysely<Schema>, epoch: number, sinks: readonly string[]): Promise<number | null> {
  if (sinks.length === 0) return null;
  const rows = await db.selectFrom('sinkPosition').select(['sink', 'off']).where('epoch', '=', epoch).where('sink', 'in', sinks).execute();
  const at = new Map(rows.map(({ sink, off }) => [sink, off]));
  return Math.min(...sinks.map((sink) => at.get(sink) ?? 0));
}

async function fileFigures(db: Kysely<Schema>): Promise<KeptFigures> {
  const { count, oldestAt, bytes } = await db.selectFrom('deviceFile').select((of) => [of.fn.countAll<number>().as('count'), of.fn.min('createdAt').as('oldestAt'), sql<number | null>`sum(bytes)`.as('bytes')]).executeTakeFirstOrThrow();
  return { count: Number(count), oldestAt: oldestAt as number | null, bytes: Number(bytes ?? 0) };
}

export const keepingReads = {
  async keptFigures(db: Kysely<Schema>): Promise<Figures> {
    return {
      audit: await auditFigures(db),
      visits: await visitFigures(db),
      records: await recordFigures(db),
      gaps: await plainFigures(db, 'feedGap'),
      alerts: await plainFigures(db, 'feedAlert'),
      keys: await plainFigures(db, 'intakeKey'),
      files: await fileFigures(db),
      samples: await plainFigures(db, 'probeSample'),
    };
  },

  /** The number of the oldest line such that those from it on have about so many bytes; 0 when all fit. */
  async auditBeyond(db: Kysely<Schema>, bytesMax: number): Promise<number> {
    const { count, bytes } = await auditFigures(db);
    if (bytes === null || bytes <= bytesMax) return 0;
    const newest = await db.selectFrom('audit').select('seq').orderBy('seq', 'desc').limit(1).executeTakeFirst();
    return newest ? newest.seq - Math.floor((count * bytesMax) / bytes) : 0;
  },

  async auditAnchor(db: Kysely<Schema>): Promise<AuditHead | null> {
    return (await db.selectFrom('auditHead').select(['seq', 'hash']).where('id', '=', anchorId).executeTakeFirst()) ?? null;
  },

  /**
   * Records are found by splitting from `first` on, so `first` may only move to where a record begins: what would go is split here, in the
   * thread that reads.
   */
  async planDrop(db: Kysely<Schema>, { epoch, before, below, sinks }: DropQuery): Promise<DropPlan> {
    const row = await db.selectFrom('feedEpoch').select(['first', 'format', 'next']).where('number', '=', epoch).executeTakeFirst();
    if (!row) return { first: 0, held: false, more: false };
    const oldest = db.selectFrom('chunk').select(['off', 'len', 'at']).where('epoch', '=', epoch).orderBy('off');
    const mayGo = ({ off, len, at }: { readonly off: number; readonly len: number; readonly at: number }) => at < before || off + len <= below;
    // Of most epochs nothing is due: one row says so.
    const [first] = await oldest.limit(1).execute();
    if (!first || !mayGo(first)) return { first: row.first, held: false, more: false };
    const places = await oldest.limit(chunksPerPlan).execute();
    let going = 0;
    let bytes = 0;
    while (going < places.length) {
      const place = places[going]!;
      if (!mayGo(place) || (bytes > 0 && bytes + place.len > bytesPerPlan)) break;
      bytes += place.len;
      going += 1;
    }
    const floor = going === 0 ? null : await sinkFloor(db, epoch, sinks);
    const wanted = going;
    if (floor !== null) going = places.slice(0, going).filter(({ off, len }) => off + len <= floor).length;
    const held = going < wanted;
    if (going === 0) return { first: row.first, held, more: false };
    const bodies = await db.selectFrom('chunk').select(['off', 'body']).where('epoch', '=', epoch).where('off', '<=', places[going - 1]!.off).orderBy('off').execute();
    const splitter = new RecordSplitter(parseFormat(row.format) ?? { kind: 'raw' }, row.first);
    const ignore = (_record: FeedRecord) => {};
    for (const { off, body } of bodies) {
      const from = Math.max(off, row.first);
      if (off + body.length <= row.first) continue;
      if (from > splitter.end) splitter.gap(from, ignore);
      splitter.push(off < from ? body.subarray(from - off) : body, ignore);
    }
    // Behind a length that could not be there are only bytes.
    const reached = splitter.unframed ? splitter.end : splitter.boundary;
    return { first: reached, held, more: !held && reached > row.first && going === wanted && (going === places.length ? places.length === chunksPerPlan : bytes >= bytesPerPlan / 2) };
  },

  /** For the disk's watch: what the store takes, and the room inside its file that what was dropped has left. */
  async storeRoom(db: Kysely<Schema>, kind: StoreKind): Promise<{ readonly bytes: number; readonly reusableBytes: number }> {
    if (kind === 'postgres') {
      // PostgreSQL does not say how much of its files is free; vacuum makes it usable again all the same.
      const { rows } = await sql<{ bytes: number }>`select pg_database_size(current_database()) as bytes`.execute(db);
      return { bytes: Number(rows[0]?.bytes ?? 0), reusableBytes: 0 };
    }
    const { rows } = await sql<{ free: number; pages: number; size: number }>`select f.freelist_count as free, c.page_count as pages, p.page_size as size from pragma_freelist_count f, pragma_page_count c, pragma_page_size p`.execute(db);
    const { free = 0, pages = 0, size = 0 } = rows[0] ?? {};
    return { bytes: pages * size, reusableBytes: free * size };
  },

  /** Those that still have bytes, feed by feed, the newest epoch of each first. */
  async keptEpochs(db: Kysely<Schema>, after: { readonly feedId: string; readonly number: number } | null, limit: number): Promise<readonly KeptEpochOfFeed[]> {
    let rows = db
      .selectFrom('feedEpoch')
      .innerJoin('feed', 'feed.id', 'feedEpoch.feedId')
      .select(['feedEpoch.number', 'feedEpoch.feedId', 'feedEpoch.first', 'feedEpoch.next', 'feedEpoch.lostBytes', 'feed.name', 'feed.serial', 'feed.customerId'])
      .whereRef('feedEpoch.next', '>', 'feedEpoch.first')
      .orderBy('feedEpoch.feedId')
      .orderBy('feedEpoch.number', 'desc')
      .limit(Math.max(1, Math.min(limit, 1_000)));
    if (after) rows = rows.where((is) => is.or([is('feedEpoch.feedId', '>', after.feedId), is.and([is('feedEpoch.feedId', '=', after.feedId), is('feedEpoch.number', '<', after.number)])]));
    return rows.execute();
  },

  async readNumbers(db: Kysely<Schema>, names: readonly string[]): Promise<Readonly<Record<string, number>>> {
    if (names.length === 0) return {};
    const rows = await db.selectFrom('counter').selectAll().where('name', 'in', names).execute();
    return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
  },
};
