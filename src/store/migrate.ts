// Brings a database to the schema that this program knows: numbered migrations, each in a transaction of its own.
import type { Kysely } from 'kysely';
import { Fault } from '#base/fault.ts';
import { beginWriting, type Connection, type StoreKind } from './connection.ts';
import { kyselyOn, plainKyselyOn } from './dialect.ts';
import * as start from './migrations/0001-start.ts';
import * as certificates from './migrations/0002-certificates.ts';
import * as provisional from './migrations/0003-provisional.ts';
import * as deliveries from './migrations/0004-deliveries.ts';
import * as intake from './migrations/0005-intake.ts';
import * as files from './migrations/0006-files.ts';
import * as leases from './migrations/0007-leases.ts';
import * as sinks from './migrations/0008-sinks.ts';
import * as virtualAddresses from './migrations/0009-virtual-addresses.ts';
import * as probes from './migrations/0009-probes.ts';
import * as places from './migrations/0010-places.ts';
import * as jobSources from './migrations/0011-job-sources.ts';

export interface Migration {
  readonly name: string;
  readonly up: (db: Kysely<unknown>, kind: StoreKind) => Promise<void>;
}

/** The first is number 1. Only ever added to: a migration that has run somewhere is never changed. */
export const migrations: readonly Migration[] = [start, certificates, provisional, deliveries, intake, files, leases, sinks, probes, virtualAddresses, places, jobSources];

/** Runs what is missing; resolves the schema's number. Fault `unsupported` when the database is newer than `known`. */
export async function migrate(connection: Connection, nowMs: number, known: readonly Migration[] = migrations): Promise<number> {
  const plain = plainKyselyOn(connection);
  const db = kyselyOn(connection);
  await plain.schema
    .createTable('schema_migration')
    .ifNotExists()
    .addColumn('number', 'integer', (column) => column.primaryKey().notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .execute();
  const { at } = await db.selectFrom('schemaMigration').select((sql) => sql.fn.max('number').as('at')).executeTakeFirstOrThrow() as { at: number | null };
  const reached = at ?? 0;
  if (reached > known.length) {
    throw new Fault('unsupported', `${connection.kind === 'sqlite' ? 'the data folder' : 'the database'} was written by a newer Postern: its schema is number ${reached}, this program knows ${known.length}`, {
      remedy: 'run the newer Postern again, or restore the backup from before the update',
    });
  }
  for (const [index, migration] of known.entries()) {
    const number = index + 1;
    if (number <= reached) continue;
    await connection.exec(beginWriting[connection.kind]);
    try {
      await migration.up(plain, connection.kind);
      await db.insertInto('schemaMigration').values({ number, name: migration.name, at: nowMs }).execute();
      await connection.exec('commit');
    } catch (thrown) {
      if (connection.isTransaction) await connection.exec('rollback');
      throw thrown;
    }
  }
  return known.length;
}
