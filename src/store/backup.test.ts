// A backup is made while others write, and comes back whole or not at all.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pipeline } from 'node:stream/promises';
import { after, suite, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Clock } from '#base/clock.ts';
import { isFault, type FaultCode } from '#base/fault.ts';
import { silentLog } from '#base/log.ts';
import { buildSealer } from '#wire/sealed.ts';
import { rejectsWith, rowsFor } from '../../test/contracts/store.ts';
import { lookOnly, openBackupFile, readBackup } from './backup-read.ts';
import { openBackup, type BackupOptions } from './backup.ts';
import { openDataFolder } from './data-folder.ts';
import { migrations } from './migrate.ts';
import { openStore } from './open.ts';
import { restoreBackup, type RestoreOptions } from './restore.ts';

const root = await mkdtemp(join(tmpdir(), 'postern-backup-'));
after(() => rm(root, { recursive: true, force: true }));
const newDir = () => mkdtemp(join(root, 'data-'));
const nowMs = 1_800_000_000_000;
const clock: Clock = { nowMs: () => nowMs, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
const openIn = (dataDir: string) => openStore({ dataDir, clock, random: randomBytes, log: silentLog });

async function makeBackup(dataDir: string, file: string, more: Partial<BackupOptions> = {}): Promise<Awaited<ReturnType<typeof openBackup>>['manifest']> {
  const made = await openBackup({
    dataDir, version: '0.0.0-test', location: { kind: 'sqlite', file: join(dataDir, 'postern.db') }, at: nowMs, log: silentLog,
    still: (run) => run(), onProgress() {}, signal: new AbortController().signal, ...more,
  });
  await pipeline(made.stream, createWriteStream(file));
  assert.equal(await made.ended, true);
  return made.manifest;
}

const restore = (file: string, dataDir: string, more: Partial<RestoreOptions> = {}) => restoreBackup({ file, dataDir, passphrase: null, force: false, nowMs: nowMs + 5, putStore: null, ...more });

/** A data folder with everything in it, and its backup. */
async function made(): Promise<{ dataDir: string; file: string; secret: Buffer }> {
  const dataDir = await newDir();
  const folder = await openDataFolder(dataDir);
  const store = await openIn(dataDir);
  const rows = await rowsFor(store);
  const person = rows.person('ada');
  await store.addOwner(person, [rows.right('person', person.id)], rows.audit('person.made'));
  const secret = randomBytes(3_000);
  await folder.write('ca.pem', secret);
  await mkdir(join(dataDir, 'hooks'));
  await writeFile(join(dataDir, 'hooks', 'dns.sh'), '#!/bin/sh\n', { mode: 0o700 });
  await symlink('/etc/hostname', join(dataDir, 'hooks', 'elsewhere'));
  await mkdir(join(dataDir, 'files', 'ab'), { recursive: true });
  await writeFile(join(dataDir, 'files', 'ab', 'abcd'), randomBytes(600_000));
  await writeFile(join(dataDir, 'files', 'ab', '.half'), 'written');
  const file = join(root, `${rows.customerId}.tgz`);
  await makeBackup(dataDir, file);
  await store.close();
  await folder.close();
  return { dataDir, file, secret };
}

suite('a backup', () => {
  test('taken while others write is of one moment, and has everything up to it', async () => {
    const dataDir = await newDir();
    const folder = await openDataFolder(dataDir);
    const store = await openIn(dataDir);
    const rows = await rowsFor(store);
    // Enough pages for several steps of the copy.
    for (let i = 0; i < 40; i += 1) await store.addAudit(Array.from({ length: 100 }, () => rows.audit('filling', { detail: { text: 'x'.repeat(2_000) } })));
    const state = { writing: true };
    let acknowledged = 0;
    const lanes = Array.from({ length: 4 }, async (_, lane) => {
      for (let i = 0; state.writing; i += 1) {
        const person = rows.person(`p-${lane}-${i}`);
        await store.addPerson(person, [rows.right('person', person.id)], rows.audit('person.made'));
        acknowledged += 1;
      }
    });
    const file = join(root, 'under-load.tgz');
    let steps = 0;
    let before = 0;
    const manifest = await makeBackup(dataDir, file, {
      onProgress: (phase, done, total) => {
        assert.ok(done <= total);
        if (phase === 'copying') steps += 1;
      },
      still: async (run) => {
        const result = await run();
        before = (await store.auditHead()).seq;
        return result;
      },
    });
    const during = acknowledged;
    state.writing = false;
    await Promise.all(lanes);
    assert.ok(steps > 1, `${steps} steps`);
    assert.ok(during > 10, 'writing went on meanwhile');
    assert.ok(manifest.audit.seq >= 4_000 && manifest.audit.seq <= before);
    assert.ok((await store.auditHead()).seq > manifest.audit.seq);
    assert.equal((await readdir(dataDir)).some((name) => name.startsWith('.')), false, 'nothing is left of the copy');
    await store.close();
    await folder.close();

    const to = join(await newDir(), 'new');
    await restore(file, to);
    const again = await openIn(to);
    const verified = await again.verifyAudit();
    assert.equal(verified.brokenAt, null);
    assert.deepEqual(await again.auditHead(), manifest.audit);
    const { people, rights } = await again.loadEverything();
    assert.equal(people.length, manifest.audit.seq - 4_000, 'a person and its audit line are there together');
    assert.equal(rights.length, people.length);
    await again.close();
  });

  test('holds the files of the folder with their modes, and nothing that is only good now', async () => {
    const { file, secret, dataDir } = await made();
    const names = execFileSync('tar', ['-tzf', file]).toString().trim().split('\n');
    assert.deepEqual(names, ['manifest.json', 'postern.db', 'data/ca.pem', 'data/hooks/dns.sh', 'data/files/ab/abcd', 'digests.txt']);
    const out = await newDir();
    execFileSync('tar', ['-xzf', file, '-C', out]);
    assert.match(execFileSync('sha256sum', ['-c', 'digests.txt'], { cwd: out }).toString(), /^manifest\.json: OK\npostern\.db: OK\n/);
    const to = join(await newDir(), 'new');
    const { manifest, aside } = await restore(file, to);
    assert.equal(aside, null);
    assert.equal(manifest.schema, migrations.length);
    assert.deepEqual((await readdir(to)).sort(), ['ca.pem', 'files', 'hooks', 'lock', 'postern.db', 'restored.json']);
    assert.deepEqual(await readFile(join(to, 'ca.pem')), secret);
    const mode = async (name: string) => ((await stat(join(to, name))).mode & 0o777).toString(8);
    assert.deepEqual([await mode('.'), await mode('ca.pem'), await mode('postern.db'), await mode('hooks'), await mode('hooks/dns.sh')], ['700', '600', '600', '700', '700']);
    assert.deepEqual(JSON.parse(await readFile(join(to, 'restored.json'), 'utf8')), { backupAt: nowMs, restoredAt: nowMs + 5, version: '0.0.0-test', notedAt: null });
    assert.deepEqual(await readFile(join(to, 'files/ab/abcd')), await readFile(join(dataDir, 'files/ab/abcd')));
  });

  test('that is given up leaves nothing behind, and the next one works', async () => {
    const { dataDir } = await made();
    const ending = new AbortController();
    const opened = await openBackup({
      dataDir, version: 'x', location: { kind: 'sqlite', file: join(dataDir, 'postern.db') }, at: nowMs, log: silentLog, still: (run) => run(), onProgress() {}, signal: ending.signal,
    });
    ending.abort();
    assert.equal(await opened.ended, false);
    assert.equal((await readdir(dataDir)).includes('.backup.tmp'), false);
    await rejectsWith(makeBackup(dataDir, join(root, 'x.tgz'), { signal: AbortSignal.abort() }), 'closed');
    await makeBackup(dataDir, join(root, 'x.tgz'));
    // What a crash left goes at the next start.
    await mkdir(join(dataDir, '.backup.tmp'));
    await writeFile(join(dataDir, '.backup.tmp', 'postern.db'), 'half');
    await (await openDataFolder(dataDir)).close();
    assert.equal((await readdir(dataDir)).includes('.backup.tmp'), false);
  });
});

suite('restoring', () => {
  const refused = async (file: string, code: FaultCode, message: RegExp, more: Partial<RestoreOptions> = {}) => {
    const to = await newDir();
    await writeFile(join(to, 'postern.db'), 'what was there');
    await rejectsWith(restore(file, to, { force: true, ...more }), code, message);
    assert.deepEqual((await readdir(to)).sort(), ['lock', 'postern.db'], 'nothing was replaced, nothing is left');
    assert.equal(await readFile(join(to, 'postern.db'), 'utf8'), 'what was there');
  };

  test('a backup that is cut off is refused, wherever', async () => {
    const { file } = await made();
    const whole = await readFile(file);
    const cut = join(root, 'cut.tgz');
    for (const length of [0, 1, 9, 500, whole.length >> 1, whole.length - 100, whole.length - 9, whole.length - 1]) {
      await writeFile(cut, whole.subarray(0, length));
      await assert.rejects(async () => readBackup(await openBackupFile(cut, null), lookOnly), /damaged|empty|not a backup/, `${length} of ${whole.length}`);
    }
    await writeFile(cut, whole.subarray(0, whole.length - 300));
    await refused(cut, 'bad-input', /damaged/);
    // The archive inside may be cut as well, by who unpacked and packed it again.
    const tar = gunzipSync(whole);
    for (const at of [512, 5_000, tar.length - 1024, tar.length - 1536]) {
      await writeFile(cut, gzipSync(tar.subarray(0, at)));
      await assert.rejects(async () => readBackup(await openBackupFile(cut, null), lookOnly), /damaged/, `${at}`);
    }
  });

  test('one flipped byte is noticed, in the file and in the archive inside', async () => {
    const { file } = await made();
    const whole = await readFile(file);
    const tar = gunzipSync(whole);
    const spoilt = join(root, 'spoilt.tgz');
    let seed = 7;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const flipped = (bytes: Buffer, at: number) => {
      const other = Buffer.from(bytes);
      other[at]! ^= 0x10;
      return other;
    };
    let noticed = 0;
    for (let i = 0; i < 30; i += 1) {
      // Behind gzip's own head, of which time and system mean nothing.
      const at = 10 + random(whole.length - 10);
      await writeFile(spoilt, flipped(whole, at));
      try {
        await readBackup(await openBackupFile(spoilt, null), lookOnly);
        // A run of equal bytes may be named in more than one way.
        assert.ok(gunzipSync(await readFile(spoilt)).equals(tar), `byte ${at} of ${whole.length}`);
      } catch (thrown) {
        if (!isFault(thrown, 'bad-input')) throw thrown;
        noticed += 1;
      }
    }
    assert.ok(noticed > 10, `${noticed} were noticed`);
    const store = tar.indexOf('SQLite format 3');
    for (const at of [store + 5_000, tar.indexOf('"schema"'), tar.indexOf('data/ca.pem') + 600, tar.lastIndexOf('  data/ca.pem') - 3]) {
      await writeFile(spoilt, gzipSync(flipped(tar, at)));
      await refused(spoilt, 'bad-input', /damaged|manifest|not a backup/);
    }
  });

  test('what is sealed opens with its passphrase alone', async () => {
    const { file } = await made();
    const sealed = join(root, 'sealed.backup');
    const sealer = buildSealer('correct horse', randomBytes);
    await writeFile(sealed, Buffer.concat([sealer.head, sealer.push(await readFile(file)), sealer.finish()]));
    await refused(sealed, 'forbidden', /sealed with a passphrase/);
    await refused(sealed, 'forbidden', /not the passphrase/, { passphrase: 'wrong horse' });
    await writeFile(`${sealed}.cut`, (await readFile(sealed)).subarray(0, -1));
    await refused(`${sealed}.cut`, 'bad-input', /ends too early/, { passphrase: 'correct horse' });
    const to = join(await newDir(), 'new');
    await restore(sealed, to, { passphrase: 'correct horse' });
    assert.ok((await readdir(to)).includes('postern.db'));
  });

  test('a backup of a newer Postern, and files that are none, are refused', async () => {
    const { dataDir } = await made();
    const newer = new DatabaseSync(join(dataDir, 'postern.db'));
    newer.exec(`insert into schema_migration (number, name, at) values (${migrations.length + 1}, 'later', 0)`);
    newer.close();
    const file = join(root, 'newer.tgz');
    await makeBackup(dataDir, file);
    await refused(file, 'unsupported', /newer Postern/);
    await writeFile(file, 'hello');
    await refused(file, 'bad-input', /not a backup/);
    await writeFile(file, execFileSync('tar', ['-cz', '-C', dataDir, 'ca.pem']));
    await refused(file, 'bad-input', /not a backup/);
    await rejectsWith(restore(join(root, 'nowhere'), await newDir()), 'bad-input', /cannot be read/);
  });

  test('names that lead out of the folder are refused', async () => {
    const { file } = await made();
    const tar = gunzipSync(await readFile(file));
    for (const name of ['../ca.pemx', '/data/cape', 'data/../cx', 'data/.ca.x', 'da/a/ca.pe']) {
      const other = Buffer.from(tar);
      const at = other.indexOf('data/ca.pem');
      other.write(name.padEnd(11, '\0'), at, 'latin1');
      other.fill(0x20, at + 148, at + 156);
      other.write(`${other.subarray(at, at + 512).reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
      await writeFile(join(root, 'out.tgz'), gzipSync(other));
      await refused(join(root, 'out.tgz'), 'bad-input', /which no backup has/);
    }
  });

  test('a folder that is in use, or not empty, is left alone; by force the old one is moved aside', async () => {
    const { file, dataDir } = await made();
    await rejectsWith(restore(file, dataDir), 'conflict', /not empty/);
    const foreign = await newDir();
    await writeFile(join(foreign, 'thesis.txt'), 'x');
    await rejectsWith(restore(file, foreign), 'conflict', /not empty/);
    await rejectsWith(restore(file, foreign, { force: true }), 'conflict', /not a data folder/);
    const folder = await openDataFolder(dataDir);
    await rejectsWith(restore(file, dataDir, { force: true }), 'conflict', /uses the data folder/);
    await folder.close();
    await writeFile(join(dataDir, 'ca.pem'), 'another');
    const { aside } = await restore(file, dataDir, { force: true });
    assert.match(aside!, /\.before-restore-20270115-080000$/);
    assert.equal(await readFile(join(aside!, 'ca.pem'), 'utf8'), 'another');
    assert.deepEqual((await readdir(aside!)).filter((name) => name.startsWith('.')), []);
    const store = await openIn(dataDir);
    assert.equal((await store.loadEverything()).people.length, 1);
    await store.close();
  });

  test('run by root, it leaves the files to who has the folder', { skip: process.getuid?.() !== 0 && 'only root gives files away' }, async () => {
    const { file } = await made();
    const to = await newDir();
    await chmod(to, 0o700);
    execFileSync('chown', ['12345:12346', to]);
    await restore(file, to);
    for (const name of ['.', 'lock', 'postern.db', 'ca.pem', 'hooks', 'hooks/dns.sh']) {
      const { uid, gid } = await stat(join(to, name));
      assert.deepEqual([uid, gid], [12_345, 12_346], name);
    }
  });
});
