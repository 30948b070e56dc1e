// Addresses of the pool that devices have, and those that they had until lately.
import type { Kysely } from 'kysely';

export const name = 'virtual-addresses';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('virtual_address')
    .addColumn('device_id', 'text', (column) => column.primaryKey().notNull().references('device.id').onDelete('cascade'))
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('address', 'text', (column) => column.notNull().unique())
    .addColumn('pinned', 'integer', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute();
  // Refers to no device: it outlives the one that had it.
  await db.schema
    .createTable('released_address')
    .addColumn('address', 'text', (column) => column.primaryKey().notNull())
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('device_id', 'text', (column) => column.notNull())
    .addColumn('released_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema.createIndex('released_address_at').on('released_address').column('released_at').execute();
}
