// Dropping what is past its retention: each operation takes a bounded number of rows, the oldest first, so that no commit is long.
import { sql } from 'kysely';
import type { AuditHead } from '#model/audit.ts';
import { visitsDroppedCounter } from './records.ts';
import { count, type Unit } from './unit.ts';

/** Of the table audit_head: row 1 is where the chain stands, this one the last line that was dropped. */
export const anchorId = 2;
/** Of the audit, so many lines stay whatever their age: the end of the chain is checked at each start. */
const auditKeptMin = 100;
const rowsPerStepMax = 1_000;

const stepOf = (rows: number) => Math.max(1, Math.min(rows, rowsPerStepMax));

export const keepingWrites = {
  /** Lines before that time, or up to that number. Resolves how many went, and where the chain now begins. */
  async dropAudit(unit: Unit, before: number, through: number, rows: number): Promise<{ dropped: number; anchor: AuditHead | null }> {
    const last = Math.max(0, unit.state.head.seq - auditKeptMin);
    const oldest = await unit.db.selectFrom('audit').select(['seq', 'at', 'hash']).where('seq', '<=', last).orderBy('seq').limit(stepOf(rows)).execute();
    // From the front, without a hole: a clock that was set back must not tear the chain.
    const end = oldest.findIndex(({ seq, at }) => at >= before && seq > through);
    const gone = end < 0 ? oldest : oldest.slice(0, end);
    const anchor = gone.at(-1);
    if (!anchor) return { dropped: 0, anchor: null };
    await unit.db.deleteFrom('audit').where('seq', '<=', anchor.seq).execute();
    const { seq, hash } = anchor;
    await unit.db
      .insertInto('auditHead')
      .values({ id: anchorId, seq, hash })
      .onConflict((on) => on.column('id').doUpdateSet({ seq, hash }))
      .execute();
    return { dropped: gone.length, anchor: { seq, hash } };
  },

  /** Closed ones that ended before that time, and the oldest of those that are more than `keep`. */
  async dropVisits(unit: Unit, before: number, keep: number, rows: number): Promise<number> {
    const step = stepOf(rows);
    const over = Math.min(step, unit.state.visits - keep);
    let ids = (await unit.db.selectFrom('visit').select('id').where('closedAt', '<', before).orderBy('id').limit(step).execute()).map(({ id }) => id);
    if (ids.length < over) ids = (await unit.db.selectFrom('visit').select('id').where('closedAt', 'is not', null).orderBy('id').limit(over).execute()).map(({ id }) => id);
    if (ids.length === 0) return 0;
    const { numDeletedRows } = await unit.db.deleteFrom('visit').where('id', 'in', ids).executeTakeFirst();
    const dropped = Number(numDeletedRows);
    await count(unit, visitsDroppedCounter, dropped);
    unit.state = { ...unit.state, visits: unit.state.visits - dropped };
    return dropped;
  },

  /** Whole chunks before `first`, at most so many; `first` moves when the last of them is gone. What of it the reader must not see it no longer does at once. */
  async dropChunks(unit: Unit, epoch: number, wanted: number, rows: number): Promise<{ dropped: number; more: boolean }> {
    const step = stepOf(rows);
    const row = await unit.db.selectFrom('feedEpoch').select(['boundary', 'unframed']).where('number', '=', epoch).executeTakeFirst();
    if (!row) return { dropped: 0, more: false };
    // What will be the beginning of the next record stays: splitting goes on from there after a restart.
    const first = row.unframed === 1 ? wanted : Math.min(wanted, row.boundary);
    const gone = await unit.db.selectFrom('chunk').select('off').where('epoch', '=', epoch).where(sql<boolean>`off + len <= ${first}`).orderBy('off').limit(step).execute();
    await unit.db.updateTable('feedEpoch').set({ first }).where('number', '=', epoch).where('first', '<', first).execute();
    const last = gone.at(-1);
    if (!last) return { dropped: 0, more: false };
    const { numDeletedRows } = await unit.db.deleteFrom('chunk').where('epoch', '=', epoch).where('off', '<=', last.off).executeTakeFirst();
    return { dropped: Number(numDeletedRows), more: gone.length === step };
  },

  /** What is known to be missing of what is kept no longer. */
  async dropGaps(unit: Unit, before: number, rows: number): Promise<number> {
    const found = await unit.db
      .selectFrom('feedGap')
      .innerJoin('feedEpoch', 'feedEpoch.number', 'feedGap.epoch')
      .select(['feedGap.epoch', 'feedGap.fromOff'])
      .where('feedGap.at', '<', before)
      .whereRef('feedGap.toOff', '<=', 'feedEpoch.first')
      .limit(stepOf(rows))
      .execute();
    for (const { epoch, fromOff } of found) await unit.db.deleteFrom('feedGap').where('epoch', '=', epoch).where('fromOff', '=', fromOff).execute();
    return found.length;
  },

  /** Those that are done with. */
  async dropAlerts(unit: Unit, before: number, rows: number): Promise<number> {
    const oldest = unit.db.selectFrom('feedAlert').select('id').where('doneAt', '<', before).orderBy('doneAt').limit(stepOf(rows));
    return Number((await unit.db.deleteFrom('feedAlert').where('id', 'in', oldest).executeTakeFirst()).numDeletedRows);
  },

  async dropIntakeKeys(unit: Unit, before: number, rows: number): Promise<number> {
    const oldest = await unit.db.selectFrom('intakeKey').select(['feedId', 'keyDigest']).where('at', '<', before).orderBy('at').limit(stepOf(rows)).execute();
    for (const { feedId, keyDigest } of oldest) await unit.db.deleteFrom('intakeKey').where('feedId', '=', feedId).where('keyDigest', '=', keyDigest).execute();
    return oldest.length;
  },

  /** Numbers that somebody wants to know after a restart. */
  async noteNumbers(unit: Unit, numbers: Readonly<Record<string, number>>): Promise<void> {
    for (const [name, value] of Object.entries(numbers)) {
      await unit.db
        .insertInto('counter')
        .values({ name, value })
        .onConflict((on) => on.column('name').doUpdateSet({ value }))
        .execute();
    }
  },
};
