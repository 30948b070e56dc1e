// What devices said that they are, and what was measured of them.
import type { Kysely } from 'kysely';

export const name = 'probes';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('device_profile')
    .addColumn('device_id', 'text', (column) => column.primaryKey().notNull().references('device.id').onDelete('cascade'))
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('profile', 'text', (column) => column.notNull())
    .addColumn('read_at', 'bigint')
    .addColumn('address', 'text')
    // Refers to no agent: who read it may be gone.
    .addColumn('agent_id', 'text')
    .addColumn('trust', 'text', (column) => column.notNull())
    .addColumn('mac', 'text')
    .addColumn('tried_at', 'bigint', (column) => column.notNull())
    .addColumn('failure', 'text', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('probe_sample')
    .addColumn('device_id', 'text', (column) => column.notNull().references('device.id').onDelete('cascade'))
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('series', 'text', (column) => column.notNull())
    .addColumn('value', 'double precision', (column) => column.notNull())
    .addPrimaryKeyConstraint('probe_sample_place', ['device_id', 'series', 'at'])
    .execute();
  await db.schema.createIndex('probe_sample_age').on('probe_sample').column('at').execute();
}
