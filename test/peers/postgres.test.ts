// PostgreSQL as the store, on a real server: the contract of every store, and what is different on a server.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { after, before, suite, test } from 'node:test';
import { type Fault, isFault } from '#base/fault.ts';
import { type Log, silentLog } from '#base/log.ts';
import { migrate } from '#store/migrate.ts';
import { sqliteConnection } from '#store/sqlite.ts';
import { intakeContract } from '../contracts/intake.ts';
import { rejectsWith, rowsFor, storeContract } from '../contracts/store.ts';
import { until } from '../kit/gateway.ts';
import { postgresPassword, type PostgresServer, withoutPostgres } from '../kit/postgres.ts';
import { startDatabaseLine, startOldServer } from '../kit/postgres-line.ts';
import { backAgain, keepPostgresStores } from '../kit/postgres-store.ts';

const stores = await keepPostgresStores();
after(() => stores[Symbol.asyncDispose]());
const openOn = stores.open;

let shared: PostgresServer;
suite('on one server', { skip: withoutPostgres }, () => {
  before(async () => {
    // Nobody cuts its power.
    shared = await stores.startServer({ fsync: false });
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
    // What probes measure has fractions: of 64 bits as well, where REAL would have 32.
    assert.deepEqual(
      await shared.ask(address, "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public' and data_type not in ('text', 'bigint', 'bytea')"),
      [{ table_name: 'probe_sample', column_name: 'value', data_type: 'double precision' }],
    );
    assert.deepEqual(await shared.ask(address, "select distinct collation_name as name from information_schema.columns where table_schema = 'public' and data_type = 'text'"), [{ name: 'C' }]);
  });

  test('a second gateway is refused until the first has ended, in order or not', { timeout: 60_000 }, async () => {
    const address = await shared.makeDatabase();
    const first = await openOn(address);
    await rejectsWith(openOn(address), 'conflict', new RegExp(`another gateway uses the database store\\d+ at 127\\.0\\.0\\.1:\\d+: postern-[0-9a-f]{8} process ${process.pid} on .* from 127\\.0\\.0\\.1$`));
    await first.addAudit([(await rowsFor(first)).audit('still there')]);
    await first.close();
    const { child, lines } = stores.run(address, "say('open'); setInterval(() => {}, 1_000);");
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
