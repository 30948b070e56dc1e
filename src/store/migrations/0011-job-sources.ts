// Who devices are, and what they may use: secrets of their URLs, what their identity rests on, job sources.
import type { Kysely } from 'kysely';

export const name = 'job-sources';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('device_token')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('device_id', 'text', (column) => column.notNull().references('device.id').onDelete('cascade'))
    .addColumn('digest', 'text', (column) => column.notNull().unique())
    .addColumn('note', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('used_at', 'bigint')
    .execute();
  await db.schema.createIndex('device_token_device').on('device_token').column('device_id').execute();
  await db.schema
    .createTable('evidence')
    .addColumn('device_id', 'text', (column) => column.notNull().references('device.id').onDelete('cascade'))
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('value', 'text', (column) => column.notNull())
    .addColumn('how', 'text', (column) => column.notNull())
    .addColumn('first_at', 'bigint', (column) => column.notNull())
    .addColumn('last_at', 'bigint', (column) => column.notNull())
    .addColumn('count', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('evidence_fact', ['device_id', 'kind', 'value'])
    .execute();
  await db.schema
    .createTable('job_source')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('application', 'text', (column) => column.notNull())
    .addColumn('device_id', 'text', (column) => column.references('device.id').onDelete('cascade'))
    .addColumn('serial', 'text')
    .addColumn('site_id', 'text', (column) => column.references('site.id').onDelete('cascade'))
    .addColumn('address', 'text')
    .addColumn('as', 'text')
    .addColumn('note', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    // Two nulls are not equal: each of the three ways to name a device has its own.
    .addUniqueConstraint('job_source_device', ['application', 'device_id'])
    .addUniqueConstraint('job_source_serial', ['customer_id', 'application', 'serial'])
    .addUniqueConstraint('job_source_address', ['application', 'site_id', 'address'])
    .execute();
}
