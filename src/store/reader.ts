// The one thread that reads, so that no search of the console stands in the way of a write.
import { workerData } from 'node:worker_threads';
import type { Kysely } from 'kysely';
import { beginReading, type Connection, type KeptConnection } from './connection.ts';
import { kyselyOn } from './dialect.ts';
import { openConnection } from './keep.ts';
import type { StoreLocation } from './location.ts';
import { type Answer, answered, type Call, failed, keepAnswering, type Room, tell } from './loop.ts';
import { reads } from './reads.ts';
import type { Schema } from './schema.ts';

export interface ReaderData {
  readonly store: StoreLocation;
}

export type Reads = typeof reads;
type AnyRead = (db: Kysely<Schema>, ...args: readonly unknown[]) => Promise<unknown>;
const readOf = reads as unknown as Readonly<Record<string, AnyRead | undefined>>;

async function openRoom(data: ReaderData): Promise<Room> {
  let connection: KeptConnection | undefined;
  let db: Kysely<Schema> | undefined;
  return {
    ready: null,
    // Opened at the first call: both threads load their code at the same time, and only then is there a file to read.
    async work(waiting) {
      const call = waiting.shift()!;
      try {
        const kept = (connection ??= await openConnection(data.store, 'read', { opened: async () => () => {}, tell }));
        const queries = (db ??= kyselyOn(kept));
        return [await kept.turn(() => runInTransaction(kept, queries, call))];
      } catch (thrown) {
        return [failed(call, thrown)];
      }
    },
    close: async () => connection?.close(),
  };
}

/** All that an operation reads is of one moment. */
async function runInTransaction(connection: Connection, db: Kysely<Schema>, call: Call): Promise<Answer> {
  try {
    const run = Object.hasOwn(readOf, call.name) ? readOf[call.name] : undefined;
    if (!run) throw new Error(`the store has no operation ${call.name}`);
    await connection.exec(beginReading[connection.kind]);
    const value = await run(db, ...call.args);
    await connection.exec('commit');
    return answered(call, value);
  } catch (thrown) {
    if (connection.isTransaction) await connection.exec('rollback');
    return failed(call, thrown);
  }
}

await keepAnswering(() => openRoom(workerData as ReaderData));
