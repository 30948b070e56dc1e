// What is known of sites' networks, and the ports in them at which agents accept connections for the gateway.
import type { Kysely } from 'kysely';

export const name = 'places';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('site_place')
    .addColumn('site_id', 'text', (column) => column.primaryKey().notNull().references('site.id').onDelete('cascade'))
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('subnets', 'text', (column) => column.notNull())
    .addColumn('egress', 'text', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('site_door')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('site_id', 'text', (column) => column.notNull().references('site.id'))
    .addColumn('agent_id', 'text', (column) => column.notNull().references('agent.id').onDelete('cascade'))
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('port', 'integer', (column) => column.notNull())
    .addColumn('listener', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('site_door_port', ['agent_id', 'address', 'port'])
    .execute();
}
