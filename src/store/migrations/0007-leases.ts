// Which server a device belongs to: where it was sent, the words that people put on it, whose account is suspended.
import type { Kysely } from 'kysely';

export const name = 'leases';

export async function up(db: Kysely<unknown>): Promise<void> {
  // Refers to no device: a lease that is left over ends by itself.
  await db.schema
    .createTable('lease')
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('serial', 'text', (column) => column.notNull())
    .addColumn('server', 'text', (column) => column.notNull())
    .addColumn('rule', 'text', (column) => column.notNull())
    .addColumn('given_at', 'bigint', (column) => column.notNull())
    .addColumn('until', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('lease_device', ['customer_id', 'serial'])
    .execute();
  await db.schema
    .createTable('device_tags')
    .addColumn('device_id', 'text', (column) => column.primaryKey().notNull().references('device.id').onDelete('cascade'))
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('tags', 'text', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('suspension')
    .addColumn('customer_id', 'text', (column) => column.primaryKey().notNull().references('customer.id'))
    .addColumn('since', 'bigint', (column) => column.notNull())
    .addColumn('why', 'text', (column) => column.notNull())
    .execute();
}
