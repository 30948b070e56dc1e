import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { storeContract } from '../../test/contracts/store.ts';
import { openStore } from './open.ts';

const clock: Clock = { nowMs: () => Date.now(), monoMs: () => performance.now(), after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
const root = await mkdtemp(join(tmpdir(), 'postern-store-'));
after(() => rm(root, { recursive: true, force: true }));

storeContract('node:sqlite', async () => openStore({ dataDir: await mkdtemp(join(root, 'contract-')), clock, random: randomBytes, log: silentLog }));
