// What a writing operation works with: the database inside an open transaction, and the state of the writing thread that
// must roll back with it (where the audit chain stands, how many visits are kept).
import type { Kysely } from 'kysely';
import { Fault } from '#base/fault.ts';
import { type AuditHead, chainLine, emptyAuditHead, verifyLine } from '#model/audit.ts';
import type { AuditEntry } from '#model/rows.ts';
import type { Connection } from './connection.ts';
import { loadAuditLine, type Schema, storeAuditLine } from './schema.ts';

/** Replaced whole, never changed in place, so that going back to an earlier one is an assignment. */
export interface WriterState {
  readonly head: AuditHead;
  readonly visits: number;
  /** What the intake's memory stands for (store/intake.ts). */
  readonly intakeTurn: number;
}

export interface Unit {
  readonly db: Kysely<Schema>;
  /** The same one, for statements that are compiled once and run often. */
  readonly connection: Connection;
  state: WriterState;
  readonly visitsKeptMax: number;
}

export async function appendAudit(unit: Unit, ...entries: readonly AuditEntry[]): Promise<void> {
  for (const entry of entries) {
    const line = chainLine(unit.state.head, entry);
    await unit.db.insertInto('audit').values(storeAuditLine(line)).execute();
    unit.state = { ...unit.state, head: { seq: line.seq, hash: line.hash } };
  }
  if (entries.length === 0) return;
  const { seq, hash } = unit.state.head;
  await unit.db
    .insertInto('auditHead')
    .values({ id: 1, seq, hash })
    .onConflict((on) => on.column('id').doUpdateSet({ seq, hash }))
    .execute();
}

/** Adds to a counter that is kept. */
export async function count(unit: Unit, name: string, more: number): Promise<void> {
  await unit.db
    .insertInto('counter')
    .values({ name, value: more })
    .onConflict((on) => on.column('name').doUpdateSet((sql) => ({ value: sql('counter.value', '+', more) })))
    .execute();
}

/** Fault `not-found` unless a statement touched a row. `what` reads like `device 0190…`. */
export function mustTouch(result: { numUpdatedRows?: bigint; numDeletedRows?: bigint }, what: string): void {
  if ((result.numUpdatedRows ?? result.numDeletedRows ?? 0n) === 0n) throw new Fault('not-found', `${what} does not exist, or not any more`);
}

/**
 * The state as the database has it. `broken` says what is wrong with the end of the chain, if anything: it goes on from
 * the higher of the two, so that what is missing or changed stays visible to `verifyAudit` for ever.
 */
export async function readState(db: Kysely<Schema>): Promise<{ state: WriterState; broken: string | null }> {
  const { visits } = (await db.selectFrom('visit').select((sql) => sql.fn.countAll<number>().as('visits')).executeTakeFirstOrThrow());
  const kept = await db.selectFrom('auditHead').select(['seq', 'hash']).where('id', '=', 1).executeTakeFirst();
  const last = (await db.selectFrom('audit').selectAll().orderBy('seq', 'desc').limit(2).execute()).map(loadAuditLine);
  const end: AuditHead = last[0] ? { seq: last[0].seq, hash: last[0].hash } : emptyAuditHead;
  const head: AuditHead = kept ?? emptyAuditHead;
  let broken: string | null = null;
  if (head.seq > end.seq) broken = `the audit ends at line ${end.seq}, but line ${head.seq} had been written`;
  else if (head.seq < end.seq) broken = `the audit has line ${end.seq}, but only ${head.seq} lines had been written`;
  else if (head.hash !== end.hash) broken = `line ${end.seq}, the last of the audit, was changed`;
  else if (last[0]) broken = verifyLine(last[1] ?? emptyAuditHead, last[0]);
  return { state: { head: end.seq > head.seq ? end : head, visits, intakeTurn: 0 }, broken };
}
