// PostgreSQL as the store, on a real server: the contract of every store, and what only a server can do: go away in the middle.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { after, before, suite, test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault } from '#base/fault.ts';
import { type Log, silentLog } from '#base/log.ts';
import type { Operations } from '#model/operations.ts';
import { migrate } from '#store/migrate.ts';
import { openStore, type StoreOptions } from '#store/open.ts';
import { sqliteConnection } from '#store/sqlite.ts';
import { intakeContract } from '../contracts/intake.ts';
import { rejectsWith, rowsFor, storeContract } from '../contracts/store.ts';
import { makeCertificate } from '../kit/authority.ts';
import { root as project, until } from '../kit/gateway.ts';
import { type PostgresServer, postgresPassword, startPostgres, withoutPostgres } from '../kit/postgres.ts';
import { startDatabaseLine, startOldServer } from '../kit/postgres-line.ts';

const clock: Clock = { nowMs: () => 1_800_000_000_000, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
const root = await mkdtemp(join(tmpdir(), 'postern-pg-store-'));
/** Closed at the end whatever failed: an open store's threads would keep the process. */
const opened: Operations[] = [];
const servers: PostgresServer[] = [];
const children: ChildProcess[] = [];
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  for (const store of opened) await store.close();
  for (const server of servers) await server[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

async function openOn(store: string, more: Partial<StoreOptions> = {}): Promise<Operations> {
  const made = await openStore({ dataDir: root, store, clock, random: randomBytes, log: silentLog, ...more });
  opened.push(made);
  return made;
}

async function serverOf(...options: Parameters<typeof startPostgres>): Promise<PostgresServer> {
  const server = await startPostgres(...options);
  servers.push(server);
  return server;
}

let shared: PostgresServer;
suite('on one server', { skip: withoutPostgres }, () => {
  before(async () => {
    // Nobody cuts its power.
    shared = await serverOf({ fsync: false });
  });

  storeContract('PostgreSQL', async () => openOn(await shared.makeDatabase()));

  intakeContract('PostgreSQL', async () => openOn(await shared.makeDatabase()));

  test('a store that is opened again has everything, and goes on with the chain', async () => {
    const address = await shared.makeDatabase();
    const first = await openOn(address);
    const rows = await rowsFor(first);
    const person = rows.person('Ada', { name: 'nul \0, mark \ufdd0, 😀' });
    await first.addOwner(person, [rows.right('person', person.id)], rows.audit('person.made'));
    await first.openVisit(rows.visit(), rows.audit('visit.opened'));
    const before = await first.loadEverything();
    assert.equal(before.people[0]!.name, person.name);
    await first.close();
    const again = await openOn(address);
    assert.deepEqual(await again.loadEverything(), before);
    await again.addAudit([rows.audit('again')]);
    assert.deepEqual(await again.verifyAudit(), { lines: 3, brokenAt: null, why: null });
    assert.match((await again.check()).store, /^PostgreSQL \d+\.\d+, database store\d+ at 127\.0\.0\.1:\d+ \(its fsync is off/);
    await again.close();
  });

  test('the socket of the machine will do, too', async () => {
    const address = await shared.makeDatabase();
    const store = await openOn(`${address.replace('@127.0.0.1:', '@:')}?host=${shared.socketFolder}`);
    assert.match((await store.check()).store, new RegExp(`at ${shared.socketFolder} \\(port ${shared.port}\\)`));
    await store.addAudit([(await rowsFor(store)).audit('by socket')]);
    await store.close();
  });

  test('a tampered audit is found', async () => {
    const address = await shared.makeDatabase();
    const store = await openOn(address);
    const rows = await rowsFor(store);
    await store.addAudit([1, 2, 3].map((n) => rows.audit(`line.${n}`)));
    await shared.ask(address, "update audit set what = 'other' where seq = 2");
    assert.equal((await store.verifyAudit()).brokenAt, 2);
    await shared.ask(address, 'delete from audit where seq = 3', 'update audit_head set seq = 2');
    await store.close();
  });

  test('a newer schema is refused and stays as it is', async () => {
    const address = await shared.makeDatabase();
    await (await openOn(address)).close();
    const tables = "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public' order by 1, 2";
    await shared.ask(address, "insert into schema_migration values (99, 'later', 0)");
    const earlier = await shared.ask(address, tables);
    await rejectsWith(openOn(address), 'unsupported', /^the database was written by a newer Postern: its schema is number 99, this program knows \d+$/);
    assert.deepEqual(await shared.ask(address, tables), earlier);
    await shared.ask(address, 'delete from schema_migration where number = 99');
    await (await openOn(address)).close();
  });

  test('every migration makes the same of both databases: tables, columns, what may be null, keys, what refers to what', async () => {
    const address = await shared.makeDatabase();
    await (await openOn(address)).close();
    const file = new DatabaseSync(':memory:');
    await migrate(sqliteConnection(file), 0);
    const rowsOf = (sql: string) => file.prepare(sql).all().map((row) => Object.values(row).join(' ')).sort();
    const asked = async (sql: string) => (await shared.ask(address, sql)).map((row) => Object.values(row).join(' ')).sort();
    const words: Record<string, string> = { integer: 'bigint', blob: 'bytea', real: 'double precision' };
    assert.deepEqual(
      await asked("select table_name, column_name, data_type, case is_nullable when 'NO' then 1 else 0 end from information_schema.columns where table_schema = 'public'"),
      rowsOf('select t.name, c.name as named, lower(c.type) as type, c."notnull" from sqlite_schema t, pragma_table_info(t.name) c where t.type = \'table\'').map((line) => line.replace(/(integer|blob|real) (\d)$/, (_, type: string, rest: string) => `${words[type]!} ${rest}`)).sort(),
    );
    const keys = (kind: string) => `select c.relname, (select string_agg(a.attname, ',' order by a.attname) from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any (i.indkey::int2[])) from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'public' and ${kind}`;
    const sqliteKeys = (kind: string) => `select t.name, (select group_concat(name order by name) from pragma_index_info(i.name)) as columns from sqlite_schema t, pragma_index_list(t.name) i where t.type = 'table' and ${kind}`;
    assert.deepEqual(await asked(keys('i.indisunique and not i.indisprimary')), rowsOf(sqliteKeys(`i."unique" = 1 and i.origin <> 'pk'`)));
    assert.deepEqual(await asked(keys('not i.indisunique')), rowsOf(sqliteKeys('i."unique" = 0')));
    // A primary key that is an integer is no index of its own in SQLite.
    assert.deepEqual(await asked(keys('i.indisprimary')), rowsOf("select t.name, (select group_concat(name order by name) from pragma_table_info(t.name) where pk > 0) as columns from sqlite_schema t where t.type = 'table'"));
    assert.deepEqual(
      await asked("select c.conrelid::regclass::text, (select attname from pg_attribute where attrelid = c.conrelid and attnum = c.conkey[1]), c.confrelid::regclass::text, case c.confdeltype when 'c' then 'CASCADE' when 'n' then 'SET NULL' else 'NO ACTION' end from pg_constraint c where c.contype = 'f'"),
      rowsOf("select t.name, f.\"from\", f.\"table\" as other, f.on_delete from sqlite_schema t, pragma_foreign_key_list(t.name) f where t.type = 'table'"),
    );
    assert.ok(rowsOf(sqliteKeys('1')).length > 20);
    file.close();
  });

  test('texts are compared by their bytes and numbers have 64 bits, whatever the database was made for', async () => {
    const address = await shared.makeDatabase();
    await (await openOn(address)).close();
    assert.deepEqual(await shared.ask(address, "select distinct data_type from information_schema.columns where table_schema = 'public' and data_type not in ('text', 'bigint', 'bytea')"), []);
    assert.deepEqual(await shared.ask(address, "select distinct collation_name as name from information_schema.columns where table_schema = 'public' and data_type = 'text'"), [{ name: 'C' }]);
  });

  test('a second gateway is refused until the first has ended, in order or not', { timeout: 60_000 }, async () => {
    const address = await shared.makeDatabase();
    const first = await openOn(address);
    await rejectsWith(openOn(address), 'conflict', new RegExp(`another gateway uses the database store\\d+ at 127\\.0\\.0\\.1:\\d+: postern-[0-9a-f]{8} process ${process.pid} on .* from 127\\.0\\.0\\.1$`));
    await first.addAudit([(await rowsFor(first)).audit('still there')]);
    await first.close();
    const { child, lines } = run(`${prelude(address)} say('open'); setInterval(() => {}, 1_000);`);
    assert.equal((await lines.next()).value, 'open');
    await rejectsWith(openOn(address), 'conflict', new RegExp(`process ${child.pid} on`));
    child.kill('SIGKILL');
    const second = await openOn(address);
    assert.equal((await second.auditHead()).seq, 1);
    await second.close();
  });

  test('who is not let in, and what does not exist, is told what to do; no message has the password', async () => {
    const address = await shared.makeDatabase();
    const name = new URL(address).pathname.slice(1);
    await shared.ask(shared.address('postgres'), "create role guest login password 'guest'");
    const refused = async (store: string, code: Fault['code'], message: RegExp, remedy: RegExp) => {
      const logged: unknown[] = [];
      const note = (event: string, fields?: object) => void logged.push(event, fields);
      const log: Log = { debug: note, info: note, warn: note, error: note };
      await assert.rejects(openOn(store, { log }), (thrown: unknown) => {
        assert.ok(isFault(thrown, code), String(thrown));
        assert.match(thrown.message, message);
        assert.match(thrown.remedy ?? '', remedy);
        const all = JSON.stringify([thrown.message, thrown.remedy, thrown.detail, thrown.stack, logged]);
        for (const secret of [postgresPassword, encodeURIComponent(postgresPassword), 'wrong-secret']) assert.ok(!all.includes(secret), all);
        return true;
      });
    };
    await refused(shared.address(name, { password: 'wrong-secret' }), 'forbidden', /does not let user postgres in to store\d+ at/, /password of --store or POSTERN_STORE/);
    await refused(shared.address(name, { password: '' }), 'forbidden', /does not let user postgres in/, /password/);
    await refused(shared.address(name, { user: 'nobody-here', password: 'wrong-secret' }), 'forbidden', /does not let user nobody-here in/, /pg_hba/);
    await refused(shared.address('nowhere'), 'not-found', /no database nowhere/, /createdb --owner postgres/);
    await refused(shared.address(name, { user: 'guest', password: 'guest' }), 'forbidden', /may not do this in its database: permission denied/, /owner/);
    await refused(`${address}?sslmode=require`, 'unsupported', /speaks no TLS/, /sslmode=disable/);
    await refused(`postgres://postgres:wrong-secret@127.0.0.1:9/${name}`, 'unreachable', /at 127\.0\.0\.1:9 cannot be reached: .*ECONNREFUSED/, /start it/);
    await refused(await shared.makeDatabase({ encoding: 'LATIN1' }), 'unsupported', /encoding LATIN1, not UTF8/, /--encoding UTF8/);
  });

  test('a server that is too old is refused with what to do', async () => {
    await using old = await startOldServer('12.22 (Debian 12.22-1)', 120_022);
    await rejectsWith(openOn(`postgres://store@127.0.0.1:${old.port}/x`), 'unsupported', /^PostgreSQL 12\.22 .* is too old for the store: 13 is the oldest that will do \(x at 127\.0\.0\.1:\d+\)$/);
  });

  test('a commit whose answer never came is said to be unknown; the state is read again, and nothing happens twice', { timeout: 60_000 }, async () => {
    const address = await shared.makeDatabase();
    await using line = await startDatabaseLine(shared.port);
    const events: string[] = [];
    const log: Log = { ...silentLog, error: (event) => void events.push(event), info: (event) => void events.push(event) };
    const store = await openOn(address.replace(`:${shared.port}/`, `:${line.port}/`), { log });
    const rows = await rowsFor(store);
    let expected = 0;
    for (const where of ['before', 'behind', 'before', 'behind'] as const) {
      await store.addAudit([rows.audit('fine')]);
      expected += 1;
      line.cutAtCommit(where);
      await assert.rejects(store.addAudit([rows.audit(`cut.${where}`), rows.audit('and this')]), (thrown: unknown) => {
        assert.ok(isFault(thrown, 'busy'));
        assert.match(thrown.message, /lost during the commit: this may have happened all the same/);
        assert.equal(thrown.detail['mayHaveHappened'], true);
        return true;
      });
      if (where === 'behind') expected += 2;
      await backAgain(store);
      assert.equal((await store.auditHead()).seq, expected, where);
    }
    await store.addAudit([rows.audit('last')]);
    assert.deepEqual(await store.verifyAudit(), { lines: expected + 1, brokenAt: null, why: null });
    assert.ok(events.includes('store.lost') && events.includes('store.back'));
    await store.close();
  });

  test('what the server still believes in does not keep us out: our own earlier connection is cut', { timeout: 60_000 }, async () => {
    const address = await shared.makeDatabase();
    await using line = await startDatabaseLine(shared.port);
    const store = await openOn(address.replace(`:${shared.port}/`, `:${line.port}/`));
    const rows = await rowsFor(store);
    await store.addAudit([rows.audit('a')]);
    line.cutTowardsUs();
    await rejectsWith(until('a failure', () => store.addAudit([rows.audit('b')]).then(() => false)), 'busy', /is lost|is away/);
    await backAgain(store);
    await store.addAudit([rows.audit('c')]);
    assert.deepEqual((await store.listAudit({ limit: 9 })).map((each) => each.what), ['c', 'a']);
    await store.close();
  });

  test('errors of the server become Faults that say what to do', async () => {
    const { openPostgres } = await import('#store/postgres.ts');
    const { parsePostgres } = await import('#store/location.ts');
    const { asFault } = await import('#store/failure.ts');
    const session = await openPostgres(parsePostgres(await shared.makeDatabase(), 'postern-test'), 'write');
    const failure = (sql: string) => session.exec(sql).then(() => assert.fail(sql), (thrown: unknown) => asFault(thrown));
    await session.exec('create table parent (id text primary key); create table join_token (id bigint primary key, site_id text, secret_digest text, parent text references parent (id), n bigint not null check (n > 0), unique (site_id, secret_digest))');
    await session.exec("insert into join_token values (1, 's', 'd(x)=(y)', null, 1)");
    const twice = await failure("insert into join_token values (2, 's', 'd(x)=(y)', null, 1)") as Fault;
    assert.deepEqual([twice.code, twice.message, twice.detail['field']], ['conflict', 'another join token has this secretDigest already', 'secretDigest']);
    const codes: Record<string, Fault['code']> = {
      "insert into join_token values (3, 't', 'd', 'nobody', 1)": 'not-found',
      "insert into join_token values (3, 't', 'd', null, null)": 'bad-input',
      "insert into join_token values (3, 't', 'd', null, 0)": 'bad-input',
      "select 'x'::bigint": 'bad-input',
      ...Object.fromEntries(['53100', '53200', '55P03', '40001', '40P01', '25006', '58030', '53400'].map((code) => [`do $$ begin raise exception 'x' using errcode = '${code}'; end $$`, 'busy'])),
      "do $$ begin raise exception 'x' using errcode = 'XX001'; end $$": 'internal',
      "do $$ begin raise exception 'x' using errcode = '54000'; end $$": 'too-large',
    };
    for (const [sql, code] of Object.entries(codes)) {
      const found = await failure(sql);
      assert.ok(isFault(found, code), `${sql}: ${String(found)}`);
    }
    assert.ok(!isFault(await failure('not sql')), 'a bug stays a bug');
    await session.close();
  });

  test('a connection: values come back as they were, statements stay prepared within bounds, a failed transaction does not commit', async () => {
    const { openPostgres } = await import('#store/postgres.ts');
    const { parsePostgres } = await import('#store/location.ts');
    const address = await shared.makeDatabase();
    await shared.ask(address, `alter database ${new URL(address).pathname.slice(1)} set synchronous_commit = off`);
    const session = await openPostgres(parsePostgres(address, 'postern-test'), 'write');
    const setting = async (name: string) => (await session.query<{ value: string }>('select current_setting($1) as value', [name])).rows[0]!.value;
    assert.equal(await setting('synchronous_commit'), 'on', 'an acknowledged change is on the disk');
    await session.exec('create table kinds (n bigint, b bytea, t text, f double precision)');
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const put = (n: unknown, b: unknown, t: unknown, f: unknown) => session.query('insert into kinds values ($1, $2, $3, $4)', [n, b, t, f]);
    assert.equal((await put(Number.MAX_SAFE_INTEGER, bytes.subarray(3), 'ü\0\ufdd0"\\', 0.1)).touched, 1);
    await put(null, null, null, null);
    const { rows, touched } = await session.query('select * from kinds order by n', []);
    assert.deepEqual(rows, [{ n: Number.MAX_SAFE_INTEGER, b: bytes.slice(3), t: 'ü\0\ufdd0"\\', f: 0.1 }, { n: null, b: null, t: null, f: null }]);
    assert.equal(touched, 2);
    assert.deepEqual((await session.query('select count(*) as all, sum(n) as sum, max(n) as most from kinds', [])).rows, [{ all: 2, sum: Number.MAX_SAFE_INTEGER, most: Number.MAX_SAFE_INTEGER }]);
    for (let i = 0; i < 600; i += 1) assert.deepEqual((await session.query(`select ${i} as i, $1::bigint as j`, [i])).rows, [{ i, j: i }]);
    const { rows: prepared } = await session.query<{ n: number }>('select count(*) as n from pg_prepared_statements', []);
    assert.ok(prepared[0]!.n <= 256, String(prepared[0]!.n));

    await session.exec('begin');
    assert.equal(session.isTransaction, true);
    await session.exec('savepoint operation');
    await put(1, null, null, null);
    await assert.rejects(session.query('select $1::bigint', ['x']));
    assert.equal(session.isTransaction, true);
    await session.exec('rollback to operation; release operation');
    await put(2, null, null, null);
    await session.exec('commit');
    assert.equal(session.isTransaction, false);
    assert.deepEqual((await session.query<{ n: number }>('select n from kinds where n < 9 order by n', [])).rows, [{ n: 2 }]);
    await session.exec('begin');
    await put(3, null, null, null);
    await assert.rejects(session.query('select $1::bigint', ['x']));
    await assert.rejects(session.exec('commit'), /ended with ROLLBACK/);
    assert.deepEqual((await session.query<{ n: number }>('select n from kinds where n < 9 order by n', [])).rows, [{ n: 2 }]);
    await session.close();
    await rejectsWith(session.query('select 1', []), 'closed');
  });
});

/** Reading and writing work again, by themselves. */
async function backAgain(store: Operations): Promise<void> {
  await until('the store to be back', () => Promise.all([store.auditHead(), store.listVisits({ limit: 1 })]).then(() => true, (thrown: unknown) => {
    assert.ok(isFault(thrown, 'busy'), String(thrown));
    return false;
  }), 20_000);
}

const prelude = (address: string) => `
  import { randomBytes } from 'node:crypto';
  import { writeSync } from 'node:fs';
  import { silentLog } from '#base/log.ts';
  import { openStore } from '#store/open.ts';
  const { rowsFor } = await import(${JSON.stringify(import.meta.resolve('../contracts/store.ts'))});
  const clock = { nowMs: () => 1_800_000_000_000, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
  const store = await openStore({ dataDir: ${JSON.stringify(root)}, store: ${JSON.stringify(address)}, clock, random: randomBytes, log: silentLog });
  const rows = await rowsFor(store);
  const say = (text) => writeSync(1, text + '\\n');
`;

function run(program: string): { child: ChildProcess; lines: AsyncIterableIterator<string> } {
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return { child, lines: createInterface({ input: child.stdout! })[Symbol.asyncIterator]() };
}

suite('what was acknowledged is there', { skip: withoutPostgres }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await serverOf();
  });

  test('kill -9 of the gateway in the middle of writing', { timeout: 90_000 }, async () => {
    const address = await server.makeDatabase();
    // Several at once, so that the kill falls into shared commits too. A person and its right are one operation.
    const program = (lanes: string[]) => `${prelude(address)}
      await Promise.all(${JSON.stringify(lanes)}.map(async (lane) => {
        for (let i = 0; ; i += 1) {
          const person = rows.person(lane + '-' + i);
          await store.addPerson(person, [rows.right('person', person.id)], rows.audit('person.made', { subjectId: person.login }));
          say(person.login);
        }
      }));
    `;
    const acknowledged: string[] = [];
    for (const enough of [30, 250]) {
      const { child, lines } = run(program(['a', 'b', 'c', 'd', 'e'].map((lane) => `${lane}${enough}`)));
      for (let said = 0; said < enough; said += 1) acknowledged.push((await lines.next()).value as string);
      child.kill('SIGKILL');
      // What it said before it died counts too.
      for await (const line of lines) acknowledged.push(line);
      assert.equal(child.signalCode ?? (await once(child, 'exit'))[1], 'SIGKILL');
      const store = await openOn(address);
      const all = await store.loadEverything();
      const found = new Set(all.people.map((person) => person.login));
      assert.deepEqual(acknowledged.filter((login) => !found.has(login)), []);
      assert.equal(all.rights.length, all.people.length, 'an operation happened whole or not at all');
      assert.deepEqual(await store.verifyAudit(), { lines: all.people.length, brokenAt: null, why: null });
      await store.close();
    }
  });

  test('the server restarts under load, in order, by a crash and by kill -9: busy, and then it works by itself', { timeout: 120_000 }, async () => {
    const address = await server.makeDatabase();
    const store = await openOn(address);
    const rows = await rowsFor(store);
    const acknowledged: string[] = [];
    const unknown: string[] = [];
    let refused = 0;
    const over = new AbortController();
    const lane = async (name: string) => {
      for (let i = 0; !over.signal.aborted; i += 1) {
        const what = `${name}.${i}`;
        try {
          await store.addAudit([rows.audit(what)]);
          acknowledged.push(what);
        } catch (thrown) {
          assert.ok(isFault(thrown, 'busy'), String(thrown));
          if (thrown.detail['mayHaveHappened'] === true) unknown.push(what);
          else refused += 1;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    };
    const lanes = ['a', 'b', 'c', 'd'].map(lane);
    for (const how of ['fast', 'immediate', 'kill'] as const) {
      const [reached, refusedBefore] = [acknowledged.length, refused];
      await until('some to be acknowledged', () => acknowledged.length > reached + 40);
      await server.stop(how);
      await until('some to be refused', () => refused > refusedBefore);
      await rejectsWith(store.listAudit({ limit: 1 }), 'busy');
      await server.start();
      await backAgain(store);
    }
    const reached = acknowledged.length;
    await until('some to be acknowledged', () => acknowledged.length > reached + 40);
    over.abort();
    await Promise.all(lanes);
    const { lines, ...rest } = await store.verifyAudit();
    assert.deepEqual(rest, { brokenAt: null, why: null });
    assert.ok(lines >= acknowledged.length && lines <= acknowledged.length + unknown.length, `${lines} lines, ${acknowledged.length} acknowledged, ${unknown.length} unknown`);
    const found = (await server.ask(address, 'select what from audit')).map((row) => String(row['what']));
    assert.equal(new Set(found).size, found.length, 'none twice');
    const there = new Set(found);
    assert.deepEqual(acknowledged.filter((what) => !there.has(what)), []);
    await store.close();
  });

  test('a disk of the server that takes no more: busy, nothing acknowledged is lost, reading goes on, and later it works again', { timeout: 60_000 }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'postern-pg-disk-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=755', 'none', folder], { stdio: 'ignore' });
    } catch {
      await rm(folder, { recursive: true });
      return t.skip('only who may mount can make a small disk');
    }
    t.after(async () => {
      execFileSync('umount', [folder]);
      await rm(folder, { recursive: true });
    });
    // Of its own: it ends before its disk goes.
    const small = await startPostgres({ fsync: false });
    try {
      const store = await openOn(await small.makeDatabase({ folder }));
      const rows = await rowsFor(store);
      const filler = join(folder, 'filler');
      await writeFile(filler, Buffer.alloc(6 << 20));
      // Nothing of it can be made smaller.
      const big = () => randomBytes(20_000).toString('base64');
      let refused: unknown;
      let acknowledged = 0;
      for (let i = 0; i < 1_000 && !refused; i += 1) {
        for (const outcome of await Promise.allSettled([0, 1, 2].map((n) => store.addAudit([rows.audit('n', { detail: { big: big(), i, n } })])))) {
          if (outcome.status === 'fulfilled') acknowledged += 1;
          else refused = outcome.reason;
        }
      }
      assert.ok(isFault(refused, 'busy'), String(refused));
      assert.match(refused.message, /disk of the PostgreSQL server is full/);
      assert.match(refused.remedy ?? '', /free space/);
      assert.ok(acknowledged > 5);
      assert.deepEqual(await store.verifyAudit(), { lines: acknowledged, brokenAt: null, why: null });
      await rm(filler);
      await store.addAudit([rows.audit('later', { detail: { big: big() } })]);
      assert.deepEqual(await store.verifyAudit(), { lines: acknowledged + 1, brokenAt: null, why: null });
      await store.close();
    } finally {
      await small[Symbol.asyncDispose]();
    }
  });

  test('a store that is closed while its server is away is closed', { timeout: 60_000 }, async () => {
    const store = await openOn(await server.makeDatabase());
    const head = await store.auditHead();
    await server.stop('kill');
    await until('a failure', () => store.auditHead().then(() => false, (thrown: unknown) => isFault(thrown, 'busy')));
    assert.equal(head.seq, 0);
    await store.close();
    await server.start();
  });

  test('over TLS the certificate of the server is verified', { timeout: 60_000 }, async () => {
    const ca = await makeCertificate({ name: 'Store test CA', now: Date.now(), ca: true });
    const leaf = await makeCertificate({ name: 'db.example.test', now: Date.now(), issuer: ca, names: [{ type: 'ip', value: '127.0.0.1' }], usages: ['1.3.6.1.5.5.7.3.1'] });
    const caFile = join(root, 'ca.pem');
    await writeFile(caFile, ca.pem);
    const secure = await serverOf({ fsync: false, certificate: leaf });
    const address = await secure.makeDatabase();
    const sessions = () => secure.ask(address, 'select distinct s.ssl from pg_stat_ssl s join pg_stat_activity a using (pid) where a.application_name like $$postern-%$$');
    for (const mode of [`sslmode=verify-full&sslrootcert=${encodeURIComponent(caFile)}`, 'sslmode=require']) {
      const store = await openOn(`${address}?${mode}`);
      await store.addAudit([(await rowsFor(store)).audit('over TLS')]);
      assert.deepEqual(await sessions(), [{ ssl: true }], mode);
      await store.close();
    }
    await rejectsWith(openOn(`${address}?sslmode=verify-full`), 'unreachable', /certificate of PostgreSQL at .* cannot be verified/);
    await rejectsWith(openOn(`${address.replace('127.0.0.1', 'localhost')}?sslmode=verify-full&sslrootcert=${encodeURIComponent(caFile)}`), 'unreachable', /cannot be verified/);
    await rejectsWith(openOn(`${address}?sslrootcert=/nowhere/ca.pem&sslmode=verify-full`), 'bad-input', /\/nowhere\/ca\.pem, cannot be read/);
  });

  test('a database put back from an older copy is reported, and the gap stays visible', { timeout: 60_000 }, async () => {
    const address = await server.makeDatabase();
    const name = new URL(address).pathname.slice(1);
    const broken: string[] = [];
    const store = await openOn(address, { log: { ...silentLog, error: (event, fields) => void (event === 'audit.broken' && broken.push(String(fields?.['why']))) } });
    const rows = await rowsFor(store);
    await store.addAudit([1, 2, 3].map((n) => rows.audit(`line.${n}`)));
    // What a restore of yesterday's dump amounts to.
    await server.ask(address, 'delete from audit where seq = 3', 'update audit_head set seq = 2, hash = (select hash from audit where seq = 2)');
    await server.ask(server.address('postgres'), `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`);
    await until('the report', () => broken.length > 0);
    await backAgain(store);
    assert.deepEqual(broken, ['the audit ends at line 2, but line 3 had been written']);
    await store.addAudit([rows.audit('later')]);
    assert.equal((await store.verifyAudit()).brokenAt, 3);
    await store.close();
  });
});
