// Profiles of devices, and series of what probes measured: writing, reading, dropping.
import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Id } from '#base/ids.ts';
import type { ProbeNote, SamplePoint, SampleQuery, SeriesEnd } from '#model/probe-operations.ts';
import { codecs, type Schema } from './schema.ts';
import type { Unit } from './unit.ts';

const rowsPerStepMax = 1_000;
const pointsMin = 2;
const pointsMax = 2_000;

export const probeWrites = {
  async noteProbe(unit: Unit, { profile, samples, superseded }: ProbeNote): Promise<void> {
    const { deviceId } = profile;
    // It may have been removed while it was asked.
    if (!(await unit.db.selectFrom('device').select('id').where('id', '=', deviceId).executeTakeFirst())) return;
    const stored = codecs.deviceProfile.store(profile);
    await unit.db
      .insertInto('deviceProfile')
      .values(stored)
      .onConflict((on) => on.column('deviceId').doUpdateSet(stored))
      .execute();
    for (const { series, at } of superseded) await unit.db.deleteFrom('probeSample').where('deviceId', '=', deviceId).where('series', '=', series).where('at', '=', at).execute();
    for (const sample of samples) {
      await unit.db
        .insertInto('probeSample')
        .values({ ...sample, deviceId })
        .onConflict((on) => on.columns(['deviceId', 'series', 'at']).doUpdateSet({ value: sample.value }))
        .execute();
    }
  },

  async dropSamples(unit: Unit, before: number, rows: number): Promise<number> {
    const oldest = await unit.db.selectFrom('probeSample').select(['deviceId', 'series', 'at']).where('at', '<', before).orderBy('at').limit(Math.max(1, Math.min(rows, rowsPerStepMax))).execute();
    for (const { deviceId, series, at } of oldest) await unit.db.deleteFrom('probeSample').where('deviceId', '=', deviceId).where('series', '=', series).where('at', '=', at).execute();
    return oldest.length;
  },
};

export const probeReads = {
  async seriesOf(db: Kysely<Schema>, deviceId: Id): Promise<readonly SeriesEnd[]> {
    const rows = await db
      .selectFrom((from) =>
        from
          .selectFrom('probeSample')
          .select(['series', 'at', 'value', sql<number>`row_number() over (partition by series order by at desc)`.as('place')])
          .where('deviceId', '=', deviceId)
          .as('ranked'),
      )
      .select(['series', 'at', 'value'])
      .where('place', '<=', 2)
      .execute();
    const bySeries = Map.groupBy(rows, ({ series }) => series);
    return [...bySeries]
      .map(([series, ends]) => ({ series, last: ends.map(({ at, value }) => ({ at, value })).sort((a, b) => b.at - a.at) }))
      // The two databases sort texts differently.
      .sort((a, b) => (a.series < b.series ? -1 : 1));
  },

  async readSamples(db: Kysely<Schema>, query: SampleQuery): Promise<readonly SamplePoint[]> {
    const { deviceId, series, from, to } = query;
    const points = Math.max(pointsMin, Math.min(pointsMax, Math.floor(query.points)));
    const ofSeries = db.selectFrom('probeSample').where('deviceId', '=', deviceId).where('series', '=', series);
    const before = await ofSeries.select(['at', 'value']).where('at', '<', from).orderBy('at', 'desc').limit(1).executeTakeFirst();
    // Numbers of our own, not parameters: PostgreSQL takes two of those for two different expressions.
    const [origin, step] = [sql.lit(Math.trunc(from)), sql.lit(Math.max(1, Math.ceil((to - from + 1) / points)))];
    const grouped = ofSeries
      .select((of) => [of.fn.max('at').as('lastAt'), of.fn.min('value').as('min'), of.fn.max('value').as('max')])
      .where('at', '>=', from)
      .where('at', '<=', to)
      .groupBy(sql`(at - ${origin}) / ${step}`);
    const rows = await db
      .selectFrom(grouped.as('stretch'))
      .innerJoin('probeSample', 'probeSample.at', 'stretch.lastAt')
      .select(['probeSample.at', 'probeSample.value', 'stretch.min', 'stretch.max'])
      .where('probeSample.deviceId', '=', deviceId)
      .where('probeSample.series', '=', series)
      .orderBy('probeSample.at')
      .limit(pointsMax)
      .execute();
    return [...(before ? [{ ...before, min: before.value, max: before.value }] : []), ...rows.map(({ at, value, min, max }) => ({ at, value, min, max }))];
  },
};
