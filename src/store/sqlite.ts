// SQLite as the store: opening the file, and the connection on it.
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { Answered, KeptConnection } from './connection.ts';

/** How long a statement waits for a lock; nobody else should hold one for long. */
const busyTimeoutMs = 2_000;
const statementsKeptMax = 256;

/** Opens the file with what every connection needs: WAL, an fsync at every commit, foreign keys. */
export function openSqlite(file: string, mode: 'write' | 'read'): KeptConnection {
  const database = new DatabaseSync(file, { readOnly: mode === 'read', timeout: busyTimeoutMs, enableForeignKeyConstraints: true });
  try {
    // Sorting and temporary indexes stay in memory: rows must not reach another file than ours.
    database.exec('pragma temp_store = memory');
    if (mode === 'write') {
      // 1,000 pages of 4 KiB: a checkpoint copies at most about 4 MiB within one commit. The WAL file shrinks back after a burst.
      database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 1000; pragma journal_size_limit = 67108864');
    }
    return sqliteConnection(database, mode);
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}

export function sqliteConnection(database: DatabaseSync, mode: 'write' | 'read' = 'write'): KeptConnection {
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
    kind: 'sqlite',
    describes: `SQLite ${String(database.prepare('select sqlite_version() as version').get()?.['version'])}`,
    // A file is not lost.
    turn: (work) => work(),
    async query<Row>(sql: string, parameters: readonly unknown[]): Promise<Answered<Row>> {
      const { statement, answersRows } = prepare(sql);
      if (answersRows) {
        const rows = statement.all(...(parameters as SQLInputValue[])) as Row[];
        return { rows, touched: rows.length };
      }
      return { rows: [], touched: Number(statement.run(...(parameters as SQLInputValue[])).changes) };
    },
    async exec(sql) {
      database.exec(sql);
    },
    get isTransaction() {
      return database.isTransaction;
    },
    async close() {
      try {
        // So that a closed store is one file; a reader elsewhere (a backup) may hinder it, which harms nothing.
        if (mode === 'write') database.exec('pragma wal_checkpoint(truncate)');
      } finally {
        database.close();
      }
    },
  };
}
