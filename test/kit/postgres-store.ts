// For tests of the store on PostgreSQL: stores that are closed at the end whatever failed (an open one's threads would keep the process), and
// programs with a store of their own, to be killed.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Clock } from '#base/clock.ts';
import { isFault } from '#base/fault.ts';
import { silentLog } from '#base/log.ts';
import type { Operations } from '#model/operations.ts';
import { openStore, type StoreOptions } from '#store/open.ts';
import { root as project, until } from './gateway.ts';
import { type PostgresOptions, type PostgresServer, startPostgres } from './postgres.ts';

const clock: Clock = { nowMs: () => 1_800_000_000_000, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };

export interface PostgresStores {
  /** The data folder of all of them. */
  readonly folder: string;
  /** `store`: the address of a database. */
  open(store: string, more?: Partial<StoreOptions>): Promise<Operations>;
  startServer(options?: PostgresOptions): Promise<PostgresServer>;
  /** Runs a program in a process of its own, with `store`, `rows` and `say` on that database. */
  run(address: string, program: string): { readonly child: ChildProcess; readonly lines: AsyncIterableIterator<string> };
  [Symbol.asyncDispose](): Promise<void>;
}

const prelude = (folder: string, address: string) => `
  import { randomBytes } from 'node:crypto';
  import { writeSync } from 'node:fs';
  import { silentLog } from '#base/log.ts';
  import { openStore } from '#store/open.ts';
  const { rowsFor } = await import(${JSON.stringify(import.meta.resolve('../contracts/store.ts'))});
  const clock = { nowMs: () => 1_800_000_000_000, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
  const store = await openStore({ dataDir: ${JSON.stringify(folder)}, store: ${JSON.stringify(address)}, clock, random: randomBytes, log: silentLog });
  const rows = await rowsFor(store);
  const say = (text) => writeSync(1, text + '\\n');
`;

export async function keepPostgresStores(): Promise<PostgresStores> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-pg-store-'));
  const opened: Operations[] = [];
  const servers: PostgresServer[] = [];
  const children: ChildProcess[] = [];
  return {
    folder,
    async open(store, more = {}) {
      const made = await openStore({ dataDir: folder, store, clock, random: randomBytes, log: silentLog, ...more });
      opened.push(made);
      return made;
    },
    async startServer(options) {
      const server = await startPostgres(options);
      servers.push(server);
      return server;
    },
    run(address, program) {
      const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', prelude(folder, address) + program], { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] });
      children.push(child);
      return { child, lines: createInterface({ input: child.stdout! })[Symbol.asyncIterator]() };
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) child.kill('SIGKILL');
      for (const store of opened) await store.close();
      for (const server of servers) await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Reading and writing work again, by themselves. */
export async function backAgain(store: Operations): Promise<void> {
  await until('the store to be back', () => Promise.all([store.auditHead(), store.listVisits({ limit: 1 })]).then(() => true, (thrown: unknown) => {
    assert.ok(isFault(thrown, 'busy'), String(thrown));
    return false;
  }), 20_000);
}
