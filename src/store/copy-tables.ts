// Everything of one database into another that has the same schema, table by table, whatever the tables are: out of PostgreSQL into the
// one file of a backup, and back. One of the two is always SQLite, and says what there is.
import { Fault } from '#base/fault.ts';
import { beginReading, beginWriting, type Connection } from './connection.ts';
import type { PostgresLocation } from './location.ts';
import { migrate } from './migrate.ts';
import { openSqlite } from './sqlite.ts';

interface TableShape {
  readonly name: string;
  readonly columns: readonly string[];
  /** Its primary key, in order. */
  readonly key: readonly string[];
  readonly hasBlob: boolean;
}

type Row = Readonly<Record<string, unknown>>;

const rowsPerPage = 500;
/** Chunks may be megabytes each. */
const blobRowsPerPage = 16;
const valuesPerInsert = 2_000;

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
const list = (names: readonly string[]) => names.map(quoted).join(', ');

/** In an order in which every row finds what it refers to. The record of migrations stays each database's own. */
async function tablesOf(sqlite: Connection): Promise<TableShape[]> {
  const { rows } = await sqlite.query<{ name: string }>("select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' and name <> 'schema_migration' order by name", []);
  const shapes = new Map<string, TableShape & { readonly refersTo: readonly string[] }>();
  for (const { name } of rows) {
    const columns = (await sqlite.query<{ name: string; type: string; pk: number }>('select name, type, pk from pragma_table_info(?)', [name])).rows;
    const refersTo = (await sqlite.query<{ table: string }>('select "table" from pragma_foreign_key_list(?)', [name])).rows.map((each) => each.table);
    const key = columns.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk).map((each) => each.name);
    if (key.length === 0) throw new Error(`the table ${name} has no primary key to be copied by`);
    shapes.set(name, { name, columns: columns.map((each) => each.name), key, hasBlob: columns.some(({ type }) => /blob/i.test(type)), refersTo });
  }
  const ordered = new Set<TableShape>();
  const visit = (shape: TableShape & { readonly refersTo: readonly string[] }, depth: number) => {
    if (ordered.has(shape) || depth > shapes.size) return;
    for (const other of shape.refersTo) if (other !== shape.name) visit(shapes.get(other)!, depth + 1);
    ordered.add(shape);
  };
  for (const shape of shapes.values()) visit(shape, 0);
  return [...ordered];
}

const placeholder = (connection: Connection, index: number) => (connection.kind === 'sqlite' ? '?' : `$${index}`);

async function* pagesOf(from: Connection, { name, columns, key, hasBlob }: TableShape): AsyncGenerator<Row[]> {
  const limit = hasBlob ? blobRowsPerPage : rowsPerPage;
  const select = (where: string) => `select ${list(columns)} from ${quoted(name)}${where} order by ${list(key)} limit ${limit}`;
  const behind = ` where (${list(key)}) > (${key.map((_, index) => placeholder(from, index + 1)).join(', ')})`;
  let last: Row | undefined;
  for (;;) {
    const { rows }: { rows: Row[] } = last === undefined ? await from.query<Row>(select(''), []) : await from.query<Row>(select(behind), key.map((column) => last![column]));
    if (rows.length > 0) yield rows;
    if (rows.length < limit) return;
    last = rows.at(-1);
  }
}

async function insert(to: Connection, { name, columns, hasBlob }: TableShape, rows: readonly Row[]): Promise<void> {
  const step = to.kind === 'sqlite' || hasBlob ? 1 : Math.max(1, Math.floor(valuesPerInsert / columns.length));
  for (let at = 0; at < rows.length; at += step) {
    const some = rows.slice(at, at + step);
    let index = 0;
    const values = some.map(() => `(${columns.map(() => placeholder(to, ++index)).join(', ')})`).join(', ');
    await to.query(`insert into ${quoted(name)} (${list(columns)}) values ${values}`, some.flatMap((row) => columns.map((column) => row[column])));
  }
}

/** About, for a progress bar. */
function sizeOf(row: Row): number {
  let size = 0;
  for (const value of Object.values(row)) size += typeof value === 'string' || value instanceof Uint8Array ? value.length : 8;
  return size;
}

async function copyTables(from: Connection, to: Connection, tables: readonly TableShape[], onBytes: (bytes: number) => void): Promise<void> {
  let bytes = 0;
  for (const table of tables) {
    for await (const rows of pagesOf(from, table)) {
      await insert(to, table, rows);
      onBytes((bytes += rows.reduce((sum, row) => sum + sizeOf(row), 0)));
    }
  }
}

async function schemaOf(connection: Connection): Promise<number> {
  return Number((await connection.query<{ at: number | null }>('select max(number) as at from schema_migration', [])).rows[0]?.at ?? 0);
}

/** What PostgreSQL holds at one moment into a new SQLite file. `onSnapshot`: later changes are not in it. */
export async function drainPostgres(location: PostgresLocation, file: string, options: { nowMs: number; onSnapshot: () => void; onProgress: (done: number, total: number) => void }): Promise<void> {
  const { openPostgres } = await import('./postgres.ts');
  const from = await openPostgres(location, 'read');
  try {
    await from.exec(beginReading.postgres);
    const schema = await schemaOf(from);
    options.onSnapshot();
    const { rows } = await from.query<{ bytes: number }>('select pg_database_size(current_database()) as bytes', []);
    const total = Number(rows[0]?.bytes ?? 0);
    const to = openSqlite(file, 'write');
    try {
      const own = await migrate(to, options.nowMs);
      if (own !== schema) throw new Fault('conflict', `the database has schema ${schema}, this program ${own}`, { remedy: 'restart the gateway' });
      // Rows come table by table; all of them together are in order.
      await to.exec('pragma foreign_keys = off; pragma synchronous = off');
      await to.exec(beginWriting.sqlite);
      await copyTables(from, to, await tablesOf(to), (bytes) => options.onProgress(Math.min(bytes, total), total));
      await to.exec('commit');
    } finally {
      await to.close();
    }
    await from.exec('commit');
  } finally {
    await from.close();
  }
}

/** A SQLite store into a PostgreSQL database, in one transaction. Fault `conflict` when somebody uses it, or it holds a gateway already and `force` is not given. */
export async function fillPostgres(file: string, location: PostgresLocation, options: { force: boolean; nowMs: number; onProgress?: (done: number, total: number) => void }): Promise<void> {
  const { openPostgres } = await import('./postgres.ts');
  const from = openSqlite(file, 'write');
  try {
    // One that was made by an older program: both sides must have the same tables.
    await migrate(from, options.nowMs);
    const to = await openPostgres(location, 'write');
    try {
      await migrate(to, options.nowMs);
      const tables = await tablesOf(from);
      const { rows: sizes } = await from.query<{ bytes: number }>('select c.page_count * s.page_size as bytes from pragma_page_count c, pragma_page_size s', []);
      const total = sizes[0]?.bytes ?? 0;
      await to.exec(beginWriting.postgres);
      try {
        if ((await to.query('select 1 from customer limit 1', [])).rows.length > 0) {
          if (!options.force) throw new Fault('conflict', `the database ${location.shown} holds a gateway already`, { remedy: 'Name an empty one, or empty this one with --force.' });
          await to.exec(`truncate ${list(tables.map(({ name }) => name))}`);
        }
        await copyTables(from, to, tables, (bytes) => options.onProgress?.(Math.min(bytes, total), total));
        await to.exec('commit');
      } catch (thrown) {
        if (to.isTransaction) await to.exec('rollback');
        throw thrown;
      }
      await to.exec('analyze');
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}
