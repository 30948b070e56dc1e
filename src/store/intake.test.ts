// The contract of the intake on SQLite. On PostgreSQL: test/peers/postgres.test.ts.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { silentLog } from '#base/log.ts';
import { realClock } from '#app/real.ts';
import { intakeContract } from '../../test/contracts/intake.ts';
import { openStore } from './open.ts';

const root = await mkdtemp(join(tmpdir(), 'postern-intake-'));
after(() => rm(root, { recursive: true, force: true }));

intakeContract('node:sqlite', async () => openStore({ dataDir: await mkdtemp(join(root, 'store-')), clock: realClock, random: randomBytes, log: silentLog }));
