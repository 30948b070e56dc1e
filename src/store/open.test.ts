import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, suite, test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { type Log, type LogFields, silentLog } from '#base/log.ts';
import type { Operations } from '#model/operations.ts';
import type { Visit } from '#model/rows.ts';
import { rejectsWith, rowsFor, storeContract } from '../../test/contracts/store.ts';
import { openStore, type StoreOptions } from './open.ts';

const root = await mkdtemp(join(tmpdir(), 'postern-store-'));
/** Closed at the end whatever failed: an open store's threads would keep the process. */
const opened: Operations[] = [];
after(async () => {
  for (const store of opened) await store.close();
  await rm(root, { recursive: true, force: true });
});
const newDir = () => mkdtemp(join(root, 'store-'));

const startMs = 1_800_000_000_000;
const fixedClock = (nowMs = startMs): Clock => ({ nowMs: () => nowMs, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) });
async function openIn(dataDir: string, more: Partial<StoreOptions> = {}): Promise<Operations> {
  const store = await openStore({ dataDir, clock: fixedClock(), random: randomBytes, log: silentLog, ...more });
  opened.push(store);
  return store;
}

storeContract('node:sqlite', async () => openIn(await newDir()));

/** Changes the file behind the store's back. */
function tamper(dataDir: string, sql: string): void {
  const database = new DatabaseSync(join(dataDir, 'postern.db'));
  database.exec(sql);
  database.close();
}

async function withLines(dataDir: string, lines: number): Promise<void> {
  const store = await openIn(dataDir);
  const rows = await rowsFor(store);
  await store.addAudit(Array.from({ length: lines }, (_, i) => rows.audit(`line.${i + 1}`, { detail: { i } })));
  await store.close();
}

suite('a store that is opened again', () => {
  test('has everything, its defaults once, and goes on with the chain', async () => {
    const dataDir = await newDir();
    let store = await openIn(dataDir);
    const rows = await rowsFor(store);
    const person = rows.person('ada');
    await store.addOwner(person, [rows.right('person', person.id)], rows.audit('person.made'));
    await store.openVisit(rows.visit(), rows.audit('visit.opened'));
    await store.addRevision({ number: 1, at: startMs, actor: rows.audit('x').actor, config: { a: 1 }, summary: null, restores: null, confirmBy: null, settled: null }, rows.audit('config.changed'));
    const before = await store.loadEverything();
    await store.close();
    store = await openIn(dataDir);
    assert.deepEqual(await store.loadEverything(), before);
    assert.equal((await store.listVisits({ limit: 9 })).length, 1);
    assert.deepEqual((await store.latestRevision())?.config, { a: 1 });
    await store.addAudit([rows.audit('again')]);
    assert.deepEqual(await store.verifyAudit(), { lines: 4, brokenAt: null, why: null });
    await store.close();
  });

  test('only the owner may read its files, and a closed store is one file', async () => {
    const dataDir = await newDir();
    await writeFile(join(dataDir, 'postern.db'), '', { mode: 0o644 });
    const store = await openIn(dataDir);
    const modes = async () => Object.fromEntries(await Promise.all((await readdir(dataDir)).sort().map(async (name) => [name, ((await stat(join(dataDir, name))).mode & 0o777).toString(8)] as const)));
    assert.deepEqual(await modes(), { 'postern.db': '600', 'postern.db-shm': '600', 'postern.db-wal': '600' });
    await store.close();
    assert.deepEqual(await modes(), { 'postern.db': '600' });
  });

  test('what has expired for a week is gone, what has expired just now is not', async () => {
    const dataDir = await newDir();
    let store = await openIn(dataDir);
    const rows = await rowsFor(store);
    const day = 24 * 3_600_000;
    const person = rows.person('ada');
    await store.addPerson(person, [], rows.audit('person.made'));
    const [long, short] = [startMs - 8 * day, startMs - 6 * day];
    await store.addInvite(rows.invite({ expiresAt: long }), rows.audit('x'));
    await store.addInvite(rows.invite({ expiresAt: short }), rows.audit('x'));
    await store.addJoinToken(rows.joinToken({ expiresAt: long }), rows.audit('x'));
    await store.addJoinToken(rows.joinToken({ expiresAt: short }), rows.audit('x'));
    await store.addSignIn(rows.signIn(person.id, { expiresAt: long }), rows.audit('x'));
    await store.addSignIn(rows.signIn(person.id, { expiresAt: short }), rows.audit('x'));
    await store.close();
    store = await openIn(dataDir);
    const { invites, joinTokens, signIns } = await store.loadEverything();
    assert.deepEqual([invites, joinTokens, signIns].map((found) => found.map((row) => row.expiresAt)), [[short], [short], [short]]);
    await store.close();
  });

  test('expired rows are cleared daily too, until the store is closed', async () => {
    const ticks: { periodMs: number; run: () => void; cancelled: boolean }[] = [];
    let nowMs = startMs;
    const clock: Clock = {
      ...fixedClock(),
      nowMs: () => nowMs,
      every(periodMs, run) {
        const tick = { periodMs, run, cancelled: false };
        ticks.push(tick);
        return { cancel: () => void (tick.cancelled = true) };
      },
    };
    const store = await openIn(await newDir(), { clock });
    const rows = await rowsFor(store);
    await store.addInvite(rows.invite({ expiresAt: startMs }), rows.audit('x'));
    nowMs += 8 * 24 * 3_600_000;
    assert.deepEqual(ticks.map((tick) => tick.periodMs), [24 * 3_600_000]);
    ticks[0]!.run();
    // Answered in turn, so after the clearing.
    await store.auditHead();
    assert.deepEqual((await store.loadEverything()).invites, []);
    await store.close();
    assert.ok(ticks[0]!.cancelled);
  });
});

suite('bounds', () => {
  test('the oldest closed visits are dropped and counted; open ones and the audit stay', async () => {
    const dataDir = await newDir();
    let store = await openIn(dataDir, { visitsKeptMax: 5 });
    const rows = await rowsFor(store);
    const open = async () => {
      const visit = rows.visit();
      await store.openVisit(visit, rows.audit('visit.opened'));
      return visit;
    };
    const close = (visit: Visit) => store.closeVisits([{ visit: { ...visit, closedAt: startMs, why: 'left' }, audit: rows.audit('visit.closed') }]);
    const ids = async () => (await store.listVisits({ limit: 99 })).map((visit) => visit.id);
    const lasting = await open();
    const closed: Visit[] = [];
    for (let i = 0; i < 4; i += 1) closed.push(await open());
    for (const visit of closed) await close(visit);
    assert.equal((await store.check()).visitsDropped, 0);
    const more = [await open(), await open()];
    assert.deepEqual(await ids(), [more[1]!.id, more[0]!.id, closed[3]!.id, closed[2]!.id, lasting.id]);
    assert.equal((await store.check()).visitsDropped, 2);
    const [first, second] = await Promise.allSettled([store.openVisit(lasting, rows.audit('visit.opened')), open()]);
    assert.equal(first.status, 'rejected');
    assert.equal(second.status, 'fulfilled');
    assert.equal((await ids()).length, 5);
    await store.close();

    store = await openIn(dataDir, { visitsKeptMax: 3 });
    await open();
    await open();
    assert.equal((await store.check()).visitsDropped, 4);
    const six = await ids();
    assert.equal(six.length, 6, 'all six last, so none is dropped');
    await close({ ...lasting, id: six[5]! });
    assert.deepEqual(await ids(), six.slice(0, 5));
    assert.equal((await store.verifyAudit()).lines, 15);
    await store.close();
  });

  test('more calls than the queue holds are refused as busy, and the others happen', async () => {
    const store = await openIn(await newDir(), { queueMax: 10 });
    const rows = await rowsFor(store);
    const outcomes = await Promise.allSettled(Array.from({ length: 25 }, (_, i) => store.addAudit([rows.audit(`n.${i}`)])));
    assert.deepEqual(outcomes.map((outcome) => outcome.status === 'fulfilled'), Array.from({ length: 25 }, (_, i) => i < 10));
    await rejectsWith(Promise.reject((outcomes[10] as PromiseRejectedResult).reason), 'busy', /10 operations wait for its writing thread/);
    await store.addAudit([rows.audit('after')]);
    assert.deepEqual(await store.verifyAudit(), { lines: 11, brokenAt: null, why: null });
    await store.close();
  });
});

suite('an audit that was tampered with', () => {
  const found = async (sql: string, lines = 1_200): Promise<{ brokenAt: number | null; why: string | null; atStart: string | undefined }> => {
    const dataDir = await newDir();
    await withLines(dataDir, lines);
    tamper(dataDir, sql);
    const logged: LogFields[] = [];
    const log: Log = { ...silentLog, error: (event, fields) => void (event === 'audit.broken' && logged.push(fields ?? {})) };
    const store = await openIn(dataDir, { log });
    // The chain goes on all the same, and hides nothing by that.
    const rows = await rowsFor(store);
    await store.addAudit([rows.audit('later')]);
    const { brokenAt, why } = await store.verifyAudit();
    await store.close();
    return { brokenAt, why, atStart: logged[0]?.['why'] as string | undefined };
  };

  test('a changed line is found, wherever it is', async () => {
    const middle = await found("update audit set detail = json_set(detail, '$.i', 99) where seq = 1100");
    assert.equal(middle.brokenAt, 1100);
    assert.match(middle.why ?? '', /line 1100 was changed/);
    assert.equal(middle.atStart, undefined, 'the start looks only at the end');
    assert.equal((await found("update audit set actor_name = 'bert' where seq = 1", 3)).brokenAt, 1);
    const last = await found("update audit set what = 'other' where seq = 3", 3);
    assert.equal(last.brokenAt, 3);
    assert.match(last.atStart ?? '', /line 3 was changed/);
    for (const detail of ['not json', 'null', '[]', '{}']) {
      assert.equal((await found(`update audit set detail = '${detail}' where seq = 2`, 2)).brokenAt, 2, detail);
    }
  });

  test('a removed line is found, at the start, in the middle and at the end', async () => {
    assert.equal((await found('delete from audit where seq = 1', 5)).brokenAt, 1);
    assert.equal((await found('delete from audit where seq = 3', 5)).brokenAt, 3);
    const end = await found('delete from audit where seq > 3', 5);
    assert.equal(end.brokenAt, 4);
    assert.match(end.atStart ?? '', /ends at line 3, but line 5/);
    assert.equal((await found('delete from audit', 5)).brokenAt, 1);
  });

  test('a line written with its own right hash does not fit the one after it', async () => {
    const changed = await found("update audit set hash = (select hash from audit where seq = 1) where seq = 2", 5);
    assert.equal(changed.brokenAt, 2);
    assert.equal((await found("insert into audit select 6, at, customer_id, actor_kind, actor_id, actor_name, actor_from, what, subject_kind, subject_id, subject_name, detail, hash, hash from audit where seq = 5", 5)).brokenAt, 6);
  });

  test('while the gateway runs: the end cut off, or all of it replaced by another right chain', async () => {
    const [dataDir, other] = [await newDir(), await newDir()];
    await withLines(dataDir, 5);
    const store = await openIn(dataDir);
    tamper(dataDir, 'delete from audit where seq = 5; update audit_head set seq = 4, hash = (select hash from audit where seq = 4)');
    assert.deepEqual(await store.verifyAudit(), { lines: 4, brokenAt: 5, why: 'the audit ends at line 4, but line 5 had been written' });
    await withLines(other, 5);
    tamper(dataDir, `attach '${join(other, 'postern.db')}' as other; delete from audit; insert into audit select * from other.audit`);
    assert.equal((await store.verifyAudit()).brokenAt, 5);
    await withLines(other, 1);
    tamper(dataDir, `attach '${join(other, 'postern.db')}' as other; delete from audit; insert into audit select * from other.audit`);
    assert.equal((await store.verifyAudit()).brokenAt, 6);
    await rejectsWith(store.addAudit([(await rowsFor(store)).audit('next')]), 'internal', /changed from outside/);
    await store.close();
  });
});

suite('files that cannot be used', () => {
  test('a newer schema is refused and stays as it is', async () => {
    const dataDir = await newDir();
    await withLines(dataDir, 1);
    tamper(dataDir, "insert into schema_migration values (99, 'later', 0)");
    const before = await readFile(join(dataDir, 'postern.db'));
    await rejectsWith(openIn(dataDir), 'unsupported', /written by a newer Postern: its schema is number 99, this program knows \d+/);
    assert.ok(before.equals(await readFile(join(dataDir, 'postern.db'))));
    tamper(dataDir, 'delete from schema_migration where number = 99');
    await (await openIn(dataDir)).close();
  });

  test('a file that is no database is refused with a reason', async () => {
    const dataDir = await newDir();
    await writeFile(join(dataDir, 'postern.db'), 'x'.repeat(8_192));
    await rejectsWith(openIn(dataDir), 'internal', /damaged or not a database/);
  });

  test('a lock that another program holds is a busy store, not a lost operation', { timeout: 30_000 }, async () => {
    const dataDir = await newDir();
    const store = await openIn(dataDir);
    const rows = await rowsFor(store);
    const other = new DatabaseSync(join(dataDir, 'postern.db'));
    other.exec('begin immediate');
    await rejectsWith(store.addAudit([rows.audit('a')]), 'busy', /locked by another program/);
    assert.equal((await store.loadEverything()).customers.length, 1, 'reading goes on');
    other.exec('rollback');
    other.close();
    await store.addAudit([rows.audit('b')]);
    assert.deepEqual(await store.verifyAudit(), { lines: 1, brokenAt: null, why: null });
    await store.close();
  });
});
