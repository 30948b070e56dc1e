import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { sql } from 'kysely';
import { isFault } from '#base/fault.ts';
import { migrate as migrateOn, type Migration, migrations } from './migrate.ts';
import { sqliteConnection } from './sqlite.ts';

const migrate = (database: DatabaseSync, nowMs: number, known: readonly Migration[]) => migrateOn(sqliteConnection(database), nowMs, known);
const step = (name: string, text: string): Migration => ({ name, up: async (db) => void (await sql.raw(text).execute(db)) });
const one = step('one', 'create table one (a integer)');
const two = step('two', 'create table two (a integer)');
const tablesOf = (database: DatabaseSync) => database.prepare("select name from sqlite_schema where type = 'table' order by name").all().map((row) => row['name']);

test('only what is missing runs, in order, and is recorded', async () => {
  const database = new DatabaseSync(':memory:');
  assert.equal(await migrate(database, 5, [one]), 1);
  assert.equal(await migrate(database, 6, [step('changed later', 'never valid'), two]), 2);
  assert.equal(await migrate(database, 7, [one, two]), 2);
  assert.deepEqual(tablesOf(database), ['one', 'schema_migration', 'two']);
  assert.deepEqual(
    database.prepare('select * from schema_migration order by number').all().map((row) => ({ ...row })),
    [{ number: 1, name: 'one', at: 5 }, { number: 2, name: 'two', at: 6 }],
  );
});

test('a migration that fails leaves nothing, and can run again', async () => {
  const database = new DatabaseSync(':memory:');
  const half: Migration = { name: 'half', up: async (db) => void (await two.up(db, 'sqlite'), await step('', 'not sql').up(db, 'sqlite')) };
  await assert.rejects(migrate(database, 5, [one, half]));
  assert.deepEqual(tablesOf(database), ['one', 'schema_migration']);
  assert.equal(database.isTransaction, false);
  assert.equal(await migrate(database, 6, [one, two]), 2);
});

test('a newer database is refused', async () => {
  const database = new DatabaseSync(':memory:');
  await migrate(database, 5, [one, two]);
  await assert.rejects(migrate(database, 6, [one]), (thrown: unknown) => isFault(thrown, 'unsupported') && /schema is number 2, this program knows 1/.test(thrown.message));
});

/** Parts of a feed's epoch, which names the customer: a column more in each of millions of rows would say the same. */
const partsOfEpochs = ['chunk', 'feed_gap', 'intake_key', 'sink_position'];

test('every table of the schema names a customer, but for the gateway’s own', async () => {
  const database = new DatabaseSync(':memory:');
  await migrate(database, 5, migrations);
  const without = tablesOf(database).filter((name) => !database.prepare(`select 1 from pragma_table_info('${String(name)}') where name = 'customer_id'`).get());
  assert.deepEqual(without.filter((name) => !partsOfEpochs.includes(String(name))), ['audit_head', 'counter', 'customer', 'schema_migration']);
  for (const name of partsOfEpochs) assert.ok(database.prepare(`select 1 from pragma_foreign_key_list('${name}') where "table" in ('feed_epoch', 'feed')`).get(), name);
});
