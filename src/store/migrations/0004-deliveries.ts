// Certificates that agents put in place beside application servers.
import type { Kysely } from 'kysely';
import { sql } from 'kysely';

export const name = 'deliveries';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('delivery')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    // With the certificate, or with the agent, what is about both goes.
    .addColumn('certificate_id', 'text', (column) => column.notNull().references('certificate.id').onDelete('cascade'))
    .addColumn('agent_id', 'text', (column) => column.notNull().references('agent.id').onDelete('cascade'))
    .addColumn('as_name', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull().check(sql`state in ('pending', 'delivered', 'failed', 'refused', 'unsupported')`))
    .addColumn('digest', 'text')
    .addColumn('delivered_at', 'bigint')
    .addColumn('tried_at', 'bigint')
    .addColumn('why', 'text')
    .addColumn('exit_code', 'integer')
    .addColumn('output', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    // One name at an agent stands for one certificate: two would take turns.
    .addUniqueConstraint('delivery_name', ['agent_id', 'as_name'])
    .execute();
  await db.schema.createIndex('delivery_certificate').on('delivery').column('certificate_id').execute();
}
