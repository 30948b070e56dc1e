// A thread that copies the store as it is at one moment into one SQLite file. A connection of its own: neither writes nor other reads wait.
import { chmod, stat } from 'node:fs/promises';
import { backup, DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { drainPostgres } from './copy-tables.ts';
import { type Failure, packFailure } from './failure.ts';
import type { StoreLocation } from './location.ts';

export interface CopyOrder {
  readonly from: StoreLocation;
  readonly to: string;
  readonly nowMs: number;
}

export type CopyReport =
  /** What is copied is settled: later changes are not in it. */
  | { readonly kind: 'snapshot' }
  | { readonly kind: 'progress'; readonly done: number; readonly total: number }
  | { readonly kind: 'copied'; readonly bytes: number; readonly schema: number; readonly audit: { readonly seq: number; readonly hash: string } }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** 4 MiB a step, for pages of 4 KiB. */
const pagesPerStep = 1_024;

const report = (message: CopyReport) => parentPort!.postMessage(message);

async function copySqlite(file: string, to: string): Promise<void> {
  const source = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  try {
    // While this transaction stands, each step sees the same moment; without it, a step after somebody's write begins the copy anew.
    source.exec('begin');
    source.prepare('select count(*) from schema_migration').get();
    report({ kind: 'snapshot' });
    const { page_size: pageBytes } = source.prepare('pragma page_size').get() as { page_size: number };
    await backup(source, to, { rate: pagesPerStep, progress: ({ totalPages, remainingPages }) => report({ kind: 'progress', done: (totalPages - remainingPages) * pageBytes, total: totalPages * pageBytes }) });
    source.exec('commit');
  } finally {
    source.close();
  }
}

/** One file without a log beside it, and durable; and what it holds. */
async function settle(to: string): Promise<CopyReport> {
  await chmod(to, 0o600);
  const copy = new DatabaseSync(to);
  try {
    copy.exec('pragma journal_mode = delete');
    const { schema } = copy.prepare('select max(number) as schema from schema_migration').get() as { schema: number };
    const audit = copy.prepare('select seq, hash from audit_head where id = 1').get() as { seq: number; hash: string } | undefined;
    return { kind: 'copied', bytes: (await stat(to)).size, schema, audit: { seq: audit?.seq ?? 0, hash: audit?.hash ?? '0'.repeat(64) } };
  } finally {
    copy.close();
  }
}

try {
  const order = workerData as CopyOrder;
  if (order.from.kind === 'sqlite') await copySqlite(order.from.file, order.to);
  else {
    await drainPostgres(order.from, order.to, {
      nowMs: order.nowMs,
      onSnapshot: () => report({ kind: 'snapshot' }),
      onProgress: (done, total) => report({ kind: 'progress', done, total }),
    });
  }
  report(await settle(order.to));
} catch (thrown) {
  report({ kind: 'failed', failure: packFailure(thrown) });
}
parentPort!.close();
