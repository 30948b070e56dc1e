// Records as rows of somebody's tables, in a database that is not the store: rows and position in one transaction there, so that each
// row is there once whatever happens to either side. All of it runs in a thread of its own.
import { Fault } from '#base/fault.ts';
import type { Log } from '#base/log.ts';
import type { FieldColumn } from '#model/parsers/fields.ts';
import { type SinkBatch, type SinkItem, type SinkSource, timeText } from '#model/sink-batch.ts';
import type { SinkPosition } from '#model/sinks.ts';
import { beginWriting, type Connection, type StoreKind } from './connection.ts';
import type { StoreLocation } from './location.ts';
import { parsePostgres } from './location.ts';
import { makePrivateFile } from './private-file.ts';
import { openThread } from './thread.ts';

export interface SqlSinkOptions {
  /** The sink's name: its positions are kept under it. */
  readonly sink: string;
  readonly table: string;
  /** null: whatever fields a record has, as JSON in the column `fields`. */
  readonly columns: readonly FieldColumn[] | null;
}

export interface SqlSinkData extends SqlSinkOptions {
  readonly location: StoreLocation;
}

export interface SqlWriter {
  positionOf(source: SinkSource): Promise<SinkPosition | null>;
  /** Resolves how many of its records were there under the same natural key. Fault `conflict`: the target stands elsewhere than the batch begins. */
  take(batch: SinkBatch): Promise<number>;
  close(): Promise<void>;
}

/** `database`: the absolute path of a file, or `postgres://…`; `password` goes into the latter. */
export async function openSqlWriter(database: string, password: string | null, options: SqlSinkOptions & { readonly log: Log }): Promise<SqlWriter> {
  const { log, ...rest } = options;
  const data: SqlSinkData = { ...rest, location: await locate(database, password, options.sink) };
  const thread = await openThread({ name: `sink ${options.sink}`, url: new URL('./sink-sql-thread.ts', import.meta.url), data, callsMax: 64, log });
  return {
    positionOf: (source) => thread.call('positionOf', [source]) as Promise<SinkPosition | null>,
    take: (batch) => thread.call('take', [batch]) as Promise<number>,
    close: () => thread.close(),
  };
}

async function locate(database: string, password: string | null, sink: string): Promise<StoreLocation> {
  if (/^postgres(ql)?:\/\//.test(database)) {
    const location = parsePostgres(database, `postern sink ${sink}`.slice(0, 63));
    return password === null ? location : { ...location, password };
  }
  await makePrivateFile(database);
  return { kind: 'sqlite', file: database };
}

/** Ours; a field of that name gets `_` behind it. */
const ownColumns = ['customer', 'serial', 'feed', 'epoch', 'off', 'end_off', 'kind', 'received_at', 'stamped_at', 'raw', 'raw_hex', 'error', 'natural_key', 'fields'] as const;
const types: Readonly<Record<StoreKind, Readonly<Record<'text' | 'integer' | 'decimal' | 'time' | 'duration', string>>>> = {
  sqlite: { text: 'text', integer: 'integer', decimal: 'numeric', time: 'text', duration: 'numeric' },
  postgres: { text: 'text', integer: 'numeric', decimal: 'numeric', time: 'timestamptz', duration: 'numeric' },
};
const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;

/** A field's name as a column: lower case, at most 63 characters, each once. */
export function columnNames(columns: readonly FieldColumn[]): readonly string[] {
  const used = new Set<string>(ownColumns);
  return columns.map(({ name }) => {
    let made = name.toLowerCase().replace(/[^a-z0-9_]+/g, '_').replace(/^(?=[0-9]|$)/, '_').slice(0, 60);
    while (used.has(made)) made += '_';
    used.add(made);
    return made;
  });
}

export interface SqlTable {
  readonly data: SqlSinkData;
  readonly connection: Connection;
  readonly fieldColumns: readonly string[];
}

/** Makes the tables, and the columns that a table of before has not. */
export async function prepareTables(connection: Connection, data: SqlSinkData): Promise<SqlTable> {
  const { kind } = connection;
  const columns = data.columns ?? [];
  const fieldColumns = columnNames(columns);
  const table = quoted(data.table);
  if (kind === 'postgres') await connection.exec('set synchronous_commit = on');
  await connection.exec(
    `create table if not exists postern_position (sink text not null, customer text not null, serial text not null, feed text not null, epoch text not null, off bigint not null, run bigint not null, unframed integer not null,
      primary key (sink, customer, serial, feed, epoch))`,
  );
  await connection.exec(
    `create table if not exists ${table} (customer text not null, serial text not null, feed text not null, epoch text not null, off bigint not null, end_off bigint not null, kind text not null,
      received_at ${types[kind].time} not null, stamped_at ${types[kind].time}, raw text, raw_hex text, error text, natural_key text, fields text, primary key (customer, serial, feed, epoch, off))`,
  );
  const { rows } = kind === 'sqlite' ? await connection.query<{ name: string }>('select name from pragma_table_info(?)', [data.table]) : await connection.query<{ name: string }>('select column_name::text as name from information_schema.columns where table_schema = current_schema() and table_name = $1', [data.table]);
  const there = new Set(rows.map(({ name }) => name));
  const missing = ownColumns.filter((name) => !there.has(name));
  if (missing.length > 0) throw new Fault('conflict', `the table ${data.table} is there and is none of a sink: it lacks ${missing.join(', ')}`, { remedy: 'Name another table.' });
  for (const [index, name] of fieldColumns.entries()) if (!there.has(name)) await connection.exec(`alter table ${table} add column ${quoted(name)} ${types[kind][columns[index]!.type]}`);
  await connection.exec(`create index if not exists ${quoted(`${data.table.slice(0, 50)}_natural`)} on ${table} (customer, serial, feed, natural_key)`);
  return { data, connection, fieldColumns };
}

/** Placeholders by number, in both. */
const at = (index: number) => `$${index}`;
/** SQLite takes `?`, so the numbers stand in their order. */
const spoken = (connection: Connection, statement: string) => (connection.kind === 'sqlite' ? statement.replace(/\$\d+/g, '?') : statement);
const whose = ({ customer, serial, feed, epoch }: SinkSource) => [customer, serial, feed, epoch];

export async function readPosition({ connection, data }: SqlTable, source: SinkSource, lock = false): Promise<SinkPosition | null> {
  const statement = `select off, run, unframed from postern_position where sink = $1 and customer = $2 and serial = $3 and feed = $4 and epoch = $5${lock && connection.kind === 'postgres' ? ' for update' : ''}`;
  const { rows } = await connection.query<{ off: number; run: number; unframed: number }>(spoken(connection, statement), [data.sink, ...whose(source)]);
  const row = rows[0];
  return row ? { off: row.off, run: row.run, unframed: row.unframed === 1, data: null } : null;
}

/** Everything of it or nothing, and the position with it. */
export async function takeBatch(table: SqlTable, batch: SinkBatch): Promise<number> {
  const { connection } = table;
  await connection.exec(beginWriting[connection.kind]);
  try {
    const doubles = await write(table, batch);
    await connection.exec('commit');
    return doubles;
  } catch (thrown) {
    if (connection.isTransaction) await connection.exec('rollback').catch(() => {});
    throw thrown;
  }
}

async function write(table: SqlTable, batch: SinkBatch): Promise<number> {
  const { connection, data } = table;
  const { source, from, to, run, unframed } = batch;
  const query = (statement: string, parameters: readonly unknown[]) => connection.query<Record<string, unknown>>(spoken(connection, statement), parameters);
  // A session that was thought to be lost may have committed late: the row is locked, and says where things stand.
  await query('insert into postern_position (sink, customer, serial, feed, epoch, off, run, unframed) values ($1, $2, $3, $4, $5, $6, $7, 0) on conflict do nothing', [data.sink, ...whose(source), from, run]);
  const stands = (await readPosition(table, source, true))!;
  if (stands.run > run || (stands.run === run && stands.off !== from)) throw new Fault('conflict', `the target stands at ${stands.off}, the batch begins at ${from}`);
  const name = quoted(data.table);
  // Begun again: what is there of it is made anew, with the parser as it is now.
  if (run > 0) await query(`delete from ${name} where customer = $1 and serial = $2 and feed = $3 and epoch = $4 and off >= $5 and off < $6`, [...whose(source), from, to]);
  const known = await knownKeys(table, batch);
  const fresh = batch.items.filter(({ key }) => {
    if (key === null) return true;
    if (known.has(key)) return false;
    known.add(key);
    return true;
  });
  const columns = [...ownColumns, ...table.fieldColumns];
  for (let done = 0; done < fresh.length; ) {
    // Few different statements: each is prepared once.
    let count = Math.min(64, 2 ** Math.floor(Math.log2(Math.max(1, 30_000 / columns.length))));
    while (count > fresh.length - done) count /= 2;
    const values = Array.from({ length: count }, (_, row) => `(${columns.map((_each, column) => at(row * columns.length + column + 1)).join(', ')})`).join(', ');
    await query(`insert into ${name} (${columns.map(quoted).join(', ')}) values ${values} on conflict do nothing`, fresh.slice(done, done + count).flatMap((item) => rowOf(table, source, item)));
    done += count;
  }
  await query('update postern_position set off = $1, run = $2, unframed = $3 where sink = $4 and customer = $5 and serial = $6 and feed = $7 and epoch = $8', [to, run, Number(unframed), data.sink, ...whose(source)]);
  return batch.items.length - fresh.length;
}

async function knownKeys({ connection, data }: SqlTable, { source, items }: SinkBatch): Promise<Set<string>> {
  const keys = [...new Set(items.flatMap(({ key }) => (key === null ? [] : [key])))];
  const known = new Set<string>();
  for (let done = 0; done < keys.length; done += 100) {
    const some = keys.slice(done, done + 100);
    const statement = `select natural_key from ${quoted(data.table)} where customer = $1 and serial = $2 and feed = $3 and natural_key in (${some.map((_, index) => at(index + 4)).join(', ')})`;
    const { rows } = await connection.query<{ natural_key: string }>(spoken(connection, statement), [source.customer, source.serial, source.feed, ...some]);
    for (const row of rows) known.add(row.natural_key);
  }
  return known;
}

/** A character that PostgreSQL's texts cannot hold. */
const plain = (value: unknown) => (typeof value === 'string' && value.includes('\0') ? value.replaceAll('\0', '\ufffd') : value);

function rowOf({ data, fieldColumns }: SqlTable, source: SinkSource, item: SinkItem): unknown[] {
  const { kind, off, end, receivedAt, atMs, bytes, fields, key, error } = item;
  const buffer = bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer === null ? null : textOrNull(buffer);
  const own = [...whose(source), off, end, kind, new Date(receivedAt).toISOString(), atMs === null ? null : timeText(atMs), text, buffer !== null && text === null ? buffer.toString('hex') : null, error, key, data.columns === null && fields !== null ? JSON.stringify(fields) : null];
  return [...own, ...fieldColumns.map((_, index) => fields?.[data.columns![index]!.name] ?? null)].map(plain);
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOrNull(bytes: Buffer): string | null {
  if (bytes.includes(0)) return null;
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}
