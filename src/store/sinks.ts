// How far sinks have come: writing and reading their positions.
import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import { Fault } from '#base/fault.ts';
import type { AuditEntry, Feed } from '#model/rows.ts';
import type { SinkMove, SinkPosition, SinkWork } from '#model/sinks.ts';
import { codecs, type Schema } from './schema.ts';
import { appendAudit, type Unit } from './unit.ts';

const rowsMax = 1_000;

const loadPosition = ({ off, run, unframed, data }: Pick<Schema['sinkPosition'], 'off' | 'run' | 'unframed' | 'data'>): SinkPosition => ({ off, run, unframed: unframed === 1, data });

export const sinkWrites = {
  async moveSinkPosition(unit: Unit, { sink, epoch, off, run, unframed, data, at }: SinkMove): Promise<boolean> {
    const values = { off, run, unframed: Number(unframed), data, at };
    const { numUpdatedRows } = await unit.db.updateTable('sinkPosition').set(values).where('sink', '=', sink).where('epoch', '=', epoch).where('run', '<=', run).executeTakeFirst();
    if (numUpdatedRows > 0n) return true;
    // A replay makes the row; where there is none, this is the first run.
    const exists = await unit.db.selectFrom('feedEpoch').select('number').where('number', '=', epoch).executeTakeFirst();
    if (!exists) return false;
    const made = await unit.db.insertInto('sinkPosition').values({ sink, epoch, ...values }).onConflict((on) => on.columns(['sink', 'epoch']).doNothing()).executeTakeFirst();
    return (made.numInsertedOrUpdatedRows ?? 0n) > 0n;
  },

  async replaySink(unit: Unit, { sink, epoch, off, at }: { readonly sink: string; readonly epoch: number; readonly off: number; readonly at: number }, audit: AuditEntry): Promise<number> {
    const exists = await unit.db.selectFrom('feedEpoch').select('number').where('number', '=', epoch).executeTakeFirst();
    if (!exists) throw new Fault('not-found', `epoch ${epoch} is not there, or not any more`);
    const before = await unit.db.selectFrom('sinkPosition').select('run').where('sink', '=', sink).where('epoch', '=', epoch).executeTakeFirst();
    const run = (before?.run ?? 0) + 1;
    const values = { off, run, unframed: 0, data: null, at };
    await unit.db
      .insertInto('sinkPosition')
      .values({ sink, epoch, ...values })
      .onConflict((on) => on.columns(['sink', 'epoch']).doUpdateSet(values))
      .execute();
    await appendAudit(unit, audit);
    return run;
  },
};

export const sinkReads = {
  async sinkWork(db: Kysely<Schema>, sink: string, number: number): Promise<SinkWork | null> {
    const row = await db.selectFrom('feedEpoch').selectAll().where('number', '=', number).executeTakeFirst();
    if (!row) return null;
    const feed = await db.selectFrom('feed').selectAll().where('id', '=', row.feedId).executeTakeFirstOrThrow();
    // What is in quarantine goes nowhere.
    const waits = await db.selectFrom('waitingDevice').select('id').where('id', '=', feed.deviceId).executeTakeFirst();
    if (waits) return null;
    const position = await db.selectFrom('sinkPosition').selectAll().where('sink', '=', sink).where('epoch', '=', number).executeTakeFirst();
    return { epoch: codecs.feedEpoch.load(row), feed: codecs.feed.load(feed), position: position ? loadPosition(position) : null };
  },

  async sinkBacklog(db: Kysely<Schema>, sink: string, after: number, limit: number): Promise<readonly SinkWork[]> {
    const rows = await db
      .selectFrom('feedEpoch')
      .leftJoin('sinkPosition', (join) => join.onRef('sinkPosition.epoch', '=', 'feedEpoch.number').on('sinkPosition.sink', '=', sink))
      .selectAll('feedEpoch')
      .select(['sinkPosition.off', 'sinkPosition.run', 'sinkPosition.unframed as wasUnframed', 'sinkPosition.data'])
      .where('feedEpoch.number', '>', after)
      .where(sql<boolean>`case when feed_epoch.unframed = 1 then feed_epoch."next" else feed_epoch.boundary end > coalesce(sink_position.off, feed_epoch."first")`)
      .where(sql<boolean>`not exists (select 1 from waiting_device w join feed f on f.device_id = w.id where f.id = feed_epoch.feed_id)`)
      .orderBy('feedEpoch.number')
      .limit(Math.max(1, Math.min(limit, rowsMax)))
      .execute();
    if (rows.length === 0) return [];
    const feeds = new Map<string, Feed>((await db.selectFrom('feed').selectAll().where('id', 'in', [...new Set(rows.map((row) => row.feedId))]).execute()).map((row) => [row.id, codecs.feed.load(row)]));
    return rows.flatMap((row) => {
      const feed = feeds.get(row.feedId);
      if (!feed) return [];
      const { off, run, wasUnframed, data } = row;
      return [{ epoch: codecs.feedEpoch.load(row), feed, position: off === null ? null : loadPosition({ off, run: run ?? 0, unframed: wasUnframed ?? 0, data }) }];
    });
  },
};
