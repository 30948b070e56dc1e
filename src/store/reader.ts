// The one thread that reads, so that no search of the console stands in the way of a write.
import type { DatabaseSync } from 'node:sqlite';
import { workerData } from 'node:worker_threads';
import type { Kysely } from 'kysely';
import { kyselyOn, openDatabase } from './dialect.ts';
import { type Answer, answered, type Call, failed, keepAnswering, type Room } from './loop.ts';
import { reads } from './reads.ts';
import type { Schema } from './schema.ts';

export interface ReaderData {
  readonly file: string;
}

export type Reads = typeof reads;
type AnyRead = (db: Kysely<Schema>, ...args: readonly unknown[]) => Promise<unknown>;
const readOf = reads as unknown as Readonly<Record<string, AnyRead | undefined>>;

async function openRoom(data: ReaderData): Promise<Room> {
  let database: DatabaseSync | undefined;
  let db: Kysely<Schema> | undefined;
  return {
    ready: null,
    // Opened at the first call: both threads load their code at the same time, and only then is there a file to read.
    async work(waiting) {
      const call = waiting.shift()!;
      try {
        database ??= openDatabase(data.file, 'read');
        db ??= kyselyOn(database);
      } catch (thrown) {
        return [failed(call, thrown)];
      }
      return [await runInTransaction(database, db, call)];
    },
    close: () => database?.close(),
  };
}

/** All that an operation reads is of one moment. */
async function runInTransaction(database: DatabaseSync, db: Kysely<Schema>, call: Call): Promise<Answer> {
  try {
    const run = Object.hasOwn(readOf, call.name) ? readOf[call.name] : undefined;
    if (!run) throw new Error(`the store has no operation ${call.name}`);
    database.exec('begin');
    const value = await run(db, ...call.args);
    database.exec('commit');
    return answered(call, value);
  } catch (thrown) {
    if (database.isTransaction) database.exec('rollback');
    return failed(call, thrown);
  }
}

await keepAnswering(() => openRoom(workerData as ReaderData));
