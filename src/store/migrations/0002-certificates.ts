// Certificates that people configure or order. Their keys are no columns: each is a file of the data folder.
import type { Kysely } from 'kysely';
import { sql } from 'kysely';

export const name = 'certificates';

export async function up(db: Kysely<unknown>): Promise<void> {
  const text = ['names', 'key_kind', 'subject', 'acme'] as const;
  const maybeText = ['key_fingerprint', 'chain_pem', 'certificate_fingerprint', 'issuer', 'csr_pem', 'csr_key_fingerprint', 'previous_chain_pem', 'previous_key_fingerprint', 'last_error'] as const;
  const maybeNumber = ['not_before', 'not_after', 'renewed_at', 'last_tried_at'] as const;
  let table = db.schema
    .createTable('certificate')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('customer_id', 'text', (column) => column.notNull().references('customer.id'))
    .addColumn('name', 'text', (column) => column.notNull().unique())
    .addColumn('source', 'text', (column) => column.notNull().check(sql`source in ('uploaded', 'request', 'private-ca', 'acme')`))
    .addColumn('state', 'text', (column) => column.notNull().check(sql`state in ('waiting', 'ready')`))
    .addColumn('enabled', 'integer', (column) => column.notNull().check(sql`enabled in (0, 1)`))
    .addColumn('created_at', 'bigint', (column) => column.notNull());
  for (const each of text) table = table.addColumn(each, 'text', (column) => column.notNull());
  for (const each of maybeText) table = table.addColumn(each, 'text');
  for (const each of maybeNumber) table = table.addColumn(each, 'bigint');
  await table.execute();
}
