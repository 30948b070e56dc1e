// Revisions say what they changed, which one they bring back, and until when they wait to be confirmed.
import type { Kysely } from 'kysely';

export const name = 'provisional revisions';

export async function up(db: Kysely<unknown>): Promise<void> {
  // SQLite takes one column a statement. Null in all of them is what a revision of before means.
  await db.schema.alterTable('revision').addColumn('summary', 'text').execute();
  await db.schema.alterTable('revision').addColumn('restores', 'integer').execute();
  await db.schema.alterTable('revision').addColumn('confirm_by', 'bigint').execute();
  await db.schema.alterTable('revision').addColumn('settled', 'text').execute();
}
