// The one thread that writes. Operations that wait at the same time share a transaction and its fsync, each in a savepoint
// of its own: one that fails rolls back alone, and none is answered before the commit that makes it durable. On PostgreSQL, where a savepoint
// costs the server and us as much as a small operation, they first try without: few fail, and then all of them are done again with.
import { workerData } from 'node:worker_threads';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { certificateWrites } from './certificates.ts';
import { beginWriting, type Connection, type KeptConnection } from './connection.ts';
import { deliveryWrites } from './deliveries.ts';
import { deviceWrites } from './devices.ts';
import { identityWrites } from './identities.ts';
import { intakeWrites } from './intake.ts';
import { kyselyOn } from './dialect.ts';
import { keepingWrites } from './keeping.ts';
import { fileWrites } from './files.ts';
import { openConnection } from './keep.ts';
import type { StoreLocation } from './location.ts';
import { type Answer, answered, type Call, closeName, failed, keepAnswering, type Room, tell } from './loop.ts';
import { migrate } from './migrate.ts';
import { peopleWrites } from './people.ts';
import { probeWrites } from './probes.ts';
import { recordWrites } from './records.ts';
import { redirectWrites } from './redirects.ts';
import { sinkWrites } from './sinks.ts';
import { readState, type Unit, type WriterState } from './unit.ts';
import { placeWrites } from './places.ts';
import { sourceWrites } from './sources.ts';
import { virtualAddressWrites } from './virtual-addresses.ts';

export interface WriterData {
  readonly store: StoreLocation;
  readonly visitsKeptMax: number;
  /** For the migrations' record. */
  readonly nowMs: number;
}

export interface WriterReady {
  readonly schema: number;
  readonly auditSeq: number;
  /** What is wrong with the end of the audit, if anything. */
  readonly auditBroken: string | null;
  /** The program that keeps the store, its version, and where. */
  readonly describes: string;
}

const writes = { ...peopleWrites, ...deviceWrites, ...identityWrites, ...certificateWrites, ...deliveryWrites, ...recordWrites, ...redirectWrites, ...intakeWrites, ...keepingWrites, ...fileWrites, ...sinkWrites, ...probeWrites, ...virtualAddressWrites, ...placeWrites, ...sourceWrites };
export type Writes = typeof writes;
type AnyWrite = (unit: Unit, ...args: readonly unknown[]) => Promise<unknown>;
const writeOf = writes as unknown as Readonly<Record<string, AnyWrite | undefined>>;

/** Not like the others: it times a commit of its own. */
const checkName = 'check';
const checkedCounter = 'checked at';

async function openRoom(data: WriterData): Promise<Room> {
  let unit: Unit | undefined;
  let first: { schema: number; state: WriterState; broken: string | null } | undefined;
  const opened = async (session: Connection) => {
    const schema = await migrate(session, data.nowMs);
    const read = await readState(kyselyOn(session));
    return () => {
      if (unit) unit.state = goOnFrom(unit.state, read);
      else first = { schema, ...read };
    };
  };
  const connection = await openConnection(data.store, 'write', { opened, tell });
  const { schema, state, broken } = first!;
  const made: Unit = (unit = { db: kyselyOn(connection), connection, state, visitsKeptMax: data.visitsKeptMax });
  const ready: WriterReady = { schema, auditSeq: state.head.seq, auditBroken: broken, describes: connection.describes };
  return {
    ready,
    work: (waiting) => {
      const calls = waiting[0]!.name === checkName ? [waiting.shift()!] : takeBatch(waiting);
      const work = () => (calls[0]!.name === checkName ? timeCommit(made, connection, calls[0]!) : commitTogether(made, calls));
      return connection.turn(work).catch((thrown: unknown) => calls.map((call) => failed(call, thrown)));
    },
    close: () => connection.close(),
  };
}

/**
 * After the connection was lost the database says where everything stands: the last commit may have happened or not. It cannot have less
 * than was acknowledged; if it has (an older copy was put in its place), the chain goes on from where it was, so that the gap stays visible.
 */
function goOnFrom(acknowledged: WriterState, { state, broken }: { state: WriterState; broken: string | null }): WriterState {
  const { head } = acknowledged;
  const why = state.head.seq < head.seq ? `the audit ends at line ${state.head.seq}, but line ${head.seq} had been written` : broken;
  if (why !== null) tell({ event: 'audit.broken', fields: { why, remedy: 'run `postern audit verify`' } });
  return state.head.seq < head.seq ? { ...state, head } : state;
}

function takeBatch(waiting: Call[]): Call[] {
  const alone = waiting.findIndex((call) => call.name === checkName || call.name === closeName);
  return waiting.splice(0, Math.min(limits.storeBatchMax, alone < 0 ? waiting.length : alone));
}

async function commitTogether(unit: Unit, calls: readonly Call[], isBold = unit.connection.kind === 'postgres'): Promise<readonly Answer[]> {
  const { connection } = unit;
  const before = unit.state;
  const answers: Answer[] = [];
  try {
    await connection.exec(beginWriting[connection.kind]);
    for (const call of calls) answers.push(await (isBold ? runCall(unit, call) : runInSavepoint(unit, call)));
    await connection.exec('commit');
    return answers;
  } catch (thrown) {
    await rollBackAll(unit, before);
    // Without a definite end none may be repeated: it could happen twice.
    if (thrown instanceof Fault && thrown.detail['mayHaveHappened'] === true) return calls.map((call) => failed(call, thrown));
    if (calls.length === 1) return [failed(calls[0]!, thrown)];
    if (isBold) return commitTogether(unit, calls, false);
    // One may have been too much for the disk while the others fit; nothing of any is left, so each tries alone.
    const alone: Answer[] = [];
    for (const call of calls) alone.push(...(await commitTogether(unit, [call])));
    return alone;
  }
}

async function runCall(unit: Unit, call: Call): Promise<Answer> {
  const run = Object.hasOwn(writeOf, call.name) ? writeOf[call.name] : undefined;
  if (!run) throw new Error(`the store has no operation ${call.name}`);
  return answered(call, await run(unit, ...call.args));
}

/** Throws only when the whole transaction is lost: a full disk or an I/O error makes SQLite roll back all of it. */
async function runInSavepoint(unit: Unit, call: Call): Promise<Answer> {
  const { connection } = unit;
  const earlier = unit.state;
  await connection.exec('savepoint operation');
  try {
    const answer = await runCall(unit, call);
    await connection.exec('release operation');
    return answer;
  } catch (thrown) {
    if (!connection.isTransaction) throw thrown;
    unit.state = earlier;
    await connection.exec('rollback to operation; release operation');
    return failed(call, thrown);
  }
}

async function rollBackAll(unit: Unit, before: Unit['state']): Promise<void> {
  unit.state = before;
  try {
    if (unit.connection.isTransaction) {
      await unit.connection.exec('rollback');
      // That is certain there. What is not certain is a commit without an answer, and then the state is read with the next connection.
      if (unit.connection.kind === 'postgres') return;
    }
    // A commit that reported an I/O error may have reached the disk all the same: the file knows.
    unit.state = (await readState(unit.db)).state;
  } catch {
    // The file cannot be read now either. If it holds more than `before` says, the next audit line fails on its number.
  }
}

/** Resolves how long an fsynced commit takes; Fault `busy` when what was written does not come back. */
async function timeCommit({ db, connection }: Unit, { describes }: KeptConnection, call: Call): Promise<readonly Answer[]> {
  try {
    await connection.exec(beginWriting[connection.kind]);
    const value = Number(call.args[0]);
    await db.insertInto('counter').values({ name: checkedCounter, value }).onConflict((on) => on.column('name').doUpdateSet({ value })).execute();
    const startedAt = performance.now();
    await connection.exec('commit');
    const fsyncMs = performance.now() - startedAt;
    const back = await db.selectFrom('counter').select('value').where('name', '=', checkedCounter).executeTakeFirst();
    if (back?.value !== value) throw new Fault('busy', 'the store does not read back what it has just written', { remedy: 'look at the disk of the data folder' });
    return [answered(call, { fsyncMs, store: describes })];
  } catch (thrown) {
    if (connection.isTransaction) await connection.exec('rollback');
    return [failed(call, thrown)];
  }
}

await keepAnswering(() => openRoom(workerData as WriterData));
