// PostgreSQL as the store: the contract of every store, on a real server.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { Operations } from '#model/operations.ts';
import { openStore, type StoreOptions } from '#store/open.ts';
import { storeContract } from '../contracts/store.ts';
import { startPostgres, withoutPostgres } from '../kit/postgres.ts';

const startMs = 1_800_000_000_000;
const clock: Clock = { nowMs: () => startMs, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };

if (!withoutPostgres) {
  const root = await mkdtemp(join(tmpdir(), 'postern-pg-store-'));
  const server = await startPostgres({ fsync: false });
  const opened: Operations[] = [];
  after(async () => {
    for (const store of opened) await store.close();
    await server[Symbol.asyncDispose]();
    await rm(root, { recursive: true, force: true });
  });
  const openOn = async (store: string, more: Partial<StoreOptions> = {}) => {
    const made = await openStore({ dataDir: root, store, clock, random: randomBytes, log: silentLog, ...more });
    opened.push(made);
    return made;
  };
  storeContract('PostgreSQL', async () => openOn(await server.makeDatabase()));
}
