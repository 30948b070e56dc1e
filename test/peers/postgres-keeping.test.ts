// On PostgreSQL: the contract of dropping what is old, and a store that goes there and comes back row by row.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, suite, test } from 'node:test';
import { realClock } from '#app/real.ts';
import { silentLog } from '#base/log.ts';
import { drainPostgres, fillPostgres } from '#store/copy-tables.ts';
import { parsePostgres } from '#store/location.ts';
import { openStore } from '#store/open.ts';
import { pusherOn } from '../contracts/intake.ts';
import { keepingContract } from '../contracts/keeping.ts';
import { rejectsWith, rowsFor } from '../contracts/store.ts';
import { type PostgresServer, withoutPostgres } from '../kit/postgres.ts';
import { keepPostgresStores } from '../kit/postgres-store.ts';

const stores = await keepPostgresStores();
after(() => stores[Symbol.asyncDispose]());

/** Every row of every table, as the file has it. */
function rowsOf(file: string): Record<string, unknown[]> {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const tables = (database.prepare("select name from sqlite_master where type = 'table' and name <> 'schema_migration' order by name").all() as { name: string }[]).map(({ name }) => name);
    return Object.fromEntries(tables.map((name) => [name, database.prepare(`select * from "${name}"`).all().map((row) => JSON.stringify(Object.entries(row).map(([key, value]) => [key, value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value]))).sort()]));
  } finally {
    database.close();
  }
}

suite('on a real server', { skip: withoutPostgres }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await stores.startServer({ fsync: false });
  });
  keepingContract('PostgreSQL', async () => stores.open(await server.makeDatabase()));

  test('a store goes there and comes back with every row as it was', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'postern-there-'));
    try {
      const store = await openStore({ dataDir: dir, clock: realClock, random: randomBytes, log: silentLog });
      const rows = await rowsFor(store);
      for (let i = 0; i < 30; i += 1) {
        const person = rows.person(`p${i}`, { name: `nul \0, mark \ufdd0, 😀 ${i}` });
        await store.addPerson(person, [rows.right('person', person.id)], rows.audit('person.made', { detail: { i } }));
      }
      // More chunks than fit one page, of bytes of every kind; a gap; an alert.
      const device = await pusherOn(store);
      let next = 0;
      for (let i = 0; i < 50; i += 1) next = (await device.send(next, Buffer.concat([randomBytes(3_000), Buffer.from('\n')]), { alerts: [{ rule: 'any', pattern: '.' }] }) as { next: number }).next;
      await device.send(next + 10, 'after a gap\n', { gap: { from: next, to: next + 10, reason: 'wrap' } });
      await store.openVisit(rows.visit({ bytesIn: 2 ** 52 }), rows.audit('visit.opened'));
      for (let i = 0; i < 1_100; i += 1) await store.addAudit([rows.audit('line')]);
      await store.close();
      const file = join(dir, 'postern.db');
      const there = rowsOf(file);
      assert.ok(there['chunk']!.length === 51 && there['audit']!.length > 1_000 && there['feed_gap']!.length === 1 && there['feed_alert']!.length > 0);
      const location = parsePostgres(await server.makeDatabase(), 'test');
      await fillPostgres(file, location, { force: false, nowMs: 5 });
      await rejectsWith(fillPostgres(file, location, { force: false, nowMs: 5 }), 'conflict', /holds a gateway already/);
      await fillPostgres(file, location, { force: true, nowMs: 5 });
      const back = join(dir, 'back.db');
      let snapshots = 0;
      await drainPostgres(location, back, {
        nowMs: 5,
        onSnapshot: () => (snapshots += 1),
        onProgress: (done, total) => assert.ok(done <= total),
      });
      assert.equal(snapshots, 1);
      assert.deepEqual(rowsOf(back), there);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
