// A running gateway is backed up by its command line while people and programs change it, and comes back from the file: on SQLite, on
// PostgreSQL, and from the one to the other.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { suite, test } from 'node:test';
import type { CommandIo } from '#bin/io.ts';
import { dispatch } from '#bin/postern.ts';
import { exchangeRaw, finishesCleanly, request, startGateway, temporaryFolder, until, type TestGateway } from '../kit/gateway.ts';
import { startPostgres, withoutPostgres } from '../kit/postgres.ts';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(args: readonly string[], options: { isTerminal?: boolean; signal?: AbortSignal } = {}): Promise<Ran> {
  const text = { out: '', err: '' };
  const io: CommandIo = {
    stdin: new PassThrough().end(),
    stdout: new PassThrough().on('data', (piece) => (text.out += piece)),
    stderr: new PassThrough().on('data', (piece) => (text.err += piece)),
    env: {}, signal: options.signal ?? new AbortController().signal, isTerminal: options.isTerminal ?? false, columns: 100,
  };
  return { code: await dispatch(args, io), ...text };
}

async function succeed(...args: string[]): Promise<Ran> {
  const ran = await run(args);
  assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
  return ran;
}

const login = { login: 'owner', password: 'correct horse battery staple' };

const quarantine = { strangers: [{ policy: 'quarantine', quarantineBytes: 1_000_000 }] };

async function push(gateway: TestGateway, offset: number, text: string): Promise<string> {
  const answer = await request(gateway.ports.http, { method: 'POST', path: `/v1/default/push/SN1/cdr/00000000000000aa?o=${offset}`, headers: { host: 'localhost' }, body: text });
  return `${answer.status} next=${/^next=(\d+)$/m.exec(answer.body.toString())?.[1]}`;
}

/** A person, an agent with a device, a certificate of the private CA, and many lines of audit. */
async function fill(gateway: TestGateway): Promise<{ certificateId: string; key: string }> {
  const { cookie } = await gateway.owner();
  await gateway.addDevice({ name: 'Printer 1', ports: [{ number: 9, kind: 'http' }] });
  const issued = await gateway.api('POST', '/certificates/issue', { cookie, body: { name: 'web', names: ['web.example.test'] } });
  assert.equal(issued.status, 200, issued.text);
  const certificateId = String(issued.json['id']);
  const download = await gateway.api('POST', `/certificates/${certificateId}/download`, { cookie, body: { form: 'pem-with-key' } });
  return { certificateId, key: String(download.json['content']) };
}

async function hasEverything(gateway: TestGateway, { certificateId, key }: { certificateId: string; key: string }): Promise<string> {
  const signedIn = await gateway.api('POST', '/sign-in', { body: login });
  assert.equal(signedIn.status, 200, signedIn.text);
  const cookie = String(signedIn.headers['set-cookie']).split(';', 1)[0]!;
  const devices = (await gateway.api('GET', '/devices', { cookie })).json['items'] as { name: string }[];
  assert.deepEqual(devices.map(({ name }) => name), ['Printer 1']);
  const download = await gateway.api('POST', `/certificates/${certificateId}/download`, { cookie, body: { form: 'pem-with-key' } });
  assert.equal(download.json['content'], key, 'its key came along');
  const verified = await gateway.api('POST', '/audit/verify', { cookie });
  assert.equal(verified.json['brokenAt'], null, verified.text);
  return cookie;
}

/** Says once that it was restored, and until somebody has taken note. */
async function saysRestored(gateway: TestGateway, cookie: string): Promise<void> {
  const remarks = async () => ((await gateway.api('GET', '/status', { cookie })).json['remarks'] as string[]).filter((each) => each.includes('restored from a backup'));
  assert.equal((await remarks()).length, 1);
  const findings = async () => ((await gateway.api('POST', '/doctor', { cookie })).json['findings'] as { id: string; status: string }[]).filter(({ id }) => id === 'restored');
  assert.deepEqual((await findings()).map(({ status }) => status), ['warning']);
  const audited = async (what: string) => ((await gateway.api('GET', `/audit?what=${what}`, { cookie })).json['items'] as unknown[]).length;
  assert.equal(await audited('store.restored'), 1);
  await succeed('keeping', 'ok', '--data', gateway.dataDir);
  assert.deepEqual(await remarks(), []);
  assert.deepEqual(await findings(), []);
  assert.equal(await audited('store.restore-acknowledged'), 1);
}

suite('a backup of the running gateway', { timeout: 180_000 }, () => {
  test('comes back on another machine with everything in it', async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'gateway.tgz');
    let kept: Awaited<ReturnType<typeof fill>>;
    let caFingerprint: string;
    {
      await using gateway = await startGateway({ dataDir: join(folder.path, 'old') });
      kept = await fill(gateway);
      caFingerprint = gateway.caFingerprint;
      const { cookie, token } = await gateway.owner();
      const state = { busy: true };
      let changes = 0;
      const lanes = Array.from({ length: 3 }, async (_, lane) => {
        while (state.busy) {
          const made = await gateway.api('POST', '/invites', { token, body: { name: `guest ${lane}`, rights: [{ action: 'see', scopeKind: 'gateway', scopeId: null }] } });
          assert.equal(made.status, 200, made.text);
          changes += 1;
        }
      });
      await until('changes to be under way', () => changes > 5);
      const made = await succeed('backup', file, '--data', gateway.dataDir);
      state.busy = false;
      await Promise.all(lanes);
      assert.match(made.out, /gateway\.tgz: .* whole\.\n$/);
      assert.match(made.err, /holds the gateway's keys/);
      assert.equal((statSync(file).mode & 0o777).toString(8), '600');
      assert.equal(existsSync(`${file}.part`), false);
      const audit = (await gateway.api('GET', '/audit?what=backup.made', { cookie })).json['items'] as { actor: { name: string } }[];
      assert.equal(audit.length, 1);
      // What was there is not written over by mistake, and nobody without the right gets one.
      assert.equal((await run(['backup', file, '--data', gateway.dataDir])).code, 1);
      const stranger = await gateway.api('POST', '/backup');
      assert.equal(stranger.status, 401);
      const foreign = await gateway.api('POST', '/backup', { cookie, headers: { origin: 'https://elsewhere.example.test' } });
      assert.equal(foreign.status, 403, 'a page elsewhere cannot have one made');
      const keeping = (await gateway.api('GET', '/keeping', { cookie })).json as { backup: { last: { bytes: number } | null; running: unknown }; disk: { freeBytes: number | null } };
      assert.ok(keeping.disk.freeBytes! > 0, 'the disk was looked at before anybody came');
      assert.equal(keeping.backup.last?.bytes, statSync(file).size);
      assert.equal(keeping.backup.running, null);
      assert.match((await succeed('keeping', '--data', gateway.dataDir)).out, /^audit +\d+ +[\d.]+ kB/m);
      assert.equal((await run(['restore', file, '--data', gateway.dataDir])).code, 1, 'not into a folder that is used');
      const forced = await run(['restore', file, '--data', gateway.dataDir, '--force']);
      assert.match(forced.err, /uses the data folder/);
      await finishesCleanly(gateway);
    }
    const dataDir = join(folder.path, 'new');
    assert.match((await succeed('restore', file, '--data', dataDir)).out, /is the gateway as it was at/);
    await using again = await startGateway({ dataDir });
    assert.equal(again.caFingerprint, caFingerprint, 'agents know it again');
    const cookie = await hasEverything(again, kept);
    const left = (await again.api('GET', '/keeping', { cookie })).json as { backup: { last: unknown } };
    assert.equal(left.backup.last, null, 'it was still being made at the moment that it is of');
    await saysRestored(again, cookie);
    await finishesCleanly(again);
  });

  test('is said once over a restart, and a sealed one opens with its passphrase alone', async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'sealed.backup');
    const [short, secret, wrong] = ['short', 'secret', 'wrong'].map((name) => join(folder.path, name));
    writeFileSync(short!, 'too short\n');
    writeFileSync(secret!, 'correct horse battery staple\nsecond line\n');
    writeFileSync(wrong!, 'wrong horse battery staple\n');
    const dataDir = join(folder.path, 'data');
    {
      await using gateway = await startGateway({ dataDir, config: quarantine });
      await gateway.owner();
      assert.equal(await push(gateway, 0, 'one\n'), '200 next=4');
      assert.match((await run(['backup', file, '--passphrase-file', short!, '--data', dataDir])).err, /too short/);
      const made = await run(['backup', file, '--passphrase-file', secret!, '--data', dataDir], { isTerminal: true });
      assert.equal(made.code, 0, made.err);
      assert.match(made.out, /whole and sealed/);
      assert.doesNotMatch(made.err, /keys/);
      assert.equal(readFileSync(file).includes('manifest'), false);
      assert.equal(await push(gateway, 4, 'two\n'), '200 next=8', 'taken after the backup');
    }
    assert.match((await run(['restore', file, '--data', dataDir, '--force'])).err, /sealed with a passphrase/);
    const refused = await run(['restore', file, '--data', dataDir, '--force', '--passphrase-file', wrong!]);
    assert.equal(refused.code, 4);
    assert.match((await succeed('restore', file, '--data', dataDir, '--force', '--passphrase-file', secret!)).out, /What was there is in .*\.before-restore-/);
    for (const round of [1, 2]) {
      await using gateway = await startGateway({ dataDir, config: quarantine });
      // The device is ahead, and told where the gateway is; it has the rest still.
      if (round === 1) assert.equal(await push(gateway, 8, 'three\n'), '409 next=4');
      else assert.equal(await push(gateway, 4, 'two\nthree\n'), '200 next=14');
      const signedIn = await gateway.api('POST', '/sign-in', { body: login });
      const cookie = String(signedIn.headers['set-cookie']).split(';', 1)[0]!;
      const lines = (await gateway.api('GET', '/audit?what=store.restored', { cookie })).json['items'] as unknown[];
      assert.equal(lines.length, 1, `start ${round}`);
      if (round === 2) await saysRestored(gateway, cookie);
    }
  });

  test('that is broken off leaves nothing, neither here nor there, and the next is not in its way', async () => {
    using folder = temporaryFolder();
    await using gateway = await startGateway({ dataDir: join(folder.path, 'data') });
    const { token } = await gateway.owner();
    // A reader that asks and does not read, with enough behind it that it cannot all be on the way.
    writeFileSync(join(gateway.dataDir, 'large.bin'), randomBytes(12_000_000));
    const head = `POST /api/v1/backup HTTP/1.1\r\nHost: localhost:${gateway.ports.http}\r\nAuthorization: Bearer ${token}\r\nContent-Length: 0\r\n\r\n`;
    const answer = await exchangeRaw(gateway.ports.http, head, { enough: (text) => text.includes('\u001f\u008b') });
    assert.match(answer, /^HTTP\/1\.1 200/);
    assert.match(answer, /content-disposition: attachment; filename="postern-\d{8}T\d{4}Z\.tgz"/i);
    const state = async () => (await gateway.api('GET', '/backup', { token })).json as { running: unknown; failed: { why: string } | null };
    const { failed } = await until('the backup to be given up', async () => {
      const now = await state();
      return now.running === null && now;
    });
    assert.ok(failed);
    assert.deepEqual((await readdir(gateway.dataDir)).filter((name) => name.startsWith('.')), []);
    const ending = new AbortController();
    const broken = run(['backup', join(folder.path, 'x.tgz'), '--data', gateway.dataDir], { signal: ending.signal });
    ending.abort();
    assert.notEqual((await broken).code, 0);
    assert.deepEqual((await readdir(folder.path)).sort(), ['data']);
    await until('the second to be given up', async () => (await state()).running === null);
    await succeed('backup', join(folder.path, 'x.tgz'), '--data', gateway.dataDir);
    assert.equal((await state()).failed, null);
    await finishesCleanly(gateway);
  });

  test('stands still with its reader, and the gateway ends all the same', async () => {
    using folder = temporaryFolder();
    const gateway = await startGateway({ dataDir: join(folder.path, 'data') });
    const { token } = await gateway.owner();
    writeFileSync(join(gateway.dataDir, 'large.bin'), randomBytes(12_000_000));
    const reading = request(gateway.ports.http, { method: 'POST', path: '/api/v1/backup', headers: { host: `localhost:${gateway.ports.http}`, authorization: `Bearer ${token}`, 'content-length': '0' } }).catch(() => null);
    await until('it to be made', async () => (await gateway.api('GET', '/backup', { token })).json['running'] !== null);
    await gateway.close();
    await reading;
    assert.deepEqual((await readdir(join(folder.path, 'data'))).filter((name) => name.startsWith('.')), []);
  });

  test('goes from SQLite to PostgreSQL, and back', { skip: withoutPostgres }, async () => {
    using folder = temporaryFolder();
    await using server = await startPostgres({ fsync: false });
    const store = await server.makeDatabase();
    const [first, second] = ['first.tgz', 'second.tgz'].map((name) => join(folder.path, name));
    const onPostgres = join(folder.path, 'on-postgres');
    let kept: Awaited<ReturnType<typeof fill>>;
    {
      await using gateway = await startGateway({ dataDir: join(folder.path, 'old') });
      kept = await fill(gateway);
      await succeed('backup', first!, '--data', gateway.dataDir);
    }
    await succeed('restore', first!, '--data', onPostgres, '--store', store);
    assert.equal(existsSync(join(onPostgres, 'postern.db')), false);
    {
      await using gateway = await startGateway({ dataDir: onPostgres, store });
      const cookie = await hasEverything(gateway, kept);
      await saysRestored(gateway, cookie);
      const changed = await gateway.api('POST', '/invites', { cookie, body: { name: 'guest\u00a0Ω', rights: [{ action: 'see', scopeKind: 'gateway', scopeId: null }] } });
      assert.equal(changed.status, 200, changed.text);
      assert.match((await run(['restore', first!, '--data', join(folder.path, 'other'), '--store', store])).err, /another gateway|uses/);
      await succeed('backup', second!, '--data', gateway.dataDir);
    }
    assert.match((await run(['restore', first!, '--data', join(folder.path, 'other'), '--store', store])).err, /holds a gateway already/);
    const back = join(folder.path, 'back');
    await succeed('restore', second!, '--data', back);
    {
      await using gateway = await startGateway({ dataDir: back });
      const cookie = await hasEverything(gateway, kept);
      const invites = (await gateway.api('GET', '/invites', { cookie })).json['items'] as { name: string }[];
      assert.deepEqual(invites.map(({ name }) => name), ['guest\u00a0Ω']);
    }
    await succeed('restore', second!, '--data', join(folder.path, 'other'), '--store', store, '--force');
    await using gateway = await startGateway({ dataDir: join(folder.path, 'other'), store });
    await hasEverything(gateway, kept);
  });
});
