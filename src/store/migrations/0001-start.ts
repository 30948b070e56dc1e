// The first schema. Ids are UUIDv7 text, times milliseconds since 1970, flags 0 or 1, lists and objects JSON text.
// Visits and audit outlive what they speak of, so they refer to nothing; neither do rights: their subject and scope are of several kinds.
import type { CreateTableBuilder, Kysely } from 'kysely';
import { sql } from 'kysely';

type Table = CreateTableBuilder<string, string>;

export const name = 'start';

export async function up(db: Kysely<unknown>): Promise<void> {
  await customers(db);
  await agents(db);
  await people(db);
  await oneTimeThings(db);
  await records(db);
}

const id = (table: Table): Table => table.addColumn('id', 'text', (column) => column.primaryKey().notNull());
const ofCustomer = (table: Table): Table => table.addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'));
const texts = (table: Table, ...names: string[]): Table => names.reduce((made, name) => made.addColumn(name, 'text', (column) => column.notNull()), table);
const numbers = (table: Table, ...names: string[]): Table => names.reduce((made, name) => made.addColumn(name, 'bigint', (column) => column.notNull()), table);
const uniqueText = (table: Table, name: string): Table => table.addColumn(name, 'text', (column) => column.notNull().unique());
const flag = (table: Table, name: string): Table => table.addColumn(name, 'integer', (column) => column.notNull().check(sql`${sql.ref(name)} in (0, 1)`));
const oneOf = (table: Table, name: string, ...values: string[]): Table =>
  table.addColumn(name, 'text', (column) => column.notNull().check(sql`${sql.ref(name)} in (${sql.join(values.map((value) => sql.lit(value)))})`));

async function customers(db: Kysely<unknown>): Promise<void> {
  let table = uniqueText(id(db.schema.createTable('customer')), 'key');
  table = numbers(texts(table, 'name'), 'created_at');
  await table.execute();
  table = texts(ofCustomer(id(db.schema.createTable('site'))), 'name');
  await numbers(table, 'created_at').addUniqueConstraint('site_name', ['customer_id', 'name']).execute();
}

async function agents(db: Kysely<unknown>): Promise<void> {
  let table = ofCustomer(id(db.schema.createTable('agent')));
  table = table.addColumn('site_id', 'text', (column) => column.notNull().references('site.id'));
  table = oneOf(texts(table, 'name'), 'state', 'active', 'locked', 'revoked');
  await numbers(table, 'created_at').execute();

  // Refers to no agent: a revoked certificate stays listed when its agent is gone.
  table = db.schema.createTable('agent_certificate').addColumn('fingerprint', 'text', (column) => column.primaryKey().notNull());
  table = numbers(texts(ofCustomer(table), 'agent_id', 'key_fingerprint'), 'not_before', 'not_after').addColumn('revoked_at', 'bigint');
  await table.execute();
  await db.schema.createIndex('agent_certificate_agent').on('agent_certificate').column('agent_id').execute();

  table = db.schema.createTable('agent_note').addColumn('agent_id', 'text', (column) => column.primaryKey().notNull().references('agent.id').onDelete('cascade'));
  table = ofCustomer(table).addColumn('last_seen_at', 'bigint').addColumn('last_left_why', 'text').addColumn('version', 'text').addColumn('from', 'text').addColumn('policy', 'text');
  await table.execute();

  table = ofCustomer(id(db.schema.createTable('device')));
  table = table.addColumn('site_id', 'text', (column) => column.notNull().references('site.id'));
  table = table.addColumn('agent_id', 'text', (column) => column.notNull().references('agent.id')).addColumn('serial', 'text');
  table = oneOf(texts(uniqueText(table, 'label'), 'name', 'host', 'ports'), 'host_header', 'own', 'public');
  await numbers(flag(table, 'locked'), 'created_at').execute();
  await db.schema.createIndex('device_agent').on('device').column('agent_id').execute();

  table = db.schema.createTable('old_label').addColumn('label', 'text', (column) => column.primaryKey().notNull());
  table = ofCustomer(table).addColumn('device_id', 'text', (column) => column.notNull().references('device.id').onDelete('cascade'));
  await numbers(table, 'until').execute();
  await db.schema.createIndex('old_label_device').on('old_label').column('device_id').execute();
}

async function people(db: Kysely<unknown>): Promise<void> {
  let table = texts(ofCustomer(id(db.schema.createTable('person'))), 'login');
  // The login in lower case as JavaScript makes it; SQLite's lower() knows only ASCII.
  table = texts(uniqueText(table, 'login_key'), 'name', 'password_hash');
  await numbers(flag(table, 'locked'), 'created_at').execute();

  table = oneOf(ofCustomer(id(db.schema.createTable('access_right'))), 'subject_kind', 'person', 'token');
  table = oneOf(texts(table, 'subject_id'), 'action', 'see', 'open', 'administer');
  await oneOf(table, 'scope_kind', 'gateway', 'customer', 'site', 'device').addColumn('scope_id', 'text').execute();
  await db.schema.createIndex('access_right_subject').on('access_right').columns(['subject_kind', 'subject_id']).execute();

  table = ofCustomer(id(db.schema.createTable('sign_in')));
  table = table.addColumn('person_id', 'text', (column) => column.notNull().references('person.id').onDelete('cascade'));
  table = texts(oneOf(uniqueText(table, 'secret_digest'), 'kind', 'browser', 'cli'), 'from', 'user_agent');
  await numbers(table, 'created_at', 'last_used_at', 'expires_at').execute();
  await db.schema.createIndex('sign_in_person').on('sign_in').column('person_id').execute();

  table = ofCustomer(id(db.schema.createTable('token')));
  table = table.addColumn('person_id', 'text', (column) => column.notNull().references('person.id').onDelete('cascade'));
  table = numbers(uniqueText(texts(table, 'name'), 'secret_digest'), 'created_at');
  await table.addColumn('last_used_at', 'bigint').addColumn('expires_at', 'bigint').execute();
  await db.schema.createIndex('token_person').on('token').column('person_id').execute();
}

async function oneTimeThings(db: Kysely<unknown>): Promise<void> {
  let table = ofCustomer(id(db.schema.createTable('join_token')));
  table = table.addColumn('site_id', 'text', (column) => column.notNull().references('site.id'));
  table = texts(uniqueText(table, 'secret_digest'), 'device_name').addColumn('serial', 'text');
  table = numbers(texts(table, 'host', 'ports', 'created_by'), 'created_at', 'expires_at');
  await table.addColumn('used_at', 'bigint').addColumn('used_by_agent_id', 'text').execute();

  table = texts(uniqueText(ofCustomer(id(db.schema.createTable('invite'))), 'code_digest'), 'name', 'rights', 'created_by');
  await numbers(table, 'created_at', 'expires_at').addColumn('used_at', 'bigint').execute();
}

async function records(db: Kysely<unknown>): Promise<void> {
  let table: Table = db.schema.createTable('revision').addColumn('number', 'integer', (column) => column.primaryKey().notNull());
  await texts(numbers(texts(table, 'customer_id'), 'at'), 'actor', 'config').execute();

  table = numbers(texts(id(db.schema.createTable('visit')), 'customer_id', 'device_id', 'device_name', 'kind', 'who'), 'port', 'opened_at', 'requests', 'bytes_in', 'bytes_out');
  await table.addColumn('closed_at', 'bigint').addColumn('why', 'text').execute();
  await db.schema.createIndex('visit_device').on('visit').columns(['device_id', 'id']).execute();
  await db.schema.createIndex('visit_open').on('visit').column('id').where(sql.ref('closed_at'), 'is', null).execute();

  table = db.schema.createTable('audit').addColumn('seq', 'integer', (column) => column.primaryKey().notNull());
  table = texts(numbers(table, 'at'), 'customer_id', 'actor_kind').addColumn('actor_id', 'text');
  table = texts(table, 'actor_name', 'actor_from', 'what', 'subject_kind').addColumn('subject_id', 'text');
  await texts(table, 'subject_name', 'detail', 'previous_hash', 'hash').execute();
  for (const column of ['what', 'actor_id', 'subject_id']) await db.schema.createIndex(`audit_${column}`).on('audit').columns([column, 'seq']).execute();

  table = db.schema.createTable('audit_head').addColumn('id', 'integer', (column) => column.primaryKey().notNull());
  await texts(numbers(table, 'seq'), 'hash').execute();
  table = db.schema.createTable('counter').addColumn('name', 'text', (column) => column.primaryKey().notNull());
  await numbers(table, 'value').execute();
}
