// Files that devices bring: one row a version; their bytes are files of the data folder, named by their digest.
import type { Kysely } from 'kysely';

export const name = 'files';

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('device_file')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('device_id', 'text', (column) => column.notNull().references('device.id').onDelete('cascade'))
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('bytes', 'bigint', (column) => column.notNull())
    .addColumn('sha256', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('from', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    // null: the newest of its name.
    .addColumn('replaced_at', 'bigint')
    .execute();
  await db.schema.createIndex('device_file_name').on('device_file').columns(['device_id', 'name', 'replaced_at']).execute();
  // Holds all that the sums for the bounds need.
  await db.schema.createIndex('device_file_use').on('device_file').columns(['customer_id', 'device_id', 'bytes']).execute();
  await db.schema.createIndex('device_file_digest').on('device_file').column('sha256').execute();
  await db.schema.createIndex('device_file_created').on('device_file').column('created_at').execute();

  await db.schema
    .createTable('upload')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('device_id', 'text', (column) => column.notNull().references('device.id').onDelete('cascade'))
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('from', 'text', (column) => column.notNull())
    .addColumn('sha256', 'text')
    .addColumn('length', 'bigint')
    .addColumn('received', 'bigint', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('completed_at', 'bigint')
    .execute();
  await db.schema.createIndex('upload_device').on('upload').column('device_id').execute();
  await db.schema.createIndex('upload_expires').on('upload').column('expires_at').execute();
}
