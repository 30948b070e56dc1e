// The one thread that writes. Operations that wait at the same time share a transaction and its fsync, each in a savepoint
// of its own: one that fails rolls back alone, and none is answered before the commit that makes it durable.
import type { DatabaseSync } from 'node:sqlite';
import { workerData } from 'node:worker_threads';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { certificateWrites } from './certificates.ts';
import { deliveryWrites } from './deliveries.ts';
import { deviceWrites } from './devices.ts';
import { kyselyOn, openDatabase } from './dialect.ts';
import { type Answer, answered, type Call, closeName, failed, keepAnswering, type Room } from './loop.ts';
import { migrate } from './migrate.ts';
import { peopleWrites } from './people.ts';
import { recordWrites } from './records.ts';
import { readState, type Unit } from './unit.ts';

export interface WriterData {
  readonly file: string;
  readonly visitsKeptMax: number;
  /** For the migrations' record. */
  readonly nowMs: number;
}

export interface WriterReady {
  readonly schema: number;
  readonly auditSeq: number;
  /** What is wrong with the end of the audit, if anything. */
  readonly auditBroken: string | null;
}

const writes = { ...peopleWrites, ...deviceWrites, ...certificateWrites, ...deliveryWrites, ...recordWrites };
export type Writes = typeof writes;
type AnyWrite = (unit: Unit, ...args: readonly unknown[]) => Promise<unknown>;
const writeOf = writes as unknown as Readonly<Record<string, AnyWrite | undefined>>;

/** Not like the others: it times a commit of its own. */
const checkName = 'check';

async function openRoom(data: WriterData): Promise<Room> {
  const database = openDatabase(data.file, 'write');
  try {
    const schema = await migrate(database, data.nowMs);
    const db = kyselyOn(database);
    const { state, broken } = await readState(db);
    const unit: Unit = { db, state, visitsKeptMax: data.visitsKeptMax };
    const ready: WriterReady = { schema, auditSeq: state.head.seq, auditBroken: broken };
    return {
      ready,
      work: (waiting) => (waiting[0]!.name === checkName ? timeCommit(database, waiting.shift()!) : commitTogether(database, unit, takeBatch(waiting))),
      close() {
        // So that a closed store is one file; a reader elsewhere (a backup) may hinder it, which harms nothing.
        database.exec('pragma wal_checkpoint(truncate)');
        database.close();
      },
    };
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}

function takeBatch(waiting: Call[]): Call[] {
  const alone = waiting.findIndex((call) => call.name === checkName || call.name === closeName);
  return waiting.splice(0, Math.min(limits.storeBatchMax, alone < 0 ? waiting.length : alone));
}

async function commitTogether(database: DatabaseSync, unit: Unit, calls: readonly Call[]): Promise<readonly Answer[]> {
  const before = unit.state;
  const answers: Answer[] = [];
  try {
    database.exec('begin immediate');
    for (const call of calls) answers.push(await runInSavepoint(database, unit, call));
    database.exec('commit');
    return answers;
  } catch (thrown) {
    await rollBackAll(database, unit, before);
    if (calls.length === 1) return [failed(calls[0]!, thrown)];
    // One may have been too much for the disk while the others fit; nothing of any is left, so each tries alone.
    const alone: Answer[] = [];
    for (const call of calls) alone.push(...(await commitTogether(database, unit, [call])));
    return alone;
  }
}

/** Throws only when the whole transaction is lost: a full disk or an I/O error makes SQLite roll back all of it. */
async function runInSavepoint(database: DatabaseSync, unit: Unit, call: Call): Promise<Answer> {
  const earlier = unit.state;
  database.exec('savepoint operation');
  try {
    const run = Object.hasOwn(writeOf, call.name) ? writeOf[call.name] : undefined;
    if (!run) throw new Error(`the store has no operation ${call.name}`);
    const value = await run(unit, ...call.args);
    database.exec('release operation');
    return answered(call, value);
  } catch (thrown) {
    if (!database.isTransaction) throw thrown;
    unit.state = earlier;
    database.exec('rollback to operation; release operation');
    return failed(call, thrown);
  }
}

async function rollBackAll(database: DatabaseSync, unit: Unit, before: Unit['state']): Promise<void> {
  unit.state = before;
  try {
    if (database.isTransaction) database.exec('rollback');
    // A commit that reported an I/O error may have reached the disk all the same: the file knows.
    unit.state = (await readState(unit.db)).state;
  } catch {
    // The file cannot be read now either. If it holds more than `before` says, the next audit line fails on its number.
  }
}

/** Resolves how long an fsynced commit takes; Fault `busy` when what was written does not come back. */
async function timeCommit(database: DatabaseSync, call: Call): Promise<readonly Answer[]> {
  try {
    database.exec('begin immediate');
    const value = Number(call.args[0]);
    database.prepare("insert into counter (name, value) values ('checked at', ?) on conflict (name) do update set value = excluded.value").run(value);
    const startedAt = performance.now();
    database.exec('commit');
    const fsyncMs = performance.now() - startedAt;
    const back = database.prepare("select value from counter where name = 'checked at'").get();
    if (back?.['value'] !== value) throw new Fault('busy', 'the store does not read back what it has just written', { remedy: 'look at the disk of the data folder' });
    return [answered(call, { fsyncMs })];
  } catch (thrown) {
    if (database.isTransaction) database.exec('rollback');
    return [failed(call, thrown)];
  }
}

await keepAnswering(() => openRoom(workerData as WriterData));
