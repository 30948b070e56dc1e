// What devices bring home: who they are without an agent, their feeds, the bytes themselves, and what is missing of them.
import type { CreateTableBuilder, Kysely } from 'kysely';
import { sql } from 'kysely';
import type { StoreKind } from '../connection.ts';

type Table = CreateTableBuilder<string, string>;

export const name = 'intake';

export async function up(db: Kysely<unknown>, kind: StoreKind): Promise<void> {
  await freeDevicesOfAgents(db, kind);
  await identities(db);
  await feeds(db, kind);
}

const id = (table: Table): Table => table.addColumn('id', 'text', (column) => column.primaryKey().notNull());
const ofCustomer = (table: Table): Table => table.addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'));
const texts = (table: Table, ...names: string[]): Table => names.reduce((made, each) => made.addColumn(each, 'text', (column) => column.notNull()), table);
const numbers = (table: Table, ...names: string[]): Table => names.reduce((made, each) => made.addColumn(each, 'bigint', (column) => column.notNull()), table);
const maybe = (table: Table, type: 'text' | 'bigint', ...names: string[]): Table => names.reduce((made, each) => made.addColumn(each, type), table);

/** A device that only pushes has no agent. SQLite cannot drop a NOT NULL: the table is made anew from its own words. */
async function freeDevicesOfAgents(db: Kysely<unknown>, kind: StoreKind): Promise<void> {
  if (kind === 'postgres') {
    await sql`alter table device alter column agent_id drop not null`.execute(db);
  } else {
    const found = await sql<{ sql: string }>`select sql from sqlite_master where type = 'table' and name = 'device'`.execute(db);
    const was = found.rows[0]!.sql;
    const next = was.replace('"device"', '"device_next"').replace('"agent_id" text not null', '"agent_id" text');
    if (next === was || !next.includes('"device_next"') || next.includes('"agent_id" text not null')) throw new Error('the table device is not as it was made');
    await sql.raw(next).execute(db);
    await sql`insert into device_next select * from device`.execute(db);
    // Its rows would go with the old table.
    await sql`create table old_label_kept as select * from old_label`.execute(db);
    await sql`drop table device`.execute(db);
    await sql`alter table device_next rename to device`.execute(db);
    await sql`insert into old_label select * from old_label_kept`.execute(db);
    await sql`drop table old_label_kept`.execute(db);
    await db.schema.createIndex('device_agent').on('device').column('agent_id').execute();
  }
  // Not unique: serials were free until now. Who gives one from now on looks first.
  await db.schema.createIndex('device_serial').on('device').columns(['customer_id', 'serial']).execute();
}

async function identities(db: Kysely<unknown>): Promise<void> {
  let table = ofCustomer(id(db.schema.createTable('device_key')));
  table = table.addColumn('device_id', 'text', (column) => column.notNull().references('device.id').onDelete('cascade'));
  table = table.addColumn('kind', 'text', (column) => column.notNull().check(sql`kind in ('key', 'certificate')`));
  table = maybe(texts(table, 'digest'), 'text', 'sealed');
  table = table.addColumn('state', 'text', (column) => column.notNull().check(sql`state in ('next', 'current')`));
  await maybe(numbers(table, 'created_at'), 'bigint', 'used_at').execute();
  await db.schema.createIndex('device_key_device').on('device_key').column('device_id').execute();

  table = texts(ofCustomer(id(db.schema.createTable('waiting_device'))), 'serial', 'name', 'from', 'product');
  table = maybe(numbers(table, 'first_seen_at', 'last_seen_at'), 'text', 'key_digest', 'key_sealed');
  await numbers(table, 'bytes').addUniqueConstraint('waiting_device_serial', ['customer_id', 'serial']).execute();

  // A waiting device has notes, too, so it refers to no device.
  table = ofCustomer(db.schema.createTable('device_note').addColumn('device_id', 'text', (column) => column.primaryKey().notNull()));
  table = maybe(table, 'bigint', 'last_seen_at', 'last_push_at', 'last_check_in_at', 'up', 'clock_skew_ms');
  await texts(maybe(table, 'text', 'from', 'fw', 'hw', 'zone', 'pins'), 'facts').execute();
}

async function feeds(db: Kysely<unknown>, kind: StoreKind): Promise<void> {
  // Refers to no device: data outlives it, and a waiting one is none yet.
  let table = texts(ofCustomer(id(db.schema.createTable('feed'))), 'device_id', 'serial', 'name');
  await numbers(table, 'created_at').addUniqueConstraint('feed_name', ['device_id', 'name']).execute();

  table = ofCustomer(db.schema.createTable('feed_epoch').addColumn('number', 'bigint', (column) => column.primaryKey().notNull()));
  table = table.addColumn('feed_id', 'text', (column) => column.notNull().references('feed.id').onDelete('cascade'));
  table = texts(table, 'epoch', 'format').addColumn('kind', 'text', (column) => column.notNull().check(sql`kind in ('offset', 'keyed')`));
  table = numbers(table, 'start', 'first', 'next', 'boundary').addColumn('unframed', 'integer', (column) => column.notNull().check(sql`unframed in (0, 1)`));
  table = numbers(table, 'records', 'batches', 'repeats', 'gaps', 'lost_bytes', 'conflicts', 'created_at', 'last_at');
  await maybe(maybe(table, 'bigint', 'claimed', 'sealed_at'), 'text', 'sealed_to').addUniqueConstraint('feed_epoch_epoch', ['feed_id', 'epoch']).execute();

  // The key is the second line of defence: even a mistake of ours cannot store an offset twice.
  table = db.schema.createTable('chunk').addColumn('epoch', 'bigint', (column) => column.notNull().references('feed_epoch.number').onDelete('cascade'));
  table = table.addColumn('off', 'bigint', (column) => column.notNull()).addColumn('len', 'integer', (column) => column.notNull().check(sql`len > 0`));
  table = numbers(table, 'at').addColumn('records', 'integer', (column) => column.notNull());
  await table.addColumn('body', kind === 'postgres' ? 'bytea' : 'blob', (column) => column.notNull()).addPrimaryKeyConstraint('chunk_place', ['epoch', 'off']).execute();
  // Else the server tries to compress each body, which costs more than storing it.
  if (kind === 'postgres') await sql`alter table chunk alter column body set storage external`.execute(db);

  table = db.schema.createTable('feed_gap').addColumn('epoch', 'bigint', (column) => column.notNull().references('feed_epoch.number').onDelete('cascade'));
  await numbers(texts(numbers(table, 'from_off', 'to_off'), 'reason'), 'at').addPrimaryKeyConstraint('feed_gap_place', ['epoch', 'from_off']).execute();

  table = ofCustomer(id(db.schema.createTable('feed_alert'))).addColumn('epoch', 'bigint', (column) => column.notNull().references('feed_epoch.number').onDelete('cascade'));
  table = texts(numbers(table, 'off'), 'rule', 'record');
  table = maybe(numbers(table, 'at', 'due_at', 'tries'), 'bigint', 'done_at');
  await maybe(table, 'text', 'why').addUniqueConstraint('feed_alert_once', ['epoch', 'off', 'rule']).execute();
  await db.schema.createIndex('feed_alert_due').on('feed_alert').columns(['done_at', 'due_at']).execute();

  table = db.schema.createTable('intake_key').addColumn('feed_id', 'text', (column) => column.notNull().references('feed.id').onDelete('cascade'));
  table = numbers(texts(table, 'key_digest', 'body_digest'), 'epoch', 'off', 'at');
  await table.addPrimaryKeyConstraint('intake_key_key', ['feed_id', 'key_digest']).execute();
  await db.schema.createIndex('intake_key_at').on('intake_key').column('at').execute();
}
