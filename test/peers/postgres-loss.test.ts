// What a store on PostgreSQL has acknowledged is there, whatever ends: the gateway, the server, its disk, the line between them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { silentLog } from '#base/log.ts';
import { pusherOn, wholeOf } from '../contracts/intake.ts';
import { rejectsWith, rowsFor } from '../contracts/store.ts';
import { makeCertificate } from '../kit/authority.ts';
import { until } from '../kit/gateway.ts';
import { type PostgresServer, startPostgres, withoutPostgres } from '../kit/postgres.ts';
import { startDatabaseLine } from '../kit/postgres-line.ts';
import { backAgain, keepPostgresStores } from '../kit/postgres-store.ts';

const stores = await keepPostgresStores();
after(() => stores[Symbol.asyncDispose]());
const openOn = stores.open;

suite('what was acknowledged is there', { skip: withoutPostgres }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await stores.startServer();
  });

  test('kill -9 of the gateway in the middle of writing', { timeout: 90_000 }, async () => {
    const address = await server.makeDatabase();
    // Several at once, so that the kill falls into shared commits too. A person and its right are one operation.
    const program = (lanes: string[]) => `
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
      const { child, lines } = stores.run(address, program(['a', 'b', 'c', 'd', 'e'].map((lane) => `${lane}${enough}`)));
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

  test('feeds over a line that is cut before and behind commits: every byte is there, once', { timeout: 120_000 }, async () => {
    const address = await server.makeDatabase();
    await using line = await startDatabaseLine(server.port);
    const store = await openOn(address.replace(`:${server.port}/`, `:${line.port}/`));
    const counts = { repeats: 0, unknown: 0, cuts: 0 };
    let acknowledged = 0;
    const device = async (name: string) => {
      const pusher = await pusherOn(store, name);
      let sent = '';
      for (let i = 0; i < 40; i += 1) {
        const batch = `${name} ${i}\nhalf a li`.repeat(1 + (i % 3));
        for (;;) {
          try {
            const outcome = await pusher.send(sent.length, batch);
            assert.ok(outcome.kind === 'stored', JSON.stringify(outcome));
            assert.equal(outcome.next, sent.length + batch.length);
            if (outcome.repeat) counts.repeats += 1;
            break;
          } catch (thrown) {
            assert.ok(isFault(thrown, 'busy'), String(thrown));
            if (thrown.detail['mayHaveHappened'] === true) counts.unknown += 1;
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
        }
        sent += batch;
        acknowledged += 1;
        if (acknowledged % 12 === 0) line.cutAtCommit(++counts.cuts % 2 === 0 ? 'before' : 'behind');
      }
      return { deviceId: pusher.deviceId, sent };
    };
    const devices = await Promise.all(['a', 'b', 'c'].map(device));
    line.cutAtCommit(null);
    await backAgain(store);
    for (const { deviceId, sent } of devices) {
      const [feed] = await store.listFeeds({ deviceId, limit: 1 });
      assert.equal(await wholeOf(store, feed!.epochs[0]!.number), sent);
      assert.equal(feed!.epochs[0]!.gaps, 0);
    }
    assert.ok(counts.cuts >= 8 && counts.unknown >= 8 && counts.repeats >= 1, JSON.stringify(counts));
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
    const caFile = join(stores.folder, 'ca.pem');
    await writeFile(caFile, ca.pem);
    const secure = await stores.startServer({ fsync: false, certificate: leaf });
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
