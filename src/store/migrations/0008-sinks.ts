// How far each sink has come in each epoch.
import type { Kysely } from 'kysely';

export const name = 'sinks';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('sink_position')
    .addColumn('sink', 'text', (column) => column.notNull())
    .addColumn('epoch', 'bigint', (column) => column.notNull().references('feed_epoch.number').onDelete('cascade'))
    // Everything before it was taken.
    .addColumn('off', 'bigint', (column) => column.notNull())
    // How often it was ordered to begin again.
    .addColumn('run', 'bigint', (column) => column.notNull())
    .addColumn('unframed', 'integer', (column) => column.notNull())
    .addColumn('data', 'text')
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('sink_position_place', ['sink', 'epoch'])
    .execute();
  await db.schema.createIndex('sink_position_epoch').on('sink_position').column('epoch').execute();
}
