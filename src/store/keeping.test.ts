// The contract of dropping on SQLite. On PostgreSQL: test/peers/postgres-keeping.test.ts.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { realClock } from '#app/real.ts';
import { silentLog } from '#base/log.ts';
import { pusherOn } from '../../test/contracts/intake.ts';
import { keepingContract } from '../../test/contracts/keeping.ts';
import { rowsFor } from '../../test/contracts/store.ts';
import { openStore } from './open.ts';

const root = await mkdtemp(join(tmpdir(), 'postern-keeping-'));
after(() => rm(root, { recursive: true, force: true }));
const openIn = (dataDir: string) => openStore({ dataDir, clock: realClock, random: randomBytes, log: silentLog });

keepingContract('node:sqlite', async () => openIn(await mkdtemp(join(root, 'store-'))));

function tamper(dataDir: string, sql: string): void {
  const database = new DatabaseSync(join(dataDir, 'postern.db'));
  database.exec(sql);
  database.close();
}

test('an audit that was cut off by retention is still told from one that somebody cut off', async () => {
  const dataDir = await mkdtemp(join(root, 'cut-'));
  let store = await openIn(dataDir);
  const rows = await rowsFor(store);
  await store.addAudit(Array.from({ length: 200 }, () => rows.audit('line')));
  await store.dropAudit(rows.audit('x').at + 1, 0, 50);
  await store.close();
  store = await openIn(dataDir);
  assert.deepEqual(await store.verifyAudit(), { lines: 150, brokenAt: null, why: null, droppedThrough: 50 });
  await store.close();
  tamper(dataDir, 'delete from audit where seq <= 60');
  store = await openIn(dataDir);
  assert.equal((await store.verifyAudit()).brokenAt, 51);
  await store.close();
  // A made-up beginning does not fit what follows it.
  tamper(dataDir, "update audit_head set seq = 60, hash = 'made up' where id = 2");
  store = await openIn(dataDir);
  assert.equal((await store.verifyAudit()).brokenAt, 61);
  await store.close();
});

test('what a sink has not taken stays, once positions are kept', async () => {
  const dataDir = await mkdtemp(join(root, 'sinks-'));
  const store = await openIn(dataDir);
  const device = await pusherOn(store);
  for (const off of [0, 4, 8]) await device.send(off, 'one\n');
  await (await pusherOn(store, 'other')).send(0, 'one\n');
  const plan = (sinks: readonly string[]) => store.planDrop({ epoch: 1, before: 0, below: 8, sinks });
  assert.deepEqual(await plan([]), { first: 8, held: false, more: false });
  assert.deepEqual(await plan(['a']), { first: 0, held: true, more: false });
  tamper(dataDir, "insert into sink_position (sink, epoch, off, run, unframed, at) values ('a', 1, 4, 0, 0, 0), ('b', 1, 8, 0, 0, 0)");
  assert.deepEqual(await plan(['a']), { first: 4, held: true, more: false });
  assert.deepEqual(await plan(['b']), { first: 8, held: false, more: false });
  assert.deepEqual(await plan(['b', 'a']), { first: 4, held: true, more: false });
  assert.deepEqual(await plan(['b', 'c']), { first: 0, held: true, more: false });
  await store.close();
});
