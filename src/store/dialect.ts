// Kysely on node:sqlite: the driver is ours, adapter and compiler are Kysely's. One connection a thread; its owner begins
// and ends transactions itself (several operations may share one), so Kysely's own transactions are only for completeness.
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { CamelCasePlugin, type CompiledQuery, type DatabaseConnection, type Driver, Kysely, type QueryResult, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import type { Schema } from './schema.ts';

/** How long a statement waits for a lock; nobody else should hold one for long. */
const busyTimeoutMs = 2_000;
const statementsKeptMax = 256;

/** Opens the file with what every connection needs: WAL, an fsync at every commit, foreign keys. */
export function openDatabase(file: string, mode: 'write' | 'read'): DatabaseSync {
  const database = new DatabaseSync(file, { readOnly: mode === 'read', timeout: busyTimeoutMs, enableForeignKeyConstraints: true });
  try {
    // Sorting and temporary indexes stay in memory: rows must not reach another file than ours.
    database.exec('pragma temp_store = memory');
    if (mode === 'write') {
      // 1,000 pages of 4 KiB: a checkpoint copies at most about 4 MiB within one commit. The WAL file shrinks back after a burst.
      database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 1000; pragma journal_size_limit = 67108864');
    }
    return database;
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}

/** Queries in camelCase over columns in snake_case. */
export function kyselyOn(database: DatabaseSync): Kysely<Schema> {
  return new Kysely<Schema>({ dialect: dialectOn(database), plugins: [new CamelCasePlugin()] });
}

/** Without names translated: for migrations, which say what is in the file. */
export function plainKyselyOn(database: DatabaseSync): Kysely<unknown> {
  return new Kysely<unknown>({ dialect: dialectOn(database) });
}

function dialectOn(database: DatabaseSync) {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => driverOn(connectionOn(database)),
    createIntrospector: (db: Kysely<unknown>) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

/** The database is closed by who opened it, so `destroy` leaves it alone. */
function driverOn(connection: DatabaseConnection & { exec(sql: string): void }): Driver {
  return {
    init: async () => {},
    acquireConnection: async () => connection,
    beginTransaction: async () => connection.exec('begin immediate'),
    commitTransaction: async () => connection.exec('commit'),
    rollbackTransaction: async () => connection.exec('rollback'),
    releaseConnection: async () => {},
    destroy: async () => {},
  };
}

function connectionOn(database: DatabaseSync): DatabaseConnection & { exec(sql: string): void } {
  const kept = new Map<string, { statement: StatementSync; answersRows: boolean }>();
  const prepare = (sql: string) => {
    const known = kept.get(sql);
    if (known) return known;
    const statement = database.prepare(sql);
    const made = { statement, answersRows: statement.columns().length > 0 };
    if (kept.size >= statementsKeptMax) kept.clear();
    kept.set(sql, made);
    return made;
  };
  return {
    exec: (sql) => database.exec(sql),
    async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
      const { statement, answersRows } = prepare(query.sql);
      const parameters = query.parameters as SQLInputValue[];
      if (answersRows) return { rows: statement.all(...parameters) as Row[] };
      const { changes, lastInsertRowid } = statement.run(...parameters);
      return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
    },
    async *streamQuery<Row>(query: CompiledQuery): AsyncIterableIterator<QueryResult<Row>> {
      // A statement of its own: a kept one could be run again while its rows are still being read.
      for (const row of database.prepare(query.sql).iterate(...(query.parameters as SQLInputValue[]))) yield { rows: [row as Row] };
    },
  };
}
